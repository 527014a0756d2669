"""A bar that shows frames, MB/s, the time left, and what an export waits for."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from tiffin.display import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = {
    "the disk": ("tiffin.writers.", "tiffin.export.fsync", "tiffin.export.disk_space"),
    "the source": ("tiffin.readers.", "tiffin.sources.", "httpx"),
}
"""Where in the code a thread is that waits."""


class ExportProgress:
    """The state of an export; `tiffin.export` calls it for each frame."""

    def __init__(self) -> None:
        self.done = self.known = 0
        self.nbytes = 0
        """The size of the pixels that are written [bytes]."""

    def __call__(self, done: int, known: int) -> None:
        """Take the counts of frames; any thread may call this."""
        self.done, self.known = done, known


@contextmanager
def progress_bar() -> Iterator[ExportProgress]:
    """Show a bar on a terminal, nothing elsewhere."""
    state, console = ExportProgress(), Console(stderr=True)
    if not console.is_terminal:
        yield state
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[waits]}", style="dim"),
    )
    over = threading.Event()
    with Progress(*columns, console=console, transient=True) as bar:
        drawer = threading.Thread(target=_draw, args=(bar, state, over), daemon=True)
        drawer.start()
        try:
            yield state
        finally:
            over.set()
            drawer.join(1)


def _draw(bar: Progress, state: ExportProgress, over: threading.Event) -> None:
    """Redraw the bar a few times a second, until the export is over."""
    task = bar.add_task("exporting", total=None, rate="", waits="")
    while not over.wait(0.25):
        seconds = bar.tasks[0].elapsed or 0
        rate = f"{size_text(state.nbytes / seconds)}/s" if seconds > 1 else ""
        waits = waits_for()
        bar.update(
            task,
            completed=state.done,
            total=state.known or None,
            rate=rate,
            waits=f"waits for {waits}" if waits else "",
        )


def waits_for() -> str:
    """Return what most threads of an export are waiting for now, or ``""``.

    That is the disk, the source, or room in memory.
    """
    counts: dict[str, int] = {}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 (CPython's way)
        if names.get(ident) == threading.current_thread().name:
            continue
        place = _place(frame)
        counts[place] = counts.get(place, 0) + 1
    counts.pop("", None)
    return max(counts, key=lambda place: counts[place], default="")


def _place(frame: Any) -> str:
    """Return what the innermost code of tiffin in a thread does."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        for place, modules in PLACES.items():
            if module.startswith(modules):
                return place
        if module == "tiffin.engine.pool" and frame.f_code.co_name == "submit":
            return "memory"
        frame = frame.f_back
    return ""

"""The progress of an export in a notebook."""

from __future__ import annotations

import html
import threading
import time
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tiffin.display.ipython import running_ipython
from tiffin.display.short_text import count_text
from tiffin.display.terminal import print_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[..., object]

PAUSE = 0.2
"""The shortest time between two updates [s]."""


@contextmanager
def shown_progress(progress: Progress | None) -> Iterator[Progress | None]:
    """Show the progress in a notebook, unless the caller's function shows it.

    What is yielded takes the numbers of frames finished and known, and a text if it is
    not about images.
    """
    if progress is not None or not hasattr(running_ipython(), "kernel"):
        yield progress
        return
    print_log()  # Python would print it without saying that it is tiffin's
    bar = _Bar()
    try:
        yield bar
    finally:
        bar.clear()


class _Bar:
    """A line in the output of a cell. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due = time.monotonic() + PAUSE  # a short export shows nothing
        self._handle: Any = None

    def __call__(self, done: int, known: int, text: str = "") -> None:
        if time.monotonic() < self._due or not self._lock.acquire(blocking=False):
            return
        try:
            images = f"{done} of {count_text(known, 'image')}"
            self._show(
                f'<progress value="{done}" max="{known}"></progress> '
                f"tiffin: {html.escape(text) or images}"
            )
            self._due = time.monotonic() + PAUSE
        finally:
            self._lock.release()

    def clear(self) -> None:
        """Remove the line."""
        with self._lock:
            if self._handle is not None:
                self._show("")

    def _show(self, text: str) -> None:
        shown: Any = import_module("IPython.display")
        if self._handle is None:
            self._handle = shown.display(shown.HTML(text), display_id=True)
        else:
            self._handle.update(shown.HTML(text))

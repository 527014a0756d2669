"""What the page shows: runs, figures, failures, and the last image of each detector."""

from __future__ import annotations

import sqlite3
import threading
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import TiffinError
from tiffin.report import last_images, page_of_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.options import ConfigFile
    from tiffin.service.journal import RunState
    from tiffin.service.service import Service

__all__ = ["WebState", "folder_of"]

SHOWN = 30
"""How many runs and failures are shown."""

PAUSE = 0.5
"""The shortest time between two looks at the journal [s]."""

IMAGE_PAUSE = 2.0
"""The shortest time between two looks at images [s]."""

LOOKED_AT = 5
"""In how many runs images are looked for when the page is opened."""

MOST_IMAGES = 24

TOLD = ("export", "run", "field", "kind", "name", "page", "seq_num")
"""What tells whether an image is new; the rest comes with its pixels."""


class WebState:
    """The state of a service, read when a page asks for it. Thread-safe."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {}
        self._read_at = 0.0
        self._images = _LastImages(service)

    def read(self) -> dict[str, Any]:
        """Return the state, which all pages share, as JSON has it."""
        with self._lock:
            if time.monotonic() - self._read_at > PAUSE:
                try:
                    self._images.update()
                    self._state = self._new()
                except sqlite3.Error:
                    self._state = {"trouble": self._service.trouble()}
                self._read_at = time.monotonic()
            return dict(self._state)

    def image(self, number: int) -> dict[str, Any] | None:
        """Return an image with its pixels."""
        with self._lock:
            rows = self._images.rows
        return rows[number] if number < len(rows) else None

    def _new(self) -> dict[str, Any]:
        journal, now = self._service.journal, self._service.status.run
        live = {run.uid for run in _live_runs(self._service)}
        runs = journal.newest(SHOWN)
        if now is not None and all(now.uid != run.uid for run in runs):
            runs = [now, *runs]
        return {
            "source": self._service.config.source,
            "trouble": self._service.trouble(),
            "counts": journal.counts(),
            "lag": round(journal.lag()),
            "rate": round(self._service.status.rate(), 2),
            "live": len(live),
            "runs": [self._row(run, is_live=run.uid in live) for run in runs],
            "failures": [self._row(run) for run in journal.failing(SHOWN)],
            "files": [
                {"name": Path(path).name, "why": why}
                for path, why in islice(self._service.damaged_files.items(), SHOWN)
            ],
            "images": [
                {key: row.get(key) for key in TOLD} for row in self._images.rows
            ],
        }

    def _row(self, run: RunState, *, is_live: bool = False) -> dict[str, Any]:
        """Return what the page tells of a run: no address."""
        row = run._asdict()
        del row["address"], row["found"]
        row["state"] = "live" if is_live and run.is_open else run.state
        pages = dict(self._pages(run)) if run.state == "done" else {}
        return {**row, "pages": pages}

    def _pages(self, run: RunState) -> Iterator[tuple[str, str]]:
        """Yield export and address of each report page of a run."""
        for name, export in self._service.exports.items():
            if export.values.get("report"):
                page = page_of_run(folder_of(export), run.uid, run.scan_id)
                if page is not None:
                    yield name, f"reports/-{name}/{page}"


class _LastImages:
    """The last image of each detector and export."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._last: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._seen = 0.0
        self._next = 0.0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The images, in the order in which their detectors came."""
        return [*self._last.values()][:MOST_IMAGES]

    def update(self) -> None:
        """Look at the runs that were finished since, and at those under way."""
        began = time.monotonic()
        if began < self._next:
            return
        done = self._service.journal.finished_since(self._seen, LOOKED_AT)
        if done and done[0].finished:
            self._seen = done[0].finished
        live = _live_runs(self._service)
        now = self._service.status.run
        for run in [*reversed(done), *live, *([] if now is None else [now])]:
            for name, export in self._service.exports.items():
                self._look(run, name, export)
        took = time.monotonic() - began
        self._next = began + max(IMAGE_PAUSE, 10 * took)  # whatever the folder is like

    def _look(self, run: RunState, name: str, export: ConfigFile) -> None:
        follow = bool(export.values.get("follow_links"))
        try:
            found = last_images(folder_of(export), run.uid, follow_links=follow)
        except (TiffinError, OSError):  # it has no image so far
            return
        for row in found:
            key = (name, *map(row.get, ("stream", "field", "kind")))
            self._last[key] = {"export": name, **row}


def _live_runs(service: Service) -> list[RunState]:
    """Return the runs without a stop document that are exported live."""
    uids = service.live.runs if service.live else ()
    return [run for run in map(service.journal.get, uids) if run and run.is_open]


def folder_of(export: ConfigFile) -> Path:
    """Return the folder that an export writes to, as an absolute path."""
    return Path(export.values.get("directory", ".")).absolute()

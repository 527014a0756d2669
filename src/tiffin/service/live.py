"""Export runs while their documents are written: ``live = true``.

The file of documents stays the truth. A run that is exported live is open in the
journal until its stop document, as any other; what is killed begins anew at the start
document, and resumes: files that are there are not written again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.bulk import FoundRun, TaskResult, read_report
from tiffin.display import count_text
from tiffin.errors import TiffinError
from tiffin.service.live_export import LiveExport
from tiffin.service.run_export import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.bulk import Task
    from tiffin.options import ConfigFile
    from tiffin.records import Report
    from tiffin.service.journal import Journal
    from tiffin.service.run_state import RunState
    from tiffin.service.spool import SpooledRun

__all__ = ["Live"]

logger = logging.getLogger("tiffin")

MOST_RUNS = 4
"""How many runs are exported live at once, the newest; others at their stop."""

SILENT = 600.0
"""A run whose file has not grown for so long is left alone until it does [s]."""

MOST_KILLS = 5
"""How often the service may be killed while a run is live: then it waits for its stop.

If it is the run that kills it, such as by a reader's library, it is given up there.
"""

PAUSE = 10.0
"""How long to wait after a failure that may pass, such as a full disk [s]."""


class Live:
    """The live exports of a service. Only `progress` and `runs` are thread-safe.

    Parameters
    ----------
    exports : mapping of str to ConfigFile
    source : str
        The folder of files of documents.
    journal : Journal
    look : callable
        Called when a stop document was found.
    """

    def __init__(
        self,
        exports: Mapping[str, ConfigFile],
        source: str,
        journal: Journal,
        look: Callable[[], object],
    ) -> None:
        self._exports = exports
        self._source = source
        self._journal = journal
        self._look = look
        self._live: dict[str, dict[str, LiveExport]] = {}
        self._resting: dict[str, Callable[[], bool]] = {}
        self._dropped = TaskResult()
        self._noted: dict[str, TaskResult] = {}
        self.trouble = ""
        """Why the disk takes no more; ``""`` if it does."""

    @property
    def runs(self) -> frozenset[str]:
        """The uids of the runs that are exported live now."""
        return frozenset(self._live.copy())

    def progress(self) -> TaskResult:
        """Return the counts of all exports that are live, or were dropped."""
        return reduce(TaskResult.plus, self._noted.values(), self._dropped)

    def update(self, spooled: Callable[[str], SpooledRun | None]) -> None:
        """Begin with new runs, note how far others are, drop those that don't go on.

        Parameters
        ----------
        spooled : callable
            Returns the run of a uid that a listener writes.
        """
        newest = {run.uid: run for run in self._journal.newest(MOST_RUNS, "open")}
        self._resting = {u: f for u, f in self._resting.items() if u in newest}
        for uid in [*self._live]:
            self._note(uid)
            self._drop_if_idle(uid, newest.get(uid))
        for uid, run in newest.items():
            begins = self._resting.get(uid, lambda: True)
            if uid not in self._live and len(self._live) < MOST_RUNS and begins():
                self._begin(run, spooled(uid))

    def read(self, name: str, task: Task) -> Report:
        """Export a run whose stop document is there: what is left of it, or all."""
        path = Path(task.address)
        export = self._live.get(task.uid, {}).pop(name, None)
        if export is not None and not export.is_whole():  # its file was replaced
            self._end([export])
            export = None
        if export is None and not _can_be_live(path):
            return read_report(task)
        return (export or LiveExport(task, path)).report()

    def forget(self, uid: str) -> None:
        """Forget a run whose exports were read."""
        self._live.pop(uid, None)
        self._noted.pop(uid, None)
        self.trouble = ""

    def close(self) -> None:
        """End all exports; the next start goes on with them."""
        if self._live:
            runs = count_text(len(self._live), "live run")
            logger.warning("the next start goes on with %s", runs)
        self._drop(*self._live)

    # ---- one run

    def _begin(self, run: RunState, spooled: SpooledRun | None) -> None:
        path = Path(run.address) if spooled is None else spooled.path
        if run.tries >= MOST_KILLS or not _can_be_live(path):
            return  # it is read at its stop
        self._journal.note_live(run.uid, begins=True)
        self._live[run.uid] = exports = {}
        how: dict[str, Any] = {"found_stop": self._finder_of(run)}
        if spooled is not None:  # the spool says when it has stopped
            how = {"is_torn": lambda: spooled.torn}
        how["share"] = MOST_RUNS * len(self._exports)
        try:
            for name, export in self._exports.items():
                task = task_of(run, export, self._source)
                exports[name] = LiveExport(task, path, **how)
        except TiffinError as error:  # such as a server with darks that is down
            logger.warning("run %s is not live: %s", run.name, error)
            self._rest(run.uid, PAUSE)
        except Exception:  # such as of a user's reader; at the stop, it is recorded
            logger.exception("run %s is not live: an unexpected error", run.name)
            self._rest(run.uid)

    def _finder_of(self, run: RunState) -> Callable[[Mapping[str, Any]], None]:
        def found(stop: Mapping[str, Any]) -> None:
            with suppress(sqlite3.Error):  # the next look finds it, too
                self._journal.add([FoundRun(run.uid, run.address, {}, stop)])
            self._look()

        return found

    def _note(self, uid: str) -> None:
        """Note in the journal what was exported so far."""
        exports = self._live[uid].values()
        total = reduce(TaskResult.plus, [e.progress() for e in exports], TaskResult())
        if total != self._noted.get(uid):
            self._noted[uid] = total
            self._journal.note_progress(uid, total)

    def _drop_if_idle(self, uid: str, run: RunState | None) -> None:
        """Drop the exports of a run that does not go on, or can't be exported now."""
        exports = [*self._live[uid].values()]
        if run is None:
            known = self._journal.get(uid)
            if known is None or known.state not in ("waiting", "working"):
                self._drop(uid)
            return
        full = next((e.no_room for e in exports if e.no_room), "")
        problem = next((e.problem for e in exports if e.problem), "")
        if full:
            self.trouble = f"the disk is full: {full}"
            logger.error("%s: waiting for room", full)
            self._rest(uid, PAUSE)
        elif problem:
            logger.warning("run %s is exported at its end: %s", run.name, problem)
            self._rest(uid)
        elif any(e.heard < time.monotonic() - SILENT for e in exports):
            path = next(iter(exports)).path
            size = _size(path)
            self._rest(uid)
            self._resting[uid] = lambda: _size(path) != size
        else:
            self.trouble = ""

    def _rest(self, uid: str, seconds: float = float("inf")) -> None:
        """Drop the exports of a run for some time, or until its stop document."""
        self._drop(uid)
        until = time.monotonic() + seconds
        self._resting[uid] = lambda: time.monotonic() >= until

    def _drop(self, *uids: str) -> None:
        self._end([export for uid in uids for export in self._live.pop(uid).values()])
        for uid in uids:
            self._noted.pop(uid, None)
            self._journal.note_live(uid, begins=False)

    def _end(self, exports: list[LiveExport]) -> None:
        for export in exports:
            export.cancel()
        for export in exports:
            export.close()
            self._dropped = self._dropped.plus(export.progress())


def _can_be_live(path: Path) -> bool:
    """Return whether a file can be read while it is written."""
    return path.suffix != ".gz" and path.is_file()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

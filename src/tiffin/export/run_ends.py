"""End runs: wait for their frames, close their files, and forget them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.errors import WriteError
from tiffin.export.observers import FsyncAtEnd, RunSummary, SayEmpty
from tiffin.frames import FrameId
from tiffin.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.engine import Ledger, Patience, Pool, Retries
    from tiffin.export.journal import Journal
    from tiffin.export.observers import RunObserver
    from tiffin.settings import Settings

__all__ = ["RunEnds"]


class RunEnds:
    """Ends the runs of an export.

    Parameters
    ----------
    settings : Settings
    ledger : Ledger
    journal : Journal
    pool : Pool
    retries : Retries or None
    close_files : callable
        Closes what was opened to be read.
    forget : callable
        Called with a run, to forget everything that is known of it.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        journal: Journal,
        pool: Pool,
        retries: Retries | None,
        close_files: Callable[[], None],
        forget: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._journal = journal
        self._pool = pool
        self._retries = retries
        self._close_files = close_files
        self._forget = forget
        self._late: set[str] = set()
        self._observed: set[str] = set()
        self._observers: list[RunObserver] = [SayEmpty()]
        if settings.fsync == "run":
            self._observers.append(FsyncAtEnd(self.record_failure))

    def end(self, run: str, patience: Patience | None = None) -> None:
        """Wait for what can be read, and close what the run opened.

        Files that are not there yet are not waited for: it may be the caller who is
        to close them. Nor is what hangs, for longer than `patience`.
        """
        self._pool.drain(patience, all_jobs=False)
        self._close_files()
        if self._retries is not None and not self._pool.hangs:
            self._retries.end_run(run, patience=patience)
        elif self._retries is not None:
            self._retries.begin_end(run)
        if self._is_under_way(run):
            self._late.add(run)
        else:
            self._close(run)

    def close_late(self) -> None:
        """Close the runs that were late, or hung, and of which nothing is left."""
        for run in list(self._late):
            if not self._is_under_way(run):
                self._close(run)

    def is_late(self, run: str) -> bool:
        """Return whether a run has ended, and frames of it are still under way."""
        return run in self._late

    def close_all(self) -> None:
        """Write what is left to be listed, of all runs."""
        for run in self._ledger.unfinished:
            self._observe(run)
        self._close_manifests()

    def record_failure(self, error: Exception, run: str = "") -> None:
        """Record a failure that is not of a frame."""
        place = (run, self._ledger.new_group(), 0)
        record = Record(id=FrameId(run), status="failed", error=error)
        self._ledger.put(place, record)

    def _is_under_way(self, run: str) -> bool:
        if self._retries is not None and self._retries.has(run):
            return True
        return not self._settings.dry_run and self._ledger.left(run) > 0

    def _close(self, run: str) -> None:
        """Close what a run opened, and release its names: they are on the disk."""
        self._late.discard(run)
        self._close_files()  # a retry may have opened a file
        self._observe(run)
        self._observed.discard(run)
        self._close_manifests(run)
        self._forget(run)
        self._ledger.end(run)

    def _observe(self, run: str) -> None:
        if run not in self._observed:
            self._observed.add(run)
            summary = RunSummary(run, self._settings, self._ledger)
            for observer in self._observers:
                observer.run_ended(summary)

    def _close_manifests(self, run: str | None = None) -> None:
        """Close the manifest of a run, or all; files that are not listed are not ok."""
        try:
            self._journal.close(run)
        except Exception as error:  # noqa: BLE001 (the end of a run; recorded)
            refused = WriteError(f"a manifest can't be written: {error}")
            refused.errno = getattr(error, "errno", None)
            if self._ledger.report(run).written:
                self.record_failure(refused, run or "")

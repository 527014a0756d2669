"""End runs: wait for their frames, close their files, call the observers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.errors import WriteError
from tiffin.export.dry_run import DryRun
from tiffin.export.observers import (
    EndedRun,
    FsyncAtEnd,
    SayEmpty,
    SayFloat64,
    SayUnknownFields,
)
from tiffin.export.publisher import caused_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tiffin.engine import Patience, Pool, Retries
    from tiffin.export.context import ExportContext
    from tiffin.export.observers import RunObserver
    from tiffin.export.run_documents import DocumentsOfRuns


class RunEnds:
    """Ends the runs of an export.

    `close_files` closes the files with images. Each function of `forget` is called with
    a run that is over, to free its memory. Observers are called in their order.
    """

    def __init__(
        self,
        context: ExportContext,
        pool: Pool,
        retries: Retries,
        close_files: Callable[[], None],
        forget: Iterable[Callable[[str], object]],
        documents: DocumentsOfRuns,
        observers: Iterable[RunObserver],
    ) -> None:
        self._settings, _, self._ledger, self._manifests, _ = context
        self._pool = pool
        self._retries = retries
        self._close_files = close_files
        self._forget = tuple(forget)
        self._documents = documents
        self._late: set[str] = set()
        self._stopped: dict[str, None] = {}
        self._observed: set[str] = set()
        self._observers: list[RunObserver] = [
            *(SayEmpty(), SayFloat64(), SayUnknownFields()),
            *observers,
        ]
        if context.settings.dry_run:
            self._observers.insert(0, DryRun(context.settings, context.ledger))
        if context.settings.fsync == "run":
            self._observers.append(FsyncAtEnd())

    def call_after_late(self, call: Callable[[], object]) -> None:
        """Call this when the last late file of a run is found or given up."""
        self._retries.over = call

    def end(self, run: str, patience: Patience | None = None) -> None:
        """Wait for the frames of a run, and close its files.

        Does not wait for late files, because perhaps only the caller can close them,
        and for jobs that hang only as long as `patience` allows.
        """
        self._pool.drain(patience, all_jobs=False)
        self._close_files()
        if self._pool.hangs:
            self._retries.begin_end(run)
        else:
            self._retries.end_run(run, patience=patience)
        if self._is_under_way(run):
            self._late.add(run)
        else:
            self._close(run)

    def close_late(self) -> None:
        """Close runs whose last late frame is finished."""
        for run in list(self._late):
            if not self._is_under_way(run):
                self._close(run)

    def stopped(self, run: str) -> None:
        """Note that a replay has passed the stop document of a run."""
        self._stopped[run] = None

    def observe_stopped(self) -> None:
        """Call the observers of runs that a replay has finished."""
        while self._stopped:
            run = next(iter(self._stopped))
            if self._is_under_way(run):
                return  # as later ones are, as a rule
            del self._stopped[run]
            self._observe(run)

    def is_late(self, run: str) -> bool:
        """Return whether a run has ended, but has unfinished frames."""
        return run in self._late

    def close_all(self) -> None:
        """Call the observers of unfinished runs, and close all manifests."""
        for run in self._ledger.unfinished:
            self._observe(run)
        self._close_manifests()

    def _is_under_way(self, run: str) -> bool:
        is_left = not self._settings.dry_run and self._ledger.left(run) > 0
        return is_left or self._retries.has(run)

    def _close(self, run: str) -> None:
        """Close the files of a run, and forget it; its names are on the disk now."""
        self._late.discard(run)
        self._close_files()  # a retry may have opened a file
        self._observe(run)
        self._observed.discard(run)
        self._close_manifests(run)
        for forget in self._forget:
            forget(run)
        self._ledger.end(run)

    def _observe(self, run: str) -> None:
        if run not in self._observed:
            self._observed.add(run)
            documents = self._documents.of(run)
            summary = EndedRun(run, self._settings, self._ledger, documents)
            for observer in self._observers:
                try:
                    observer.run_ended(summary)
                except Exception as error:  # noqa: BLE001 (the end of a run; recorded)
                    why = f"the end of the run: {type(error).__name__}: {error}"
                    self._ledger.record_failure(caused_by(WriteError(why), error), run)
            self._documents.forget(run)

    def _close_manifests(self, run: str | None = None) -> None:
        """Close the manifest of a run, or all; record if that fails."""
        try:
            self._manifests.close(run)
        except Exception as error:  # noqa: BLE001 (the end of a run; recorded)
            refused = WriteError(f"a manifest can't be written: {error}")
            if self._ledger.report(run).written:
                self._ledger.record_failure(caused_by(refused, error), run or "")

"""One export of one run, from a file of documents that may still be written."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from tiffin.bulk import TaskResult, live_pipeline, result_of
from tiffin.errors import SourceError
from tiffin.sources import documents_in_file, documents_of_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tiffin.bulk import Task
    from tiffin.records import Report

__all__ = ["LiveExport"]

logger = logging.getLogger("tiffin")

POLL = 0.2
"""How often to look whether a file has grown [s]."""


class LiveExport:
    """Exports images as their documents are written, in a thread.

    The thread ends before the stop document. Only `report` ends the run.

    Parameters
    ----------
    task : Task
    path : Path
        The file of documents.
    found_stop : callable
        Called with the stop document of the run.
    is_torn : callable
        Returns whether the file had bytes that were taken back.
    share : int
        How many live exports share the memory.
    """

    def __init__(
        self,
        task: Task,
        path: Path,
        found_stop: Callable[[Mapping[str, Any]], object] = lambda _: None,
        is_torn: Callable[[], bool] = lambda: False,
        share: int = 1,
    ) -> None:
        self.path = path
        self._task = task
        self._found_stop = found_stop
        self._is_torn = is_torn
        self._pipeline = live_pipeline(task, share)
        self._finished, self._counts = 0, TaskResult()
        self._stop: Mapping[str, Any] | None = None
        self._error: SourceError | None = None
        self._ends = threading.Event()
        self._cancelled = self._at_end = False
        self.heard = time.monotonic()
        """When the last document has come."""
        self._thread = threading.Thread(
            target=self._read, name="tiffin-live", daemon=True
        )
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why the documents can't be read on; ``""`` if they can."""
        return "" if self._error is None else str(self._error)

    @property
    def no_room(self) -> str:
        """Why the disk takes no more; ``""`` if it does."""
        return str(self._pipeline.publisher.stopped or "")

    def progress(self) -> TaskResult:
        """Return the counts so far."""
        finished = self._pipeline.ledger.finished
        if finished != self._finished:  # it takes as long as there are images
            self._finished, self._counts = finished, result_of(self._pipeline.report())
        return self._counts

    def is_whole(self) -> bool:
        """Read to the end of the file; return whether the stop document was there."""
        self._ends.set()
        self._thread.join()
        return self._stop is not None and self._error is None

    def report(self) -> Report:
        """Read to the end of the file, and end the run. Late images get a last try."""
        self.is_whole()
        pipeline = self._pipeline
        try:
            if self._error is not None:  # what came before is exported
                pipeline.ledger.record_failure(self._error, self._task.uid)
            if self._stop is not None:
                pipeline.feed("stop", self._stop)
                pipeline.end_run(self._task.uid)
            pipeline.finish(patient=False)
        except BaseException:
            pipeline.cancel()
            raise
        finally:
            pipeline.close()
        return pipeline.report()

    def cancel(self) -> None:
        """Begin to end: finish the files that have begun, and drop the rest."""
        self._cancelled = True
        self._ends.set()
        self._pipeline.cancel()

    def close(self) -> None:
        """Wait for the end, after `cancel`."""
        self._thread.join()
        self._pipeline.close()

    # ---- in its thread

    def _read(self) -> None:
        try:
            for name, doc in self._documents():
                if name == "stop":
                    self._stop = doc
                    break
                self._feed(name, doc)
        except SourceError as error:
            self._error = error
        except Exception as error:  # the border of the thread; `report` records it
            logger.exception("run %s: an unexpected error", self._task.uid)
            self._error = SourceError(f"{type(error).__name__}: {error}")
        if self._stop is not None:
            self._found_stop(self._stop)

    def _documents(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        written = documents_in_file(self.path, wait_for_more=self._goes_on)
        for name, doc in documents_of_runs(written, [self._task.uid]):
            if self._cancelled:
                return
            if self._is_torn():
                message = f"{self.path}: a document was not written whole"
                raise SourceError(message)
            self.heard = time.monotonic()
            yield name, doc

    def _feed(self, name: str, doc: Mapping[str, Any]) -> None:
        try:
            self._pipeline.feed(name, doc)
        except SourceError as error:  # of this document
            self._pipeline.ledger.record_failure(error, self._task.uid)

    def _goes_on(self) -> bool:
        """Wait for more; return False if nothing has come after the end was asked."""
        if self._at_end:
            return False
        self._at_end = self._ends.wait(POLL)
        return True

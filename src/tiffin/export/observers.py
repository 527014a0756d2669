"""What is done when a run has ended: the place for sidecars, reports and catalogues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tiffin.errors import NoImageError
from tiffin.export.fsync import sync_files

if TYPE_CHECKING:
    from tiffin.engine import Ledger
    from tiffin.records import Report
    from tiffin.settings import Settings

__all__ = ["FsyncAtEnd", "RecordFailure", "RunObserver", "RunSummary", "SayEmpty"]

RecordFailure = Callable[[Exception, str], None]
"""Records a failure that is not of a frame, given the error and the run."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run that has ended.

    Attributes
    ----------
    run : str
        Its uid.
    settings : Settings
        Of the export.
    ledger : Ledger
        Which has its records.
    """

    run: str
    settings: Settings
    ledger: Ledger

    @property
    def report(self) -> Report:
        """What became of its frames."""
        return self.ledger.report(self.run)


class RunObserver(Protocol):
    """Is told of each run that has ended, once all of its files are written."""

    def run_ended(self, summary: RunSummary) -> None:
        """Act on a run that has ended."""
        ...


class SayEmpty:
    """Logs that no event of a run held an image."""

    def run_ended(self, summary: RunSummary) -> None:
        """Log it, once."""
        if summary.ledger.is_empty(summary.run):
            message = "no image was exported: no event of the run holds any"
            summary.ledger.say(summary.run, NoImageError(message))


class FsyncAtEnd:
    """Forces the files of a run to the disk, for ``fsync="run"``.

    Parameters
    ----------
    record_failure : callable
    """

    def __init__(self, record_failure: RecordFailure) -> None:
        self._record_failure = record_failure

    def run_ended(self, summary: RunSummary) -> None:
        """Force all that was written to the disk."""
        paths = [record.path for record in summary.report.written if record.path]
        for error in sync_files(summary.settings.folders, paths):
            self._record_failure(error, summary.run)

"""Tell how far a bulk export is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tiffin.bulk.bulk_plan import duration_text
from tiffin.display import count_text, shown_progress, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.bulk.bulk_report import BulkReport

__all__ = ["progress_text", "shown_in_notebook"]


def progress_text(report: BulkReport) -> str:
    """Return a line: images, speed, time left, failures, and the dashboard's address.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tiffin.bulk.bulk_report import BulkReport, RunOutcome
    >>> from tiffin.bulk.task import TaskResult
    >>> done = RunOutcome("7f3a", 7, "done", TaskResult(written=5, nbytes=20_000_000))
    >>> runs = (done, RunOutcome("8a2b", 8, "pending"))
    >>> progress_text(BulkReport(runs, Path("x"), 2.0, plan=None))
    '1 of 2 runs: 5 images, 10 MB/s, 2 s left'
    """
    total, pending = report.total, len(report.pending)
    finished = len(report.runs) - pending
    now = sum(run.state != "pending" and not run.earlier for run in report.runs)
    rate = total.nbytes / max(report.seconds, 1e-9)
    parts = [count_text(total.written, "image"), f"{size_text(rate)}/s"]
    if now and pending:
        parts.append(f"{duration_text(report.seconds / now * pending)} left")
    if report.failed:
        parts.append(f"{len(report.failed)} failed")
    if report.dashboard:
        parts.append(report.dashboard)
    return f"{finished} of {count_text(len(report.runs), 'run')}: {', '.join(parts)}"


@contextmanager
def shown_in_notebook() -> Iterator[Callable[[BulkReport], object] | None]:
    """Show the progress below the cell of a notebook; nothing elsewhere."""
    with shown_progress(None) as bar:
        if bar is None:
            yield None
            return

        def show(report: BulkReport) -> None:
            runs = len(report.runs)
            bar(runs - len(report.pending), runs, progress_text(report))

        yield show

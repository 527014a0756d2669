"""Say how each scan went: one line at its end, on by default."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from tiffin.display import count_text, print_log, say, shortened
from tiffin.errors import FieldError
from tiffin.template import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tiffin.export.observers import EndedRun
    from tiffin.records import Record, Report
    from tiffin.settings import Settings


class ScanLines:
    """An observer of a live export.

    The line of a run is said when its files are complete: by the thread that passes the
    stop document, so that it is in the output of the plan, or by the thread that finds
    the last late file.

    Attributes
    ----------
    settings : Settings
    last : str or None
        The newest run that has ended.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._labels: dict[str, str] = {}  # of runs whose line is not said
        self._late: set[str] = set()  # of these, what is awaited is said
        self._waiting: dict[str, Report | None] = {}
        self.last: str | None = None
        print_log()

    def begin(self, start: Mapping[str, Any]) -> None:
        """Note the number of a scan."""
        run, number = str(start["uid"]), plain(start.get("scan_id"))
        has_number = type(number) in (int, str)
        label = f"scan {number}" if has_number else f"run {run[:8]}"
        with self._lock:
            self._labels[run] = shortened(label)
            self._late.discard(run)

    def hold(self, run: str) -> None:
        """Keep the line of a run for `release`."""
        with self._lock:
            self._waiting[run] = None

    def release(self, run: str, report: Callable[[], Report]) -> None:
        """Say the line of a run that has stopped, or what is awaited.

        `report` returns the report so far.
        """
        with self._lock:
            complete = self._waiting.pop(run)
            if run not in self._labels:
                return
            self.last = run
            if complete is None:
                self._late.add(run)
                self._say(self._labels[run], report())
            else:
                self._say(self._labels.pop(run), complete)

    def run_ended(self, summary: EndedRun) -> None:
        """Say the line of a run, or keep it."""
        run = summary.run
        with self._lock:
            if run in self._waiting:
                self._waiting[run] = summary.report
            elif run in self._labels:
                if run not in self._late:  # a late file makes no run the newest
                    self.last = run
                self._late.discard(run)
                self._say(self._labels.pop(run), summary.report)

    def _say(self, label: str, report: Report) -> None:
        say(*line_of(label, report, self.settings.writer.suffixes))


def line_of(label: str, report: Report, suffixes: Sequence[str]) -> tuple[int, str]:
    """Return the level and the text of a line."""
    images = [record for record in report if record.kind != "sidecar"]
    status = "planned" if report.dry_run else "written"
    done = [record for record in images if record.status == status]
    failed, skipped = report.failed, report.skipped
    awaited = () if report.dry_run else report.planned
    known = sum(record.seq_num is not None for record in images)
    if not known and all(isinstance(record.error, FieldError) for record in failed):
        why = f": {shortened(str(failed[0].error))}" if failed else ""
        return logging.WARNING if failed else logging.INFO, f"{label} → no image{why}"
    text = f"{label} FAILED" if failed else label
    number = f"{len(done) or 'none'} of " if known and (failed or awaited) else ""
    count = known if number else len(done) or "no"
    text += f" → {number}{count} image{'' if count == 1 else 's'}"
    if done:
        text += _where(done, suffixes)
    if report.dry_run:
        text += ", dry run: nothing is written"
    level = logging.INFO
    if skipped:
        text += f"; {len(skipped)} skipped: {shortened(str(skipped[0].error))}"
    if awaited:
        level = logging.WARNING
        text += (
            f"; {len(awaited)} still awaited, first {awaited[0].id}: "
            f"exporter.wait() waits"
        )
    if failed:
        level = logging.ERROR
        text += f"; {len(failed)} failed, first: {shortened(str(failed[0].error))}"
        text += " (all: exporter.last.failed)"
    return level, text


def _where(done: list[Record], suffixes: Sequence[str]) -> str:
    """Return the folder of files, and the names of the first and the last one."""
    files = [*dict.fromkeys(str(record.file) for record in done)]
    folder = os.path.commonpath({*map(os.path.dirname, files)})
    ends = [os.path.relpath(file, folder) for file in (files[0], files[-1])]
    for suffix in suffixes:
        ends = [name.removesuffix(suffix) for name in ends]
    names = " … ".join(dict.fromkeys(ends))
    stacks = "" if len(files) == len(done) else f" in {count_text(len(files), 'file')}"
    return f"{stacks} in {shortened(f'{folder} ({names})', most=1000)}"

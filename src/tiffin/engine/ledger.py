"""The records of an export, by run, in frame order."""

from __future__ import annotations

import logging
import threading
from functools import reduce
from typing import TYPE_CHECKING

from tiffin.engine.forks import renew_in_child
from tiffin.engine.run_records import Place, RunRecords, in_frame_order
from tiffin.engine.slim_errors import slim
from tiffin.errors import FieldError
from tiffin.frames import FrameId
from tiffin.records import Record, Report, Reports, Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.records import Status

logger = logging.getLogger("tiffin")

MOST_RECORDS = 250_000
"""How many records of finished runs are kept (about 100 MB), besides the newest run."""

MOST_STRAY = 1_000
"""How many records without a known run are kept, and how many causes a run logs."""

MOST_RUNS = 20_000
"""How many finished runs keep their counts (about 10 MB)."""

NOTHING = RunRecords()
"""Used for runs without records; never changed."""


class Ledger:
    """Keeps one record for each frame, and logs each cause of failure once a run.

    Thread-safe. `progress` is called with (frames finished, frames known) after each
    change. In a dry run, frames stay planned. `keep` is how many finished runs keep
    their records; older runs have only counts. By default all keep them.
    """

    def __init__(
        self,
        progress: Callable[[int, int], object] | None = None,
        *,
        dry_run: bool = False,
        keep: int | None = None,
    ) -> None:
        self._progress = progress
        self._dry_run = dry_run
        self.keep = keep
        self.says_no_image = True
        """Whether to log that a run has no image: the line of a scan says it."""
        self._runs: dict[str, RunRecords] = {}
        # Finished or unknown runs that have all of their records.
        self._whole: dict[str, RunRecords] = {}
        self.renew_in_child()
        renew_in_child(self)
        self._groups = 0
        self._known = 0
        self.finished = 0
        """The number of frames that are written, skipped or failed."""

    def renew_in_child(self) -> None:
        """Make a new lock: a thread of the parent process may hold the old one."""
        self._lock = threading.Lock()

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs with a start document or a record, in order."""
        with self._lock:
            return tuple(run for run, of in self._runs.items() if run or of.records)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The runs with a start document or a record that have not ended."""
        with self._lock:
            return tuple(run for run, of in self._runs.items() if not of.is_over)

    @property
    def reports(self) -> Reports:
        """The reports by run uid, in order, each created when it is accessed."""
        return Reports(lambda: self.runs, self.report, self.has_run)

    def has_run(self, run: object) -> bool:
        """Return whether a run has a start document or a record."""
        return run in self._runs and (run != "" or self.has_any(""))

    def begin(self, run: str) -> None:
        """Begin a run."""
        with self._lock:
            self._runs.setdefault(run, RunRecords()).is_open = True
            self._whole.pop(run, None)

    def end(self, run: str) -> None:
        """End a run. The oldest finished runs lose their records; counts stay."""
        with self._lock:
            of = self._runs.get(run)
            if of is not None:
                of.is_open, of.is_over = False, True
                self._whole[run] = of
                self._condense()

    def is_open(self, run: str) -> bool:
        """Return whether a run has begun and not ended."""
        return self._runs.get(run, NOTHING).is_open

    def is_over(self, run: str) -> bool:
        """Return whether a run has ended."""
        return self._runs.get(run, NOTHING).is_over

    def forget(self, run: str) -> None:
        """Forget the records of a run that comes again."""
        with self._lock:
            self._whole.pop(run, None)
            if run in self._runs:
                self._known -= len(self._runs[run].records)
                self._runs[run] = RunRecords()

    def new_group(self) -> int:
        """Return the number that the places of one event and field share."""
        with self._lock:
            self._groups += 1
            return self._groups

    def put(self, place: Place, record: Record, *, if_planned: bool = False) -> bool:
        """Set the record of the frame at a place; return whether it was set.

        With `if_planned`, do this only if the frame is still planned.
        """
        error = record.error
        if error is not None:
            slim(error)
        with self._lock:
            of = self._runs.get(place[0])
            before = None if of is None else of.records.get(place)
            if if_planned and (before is None or before.status != "planned"):
                return False
            of = of or self._add(place[0])
            known = len(of.records)
            self.finished += of.put(place, record, before)
            self._known += len(of.records) - known
        if error is not None and record.status == "failed":
            self._say_failure(record, error)
        if self._progress is not None:
            if record.status == "written" and hasattr(self._progress, "nbytes"):
                self._progress.nbytes += record.nbytes
            self._call_progress(self._progress)
        return True

    def record_failure(self, error: Exception, run: str = "") -> None:
        """Record a failure that belongs to no frame."""
        record = Record(id=FrameId(run), status="failed", error=error)
        self.put((run, self.new_group(), 0), record)

    def _say_failure(self, record: Record, error: Exception) -> None:
        if self.says_no_image or not _is_no_image(record):
            self.say(record.run, error, record.field)

    def _call_progress(self, progress: Callable[[int, int], object]) -> None:
        try:
            progress(self.finished, self._known)
        except Exception:
            # An error in the user's function must not make a frame fail.
            self._progress = None
            logger.exception("progress= raised an exception, and is not called again")

    def settle(
        self,
        place: Place,
        status: Status,
        error: Exception | None = None,
        *,
        if_planned: bool = False,
    ) -> None:
        """Change the status of the record at a place."""
        record = self.at(place)._replace(status=status, error=error)
        self.put(place, record, if_planned=if_planned)

    def at(self, place: Place) -> Record:
        """Return the record at a place."""
        return self._runs[place[0]].records[place]

    def has(self, place: Place) -> bool:
        """Return whether there is a record at a place."""
        return place in self._runs.get(place[0], NOTHING).records

    def has_any(self, run: str) -> bool:
        """Return whether a run has a record."""
        return bool(self._runs.get(run, NOTHING).records)

    def is_planned(self, place: Place) -> bool:
        """Return whether the frame at a place is planned."""
        record = self._runs.get(place[0], NOTHING).records.get(place)
        return record is not None and record.status == "planned"

    def is_empty(self, run: str) -> bool:
        """Return whether no event of a run has an image, as far as is known."""
        return bool(self._runs.get(run, NOTHING).is_empty)

    def withdraw(self, place: Place) -> None:
        """Remove the record of a frame that was declared but does not exist."""
        with self._lock:
            if self.has(place):
                self._runs[place[0]].withdraw(place)
                self._known -= 1

    def left(self, run: str | None = None) -> int:
        """Count the planned frames of one run, or of all."""
        with self._lock:
            return sum(of.planned for of in self._chosen(run))

    def describe_left(self, run: str | None = None) -> str:
        """Describe the unfinished frames of one run, or of all."""
        waiting = self.waiting(run)
        of = f"run {run[:8]}: " if run else ""
        if not waiting or self._dry_run:
            return f"{of}documents are in progress"
        first = waiting[0][1]
        frames = "1 frame is" if len(waiting) == 1 else f"{len(waiting)} frames are"
        return f"{of}{frames} under way, first {first.id}, to {first.file}"

    def report(self, run: str | None = None, *, waits: int = 0) -> Report:
        """Return the report of all runs, or of one."""
        with self._lock:
            chosen = self._chosen(run)
            items = [item for of in chosen for item in of.records.items()]
            totals = [of.totals for of in chosen if of.totals is not None]
        return Report(
            tuple(in_frame_order(items)),
            waits,
            dry_run=self._dry_run,
            totals=reduce(Totals.plus, totals) if totals else None,
        )

    def written_fields(self, run: str, dtype: str) -> set[str]:
        """Return the fields of a run with written images of a dtype."""
        with self._lock:
            return {
                str(record.field)
                for of in self._chosen(run)
                for record in of.records.values()
                if record.status == "written" and record.dtype == dtype
            }

    def failed_with(self, run: str, errno: int | None) -> bool:
        """Whether no image of a run was written, and some failed with this errno."""
        with self._lock:
            records = [r for of in self._chosen(run) for r in of.records.values()]
            found = {getattr(record.error, "errno", None) for record in records}
            nothing = all(record.status != "written" for record in records)
            return errno is not None and nothing and errno in found

    def waiting(self, run: str | None = None) -> list[tuple[Place, Record]]:
        """Return the planned frames of one run, or of all."""
        with self._lock:
            return [
                (place, record)
                for of in self._chosen(run)
                for place, record in of.records.items()
                if record.status == "planned"
            ]

    def first_error(self, kinds: tuple[type[Exception], ...]) -> Exception | None:
        """Return the first error of some types, in frame order."""
        with self._lock:
            found = [
                (place[1:], record.error)
                for of in self._runs.values()
                for place, record in of.records.items()
                if record.status == "failed" and isinstance(record.error, kinds)
            ]
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def say(
        self,
        run: str,
        error: Exception,
        field: str | None = None,
        *,
        effect: str = "",
    ) -> None:
        """Log an error and its effect, unless the cause was logged for this run."""
        causes = {(field, type(error).__name__), (str(error),)}
        with self._lock:
            logged = (self._runs.get(run) or self._add(run)).logged
            is_new = not causes & logged and len(logged) < MOST_STRAY
            if is_new:
                logged |= causes
        if is_new:
            message = str(error)
            of_run = f"run {run[:8]}" if run else ""
            if effect:
                message = f"{effect}: {message}"
            if of_run and not message.startswith(of_run):
                message = f"{of_run}: {message}"
            logger.error("%s", message)

    def _chosen(self, run: str | None) -> list[RunRecords]:
        if run is None:
            return list(self._runs.values())
        return [self._runs[run]] if run in self._runs else []

    def _add(self, run: str) -> RunRecords:
        """Add a run without a start document; ``""`` is for records without a run."""
        of = self._runs[run] = RunRecords(most=None if run else MOST_STRAY)
        if run:
            self._whole[run] = of
            self._condense()
        return of

    def _condense(self) -> None:
        """Drop the records of the oldest runs until few enough are left."""
        if self.keep is None:
            return
        records = sum(len(of.records) for of in self._whole.values())
        while len(self._whole) > 1 and (
            len(self._whole) > self.keep or records > MOST_RECORDS
        ):
            of = self._whole.pop(next(iter(self._whole)))
            records -= len(of.records)
            of.condense(planned=self._dry_run)
        while len(self._runs) > MOST_RUNS + len(self._whole):
            del self._runs[next(run for run, of in self._runs.items() if of.is_over)]

    def __len__(self) -> int:
        return self._known


def _is_no_image(record: Record) -> bool:
    """Return whether a record stands for a run without any image."""
    return record.field is None and isinstance(record.error, FieldError)

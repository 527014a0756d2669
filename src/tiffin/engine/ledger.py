"""The records of an export, kept in frame order whatever order they come in."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from tiffin.engine.forks import renew_in_child
from tiffin.errors import NoImageError
from tiffin.records import Record, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.records import Kept, Status

__all__ = ["Ledger", "Place"]

logger = logging.getLogger("tiffin")

Place = tuple[int, int]
"""Where a record stands: the number of its event and field, and the index inside."""


class Ledger:
    """Keeps one record a frame, and says each cause of failure once a run.

    Safe in threads.

    Parameters
    ----------
    progress : callable, optional
        Called with (frames finished, frames known) after each change.
    record : callable, optional
        Makes records of what `plan` and `put` were given instead: nearly always another
        takes its place before anyone asks, or nobody asks.
    """

    def __init__(
        self,
        progress: Callable[[int, int], object] | None = None,
        record: Callable[[Any], Record] | None = None,
    ) -> None:
        self._progress = progress
        self._record = record
        self._records: dict[Place, Kept] = {}
        self._runs: dict[str, None] = {}
        self._without_images: dict[str, bool] = {}
        self._said: set[tuple[str | None, ...]] = set()
        self.renew_in_child()
        renew_in_child(self)
        self._groups = 0
        self.finished = 0
        """How many records say what became of their frame."""

    def renew_in_child(self) -> None:
        """Make a new lock: a thread of a forked process's parent may have held it."""
        self._lock = threading.Lock()

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that are known, or have a record, in order."""
        return tuple(self._runs)

    def note(self, run: str) -> None:
        """Know a run, before it has a record."""
        self._runs.setdefault(run)

    def new_group(self) -> int:
        """Give the first half of the places of one event and field."""
        with self._lock:
            self._groups += 1
            return self._groups

    def plan(self, place: Place, kept: Kept) -> None:
        """Keep a place for what is to be done."""
        with self._lock:
            self._records[place] = kept
            self._runs.setdefault(kept.run)
        if self._progress is not None:
            self._progress(self.finished, len(self))

    def put(self, place: Place, record: Kept) -> None:
        """Set what became of the frame at a place: a record, or what makes one."""
        with self._lock:
            self._records[place] = record
            self._runs.setdefault(record.run)
            if record.status != "planned":
                self.finished += 1
                if isinstance(record.error, NoImageError):
                    self._without_images.setdefault(record.run, True)
                else:
                    self._without_images[record.run] = False
        if record.status == "failed" and record.error is not None:
            self.say(record.run, record.error, record.field)
        if self._progress is not None:
            self._progress(self.finished, len(self))

    def settle(
        self,
        place: Place,
        status: Status,
        error: Exception | None = None,
    ) -> None:
        """Change the status of the record at a place."""
        self.put(place, replace(self.at(place), status=status, error=error))

    def at(self, place: Place) -> Record:
        """Give the record at a place."""
        return self._as_record(self._records[place])

    def has(self, place: Place) -> bool:
        """Whether there is a record at a place."""
        return place in self._records

    def forget(self, run: str) -> None:
        """Forget a run's records, and what was said of it: it comes once more."""
        with self._lock:
            self._records = {
                place: kept for place, kept in self._records.items() if kept.run != run
            }
            self._without_images.pop(run, None)
            self._said = {cause for cause in self._said if cause[0] != run}

    def is_empty(self, run: str) -> bool:
        """Whether all that is known of a run is that its events hold no image."""
        return self._without_images.get(run, False)

    def withdraw(self, place: Place) -> None:
        """Take back the record of a frame that was announced and does not exist."""
        with self._lock:
            self._records.pop(place, None)

    def report(self, run: str | None = None, *, waits: int = 0) -> Report:
        """Sum up: all records, or those of one run."""
        with self._lock:
            ordered = sorted(self._records.items(), key=itemgetter(0))
        items = [item for item in ordered if run is None or item[1].run == run]
        return Report(_in_frame_order(items), waits, record=self._record)

    def waiting(self) -> list[Kept]:
        """Give what is still to be done."""
        with self._lock:
            return [kept for kept in self._records.values() if kept.status == "planned"]

    def planned(self) -> list[Place]:
        """Give the places of what is still to be done."""
        with self._lock:
            return [
                place
                for place, kept in self._records.items()
                if kept.status == "planned"
            ]

    def first_error(self, kinds: tuple[type[Exception], ...]) -> Exception | None:
        """Give the first error, in frame order, that is one of some kinds."""
        with self._lock:
            found = [
                (place, kept.error)
                for place, kept in self._records.items()
                if kept.status == "failed" and isinstance(kept.error, kinds)
            ]
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def say(self, run: str, error: Exception, field: str | None = None) -> None:
        """Log an error, unless the same cause has been logged for this run."""
        causes = {(run, field, type(error).__name__), (run, str(error))}
        with self._lock:
            is_new = not causes & self._said
            self._said |= causes
        if is_new:
            told = str(error)
            of_run = f"run {run[:8]}" if run else ""
            if of_run and not told.startswith(of_run):
                told = f"{of_run}: {told}"
            logger.error("%s", told)

    def _as_record(self, kept: Kept) -> Record:
        if isinstance(kept, Record):
            return kept
        assert self._record is not None  # noqa: S101 (who keeps others gives it)
        return self._record(kept)

    def __len__(self) -> int:
        return len(self._records)


def _in_frame_order(items: list[tuple[Place, Kept]]) -> list[Kept]:
    """Bring the events of a run, stream and field into order, in their places.

    Those that had to wait for a document came later than they were taken. The images of
    an event stay together: it may hold more than there were numbers for.
    """
    places: dict[tuple[str, str | None, str | None], list[int]] = {}
    for n, (_, kept) in enumerate(items):
        if kept.number is not None:
            places.setdefault((kept.run, kept.stream, kept.field), []).append(n)
    records = [kept for _, kept in items]
    for indices in places.values():
        events: dict[int, list[Kept]] = {}
        for n in indices:
            (event, _), kept = items[n]
            events.setdefault(event, []).append(kept)
        ordered = sorted(events.values(), key=lambda of: cast("int", of[0].number))
        for n, kept in zip(indices, chain.from_iterable(ordered), strict=True):
            records[n] = kept
    return records

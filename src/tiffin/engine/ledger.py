"""The records of an export, by run, in frame order whatever order they come in."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from tiffin.engine.book import Book, Place, in_frame_order
from tiffin.engine.forks import renew_in_child
from tiffin.engine.lean import lean
from tiffin.records import Record, Report, Totals

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.records import Kept, Status

__all__ = ["Ledger", "Place"]

logger = logging.getLogger("tiffin")

MOST_RECORDS = 250_000
"""Records of runs that are over, some 100 MB; the newest run stays whole all the same.
"""

MOST_STRAY = 1_000
"""Records of what belongs to no run that is known, and causes of failure of one run."""

MOST_RUNS = 20_000
"""Runs that are over and of which the counts stay, some 10 MB."""


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
    dry_run : bool
        Whether what is planned stays so.
    keep : int, optional
        Of how many runs that are over the records stay, of the others there are counts;
        of all without it.
    """

    def __init__(
        self,
        progress: Callable[[int, int], object] | None = None,
        record: Callable[[Any], Record] | None = None,
        *,
        dry_run: bool = False,
        keep: int | None = None,
    ) -> None:
        self._progress = progress
        self._record = record
        self._dry_run = dry_run
        self.keep = keep
        self._books: dict[str, Book] = {}
        # Those with all of their records, of runs that are over or never began.
        self._whole: dict[str, Book] = {}
        self.renew_in_child()
        renew_in_child(self)
        self._groups = 0
        self._known = 0
        self.finished = 0
        """How many records say what became of their frame."""

    def renew_in_child(self) -> None:
        """Make a new lock: a thread of a forked process's parent may have held it."""
        self._lock = threading.Lock()

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that are known, or have a record, in order."""
        with self._lock:
            return tuple(run for run, b in self._books.items() if run or b.records)

    def knows(self, run: object) -> bool:
        """Whether a run is known, or has a record."""
        return run in self._books and (run != "" or self.has_any(""))

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The runs that are known, or have a record, and have not ended."""
        with self._lock:
            return tuple(run for run, book in self._books.items() if not book.is_over)

    def begin(self, run: str) -> None:
        """Know a run, before it has a record."""
        with self._lock:
            self._books.setdefault(run, Book()).is_open = True
            self._whole.pop(run, None)

    def end(self, run: str) -> None:
        """End a run; of the oldest ones counts take the place of the records."""
        with self._lock:
            book = self._books.get(run)
            if book is not None:
                book.is_open, book.is_over = False, True
                self._whole[run] = book
                self._condense()

    def is_open(self, run: str) -> bool:
        """Whether a run has begun and not ended."""
        book = self._books.get(run)
        return book is not None and book.is_open

    def is_over(self, run: str) -> bool:
        """Whether a run has ended."""
        book = self._books.get(run)
        return book is not None and book.is_over

    def forget(self, run: str) -> None:
        """Forget a run's records, and what was said of it: it comes once more."""
        with self._lock:
            self._whole.pop(run, None)
            if run in self._books:
                self._known -= len(self._books[run].records)
                self._books[run] = Book()

    def new_group(self) -> int:
        """Return what the places of one event and field have in common."""
        with self._lock:
            self._groups += 1
            return self._groups

    def put(self, place: Place, record: Kept, *, if_planned: bool = False) -> bool:
        """Set what became of the frame at a place, or is to be done.

        Parameters
        ----------
        place : Place
        record : Record, or what makes one
        if_planned : bool
            Do so only while the frame is still to be done.

        Returns
        -------
        bool
            Whether it was set.
        """
        error = record.error
        if error is not None:
            lean(error)
        with self._lock:
            if if_planned and not self.is_planned(place):
                return False
            book = self._books.get(place[0]) or self._new_book(place[0])
            known = len(book.records)
            self.finished += book.put(place, record)
            self._known += len(book.records) - known
        if error is not None and record.status == "failed":
            self.say(record.run, error, record.field)
        if self._progress is not None:
            self._tell_progress(self._progress)
        return True

    def _tell_progress(self, progress: Callable[[int, int], object]) -> None:
        try:
            progress(self.finished, self._known)
        except Exception:
            # Somebody else's: it is to cost no frame, and is not called again.
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
        record = replace(self.at(place), status=status, error=error)
        self.put(place, record, if_planned=if_planned)

    def at(self, place: Place) -> Record:
        """Return the record at a place."""
        return self._as_record(self._books[place[0]].records[place])

    def has(self, place: Place) -> bool:
        """Whether there is a record at a place."""
        book = self._books.get(place[0])
        return book is not None and place in book.records

    def has_any(self, run: str) -> bool:
        """Whether a run has a record."""
        book = self._books.get(run)
        return book is not None and bool(book.records)

    def is_planned(self, place: Place) -> bool:
        """Whether the frame at a place is still to be done."""
        book = self._books.get(place[0])
        kept = None if book is None else book.records.get(place)
        return kept is not None and kept.status == "planned"

    def is_empty(self, run: str) -> bool:
        """Whether all that is known of a run is that its events hold no image."""
        book = self._books.get(run)
        return book is not None and bool(book.is_empty)

    def withdraw(self, place: Place) -> None:
        """Take back the record of a frame that was announced and does not exist."""
        with self._lock:
            if self.has(place):
                self._books[place[0]].withdraw(place)
                self._known -= 1

    def left(self, run: str | None = None) -> int:
        """Count the frames that are still to be done: of all runs, or of one."""
        with self._lock:
            return sum(book.planned for book in self._books_of(run))

    def report(self, run: str | None = None, *, waits: int = 0) -> Report:
        """Sum up: all records, or those of one run."""
        with self._lock:
            books = self._books_of(run)
            items = [item for book in books for item in book.records.items()]
            totals = [book.totals for book in books if book.totals is not None]
        return Report(
            in_frame_order(items),
            waits,
            record=self._record,
            dry_run=self._dry_run,
            totals=reduce(Totals.plus, totals) if totals else None,
        )

    def waiting(self, run: str | None = None) -> list[tuple[Place, Kept]]:
        """Return what is still to be done: of all runs, or of one."""
        with self._lock:
            return [
                (place, kept)
                for book in self._books_of(run)
                for place, kept in book.records.items()
                if kept.status == "planned"
            ]

    def first_error(self, kinds: tuple[type[Exception], ...]) -> Exception | None:
        """Return the first error, in frame order, that is one of some kinds."""
        with self._lock:
            found = [
                (place[1:], kept.error)
                for book in self._books.values()
                for place, kept in book.records.items()
                if kept.status == "failed" and isinstance(kept.error, kinds)
            ]
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def say(self, run: str, error: Exception, field: str | None = None) -> None:
        """Log an error, unless the same cause has been logged for this run."""
        causes = {(field, type(error).__name__), (str(error),)}
        with self._lock:
            said = (self._books.get(run) or self._new_book(run)).said
            is_new = not causes & said and len(said) < MOST_STRAY
            if is_new:
                said |= causes
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

    def _books_of(self, run: str | None) -> list[Book]:
        if run is None:
            return list(self._books.values())
        return [self._books[run]] if run in self._books else []

    def _new_book(self, run: str) -> Book:
        """Begin a book for a run that did not say so, or for what belongs to none."""
        book = self._books[run] = Book(most=None if run else MOST_STRAY)
        if run:
            self._whole[run] = book
            self._condense()
        return book

    def _condense(self) -> None:
        """Let go of records, the oldest run's first, until what is left is allowed."""
        if self.keep is None:
            return
        records = sum(len(book.records) for book in self._whole.values())
        while len(self._whole) > 1 and (
            len(self._whole) > self.keep or records > MOST_RECORDS
        ):
            book = self._whole.pop(next(iter(self._whole)))
            records -= len(book.records)
            book.condense(planned=self._dry_run)
        while len(self._books) > MOST_RUNS + len(self._whole):
            del self._books[next(r for r, book in self._books.items() if book.is_over)]

    def __len__(self) -> int:
        return self._known

"""The records of one run."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, cast

from tiffin.errors import NoImageError
from tiffin.records import Totals

if TYPE_CHECKING:
    from tiffin.records import Kept

__all__ = ["Book", "Place", "in_frame_order"]

Place = tuple[str, int, int]
"""Where a record stands: its run, the number of its event and field, and the index
inside."""


class Book:
    """Keeps one record a frame of a run. Not for two threads at a time.

    Parameters
    ----------
    most : int, optional
        How many records stay; of older ones there are counts.

    Attributes
    ----------
    records : dict
        Place → record, or what makes one.
    planned : int
        How many frames are still to be done.
    totals : Totals or None
        What there was besides the records; None if these are all.
    is_open, is_over : bool
        Whether the run goes on; whether it has ended.
    is_empty : bool or None
        Whether all that is known of the run is that its events hold no image; None
        where nothing is known.
    said : set
        The causes of failure that were logged.
    """

    __slots__ = (
        "_most",
        "is_empty",
        "is_open",
        "is_over",
        "planned",
        "records",
        "said",
        "totals",
    )

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.records: dict[Place, Kept] = {}
        self.planned = 0
        self.totals: Totals | None = None
        self.is_open = self.is_over = False
        self.is_empty: bool | None = None
        self.said: set[tuple[str | None, ...]] = set()

    def put(self, place: Place, kept: Kept) -> int:
        """Set what became of the frame at a place; tell how many more are finished."""
        before = self.records.get(place)
        was_planned = before is not None and before.status == "planned"
        self.records[place] = kept
        if kept.status == "planned":
            self.planned += not was_planned
            return 0
        self.planned -= was_planned
        if not isinstance(kept.error, NoImageError):
            self.is_empty = False
        elif self.is_empty is None:
            self.is_empty = True
        if self._most is not None and len(self.records) > 2 * self._most:
            self.condense(self._most)
        return 1 if before is None or was_planned else 0

    def withdraw(self, place: Place) -> None:
        """Take back a record."""
        if self.records.pop(place).status == "planned":
            self.planned -= 1

    def condense(self, most: int = 0, *, planned: bool = False) -> None:
        """Let counts take the place of records, the oldest first.

        Parameters
        ----------
        most : int
            How many records stay.
        planned : bool
            Whether this may be done to what is planned.
        """
        oldest = [*islice(self.records, len(self.records) - most)]
        if not planned:
            oldest = [p for p in oldest if self.records[p].status != "planned"]
        gone = Totals.of(self.records.pop(place) for place in oldest)
        self.totals = gone if self.totals is None else gone.plus(self.totals)
        if not self.records:
            self.records, self.said = {}, set()  # smaller than emptied ones


def in_frame_order(items: list[tuple[Place, Kept]]) -> list[Kept]:
    """Bring the events of a run, stream and field into order, in their places.

    Those that had to wait for a document came later than they were taken. The images of
    an event stay together: it may hold more than there were numbers for.
    """
    items = sorted(items, key=lambda item: item[0][1:])  # runs may be interleaved
    places: dict[tuple[str, str | None, str | None], list[int]] = {}
    for n, (_, kept) in enumerate(items):
        if kept.number is not None:
            places.setdefault((kept.run, kept.stream, kept.field), []).append(n)
    records = [kept for _, kept in items]
    for indices in places.values():
        numbers = [cast("int", records[n].number) for n in indices]
        if numbers == sorted(numbers):
            continue  # as nearly always
        events: dict[int, list[Kept]] = {}
        for n in indices:
            (_, event, _), kept = items[n]
            events.setdefault(event, []).append(kept)
        ordered = sorted(events.values(), key=lambda of: cast("int", of[0].number))
        for n, kept in zip(indices, chain.from_iterable(ordered), strict=True):
            records[n] = kept
    return records

"""The records of one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

from tiffin.errors import NoImageError
from tiffin.records import Totals

if TYPE_CHECKING:
    from tiffin.records import Record

Place = tuple[str, int, int]
"""The place of a record: run, number of the group (the frames of one event and field),
and index in the group. Sorted places are in the order in which frames were taken."""


@dataclass(slots=True, eq=False)
class RunRecords:
    """The records of a run, one for each frame. Not thread-safe."""

    most: int | None = None
    """How many records are kept; older ones are only counted. None: all."""
    records: dict[Place, Record] = field(default_factory=dict)
    planned: int = 0
    """The number of planned frames."""
    totals: Totals | None = None
    """Counts of frames without a record; None if all frames have one."""
    is_open: bool = False
    is_over: bool = False
    is_empty: bool | None = None
    """Whether no event so far has an image; None without events."""
    logged: set[tuple[str | None, ...]] = field(default_factory=set)
    """The causes of failure that were logged."""

    def put(self, place: Place, record: Record, before: Record | None) -> int:
        """Set the record at a place; return how many more frames are finished.

        `before` is the record that it has.
        """
        was_planned = before is not None and before.status == "planned"
        self.records[place] = record
        if record.status == "planned":
            self.planned += not was_planned
            return 0
        self.planned -= was_planned
        if not isinstance(record.error, NoImageError):
            self.is_empty = False
        elif self.is_empty is None:
            self.is_empty = True
        if self.most is not None and len(self.records) > 2 * self.most:
            self.condense(self.most)
        return 1 if before is None or was_planned else 0

    def withdraw(self, place: Place) -> None:
        """Remove a record."""
        if self.records.pop(place).status == "planned":
            self.planned -= 1

    def condense(self, most: int = 0, *, planned: bool = False) -> None:
        """Replace records by counts, the oldest first, until `most` are left.

        Records of planned frames are replaced only if `planned` is true.
        """
        oldest = [*islice(self.records, len(self.records) - most)]
        if not planned:
            oldest = [p for p in oldest if self.records[p].status != "planned"]
        gone = Totals.of(self.records.pop(place) for place in oldest)
        self.totals = gone if self.totals is None else gone.plus(self.totals)
        if not self.records:
            self.records, self.logged = {}, set()  # smaller than emptied ones


def in_frame_order(items: list[tuple[Place, Record]]) -> list[Record]:
    """Sort records by their places, and events by their numbers.

    An event that waits for a document comes later than it was taken. The images of an
    event stay together, because it may have more images than declared.
    """
    items = sorted(items, key=lambda item: item[0][1:])  # runs may be interleaved
    of_field: dict[tuple[str | None, ...], list[int]] = {}
    for n, (_, record) in enumerate(items):
        if record.number is not None:
            of_field.setdefault(record.id[:3], []).append(n)
    records = [record for _, record in items]
    for indices in of_field.values():
        numbers: list[Any] = [records[n].number for n in indices]
        if numbers == sorted(numbers):
            continue  # the usual case
        events: dict[int, list[Record]] = {}
        for n in indices:
            (_, group, _), record = items[n]
            events.setdefault(group, []).append(record)
        ordered = sorted(events.values(), key=lambda of: cast("int", of[0].number))
        for n, record in zip(indices, chain.from_iterable(ordered), strict=True):
            records[n] = record
    return records

"""What became of each frame, and the sum of it.

A `Record` is one frame's line: written, skipped, failed or planned. A `Report` is all
of them in frame order. Nothing is lost silently: every frame seen has its record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np

__all__ = ["Kept", "Record", "Report", "Reports", "Status", "Totals"]

Status = Literal["written", "skipped", "failed", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one frame.

    Attributes
    ----------
    status : {"written", "skipped", "failed", "planned"}
    path : pathlib.Path or None
        Absolute; None where no name could be made.
    run : str
        The run's uid.
    stream, field : str or None
    seq_num : int or None
        The event's number in its stream, from 1.
    i : int or None
        The frame's index inside its event, from 0.
    number : int or None
        The frame's running number inside its run, stream and field, from 0.
    shape : tuple of int or None
        (rows, columns) of the frame as written; as announced where it was not read.
    dtype : numpy.dtype or None
        As written; as announced where the frame was not read.
    error : Exception or None
        Why it failed or was skipped; ``str(error)`` is the reason in a sentence.
    event : str or None
        The uid of the event document, where there is one.
    kind : {"light", "dark", "sub"} or None
        What the image is, where a dark is subtracted.
    clipped : int
        Pixels whose value the corrections could not keep, and replaced as asked.
    """

    status: Status
    path: Path | None
    run: str
    stream: str | None = None
    field: str | None = None
    seq_num: int | None = None
    i: int | None = None
    number: int | None = None
    shape: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    error: Exception | None = None
    event: str | None = None
    kind: str | None = None
    clipped: int = 0


class Kept(Protocol):
    """A `Record`, or what makes one and tells this much of it at once."""

    @property
    def status(self) -> Status:
        """What became of the frame."""
        ...

    @property
    def run(self) -> str:
        """The run's uid."""
        ...

    @property
    def stream(self) -> str | None:
        """The frame's stream."""
        ...

    @property
    def field(self) -> str | None:
        """The frame's field."""
        ...

    @property
    def number(self) -> int | None:
        """The frame's running number inside run, stream and field."""
        ...

    @property
    def error(self) -> Exception | None:
        """Why it failed or was skipped."""
        ...

    @property
    def clipped(self) -> int:
        """Pixels whose value could not be kept."""
        ...


class Totals(NamedTuple):
    """How many frames there were of each status, and how many pixels were replaced."""

    written: int = 0
    skipped: int = 0
    failed: int = 0
    planned: int = 0
    clipped: int = 0

    @classmethod
    def of(cls, records: Iterable[Kept]) -> Totals:
        """Count records."""
        some = list(records)
        counts: Counter[str] = Counter(kept.status for kept in some)
        return cls(clipped=sum(kept.clipped for kept in some), **dict(counts))

    def plus(self, other: Totals) -> Totals:
        """Add others."""
        return Totals(*map(sum, zip(self, other, strict=True)))


class Report:
    """All records of an export, in frame order.

    Parameters
    ----------
    records : iterable of Record
    waits : int
        How often the export had to wait because what it held reached its budget.
    record : callable, optional
        Makes records of what was given instead of them, once anyone asks: most exports
        are ok, and nobody does.
    dry_run : bool
        Whether nothing was to be written, so that what is planned stays so.
    totals : Totals, optional
        Of frames whose records are no longer there: an exporter keeps those of its
        newest runs (`keep_reports`). They count, and have no `Record`.

    Attributes
    ----------
    waits : int
    dry_run : bool

    Examples
    --------
    >>> report = Report((Record(status="failed", path=None, run="7f3a"),))
    >>> report.ok, str(report)
    (False, '0 written, 0 skipped, 1 failed')
    """

    __slots__ = ("_kept", "_record", "_totals", "dry_run", "waits")

    def __init__(
        self,
        records: Iterable[Kept] = (),
        waits: int = 0,
        *,
        record: Callable[[Any], Record] | None = None,
        dry_run: bool = False,
        totals: Totals | None = None,
    ) -> None:
        self._kept: tuple[Kept, ...] = tuple(records)
        self._record = record
        self._totals = totals
        self.dry_run = dry_run
        self.waits = waits

    @property
    def records(self) -> tuple[Record, ...]:
        """One a frame, in frame order."""
        make = self._record
        if make is not None:
            self._kept = tuple(
                kept if isinstance(kept, Record) else make(kept) for kept in self._kept
            )
            self._record = None  # last: another thread may be asking too
        return cast("tuple[Record, ...]", self._kept)

    @property
    def written(self) -> tuple[Record, ...]:
        """The records of the frames that are on disk because of this export."""
        return self._with("written")

    @property
    def skipped(self) -> tuple[Record, ...]:
        """The records of the frames left alone: there already, or nothing in them."""
        return self._with("skipped")

    @property
    def failed(self) -> tuple[Record, ...]:
        """The records of the frames that could not be exported, each with its error."""
        return self._with("failed")

    @property
    def planned(self) -> tuple[Record, ...]:
        """The records of a dry run, or of frames that are still under way."""
        return self._with("planned")

    @property
    def ok(self) -> bool:
        """Whether something was seen, nothing failed, and nothing is under way."""
        counts = self.counts()
        if counts.get("failed") or (counts.get("planned") and not self.dry_run):
            return False
        return any(counts.values())

    @property
    def is_whole(self) -> bool:
        """Whether every frame that counts has its record here."""
        return self._totals is None

    @property
    def clipped(self) -> int:
        """How many pixels were replaced, because their value could not be kept."""
        before = 0 if self._totals is None else self._totals.clipped
        return before + sum(kept.clipped for kept in self._kept)

    def counts(self) -> Mapping[str, int]:
        """How many frames there are of each status."""
        counts: Counter[str] = Counter(kept.status for kept in self._kept)
        if self._totals is not None:
            before = self._totals._asdict()
            counts.update({status: before[status] for status in get_args(Status)})
        return counts

    def _with(self, status: Status) -> tuple[Record, ...]:
        if not self.counts().get(status):
            return ()
        return tuple(record for record in self.records if record.status == status)

    def _all(self) -> tuple[Any, ...]:
        return self.records, self.waits, self.dry_run, self._totals

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        return self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the records to another process, however they were to be made."""
        make = partial(Report, dry_run=self.dry_run, totals=self._totals)
        return make, (self.records, self.waits)

    def __repr__(self) -> str:
        return f"<Report: {self}>"

    def __str__(self) -> str:
        counts = self.counts()
        shown = ["written", "skipped", "failed"]
        planned = counts.get("planned")
        if planned and self.dry_run:
            shown[0] = "planned"
        told = ", ".join(f"{counts.get(status, 0)} {status}" for status in shown)
        if planned and not self.dry_run:
            told += f", {planned} under way"
        return told if self.is_whole else f"{told} (the records are gone)"


class Reports(Mapping[str, Report]):
    """Run uid → `Report`, each made when it is asked for.

    Parameters
    ----------
    runs : callable
        Gives the uids.
    report : callable
        Gives the report of a uid.
    knows : callable
        Tells whether there is a report of a uid.
    """

    def __init__(
        self,
        runs: Callable[[], tuple[str, ...]],
        report: Callable[[str], Report],
        knows: Callable[[object], bool],
    ) -> None:
        self._runs = runs
        self._report = report
        self._knows = knows

    def __getitem__(self, run: str) -> Report:
        if run not in self:
            raise KeyError(run)
        return self._report(run)

    def __contains__(self, run: object) -> bool:
        return self._knows(run)

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs())

    def __len__(self) -> int:
        return len(self._runs())

    def __repr__(self) -> str:
        return repr(dict(self))

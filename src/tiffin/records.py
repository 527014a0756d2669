"""What became of each frame, and the sum of it.

A `Record` is one frame's line: written, skipped, failed or planned. A `Report` is all
of them in frame order. Nothing is lost silently: every frame seen has its record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

__all__ = ["Record", "Report", "Status"]

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
    shape: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    error: Exception | None = None
    event: str | None = None
    kind: str | None = None
    clipped: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """All records of an export, in frame order.

    Attributes
    ----------
    records : tuple of Record
    waits : int
        How often the export had to wait because what it held reached its budget.

    Examples
    --------
    >>> report = Report((Record(status="failed", path=None, run="7f3a"),))
    >>> report.ok, str(report)
    (False, '0 written, 0 skipped, 1 failed')
    """

    records: tuple[Record, ...] = field(default=())
    waits: int = 0

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
        """The records of a dry run."""
        return self._with("planned")

    @property
    def ok(self) -> bool:
        """Whether something was seen, and nothing failed."""
        return bool(self.records) and not self.failed

    @property
    def clipped(self) -> int:
        """How many pixels were replaced, because their value could not be kept."""
        return sum(record.clipped for record in self.records)

    def counts(self) -> Mapping[str, int]:
        """How many records there are of each status."""
        return Counter(record.status for record in self.records)

    def _with(self, status: Status) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.status == status)

    def __str__(self) -> str:
        counts = self.counts()
        shown = ["written", "skipped", "failed"]
        if counts.get("planned"):
            shown = ["planned", "skipped", "failed"]
        return ", ".join(f"{counts.get(status, 0)} {status}" for status in shown)

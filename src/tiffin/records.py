"""The results of an export.

A `Record` says whether one frame was written, skipped, failed or planned. A `Report`
has the records of all frames, in frame order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from tiffin.display import count_text, record_html, report_html, shortened
from tiffin.errors import MissingLibraryError
from tiffin.frames import FrameId, Identified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.frames import Frame

__all__ = ["Record", "Report", "Reports", "Status", "Totals"]

Status = Literal["written", "skipped", "failed", "planned"]


class _Record(NamedTuple):
    id: FrameId
    status: Status
    file: str | None = None
    number: int | None = None
    shape: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    error: Exception | None = None
    event: str | None = None
    kind: str | None = None
    clipped: int = 0
    page: int = 0


class Record(_Record, Identified):
    """The result for one frame.

    Attributes
    ----------
    id : FrameId
        Which frame: its `run`, `stream`, `field`, `seq_num` and `i`, which are also
        attributes of the record.
    status : {"written", "skipped", "failed", "planned"}
    file : str or None
        The absolute path as a string; `path` is the same as a `pathlib.Path`. None if
        the frame has no name.
    number : int or None
        The running number of the frame in its run, stream and field, from 0.
    shape : tuple of int or None
        (rows, columns) of the frame as written. If it was not read, the shape in the
        descriptor.
    dtype : numpy.dtype or None
        The dtype as written. If the frame was not read, the dtype in the descriptor.
    error : Exception or None
        Why the frame failed or was skipped; ``str(error)`` is the reason in a sentence.
    event : str or None
        The uid of the event document, if there is one.
    kind : {"light", "dark", "sub", "sidecar"} or None
        What the image shows, if a dark is subtracted; or that it is not an image, but a
        file beside the images.
    clipped : int
        The number of pixels that corrections clipped or replaced.
    page : int
        The index of the frame in its file, from 0.
    """

    __slots__ = ()

    @classmethod
    def of(
        cls,
        frame: Frame,
        status: Status,
        file: str | None = None,
        error: Exception | None = None,
        *,
        image: np.ndarray | Encoded | None = None,
        clipped: int = 0,
    ) -> Record:
        """Return the record of a frame, with shape and dtype of `image` as written.

        Without `image`, they are those in the descriptor.
        """
        if image is None:
            shape, dtype = frame.shape, frame.dtype
        else:
            shape, dtype = image.shape, image.dtype
            dtype = dtype if dtype.isnative else dtype.newbyteorder("=")
        event = frame.event.get("uid")
        return cls(
            frame.id,
            status,
            file,
            frame.number,
            shape,
            dtype,
            error,
            event,
            frame.kind,
            clipped,
        )

    def __repr__(self) -> str:
        parts: list[str] = [self.status]
        parts.append(f"run {self.run[:8]}" if self.seq_num is None else str(self.id))
        if self.shape is not None:
            parts.append(f"{self.dtype or ''} {list(self.shape)}".strip())
        if self.file is not None:
            parts.append(self.file)
        text = ", ".join(map(shortened, parts))
        error = "" if self.error is None else f": {shortened(str(self.error))}"
        return f"<Record: {text}{error}>"

    def _repr_html_(self) -> str:
        return record_html(self)

    @property
    def path(self) -> Path | None:
        """The absolute path; None if the frame has no name."""
        return None if self.file is None else Path(self.file)

    @property
    def nbytes(self) -> int:
        """The size of the pixels, uncompressed; 0 if it is not known [bytes]."""
        if self.shape is None or self.dtype is None:
            return 0
        return math.prod(self.shape) * self.dtype.itemsize


class Totals(NamedTuple):
    """The number of frames of each status, and of clipped pixels."""

    written: int = 0
    skipped: int = 0
    failed: int = 0
    planned: int = 0
    clipped: int = 0

    @classmethod
    def of(cls, records: Iterable[Record]) -> Totals:
        """Count records."""
        some = list(records)
        counts: Counter[str] = Counter(record.status for record in some)
        return cls(clipped=sum(record.clipped for record in some), **dict(counts))

    def plus(self, other: Totals) -> Totals:
        """Return the sum of both."""
        return Totals(*map(sum, zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """All records of an export, in frame order.

    Attributes
    ----------
    records : tuple of Record
        One for each frame, in frame order.
    waits : int
        How often the export waited because the memory limit was reached.
    dry_run : bool
        Whether nothing is written, so that frames stay planned.
    totals : Totals or None
        Counts of frames without records: an exporter keeps the records of its newest
        runs only (`keep_reports`).

    Examples
    --------
    >>> from tiffin.frames import FrameId
    >>> report = Report((Record(id=FrameId("7f3a"), status="failed"),))
    >>> report.ok, str(report)
    (False, '0 written, 0 skipped, 1 failed')
    """

    records: tuple[Record, ...] = ()
    waits: int = 0
    dry_run: bool = field(default=False, kw_only=True)
    totals: Totals | None = field(default=None, kw_only=True)

    @property
    def written(self) -> tuple[Record, ...]:
        """The records of the frames that this export wrote."""
        return self._with("written")

    @property
    def skipped(self) -> tuple[Record, ...]:
        """The records of skipped frames: the file exists, or there is no image."""
        return self._with("skipped")

    @property
    def failed(self) -> tuple[Record, ...]:
        """The records of the frames that failed, each with its error."""
        return self._with("failed")

    @property
    def planned(self) -> tuple[Record, ...]:
        """The records of a dry run, or of unfinished frames."""
        return self._with("planned")

    @property
    def ok(self) -> bool:
        """Whether there was at least one frame, none failed, and all are finished."""
        counts = self.counts()
        if counts.get("failed") or (counts.get("planned") and not self.dry_run):
            return False
        return any(counts.values())

    @property
    def is_whole(self) -> bool:
        """Whether the report still has the records of all frames."""
        return self.totals is None

    @property
    def clipped(self) -> int:
        """The number of pixels that corrections clipped or replaced."""
        before = 0 if self.totals is None else self.totals.clipped
        return before + sum(record.clipped for record in self.records)

    def counts(self) -> Mapping[str, int]:
        """Return the number of frames of each status."""
        counts: Counter[str] = Counter(record.status for record in self.records)
        if self.totals is not None:
            before = self.totals._asdict()
            counts.update({status: before[status] for status in get_args(Status)})
        return counts

    def to_dataframe(self) -> Any:
        """Return the records as a pandas DataFrame, one row for each frame.

        Raises
        ------
        MissingLibraryError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            message = f"a DataFrame needs pandas: pip install pandas ({error})"
            raise MissingLibraryError(message) from error
        columns = (*FrameId._fields, *Record._fields[1:])
        rows = [(*record.id, *record[1:]) for record in self.records]
        return pd.DataFrame.from_records(rows, columns=columns)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __bool__(self) -> bool:
        return True  # a report without records is a report: `ok` tells how it went

    def _with(self, status: Status) -> tuple[Record, ...]:
        if not self.counts().get(status):
            return ()
        return tuple(record for record in self.records if record.status == status)

    def __repr__(self) -> str:
        return f"<Report: {self}>"

    def _repr_html_(self) -> str:
        return report_html(self)

    def __str__(self) -> str:
        counts = self.counts()
        shown = ["written", "skipped", "failed"]
        planned = counts.get("planned")
        if planned and self.dry_run:
            shown[0] = "planned"
        text = ", ".join(f"{counts.get(status, 0)} {status}" for status in shown)
        if planned and not self.dry_run:
            text += f", {planned} under way"
        return text if self.is_whole else f"{text} (without records)"


class Reports(Mapping[str, Report]):
    """Reports by run uid, each created when it is accessed.

    `runs` returns the uids, `report` the report of one, `knows` whether there is one.
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
            message = (
                f"no report of run {run!r}: reports are found by the uid of their run, "
                f"as RE(...) returns it; exporter.last is that of the newest run"
            )
            raise KeyError(message)
        return self._report(run)

    def __contains__(self, run: object) -> bool:
        return self._knows(run)

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs())

    def __len__(self) -> int:
        return len(self._runs())

    def __repr__(self) -> str:
        runs = list(self)
        if not runs:
            return "<Reports: no run>"
        count = count_text(len(runs), "run")
        return f"<Reports: {count}, the last {runs[-1][:8]}: {self[runs[-1]]}>"

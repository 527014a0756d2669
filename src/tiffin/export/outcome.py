"""What becomes of a frame: it is named, then written, or why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tiffin.records import Record

if TYPE_CHECKING:
    import numpy as np

    from tiffin.engine.ledger import Place
    from tiffin.export.content import Content
    from tiffin.frames import Frame
    from tiffin.records import Status

__all__ = ["Named", "Outcome", "record_of"]


class _Named(NamedTuple):
    frame: Frame
    place: Place
    name: str | None


class Named(_Named):
    """A frame with its place in the ledger, and the name to write it to, if it may be.

    Attributes
    ----------
    frame : Frame
    place : (int, int)
    name : str or None
        Relative to the root. None where the frame's record says already why nothing is
        to be written.
    status, error, clipped
        As those of a `Record`: it is still to be written.
    """

    __slots__ = ()

    status: Status = "planned"
    error: Exception | None = None
    clipped: int = 0

    @property
    def run(self) -> str:
        """The run's uid."""
        return self.frame.run

    @property
    def stream(self) -> str | None:
        """The frame's stream."""
        return self.frame.stream

    @property
    def field(self) -> str | None:
        """The frame's field."""
        return self.frame.field

    @property
    def number(self) -> int | None:
        """The frame's running number."""
        return self.frame.number


class Outcome(NamedTuple):
    """The record of a file that was written, before anyone asks for it.

    Its `path` is a str, the rest is a `Record`'s. It lets go of the frame's documents.
    """

    path: str
    run: str
    stream: str | None
    field: str | None
    seq_num: int | None
    i: int | None
    number: int | None
    shape: tuple[int, ...]
    dtype: np.dtype
    event: str | None
    kind: str | None
    clipped: int
    status: Status = "written"
    error: Exception | None = None

    @classmethod
    def of(cls, frame: Frame, path: str, content: Content, clipped: int = 0) -> Outcome:
        """Tell of a frame whose file has been written."""
        return cls(
            path,
            frame.run,
            frame.stream,
            frame.field,
            frame.seq_num,
            frame.i,
            frame.number,
            content.shape,
            content.dtype,
            frame.event.get("uid"),
            frame.kind,
            clipped,
        )

    def record(self) -> Record:
        """Make the record."""
        return Record(**{**self._asdict(), "path": Path(self.path)})


def record_of(
    frame: Frame,
    status: Status,
    *,
    path: Path | None = None,
    error: Exception | None = None,
    written: Content | None = None,
    clipped: int = 0,
) -> Record:
    """Begin a record with what the frame tells of itself.

    Parameters
    ----------
    frame : Frame
    status : {"written", "skipped", "failed", "planned"}
    path : pathlib.Path, optional
    error : Exception, optional
    written : Content, optional
        What was written, whose shape and dtype then count.
    clipped : int
        Pixels whose value could not be kept.
    """
    shape, dtype = frame.shape, frame.dtype
    if written is not None:
        shape, dtype = written.shape, written.dtype
    return Record(
        status=status,
        path=path,
        run=frame.run,
        stream=frame.stream,
        field=frame.field,
        seq_num=frame.seq_num,
        i=frame.i,
        number=frame.number,
        shape=shape,
        dtype=dtype,
        error=error,
        event=frame.event.get("uid"),
        kind=frame.kind,
        clipped=clipped,
    )

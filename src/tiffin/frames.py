"""One image of a run, before anyone has read it.

A `Frame` says who the image is and in what context it was taken, and can `read` its
pixels later. The frames of one event and field share one `Pixels`, so that what holds
them is opened once.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from tiffin.array_images import Images, images_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.axes import Hints

__all__ = [
    "Frame",
    "FrameId",
    "Pixels",
]


class Pixels(Protocol):
    """Where the images of one event and field come from.

    Attributes
    ----------
    shape : tuple of int or None
        The shape of the whole array as announced, with the axes that count images
        first: (..., rows, columns), samples behind them if they are announced.
    dtype : numpy.dtype or None
        As announced.
    held : int
        Bytes of memory that waiting for these pixels costs [bytes].
    hints : Hints
        What is known of the array's axes.
    """

    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    held: int
    hints: Hints

    def open(self) -> Any:
        """Return the whole array, or something that can be sliced like it.

        Returns
        -------
        array-like, shape (..., rows, columns) [counts]
        """
        ...


class FrameId(NamedTuple):
    """Which image of which run.

    A point that a plan takes again, and the light and dark images of an event, have the
    same one.

    Attributes
    ----------
    run : str
        The uid of the run; ``""`` where it is not known.
    stream, field : str or None
        None where a whole run has none.
    seq_num : int or None
        The number of the event in its stream, from 1.
    i : int or None
        The index inside the event: all leading axes in C order, from 0.
    """

    run: str
    stream: str | None = None
    field: str | None = None
    seq_num: int | None = None
    i: int | None = None

    def __str__(self) -> str:
        return f"event {self.seq_num}, field {self.field!r}, image {self.i}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Identity and context of one 2-D image.

    Attributes
    ----------
    id : FrameId
        Which image it is; `run`, `stream`, `field`, `seq_num` and `i` are its parts.
    number : int or None
        Running number inside run, stream and field, from 0.
    start, descriptor, event : mapping
        The documents, to be read only. `event` is empty where there is none.
    baseline : mapping
        The data of the first baseline event of the run; empty where there is none.
    stop : mapping
        The stop document; empty where it is not known yet.
    kind : {"light", "dark", "sub"} or None
        Which image of an event is wanted, where a dark is subtracted; else None.
    pixels : Pixels or None
        Shared by the frames of an event; None where `problem` is set.
    problem : Exception or None
        Why there are no pixels, where that is known before reading.
    source : str or None
        The uid of its stream resource: the same seq_num in another one is no retake.
    """

    id: FrameId
    number: int | None = None
    start: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    descriptor: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    event: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    baseline: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stop: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kind: str | None = None
    pixels: Pixels | None = None
    problem: Exception | None = None
    source: str | None = None

    def __str__(self) -> str:
        return str(self.id)

    @property
    def run(self) -> str:
        """The uid of the run."""
        return self.id.run

    @property
    def stream(self) -> str | None:
        """The name of the stream."""
        return self.id.stream

    @property
    def field(self) -> str | None:
        """The name of the field."""
        return self.id.field

    @property
    def seq_num(self) -> int | None:
        """The number of the event in its stream, from 1."""
        return self.id.seq_num

    @property
    def i(self) -> int | None:
        """The index inside the event, from 0."""
        return self.id.i

    @property
    def shape(self) -> tuple[int, ...] | None:
        """(rows, columns) as announced, samples behind them if colour; or None."""
        if self.pixels is None or self.pixels.shape is None:
            return None
        return self.pixels.shape[-len(self.pixels.hints.at) :]

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype as announced, or None."""
        return None if self.pixels is None else self.pixels.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that the image takes once read, as announced; 0 when unknown."""
        if self.shape is None or self.dtype is None:
            return 0
        return math.prod(self.shape) * self.dtype.itemsize

    def taken(self) -> tuple[float, bool]:
        """Return when the image was taken [s since 1970], and if its event says so.

        In a fly scan only the descriptor has a time, which all of its frames share.
        The time is 0 where it is not known.
        """
        time = _finite(self.event.get("time"))
        if time is not None:
            return time, True
        return _finite(self.descriptor.get("time")) or 0.0, False

    def names(self, first: int = 0) -> dict[str, Any]:
        """Return the values that a template may use; images count from `first`."""
        _, stream, field, seq_num, i = self.id
        return {
            "start": self.start,
            "descriptor": self.descriptor,
            "event": self.event or {"seq_num": seq_num},
            "baseline": self.baseline,
            "stop": self.stop,
            "stream": stream,
            "field": field,
            "i": None if i is None else i + first,
            "frame": None if self.number is None else self.number + first,
            "kind": self.kind or "light",
            **self._axes(first),
        }

    def _axes(self, first: int) -> dict[str, int]:
        """Return the index along each leading axis, by the names i0, i1 and so on."""
        pixels, i = self.pixels, self.i or 0
        if pixels is None or pixels.shape is None:
            return {"i0": i + first}
        lead = pixels.shape[: -len(pixels.hints.at)]
        if len(lead) <= 1 or i >= math.prod(lead):
            return {"i0": i + first}
        where, rest = {}, i
        for axis in reversed(range(len(lead))):
            rest, index = divmod(rest, lead[axis])
            where[f"i{axis}"] = index + first
        return where

    def with_index(self, i: int) -> Frame:
        """Return the frame beside this one in the same event."""
        number = None
        if self.number is not None and self.i is not None:
            number = self.number - self.i + i
        return replace(self, id=self.id._replace(i=i), number=number)

    def read(self) -> np.ndarray:
        """Read this one image.

        Returns
        -------
        ndarray, shape (rows, columns) [counts]
            In its own dtype. Not to be written to.
        """
        if self.i is None:
            raise self.problem or ValueError("this frame has no pixels")
        return np.asarray(self.images()[self.i])

    def images(self) -> Images:
        """Open all images of the frame's event and field; none is read yet.

        Raises
        ------
        ReadError
            If what is there has no rows and columns, or they can't be told.
        """
        if self.pixels is None:
            raise self.problem or ValueError("this frame has no pixels")
        return images_in(self.pixels.open(), self.pixels.hints)


def _finite(time: Any) -> float | None:
    is_real = isinstance(time, Real) and not isinstance(time, bool)
    return float(time) if is_real and math.isfinite(time) else None

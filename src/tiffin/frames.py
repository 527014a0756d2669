"""An image of a run, before its pixels are read.

A `Frame` has the identity and the documents of an image, and can `read` its pixels
later. The frames of one event and field share their `Pixels`, so that a file is opened
once.
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

    from tiffin.axes import ArrayHints


class Pixels(Protocol):
    """The source of the images of one event and field."""

    shape: tuple[int, ...] | None
    """The declared shape (..., rows, columns), followed by samples if declared."""
    dtype: np.dtype | None
    """The declared dtype."""
    memory: int
    """Memory that the pixels take while they wait [bytes]."""
    hints: ArrayHints
    """What is known about the axes of the array."""

    def open(self) -> Any:
        """Return the whole array, or something that can be sliced like it [counts]."""
        ...


class FrameId(NamedTuple):
    """The identity of an image: run, stream, field, event and index.

    Retakes of a point, and the light and subtracted images of an event, have the same
    identity.

    Attributes
    ----------
    run : str
        The uid of the run; ``""`` if it is not known.
    stream, field : str or None
        None for a run as a whole.
    seq_num : int or None
        The number of the event in its stream, from 1.
    i : int or None
        The index in the event: all leading axes in C order, from 0.
    """

    run: str
    stream: str | None = None
    field: str | None = None
    seq_num: int | None = None
    i: int | None = None

    def __str__(self) -> str:
        return f"event {self.seq_num}, field {self.field!r}, image {self.i}"


class Identified:
    """Has a `FrameId` as its `id`, whose parts are attributes too."""

    __slots__ = ()

    id: FrameId

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
        """The index in the event, from 0."""
        return self.id.i


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(Identified):
    """The identity and the documents of an image.

    Attributes
    ----------
    id : FrameId
        Its parts `run`, `stream`, `field`, `seq_num` and `i` are also attributes of the
        frame.
    number : int or None
        The running number in the run, stream and field, from 0.
    start, descriptor, event : mapping
        The documents, which must not be changed. `event` is empty if there is none.
    baseline : mapping
        The data of the first baseline event of the run; empty if there is none.
    stop : mapping
        The stop document; empty if it is not known yet.
    kind : {"light", "dark", "sub"} or None
        Which image of an event this is, if a dark is subtracted; else None.
    pixels : Pixels or None
        Shared by the frames of an event; None if `problem` is set.
    problem : Exception or None
        Why there are no pixels, if that is known before reading.
    source : str or None
        The uid of the stream resource. The same seq_num in another one is no retake.
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
    def shape(self) -> tuple[int, ...] | None:
        """The declared (rows, columns), with samples last if colour; or None."""
        if self.pixels is None or self.pixels.shape is None:
            return None
        return self.pixels.shape[-len(self.pixels.hints.image_axes) :]

    @property
    def dtype(self) -> np.dtype | None:
        """The declared dtype, or None."""
        return None if self.pixels is None else self.pixels.dtype

    @property
    def nbytes(self) -> int:
        """The declared size of the image in memory, or 0 if unknown [bytes]."""
        if self.shape is None or self.dtype is None:
            return 0
        return math.prod(self.shape) * self.dtype.itemsize

    def taken(self) -> tuple[float, bool]:
        """Return when the image was taken [s since 1970], and if its event says so.

        In a fly scan without events, this is the time of the descriptor, which all of
        its frames share. It is 0 if not known.
        """
        time = _finite(self.event.get("time"))
        if time is not None:
            return time, True
        return _finite(self.descriptor.get("time")) or 0.0, False

    def names(self, first: int = 0) -> dict[str, Any]:
        """Return the values for a template; numbers of images start at `first`."""
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
        """Return the index along each leading axis, named i0, i1 and so on."""
        pixels, i = self.pixels, self.i or 0
        if pixels is None or pixels.shape is None:
            return {"i0": i + first}
        lead = pixels.shape[: -len(pixels.hints.image_axes)]
        if len(lead) <= 1 or i >= math.prod(lead):
            return {"i0": i + first}
        where, rest = {}, i
        for axis in reversed(range(len(lead))):
            rest, index = divmod(rest, lead[axis])
            where[f"i{axis}"] = index + first
        return where

    def with_index(self, i: int) -> Frame:
        """Return another frame of the same event."""
        number = None
        if self.number is not None and self.i is not None:
            number = self.number - self.i + i
        return replace(self, id=self.id._replace(i=i), number=number)

    def read(self) -> np.ndarray:
        """Return the image [counts], which must not be changed."""
        if self.i is None:
            raise self.problem or ValueError("this frame has no pixels")
        return np.asarray(self.images()[self.i])

    def images(self) -> Images:
        """Open all images of the event and field, without reading them."""
        if self.pixels is None:
            raise self.problem or ValueError("this frame has no pixels")
        return images_in(self.pixels.open(), self.pixels.hints)


def _finite(time: Any) -> float | None:
    if type(time) is float:  # asking whether it is a `Real` takes longer
        return time if math.isfinite(time) else None
    is_real = isinstance(time, Real) and not isinstance(time, bool)
    return float(time) if is_real and math.isfinite(time) else None

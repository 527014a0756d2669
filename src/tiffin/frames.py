"""One image of a run, before anyone has read it.

A `Frame` says who the image is and in what context it was taken, and can `read` its
pixels later. The frames of one event and field share one `Pixels`, so that what holds
them is opened once.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from tiffin.axes import Hints, place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Encoded",
    "Frame",
    "FrameId",
    "Images",
    "LARGEST_IMAGE",
    "Pixels",
    "images_in",
    "too_large",
    "whole",
]


LARGEST_IMAGE = 2**32 - 1 - 1024
"""A classic TIFF has offsets of 32 bits, and its tags are in the file too [bytes]."""


def too_large(shape: tuple[int, ...], nbytes: int) -> str | None:
    """Say that an image is larger than a TIFF here can be; None if it is not."""
    if nbytes <= LARGEST_IMAGE:
        return None
    return (
        f"an image of shape {[*shape]} has {nbytes / 2**30:.1f} GiB, and the classic "
        f"TIFF that is written holds less than 4: crop or bin it, or choose a smaller "
        f"dtype="
    )


class Encoded(NamedTuple):
    """One image as it is stored, which may stand in a file without being decoded.

    Attributes
    ----------
    data : bytes-like
    codec : str or None
        None: plain little-endian pixels; ``"zlib"``: a zlib stream of them.
    shape : tuple of int
        (rows, columns), samples behind them if colour.
    dtype : numpy.dtype
        Little-endian.
    """

    data: bytes | bytearray | memoryview
    codec: str | None
    shape: tuple[int, ...]
    dtype: np.dtype


class Images(Protocol):
    """The images of one event and field, side by side along one leading axis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, rows, columns)."""
        ...

    def __getitem__(self, i: int, /) -> Any:
        """Image `i`, convertible to an array of shape (rows, columns)."""
        ...

    def encoded(self, i: int, takes: Callable[[str | None], bool], /) -> Encoded | None:
        """Return image `i` as it is stored, if that is in a codec that `takes` takes.

        None means: read it in the ordinary way. So do images without this method.
        """
        ...


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


def images_in(array: Any, hints: Hints | None = None) -> Images:
    """See an array of two or more dimensions as images side by side.

    Parameters
    ----------
    array : array-like, shape (..., rows, columns)
        A numpy array, or anything with a shape that can be sliced like one. It may
        have an attribute ``colour``: whether its last axis holds samples.
    hints : Hints, optional
        What is known of its axes, which may be in another order.

    Returns
    -------
    Images, shape (images, rows, columns)
        With samples as a last axis if colour.
        All other axes counted in C order. No pixel is copied or read yet.

    Raises
    ------
    ReadError
        If there are no rows and columns, or they can't be told.

    Examples
    --------
    >>> images_in(np.zeros((2, 3, 6, 9))).shape
    (6, 6, 9)
    >>> images_in(np.zeros((6, 9))).shape
    (1, 6, 9)
    >>> images_in(np.zeros((2, 3, 6, 9)), Hints(names=("c", "y", "x"))).shape
    (2, 6, 9, 3)
    """
    shape = tuple(map(int, array.shape))
    colour = bool(getattr(array, "colour", False))
    return _SideBySide(array, _layout(shape, hints or Hints(), colour))


def whole(pixels: Pixels) -> tuple[np.ndarray, Hints]:
    """Read all images of an event into an array of one's own.

    Returns
    -------
    array : ndarray, shape (..., rows, columns) [counts]
        With samples as a last axis if colour; less than two axes as it is.
    hints : Hints
        Of this array.

    Raises
    ------
    ReadError
        If its rows and columns can't be told.
    """
    opened = pixels.open()
    colour = bool(getattr(opened, "colour", False))
    array = np.array(opened)
    if array.ndim < 2:
        return array, pixels.hints
    at = place(array.shape, pixels.hints, last_is_colour=colour)
    lead = [k for k in range(array.ndim) if k not in at]
    array = np.ascontiguousarray(array.transpose(*lead, *at))
    return array, Hints.of_images(array.shape, axes=len(at))


class _SideBySide:
    """Leading axes seen as one; each image is sliced when asked for.

    Parameters
    ----------
    array : array-like
    layout : _Layout
        What its axes are.
    """

    def __init__(self, array: Any, layout: _Layout) -> None:
        self._array = array
        self._at, self._rest, self._lead, self._in_order, self.shape = layout

    def __getitem__(self, i: int, /) -> Any:
        if self._in_order:
            return self._array[self._where(i)] if self._lead else self._array
        chosen: list[Any] = [slice(None)] * (len(self._rest) + len(self._at))
        for axis, where in zip(self._rest, self._where(i), strict=True):
            chosen[axis] = where
        left = sorted(self._at)
        image = np.asarray(self._array[tuple(chosen)])
        return np.ascontiguousarray(image.transpose([left.index(k) for k in self._at]))

    def encoded(self, i: int, takes: Callable[[str | None], bool], /) -> Encoded | None:
        stored = getattr(self._array, "encoded", None)
        if stored is None or not self._lead or not self._in_order:
            return None
        found: Encoded | None = stored(self._where(i), takes)
        return found

    def _where(self, i: int) -> tuple[int, ...]:
        if not self._lead:
            return ()
        if len(self._lead) == 1:
            return (int(i),)
        return tuple(int(n) for n in np.unravel_index(i, self._lead))


class _Layout(NamedTuple):
    """The axes of an image, the others, the others' sizes, and the images' shape."""

    at: tuple[int, ...]
    rest: tuple[int, ...]
    lead: tuple[int, ...]
    in_order: bool
    shape: tuple[int, ...]


@lru_cache(256)  # the events of a field are alike
def _layout(shape: tuple[int, ...], hints: Hints, last_is_colour: bool) -> _Layout:
    at = place(shape, hints, last_is_colour=last_is_colour)
    rest = tuple(k for k in range(len(shape)) if k not in at)
    lead = tuple(shape[k] for k in rest)
    in_order = (*rest, *at) == tuple(range(len(shape)))
    images = (math.prod(lead), *(shape[k] for k in at))
    return _Layout(at, rest, lead, in_order, images)


def _finite(time: Any) -> float | None:
    is_real = isinstance(time, Real) and not isinstance(time, bool)
    return float(time) if is_real and math.isfinite(time) else None

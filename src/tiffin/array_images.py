"""The images in an array of any number of dimensions."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from tiffin.axes import ArrayHints, place

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.frames import Pixels

LARGEST_IMAGE = 2**32 - 1 - 1024
"""A classic TIFF has 32-bit offsets, and its tags need space too [bytes]."""


def too_large(shape: tuple[int, ...], nbytes: int) -> str | None:
    """Return a message if an image is too large for a TIFF; else None."""
    if nbytes <= LARGEST_IMAGE:
        return None
    return (
        f"an image of shape {[*shape]} has {nbytes / 2**30:.1f} GiB, but a "
        f"classic TIFF holds less than 4: crop or bin it, or choose a smaller dtype="
    )


class Encoded(NamedTuple):
    """An encoded image, which can be written without decoding it."""

    data: bytes | bytearray | memoryview
    codec: str | None
    """None: plain little-endian pixels; ``"zlib"``: a zlib stream of them."""
    shape: tuple[int, ...]
    """(rows, columns), with samples last if colour."""
    dtype: np.dtype
    """Little-endian."""


class Images(Protocol):
    """The images of one event and field, along one leading axis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, rows, columns)."""
        ...

    def __getitem__(self, i: int, /) -> Any:
        """Return image `i`, convertible to an array of shape (rows, columns)."""
        ...

    def encoded(self, i: int, takes: Callable[[str | None], bool], /) -> Encoded | None:
        """Return image `i` encoded, if `takes` accepts its codec; else None.

        This method is optional.
        """
        ...


def images_in(array: Any, hints: ArrayHints | None = None) -> Images:
    """Return the images in an array, of shape (images, rows, columns), unread.

    The array can be anything with a shape that can be sliced like a numpy array, with
    its axes in any order that the hints explain. If it has an attribute ``colour``,
    that says whether its last axis has samples, which are then the images' last axis.
    The other axes count images, in C order.

    Examples
    --------
    >>> images_in(np.zeros((2, 3, 6, 9))).shape
    (6, 6, 9)
    >>> images_in(np.zeros((6, 9))).shape
    (1, 6, 9)
    >>> images_in(np.zeros((2, 3, 6, 9)), ArrayHints(names=("c", "y", "x"))).shape
    (2, 6, 9, 3)
    """
    shape = tuple(map(int, array.shape))
    colour = bool(getattr(array, "colour", False))
    return _SideBySide(array, _layout(shape, hints or ArrayHints(), colour))


def read_all(pixels: Pixels) -> tuple[np.ndarray, ArrayHints]:
    """Read all images of an event into a new array, and return it with its hints.

    Its shape is (..., rows, columns), with samples as the last axis if colour. An array
    with less than two axes stays as it is.
    """
    opened = pixels.open()
    colour = bool(getattr(opened, "colour", False))
    array = np.array(opened)
    if array.ndim < 2:
        return array, pixels.hints
    at = place(array.shape, pixels.hints, last_is_colour=colour)
    lead = [k for k in range(array.ndim) if k not in at]
    array = np.ascontiguousarray(array.transpose(*lead, *at))
    return array, ArrayHints.of_images(array.shape, axes=len(at))


class _SideBySide:
    """An array with its leading axes as one; each image is sliced when asked for."""

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
    """The axes of an image, the other axes, their sizes, and the shape of `Images`."""

    at: tuple[int, ...]
    rest: tuple[int, ...]
    lead: tuple[int, ...]
    in_order: bool
    shape: tuple[int, ...]


@lru_cache(256)  # the events of a field have the same shape
def _layout(shape: tuple[int, ...], hints: ArrayHints, last_is_colour: bool) -> _Layout:
    at = place(shape, hints, last_is_colour=last_is_colour)
    rest = tuple(k for k in range(len(shape)) if k not in at)
    lead = tuple(shape[k] for k in rest)
    in_order = (*rest, *at) == tuple(range(len(shape)))
    images = (math.prod(lead), *(shape[k] for k in at))
    return _Layout(at, rest, lead, in_order, images)

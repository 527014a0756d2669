"""The images of one event, each read from its row when it is asked for."""

from __future__ import annotations

import math
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tiffin.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.frames import Encoded
    from tiffin.readers.layout import Span

__all__ = ["EventPart", "EventRows", "Source", "stacked"]


class Source(Protocol):
    """Where rows are read from."""

    def read(self, where: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        """Read a row, or what is at a place within one, of this shape."""
        ...

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        """Return the same as it is stored; None if it must be read."""
        ...


class EventRows:
    """The images of one event, in rows of its own.

    Parameters
    ----------
    source : Source
    first : int
        The event's first row.
    shape : tuple of int
        (rows, …) with the shape of a row behind.
    colour : bool
        Whether the last axis holds the samples of a colour.
    """

    def __init__(
        self, source: Source, first: int, shape: tuple[int, ...], *, colour: bool
    ) -> None:
        self._source = source
        self._first = first
        self.shape = shape
        self.colour = colour

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part; the first index chooses the row."""
        keys = key if isinstance(key, tuple) else (key,)
        if not isinstance(keys[0], int):
            part: np.ndarray = np.asarray(self)[key]
            return part
        numbers = tuple(takewhile(lambda k: isinstance(k, int), keys))
        numbers = numbers[: max(len(self.shape) - 2, 1)]
        rest = self.shape[len(numbers) :]
        return self._source.read(self._where(numbers), rest)[keys[len(numbers) :]]

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        """Return an image as it is stored, where that is in a codec that is taken."""
        return self._source.encoded(self._where(where), takes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        array = stacked([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)

    def _where(self, where: tuple[int, ...]) -> tuple[int, ...]:
        first, *rest = map(_inside, where, self.shape)
        return (self._first + first, *rest)


class EventPart:
    """The images of one event, in rows that hold other events' images too.

    Parameters
    ----------
    source : Source
    span : Span
        With a part.
    row_shape : tuple of int
    colour : bool
        Whether the last axis holds the samples of a colour.
    """

    def __init__(
        self, source: Source, span: Span, row_shape: tuple[int, ...], *, colour: bool
    ) -> None:
        self._source = source
        self.colour = colour
        self._first = span.first
        self._before, images = span.part or (0, span.rows)
        self._lead = row_shape[: -span.image_axes]
        self.shape = (images, *row_shape[-span.image_axes :])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part; the first index chooses the image."""
        keys = key if isinstance(key, tuple) else (key,)
        if not isinstance(keys[0], int):
            part: np.ndarray = np.asarray(self)[key]
            return part
        return self._source.read(self._where(keys[0]), self.shape[1:])[keys[1:]]

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        """Return an image as it is stored, where that is in a codec that is taken."""
        return self._source.encoded((*self._where(where[0]), *where[1:]), takes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        array = stacked([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)

    def _where(self, image: int) -> tuple[int, ...]:
        """Find the row that an image is in, and its place there."""
        image = _inside(image, self.shape[0])
        row, inside = divmod(self._before + image, math.prod(self._lead))
        places = np.unravel_index(inside, self._lead) if self._lead else ()
        return (self._first + row, *map(int, places))


def stacked(images: list[np.ndarray]) -> np.ndarray:
    """Stack images of one dtype.

    Raises
    ------
    ReadError
        If they have several: none is cast to another's.
    """
    dtypes = {image.dtype: None for image in images}
    if len(dtypes) > 1:
        told = " and ".join(map(str, dtypes))
        message = f"images of several dtypes are not made one array: {told}"
        raise ReadError(message)
    return np.stack(images)


def _inside(index: int, size: int) -> int:
    """Count an index from the end where it is negative; beyond is another event's."""
    if not -size <= index < size:
        message = f"index {index} is out of bounds for {size} images of an event"
        raise IndexError(message)
    return index + size if index < 0 else index

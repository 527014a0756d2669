"""Change an image's shape: crop, bin, turn, flip. Values are moved, or added up.

All act on the first two axes, rows and columns; the samples of a colour stay together.
"""

from __future__ import annotations

import contextlib
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiffin.corrections.arithmetic import mean, real, sum_dtype, sum_floats, sum_whole
from tiffin.corrections.cast import Plain
from tiffin.errors import CorrectionError, SettingsError

if TYPE_CHECKING:
    from tiffin.corrections.step import Notes
    from tiffin.frames import Frame

__all__ = ["Bin", "Crop", "Flip", "Rotate"]

STRIP = 16
"""Columns that are copied together; measured."""

Bounds = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Crop(Plain):
    """Keep a rectangle.

    Parameters
    ----------
    rows, columns : slice, pair of int, or None
        First, and one past the last [pixels]; negative ones count from the end, as
        Python's do. None keeps all.

    Raises
    ------
    SettingsError
        If these are no bounds.

    Examples
    --------
    >>> Crop(rows=(0, 1), columns=slice(-2, None))(np.array([[1, 2, 3], [4, 5, 6]]))
    array([[2, 3]])
    >>> print(Crop((10, 20), slice(5)))
    Crop(rows=(10, 20), columns=(None, 5))
    """

    rows: Any = None
    columns: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _bounds("rows", self.rows))
        object.__setattr__(self, "columns", _bounds("columns", self.columns))

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        _notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Crop one image, shape (rows, columns).

        Raises
        ------
        CorrectionError
            If nothing would be left, or the rectangle lies outside the image.
        """
        kept = tuple(
            _slice(bounds, size)
            for bounds, size in zip(
                (self.rows, self.columns), image.shape[:2], strict=True
            )
        )
        if None in kept:
            message = f"{self} is empty or outside an image of shape {image.shape}"
            raise CorrectionError(message)
        return np.ascontiguousarray(image[kept])


@dataclass(frozen=True, slots=True)
class Bin(Plain):
    """Join n by n pixels to one.

    Parameters
    ----------
    n : int or pair of int
        Pixels along rows and columns that become one.
    how : {"sum", "mean"}
        Sums of whole numbers are exact, in the smallest dtype that holds the largest
        possible one, and never wrap; those of floats keep their dtype. Means are
        float32 for images of at most 16 bits, else float64.

    Raises
    ------
    SettingsError

    Examples
    --------
    >>> image = np.array([[255, 255], [255, 0]], "uint8")
    >>> Bin(2)(image)
    array([[765]], dtype=uint16)
    >>> Bin((1, 2), "mean")(image)
    array([[255. ],
           [127.5]], dtype=float32)
    """

    n: Any
    how: Literal["sum", "mean"] = "sum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _counts(self.n))
        if self.how not in ("sum", "mean"):
            message = f"how must be 'sum' or 'mean', not {self.how!r}"
            raise SettingsError(message)

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        _notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Bin one image, shape (rows, columns).

        Raises
        ------
        CorrectionError
            If n does not divide the shape.
        DtypeError
            If no dtype of a TIFF holds every sum that the image's dtype allows.
        """
        rows, columns = self.n
        if image.shape[0] % rows or image.shape[1] % columns:
            message = (
                f"{self} does not divide an image of shape {image.shape}: "
                f"{_advice(image.shape, self.n)} before"
            )
            raise CorrectionError(message)
        dtype = _binned_dtype(real(image).dtype, rows * columns, self.how)
        parts = [
            image[i::rows, j::columns] for i in range(rows) for j in range(columns)
        ]
        if self.how == "mean":
            return mean(parts, dtype)
        if image.dtype.kind == "f":
            return sum_floats(parts, dtype)
        return sum_whole(parts).astype(dtype)


@dataclass(frozen=True, slots=True)
class Rotate(Plain):
    """Turn by quarters, counter-clockwise.

    Parameters
    ----------
    quarter_turns : int
        Negative ones turn clockwise.

    Raises
    ------
    SettingsError

    Examples
    --------
    >>> Rotate(1)(np.array([[1, 2], [3, 4]]))
    array([[2, 4],
           [1, 3]])
    """

    quarter_turns: int

    def __post_init__(self) -> None:
        turns = _int("quarter_turns", self.quarter_turns)
        object.__setattr__(self, "quarter_turns", turns)

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        _notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Turn one image, shape (rows, columns); that of the result may be swapped."""
        turned = np.rot90(image, self.quarter_turns, axes=(0, 1))
        copied = _in_strips if self.quarter_turns % 2 else np.ascontiguousarray
        return copied(turned)


_AXES = {0: 0, "rows": 0, "up-down": 0, 1: 1, "columns": 1, "left-right": 1}


@dataclass(frozen=True, slots=True)
class Flip(Plain):
    """Mirror an image.

    Parameters
    ----------
    axis : {0, "rows", "up-down", 1, "columns", "left-right"}
        0 puts the last row first, 1 the last column.

    Raises
    ------
    SettingsError

    Examples
    --------
    >>> Flip("up-down")(np.array([[1, 2], [3, 4]]))
    array([[3, 4],
           [1, 2]])
    >>> Flip("rows") == Flip(0)
    True
    """

    axis: Any

    def __post_init__(self) -> None:
        known = isinstance(self.axis, (str, int)) and not isinstance(self.axis, bool)
        if not known or self.axis not in _AXES:
            message = (
                f"axis must be one of {', '.join(map(repr, _AXES))}, not {self.axis!r}"
            )
            raise SettingsError(message)
        object.__setattr__(self, "axis", _AXES[self.axis])

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        _notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Mirror one image, shape (rows, columns)."""
        return np.ascontiguousarray(np.flip(image, self.axis))


def _in_strips(turned: np.ndarray) -> np.ndarray:
    """Copy an image on its side: of a strip, the cache holds what is read at once."""
    result = np.empty(turned.shape, turned.dtype)
    for first in range(0, turned.shape[1], STRIP):
        strip = slice(first, first + STRIP)
        result[:, strip] = turned[:, strip]
    return result


def _int(setting: str, value: Any) -> int:
    with contextlib.suppress(TypeError):
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    message = f"{setting} is a whole number, not {value!r}"
    raise SettingsError(message)


def _bounds(setting: str, value: Any) -> Bounds | None:
    if value is None:
        return None
    if isinstance(value, slice):
        if value.step not in (None, 1):
            message = f"{setting} keeps every pixel in a range, not {value!r}: use Bin"
            raise SettingsError(message)
        value = (value.start, value.stop)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        message = (
            f"{setting} is a slice, a pair of whole numbers, or None, not {value!r}"
        )
        raise SettingsError(message)
    first, last = (None if end is None else _int(setting, end) for end in value)
    return None if first is last is None else (first, last)


def _slice(bounds: Bounds | None, size: int) -> slice | None:
    """Return the slice, or None where it is empty or reaches outside."""
    first, last = (None, None) if bounds is None else bounds
    start = 0 if first is None else first + size * (first < 0)
    stop = size if last is None else last + size * (last < 0)
    return slice(start, stop) if 0 <= start < stop <= size else None


def _counts(n: Any) -> tuple[int, int]:
    pair = n if isinstance(n, (tuple, list)) else (n, n)
    if len(pair) == 2:
        rows, columns = (_int("n", count) for count in pair)
        if rows > 0 and columns > 0:
            return rows, columns
    message = f"n is a number of pixels from 1, or a pair (rows, columns), not {n!r}"
    raise SettingsError(message)


def _advice(shape: tuple[int, ...], n: tuple[int, int]) -> str:
    rows, columns = (size - size % count for size, count in zip(shape, n, strict=False))
    if not rows or not columns:
        return "choose a smaller n; none can be cropped to fit"
    return f"Crop(rows=(0, {rows}), columns=(0, {columns}))"


def _binned_dtype(dtype: np.dtype, count: int, how: str) -> np.dtype:
    if how == "mean":
        return np.dtype("f4" if dtype.itemsize <= 2 else "f8")
    if dtype.kind == "f":
        return np.dtype("f4" if dtype.itemsize <= 4 else "f8")
    return sum_dtype(dtype, count, "pixels", "how='mean'")

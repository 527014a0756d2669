"""Change an image's shape: crop, bin, rotate, flip.

All work on the first two axes, rows and columns. The samples of a colour stay together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiffin.corrections.arithmetic import RunningSum, check_real, row_blocks, sum_dtype
from tiffin.corrections.base import PixelCorrection
from tiffin.corrections.checks import check_choice, check_integer, set_fields
from tiffin.dtypes import float_dtype_for
from tiffin.errors import CorrectionError, SettingsError

if TYPE_CHECKING:
    from tiffin.corrections.base import Notes

STRIP = 16
"""Columns that are copied together when an image is rotated; the fastest measured."""

Bounds = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Crop(PixelCorrection):
    """Keep a rectangle.

    Parameters
    ----------
    rows, columns : slice, pair of int, or None
        First row or column, and one past the last [pixels]. Negative numbers count from
        the end, as in Python. None keeps all.

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
        rows, columns = _bounds("rows", self.rows), _bounds("columns", self.columns)
        set_fields(self, rows=rows, columns=columns)

    def _apply(self, image: np.ndarray, _notes: Notes) -> np.ndarray:
        rows = _slice(self.rows, image.shape[0])
        columns = _slice(self.columns, image.shape[1])
        if rows is None or columns is None:
            message = f"{self} is empty or outside an image of shape {image.shape}"
            raise CorrectionError(message)
        return np.ascontiguousarray(image[rows, columns])


@dataclass(frozen=True, slots=True)
class Bin(PixelCorrection):
    """Combine blocks of n by n pixels.

    Parameters
    ----------
    n : int or pair of int
        Number of rows and columns that become one pixel.
    how : {"sum", "mean"}
        Sums of integers are exact, in the smallest dtype that holds the largest
        possible sum, and never wrap. Sums of floats keep their dtype. Means are float32
        for images of at most 16 bits, else float64.

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
        set_fields(self, n=_pair(self.n))
        check_choice("how", self.how, ("sum", "mean"))

    def _apply(self, image: np.ndarray, _notes: Notes) -> np.ndarray:
        rows, columns = self.n
        height, width = image.shape[:2]
        if height % rows or width % columns:
            crop = f"Crop(rows=(0, {height - height % rows}), "
            crop += f"columns=(0, {width - width % columns}))"
            fits = height >= rows and width >= columns
            advice = f"use {crop} before" if fits else "choose a smaller n"
            what = f"{self} does not divide an image of shape {image.shape}"
            raise CorrectionError(f"{what}: {advice}")
        dtype = _binned_dtype(check_real(image).dtype, rows * columns, self.how)
        shape = (height // rows, width // columns, *image.shape[2:])
        result = np.empty(shape, dtype)
        for block in row_blocks(shape):  # which stay in the cache
            source = image[block.start * rows : block.stop * rows]
            total = RunningSum(result[block].shape, image.dtype)
            for row, column in np.ndindex(rows, columns):
                total.add(source[row::rows, column::columns])
            combine = total.mean if self.how == "mean" else total.sum
            result[block] = combine(dtype)
        return result


@dataclass(frozen=True, slots=True)
class Rotate(PixelCorrection):
    """Rotate counter-clockwise by multiples of 90 degrees.

    Parameters
    ----------
    quarter_turns : int
        Negative numbers rotate clockwise.

    Examples
    --------
    >>> Rotate(1)(np.array([[1, 2], [3, 4]]))
    array([[2, 4],
           [1, 3]])
    """

    quarter_turns: int

    def __post_init__(self) -> None:
        turns = check_integer("quarter_turns", self.quarter_turns)
        set_fields(self, quarter_turns=turns)

    def _apply(self, image: np.ndarray, _notes: Notes) -> np.ndarray:
        rotated = np.rot90(image, self.quarter_turns, axes=(0, 1))
        if self.quarter_turns % 2 == 0:
            return np.ascontiguousarray(rotated)
        # Strip by strip, what is read together stays in the cache.
        result = np.empty(rotated.shape, rotated.dtype)
        for first in range(0, rotated.shape[1], STRIP):
            strip = slice(first, first + STRIP)
            result[:, strip] = rotated[:, strip]
        return result


_AXES = {0: 0, "rows": 0, "up-down": 0, 1: 1, "columns": 1, "left-right": 1}


@dataclass(frozen=True, slots=True)
class Flip(PixelCorrection):
    """Mirror an image.

    Parameters
    ----------
    axis : {0, "rows", "up-down", 1, "columns", "left-right"}
        0 puts the last row first, 1 the last column.

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
            names = ", ".join(map(repr, _AXES))
            raise SettingsError(f"axis must be one of {names}, not {self.axis!r}")
        set_fields(self, axis=_AXES[self.axis])

    def _apply(self, image: np.ndarray, _notes: Notes) -> np.ndarray:
        return np.ascontiguousarray(np.flip(image, self.axis))


def _bounds(setting: str, value: Any) -> Bounds | None:
    if value is None:
        return None
    if isinstance(value, slice):
        if value.step not in (None, 1):
            message = f"{setting} keeps all pixels in a range, not {value!r}: use Bin"
            raise SettingsError(message)
        value = (value.start, value.stop)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        message = f"{setting} must be a slice, two integers or None, not {value!r}"
        raise SettingsError(message)
    first, last = (
        None if end is None else check_integer(setting, end) for end in value
    )
    return None if first is last is None else (first, last)


def _slice(bounds: Bounds | None, size: int) -> slice | None:
    """Return a slice of an axis, or None if it is empty or reaches outside."""
    first, last = bounds or (None, None)
    start = 0 if first is None else first + size * (first < 0)
    stop = size if last is None else last + size * (last < 0)
    return slice(start, stop) if 0 <= start < stop <= size else None


def _pair(n: Any) -> tuple[int, int]:
    if not isinstance(n, (tuple, list)):
        n = (n, n)
    if len(n) != 2:
        message = f"n must be a number of pixels, or a pair (rows, columns), not {n!r}"
        raise SettingsError(message)
    rows, columns = (check_integer("n", count, 1) for count in n)
    return rows, columns


def _binned_dtype(dtype: np.dtype, count: int, how: str) -> np.dtype:
    """Return the dtype of binned images, which never depends on their values."""
    if how == "mean":
        return np.dtype("f4" if dtype.itemsize <= 2 else "f8")
    if dtype.kind == "f":
        return float_dtype_for(dtype)
    return sum_dtype(dtype, count, "pixels", "how='mean'")

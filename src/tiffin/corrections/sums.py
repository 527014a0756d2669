"""Add up and average arrays, each result rounded once, however many there are.

A sum is carried as two numbers, of floats what was added up and what that lost; the few
pixels that these can't settle are settled in fractions.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import CorrectionError, DtypeError
from tiffin.exact import (
    WHOLE,
    limits_of,
    may_tie,
    nearest,
    to_odd,
    two_product,
    two_sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "MOST",
    "Running",
    "average",
    "halves_of",
    "is_wide",
    "mean",
    "real",
    "refuse_overflow",
    "repair",
    "row_blocks",
    "sum_dtype",
    "sum_floats",
    "sum_whole",
]

BLOCK = 2**18
"""Pixels that are worked on together: so many stay in a core's cache."""

MOST = 2**21
"""So many whole numbers of 32 bits have a sum that float64 holds, whatever they are."""

LOW32 = 0xFFFFFFFF
TAME = 2.0**400
"""Products of numbers within 1/TAME and TAME neither overflow nor lose bits."""


def average(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Average darks, once, in float64.

    Parameters
    ----------
    images : ndarray, shape (images, rows, columns), or sequence of images [counts]

    Returns
    -------
    ndarray of float64, shape (rows, columns) [counts]
        Each the exact mean, rounded once.

    Raises
    ------
    CorrectionError
        If there are none, or their shapes differ.

    Examples
    --------
    >>> average(np.array([[[1, 2]], [[2, 2]]], "uint8"))
    array([[1.5, 2. ]])
    """
    known = [real(np.asarray(image)) for image in images]
    shapes = {image.shape for image in known}
    if len(shapes) != 1:
        shown = " and ".join(map(str, sorted(shapes))) or "none"
        message = f"images of one shape are averaged, there are: {shown}"
        raise CorrectionError(message)
    result = np.empty(known[0].shape, np.float64)
    for rows in row_blocks(result.shape):
        result[rows] = mean([image[rows] for image in known], result.dtype)
    return result


def sum_whole(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Add up whole numbers of at most 32 bits, exactly.

    Parameters
    ----------
    parts : sequence of ndarray
        Fewer than 2**31, of one shape.

    Returns
    -------
    ndarray of int64

    Examples
    --------
    >>> sum_whole([np.array([200], "uint8")] * 3)
    array([600])
    """
    total = parts[0].astype(np.int64)
    for part in parts[1:]:
        total += part
    return total


def sum_dtype(dtype: np.dtype, count: int, what: str, instead: str) -> np.dtype:
    """Give the dtype that holds every sum of so many whole numbers, exactly.

    Parameters
    ----------
    dtype : numpy.dtype
        Of whole numbers.
    count : int
    what, instead : str
        For the error: what is added up, and what can be done instead.

    Returns
    -------
    numpy.dtype
        The smallest of those that a TIFF holds; float64 where only that does.

    Raises
    ------
    DtypeError
        If none does.

    Examples
    --------
    >>> [sum_dtype(np.dtype(d), 10, "frames", "").name for d in ("u1", "i2", "u4")]
    ['uint16', 'int32', 'float64']
    """
    low, high = (count * limit for limit in limits_of(dtype))
    for name in WHOLE:
        lowest, highest = limits_of(np.dtype(name))
        if lowest <= low and high <= highest:
            return np.dtype(name)
    if low >= -(2**53) and high <= 2**53:
        return np.dtype("f8")
    message = (
        f"the sum of {count} {what} of {dtype} can be larger than what a TIFF holds "
        f"exactly: Cast to a smaller dtype before, or use {instead}"
    )
    raise DtypeError(message)


def sum_floats(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Add up floating-point numbers, rounding once.

    Parameters
    ----------
    parts : sequence of ndarray
        Of one shape.
    dtype : numpy.dtype
        float32 or float64.

    Examples
    --------
    >>> sum_floats([np.array([1e20]), np.array([1.0]), np.array([-1e20])],
    ...            np.dtype("f8"))
    array([1.])
    """
    total, lost, doubtful = Running.of(parts).rounded()
    with np.errstate(over="ignore", under="ignore"):
        result = (to_odd(total, lost) if dtype == np.float32 else total).astype(dtype)
    repair(result, doubtful, lambda index: _sum_at(parts, index))
    refuse_overflow(result, *parts)
    return result


def mean(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Average arrays: the exact sum, divided, rounded once.

    Parameters
    ----------
    parts : sequence of ndarray
        Of one shape.
    dtype : numpy.dtype
        float32 or float64.

    Examples
    --------
    >>> mean([np.array([2**63], "uint64"), np.array([3], "uint64")], np.dtype("f8"))
    array([4.61168602e+18])
    """
    running = Running.of(parts)
    result, doubtful, unsure = running.divided(dtype)
    doubtful |= unsure
    repair(result, doubtful, lambda at: _sum_at(parts, at) / running.count)
    return result


class Running:
    """A sum that grows an array at a time, and holds none of them.

    Each pixel is carried as two numbers. For whole numbers these are exact; for
    floating-point ones they are as good as some 106 bits, which is exact unless the
    numbers are of very different size.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        Of the arrays that are to be added: real numbers of at most 64 bits.

    Attributes
    ----------
    count : int
        How many arrays have been added; `MOST` at most.

    Examples
    --------
    >>> running = Running((2,), np.dtype("u2"))
    >>> for number in 1, 2, 2:
    ...     running.add(np.array([number, 65535], "u2"))
    >>> running.sum(np.dtype("u4"))
    array([     5, 196605], dtype=uint32)
    >>> running.mean(np.dtype("f8"))
    array([1.66666667e+00, 6.55350000e+04])
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = dtype
        self.count = 0
        self._is_float = dtype.kind == "f"
        self._is_wide = dtype.kind in "iu" and dtype.itemsize == 8
        self._overflowed = False
        # Of floats, the sum and what it lost; of whole numbers, the sum as it is, or as
        # its upper and lower half.
        self._first = np.zeros(shape, np.float64 if self._is_float else np.int64)
        two = self._is_float or self._is_wide
        self._second = np.zeros_like(self._first) if two else None
        self._inexact = np.zeros(shape, bool) if self._is_float else None

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> Running:
        """Add up arrays that are there already."""
        running = cls(parts[0].shape, parts[0].dtype)
        for part in parts:
            running.add(part)
        return running

    def add(self, part: np.ndarray) -> None:
        """Add an array of the shape and dtype."""
        for rows in row_blocks(self.shape):
            if self._is_float:
                self._add_floats(part[rows], rows)
            elif self._is_wide:
                high, low = halves_of(part[rows])
                self._first[rows] += high
                self._second[rows] += low  # type: ignore[index]
            else:
                self._first[rows] += part[rows]
        self.count += 1

    def _add_floats(self, part: np.ndarray, rows: Any) -> None:
        if not self.count:
            self._first[rows] = part  # zero plus a negative zero would lose its sign
            return
        before, number = self._first[rows], part.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            total, more = two_sum(before, number)
            if more.any():  # not where float32 is added up in float64, as most is
                self._add_lost(more, rows)
        infinite = np.isinf(total)
        if infinite.any():
            explained = np.isinf(before) | np.isinf(number)
            self._overflowed |= bool((infinite & ~explained).any())
        self._first[rows] = total

    def _add_lost(self, more: np.ndarray, rows: Any) -> None:
        assert self._second is not None  # noqa: S101 (floats are carried as two)
        assert self._inexact is not None  # noqa: S101 (with it)
        self._second[rows], dropped = two_sum(self._second[rows], more)
        self._inexact[rows] |= dropped != 0

    def sum(self, dtype: np.dtype) -> np.ndarray:
        """Give the sum.

        Parameters
        ----------
        dtype : numpy.dtype
            As `sum_dtype` gives it for whole numbers; else float64.

        Raises
        ------
        DtypeError
            If float64 can't hold it.
        """
        self._refuse_overflow()
        if not self._is_float:
            return self._first.astype(dtype)
        result = np.empty(self.shape, dtype)
        for rows in row_blocks(self.shape):
            total, first = self.rounded(rows)[0], self._first[rows]
            result[rows] = np.where(np.isfinite(first), total, first)
        return result

    def mean(self, dtype: np.dtype) -> np.ndarray:
        """Give the mean: the sum, divided, rounded once.

        Parameters
        ----------
        dtype : numpy.dtype
            float32 or float64.

        Raises
        ------
        DtypeError
            If float64 can't hold the sum.
        """
        self._refuse_overflow()
        result = np.empty(self.shape, dtype)
        for rows in row_blocks(self.shape):
            result[rows] = self._mean_of(rows, dtype)
        return result

    def _mean_of(self, rows: Any, dtype: np.dtype) -> np.ndarray:
        result, _, unsure = self.divided(dtype, rows)
        if self._is_float:
            first = self._first[rows]
            infinite = ~np.isfinite(first)
            result[infinite] = first[infinite]
            unsure &= ~infinite
        repair(result, unsure, lambda at: self._at(rows, at) / self.count)
        return result

    def rounded(self, rows: Any = ...) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the sum as a float64, what that lost, and where they are not exact.

        Parameters
        ----------
        rows : slice, optional
            Of the image; all by default.
        """
        first = self._first[rows]
        if self._inexact is not None and self._second is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                rounded, lost = two_sum(first, self._second[rows])
            return rounded, lost, self._inexact[rows] | ~np.isfinite(rounded)
        exact = np.zeros(first.shape, bool)
        if self._second is None and self.count <= MOST:
            total = first.astype(np.float64)
            return total, np.zeros_like(total), exact
        high, low = halves_of(first)
        if self._second is not None:
            high, low = first, self._second[rows]
        return *two_sum(high * 2.0**32, low.astype(np.float64)), exact

    def divided(
        self, dtype: np.dtype, rows: Any = ...
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the mean, where the sum was not exact, and where the rounding is unsure.

        What it gives there is for the caller to settle.
        """
        count = np.asarray(self.count, np.float64)
        total, lost, inexact = self.rounded(rows)
        if self._second is None and self.count <= MOST:
            return _divided(total, count, dtype), inexact, inexact.copy()
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            first = total / count
            result, unsure = _quotient(total, lost, count, first, dtype)
            unsure |= (np.abs(first) < 1 / TAME) & (total != 0)
            unsure |= np.abs(first) > TAME
        return result, inexact, unsure

    def _at(self, rows: Any, at: tuple[int, ...]) -> Fraction:
        """Give the sum of one pixel, as far as it is known."""
        first = Fraction(self._first[rows][at].item())
        if self._second is None:
            return first
        second = Fraction(self._second[rows][at].item())
        return first + second if self._is_float else first * 2**32 + second

    def _refuse_overflow(self) -> None:
        if self._overflowed:
            message = (
                f"float64 can't hold the sum of {self.count} frames: it is larger than "
                f"{np.finfo(np.float64).max:.4g}"
            )
            raise DtypeError(message)


def real(array: np.ndarray) -> np.ndarray:
    """Give an array back, if it holds real numbers of at most 64 bits.

    Raises
    ------
    DtypeError
    """
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        message = (
            f"{array.dtype} can't be calculated with: "
            f"only real numbers of at most 64 bits can"
        )
        raise DtypeError(message)
    return array


def row_blocks(shape: tuple[int, ...]) -> Iterator[Any]:
    """Give the blocks of rows that an image is worked on in."""
    if not shape:
        yield ...
        return
    rows = max(1, BLOCK // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], rows):
        yield slice(first, first + rows)


def refuse_overflow(result: np.ndarray, *sources: np.ndarray) -> None:
    """Refuse an infinite result that no source explains.

    Raises
    ------
    DtypeError
    """
    infinite = np.isinf(result)
    if not infinite.any():
        return
    for source in sources:
        infinite &= np.isfinite(source)
    if infinite.any():
        limit = np.finfo(result.dtype).max
        message = f"{result.dtype} can't hold a result: it is larger than {limit:.4g}"
        raise DtypeError(message)


def repair(
    result: np.ndarray,
    doubtful: np.ndarray,
    exactly: Callable[[tuple[int, ...]], Fraction | float],
) -> None:
    """Settle pixels that floats could not settle, one by one.

    Parameters
    ----------
    result : ndarray
        To be written to.
    doubtful : ndarray of bool, same shape
    exactly : callable
        Gives the exact value at an index: a fraction, or a float that is not finite.
    """
    for index in zip(*(axis.tolist() for axis in np.nonzero(doubtful)), strict=True):
        value = exactly(index)
        settled = isinstance(value, float)
        result[index] = value if settled else nearest(Fraction(value), result.dtype)


def is_wide(array: np.ndarray) -> bool:
    """Tell whether these are whole numbers of 64 bits, which float64 may not hold."""
    return array.dtype.kind in "iu" and array.dtype.itemsize == 8


def halves_of(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split whole numbers of up to 64 bits: high · 2**32 + low, both int64.

    Examples
    --------
    >>> [half.tolist() for half in halves_of(np.array([2**63 + 5], "uint64"))]
    [[2147483648], [5]]
    """
    whole = array if is_wide(array) else array.astype(np.int64)
    return (whole >> 32).astype(np.int64), (whole & LOW32).astype(np.int64)


def _divided(total: np.ndarray, count: np.ndarray, dtype: np.dtype) -> np.ndarray:
    result = total / count
    if dtype == np.float32:
        ties = may_tie(result)
        if ties.any():
            near = result[ties]
            product, rest = two_product(near, count)
            result[ties] = to_odd(near, (total[ties] - product) - rest)
    return np.asarray(result, dtype)


def _quotient(
    total: np.ndarray,
    lost: np.ndarray,
    count: np.ndarray,
    first: np.ndarray,
    dtype: np.dtype,
) -> tuple[np.ndarray, np.ndarray]:
    """Divide total + lost by a count; tell also where the rounding is not sure."""
    product, rest = two_product(first, count)
    remainder = (total - product) - rest
    if dtype == np.float32:
        return to_odd(first, remainder).astype(dtype), lost != 0
    second = (remainder + lost) / count
    # `second` is right to some 50 bits: if a little more or less of it rounds to the
    # same number, so does the exact value.
    low, high = first + second * (1 - 2.0**-40), first + second * (1 + 2.0**-40)
    whole = ~((lost > 0) | (lost < 0))
    return np.where(whole, first, low), ~whole & (low != high)


def _sum_at(parts: Sequence[np.ndarray], index: tuple[int, ...]) -> Fraction | float:
    values: list[float] = [part[index].item() for part in parts]
    if all(map(math.isfinite, values)):
        return sum(map(Fraction, values), Fraction())
    return sum(values)

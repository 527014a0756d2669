"""Add up and average arrays, each result rounded once, however many there are.

A sum is carried as two float64, what was added up and what that lost; the few pixels
that these can't settle are settled in fractions.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import CorrectionError, DtypeError
from tiffin.exact import may_tie, nearest, to_odd, two_product, two_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "average",
    "halves_of",
    "is_wide",
    "mean",
    "real",
    "refuse_overflow",
    "repair",
    "row_blocks",
    "sum_floats",
    "sum_whole",
]

BLOCK = 2**18
"""Pixels that are worked on together: so many stay in a core's cache."""

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
    total, lost, doubtful = _sum(parts)
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
    count = np.asarray(len(parts), np.float64)
    if _adds_up(parts):
        return _divided(sum_whole(parts).astype(np.float64), count, dtype)
    total, lost, doubtful = _sum(parts)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        first = total / count
        result, unsure = _quotient(total, lost, count, first, dtype)
        doubtful |= unsure | ((np.abs(first) < 1 / TAME) & (total != 0))
        doubtful |= np.abs(first) > TAME
    n = len(parts)
    repair(result, doubtful, lambda index: _sum_at(parts, index) / n)
    return result


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


def _adds_up(parts: Sequence[np.ndarray]) -> bool:
    """Tell whether float64 holds the sum, whatever the values are."""
    dtype = parts[0].dtype
    return dtype.kind in "biu" and dtype.itemsize <= 4 and len(parts) <= 2**21


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


def _sum(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add up to a float64, what it lost, and where the two together are not exact."""
    if parts[0].dtype.kind == "f":
        return _sum_of_floats(parts)
    doubtful = np.zeros(parts[0].shape, bool)
    if _adds_up(parts):
        total = sum_whole(parts).astype(np.float64)
        return total, np.zeros_like(total), doubtful
    high, low = halves_of(parts[0])
    for part in parts[1:]:
        more = halves_of(part)
        high, low = high + more[0], low + more[1]
    return *two_sum(high * 2.0**32, low.astype(np.float64)), doubtful


def _sum_of_floats(
    parts: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    total = parts[0].astype(np.float64)
    lost = np.zeros_like(total)
    doubtful = np.zeros(total.shape, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in parts[1:]:
            total, more = two_sum(total, part.astype(np.float64))
            lost, dropped = two_sum(lost, more)
            doubtful |= dropped != 0
        rounded, lost = two_sum(total, lost)
    return rounded, lost, doubtful | ~np.isfinite(rounded)


def _sum_at(parts: Sequence[np.ndarray], index: tuple[int, ...]) -> Fraction | float:
    values: list[float] = [part[index].item() for part in parts]
    if all(map(math.isfinite, values)):
        return sum(map(Fraction, values), Fraction())
    return sum(values)

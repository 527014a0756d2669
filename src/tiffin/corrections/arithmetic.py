"""Arithmetic on images that never wraps: float64 inside, one cast at the end.

No operation is done in an unsigned dtype. Whole numbers stay exact as far as float64
holds them (2**53); a result that overflows is refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.dtypes import INTEGER_DTYPES, cast_exactly, float_dtype_for, integer_limits
from tiffin.errors import CorrectionError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "MOST",
    "Running",
    "average",
    "calculable",
    "divide",
    "mean",
    "prepare_dark",
    "prepare_flat",
    "real",
    "refuse_overflow",
    "row_blocks",
    "subtract",
    "sum_dtype",
    "sum_floats",
    "sum_whole",
]

BLOCK = 2**18
"""Pixels that are worked on together: so many stay in a core's cache."""

LARGEST = 2**53
"""Up to here, float64 holds every whole number."""

MOST = 2**21
"""So many whole numbers of 32 bits have a sum that float64 holds, whatever they are."""


def subtract(image: np.ndarray, dark: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Subtract a dark.

    Parameters
    ----------
    image : ndarray, shape (rows, columns) [counts]
    dark : ndarray, same shape or of no dimension [counts]
    dtype : dtype-like, optional
        Of the result. By default float32 where that holds every value of the image's
        dtype, else float64.

    Raises
    ------
    CorrectionError
        If the shapes differ.
    DtypeError
        If the dtype can't hold a difference, or float64 a number.

    Examples
    --------
    >>> light, dark = np.array([[100]], "uint16"), np.array([[110]], "uint16")
    >>> subtract(light, dark)
    array([[-10.]], dtype=float32)
    """
    wanted = _wanted(image, dark, dtype, "dark")
    if wanted.kind in "iu":
        one, other = (
            calculable(cast_exactly(part, np.dtype("i8"))) for part in (image, dark)
        )
        return cast_exactly(np.subtract(one, other), wanted)
    with np.errstate(over="ignore", invalid="ignore"):
        result = _calculated(np.subtract, image, dark, wanted)
    refuse_overflow(result, image, dark)
    return result


def divide(image: np.ndarray, flat: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Divide by a flat field.

    Parameters
    ----------
    image : ndarray, shape (rows, columns) [counts]
    flat : ndarray, same shape
    dtype : dtype-like, optional
        Of the result, a float; as for `subtract`.

    Raises
    ------
    CorrectionError
        If the shapes differ, or the flat field is zero somewhere.
    DtypeError
        If the dtype can't hold a quotient, or float64 a number.

    Examples
    --------
    >>> divide(np.array([[100, 3]], "uint8"), np.array([[0.5, 3]]))
    array([[200.,   1.]], dtype=float32)
    """
    wanted = _wanted(image, flat, dtype, "flat field")
    if wanted.kind != "f":
        message = f"{wanted} can't hold quotients: divide into a float, then Cast"
        raise DtypeError(message)
    try:
        with np.errstate(divide="raise", over="ignore", under="ignore"):
            result = _calculated(np.divide, image, flat, wanted)
    except FloatingPointError:
        raise CorrectionError("the flat field has pixels that are zero") from None
    refuse_overflow(result, image)
    return result


def prepare_dark(dark: np.ndarray, *, pedestal: float = 0) -> np.ndarray:
    """Take the pedestal off a dark, and never more than there is.

    The dark becomes max(dark - pedestal, 0), so that the light keeps its pedestal and
    no pixel is ever raised.

    Examples
    --------
    A light of 1000 and a dark of 50 that was given a pedestal of 100:

    >>> light, dark = np.array([[1000]], "uint16"), np.array([[50]], "uint16")
    >>> subtract(light, prepare_dark(dark, pedestal=100))
    array([[1000.]], dtype=float32)
    """
    known = calculable(np.asarray(dark))
    if pedestal:
        if not math.isfinite(pedestal):
            message = f"pedestal is a finite number of counts, not {pedestal!r}"
            raise CorrectionError(message)
        known = np.asarray(np.maximum(known.astype(np.float64) - pedestal, 0))
    return _frozen(known)


def prepare_flat(flat: np.ndarray, *, mask: Any = None) -> np.ndarray:
    """Check a flat field for zeros, but for masked pixels, which become 1.

    Raises
    ------
    CorrectionError
        If it is zero, or no number, where there is no mask.
    """
    known = calculable(np.asarray(flat))
    if mask is not None:
        marked = np.asarray(mask)
        if marked.shape != known.shape:
            message = f"the flat field has shape {known.shape}, its mask {marked.shape}"
            raise CorrectionError(message)
        known = np.where(marked != 0, known.dtype.type(1), known)
    bad = (known == 0) | ~np.isfinite(known)
    count = int(np.count_nonzero(bad))
    if count:
        at = tuple(int(axis[0]) for axis in np.nonzero(bad))
        where = f" at row {at[0]}, column {at[1]}" if len(at) > 1 else ""
        message = (
            f"the flat field has {count} pixel{'s' * (count > 1)} that "
            f"{'are' if count > 1 else 'is'} zero or not finite, such as "
            f"{known[at].item()}{where}: give a "
            f"mask of {'them' if count > 1 else 'it'}"
        )
        raise CorrectionError(message)
    return _frozen(known)


def average(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Average images in float64, shape (rows, columns) [counts].

    >>> average(np.array([[[1, 2]], [[2, 2]]], "uint8"))
    array([[1.5, 2. ]])
    """
    known = [real(np.asarray(image)) for image in images]
    shapes = {image.shape for image in known}
    if len(shapes) != 1:
        shown = " and ".join(map(str, sorted(shapes))) or "none"
        message = f"images of one shape are averaged, there are: {shown}"
        raise CorrectionError(message)
    return mean(known, np.dtype("f8"))


def sum_whole(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Add up whole numbers of at most 32 bits, exactly."""
    return np.asarray(np.sum(parts, axis=0, dtype=np.int64))


def sum_floats(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Add up floating-point numbers in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.sum(parts, axis=0, dtype=np.float64).astype(dtype)
    refuse_overflow(result, *parts)
    return np.asarray(result)


def mean(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Average arrays of one shape."""
    running = Running(parts[0].shape, parts[0].dtype)
    for part in parts:
        running.add(part)
    return running.mean(dtype)


def sum_dtype(dtype: np.dtype, count: int, what: str, instead: str) -> np.dtype:
    """Return the smallest dtype of a TIFF that holds every sum of whole numbers."""
    low, high = (count * limit for limit in integer_limits(dtype))
    for name in INTEGER_DTYPES:
        lowest, highest = integer_limits(np.dtype(name))
        if lowest <= low and high <= highest:
            return np.dtype(name)
    if low >= -(2**53) and high <= 2**53:
        return np.dtype("f8")
    message = (
        f"the sum of {count} {what} of {dtype} can be larger than what a TIFF holds "
        f"exactly: Cast to a smaller dtype before, or use {instead}"
    )
    raise DtypeError(message)


class Running:
    """A sum that grows an array at a time: int64 of whole numbers, else float64."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype, self.count = shape, dtype, 0
        whole = dtype.kind in "biu" and dtype.itemsize <= 4
        self._total = np.zeros(shape, np.int64 if whole else np.float64)
        self._overflowed = False

    def add(self, part: np.ndarray) -> None:
        """Add an array of the shape and dtype."""
        calculable(part)
        with np.errstate(over="ignore", invalid="ignore"):
            total = self._total + part
        if self._total.dtype.kind == "f":
            new = np.isinf(total) & np.isfinite(self._total) & np.isfinite(part)
            self._overflowed |= bool(new.any())
        self._total = total
        self.count += 1

    def sum(self, dtype: np.dtype) -> np.ndarray:
        """Return the sum."""
        self._refuse_overflow()
        return self._total.astype(dtype)

    def mean(self, dtype: np.dtype) -> np.ndarray:
        """Return the mean."""
        self._refuse_overflow()
        return (self._total / self.count).astype(dtype)

    def _refuse_overflow(self) -> None:
        if self._overflowed:
            message = (
                f"float64 can't hold the sum of {self.count} frames: it is larger than "
                f"{np.finfo(np.float64).max:.4g}"
            )
            raise DtypeError(message)


def real(array: np.ndarray) -> np.ndarray:
    """Return an array back, if it holds real numbers of at most 64 bits.

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


def calculable(array: np.ndarray) -> np.ndarray:
    """Return an array back, if it holds real numbers, all of which float64 holds.

    Raises
    ------
    DtypeError
    """
    if real(array).dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
        large = max(int(array.max()), int(array.min()), key=abs)
        if abs(large) > LARGEST:
            message = (
                f"whole numbers beyond 2**53 can't be calculated with: float64 would "
                f"round {large}"
            )
            raise DtypeError(message)
    return array


def row_blocks(shape: tuple[int, ...]) -> Iterator[Any]:
    """Return the blocks of rows that an image is worked on in."""
    if not shape:
        yield ...
        return
    rows = max(1, BLOCK // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], rows):
        yield slice(first, first + rows)


def refuse_overflow(result: np.ndarray, *sources: np.ndarray) -> None:
    """Refuse an infinite result that no source explains."""
    if result.dtype.kind != "f":
        return
    infinite = np.isinf(result)
    if not infinite.any():
        return
    for source in sources:
        infinite &= np.isfinite(source)
    if infinite.any():
        limit = np.finfo(result.dtype).max
        message = f"{result.dtype} can't hold a result: it is larger than {limit:.4g}"
        raise DtypeError(message)


def _calculated(
    operation: np.ufunc, image: np.ndarray, other: np.ndarray, wanted: np.dtype
) -> np.ndarray:
    """Calculate a block of rows at a time, which stays in the cache."""
    work = _work(wanted, image, other)
    result = np.empty(image.shape, wanted)
    for rows in row_blocks(image.shape):
        part = other[rows] if other.ndim else other
        result[rows] = operation(image[rows], part, dtype=work)
    return result


def _work(wanted: np.dtype, *sources: np.ndarray) -> np.dtype:
    """Calculate in float32 where that holds all sources exactly, else in float64."""
    single = wanted == np.float32 and all(
        float_dtype_for(s.dtype) == wanted for s in sources
    )
    return np.dtype("f4" if single else "f8")


def _wanted(
    image: np.ndarray, other: np.ndarray, dtype: Any, name: str
) -> np.dtype[Any]:
    calculable(image)
    calculable(other)
    if other.ndim and other.shape != image.shape:
        message = f"the image has shape {image.shape}, the {name} {other.shape}"
        raise CorrectionError(message)
    wanted = float_dtype_for(image.dtype) if dtype is None else np.dtype(dtype)
    wanted = wanted.newbyteorder("=")
    if wanted.kind not in "iu" and wanted not in (np.float32, np.float64):
        message = f"{wanted} can't hold the result: ask for float32 or float64"
        raise DtypeError(message)
    return wanted


def _frozen(array: np.ndarray) -> np.ndarray:
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    native.flags.writeable = False
    return native

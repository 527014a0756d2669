"""Subtract a dark, divide by a flat field: each result rounded at most once.

An operation on float64 is exact or correctly rounded already; care is needed where a
result is rounded a second time, to float32, and where whole numbers have more than 53
bits. The few pixels that floats can't settle are settled in fractions.
"""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.corrections.sums import (
    LOW32,
    TAME,
    average,
    halves_of,
    is_wide,
    real,
    refuse_overflow,
    repair,
    row_blocks,
)
from tiffin.errors import CorrectionError, DtypeError
from tiffin.exact import (
    TIE,
    TIE_BITS,
    cast_exactly,
    float_for,
    limits_of,
    may_tie,
    to_odd,
    two_product,
    two_sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["average", "divide", "prepare_dark", "prepare_flat", "subtract"]

_threads = threading.local()


def subtract(
    image: np.ndarray, dark: np.ndarray, dtype: Any = None, *, out: Any = None
) -> np.ndarray:
    """Subtract a dark: the image less the dark, rounded once, never wrapped.

    Parameters
    ----------
    image : ndarray, shape (rows, columns) [counts]
        Of any real dtype up to 64 bits.
    dark : ndarray, shape (rows, columns), or of no dimension [counts]
        Best as `prepare_dark` gives it.
    dtype : dtype-like, optional
        By default float32 where it holds every value of the image's dtype, else
        float64.
    out : ndarray of `dtype`, shape (rows, columns), optional
        To be written to.

    Returns
    -------
    ndarray of `dtype`, shape (rows, columns) [counts]

    Raises
    ------
    CorrectionError
        If the shapes differ.
    DtypeError
        If `dtype` can't hold a difference: whole numbers are kept exactly or refused,
        floating-point numbers never overflow.

    Examples
    --------
    >>> light, dark = np.array([[100]], "uint16"), np.array([[110]], "uint16")
    >>> subtract(light, dark)
    array([[-10.]], dtype=float32)
    >>> light - dark
    array([[65526]], dtype=uint16)
    """
    wanted = _wanted(image, dark, dtype, "dark")
    result = _room(image.shape, wanted, out)
    step = _subtract_double
    if wanted.kind in "iu":
        step = _subtract_whole
    elif is_wide(image) or is_wide(dark):
        step = _subtract_wide
    elif wanted == np.float32 and _single(image) and _single(dark):
        step = _subtract_single
    _by_rows(step, image, dark, result)
    return result


def divide(
    image: np.ndarray, flat: np.ndarray, dtype: Any = None, *, out: Any = None
) -> np.ndarray:
    """Divide by a flat field: image / flat, rounded once.

    Parameters
    ----------
    image : ndarray, shape (rows, columns) [counts]
    flat : ndarray, shape (rows, columns), or of no dimension
        As `prepare_flat` gives it: without zeros.
    dtype : dtype-like, optional
        A floating-point dtype; by default float32 where it holds every value of the
        image's dtype, else float64.
    out : ndarray of `dtype`, shape (rows, columns), optional
        To be written to.

    Returns
    -------
    ndarray of `dtype`, shape (rows, columns)

    Raises
    ------
    CorrectionError
        If the shapes differ, or a pixel would be divided by zero.
    DtypeError
        If `dtype` is one of whole numbers, or overflows.

    Examples
    --------
    >>> divide(np.array([[100, 3]], "uint8"), np.array([[0.5, 3]]))
    array([[200.,   1.]], dtype=float32)
    """
    wanted = _wanted(image, flat, dtype, "flat field")
    if wanted.kind != "f":
        message = f"{wanted} can't hold quotients: divide into a float, then Cast"
        raise DtypeError(message)
    result = _room(image.shape, wanted, out)
    single = wanted == np.float32 and _single(image) and _single(flat)
    try:
        with np.errstate(divide="raise", over="ignore", under="ignore"):
            _by_rows(_divide_single if single else _divide_double, image, flat, result)
    except FloatingPointError:
        raise CorrectionError("the flat field has pixels that are zero") from None
    return result


def prepare_dark(
    dark: np.ndarray, image_dtype: Any, dtype: Any = None, *, pedestal: float = 0
) -> np.ndarray:
    """Put a dark into the form that `subtract` is quickest with, once.

    Parameters
    ----------
    dark : ndarray, shape (rows, columns), or of no dimension [counts]
    image_dtype : dtype-like
        Of the images that it will be subtracted from.
    dtype : dtype-like, optional
        That of the results, as for `subtract`.
    pedestal : number
        What the detector adds to each image, and the dark holds too [counts]. The dark
        becomes max(dark - pedestal, 0), so that the light keeps its pedestal and no
        pixel is ever raised.

    Returns
    -------
    ndarray, same shape, read-only
        Of the same values: as float32 if that holds them all, and suffices.

    Examples
    --------
    A light of 1000 and a dark of 50 that was given a pedestal of 100:

    >>> light, dark = np.array([[1000]], "uint16"), np.array([[50]], "uint16")
    >>> subtract(light, prepare_dark(dark, light.dtype, pedestal=100))
    array([[1000.]], dtype=float32)
    """
    image_dtype = np.dtype(image_dtype)
    wanted = _chosen(image_dtype, dtype)
    known = real(np.asarray(dark))
    if pedestal:
        known = _above(known, pedestal)
    return _frozen(_quickest(known, image_dtype, wanted))


def prepare_flat(
    flat: np.ndarray, image_dtype: Any, dtype: Any = None, *, mask: Any = None
) -> np.ndarray:
    """Put a flat field into the form that `divide` is quickest with, once.

    Parameters
    ----------
    flat : ndarray, shape (rows, columns)
    image_dtype, dtype : dtype-like
        As for `prepare_dark`.
    mask : ndarray, shape (rows, columns), optional
        Where it is not zero the flat may be anything, and becomes 1: masked pixels
        stay as they are.

    Returns
    -------
    ndarray, same shape, read-only

    Raises
    ------
    CorrectionError
        If a pixel is zero, NaN or infinite, and not masked.

    Examples
    --------
    >>> prepare_flat(np.array([[2, 0]]), "uint16")
    Traceback (most recent call last):
      ...
    tiffin.errors.CorrectionError: the flat field has 1 pixel that is zero or not \
finite, such as 0 at row 0, column 1: give a mask of it
    >>> prepare_flat(np.array([[2, 0]]), "uint16", mask=np.array([[0, 1]]))
    array([[2., 1.]], dtype=float32)
    """
    image_dtype = np.dtype(image_dtype)
    known = real(np.asarray(flat))
    if mask is not None:
        known = np.where(_masked(mask, known.shape), known.dtype.type(1), known)
    _refuse_zeros(known)
    wanted = _chosen(image_dtype, dtype)
    return _frozen(_quickest(known, image_dtype, wanted))


def _subtract_single(image: np.ndarray, dark: np.ndarray, out: np.ndarray) -> None:
    # Cast into the result, which stays in the cache, and go on there: one pass.
    out[...] = image
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(out, dark, out=out)
    if image.dtype.kind == "f":
        refuse_overflow(out, image, dark)


def _subtract_double(image: np.ndarray, dark: np.ndarray, out: np.ndarray) -> None:
    values = out if out.dtype == np.float64 else _buffer(out.shape)
    values[...] = image
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(values, dark, out=values)
        if values is not out:
            _round_off_ties(values, image, dark)
            out[...] = values
    if image.dtype.kind == "f" or values is not out:
        refuse_overflow(out, image, dark)


def _round_off_ties(values: np.ndarray, image: np.ndarray, dark: np.ndarray) -> None:
    # As `may_tie`, in memory that is there already: this is the pass that averaged
    # darks cost. Differences of whole numbers are exact where they are that tiny.
    bits, ties = _buffer(values.shape, "i8"), _buffer(values.shape, "?")
    np.bitwise_and(values.view(np.int64), TIE_BITS, out=bits)
    np.equal(bits, TIE, out=ties)
    if image.dtype.kind == "f":
        ties |= may_tie(values)
    if ties.any():
        a = image[ties].astype(np.float64)
        b = np.broadcast_to(dark, image.shape)[ties].astype(np.float64)
        values[ties] = to_odd(*two_sum(a, -b))


def _subtract_wide(image: np.ndarray, dark: np.ndarray, out: np.ndarray) -> None:
    """Subtract where whole numbers have 64 bits: as two or three exact floats."""
    with np.errstate(over="ignore", invalid="ignore"):
        plain = image.astype(np.float64) - dark.astype(np.float64)
        total, lost = _difference(image, dark)
        exact = to_odd(total, lost) if out.dtype == np.float32 else total
        out[...] = np.where(np.isfinite(plain), exact, plain)
    refuse_overflow(out, image, dark)


def _difference(image: np.ndarray, dark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if image.dtype.kind == "f":
        total, lost = _difference(dark, image)
        return -total, -lost
    high, low = halves_of(image)
    if dark.dtype.kind == "f":
        return _sum_of_three(
            high * 2.0**32, low.astype(np.float64), -dark.astype(np.float64)
        )
    more = halves_of(dark)
    return two_sum((high - more[0]) * 2.0**32, (low - more[1]).astype(np.float64))


def _sum_of_three(
    a: np.ndarray, b: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add three floats, rounding once (Boldo and Melquiond, 2008)."""
    upper, lower = two_sum(b, c)
    total, rest = two_sum(a, upper)
    return two_sum(total, to_odd(*two_sum(rest, lower)))


def _subtract_whole(image: np.ndarray, dark: np.ndarray, out: np.ndarray) -> None:
    if "f" in (image.dtype.kind, dark.dtype.kind):
        out[...] = cast_exactly(_exact_float(image, dark, out.dtype), out.dtype)
    elif is_wide(image) or is_wide(dark):
        out[...] = _join(*_halves_less(image, dark), out.dtype)
    else:
        difference = np.subtract(image, dark, dtype=np.int64)
        out[...] = cast_exactly(difference, out.dtype)


def _exact_float(image: np.ndarray, dark: np.ndarray, dtype: np.dtype) -> np.ndarray:
    double = np.dtype(np.float64)
    a, b = cast_exactly(image, double), cast_exactly(dark, double)
    with np.errstate(over="ignore", invalid="ignore"):
        total, lost = two_sum(a, -b)
    if (np.isfinite(total) & (lost != 0)).any():
        message = f"{dtype} can't hold the differences exactly: ask for float64"
        raise DtypeError(message)
    return total


def _divide_single(image: np.ndarray, flat: np.ndarray, out: np.ndarray) -> None:
    out[...] = image
    np.divide(out, flat, out=out)
    if "f" in (image.dtype.kind, flat.dtype.kind):
        refuse_overflow(out, image)


def _divide_double(image: np.ndarray, flat: np.ndarray, out: np.ndarray) -> None:
    values = out if out.dtype == np.float64 else _buffer(out.shape)
    values[...] = image
    divisor = flat.astype(np.float64, copy=False)
    np.divide(values, divisor, out=values)
    doubtful = _rounded_before(image) | _rounded_before(flat)
    if values is not out:
        doubtful = doubtful | _round_quotients(values, image, divisor)
        out[...] = values
    known = np.broadcast_to(flat, image.shape)
    if doubtful.any():
        doubtful = np.broadcast_to(doubtful, image.shape) & np.isfinite(values)
        repair(
            out,
            doubtful,
            lambda at: Fraction(image[at].item()) / Fraction(known[at].item()),
        )
    refuse_overflow(out, image)


def _round_quotients(
    values: np.ndarray, image: np.ndarray, divisor: np.ndarray
) -> np.ndarray:
    """Round ties to odd; tell where the numbers are too large or small for that."""
    ties = may_tie(values)
    if not ties.any():
        return ties
    a, q = image[ties].astype(np.float64), values[ties]
    b = np.broadcast_to(divisor, image.shape)[ties]
    with np.errstate(invalid="ignore"):
        product, rest = two_product(q, b)
        values[ties] = to_odd(q, ((a - product) - rest) * np.sign(b))
    ties[ties] = ~(_tame(a) & _tame(b) & _tame(q))
    return ties


def _tame(a: np.ndarray) -> np.ndarray:
    size = np.abs(a)
    return np.asarray((size < TAME) & (size > 1 / TAME))


def _rounded_before(array: np.ndarray) -> np.ndarray:
    """Tell where float64 may not hold a value."""
    if not is_wide(array):
        return np.zeros((), bool)
    high = array > 2**53
    return high | (array < -(2**53)) if array.dtype.kind == "i" else high


def _wanted(
    image: np.ndarray, other: np.ndarray, dtype: Any, name: str
) -> np.dtype[Any]:
    real(image)
    real(other)
    if other.ndim and other.shape != image.shape:
        message = f"the image has shape {image.shape}, the {name} {other.shape}"
        raise CorrectionError(message)
    wanted = _chosen(image.dtype, dtype)
    if wanted.kind not in "iu" and wanted not in (np.float32, np.float64):
        message = f"{wanted} can't hold the result: ask for float32 or float64"
        raise DtypeError(message)
    return wanted


def _chosen(image_dtype: np.dtype, dtype: Any) -> np.dtype[Any]:
    wanted = float_for(image_dtype) if dtype is None else np.dtype(dtype)
    return wanted.newbyteorder("=")


def _room(shape: tuple[int, ...], dtype: np.dtype, out: Any) -> np.ndarray:
    if out is None:
        return np.empty(shape, dtype)
    if out.dtype != dtype or out.shape != shape:
        message = (
            f"out has shape {out.shape} and dtype {out.dtype}, "
            f"wanted {shape} and {dtype}"
        )
        raise CorrectionError(message)
    known: np.ndarray = out
    return known


def _by_rows(
    step: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
    image: np.ndarray,
    other: np.ndarray,
    out: np.ndarray,
) -> None:
    for rows in row_blocks(image.shape):
        step(image[rows], other[rows] if other.ndim else other, out[rows])


def _buffer(shape: tuple[int, ...], dtype: str = "f8") -> np.ndarray:
    """Give this thread's block of a dtype: new memory costs more than the sums."""
    held = _threads.__dict__
    size = math.prod(shape)
    if dtype not in held or held[dtype].size < size:
        held[dtype] = np.empty(size, dtype)
    block: np.ndarray = held[dtype][:size].reshape(shape)
    return block


def _single(array: np.ndarray) -> bool:
    return np.can_cast(array.dtype, np.float32, "safe")


def _halves_less(image: np.ndarray, dark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    high, low = halves_of(image)
    more = halves_of(dark)
    low = low - more[1]
    return high - more[0] + (low >> 32), low & LOW32


def _join(high: np.ndarray, low: np.ndarray, dtype: np.dtype) -> np.ndarray:
    lowest, highest = limits_of(dtype)
    ends = [_end(high, low, np.min), _end(high, low, np.max)] if high.size else [0]
    if ends[0] < lowest or ends[-1] > highest:
        message = (
            f"{dtype} holds {lowest} to {highest}, "
            f"the difference goes from {ends[0]} to {ends[-1]}"
        )
        raise DtypeError(message)
    if dtype == np.uint64:
        # Nothing is lost: the upper half has 32 bits here, and none of them a sign.
        return np.asarray((high.astype(np.uint64) << 32) | low.astype(np.uint64))
    return np.asarray((high << 32) | low).astype(dtype)


def _end(high: np.ndarray, low: np.ndarray, which: Callable[..., Any]) -> int:
    end = int(which(high))
    return (end << 32) + int(which(low[high == end]))


def _above(dark: np.ndarray, pedestal: float) -> np.ndarray:
    if not math.isfinite(pedestal):
        message = f"pedestal is a finite number of counts, not {pedestal!r}"
        raise CorrectionError(message)
    whole = dark.dtype.kind in "biu" and float(pedestal).is_integer()
    step = np.asarray(int(pedestal) if whole else float(pedestal))
    less = subtract(dark, step, "int64" if whole else "float64")
    return np.asarray(np.maximum(less, 0))


def _masked(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    known = np.asarray(mask)
    if known.shape != shape:
        message = f"the flat field has shape {shape}, its mask {known.shape}"
        raise CorrectionError(message)
    return np.asarray(known != 0)


def _refuse_zeros(flat: np.ndarray) -> None:
    bad = (flat == 0) | ~np.isfinite(flat)
    count = int(np.count_nonzero(bad))
    if not count:
        return
    at = tuple(int(axis[0]) for axis in np.nonzero(bad))
    where = f" at row {at[0]}, column {at[1]}" if len(at) > 1 else ""
    message = (
        f"the flat field has {count} pixel{'s' * (count > 1)} that "
        f"{'are' if count > 1 else 'is'} zero or not finite, such as "
        f"{flat[at].item()}{where}: give a "
        f"mask of {'them' if count > 1 else 'it'}"
    )
    raise CorrectionError(message)


def _quickest(known: np.ndarray, image_dtype: np.dtype, wanted: np.dtype) -> np.ndarray:
    if wanted == np.float32 and np.can_cast(image_dtype, np.float32, "safe"):
        choices = ["f4", "f8"]
    else:
        choices = ["i8"] if wanted.kind in "iu" else ["f8"]
    for choice in choices:
        cast = _if_held(known, np.dtype(choice))
        if cast is not None:
            return cast
    return known


def _if_held(known: np.ndarray, dtype: np.dtype) -> np.ndarray | None:
    try:
        cast = cast_exactly(known, dtype)
    except DtypeError:
        return None
    both = known.dtype.kind == dtype.kind == "f"
    if both and not np.array_equal(cast, known, equal_nan=True):
        return None
    return cast


def _frozen(array: np.ndarray) -> np.ndarray:
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    native.flags.writeable = False
    return native

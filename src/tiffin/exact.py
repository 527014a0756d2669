"""Change an array's dtype, or refuse: never a wrapped or lost count.

Beside it stand the few tools of exact arithmetic: what a float64 operation lost is a
float64 too, and a result rounded *to odd* can be rounded again without harm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import DtypeError

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = [
    "FLOATING",
    "MAKE_REAL",
    "TIE",
    "TIE_BITS",
    "WHOLE",
    "cast_exactly",
    "float_for",
    "fractional",
    "holders",
    "limits_of",
    "may_tie",
    "nearest",
    "refuse_masked",
    "to_odd",
    "two_product",
    "two_sum",
]

WHOLE = ("uint8", "uint16", "uint32", "int8", "int16", "int32")
FLOATING = ("float32", "float64")
"""With `WHOLE`, the dtypes that a TIFF holds and that readers agree on."""

MAKE_REAL = (
    "make real numbers of them by a correction, as in "
    "corrections=[lambda image, frame: abs(image)]"
)
"""What to do with complex numbers."""

TIE_BITS = 0x1FFFFFFF
TIE = 0x10000000
"""The bits of a float64 that float32 has no room for, and what they are on a tie."""


def cast_exactly(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Cast without losing a count.

    Whole numbers stay the same whole numbers; floating-point numbers may be rounded
    to the nearest of a smaller floating-point dtype, but never overflow.

    Parameters
    ----------
    array : ndarray, any shape [counts]
    dtype : numpy.dtype

    Returns
    -------
    ndarray, same shape
        `array` itself where it has that dtype already.

    Raises
    ------
    DtypeError
        Naming what the dtype can't hold.
    """
    dtype = np.dtype(dtype)
    if array.dtype == dtype or not array.size:
        return array.astype(dtype, copy=False)
    if array.dtype.kind not in "biuf" or dtype.kind not in "iuf":
        message = f"{array.dtype} can't become {dtype}: only real numbers can be cast"
        advice = f"; {MAKE_REAL}" if array.dtype.kind == "c" else ""
        raise DtypeError(message + advice)
    if dtype.kind == "f":
        return _to_float(array, dtype)
    if array.dtype.kind == "f":
        _check_whole(array, dtype)
    _check_range(array, dtype)
    return array.astype(dtype)


def _check_whole(array: np.ndarray, dtype: np.dtype) -> None:
    if not np.isfinite(array).all():
        message = f"the image holds NaN or infinity, which {dtype} can't"
        raise DtypeError(message)
    if (np.rint(array) != array).any():
        message = (
            f"the image holds fractions, which {dtype} can't: "
            f"ask for {fractional(array.dtype)}"
        )
        raise DtypeError(message)


def fractional(dtype: np.dtype) -> str:
    """Name the float that keeps the fractions of another, as far as a TIFF has one."""
    return "float32" if dtype.itemsize <= 4 else "float64"


def _check_range(array: np.ndarray, dtype: np.dtype) -> None:
    # Python's own integers: comparing numpy's across dtypes may itself round or wrap.
    low, high = int(array.min()), int(array.max())
    limits = np.iinfo(dtype)
    if low < int(limits.min) or high > int(limits.max):
        message = (
            f"{dtype} holds {limits.min} to {limits.max}, "
            f"the image goes from {low} to {high}"
        )
        raise DtypeError(message)


def _to_float(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if array.dtype.kind == "f":
        if (np.isinf(cast) & np.isfinite(array)).any():
            message = f"{dtype} can't hold {np.abs(array[np.isinf(cast)]).max()}"
            advice = ": ask for float64" if array.dtype == np.float64 else ""
            raise DtypeError(message + advice)
        return cast
    count = _rounded(array, cast)
    if count is not None:
        names = " or ".join(holders(array)[::-1])
        message = f"{dtype} would round {count}"
        raise DtypeError(f"{message}: ask for {names}" if names else message + NONE)
    return cast


NONE = ", and no dtype that a TIFF holds has all values exactly"


def _rounded(whole: np.ndarray, cast: np.ndarray) -> int | None:
    """Find a whole number that a cast to floats has changed."""
    exact = 2 ** (np.finfo(cast.dtype).nmant + 1)
    if whole.dtype.kind == "b" or max(-int(whole.min()), int(whole.max())) <= exact:
        return None
    # Rare and large: compare as Python's integers, which never round.
    large = whole > exact
    if whole.dtype.kind == "i":
        large |= whole < -exact
    pairs = zip(whole[large].tolist(), cast[large].tolist(), strict=True)
    return next((count for count, rounded in pairs if rounded != count), None)


def holders(whole: np.ndarray) -> list[str]:
    """Name which of the largest dtypes of a TIFF hold all of some whole numbers.

    Examples
    --------
    >>> holders(np.array([1, 2**31])), holders(np.array([-1, 2**53 + 1]))
    (['uint32', 'float64'], [])
    """
    low, high = int(whole.min()), int(whole.max())
    limits = {name: limits_of(np.dtype(name)) for name in ("uint32", "int32")}
    names = [n for n, (least, most) in limits.items() if least <= low and high <= most]
    exact = _rounded(whole, whole.astype(np.float64)) is None
    return [*names, *(["float64"] if exact else [])]


def limits_of(dtype: np.dtype) -> tuple[int, int]:
    """Give the lowest and highest value of a dtype of whole numbers.

    Examples
    --------
    >>> limits_of(np.dtype("int16")), limits_of(np.dtype(bool))
    ((-32768, 32767), (0, 1))
    """
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def float_for(dtype: np.dtype) -> np.dtype:
    """Give float32 where it holds every value of a dtype exactly, else float64.

    Examples
    --------
    >>> [float_for(np.dtype(name)).name for name in ("uint16", "float32", "uint32")]
    ['float32', 'float32', 'float64']
    """
    return np.dtype("f4" if np.can_cast(dtype, "f4", "safe") else "f8")


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add, and give what the addition lost: a + b is their sum exactly.

    Parameters
    ----------
    a, b : ndarray of float64

    Returns
    -------
    total, lost : ndarray of float64
        `lost` is NaN where the total is not finite.

    Examples
    --------
    >>> [float(part) for part in two_sum(np.float64(1e16), np.float64(1))]
    [1e+16, 1.0]
    """
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiply, and give what the multiplication lost.

    Exact as long as factors and product lie within 2**-900 to 2**900, or are 0.

    Parameters
    ----------
    a, b : ndarray of float64

    Returns
    -------
    product, lost : ndarray of float64

    Examples
    --------
    >>> third = np.float64(1 / 3)
    >>> product, lost = two_product(third, third)
    >>> from fractions import Fraction
    >>> Fraction(float(product)) + Fraction(float(lost)) == Fraction(1 / 3) ** 2
    True
    """
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    lost = a_low * b_low - (
        ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
    )
    return product, lost


def _halves(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split 53 bits into two parts whose products are exact (Veltkamp)."""
    shifted = a * 134217729.0
    high = shifted - (shifted - a)
    return high, a - high


def to_odd(rounded: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Round to odd what was rounded to nearest.

    An inexact result gets an odd last bit, which keeps it off every tie of a smaller
    dtype: rounded to float32 it gives what the exact value would have given.

    Parameters
    ----------
    rounded : ndarray of float64
        The exact value, rounded to nearest.
    lost : ndarray of float64
        Of the sign of the exact value less `rounded`, and 0 only where that is 0.

    Examples
    --------
    >>> tie = np.array([1 + 2.0**-24])
    >>> to_odd(tie, np.array([2.0**-80])).astype("f4") > 1
    array([ True])
    """
    even = (rounded.view(np.int64) & 1) == 0
    moves = even & ((lost > 0) | (lost < 0))
    with np.errstate(over="ignore", under="ignore"):
        beside = np.nextafter(rounded, np.copysign(np.inf, lost))
    return np.where(moves, beside, rounded)


def may_tie(a: np.ndarray) -> np.ndarray:
    """Tell where a float64 may lie in the middle between two neighbours of float32.

    Everywhere else, rounding twice gives the same as rounding once.

    Parameters
    ----------
    a : ndarray of float64

    Returns
    -------
    ndarray of bool

    Examples
    --------
    >>> may_tie(np.array([1 + 2.0**-24, 1 + 2.0**-25, 1.0]))
    array([ True, False, False])
    """
    ties = (a.view(np.int64) & TIE_BITS) == TIE
    # float32's subnormal numbers have fewer bits: taken together, as they are rare.
    tiny = (np.abs(a) < float(np.finfo("f4").tiny)) & (a != 0)
    return np.asarray(ties | tiny)


def nearest(value: Fraction, dtype: np.dtype) -> float:
    """Round a fraction once, to float32 or float64.

    Parameters
    ----------
    value : Fraction
    dtype : numpy.dtype

    Returns
    -------
    float
        Infinite where the dtype has no finite number near.

    Examples
    --------
    >>> from fractions import Fraction
    >>> nearest(Fraction(1, 3), np.dtype("f4"))
    0.3333333432674408
    """
    try:
        rounded = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    if dtype.itemsize == 8 or math.isinf(rounded):
        return rounded
    lost = value - type(value)(rounded)
    odd = to_odd(np.array([rounded]), np.array([(lost > 0) - (lost < 0)]))
    with np.errstate(over="ignore", under="ignore"):
        return float(odd.astype(np.float32)[0])


def refuse_masked(image: Any) -> None:
    """Refuse masked pixels: no TIFF has a mask, and what is behind it counts nothing.

    Parameters
    ----------
    image : array-like

    Raises
    ------
    DtypeError
        If any pixel is masked.

    Examples
    --------
    >>> refuse_masked(np.ma.masked_less([[1, 2]], 2))
    Traceback (most recent call last):
      ...
    tiffin.errors.DtypeError: 1 pixels are masked, and a TIFF has no mask: say what \
stands there, as with image.filled(0)
    """
    if isinstance(image, np.ma.MaskedArray):
        masked = int(np.count_nonzero(np.ma.getmaskarray(image)))
        if masked:
            message = (
                f"{masked} pixels are masked, and a TIFF has no mask: say what stands "
                f"there, as with image.filled(0)"
            )
            raise DtypeError(message)

"""Change an array's dtype, or refuse: never a wrapped or lost count."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiffin.errors import DtypeError

__all__ = [
    "FLOATING",
    "MAKE_REAL",
    "WHOLE",
    "cast_exactly",
    "float_for",
    "fractional",
    "holders",
    "limits_of",
    "refuse_masked",
]

WHOLE = ("uint8", "uint16", "uint32", "int8", "int16", "int32")
FLOATING = ("float32", "float64")
"""With `WHOLE`, the dtypes that a TIFF holds and that readers agree on."""

MAKE_REAL = (
    "make real numbers of them by a correction, as in "
    "corrections=[lambda image, frame: abs(image)]"
)
"""What to do with complex numbers."""


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
    """Return the lowest and highest value of a dtype of whole numbers.

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
    """Return float32 where it holds every value of a dtype exactly, else float64.

    Examples
    --------
    >>> [float_for(np.dtype(name)).name for name in ("uint16", "float32", "uint32")]
    ['float32', 'float32', 'float64']
    """
    return np.dtype("f4" if np.can_cast(dtype, "f4", "safe") else "f8")


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

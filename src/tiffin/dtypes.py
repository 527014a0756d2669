"""Cast arrays to other dtypes without losing or wrapping a count."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import DtypeError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

INTEGER_DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32")
FLOAT_DTYPES = ("float32", "float64")
TIFF_DTYPES = (*INTEGER_DTYPES, *FLOAT_DTYPES)
"""The dtypes that programs read in the same way from a TIFF."""

COMPLEX_ADVICE = (
    "make them real with a correction, such as "
    "corrections=[lambda image, frame: abs(image)]"
)
"""What to do with complex numbers."""

NO_DTYPE = ", and no dtype that a TIFF holds has all values exactly"


@lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype) -> str:
    """Return the name of a dtype, which numpy puts together each time it is asked."""
    return dtype.name


def parse_dtype(value: Any, allowed: Sequence[str], setting: str) -> np.dtype:
    """Return the dtype that a user asks for, which must be one of some."""
    dtype: np.dtype | None = None
    with suppress(TypeError, ValueError, SyntaxError):  # numpy parses some as Python
        dtype = None if value is None else np.dtype(value)
    if dtype is None or dtype.name not in allowed:
        message = f"must be one of {', '.join(allowed)}, not {value!r}"
        if dtype is None and isinstance(value, str):
            message += did_you_mean(value, allowed, list_all=False)
        raise SettingsError(message, setting=setting)
    return dtype


def cast_exactly(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Cast an array, or raise a `DtypeError` if values would be lost.

    Integers keep their value. Floats may be rounded to a smaller float dtype, but never
    become infinite. An array that has the dtype already is returned itself.
    """
    dtype = np.dtype(dtype)
    if array.dtype == dtype or not array.size:
        return array.astype(dtype, copy=False)
    if array.dtype.kind not in "biuf" or dtype.kind not in "iuf":
        message = f"can't cast {array.dtype} to {dtype}: only real numbers can be cast"
        advice = f"; {COMPLEX_ADVICE}" if array.dtype.kind == "c" else ""
        raise DtypeError(message + advice)
    if dtype.kind == "f":
        return _to_float(array, dtype)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            message = f"the image has NaN or infinite pixels, which {dtype} can't hold"
            raise DtypeError(message)
        refuse_fractions(array, dtype)
    _check_range(array, dtype)
    return array.astype(dtype)


def refuse_fractions(array: np.ndarray, dtype: np.dtype) -> None:
    """Raise if floats that are to become a dtype of integers have fractions."""
    if (np.rint(array) != array).any():
        message = (
            f"the image has fractions, which {dtype} can't hold: "
            f"dtype='{float_dtype_for(array.dtype)}' keeps them, "
            f"corrections=[Cast('{dtype}', rounding='half-even')] rounds them"
        )
        raise DtypeError(message)


def _check_range(array: np.ndarray, dtype: np.dtype) -> None:
    # As Python integers: numpy may round or wrap when it compares different dtypes.
    low, high = int(array.min()), int(array.max())
    lowest, highest = integer_limits(dtype)
    if low < lowest or high > highest:
        message = (
            f"{dtype} holds {lowest} to {highest}, the image goes from {low} to {high}"
            f": {_wider(array.dtype, low, high)}"
            f"corrections=[Cast('{dtype}', overflow='clip')] clips it"
        )
        raise DtypeError(message)


def _wider(dtype: np.dtype, low: int, high: int) -> str:
    """Return advice with a dtype of a TIFF that holds a range, if any.

    It is that of the image, which holds other images too, or else the smallest.
    """
    names = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
    for name in (dtype.name, *names) if dtype.name in names else names:
        lowest, highest = integer_limits(np.dtype(name))
        if lowest <= low and high <= highest:
            return f"dtype={name!r} holds it, "
    return ""


def _to_float(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if array.dtype.kind == "f":
        if (np.isinf(cast) & np.isfinite(array)).any():
            message = f"{dtype} can't hold {np.abs(array[np.isinf(cast)]).max()}"
            advice = ": ask for float64" if array.dtype == np.float64 else ""
            raise DtypeError(message + advice)
        return cast
    value = _first_rounded(array, cast)
    if value is not None:
        names = " or ".join(dtypes_that_hold(array)[::-1])
        advice = f": ask for {names}" if names else NO_DTYPE
        raise DtypeError(f"{dtype} would round {value}{advice}")
    return cast


def _first_rounded(integers: np.ndarray, cast: np.ndarray) -> int | None:
    """Return the first integer that a cast to floats has changed."""
    exact = 2 ** (np.finfo(cast.dtype).nmant + 1)
    low, high = integer_limits(integers.dtype)
    if high <= exact or max(-int(integers.min()), int(integers.max())) <= exact:
        return None
    # Large values are rare: compare them as Python integers, which never round.
    large = integers > exact
    if low < 0:
        large |= integers < -exact
    pairs = zip(integers[large].tolist(), cast[large].tolist(), strict=True)
    return next((value for value, rounded in pairs if rounded != value), None)


def dtypes_that_hold(integers: np.ndarray) -> list[str]:
    """Return which of uint32, int32 and float64 hold all values of an integer array.

    Examples
    --------
    >>> dtypes_that_hold(np.array([1, 2**31])), dtypes_that_hold(np.array([2**53 + 1]))
    (['uint32', 'float64'], [])
    """
    low, high = int(integers.min()), int(integers.max())
    limits = {name: integer_limits(np.dtype(name)) for name in ("uint32", "int32")}
    names = [n for n, (lowest, most) in limits.items() if lowest <= low <= high <= most]
    exact = _first_rounded(integers, integers.astype(np.float64)) is None
    return [*names, *(["float64"] if exact else [])]


def integer_limits(dtype: np.dtype) -> tuple[int, int]:
    """Return the lowest and highest value of an integer dtype or bool.

    Examples
    --------
    >>> integer_limits(np.dtype("int16")), integer_limits(np.dtype(bool))
    ((-32768, 32767), (0, 1))
    """
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def float_dtype_for(dtype: np.dtype) -> np.dtype:
    """Return float32 if it holds every value of a dtype exactly, else float64.

    Examples
    --------
    >>> [float_dtype_for(np.dtype(name)).name for name in ("uint16", "uint32")]
    ['float32', 'float64']
    """
    return np.dtype("f4" if np.can_cast(dtype, "f4", "safe") else "f8")


def refuse_masked(image: Any) -> None:
    """Raise a `DtypeError` if an array has masked pixels."""
    if isinstance(image, np.ma.MaskedArray):
        masked = int(np.count_nonzero(np.ma.getmaskarray(image)))
        if masked:
            message = (
                f"{masked} pixels are masked, and a TIFF has no mask: the detector or "
                f"correction that masks them must choose their values, as in "
                f"image.filled(0)"
            )
            raise DtypeError(message)

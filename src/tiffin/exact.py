"""Change an array's dtype, or refuse: never a wrapped or lost count."""

from __future__ import annotations

import numpy as np

from tiffin.errors import DtypeError

__all__ = ["cast_exactly"]


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
        raise DtypeError(message)
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
        message = f"the image holds fractions, which {dtype} can't: ask for float32"
        raise DtypeError(message)


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
            raise DtypeError(message)
        return cast
    exact = 2 ** (np.finfo(dtype).nmant + 1)
    if array.dtype.kind != "b" and max(-int(array.min()), int(array.max())) > exact:
        # Rare and large: compare as Python's integers, which never round.
        large = (
            (array > exact) | (array < -exact)
            if array.dtype.kind == "i"
            else array > exact
        )
        for count, rounded in zip(
            array[large].tolist(), cast[large].tolist(), strict=True
        ):
            if int(rounded) != count:
                message = f"{dtype} would round {count}: ask for float64 or an integer"
                raise DtypeError(message)
    return cast

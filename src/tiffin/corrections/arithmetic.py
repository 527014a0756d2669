"""Arithmetic on images that never wraps: float64 inside, one cast at the end.

Integers are added up in int64. Nothing is computed in an unsigned dtype. Integers
beyond 2**53, which float64 would round, are refused, and so are results that overflow.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.dtypes import INTEGER_DTYPES, cast_exactly, float_dtype_for, integer_limits
from tiffin.errors import CorrectionError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK = 2**18
"""Pixels that are processed together: they stay in a core's cache."""

LARGEST_EXACT = 2**53
"""float64 holds every integer up to this one."""


def subtract(image: np.ndarray, dark: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Subtract a dark, an image or a scalar; by default into `float_dtype_for`.

    >>> light, dark = np.array([[100]], "uint16"), np.array([[110]], "uint16")
    >>> subtract(light, dark)
    array([[-10.]], dtype=float32)
    """
    _check_operands(image, dark, "dark")
    wanted = np.dtype(dtype or float_dtype_for(image.dtype)).newbyteorder("=")
    if wanted.kind == "f":
        return _in_blocks(np.subtract, image, dark, wanted)
    one, other = (
        check_exact_in_float64(cast_exactly(part, np.dtype("i8")))
        for part in (image, dark)
    )
    return cast_exactly(np.subtract(one, other), wanted)


def divide(image: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Divide by a flat field, which has no zeros, into `float_dtype_for`.

    >>> divide(np.array([[100, 3]], "uint8"), np.array([[0.5, 3]]))
    array([[200.,   1.]], dtype=float32)
    """
    _check_operands(image, flat, "flat field")
    return _in_blocks(np.divide, image, flat, float_dtype_for(image.dtype))


def prepare_dark(dark: np.ndarray, *, pedestal: float = 0) -> np.ndarray:
    """Return max(dark - pedestal, 0), read-only: the light keeps its own pedestal.

    >>> light, dark = np.array([[1000]], "uint16"), np.array([[50]], "uint16")
    >>> subtract(light, prepare_dark(dark, pedestal=100))
    array([[1000.]], dtype=float32)
    """
    dark = check_exact_in_float64(np.asarray(dark))
    if pedestal:
        dark = np.asarray(np.maximum(dark.astype(np.float64) - pedestal, 0))
    # A copy in the machine's byte order.
    native = np.array(dark, dtype=dark.dtype.newbyteorder("="), order="C")
    native.flags.writeable = False
    return native


def average(images: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean of images as float64, shape (rows, columns) [counts].

    >>> average(np.array([[[1, 2]], [[2, 2]]], "uint8"))
    array([[1.5, 2. ]])
    """
    images = [np.asarray(image) for image in images]
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        shown = " and ".join(map(str, sorted(shapes))) or "there are none"
        raise CorrectionError(f"can't average images of several shapes: {shown}")
    dtypes = {image.dtype for image in images}
    total = RunningSum(images[0].shape, np.result_type(*dtypes))
    for image in images:
        total.add(image)
    return total.mean(np.dtype("f8"))


class RunningSum:
    """Add up arrays: integers of up to 32 bits in int64, others in float64.

    It has the `shape` and `dtype` of the arrays, and their `count` so far.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype, self.count = shape, dtype, 0
        exact = dtype.kind in "biu" and dtype.itemsize <= 4
        self._total = np.zeros(shape, np.int64 if exact else np.float64)

    def add(self, array: np.ndarray) -> None:
        """Add an array."""
        check_exact_in_float64(array)
        # In place only if it can't fail: a sum that overflows stays what it was.
        out = self._total if self._total.dtype.kind == "i" else None
        with overflow_refused(self._total.dtype, f"the sum of {self.count + 1} values"):
            self._total = np.add(self._total, array, out=out)
        self.count += 1

    def sum(self, dtype: np.dtype) -> np.ndarray:
        """Return the sum."""
        with overflow_refused(dtype, "the sum"):
            return self._total.astype(dtype)

    def mean(self, dtype: np.dtype) -> np.ndarray:
        """Return the mean."""
        with overflow_refused(dtype, "the mean"):
            return (self._total / self.count).astype(dtype)


def sum_dtype(dtype: np.dtype, count: int, what: str, instead: str) -> np.dtype:
    """Return the smallest dtype of a TIFF that holds any sum of so many integers."""
    low, high = (count * limit for limit in integer_limits(dtype))
    for name in INTEGER_DTYPES:
        lowest, highest = integer_limits(np.dtype(name))
        if lowest <= low and high <= highest:
            return np.dtype(name)
    if low >= -LARGEST_EXACT and high <= LARGEST_EXACT:
        return np.dtype("f8")
    message = (
        f"the sum of {count} {what} of {dtype} may be larger than what a TIFF holds "
        f"exactly: Cast to a smaller dtype before, or use {instead}"
    )
    raise DtypeError(message)


@contextmanager
def overflow_refused(dtype: np.dtype, what: str) -> Iterator[None]:
    """Raise if finite numbers become infinite; NaN and infinity pass."""
    try:
        with np.errstate(
            over="raise", divide="raise", under="ignore", invalid="ignore"
        ):
            yield
    except FloatingPointError as error:
        if "divide by zero" in str(error):
            raise CorrectionError("the flat field has pixels that are zero") from None
        limit = np.finfo(dtype).max
        message = f"{dtype} can't hold {what}: it is larger than {limit:.4g}"
        raise DtypeError(message) from None


def check_real(array: np.ndarray) -> np.ndarray:
    """Return an array of real numbers of at most 64 bits; raise for others."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        message = f"can't calculate with {array.dtype}, only with real numbers of up to"
        raise DtypeError(f"{message} 64 bits")
    return array


def check_exact_in_float64(array: np.ndarray) -> np.ndarray:
    """Return an array of real numbers; raise for integers that float64 would round."""
    if (
        check_real(array).dtype.kind in "iu"
        and array.dtype.itemsize == 8
        and array.size
    ):
        large = max(int(array.max()), int(array.min()), key=abs)
        if abs(large) > LARGEST_EXACT:
            message = (
                f"can't calculate with whole numbers beyond 2**53: float64 would round "
                f"{large}"
            )
            raise DtypeError(message)
    return array


def row_blocks(shape: tuple[int, ...]) -> Iterator[Any]:
    """Yield the slices of rows in which an image is processed."""
    rows = max(1, BLOCK // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], rows):
        yield slice(first, first + rows)


def _in_blocks(
    operation: np.ufunc, image: np.ndarray, other: np.ndarray, wanted: np.dtype
) -> np.ndarray:
    """Apply an operation to blocks of rows, which stay in the cache.

    It works in float32 if that holds image, other and result exactly, else in float64.
    """
    dtypes = {wanted, float_dtype_for(image.dtype), float_dtype_for(other.dtype)}
    work = np.dtype("f4") if dtypes == {np.dtype("f4")} else np.dtype("f8")
    result = np.empty(image.shape, wanted)
    with overflow_refused(wanted, "a result"):
        for rows in row_blocks(image.shape):
            part = other[rows] if other.ndim else other
            result[rows] = operation(image[rows], part, dtype=work)
    return result


def _check_operands(image: np.ndarray, other: np.ndarray, name: str) -> None:
    check_exact_in_float64(image)
    check_exact_in_float64(other)
    if other.ndim and other.shape != image.shape:
        message = f"the image has shape {image.shape}, the {name} {other.shape}"
        raise CorrectionError(message)

"""Change an image's values pixel by pixel: scale, threshold, mask."""

from __future__ import annotations

import copy
import hashlib
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tiffin.corrections.arithmetic import (
    check_exact_in_float64,
    check_real,
    overflow_refused,
    row_blocks,
)
from tiffin.corrections.base import PixelCorrection
from tiffin.corrections.checks import Number, check_number, float64_number, set_fields
from tiffin.dtypes import refuse_masked
from tiffin.errors import CorrectionError, DtypeError, SettingsError

if TYPE_CHECKING:
    from tiffin.corrections.base import Notes, RunView


@dataclass(frozen=True, slots=True)
class Scale(PixelCorrection):
    """Multiply and add: image · factor + offset, in float64.

    The result is float32 for images of at most 16 bits, else float64.

    Parameters
    ----------
    factor, offset : number

    Examples
    --------
    >>> Scale(0.5, offset=-1)(np.array([[0, 65535]], "uint16"))
    array([[-1.00000e+00,  3.27665e+04]], dtype=float32)
    """

    factor: Number
    offset: Number = 0

    def __post_init__(self) -> None:
        factor = float64_number("factor", self.factor)
        set_fields(self, factor=factor, offset=float64_number("offset", self.offset))

    def _apply(self, image: np.ndarray, _notes: Notes) -> np.ndarray:
        size = check_exact_in_float64(image).dtype.itemsize
        wanted = np.dtype("f4" if size <= 2 else "f8")
        result = np.empty(image.shape, wanted)
        with overflow_refused(wanted, "a result"):
            for rows in row_blocks(image.shape):
                block = image[rows].astype(np.float64)
                result[rows] = block * self.factor + self.offset
        return result


@dataclass(frozen=True, slots=True)
class Threshold(PixelCorrection):
    """Set values outside a range to 0, and count them.

    Parameters
    ----------
    low, high : number or None
        Pixels below `low` or above `high` become 0 [counts]. NaN stays. At least one is
        needed.

    Examples
    --------
    >>> Threshold(low=10, high=60000)(np.array([[9, 10, 60001]], "uint16"))
    array([[ 0, 10,  0]], dtype=uint16)
    """

    low: Number | None = None
    high: Number | None = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise SettingsError("Threshold needs low, high, or both")
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                value = check_number(name, getattr(self, name))
                set_fields(self, **{name: value})
        if self.low is not None and self.high is not None and self.low > self.high:
            message = f"low={self.low} is above high={self.high}: nothing would be left"
            raise SettingsError(message)

    def _apply(self, image: np.ndarray, notes: Notes) -> np.ndarray:
        values = check_real(image)
        if image.dtype.kind == "b":
            values = image.view(np.uint8)
        outside = np.zeros(image.shape, bool)
        if self.low is not None:
            outside |= values < _least(self.low, values.dtype)
        if self.high is not None:
            outside |= values > -_least(-self.high, values.dtype)
        count = int(np.count_nonzero(outside))
        if not count:
            return image
        notes.clipped += count
        result = image.copy()
        result[outside] = 0
        return result


def _least(bound: Number, dtype: np.dtype) -> Any:
    """Return the least integer or float64, as of the dtype, that is not below a bound.

    numpy compares it with the pixels exactly.
    """
    if dtype.kind != "f":
        return math.ceil(bound)
    try:
        least = float(bound)
    except OverflowError:
        least = math.inf if bound > 0 else -math.inf
    return np.float64(math.nextafter(least, math.inf) if least < bound else least)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Mask(PixelCorrection):
    """Replace the pixels that a mask marks.

    Parameters
    ----------
    file : path, optional
        A file with one image, of the images' shape.
    array : ndarray, shape (rows, columns), optional
        Instead of a file. Pixels that are not zero in it are replaced.
    fill : number
        The new value. The images' dtype must hold it exactly; NaN needs floats.

    Examples
    --------
    >>> Mask(array=np.array([[0, 1]]), fill=7)(np.array([[1, 2]], "uint8"))
    array([[1, 7]], dtype=uint8)
    >>> Mask(array=np.array([[0, 1]]), fill=-1)(np.array([[1, 2]], "uint8"))
    Traceback (most recent call last):
      ...
    tiffin.errors.DtypeError: uint8 can't hold fill=-1 exactly
    >>> print(Mask(file="bad.tif", fill=0))
    Mask(file='bad.tif', fill=0)
    """

    file: Any = None
    array: Any = None
    fill: Number

    def __post_init__(self) -> None:
        set_fields(self, fill=check_number("fill", self.fill, finite=False))
        if (self.file is None) == (self.array is None):
            raise SettingsError("Mask needs a file or an array, and not both")
        if self.array is not None:
            set_fields(self, array=_as_mask(self.array))
            return
        try:
            set_fields(self, file=os.fsdecode(self.file))
        except TypeError:
            raise SettingsError(f"file must be a path, not {self.file!r}") from None

    def __repr__(self) -> str:
        if self.file is not None:
            return f"Mask(file={self.file!r}, fill={self.fill!r})"
        shape, count = self.array.shape, np.count_nonzero(self.array)
        array = f"<{count} of shape {shape}, {_checksum(self.array)}>"
        return f"Mask(array={array}, fill={self.fill!r})"

    def __eq__(self, other: object) -> bool:
        # Arrays and NaN have no equality of their own.
        return isinstance(other, Mask) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def bind(self, run: RunView | None = None, /) -> Self:
        """Return the mask with its file read, which must have one image."""
        if self.file is None or run is None:
            return self
        image = np.asarray(run.of_file(self.file).read())
        if image.ndim == 3 and len(image) == 1:
            image = image[0]
        if image.ndim != 2:
            message = f"{self}: a mask is one image, the file has shape {image.shape}"
            raise CorrectionError(message)
        bound = copy.copy(self)
        set_fields(bound, array=_as_mask(image))
        return bound

    def _apply(self, image: np.ndarray, notes: Notes) -> np.ndarray:
        if self.array is None:
            message = (
                f"{self} has not read its file: call bind(run), and then its result"
            )
            raise CorrectionError(message)
        if self.array.shape != image.shape[:2]:
            message = f"the image has shape {image.shape}, the mask {self.array.shape}"
            raise CorrectionError(message)
        fill = _exactly(self.fill, check_real(image).dtype)
        result = image.copy()
        mask = self.array if image.ndim == 2 else self.array[..., np.newaxis]
        np.copyto(result, fill, where=mask)
        if self.file is not None:
            checksum = _checksum(self.array)
            notes.used.append({"role": "mask", "file": self.file, "checksum": checksum})
        return result


def _as_mask(array: Any) -> np.ndarray:
    refuse_masked(array)
    array = np.asarray(array)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        message = (
            f"a mask must be an array of numbers, shape (rows, columns), not "
            f"{array.dtype}, shape {array.shape}"
        )
        raise SettingsError(message)
    mask = np.ascontiguousarray(array != 0)
    mask.flags.writeable = False
    return mask


def _checksum(mask: np.ndarray) -> str:
    """Return a checksum of a mask's shape and pixels.

    >>> _checksum(np.array([[True, False]]))
    'sha256:34c9c0a95369f167'
    """
    shape = ",".join(map(str, mask.shape)).encode()
    packed = np.packbits(mask).tobytes()
    return "sha256:" + hashlib.sha256(shape + b":" + packed).hexdigest()[:16]


def _exactly(fill: Number, dtype: np.dtype) -> Any:
    """Return a number as a dtype; raise if that would change it.

    >>> _exactly(65535, np.dtype("uint16"))
    np.uint16(65535)
    """
    with np.errstate(all="ignore"), suppress(OverflowError, ValueError):
        value = dtype.type(fill)
        # As Python numbers: numpy would round the one that it compares.
        if value.item() == fill or (dtype.kind == "f" and math.isnan(fill)):
            return value
    message = f"{dtype} can't hold fill={fill!r} exactly"
    raise DtypeError(message)

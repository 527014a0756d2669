"""Change an image's values, pixel by pixel: scale, threshold, mask."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.corrections.arithmetic import calculable, real, refuse_overflow
from tiffin.corrections.cast import Plain
from tiffin.corrections.numbers import Number, double, is_finite, number
from tiffin.dtypes import integer_limits, refuse_masked
from tiffin.errors import CorrectionError, DtypeError, SettingsError

if TYPE_CHECKING:
    from tiffin.corrections.step import Bound, Notes, RunView
    from tiffin.frames import Frame

__all__ = ["Mask", "Scale", "Threshold"]


@dataclass(frozen=True, slots=True)
class Scale(Plain):
    """Multiply, and add: image · factor + offset, in float64.

    The result is float32 for images of at most 16 bits, else float64.

    Parameters
    ----------
    factor, offset : number

    Raises
    ------
    SettingsError
        If these are no finite numbers.

    Examples
    --------
    >>> Scale(0.5, offset=-1)(np.array([[0, 65535]], "uint16"))
    array([[-1.00000e+00,  3.27665e+04]], dtype=float32)
    """

    factor: Number
    offset: Number = 0

    def __post_init__(self) -> None:
        for name in ("factor", "offset"):
            object.__setattr__(self, name, double(name, getattr(self, name)))

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        _notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Scale one image, shape (rows, columns).

        Raises
        ------
        DtypeError
            If a result is larger than what the dtype holds.
        """
        wanted = np.float32 if calculable(image).dtype.itemsize <= 2 else np.float64
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            scaled = image.astype(np.float64) * self.factor + self.offset
            result = scaled.astype(wanted, copy=False)
        refuse_overflow(result, image)
        return result


@dataclass(frozen=True, slots=True)
class Threshold(Plain):
    """Set values out of a range to 0, and count them.

    Parameters
    ----------
    low, high : number or None
        Pixels below `low` or above `high` become 0 [counts]; NaN stays. One at least
        is given.

    Raises
    ------
    SettingsError

    Examples
    --------
    >>> Threshold(low=10, high=60000)(np.array([[9, 10, 60001]], "uint16"))
    array([[ 0, 10,  0]], dtype=uint16)
    """

    low: Number | None = None
    high: Number | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is not None:
                value = number(name, value)
                if not is_finite(value):
                    message = f"{name} is a finite number, or None, not {value!r}"
                    raise SettingsError(message)
            object.__setattr__(self, name, value)
        if self.low is None and self.high is None:
            raise SettingsError("Threshold needs low, high, or both")
        if None not in (self.low, self.high) and self.low > self.high:  # type: ignore[operator]
            message = f"low={self.low} is above high={self.high}: nothing would be kept"
            raise SettingsError(message)

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Set one image's values out of the range to 0, shape (rows, columns).

        Returns
        -------
        ndarray, same shape and dtype [counts]
            `image` itself where all are within.
        """
        real(image)
        out = np.zeros(image.shape, bool)
        if self.low is not None:
            out |= _below(image, self.low)
        if self.high is not None:
            out |= _above(image, self.high)
        count = int(np.count_nonzero(out))
        if notes is not None:
            notes.clipped += count
        if not count:
            return image
        kept = image.copy()
        kept[out] = 0
        return kept


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Mask:
    """Replace the pixels that a mask names.

    Parameters
    ----------
    file : path, optional
        A file with one image, of the images' shape.
    array : ndarray, shape (rows, columns), optional
        Instead of a file. Pixels that are not zero in it are replaced.
    fill : number
        One that the images' dtype holds: NaN only in floating-point images.

    Raises
    ------
    SettingsError

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
        object.__setattr__(self, "fill", number("fill", self.fill))
        if (self.file is None) == (self.array is None):
            raise SettingsError("Mask needs a file or an array, and not both")
        if self.file is not None:
            object.__setattr__(self, "file", _path(self.file))
        else:
            object.__setattr__(self, "array", _marked(self.array))

    def __repr__(self) -> str:
        if self.file is not None:
            return f"Mask(file={self.file!r}, fill={self.fill!r})"
        shape, count = self.array.shape, np.count_nonzero(self.array)
        told = f"<{count} of shape {shape}, {digest(self.array)}>"
        return f"Mask(array={told}, fill={self.fill!r})"

    def __eq__(self, other: object) -> bool:
        # By what it says of itself: arrays, and NaN, have no equality of their own.
        return isinstance(other, Mask) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def bind(self, run: RunView, /) -> Bound:
        """Read the file, once.

        Raises
        ------
        CorrectionError
            If it holds more than one image.
        TiffinError
            If it can't be read.
        """
        if self.file is None:
            return self
        images = np.asarray(run.of_file(self.file).read())
        if images.ndim == 3 and len(images) == 1:
            images = images[0]
        if images.ndim != 2:
            message = f"{self}: a mask is one image, the file has shape {images.shape}"
            raise CorrectionError(message)
        mask = Mask(array=images, fill=self.fill)
        return _FileMask(mask=mask, file=self.file, text=str(self))

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        _notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Mask one image, shape (rows, columns).

        Raises
        ------
        CorrectionError
            If the shapes differ, or the file was not read.
        DtypeError
            If the image's dtype can't hold `fill`.
        """
        if self.array is None:
            message = f"{self} reads its file in bind(run): call what that gives"
            raise CorrectionError(message)
        if self.array.shape != image.shape[:2]:
            message = f"the image has shape {image.shape}, the mask {self.array.shape}"
            raise CorrectionError(message)
        fill = held(self.fill, real(image).dtype)
        masked = image.copy()
        mask = self.array if image.ndim == 2 else self.array[..., np.newaxis]
        np.copyto(masked, fill, where=mask)
        return masked


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileMask:
    """A mask whose file was read; it tells which."""

    mask: Mask
    file: str
    text: str

    def __str__(self) -> str:
        return self.text

    def __call__(
        self,
        image: np.ndarray,
        frame: Frame | None = None,
        notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        masked = self.mask(image, frame, notes)
        if notes is not None:
            told = {"role": "mask", "file": self.file}
            notes.used.append({**told, "checksum": digest(self.mask.array)})
        return masked


def digest(mask: np.ndarray) -> str:
    """Return a checksum of a mask: of its shape, and which pixels are masked.

    Examples
    --------
    >>> digest(np.array([[True, False]]))
    'sha256:34c9c0a95369f167'
    """
    shape = ",".join(map(str, mask.shape)).encode()
    packed = np.packbits(mask).tobytes()
    return "sha256:" + hashlib.sha256(shape + b":" + packed).hexdigest()[:16]


def held(fill: Number, dtype: np.dtype) -> Any:
    """Return a number in a dtype that holds it exactly.

    Raises
    ------
    DtypeError

    Examples
    --------
    >>> held(65535, np.dtype("uint16"))
    np.uint16(65535)
    """
    if dtype.kind == "f":
        value = _in(dtype, fill)
        if np.isnan(value) or float(value) == fill:
            return value
    elif is_finite(fill) and fill == int(fill):
        low, high = integer_limits(dtype)
        if low <= int(fill) <= high:
            return dtype.type(int(fill))
    message = f"{dtype} can't hold fill={fill!r} exactly"
    raise DtypeError(message)


def _path(file: Any) -> str:
    try:
        return os.fsdecode(file)
    except TypeError:
        message = f"file is a path, not {file!r}"
        raise SettingsError(message) from None


def _marked(array: Any) -> np.ndarray:
    refuse_masked(array)
    known = np.asarray(array)
    if known.ndim != 2 or known.dtype.kind not in "biuf":
        message = (
            f"a mask is an array of numbers, shape (rows, columns), not one of "
            f"{known.dtype}, shape {known.shape}"
        )
        raise SettingsError(message)
    marked = np.ascontiguousarray(known != 0)
    marked.flags.writeable = False
    return marked


def _below(image: np.ndarray, low: Number) -> np.ndarray:
    if image.dtype.kind != "f":
        # numpy compares whole numbers with Python's exactly, whatever their size.
        return np.asarray(_whole(image) < math.ceil(low))
    edge = _in(image.dtype, low)
    if float(edge) < low:
        edge = np.nextafter(edge, image.dtype.type(np.inf))
    return np.asarray(image < edge)


def _above(image: np.ndarray, high: Number) -> np.ndarray:
    if image.dtype.kind != "f":
        return np.asarray(_whole(image) > math.floor(high))
    edge = _in(image.dtype, high)
    if float(edge) > high:
        edge = np.nextafter(edge, image.dtype.type(-np.inf))
    return np.asarray(image > edge)


def _whole(image: np.ndarray) -> np.ndarray:
    return image.view(np.uint8) if image.dtype.kind == "b" else image


def _in(dtype: np.dtype, number: Number) -> Any:
    """Round a number to a dtype of floats; Python compares the two exactly."""
    with np.errstate(over="ignore"):
        try:
            return dtype.type(float(number))
        except OverflowError:
            return dtype.type(math.inf if number > 0 else -math.inf)

"""Change an image's values, pixel by pixel: scale, threshold, mask."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.corrections.cast import Plain
from tiffin.corrections.numbers import Number, double, is_finite, number
from tiffin.corrections.sums import (
    TAME,
    is_wide,
    real,
    refuse_overflow,
    repair,
    row_blocks,
)
from tiffin.errors import CorrectionError, DtypeError, SettingsError
from tiffin.exact import limits_of, refuse_masked, to_odd, two_product, two_sum

if TYPE_CHECKING:
    from tiffin.corrections.step import Bound, Notes, RunView
    from tiffin.frames import Frame

__all__ = ["Mask", "Scale", "Threshold"]


@dataclass(frozen=True, slots=True)
class Scale(Plain):
    """Multiply, and add: image · factor + offset, rounded once.

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
        narrow = real(image).dtype.itemsize <= 2
        if narrow and image.size >= 256**image.dtype.itemsize:
            # Fewer values than pixels: each is scaled once.
            return _looked_up(image, _table(self, image.dtype.newbyteorder("=")))
        result = np.empty(image.shape, np.float32 if narrow else np.float64)
        for rows in row_blocks(image.shape):
            self._scale(image[rows], result[rows])
        return result

    def _scale(self, image: np.ndarray, out: np.ndarray) -> None:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            _multiply_and_add(image, self.factor, self.offset, out)
        refuse_overflow(out, image)


@lru_cache(maxsize=8)
def _table(step: Scale, dtype: np.dtype) -> np.ndarray:
    """Scale every value that a dtype of at most 16 bits has."""
    bits = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}")
    values = bits.view(dtype) if dtype.kind != "b" else bits[:2].view(dtype)
    result = np.empty(values.shape, np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        _multiply_and_add(values, step.factor, step.offset, result)
    return result


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    bits = bits.view(f"u{image.dtype.itemsize}")
    result = np.empty(image.shape, table.dtype)
    for rows in row_blocks(image.shape):
        # "clip" never clips here, and spares a copy that "raise" makes.
        np.take(table, bits[rows].astype(np.intp), out=result[rows], mode="clip")
    if not np.isfinite(table).all():
        refuse_overflow(result, image)
    return result


def _multiply_and_add(
    image: np.ndarray, factor: Number, offset: Number, out: np.ndarray
) -> None:
    f, o = np.asarray(factor, "f8"), np.asarray(offset, "f8")
    values = image.astype(np.float64)
    product, lost = two_product(values, f)
    total, rest = two_sum(product, o)
    rounded, more = two_sum(total, to_odd(*two_sum(rest, lost)))
    exact = to_odd(rounded, more) if out.dtype == np.float32 else rounded
    out[...] = np.where(np.isfinite(rounded), exact, product + o)
    wild = np.isfinite(values) & _wild(image, values, product, factor)
    exact_factor, exact_offset = Fraction(factor), Fraction(offset)
    repair(
        out,
        wild,
        lambda at: Fraction(image[at].item()) * exact_factor + exact_offset,
    )


def _wild(
    image: np.ndarray, values: np.ndarray, product: np.ndarray, factor: Number
) -> np.ndarray:
    """Tell where float64 is not enough to get at the exact value."""
    wild = np.abs(values) > 2**53 if is_wide(image) else np.zeros(image.shape, bool)
    if not factor:
        return wild
    if image.dtype.kind == "f" or not 1 / TAME < abs(factor) < TAME:
        for part in (values, product):
            size = np.abs(part)
            wild |= (values != 0) & ~((size < TAME) & (size > 1 / TAME))
    if not 1 / TAME < abs(factor) < TAME:
        wild |= values != 0
    return wild


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
    """Give a checksum of a mask: of its shape, and which pixels are masked.

    Examples
    --------
    >>> digest(np.array([[True, False]]))
    'sha256:34c9c0a95369f167'
    """
    shape = ",".join(map(str, mask.shape)).encode()
    packed = np.packbits(mask).tobytes()
    return "sha256:" + hashlib.sha256(shape + b":" + packed).hexdigest()[:16]


def held(fill: Number, dtype: np.dtype) -> Any:
    """Give a number in a dtype that holds it exactly.

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
        low, high = limits_of(dtype)
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

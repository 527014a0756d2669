"""Return images another dtype: what it can't hold is refused, or changed as asked.

What is changed is counted. NaN and infinity never become whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from tiffin.corrections.arithmetic import row_blocks
from tiffin.dtypes import (
    FLOAT_DTYPES,
    INTEGER_DTYPES,
    cast_exactly,
    float_dtype_for,
    integer_limits,
)
from tiffin.errors import DtypeError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.corrections.step import Notes, RunView
    from tiffin.frames import Frame

__all__ = ["Cast", "Overflow", "Plain", "Rounding"]

Overflow = Literal["error", "clip", "scale"]
Rounding = Literal["half-even", "half-up", "down", "up", "toward-zero", "none"]

_ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half-even": np.rint,
    # x + 0.5 would round 0.49999999999999994 up; what lies above the floor is exact.
    "half-up": lambda x: np.floor(x) + (x - np.floor(x) >= 0.5),
    "down": np.floor,
    "up": np.ceil,
    "toward-zero": np.trunc,
}


class Plain:
    """A correction that asks nothing about the run: it is its own bound form."""

    __slots__ = ()

    def bind(self, _run: RunView | None = None, /) -> Self:
        """Return the correction itself."""
        return self


@dataclass(frozen=True, slots=True)
class Cast(Plain):
    """Return images another dtype.

    Parameters
    ----------
    dtype : dtype-like
        One that a TIFF holds, such as ``"uint16"``.
    overflow : {"error", "clip", "scale"}
        What becomes of values that the dtype can't hold: an error; the nearest that it
        holds, and counted; or all values are mapped from the whole range of the
        images' dtype to that of the new one, which is for whole numbers only.
    rounding : {"half-even", "half-up", "down", "up", "toward-zero", "none"}
        How fractions become whole numbers. "none" refuses them. To float32, float64 is
        always rounded to the nearest.

    Raises
    ------
    SettingsError
        If a setting is none of these.

    Examples
    --------
    >>> image = np.array([[0, 70000]], dtype="uint32")
    >>> Cast("uint16")(image, None)
    Traceback (most recent call last):
      ...
    tiffin.errors.DtypeError: uint16 holds 0 to 65535, the image goes from 0 to 70000
    >>> Cast("uint16", overflow="clip")(image)
    array([[    0, 65535]], dtype=uint16)
    >>> Cast("uint16", overflow="scale")(image)
    array([[0, 1]], dtype=uint16)
    >>> Cast("int16")(np.array([[0.5, 1.5, -0.7]]))
    array([[ 0,  2, -1]], dtype=int16)
    """

    dtype: Any
    overflow: Overflow = field(default="error", kw_only=True)
    rounding: Rounding = field(default="half-even", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", _name_of(self.dtype))
        _check("overflow", self.overflow, get_args(Overflow))
        _check("rounding", self.rounding, get_args(Rounding))
        if self.overflow == "scale" and self.dtype in FLOAT_DTYPES:
            message = (
                f"overflow='scale' is for whole numbers, not {self.dtype}: "
                f"use Scale(factor, offset)"
            )
            raise SettingsError(message)

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Cast one image.

        Parameters
        ----------
        image : ndarray, shape (rows, columns) [counts]
        notes : Notes, optional
            To which the number of clipped pixels is added.

        Returns
        -------
        ndarray, same shape [counts]
            `image` itself where it has that dtype already.

        Raises
        ------
        DtypeError
            Naming what the dtype can't hold.
        """
        dtype = np.dtype(self.dtype)
        if image.dtype.kind not in "biuf":
            return cast_exactly(image, dtype)
        if self.overflow == "scale":
            return _scaled(image, dtype, self.rounding)
        if image.dtype == dtype:
            return image
        if dtype.kind == "f" and self.overflow == "error":
            return cast_exactly(image, dtype)
        cast, clipped = self._blockwise(image, dtype)
        if clipped and self.overflow == "error":
            # For its message, which tells both ranges.
            return cast_exactly(_rounded(image, dtype, self.rounding), dtype)
        if notes is not None:
            notes.clipped += clipped
        return cast

    def _blockwise(self, image: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
        cast, clipped = np.empty(image.shape, dtype), 0
        for rows in row_blocks(image.shape):
            block = _rounded(image[rows], dtype, self.rounding)
            cast[rows], count = _clipped(block, dtype)
            clipped += count
        return cast, clipped


def _name_of(dtype: Any) -> str:
    try:
        name = np.dtype(dtype).name if dtype is not None else "None"
    except TypeError:
        name = str(dtype)
    return _check("dtype", name, (*INTEGER_DTYPES, *FLOAT_DTYPES))


def _check(setting: str, value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        near = did_you_mean(str(value), choices)
        wanted = near if near.startswith(":") else ""
        message = (
            f"{setting} must be one of {', '.join(choices)}, not {value!r}{wanted}"
        )
        raise SettingsError(message)
    return str(value)


def _rounded(image: np.ndarray, dtype: np.dtype, rounding: str) -> np.ndarray:
    """Make fractions whole, in floats; other images, and other dtypes, stay."""
    if image.dtype.kind != "f" or dtype.kind == "f":
        return image
    if not np.isfinite(image).all():
        message = (
            f"the image holds NaN or infinity, which {dtype} can't: "
            f"replace them before, as with Mask(file=..., fill=0)"
        )
        raise DtypeError(message)
    if image.dtype.itemsize < 4:
        image = image.astype(np.float32)  # whose range has room for the limits
    if rounding == "none":
        if (np.trunc(image) != image).any():
            message = (
                f"the image holds fractions, which {dtype} can't: "
                f"ask for {float_dtype_for(image.dtype)}"
            )
            raise DtypeError(message)
        return image
    return _ROUND[rounding](image)


def _clipped(image: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
    if dtype.kind == "f":
        return _clipped_floats(image, dtype)
    low, high = integer_limits(dtype)
    if image.dtype.kind != "f":
        lowest, highest = integer_limits(image.dtype)
        # Within the image's own range: no comparison has to cast.
        below, above = image < max(low, lowest), image > min(high, highest)
    else:
        # A power of two, which every float holds; the limit itself it may not.
        below, above = image < float(low), image >= float(high + 1)
    outside = below | above
    if not outside.any():
        return image.astype(dtype), 0
    cast = np.where(outside, image.dtype.type(0), image).astype(dtype)
    cast[below], cast[above] = low, high
    return cast, int(np.count_nonzero(outside))


def _clipped_floats(image: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
    if image.dtype.kind != "f":
        return cast_exactly(image, dtype), 0
    with np.errstate(over="ignore"):
        cast = image.astype(dtype)
    over = np.isinf(cast) & np.isfinite(image)
    limit = dtype.type(np.finfo(dtype).max)
    cast[over] = np.copysign(limit, cast[over])
    return cast, int(np.count_nonzero(over))


def _scaled(image: np.ndarray, dtype: np.dtype, rounding: str) -> np.ndarray:
    """Map the whole range of one dtype linearly onto that of another."""
    if image.dtype.kind == "f":
        message = (
            f"overflow='scale' maps the range of whole numbers, and the image is "
            f"{image.dtype}: use Scale(factor, offset) and overflow='clip'"
        )
        raise DtypeError(message)
    source = integer_limits(image.dtype)
    target = integer_limits(dtype)
    steps = _above_lowest(image)
    # The widths of all ranges divide each other: 65535 is 257 times 255, and so on.
    wide, narrow = target[1] - target[0], source[1] - source[0]
    if wide >= narrow:
        steps = steps * np.uint64(wide // narrow)
    else:
        steps = _shrunk(steps, narrow // wide, -target[0], dtype, rounding)
    return _from_lowest(steps, dtype)


def _above_lowest(image: np.ndarray) -> np.ndarray:
    """Return how far each value is above its dtype's lowest, as uint64."""
    if image.dtype.kind == "i":
        bits = image.dtype.newbyteorder("=").str.replace("i", "u")
        sign = np.dtype(bits).type(1 << (8 * image.dtype.itemsize - 1))
        # Turning the sign bit over adds the offset without an addition.
        image = image.astype(image.dtype.newbyteorder("=")).view(bits) ^ sign
    return image.astype(np.uint64)


def _from_lowest(steps: np.ndarray, dtype: np.dtype) -> np.ndarray:
    unsigned = steps.astype(f"u{dtype.itemsize}")
    if dtype.kind == "u":
        return unsigned
    sign = unsigned.dtype.type(1 << (8 * dtype.itemsize - 1))
    return np.asarray(unsigned ^ sign).view(dtype)


def _shrunk(
    steps: np.ndarray, divisor: int, zero: int, dtype: np.dtype, rounding: str
) -> np.ndarray:
    whole, rest = np.divmod(steps, np.uint64(divisor))
    if rounding == "none" and rest.any():
        message = f"scaled to {dtype} the image holds fractions: choose a rounding"
        raise DtypeError(message)
    # The divisor is odd, so that nothing lies in the middle.
    up = {
        "up": rest > 0,
        "down": rest < 0,
        "toward-zero": (rest > 0) & (whole < zero),
    }.get(rounding, rest > divisor // 2)
    return np.asarray(whole + up)

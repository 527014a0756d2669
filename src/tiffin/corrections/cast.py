"""Convert images to another dtype: refuse, clip or scale what it can't hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiffin.corrections.arithmetic import row_blocks
from tiffin.corrections.base import PixelCorrection
from tiffin.corrections.checks import check_choice, set_fields
from tiffin.dtypes import (
    FLOAT_DTYPES,
    TIFF_DTYPES,
    cast_exactly,
    integer_limits,
    parse_dtype,
    refuse_fractions,
)
from tiffin.errors import DtypeError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.corrections.base import Notes

Overflow = Literal["error", "clip", "scale"]
Rounding = Literal["half-even", "half-up", "down", "up", "toward-zero", "none"]

_ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half-even": np.rint,
    # floor(x + 0.5) would round 0.49999999999999994 up.
    "half-up": lambda x: np.floor(x) + (x - np.floor(x) >= 0.5),
    "down": np.floor,
    "up": np.ceil,
    "toward-zero": np.trunc,
}


@dataclass(frozen=True, slots=True)
class Cast(PixelCorrection):
    """Convert images to another dtype.

    NaN and infinity never become integers.

    Parameters
    ----------
    dtype : dtype-like
        A dtype of TIFF files, such as ``"uint16"``.
    overflow : {"error", "clip", "scale"}
        Values that the dtype can't hold fail the image, or become the nearest value
        that it holds and are counted. "scale" instead maps the whole range of the
        image's dtype to that of the new one, for integers only.
    rounding : {"half-even", "half-up", "down", "up", "toward-zero", "none"}
        How fractions become integers. "none" refuses them. float64 is always rounded
        to the nearest float32.

    Examples
    --------
    >>> image = np.array([[0, 70000]], dtype="uint32")
    >>> Cast("uint16")(image)
    Traceback (most recent call last):
      ...
    tiffin.errors.DtypeError: uint16 holds 0 to 65535, the image goes from 0 to 70...
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
        name = parse_dtype(self.dtype, TIFF_DTYPES, "dtype").name
        set_fields(self, dtype=name)
        check_choice("overflow", self.overflow, Overflow)
        check_choice("rounding", self.rounding, Rounding)
        if self.overflow == "scale" and name in FLOAT_DTYPES:
            message = (
                f"overflow='scale' is for integer dtypes, not {name}: use "
                f"Scale(factor, offset)"
            )
            raise SettingsError(message)

    def _apply(self, image: np.ndarray, notes: Notes) -> np.ndarray:
        dtype = np.dtype(self.dtype)
        if image.dtype.kind in "biuf" and self.overflow == "scale":
            return _scale(image, dtype, self.rounding)
        exact = dtype.kind == "f" and self.overflow == "error"
        if image.dtype.kind not in "biuf" or image.dtype == dtype or exact:
            return cast_exactly(image, dtype)
        result, clipped = np.empty(image.shape, dtype), 0
        for rows in row_blocks(image.shape):
            result[rows], count = self._clip(image[rows], dtype)
            clipped += count
        if clipped and self.overflow == "error":
            # Raises with the range of the whole image.
            return cast_exactly(_round(image, dtype, self.rounding), dtype)
        notes.clipped += clipped
        return result

    def _clip(self, block: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
        """Return a block as a dtype, and the number of pixels that were clipped."""
        if dtype.kind == "f":
            return _clip_to_float(block, dtype)
        block = _round(block, dtype, self.rounding)
        low, high = integer_limits(dtype)
        if block.size and low <= block.min().item() and block.max().item() <= high:
            return block.astype(dtype), 0
        if block.dtype.kind == "f":
            block = block.astype(np.float64)  # which holds the limits of int32
        else:
            lowest, highest = integer_limits(block.dtype)
            low, high = max(low, lowest), min(high, highest)
        clipped = np.clip(block, low, high)
        return clipped.astype(dtype), int(np.count_nonzero(clipped != block))


def _round(image: np.ndarray, dtype: np.dtype, rounding: str) -> np.ndarray:
    """Round floats that are to become integers; return other images unchanged."""
    if image.dtype.kind != "f" or dtype.kind == "f":
        return image
    if not np.isfinite(image).all():
        message = (
            f"the image has NaN or infinite pixels, which {dtype} can't hold: replace "
            f"them before, as with Mask(file=..., fill=0)"
        )
        raise DtypeError(message)
    if rounding == "none":
        refuse_fractions(image, dtype)
        return image
    return _ROUND[rounding](image)


def _clip_to_float(image: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
    if image.dtype.kind != "f":
        return cast_exactly(image, dtype), 0
    with np.errstate(over="ignore"):
        cast = image.astype(dtype)
    clipped = np.isinf(cast) & np.isfinite(image)
    cast[clipped] = np.copysign(dtype.type(np.finfo(dtype).max), cast[clipped])
    return cast, int(np.count_nonzero(clipped))


def _scale(image: np.ndarray, dtype: np.dtype, rounding: str) -> np.ndarray:
    """Map the whole range of one integer dtype linearly to that of another."""
    if image.dtype.kind == "f":
        message = (
            f"overflow='scale' maps the range of an integer dtype, and the image is "
            f"{image.dtype}: use Scale(factor, offset) and overflow='clip'"
        )
        raise DtypeError(message)
    (lowest, highest), (low, high) = integer_limits(image.dtype), integer_limits(dtype)
    steps = _above_lowest(image, lowest)
    # The width of each range divides that of any wider one: 65535 is 257 times 255.
    wide, narrow = high - low, highest - lowest
    if wide >= narrow:
        steps = steps * np.uint64(wide // narrow)
    else:
        steps = _divide(steps, narrow // wide, low, dtype, rounding)
    return (steps.astype(np.int64) + low).astype(dtype)


def _above_lowest(image: np.ndarray, lowest: int) -> np.ndarray:
    """Return how far each pixel is above the lowest value of its dtype, as uint64."""
    if image.dtype.kind == "i":
        image = image.astype(np.int64).view(np.uint64)  # modulo 2**64
    return image.astype(np.uint64) - np.uint64(lowest % 2**64)


def _divide(
    steps: np.ndarray, divisor: int, low: int, dtype: np.dtype, rounding: str
) -> np.ndarray:
    quotient, rest = np.divmod(steps, np.uint64(divisor))
    if rounding == "none" and rest.any():
        message = f"scaled to {dtype}, the image has fractions: choose a rounding"
        raise DtypeError(message)
    if rounding == "down":
        return quotient
    # A divisor is odd, so that no quotient lies halfway between two integers.
    up = {
        "up": rest > 0,
        "toward-zero": (rest > 0) & (quotient < -low),
    }.get(rounding, rest > divisor // 2)
    return np.asarray(quotient + up)

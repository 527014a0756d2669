"""Combine frames into one: average them, or add them up.

Corrections before an `Average` or a `Sum` act on each frame, those after it on the
result. The export decides which frames belong together and reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiffin.corrections.arithmetic import RunningSum, check_real, sum_dtype
from tiffin.corrections.base import PixelCorrection
from tiffin.corrections.checks import check_integer, set_fields
from tiffin.dtypes import float_dtype_for
from tiffin.errors import CorrectionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.corrections.base import Notes

MAX_FRAMES = 2**21
"""So many integers of 32 bits have a sum that float64 holds."""


class FrameCombiner(PixelCorrection):
    """Base of corrections that combine several frames into one."""

    __slots__ = ()

    n: int | None

    def __post_init__(self) -> None:
        if self.n is not None:
            set_fields(self, n=check_integer("n", self.n, 1, MAX_FRAMES))

    def _apply(self, _image: np.ndarray, _notes: Notes) -> np.ndarray:
        message = (
            f"{self} joins frames, in tiffin.export and ImageExporter only; for arrays "
            f"call its join()"
        )
        raise CorrectionError(message)

    def join(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Combine images of one shape (rows, columns) and dtype, whatever their number.

        A DtypeError says that no dtype holds the result.
        """
        total: RunningSum | None = None
        for number, image in enumerate(images, 1):
            if total is None:
                total = RunningSum(image.shape, check_real(image).dtype)
            check_same_kind(total, "the first image", image, f"image {number}")
            total.add(image)
        if total is None:
            raise CorrectionError("there is no image to join")
        return self.result(total)

    def result_dtype(self, dtype: np.dtype, count: int) -> np.dtype:
        """Return a dtype that holds every possible result of `count` images."""
        raise NotImplementedError

    def result(self, total: RunningSum) -> np.ndarray:
        """Return the result for images that have been added up."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Average(FrameCombiner):
    """Average frames.

    Each pixel is the mean of the frames' pixels; that of integers is exact before it is
    rounded once. The result is float32 if that holds every value of the frames' dtype
    (8 and 16 bits, and float32), else float64.

    Parameters
    ----------
    n : int, optional
        Number of frames of a run, stream and field that are combined, in frame order,
        across events and images of an event. By default all images of each event.

    Notes
    -----
    Floats are added up in frame order, in float64. NaN gives NaN. Integers beyond
    2**53, which float64 would round, are refused.

    Examples
    --------
    >>> one, other = np.array([[1, 65535]], "uint16"), np.array([[2, 65535]], "uint16")
    >>> Average(2).join([one, other])
    array([[1.5000e+00, 6.5535e+04]], dtype=float32)
    >>> print(Average(10))
    Average(n=10)
    """

    n: int | None = None

    def result_dtype(self, dtype: np.dtype, count: int) -> np.dtype:  # noqa: ARG002 (as in Sum)
        """Return the dtype of a mean of images of a dtype."""
        return float_dtype_for(dtype)

    def result(self, total: RunningSum) -> np.ndarray:
        """Return the mean of images that have been added up."""
        return total.mean(self.result_dtype(total.dtype, total.count))


@dataclass(frozen=True, slots=True)
class Sum(FrameCombiner):
    """Add frames up.

    Sums of integers are exact and never wrap: their dtype is the smallest that a TIFF
    holds and that has room for n times the largest value of the frames' dtype, or
    float64 if only that has. Sums of floats are float64.

    Parameters
    ----------
    n : int, optional
        As for `Average`.

    Notes
    -----
    Floats are added up as for `Average`. Integers of 64 bits are refused: no dtype that
    TIFF readers agree on holds their sums.

    Examples
    --------
    >>> Sum(3).join([np.array([[65535]], "uint16")] * 3)
    array([[196605]], dtype=uint32)
    """

    n: int | None = None

    def result_dtype(self, dtype: np.dtype, count: int) -> np.dtype:
        """Return the dtype of a sum of so many images of a dtype."""
        if dtype.kind == "f":
            return np.dtype("f8")
        return sum_dtype(dtype, count, "frames", "Average")

    def result(self, total: RunningSum) -> np.ndarray:
        """Return the sum of images that have been added up."""
        return total.sum(self.result_dtype(total.dtype, total.count))


def check_same_kind(
    total: RunningSum, first: object, image: np.ndarray, name: object
) -> None:
    """Raise if an image has another shape or dtype than those before it."""
    one, other = total.dtype.newbyteorder("="), image.dtype.newbyteorder("=")
    if (total.shape, one) != (image.shape, other):
        message = (
            f"can only join frames of one shape and dtype: {first} has {one} "
            f"{total.shape}, {name} has {other} {image.shape}"
        )
        raise CorrectionError(message)

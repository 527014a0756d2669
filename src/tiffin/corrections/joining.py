"""Join frames: average them, or add them up.

What stands before it in ``corrections=[...]`` acts on each frame, what stands behind on
the one that they become. Which frames belong together, and when they are read, is for
the export to settle; here it is settled what comes of their pixels.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.corrections.arithmetic import MOST, Running, real, sum_dtype
from tiffin.corrections.cast import Plain
from tiffin.dtypes import float_dtype_for
from tiffin.errors import CorrectionError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.corrections.step import Notes
    from tiffin.frames import Frame

__all__ = ["Average", "Joining", "Sum"]


class Joining(Plain):
    """A correction that makes one frame of several."""

    __slots__ = ()

    n: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _frames(self.n))

    def __call__(
        self,
        _image: np.ndarray,
        _frame: Frame | None = None,
        _notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Refuse a single image.

        Raises
        ------
        CorrectionError
        """
        message = (
            f"{self} joins frames, as tiffin.export and ImageExporter do: it makes "
            f"nothing of one image (join() takes arrays)"
        )
        raise CorrectionError(message)

    def join(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Join images that are there already, however many.

        Parameters
        ----------
        images : iterable of ndarray, shape (rows, columns) [counts]

        Returns
        -------
        ndarray, shape (rows, columns) [counts]

        Raises
        ------
        CorrectionError
            If there are none, or their shapes or dtypes differ.
        DtypeError
            If no dtype holds the result.
        """
        running: Running | None = None
        for number, image in enumerate(images, 1):
            if running is None:
                running = Running(image.shape, real(image).dtype)
            check_alike(running, "the first image", image, f"image {number}")
            running.add(image)
        if running is None:
            raise CorrectionError("there is no image to join")
        return self.result(running)

    def dtype(self, of: np.dtype, count: int) -> np.dtype:
        """Return the dtype of the result; never by the values.

        Parameters
        ----------
        of : numpy.dtype
            Of the images.
        count : int
            How many they are.

        Raises
        ------
        DtypeError
            If none of a TIFF's holds every possible result.
        """
        raise NotImplementedError

    def result(self, running: Running) -> np.ndarray:
        """Make the result of what has been added up."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Average(Joining):
    """Average frames.

    Each pixel is the mean, of whole numbers that of their exact sum. The result is
    float32 where that holds every value of the frames' dtype exactly (8 and 16 bits,
    and float32), else float64.

    Parameters
    ----------
    n : int, optional
        So many frames of a run, stream and field become one, in frame order: across
        events, and across the images of an event. By default all images of each event.

    Raises
    ------
    SettingsError
        If `n` is no number from 1 to 2**21.

    Notes
    -----
    Floating-point images are added in frame order, in float64. NaN gives NaN. Whole
    numbers beyond 2**53, which float64 would round, are refused.

    Examples
    --------
    >>> one, other = np.array([[1, 65535]], "uint16"), np.array([[2, 65535]], "uint16")
    >>> Average(2).join([one, other])
    array([[1.5000e+00, 6.5535e+04]], dtype=float32)
    >>> print(Average(10))
    Average(n=10)
    """

    n: int | None = None

    def dtype(self, of: np.dtype, count: int) -> np.dtype:  # noqa: ARG002 (as a Sum)
        """Return the dtype of a mean of images of a dtype."""
        return float_dtype_for(of)

    def result(self, running: Running) -> np.ndarray:
        """Make the mean of what has been added up."""
        return running.mean(self.dtype(running.dtype, running.count))


@dataclass(frozen=True, slots=True)
class Sum(Joining):
    """Add frames up.

    Sums of whole numbers are exact, and never wrap: their dtype is the smallest of a
    TIFF's that holds n times the largest value of the frames' dtype, or float64 where
    only that does. Sums of floating-point numbers are float64.

    Parameters
    ----------
    n : int, optional
        As for `Average`.

    Raises
    ------
    SettingsError
        If `n` is no number from 1 to 2**21.

    Notes
    -----
    Floating-point images are added as for `Average`. Whole numbers of 64 bits are
    refused: no dtype that readers of TIFFs agree on holds their sums.

    Examples
    --------
    >>> Sum(3).join([np.array([[65535]], "uint16")] * 3)
    array([[196605]], dtype=uint32)
    """

    n: int | None = None

    def dtype(self, of: np.dtype, count: int) -> np.dtype:
        """Return the dtype of a sum of so many images of a dtype."""
        if of.kind == "f":
            return np.dtype("f8")
        return sum_dtype(of, count, "frames", "Average")

    def result(self, running: Running) -> np.ndarray:
        """Make the sum of what has been added up."""
        return running.sum(self.dtype(running.dtype, running.count))


def check_alike(
    running: Running, first: object, image: np.ndarray, where: object
) -> None:
    """Refuse an image of another shape or dtype than those before it.

    Raises
    ------
    CorrectionError
        Which shows both.
    """
    one, other = running.dtype.newbyteorder("="), image.dtype.newbyteorder("=")
    if (running.shape, one) != (image.shape, other):
        message = (
            f"frames of one shape and dtype are joined: {first} has {one} "
            f"{running.shape}, {where} has {other} {image.shape}"
        )
        raise CorrectionError(message)


def _frames(n: Any) -> int | None:
    if n is None:
        return None
    try:
        count = 0 if type(n).__name__ in ("bool", "bool_") else operator.index(n)
    except TypeError:
        count = 0
    if not 1 <= count <= MOST:
        message = (
            f"n is a number of frames from 1 to {MOST}, or None for the images of "
            f"each event, not {n!r}"
        )
        raise SettingsError(message)
    return count

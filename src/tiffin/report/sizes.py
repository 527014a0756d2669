"""How large images can be on a page, so that it stays small."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiffin.report.views import encode_view, reduction_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = ["fitting_side", "limit_of"]

LIMIT = 4_900_000
"""The size of a page with up to `MANY` images [bytes]."""

MANY = 1000

SMALLEST = 8
"""Images are never reduced to less than this [pixels]."""


def limit_of(count: int) -> int:
    """Return how large a page may be [bytes]."""
    return LIMIT * max(count, MANY) // MANY


def fitting_side(images: Sequence[np.ndarray], room: float) -> int:
    """Return the longest side that images may have, so that they fit on average.

    Parameters
    ----------
    images : sequence of ndarray
        Examples.
    room : float
        For each image [bytes].
    """
    largest = max((max(image.shape[:2]) for image in images), default=SMALLEST)
    sides = [math.ceil(largest / n) for n in range(1, 1 + max(1, largest // SMALLEST))]
    too_large, fits = -1, len(sides) - 1
    while fits - too_large > 1:  # sizes grow with sides
        middle = (too_large + fits) // 2
        if _mean_size(images, sides[middle]) <= room:
            fits = middle
        else:
            too_large = middle
    return sides[fits]


def _mean_size(images: Sequence[np.ndarray], side: int) -> float:
    sizes = [len(encode_view(i, reduction_of(i.shape, side))["data"]) for i in images]
    return sum(sizes) / len(sizes) if sizes else 0.0

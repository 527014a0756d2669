"""Figures of an image: mean, extremes, saturated pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PERCENTILES = (0.5, 99.7)
"""What the contact sheet makes black and white: a few hot pixels don't matter."""

MOST = 2**17
"""How many pixels percentiles are taken of."""

LARGEST_EXACT = 2**53
"""Larger integers are rounded in a browser: they are passed as text."""


def statistics_of(pixels: np.ndarray) -> dict[str, Any]:
    """Return the figures of an image, for JSON.

    Parameters
    ----------
    pixels : ndarray [counts]
        Real numbers, of any shape.

    Returns
    -------
    dict
        ``mean``, ``min``, ``max``; ``low`` and ``high``, two percentiles, without
        saturated pixels; ``saturated``, the number of pixels with the largest value of
        an integer dtype, None for others; ``invalid``, the number of pixels that are
        NaN or infinite.

    Examples
    --------
    >>> figures = statistics_of(np.array([[1, 2, 65535]], "u2"))
    >>> figures["mean"], figures["max"], figures["saturated"]
    (21846.0, 65535, 1)
    """
    finite, invalid, saturated, largest = pixels, 0, None, None
    if pixels.dtype.kind == "f":
        is_finite = np.isfinite(pixels)
        invalid = pixels.size - int(np.count_nonzero(is_finite))
        finite = pixels[is_finite] if invalid else pixels
    elif pixels.dtype.kind in "iu":
        largest = np.iinfo(pixels.dtype).max
        saturated = int(np.count_nonzero(pixels == largest))
    if not finite.size:
        return {"invalid": invalid, "saturated": saturated}
    some = finite.reshape(-1)[:: max(1, finite.size // MOST)]
    if saturated and (below := some[some != largest]).size:
        some = below  # masked and saturated pixels would make all others black
    with np.errstate(over="ignore", invalid="ignore"):  # of the largest floats
        low, high = np.percentile(some.astype(np.float64), PERCENTILES)
        mean = finite.mean(dtype=np.float64).item()
    return {
        "mean": exact(mean),
        "min": exact(finite.min().item()),
        "max": exact(finite.max().item()),
        "low": exact(float(low)),
        "high": exact(float(high)),
        "saturated": saturated,
        "invalid": invalid,
    }


def exact(value: Any) -> Any:
    """Return a number as JSON and a browser hold it: as text if it would be rounded."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) > LARGEST_EXACT:
        return str(value)
    return value

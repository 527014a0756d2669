"""Encode pixels for the page: in full, or reduced by the mean of blocks.

Integers are stored as differences from pixel to pixel, in which the sign is the last
bit; all first bytes, then all second bytes and so on; deflated; as base64. `pixels.js`
reads this.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np

STEPS = 4096
"""How many values a reduced image of floats has between its percentiles."""

PERCENTILES = (0.5, 99.5)

NOT_A_NUMBER = -(2**31)
MOST_STEPS = 2**31 - 1

SHOWN_AS = {"bool": "uint8", "float16": "float32"}
"""Dtypes that a browser lacks, and others with the same values."""


def reduction_of(shape: tuple[int, ...], side: int) -> int:
    """Return by how much an image is reduced, so that it fits into a square.

    Examples
    --------
    >>> reduction_of((128, 160), 160), reduction_of((128, 160), 100)
    (1, 2)
    """
    return max(1, math.ceil(max(shape[:2]) / side))


def encode_view(
    pixels: np.ndarray, reduction: int = 1, level: int = 6
) -> dict[str, Any]:
    """Return an image for the page.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns[, samples]) [counts]
        Real numbers.
    reduction : int
        Pixels are replaced by the means of squares with this side. Means are rounded
        to the dtype of integers; others to a 4096th of the range of the image.
    level : int
        1 (fast) to 9 (small).

    Returns
    -------
    dict
        ``rows``, ``columns``, ``samples``, ``reduction``, ``type``, ``step`` and
        ``data``.

    Examples
    --------
    >>> view = encode_view(np.zeros((6, 9), "u2"), 4)
    >>> view["rows"], view["columns"], view["type"]
    (2, 3, 'u2')
    """
    step = None
    image = pixels.astype(SHOWN_AS.get(pixels.dtype.name, pixels.dtype), copy=False)
    kind = f"{image.dtype.kind}{image.dtype.itemsize}"
    if reduction > 1:
        means = _means(image, reduction)
        if kind in ("u1", "i1", "u2", "i2", "u4", "i4"):
            image = np.rint(means).astype(kind)
        else:
            image, step = _quantized(means)
            kind = "q"
    planes = image if image.ndim == 2 else np.moveaxis(image, -1, 0)
    view = {
        "rows": image.shape[0],
        "columns": image.shape[1],
        "samples": image.shape[2] if image.ndim == 3 else 1,
        "reduction": reduction,
        "type": kind,
        "data": _packed(planes.reshape(-1), kind, level),
    }
    return view if step is None else view | {"step": step}


def _means(image: np.ndarray, side: int) -> np.ndarray:
    """Return the mean of each block; those at the far edges may be smaller."""
    rows, columns = (np.arange(0, n, side) for n in image.shape[:2])
    with np.errstate(invalid="ignore", over="ignore"):
        # Along rows first: the other way takes three times as long.
        sums = np.add.reduceat(image, columns, axis=1, dtype=np.float64)
        sums = np.add.reduceat(sums, rows, axis=0)
    heights = np.diff(rows, append=image.shape[0])
    widths = np.diff(columns, append=image.shape[1])
    counts = heights[:, None] * widths
    return np.asarray(sums / (counts if image.ndim == 2 else counts[..., None]))


def _quantized(means: np.ndarray) -> tuple[np.ndarray, float]:
    """Return means as multiples of a step, which is a power of two."""
    is_finite = np.isfinite(means)
    finite = means[is_finite]
    step = 1.0
    if finite.size:
        low, high = np.percentile(finite, PERCENTILES, method="nearest")
        # Divided first: the difference of the largest floats is infinite.
        least = np.abs(finite).max() / (MOST_STEPS // 2)
        wanted = max(high / STEPS - low / STEPS, least)
        step = 2.0 ** math.floor(math.log2(wanted)) if wanted > 0 else 1.0
    steps = np.full(means.shape, NOT_A_NUMBER, np.int32)
    steps[is_finite] = np.clip(np.rint(finite / step), -MOST_STEPS, MOST_STEPS)
    return steps, step


def _packed(values: np.ndarray, kind: str, level: int) -> str:
    """Return pixels as text, see the top of this module."""
    size = 4 if kind == "q" else int(kind[1])
    if kind[0] in "uiq" and size < 8:
        unsigned = values.astype(values.dtype.newbyteorder("=")).view(f"u{size}")
        steps = np.diff(unsigned, prepend=unsigned.dtype.type(0))
        signed = steps.view(f"i{size}")
        values = (steps << 1) ^ (signed >> (8 * size - 1)).view(steps.dtype)
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    bytes_apart = np.ascontiguousarray(little.view(np.uint8).reshape(-1, size).T)
    return base64.b64encode(zlib.compress(bytes_apart.data, level)).decode()

"""Stretch the values of an image to 8 bits, to look at."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tiffin.dtypes import COMPLEX_ADVICE
from tiffin.errors import DtypeError

Stretch = Literal["linear", "percentile", "log"]

PERCENTILES = (0.1, 99.9)
"""What `percentile` makes black and white: a few hot or dead pixels don't matter."""


def stretched(image: np.ndarray, kind: Stretch) -> tuple[np.ndarray, dict[str, Any]]:
    """Return an image of 8 bits, and how it was made.

    Parameters
    ----------
    image : ndarray, any shape [counts]
        Real numbers. NaN becomes 0; infinity becomes 0 or 255.
    kind : {"linear", "percentile", "log"}
        From the smallest value to the largest; between two percentiles; or the
        logarithm of 1 + the value - the smallest.

    Returns
    -------
    ndarray of uint8, same shape
    dict
        ``kind``; ``low`` and ``high``, the values that became 0 and 255; and the
        ``dtype`` that the image had.

    Examples
    --------
    >>> pixels, note = stretched(np.array([[-1, 0, 1, 3]], "i2"), "linear")
    >>> pixels
    array([[  0,  64, 128, 255]], dtype=uint8)
    >>> note
    {'kind': 'linear', 'low': -1.0, 'high': 3.0, 'dtype': 'int16'}
    """
    if image.dtype.kind not in "biuf":
        advice = f": {COMPLEX_ADVICE}" if image.dtype.kind == "c" else ""
        message = f"pixels of dtype {image.dtype} can't be stretched{advice}"
        raise DtypeError(message)
    values = image.astype(np.float64)
    finite = values[np.isfinite(values)]
    low = high = 0.0
    if finite.size and kind == "percentile":
        low, high = map(float, np.percentile(finite, PERCENTILES))
    elif finite.size:
        low, high = float(finite.min()), float(finite.max())
    # Halves, as the difference of the largest floats is infinite.
    scaled, top = np.nan_to_num(values / 2 - low / 2, nan=0.0), high / 2 - low / 2
    scaled = np.where(np.isnan(values), 0.0, np.clip(scaled, 0.0, top))
    if kind == "log":
        scaled, top = _log_of(scaled), _log_of(np.float64(top))
    if top > 0:
        scaled = scaled / top
    pixels = np.rint(scaled * 255).astype(np.uint8)
    return pixels, {"kind": kind, "low": low, "high": high, "dtype": image.dtype.name}


def _log_of(half: Any) -> Any:
    """Return log(1 + 2 * half), which never overflows."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(0.0, np.log(half) + np.log(2.0))

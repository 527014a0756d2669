"""Small pictures of exported files, for notebooks."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from tiffin.errors import TiffinError
from tiffin.readers import read_tiff
from tiffin.writers import PngWriter

if TYPE_CHECKING:
    from tiffin.records import Record

SIDE = 96
"""The longest side of a picture [pixels]."""

LARGEST = 64 * 2**20
"""The most bytes of an image that is read for a picture [bytes]."""


def thumbnail(record: Record) -> bytes | None:
    """Return a PNG of a frame that was written as a TIFF.

    Return None if the file is no TIFF, is very large, or can't be read any more.
    """
    path, shape, dtype = record.path, record.shape, record.dtype
    if path is None or shape is None or dtype is None:
        return None
    nbytes = math.prod(shape) * dtype.itemsize
    if path.suffix.lower() not in (".tif", ".tiff") or nbytes > LARGEST:
        return None
    try:
        with closing(read_tiff(path)) as pages:
            image = np.asarray(pages.read(record.page))
        step = max(1, math.ceil(max(image.shape[:2]) / SIDE))
        writer = PngWriter(level=6, stretch="percentile")
        return b"".join(map(bytes, writer.buffers(image[::step, ::step], {})))
    except (TiffinError, OSError, ValueError, IndexError):
        return None

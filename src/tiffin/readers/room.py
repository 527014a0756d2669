"""What a file's header may ask for: a few bytes can claim gigabytes of pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiffin.errors import ReadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LARGEST", "check_room"]

LARGEST = 2**32
"""No classic TIFF holds an image of so many bytes."""

HARMLESS = 2**26
RATIO = 1032
"""No stream of deflate expands more than that; other codecs do, of empty images."""


def check_room(
    path: Path, shape: tuple[int, ...], itemsize: int, stored: int, announced: int = 0
) -> None:
    """Refuse an image too large to be true, before memory is taken for it.

    Parameters
    ----------
    path : pathlib.Path
    shape : tuple of int
        As the file's header has it.
    itemsize : int
        [bytes]
    stored : int
        How many bytes of the file it is decoded from.
    announced : int, optional
        How many numbers the descriptor announces; 0 if it does not.

    Raises
    ------
    ReadError
        If a TIFF can't hold it; or if it is large, larger than announced, and far more
        than its bytes are likely to expand to.
    """
    pixels = math.prod(shape)
    size = pixels * itemsize
    if size >= LARGEST:
        message = f"{path}: an image of shape {[*shape]} has {size} bytes, over 4 GiB"
        raise ReadError(message)
    if size > max(HARMLESS, RATIO * stored) and pixels > announced:
        message = (
            f"{path}: its header claims an image of shape {[*shape]}, {size} bytes; "
            f"it has {stored} bytes for it, and the descriptor announces "
            f"{announced or 'no'} pixels: it is not expanded"
        )
        raise ReadError(message)

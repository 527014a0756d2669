"""What descriptors announce of fields: hints, for the array is the truth.

Of a shape that makes no sense, what can be counted is counted.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiffin.assemble.inline import declared_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

__all__ = [
    "MOST_IMAGES",
    "Announced",
    "announced_dtype",
    "announced_images",
    "announced_shape",
    "announced_sizes",
    "is_colour",
    "is_image",
    "may_be_image",
]

MOST_IMAGES = 10**7
"""A detector at 10 kHz takes as many in a quarter of an hour. An event of which more
are announced has a number that means nothing."""

LARGEST = 2**32
"""No TIFF has as many rows or columns."""

COLOUR_AXES = {"c", "color", "colour", "rgb", "rgba", "channel", "channels", "sample"}


@dataclass(frozen=True, slots=True)
class Announced:
    """What a descriptor promises of the fields that are exported.

    Attributes
    ----------
    start, descriptor : mapping
        The documents.
    images : mapping
        Image field → how many images an event holds.
    """

    start: Mapping[str, Any]
    descriptor: Mapping[str, Any]
    images: Mapping[str, int]


def announced_sizes(data_key: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Read a data key's shape, 0 for each size that it does not know.

    Returns
    -------
    tuple of int or None
        () for a number, or where nothing is announced; None for what is no shape.

    Examples
    --------
    >>> announced_sizes({"shape": [3, None, "9"]}), announced_sizes({"shape": "abc"})
    ((3, 0, 9), None)
    """
    shape = data_key.get("shape")
    if shape is None:
        return ()
    if not isinstance(shape, (list, tuple)):
        return None
    sizes = tuple(map(_size, shape))
    if math.prod(sizes[:-2]) > MOST_IMAGES:
        return (0,) * len(sizes[:-2]) + sizes[-2:]
    return sizes


def announced_shape(data_key: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Read a data key's shape; None where it is no image's or not all known.

    A zero is no shape that a detector has: it was not known when it was announced.
    """
    sizes = announced_sizes(data_key) or ()
    return sizes if len(sizes) >= 2 and all(sizes) else None


def announced_images(data_key: Mapping[str, Any], *, colour: bool) -> int:
    """Count the images that an event is announced to hold; 1 where that is unknown."""
    sizes = announced_sizes(data_key) or ()
    return math.prod(sizes[: -3 if colour else -2]) or 1


def announced_dtype(data_key: Mapping[str, Any]) -> np.dtype | None:
    """Read ``dtype_numpy``; None where it is absent, or nothing that numpy knows."""
    with suppress(ValueError, SyntaxError):
        return declared_dtype(data_key)
    return None


def is_colour(data_key: Mapping[str, Any]) -> bool:
    """Whether a data key's ``dims`` say that the last axis is a colour's samples."""
    dims = data_key.get("dims")
    if not isinstance(dims, (list, tuple)) or not dims:
        return False
    return str(dims[-1]).lower() in COLOUR_AXES


def is_image(data_key: Mapping[str, Any]) -> bool:
    """Whether a data key announces two or more dimensions.

    What is outside the event and has no shape that can be read is looked at.
    """
    shape = data_key.get("shape")
    if isinstance(shape, (list, tuple)):
        return len(shape) >= 2
    return shape is not None and bool(data_key.get("external"))


def may_be_image(data_key: Mapping[str, Any]) -> bool:
    """Whether a field that is asked for may be images: nothing says that it is not."""
    return data_key.get("shape") is None or is_image(data_key)


def _size(said: Any) -> int:
    try:
        size = int(said)
        known = isinstance(said, str) or size == said
    except (TypeError, ValueError, OverflowError):
        return 0
    return size if known and 0 < size < LARGEST else 0

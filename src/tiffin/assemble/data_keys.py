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

    from tiffin.axes import Axes, Hints

__all__ = [
    "MOST_IMAGES",
    "DeclaredImages",
    "announced_dtype",
    "declared_sizes",
    "axis_hints",
    "image_fields",
    "may_declare_image",
    "declares_image",
    "may_be_image",
]

MOST_IMAGES = 10**7
"""A detector at 10 kHz takes as many in a quarter of an hour. An event of which more
are announced has a number that means nothing."""

LARGEST = 2**32
"""No TIFF has as many rows or columns."""

NO_ARRAY = ("number", "integer", "string", "boolean")
"""The dtype of a data key that is not an array."""


@dataclass(frozen=True, slots=True)
class DeclaredImages:
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


def declared_sizes(data_key: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Read a data key's shape, 0 for each size that it does not know.

    What ophyd once announced as (columns, rows, 0) is (rows, columns).

    Returns
    -------
    tuple of int or None
        () for a number, or where nothing is announced; None for what is no shape.

    Examples
    --------
    >>> declared_sizes({"shape": [3, None, "9"]}), declared_sizes({"shape": "abc"})
    ((3, 0, 9), None)
    >>> declared_sizes({"shape": [9, 6, 0]})
    (6, 9)
    """
    shape = data_key.get("shape")
    if shape is None:
        return ()
    if not isinstance(shape, (list, tuple)):
        return None
    sizes = tuple(map(_size, shape))
    if len(sizes) > 2 and sizes[-2] and _is_zero(shape[-1]):
        # ophyd before July 2019 announced (columns, rows, 0).
        sizes = (*sizes[:-3], sizes[-2], sizes[-3])
    if math.prod(sizes[:-2]) > MOST_IMAGES:
        return (0,) * len(sizes[:-2]) + sizes[-2:]
    return sizes


def announced_dtype(data_key: Mapping[str, Any]) -> np.dtype | None:
    """Read ``dtype_numpy``; None where it is absent, or nothing that numpy knows."""
    with suppress(ValueError, SyntaxError):
        return declared_dtype(data_key)
    return None


def axis_hints(axes: Axes, name: str, data_key: Mapping[str, Any]) -> Hints:
    """Return what is known of the axes of a field's array."""
    sizes = declared_sizes(data_key) or ()
    dims = data_key.get("dims")
    return axes.hints(name, sizes, dims, external=is_external(data_key))


def is_external(data_key: Mapping[str, Any]) -> bool:
    """Whether an array is outside the event."""
    return str(data_key.get("external", "")) not in ("", "None", "False")


def declares_image(data_key: Mapping[str, Any]) -> bool:
    """Whether a data key announces two or more dimensions.

    What is outside the event and has no shape that can be read is looked at.
    """
    shape = data_key.get("shape")
    if isinstance(shape, (list, tuple)):
        return len(shape) >= 2
    return shape is not None and is_external(data_key)


def image_fields(data_keys: Mapping[str, Any]) -> list[str]:
    """Return the fields that are announced as images.

    Where a stream announces none, they are those that may be images all the same.
    """
    sure = [name for name, data_key in data_keys.items() if declares_image(data_key)]
    return sure or [name for name, key in data_keys.items() if may_declare_image(key)]


def may_declare_image(data_key: Mapping[str, Any]) -> bool:
    """Whether an array outside the event is announced with a shape of no image.

    The handlers of some beamlines say so of images, and ``[]`` or ``[n]`` says little.
    """
    is_array = str(data_key.get("dtype")) not in NO_ARRAY
    return is_array and is_external(data_key) and not declares_image(data_key)


def may_be_image(data_key: Mapping[str, Any]) -> bool:
    """Whether a field that is asked for may be images: nothing says that it is not."""
    unknown = data_key.get("shape") is None or is_external(data_key)
    return unknown or declares_image(data_key)


def _is_zero(said: Any) -> bool:
    return isinstance(said, (int, float)) and said == 0


def _size(said: Any) -> int:
    try:
        size = int(said)
        known = isinstance(said, str) or size == said
    except (TypeError, ValueError, OverflowError):
        return 0
    return size if known and 0 < size < LARGEST else 0

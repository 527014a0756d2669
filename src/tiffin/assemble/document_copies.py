"""Copy documents, estimate their size, and replace or remove the images in them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from tiffin.errors import ReadError

IMMUTABLE = frozenset({int, float, str, bool, type(None)})

LIST_ITEM_NBYTES = 40
"""Memory of a number in a list: the object and the reference to it [bytes]."""


def copy_document(document: Any) -> Any:
    """Copy a document, its nested values and its arrays.

    Arrays are writable in the copy. Lazy arrays are not copied.

    Examples
    --------
    >>> document = {"data": {"img": np.zeros(3)}, "tags": [{"a": 1}]}
    >>> copy = copy_document(document)
    >>> copy["data"]["img"] += 1
    >>> copy["tags"][0]["a"] = 2
    >>> document
    {'data': {'img': array([0., 0., 0.])}, 'tags': [{'a': 1}]}
    """
    if isinstance(document, (dict, Mapping)):  # for a dict it takes no call
        return {
            key: value if type(value) in IMMUTABLE else copy_document(value)
            for key, value in document.items()
        }
    if isinstance(document, np.ndarray):
        return document.copy()
    if not isinstance(document, (list, tuple)):
        return document
    items: Any = document
    if any(isinstance(item, (list, tuple, Mapping, np.ndarray)) for item in document):
        items = map(copy_document, document)
    # Not type(document): the constructor of a named tuple takes other arguments.
    return list(items) if isinstance(document, list) else tuple(items)


def estimate_nbytes(value: Any) -> int:
    """Estimate the memory of the arrays and lists in a value [bytes].

    Examples
    --------
    >>> estimate_nbytes({"img": np.zeros(100, "u2"), "list": [[1, 2], [3, 4]]})
    360
    """
    if isinstance(value, (dict, Mapping)):
        return sum(estimate_nbytes(item) for item in value.values())
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, (list, tuple)) and value:
        first = value[0]
        if isinstance(first, (list, tuple, np.ndarray)):
            return len(value) * estimate_nbytes(first)  # all rows have one size
        return len(value) * LIST_ITEM_NBYTES
    return 0


def total_nbytes(document: Any) -> int:
    """Return the memory of a document and of all values in it [bytes].

    Examples
    --------
    >>> 10**5 < total_nbytes({"key": ["x" * 1000] * 100}) < 2 * 10**5
    True
    """
    total, stack = 0, [document]
    while stack:
        value = stack.pop()
        total += sys.getsizeof(value)
        if isinstance(value, dict):
            stack += value
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
    return total


def array_shape(value: object) -> tuple[int, ...] | None:
    """Return the shape of an array or nested list, None for any other value.

    Examples
    --------
    >>> array_shape([[[1, 2], [3, 4]]]), array_shape([]), array_shape("uid/0")
    ((1, 2, 2), (0,), None)
    """
    if isinstance(value, (list, tuple)):
        inner = array_shape(value[0]) if value else None
        return (len(value), *(inner or ()))
    shape = getattr(value, "shape", None)
    return tuple(shape) if isinstance(shape, tuple) else None


def is_image_value(value: object) -> bool:
    """Return whether a value has two or more dimensions."""
    return len(array_shape(value) or ()) >= 2


def without_images(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with scalars only, to be kept until its run ends."""
    data = event["data"].items()
    return {**event, "data": {k: v for k, v in data if not is_image_value(v)}}


class MissingArray:
    """Takes the place of an array that was dropped. Reading it raises the reason."""

    __slots__ = ("dtype", "reason", "shape")

    nbytes = 0

    def __init__(self, array: Any, reason: str) -> None:
        self.shape = array_shape(array) or ()
        self.dtype = np.dtype(getattr(array, "dtype", float))
        self.reason = reason

    def read(self) -> np.ndarray:
        """Raise the reason."""
        raise ReadError(self.reason)


def replace_images(name: str, doc: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return an event or event page without its images: the frames fail with `reason`.

    Other documents are returned unchanged.
    """
    data = doc.get("data")
    if not isinstance(data, Mapping) or name not in ("event", "event_page"):
        return dict(doc)

    def replaced(value: Any) -> Any:
        if isinstance(value, (np.ndarray, list, tuple)) and is_image_value(value):
            return MissingArray(value, reason)
        return value

    if name == "event":
        return {**doc, "data": {key: replaced(value) for key, value in data.items()}}
    pages = {key: [replaced(v) for v in values] for key, values in data.items()}
    return {**doc, "data": pages}

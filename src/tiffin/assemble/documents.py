"""Documents of one's own: what others change later does not show in them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["PLAIN", "estimate_nbytes", "inline_shape", "copy_document", "taken_bytes"]

PLAIN = frozenset({int, float, str, bool, type(None)})
"""What nobody can change."""

NUMBER_IN_LIST = 40
"""About what a number in a nested list takes: the object, and its place [bytes]."""


def copy_document(document: Any) -> Any:
    """Copy a document, its nested values and its arrays.

    Arrays are writable in the copy, and lazy ones stay what they are.

    Examples
    --------
    >>> document = {"data": {"img": np.zeros(3)}, "tags": [{"a": 1}]}
    >>> copy = copy_document(document)
    >>> copy["data"]["img"] += 1
    >>> copy["tags"][0]["a"] = 2
    >>> document
    {'data': {'img': array([0., 0., 0.])}, 'tags': [{'a': 1}]}
    """
    if isinstance(document, Mapping):
        return {
            key: value if type(value) in PLAIN else copy_document(value)
            for key, value in document.items()
        }
    if isinstance(document, (list, tuple)):
        nested = (list, tuple, Mapping, np.ndarray)
        if any(isinstance(item, nested) for item in document):
            # Subclasses, as named tuples are, may want other arguments: plain ones.
            items = [copy_document(item) for item in document]
            return items if isinstance(document, list) else tuple(items)
        return list(document) if isinstance(document, list) else document
    if isinstance(document, np.ndarray):
        return document.copy()
    return document


def estimate_nbytes(value: Any) -> int:
    """Return about how much memory the arrays and lists of a value take [bytes].

    Examples
    --------
    >>> estimate_nbytes({"img": np.zeros(100, "u2"), "list": [[1, 2], [3, 4]]})
    360
    """
    if isinstance(value, Mapping):
        return sum(estimate_nbytes(item) for item in value.values())
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, (list, tuple)) and value:
        first = value[0]
        if isinstance(first, (list, tuple, np.ndarray)):
            return len(value) * estimate_nbytes(first)  # rows of an image are alike
        return len(value) * NUMBER_IN_LIST
    return 0


def taken_bytes(document: Any) -> int:
    """Return how much memory a document takes, with all that it holds [bytes].

    Examples
    --------
    >>> 10**5 < taken_bytes({"key": ["x" * 1000] * 100}) < 2 * 10**5
    True
    """
    total, left = 0, [document]
    while left:
        value = left.pop()
        total += sys.getsizeof(value)
        if isinstance(value, dict):
            left += value
            left += value.values()
        elif isinstance(value, (list, tuple)):
            left += value
    return total


def inline_shape(value: object) -> tuple[int, ...] | None:
    """Return the shape of an array or nested list; None for anything else.

    Examples
    --------
    >>> inline_shape([[[1, 2], [3, 4]]]), inline_shape([]), inline_shape("uid/0")
    ((1, 2, 2), (0,), None)
    """
    if isinstance(value, (list, tuple)):
        inner = inline_shape(value[0]) if value else None
        return (len(value), *(inner or ()))
    shape = getattr(value, "shape", None)
    return tuple(shape) if isinstance(shape, tuple) else None

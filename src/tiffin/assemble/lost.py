"""Stand in an event for images that could not be taken: their frames fail by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tiffin.assemble.documents import inline_shape
from tiffin.errors import ReadError

__all__ = ["MissingArray", "replace_images"]


class MissingArray:
    """Stands for an array that was not taken.

    Parameters
    ----------
    array : array-like
        Not kept.
    reason : str
        The message that reading it fails with.
    """

    __slots__ = ("dtype", "reason", "shape")

    nbytes = 0

    def __init__(self, array: Any, reason: str) -> None:
        self.shape = tuple(inline_shape(array) or ())
        self.dtype = np.dtype(getattr(array, "dtype", float))
        self.reason = reason

    def read(self) -> np.ndarray:
        """Raise the reason.

        Raises
        ------
        ReadError
        """
        raise ReadError(self.reason)


def replace_images(name: str, doc: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return a document whose images are `MissingArray`: its frames fail.

    Parameters
    ----------
    name : str
        ``"event"`` or ``"event_page"``; others are given as they are.
    doc : mapping
    reason : str
    """
    data = doc.get("data")
    if not isinstance(data, Mapping) or name not in ("event", "event_page"):
        return dict(doc)
    if name == "event":
        return {
            **doc,
            "data": {key: _lost(value, reason) for key, value in data.items()},
        }
    pages = {key: [_lost(v, reason) for v in values] for key, values in data.items()}
    return {**doc, "data": pages}


def _lost(value: Any, reason: str) -> Any:
    in_memory = isinstance(value, (np.ndarray, list, tuple))
    is_image = in_memory and len(inline_shape(value) or ()) >= 2
    return MissingArray(value, reason) if is_image else value

"""Values of documents as JSON has them, none too long for a file of one image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType
from typing import Any

import numpy as np

from tiffin.template import is_container, plain

MOST_ELEMENTS = 1_000
"""The longest list, array or mapping that is written."""

LONGEST = 100_000
"""How long a value may be in all: the characters and the elements in it. Each file of a
run would have them, and what is much longer is not read again."""

DEEPEST = 10
"""How deep lists and mappings may be nested."""

LARGEST = 2**1024
"""Larger integers are no numbers in most programs that read JSON."""


def as_json(value: Any) -> tuple[Any, float | None]:
    """Return a value as JSON has it, and a number in it that became null, if any.

    NaN and infinity become null. A ValueError is raised if JSON has no such value, or
    it is too long.

    Examples
    --------
    >>> as_json(np.array([1.5, np.nan]))
    ([1.5, None], nan)
    """
    if type(value) is float and math.isfinite(value):  # as of most motors
        return value, None
    conversion = _Conversion()
    return conversion.of(value), conversion.lost


class _Conversion:
    """Converts one value, and counts how long it is."""

    def __init__(self) -> None:
        self.lost: float | None = None
        self._length = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        value = plain(value)
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind in (bool, NoneType) or (kind is int and abs(value) < LARGEST):
            return value
        if kind is float:
            if math.isfinite(value):
                return value
            self.lost = value
            return None
        if kind is int:
            message = f"it is an integer of {value.bit_length()} bits: that is too many"
            raise ValueError(message)
        if not is_container(value):
            message = f"JSON can't hold {kind.__name__}"
            raise ValueError(message)
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        is_array = isinstance(value, np.ndarray)
        length = value.size if is_array else len(value)
        if depth > DEEPEST:
            message = "it is nested too deep"
            raise ValueError(message)
        if length > MOST_ELEMENTS:
            message = (
                f"it has {length} elements, and at most {MOST_ELEMENTS} are written"
            )
            raise ValueError(message)
        self._count(length)
        if isinstance(value, Mapping):
            return {self._key(key): self.of(value[key], depth + 1) for key in value}
        items = value.tolist() if is_array else value
        return [self.of(item, depth + 1) for item in items]

    def _key(self, key: Any) -> str:
        key = plain(key)
        if type(key) not in (str, int, float, bool):
            message = f"JSON can't hold {type(key).__name__} as a key"
            raise ValueError(message)
        return self._text(str(key))

    def _text(self, text: str) -> str:
        self._count(len(text))
        return text

    def _count(self, length: int) -> None:
        self._length += length
        if self._length > LONGEST:
            message = f"it has more than {LONGEST} characters or elements in all"
            raise ValueError(message)

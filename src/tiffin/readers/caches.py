"""A cache of open files."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class OpenFileCache(Generic[T]):
    """Keep the most recently used files open, and close the others.

    Examples
    --------
    >>> cache = OpenFileCache()
    >>> cache.get("a", list) is cache.get("a", list)
    True
    """

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._open: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the cached value of a key, or make it."""
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        self._open[key] = value = make()
        while len(self._open) > self._size:
            _close(self._open.popitem(last=False)[1])
        return value

    def discard(self, key: Hashable) -> T | None:
        """Close and return the value of a key, or None if it is not cached."""
        value = self._open.pop(key, None)
        _close(value)
        return value

    def close(self) -> None:
        """Close all."""
        while self._open:
            _close(self._open.popitem()[1])


def _close(value: Any) -> None:
    close = getattr(value, "close", None)
    if callable(close):
        with suppress(Exception):  # everything of interest has been read
            close()

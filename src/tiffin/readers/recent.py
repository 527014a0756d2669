"""Keep the last few things open: many hold a file, and files are limited."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Recent"]

MOST_OPEN = 16

T = TypeVar("T")


class Recent(Generic[T]):
    """What was asked for last stays open; the rest is closed, if it can be.

    Parameters
    ----------
    most : int, optional
        How many stay open.

    Examples
    --------
    >>> recent = Recent()
    >>> recent.get("a", list) is recent.get("a", list)
    True
    """

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self._open: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is open under a key, or make it."""
        if key not in self._open:
            self._open[key] = make()
        self._open.move_to_end(key)
        while len(self._open) > self._most:
            _close(self._open.popitem(last=False)[1])
        return self._open[key]

    def forget(self, key: Hashable) -> T | None:
        """Close one, which is made anew when it is asked for; give it, if there was."""
        thing = self._open.pop(key, None)
        _close(thing)
        return thing

    def close(self) -> None:
        """Close all."""
        while self._open:
            _close(self._open.popitem()[1])


def _close(thing: Any) -> None:
    close = getattr(thing, "close", None)
    if callable(close):
        with suppress(Exception):  # it is only let go; what it gave is read
            close()

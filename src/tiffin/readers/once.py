"""Make a thing once, even when several threads want it at the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Once"]

T = TypeVar("T")


class Once(Generic[T]):
    """Keeps the last few things made. Who wants one that is being made waits for it.

    Parameters
    ----------
    most : int
        How many are kept.

    Examples
    --------
    >>> once = Once(most=2)
    >>> once.get("a", list) is once.get("a", list)
    True
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._made: OrderedDict[Hashable, Future[T]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what was made under a key, or make it.

        What `make` raises, all raise who wait for it; it is not kept.
        """
        with self._lock:
            future = self._made.get(key)
            if future is not None:
                self._made.move_to_end(key)
            else:
                ours = self._made[key] = Future()
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
        # Other keys go on meanwhile: neither making nor waiting holds the lock.
        return future.result() if future is not None else self._make(key, ours, make)

    def _make(self, key: Hashable, future: Future[T], make: Callable[[], T]) -> T:
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                if self._made.get(key) is future:
                    del self._made[key]
            future.set_exception(error)
            raise
        future.set_result(made)
        return made

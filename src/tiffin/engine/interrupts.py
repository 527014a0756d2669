"""Ctrl-C is taken between two documents, where nothing is half done."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

__all__ = ["Interrupts", "check_waiting"]

_active: list[Interrupts] = []


class Interrupts:
    """Holds Ctrl-C back until `check` is called; the second one is not held back.

    Nor is the first where this thread only waits.

    Python raises `KeyboardInterrupt` between any two steps, also while a lock is held
    or a count is half made, and what waits for them then waits for ever.

    Parameters
    ----------
    then : callable
        Called at once, by the signal's handler: it may take no lock.

    Notes
    -----
    Does nothing where there is nothing to hold back: in threads, which are never
    interrupted, and where somebody else handles the signal (a RunEngine does).

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     for number in interrupts.between([1, 2]):
    ...         print(number)
    1
    2
    """

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self._then = then
        self._holds = False
        self._asked = self._reads = False

    def check(self) -> None:
        """Raise the `KeyboardInterrupt` that has been held back, if any."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def between(self, items: Iterable[Any]) -> Iterator[Any]:
        """Go through a source, and check before each item and at the end.

        While the source is asked for the next item, Ctrl-C is not held back: a pipe or
        a server may never answer.
        """
        source = iter(items)
        while True:
            self.check()
            self._reads = True
            try:
                item = next(source)
            except StopIteration:
                break
            finally:
                self._reads = False
            yield item
        self.check()

    def __enter__(self) -> Interrupts:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hold)
            self._holds = True
            _active.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._holds:
            _active.remove(self)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if error is None:
            self.check()

    def _hold(self, *_: object) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._then()
        if self._reads:
            self.check()


def check_waiting() -> None:
    """Raise what is held back, if this is the thread that is to be interrupted.

    For places that only wait, where nothing is half done.
    """
    if _active and threading.current_thread() is threading.main_thread():
        _active[-1].check()

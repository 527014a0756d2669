"""Delay Ctrl-C until the end of a step."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

_active: list[Interrupts] = []


class Interrupts:
    """Delays the first Ctrl-C until `check` is called or the thread only waits.

    Python raises `KeyboardInterrupt` anywhere, also while a lock is held or a count is
    changed, and other threads would then wait forever. `then` is called immediately by
    the signal handler, and must not take a lock.

    This does nothing in threads, which are never interrupted, and if there is another
    signal handler, such as that of a RunEngine.

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
        """Raise the delayed `KeyboardInterrupt`, if any."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def between(self, items: Iterable[Any]) -> Iterator[Any]:
        """Iterate over a source, and check before each item and at the end.

        While the source gets the next item, Ctrl-C is not delayed, because a pipe or a
        server may never answer.
        """
        source = iter(items)
        while True:
            if self._asked:
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
    """Raise a delayed `KeyboardInterrupt` in the main thread.

    For places that only wait.
    """
    if _active and threading.current_thread() is threading.main_thread():
        _active[-1].check()

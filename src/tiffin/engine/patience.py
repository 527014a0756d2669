"""Wait with a limit, and log what a wait is for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiffin.engine.interrupts import check_waiting

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

TICK = 0.2
"""How often a wait checks Ctrl-C, time and progress [s]."""

SAY_AFTER = 5.0
"""When a wait logs what it waits for [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, and what to log.

    Attributes
    ----------
    until : float or None
        When to stop, by `time.monotonic`; None for no limit.
    stalls : float or None
        Stop after this time without progress; None for no limit [s].
    progress : callable or None
        Returns a value that changes while there is progress.
    say : callable or None
        Called once after a few seconds.
    """

    until: float | None = None
    stalls: float | None = None
    progress: Callable[[], object] | None = None
    say: Callable[[], object] | None = None

    @classmethod
    def of(
        cls, timeout: float | None, say: Callable[[], object] | None = None
    ) -> Patience:
        """Return a limit of `timeout` from now; None for no limit [s]."""
        until = None if timeout is None else time.monotonic() + timeout
        return cls(until=until, say=say)

    def at_most(self, timeout: float) -> Patience:
        """Return this limit, shortened to `timeout` from now [s]."""
        until = time.monotonic() + timeout
        if self.until is not None:
            until = min(until, self.until)
        return replace(self, until=until)

    def wait(
        self,
        changed: threading.Condition,
        done: Callable[[], bool],
        between: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Wait until `done` returns True; return whether it did.

        `changed` is not locked, and is notified when the result of `done` may have
        changed. `between` is called repeatedly. It returns whether it did some work;
        then it is called again immediately.
        """
        begun = moved = time.monotonic()
        before = self._mark()
        said = self.say is None
        while True:
            busy = between()
            now = time.monotonic()
            with changed:
                if done():
                    return True
                if self.until is not None and now >= self.until:
                    return False
                if not busy:
                    left = TICK if self.until is None else self.until - now
                    changed.wait(min(TICK, left))
                if done():
                    return True
            check_waiting()
            if (mark := self._mark()) != before:
                before, moved = mark, time.monotonic()
            if self.stalls is not None and time.monotonic() - moved >= self.stalls:
                return False
            if not said and self.say is not None and now - begun >= SAY_AFTER:
                said = True
                self.say()

    def _mark(self) -> object:
        return None if self.progress is None else self.progress()

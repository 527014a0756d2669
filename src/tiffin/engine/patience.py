"""Wait, but not for ever, and say what for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiffin.engine.interrupts import check_waiting

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = ["Patience"]

TICK = 0.2
"""How often Ctrl-C, time and progress are looked at [s]."""

SAY_AFTER = 5.0
"""After so long it is said what is waited for [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, and what to say meanwhile.

    Attributes
    ----------
    until : float or None
        When the waiting ends, as `time.monotonic` has it; None for never.
    stalls : float or None
        It ends, too, where there was no progress for so long [s]; None for never.
    progress : callable or None
        Gives what changes while there is progress.
    say : callable or None
        Called once, after a few seconds.
    """

    until: float | None = None
    stalls: float | None = None
    progress: Callable[[], object] | None = None
    say: Callable[[], object] | None = None

    @classmethod
    def of(
        cls, timeout: float | None, say: Callable[[], object] | None = None
    ) -> Patience:
        """Wait for so long from now [s]; None for ever."""
        until = None if timeout is None else time.monotonic() + timeout
        return cls(until=until, say=say)

    def at_most(self, timeout: float) -> Patience:
        """Wait so long from now, if not less [s]."""
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
        """Wait until something is done; tell whether it is.

        Parameters
        ----------
        changed : Condition
            Not held; notified when `done` may have changed.
        done : callable
        between : callable
            Called at first, and again and again; tells whether it did something, and
            is to be called at once.
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

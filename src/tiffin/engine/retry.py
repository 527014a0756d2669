"""Try again what could not be done yet, with growing pauses, until its run is over."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tiffin.engine.forks import renew_in_child
from tiffin.engine.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Retries"]

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 3.0
GROWTH = 1.6
"""Pauses of 0.1, 0.16, 0.26… up to 3 s: soon for a file that is just being closed,
seldom for one that is not closed before the detector is unstaged."""


@dataclass(order=True, slots=True)
class _Task:
    due: float
    number: int
    run: str = field(compare=False)
    attempt: Callable[[bool], bool] = field(compare=False)
    pause: float = field(compare=False)
    must_try_once_more: bool = field(compare=False, default=False)
    """True if the run has ended and the task has not been tried since."""
    done: bool = field(compare=False, default=False)


class Retries:
    """Repeats attempts until they succeed or their time is over.

    Parameters
    ----------
    timeout : float
        How long to go on after a run's end [s]; until then there is no limit.
    submit : callable
        Runs an attempt where attempts are to be run.
    release : callable, optional
        Called when nothing of a run is postponed any more, before anybody is told:
        closes what the attempts have opened.
    """

    def __init__(
        self,
        timeout: float,
        submit: Callable[[Callable[[], None]], object],
        release: Callable[[], object] | None = None,
    ) -> None:
        self._release = release
        self._timeout = timeout
        self._submit = submit
        self._numbers = itertools.count()
        self.renew_in_child()
        renew_in_child(self)

    def renew_in_child(self) -> None:
        """Begin with nothing postponed: a forked process leaves that to its parent."""
        self._tasks: list[_Task] = []
        self._ends: dict[str, float] = {}
        self._open: dict[str, dict[int, _Task]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def postpone(self, run: str, attempt: Callable[[bool], bool]) -> None:
        """Make an attempt again, after a pause.

        Parameters
        ----------
        run : str
        attempt : callable
            Called with whether it is the last time; returns whether it is done.

        Raises
        ------
        RuntimeError
            If the system has no thread to give.
        """
        with self._changed:
            task = _Task(0.0, next(self._numbers), run, attempt, FIRST_PAUSE)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._work, name="tiffin-retries", daemon=True
                )
                thread.start()  # it waits for what is held here
                self._thread = thread
            self._open.setdefault(run, {})[task.number] = task
            self._push(task)

    def end_run(
        self,
        run: str,
        timeout: float | None = None,
        patience: Patience | None = None,
    ) -> bool:
        """Begin the last seconds of a run, and try once more now.

        What can be done by now is done when this returns, even if the last attempt
        looked at a file while it was being written.

        Parameters
        ----------
        run : str
        timeout : float, optional
            How long to go on [s], if not as long as usual.
        patience : Patience, optional
            How long to wait here for the attempt that is made now.

        Returns
        -------
        bool
            Whether it still has anything postponed.
        """
        self.begin_end(run, timeout)
        (patience or Patience()).wait(self._changed, lambda: not self._must_try(run))
        return run in self._open

    def begin_end(self, run: str, timeout: float | None = None) -> None:
        """Do the same as `end_run` without waiting."""
        with self._changed:
            self._end(run, timeout)

    @property
    def is_busy(self) -> bool:
        """Whether anything is postponed."""
        return bool(self._open)

    def has(self, run: str) -> bool:
        """Whether anything of a run is postponed."""
        return run in self._open

    def end_all(self, timeout: float | None = None) -> None:
        """Begin the last seconds of every run that has something postponed.

        Parameters
        ----------
        timeout : float, optional
            How long to go on [s]; without it, as long as usual, and runs that have
            ended already keep their time.
        """
        with self._changed:
            runs = set(self._open)
            if timeout is None:
                runs -= self._ends.keys()
            for run in runs:
                self._end(run, timeout)

    def wait(self, patience: Patience | None = None) -> bool:
        """Wait until nothing is postponed.

        What is postponed for a run that has not ended is waited for as long as if it
        ended now: it may be the caller who is to end it.
        """
        patience = patience or Patience()
        usual = patience.at_most(self._timeout)
        if not usual.wait(self._changed, lambda: not self._open):
            ended = lambda: not self._open.keys() & self._ends.keys()  # noqa: E731
            patience.wait(self._changed, ended)
        return not self._open

    def _end(self, run: str, timeout: float | None) -> None:
        now = time.monotonic()
        tasks = self._open.get(run, {}).values()
        if tasks:
            self._ends[run] = now + (self._timeout if timeout is None else timeout)
        for task in tasks:
            task.due = now
            task.pause = FIRST_PAUSE
            task.must_try_once_more = True
        heapq.heapify(self._tasks)
        self._changed.notify_all()

    def _must_try(self, run: str) -> bool:
        return any(task.must_try_once_more for task in self._open.get(run, {}).values())

    def _close(self, task: _Task) -> None:
        """Forget a task; a run of which nothing is left needs no end."""
        del self._open[task.run][task.number]
        if not self._open[task.run]:
            del self._open[task.run]
            self._ends.pop(task.run, None)
        self._changed.notify_all()

    def _push(self, task: _Task) -> None:
        now = time.monotonic()
        pause = 0.0 if task.must_try_once_more else task.pause
        due = min(now + pause, self._ends.get(task.run, float("inf")))
        task.due = max(due, now)
        heapq.heappush(self._tasks, task)
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._open:
                    self._thread = None
                    return
                pause = self._tasks[0].due - time.monotonic() if self._tasks else None
                if pause is None or pause > 0:
                    self._changed.wait(pause)
                    continue
                task = heapq.heappop(self._tasks)
            self._submit(partial(self._attempt, task))

    def _release_after(self, task: _Task) -> None:
        """Close what was opened, where this was the last task of its run."""
        with self._changed:
            task.done = True
            last = all(other.done for other in self._open[task.run].values())
        if last and self._release is not None:
            self._release()

    def _attempt(self, task: _Task) -> None:
        with self._changed:
            last = time.monotonic() >= self._ends.get(task.run, float("inf"))
            was_due = (
                task.must_try_once_more
            )  # else, and its run ends meanwhile, this does not count
        done = True
        try:
            done = task.attempt(last) or last
        finally:
            if done:
                self._release_after(task)
            with self._changed:
                task.must_try_once_more = task.must_try_once_more and not was_due
                if done:
                    self._close(task)
                else:
                    task.pause = min(task.pause * GROWTH, LONGEST_PAUSE)
                    self._push(task)

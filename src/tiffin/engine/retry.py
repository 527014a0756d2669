"""Retry late files with growing pauses, until some time after the end of their run."""

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

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 3.0
GROWTH = 1.6
"""Pauses of 0.1, 0.16, 0.26… up to 3 s: short for a file that is just being closed,
long for one that stays open until the detector is unstaged."""


@dataclass(order=True, slots=True)
class _Task:
    due: float
    number: int
    run: str = field(compare=False)
    attempt: Callable[[bool], bool] = field(compare=False)
    pause: float = field(compare=False)
    must_try_once_more: bool = field(compare=False, default=False)
    """Whether the run has ended and the task has not been tried since."""
    done: bool = field(compare=False, default=False)


class Retries:
    """Repeats attempts until they succeed or time out.

    `timeout` is how long to go on after the end of a run; before it, there is no limit
    [s]. `submit` passes an attempt to a worker. `release` closes the files of the
    attempts: it is called after the last attempt of a run.
    """

    def __init__(
        self,
        timeout: float,
        submit: Callable[[Callable[[], None]], object],
        release: Callable[[], object] | None = None,
    ) -> None:
        self._release = release
        self.over: Callable[[], object] | None = None
        """Called when no attempt of a run is left. It must not wait."""
        self._timeout = timeout
        self._submit = submit
        self._numbers = itertools.count()
        self.renew_in_child()
        renew_in_child(self)

    def renew_in_child(self) -> None:
        """Start again without attempts, which belong to the parent process."""
        self._tasks: list[_Task] = []
        self._ends: dict[str, float] = {}
        self._open: dict[str, dict[int, _Task]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def postpone(self, run: str, attempt: Callable[[bool], bool]) -> None:
        """Repeat an attempt after a pause.

        An attempt takes whether it is the last one, and returns whether it is done. A
        RuntimeError is raised if no thread can be started.
        """
        with self._changed:
            task = _Task(0.0, next(self._numbers), run, attempt, FIRST_PAUSE)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._work, name="tiffin-retries", daemon=True
                )
                thread.start()  # it waits for the lock
                self._thread = thread
            self._open.setdefault(run, {})[task.number] = task
            self._push(task)

    def end_run(
        self,
        run: str,
        timeout: float | None = None,
        patience: Patience | None = None,
    ) -> bool:
        """Start the timeout of a run, and try all of its attempts now.

        When this returns, everything that can be read by now is done, even if the
        attempt before met a file that was being written. Return whether attempts of the
        run are left. `timeout` is another one than usual [s]; `patience` limits the
        wait for these attempts.
        """
        self.begin_end(run, timeout)
        (patience or Patience()).wait(self._changed, lambda: not self._must_try(run))
        return run in self._open

    def begin_end(self, run: str, timeout: float | None = None) -> None:
        """Do the same as `end_run`, without waiting."""
        with self._changed:
            self._end(run, timeout)

    @property
    def is_busy(self) -> bool:
        """Whether attempts are left."""
        return bool(self._open)

    def has(self, run: str) -> bool:
        """Return whether attempts of a run are left."""
        return run in self._open

    def end_all(self, timeout: float | None = None) -> None:
        """Start the timeouts of all runs with attempts.

        Without another `timeout` than usual, runs that have ended already keep theirs.
        """
        with self._changed:
            runs = set(self._open)
            if timeout is None:
                runs -= self._ends.keys()
            for run in runs:
                self._end(run, timeout)

    def drop(self) -> None:
        """Forget all attempts. None may be running."""
        with self._changed:
            self._tasks.clear()
            self._ends.clear()
            self._open.clear()
            self._changed.notify_all()

    def wait(self, patience: Patience | None = None) -> bool:
        """Wait until no attempts are left.

        Runs that have not ended are waited for as if they ended now, because perhaps
        only the caller can end them.
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
        """Forget a task, and the timeout of its run after the last task."""
        del self._open[task.run][task.number]
        if not self._open[task.run]:
            del self._open[task.run]
            self._ends.pop(task.run, None)
            if self.over is not None:
                self.over()
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
        """Close the files after the last task of a run."""
        with self._changed:
            task.done = True
            last = all(other.done for other in self._open[task.run].values())
        if last and self._release is not None:
            self._release()

    def _attempt(self, task: _Task) -> None:
        with self._changed:
            last = time.monotonic() >= self._ends.get(task.run, float("inf"))
            # If the run ends during this attempt, the attempt does not count.
            was_due = task.must_try_once_more
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

"""Run tasks: in this process, in several processes, or on a Dask cluster."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Protocol

from tiffin.bulk.task import Task, TaskResult, run_task
from tiffin.bulk.worker_log import Logged, log_of_worker, run_logged

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["ENGINES", "LOCAL", "Engine", "ProcessEngine", "SerialEngine", "WORKER_DIED"]

ENGINES = ("serial", "processes", "dask")

LOCAL = "local"
"""The Dask cluster that is started on this machine."""

WORKER_DIED = TaskResult(why="its worker process died", may_pass=True)
"""The result of a task that has killed its worker, or whose worker was killed."""


class Engine(Protocol):
    """Runs tasks, in any order.

    Attributes
    ----------
    dashboard : str
        The address of a page that shows the work; ``""`` if there is none.
    """

    dashboard: str

    @property
    def left(self) -> int:
        """How many tasks are not finished."""
        ...

    def submit(self, task: Task) -> None:
        """Add a task."""
        ...

    def next(self) -> tuple[Task, TaskResult]:
        """Wait for the next task that is finished. There must be one."""
        ...

    def cancel(self) -> None:
        """Drop the tasks that have not begun."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class SerialEngine:
    """Runs one task after another, in this thread."""

    dashboard = ""

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()

    @property
    def left(self) -> int:
        """How many tasks are not finished."""
        return len(self._waiting)

    def submit(self, task: Task) -> None:
        """Add a task."""
        self._waiting.append(task)

    def next(self) -> tuple[Task, TaskResult]:
        """Run the next task."""
        task = self._waiting.popleft()
        return task, run_task(task)

    def cancel(self) -> None:
        """Drop all tasks."""
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class ProcessEngine:
    """Runs tasks in processes of this machine.

    Each process is a pool of its own, so that it is known which task was running when a
    process dies.

    Parameters
    ----------
    processes : int
    """

    dashboard = ""

    def __init__(self, processes: int) -> None:
        self._idle = [_new_pool() for _ in range(processes)]
        self._waiting: deque[Task] = deque()
        self._running: dict[Future[Logged], tuple[Task, ProcessPoolExecutor]] = {}

    @property
    def left(self) -> int:
        """How many tasks are not finished."""
        return len(self._waiting) + len(self._running)

    def submit(self, task: Task) -> None:
        """Add a task."""
        self._waiting.append(task)

    def next(self) -> tuple[Task, TaskResult]:
        """Wait for the next task that is finished."""
        while self._idle and self._waiting:
            pool, task = self._idle.pop(), self._waiting.popleft()
            self._running[pool.submit(run_logged, task)] = task, pool
        finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
        future = finished.pop()
        task, pool = self._running.pop(future)
        try:
            result = log_of_worker(future.result())
        except BrokenProcessPool:
            pool.shutdown(wait=False)
            pool, result = _new_pool(), WORKER_DIED
        self._idle.append(pool)
        return task, result

    def cancel(self) -> None:
        """Drop the tasks that have not begun."""
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for pool in (*self._idle, *(pool for _, pool in self._running.values())):
            if kind is not None:  # do not wait for a task that may take hours
                for process in list((pool._processes or {}).values()):  # noqa: SLF001 (there is no other way before 3.14)
                    process.terminate()
            pool.shutdown(cancel_futures=True)


def _new_pool() -> ProcessPoolExecutor:
    # A fork would copy locks that threads of this process hold.
    context = get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_follow_main)


def _follow_main() -> None:
    """Leave Ctrl-C, which the terminal sends to all processes, to the main one.

    If that is killed, end as well: its pool would wait forever. It has the log, too:
    a script that is imported here may have set up one.
    """
    logging.getLogger("tiffin").propagate = False
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_main, daemon=True).start()


def _end_with_main() -> None:
    main = parent_process()
    if main is not None:
        main.join()
        os._exit(1)

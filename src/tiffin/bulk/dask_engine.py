"""Run tasks on a Dask cluster, which may be one of many machines."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from typing import Any, Self

from tiffin.bulk.engines import LOCAL, WORKER_DIED
from tiffin.bulk.task import Task, TaskResult, run_task
from tiffin.errors import MissingLibraryError, SettingsError, SourceError

__all__ = ["DaskEngine"]

NO_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers of this machine run: Ctrl-C, which the terminal sends to all processes,
is for the main one."""

SCHEMES = ("tcp://", "tls://", "ucx://", "ws://", "wss://")


class DaskEngine:
    """Runs tasks on the workers of a Dask scheduler.

    Parameters
    ----------
    where : str or path-like
        ``"local"`` starts a cluster on this machine. Else the address of a scheduler
        (``tcp://…``), or its scheduler file.
    processes : int
        How many processes a local cluster has.

    Raises
    ------
    MissingLibraryError
        If `distributed` is not installed.
    SourceError
        If no scheduler answers.
    """

    def __init__(self, where: str | os.PathLike[str], processes: int) -> None:
        try:
            from distributed import Client, LocalCluster, as_completed
        except ImportError as error:
            message = f"engine='dask' needs it ({error}): pip install 'tiffin[dask]'"
            raise MissingLibraryError(message) from error
        self._stack = ExitStack()
        # Killed workers and failed tasks are in the report.
        log = logging.getLogger("distributed")
        self._stack.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL)
        try:
            if where == LOCAL:
                cluster = LocalCluster(
                    n_workers=processes,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    preload=[NO_CTRL_C],
                )
                how: dict[str, Any] = {"address": self._stack.enter_context(cluster)}
            else:
                how = _scheduler(where)
            self._client = self._stack.enter_context(Client(timeout=20, **how))
        except (OSError, TimeoutError) as error:
            self._stack.close()
            message = f"no Dask scheduler answers at {where}: {error}"
            raise SourceError(message) from error
        self.dashboard = str(self._client.dashboard_link or "")
        self._tasks: dict[str, Task] = {}
        self._completed = as_completed()

    @property
    def left(self) -> int:
        """How many tasks are not finished."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """Add a task."""
        future = self._client.submit(_run_task, task, pure=False)
        self._tasks[future.key] = task
        self._completed.add(future)

    def next(self) -> tuple[Task, TaskResult]:
        """Wait for the next task that is finished.

        Raises
        ------
        SourceError
            If the scheduler is gone.
        """
        from distributed import CancelledError, KilledWorker

        try:
            future = next(self._completed)
            while future.key not in self._tasks:  # it was cancelled
                future = next(self._completed)
            error = future.exception()
            result: TaskResult = WORKER_DIED if error else future.result()
        except (OSError, StopIteration, CancelledError) as gone:
            raise _gone(gone) from gone
        task = self._tasks.pop(future.key)
        if error is not None and not isinstance(error, KilledWorker):  # it can't begin
            result = TaskResult(why=f"a worker fails: {type(error).__name__}: {error}")
        return task, result

    def cancel(self) -> None:
        """Drop the tasks that have not begun.

        One that begins at this moment is finished by its worker, but not waited for:
        the same command again finds its files.
        """
        running = {key for keys in self._client.processing().values() for key in keys}
        left = [f for f in self._completed.futures if f.key not in running]
        for future in left:
            self._tasks.pop(future.key, None)
        self._client.cancel(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _scheduler(where: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the keywords with which a client finds a scheduler."""
    if str(where).startswith(SCHEMES):
        return {"address": str(where)}
    if os.path.isfile(where):  # noqa: PTH113 (text or a path)
        return {"scheduler_file": os.fspath(where)}
    message = (
        f"must be 'local', the address of a scheduler (tcp://…), or the path of a "
        f"scheduler file, not {os.fspath(where)!r}"
    )
    raise SettingsError(message, setting="dask")


def _run_task(task: Task) -> TaskResult:
    import dask

    # Tiled reads arrays with Dask: it must not use the cluster that this task runs on.
    with dask.config.set(scheduler="synchronous"):
        return run_task(task)


def _gone(error: BaseException) -> SourceError:
    message = (
        f"the Dask scheduler is gone ({type(error).__name__}): what is done is on the "
        f"disk; start the cluster again, and repeat the same command"
    )
    return SourceError(message)

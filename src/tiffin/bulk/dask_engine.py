"""Run tasks on a Dask cluster, which may be one of many machines."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from tiffin.bulk.engines import LOCAL, WORKER_DIED
from tiffin.bulk.task import Task, TaskResult
from tiffin.bulk.worker_log import Logged, log_of_worker, run_logged
from tiffin.errors import MissingLibraryError, SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DaskEngine", "scheduler_of"]

logger = logging.getLogger("tiffin")

NO_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers of this machine run: Ctrl-C, which the terminal sends to all processes,
is for the main one."""

NOT_BEGUN = TaskResult(why="it was stopped before it began", may_pass=True)
"""The result of a task whose engine was cancelled."""

LOOK_AT_WORKERS = 5.0
"""The time between two looks for lost workers [s]."""

TIMEOUT = 10.0
"""How long a scheduler may take to answer [s]."""

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
                # A nanny starts its worker again, but not if it dies while it starts:
                # with none left, tasks would wait forever.
                look: Callable[[], object] = partial(cluster.scale, processes)
            else:
                how = scheduler_of(where)
                look = self._look_for_workers
            self._client = self._stack.enter_context(Client(timeout=TIMEOUT, **how))
        except (OSError, TimeoutError) as error:
            self._stack.close()
            message = f"no Dask scheduler answers at {where}: {error}"
            raise SourceError(message) from error
        self.dashboard = str(self._client.dashboard_link or "")
        self._name = uuid.uuid4().hex
        self._tasks: dict[str, Task] = {}
        self._completed = as_completed()
        self._how = how
        self._look = look
        self._has_workers = True

    @property
    def left(self) -> int:
        """How many tasks are not finished."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """Add a task."""
        future = self._client.submit(_run_task, task, self._name, pure=False)
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
            result = WORKER_DIED if error else log_of_worker(future.result())
        except (OSError, StopIteration, CancelledError) as gone:
            raise _gone(gone) from gone
        task = self._tasks.pop(future.key)
        if error is not None and not isinstance(error, KilledWorker):  # it can't begin
            result = TaskResult(why=f"a worker fails: {type(error).__name__}: {error}")
        return task, result

    def cancel(self) -> None:
        """Drop the tasks that have not begun."""
        with suppress(OSError):  # the scheduler is gone, which `next` tells
            workers = self._client.run(_stop, self._name, on_error="ignore")
            begun = {task for tasks in workers.values() for task in tasks}
            futures = self._completed.futures
            left = [f for f in futures if str(self._tasks[f.key]) not in begun]
            for future in left:
                del self._tasks[future.key]
            self._client.cancel(left)

    def _look_for_workers(self) -> None:
        """Log that there is no worker, once until there is one."""
        had = self._has_workers
        with suppress(OSError):  # the scheduler is gone, which `next` tells
            if self._client.status == "running":
                self._has_workers = bool(self._client.nthreads())
        if had and not self._has_workers:
            ((how, where),) = self._how.items()
            option = "--scheduler-file " if how == "scheduler_file" else ""
            logger.warning(
                "the Dask scheduler has no worker: the tasks wait until there is one; "
                "start it with: dask worker %s%s",
                option,
                where,
            )

    def close(self) -> None:
        """Leave the scheduler."""
        self._stack.close()

    def __enter__(self) -> Self:
        self._stack.enter_context(_repeated(self._look))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _repeated(look: Callable[[], object]) -> Iterator[None]:
    """Look at once, and then every few seconds."""
    closing = threading.Event()

    def repeat() -> None:
        look()
        while not closing.wait(LOOK_AT_WORKERS):
            look()

    thread = threading.Thread(target=repeat, name="tiffin-workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join(LOOK_AT_WORKERS)  # a scheduler that hangs holds up nobody


def scheduler_of(where: str | os.PathLike[str]) -> dict[str, Any]:
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


class Begun:
    """The tasks that this worker has begun, and the engines that are stopped.

    A task that begins while its engine is cancelled would be lost: it can't be ended,
    and nobody would wait for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, set[str]] = {}  # by engine
        self._stopped: set[str] = set()

    def begin(self, engine: str, task: Task) -> bool:
        """Note a task; return whether it may begin."""
        with self._lock:
            if engine in self._stopped:
                return False
            self._tasks.setdefault(engine, set()).add(str(task))
            return True

    def end(self, engine: str, task: Task) -> None:
        """Forget a task."""
        with self._lock:
            self._tasks[engine].discard(str(task))

    def stop(self, engine: str) -> list[str]:
        """Let no more tasks of an engine begin; return those that have."""
        with self._lock:
            self._stopped.add(engine)
            return [*self._tasks.get(engine, ())]


HERE = Begun()


def _stop(engine: str) -> list[str]:
    return HERE.stop(engine)


def _run_task(task: Task, engine: str) -> Logged:
    import dask

    if not HERE.begin(engine, task):
        return NOT_BEGUN, ()
    try:
        # Tiled reads with Dask: it must not use the cluster that this task runs on.
        with dask.config.set(scheduler="synchronous"):
            return run_logged(task)
    finally:
        HERE.end(engine, task)


def _gone(error: BaseException) -> SourceError:
    message = (
        f"the Dask scheduler is gone ({type(error).__name__}): what is done is on the "
        f"disk; start the cluster again, and repeat the same command"
    )
    return SourceError(message)

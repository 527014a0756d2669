"""A few threads and a budget of bytes: when it is full, whoever submits waits."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

from tiffin.engine.forks import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pool"]

logger = logging.getLogger("tiffin")


class Pool:
    """Runs jobs in threads, in the order submitted.

    Parameters
    ----------
    workers : int
        How many threads. They start with the first job.
    budget : int
        How much may wait or be in work at a time [bytes]. A job larger than that
        runs when nothing else does.
    name : str
        Of the threads.

    Notes
    -----
    The threads are daemons, so that an interpreter can exit; who owns a pool closes it.
    """

    def __init__(self, *, workers: int, budget: int, name: str) -> None:
        self._workers = workers
        self._budget = budget
        self._name = name
        self._cancelled = False
        self.waits = 0
        """How often a submitter had to wait for room."""
        self.renew_in_child()
        renew_in_child(self)

    def renew_in_child(self) -> None:
        """Begin without jobs and threads; a forked process has its parent's none."""
        self._jobs: queue.SimpleQueue[tuple[int, Callable[[], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        # Two locks: who submits never waits for a worker that is just done.
        self._submitting = threading.Lock()
        self._submitted = self._submitted_bytes = 0
        self._changed = threading.Condition()
        self._done = self._done_bytes = 0

    def submit(self, nbytes: int, job: Callable[[], None]) -> None:
        """Hand a job over; wait while the budget is full.

        Parameters
        ----------
        nbytes : int
            What the job holds, or will hold [bytes].
        job : callable
            Its exceptions are its own business: here they are only logged.
        """
        with self._submitting:
            if not self._fits(nbytes):
                self.waits += 1
                with self._changed:
                    self._changed.wait_for(lambda: self._fits(nbytes))
            # In this order: whatever interrupts it, nobody waits for a lost job.
            self._jobs.put((nbytes, job))
            self._submitted_bytes += nbytes
            self._submitted += 1
            if len(self._threads) < self._workers:
                self._start_thread()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until nothing is waiting or in work.

        Parameters
        ----------
        timeout : float, optional
            At most so long [s].

        Returns
        -------
        bool
            Whether all is done.
        """
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout)

    def cancel(self) -> None:
        """Drop the jobs that no worker has begun. Takes no lock."""
        self._cancelled = True

    def close(self) -> None:
        """Wait for all jobs and end the threads. A later job starts new ones."""
        self.drain()
        with self._submitting:
            threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def _fits(self, nbytes: int) -> bool:
        held = self._submitted_bytes - self._done_bytes
        return self._is_idle() or held + nbytes <= self._budget

    def _is_idle(self) -> bool:
        return self._done >= self._submitted

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            nbytes, job = item
            try:
                if not self._cancelled:
                    job()
            except BaseException:
                # The border of a job: what is left here is a defect, never a frame's;
                # not even SystemExit may end the thread that others wait for.
                logger.exception("a job of %s failed", self._name)
            finally:
                # Done first: letting go of the job may let go of the pool's owner,
                # whose finalizer then drains the pool from this very thread.
                self._count(nbytes)
                del item, job

    def _count(self, nbytes: int) -> None:
        with self._changed:
            self._done_bytes += nbytes
            self._done += 1
            self._changed.notify_all()

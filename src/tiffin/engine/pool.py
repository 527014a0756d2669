"""A few threads and a budget of bytes: when it is full, whoever submits waits."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tiffin.engine.forks import renew_in_child
from tiffin.engine.interrupts import Interrupts
from tiffin.engine.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = tuple[int, int, Callable[[], None]]
    Jobs = queue.SimpleQueue[Job | None]

__all__ = ["Pool"]

logger = logging.getLogger("tiffin")

SHORT = 0.5
"""What was waited for in vain already is waited for no longer than that [s]."""

GRACE = 2.0
"""After `cancel`, what has begun is waited for so long [s]."""


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
    spare : int
        How many threads more may take the places of those that hang.

    Notes
    -----
    The threads are daemons, so that an interpreter can exit; who owns a pool closes it.
    Where the system has no thread to give, whoever waits for the jobs does them.
    """

    def __init__(self, *, workers: int, budget: int, name: str, spare: int = 0) -> None:
        self._workers = workers
        self._spare = spare
        self._budget = budget
        self._name = name
        self._cancelled: float | None = None
        self._refused_thread = False
        self.waits = 0
        """How often a submitter had to wait for room."""
        self.renew_in_child()
        renew_in_child(self)

    def renew_in_child(self) -> None:
        """Begin without jobs and threads; a forked process has its parent's none."""
        self._jobs: Jobs = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        # Two locks: who submits never waits for a worker that is just done.
        self._submitting = threading.Lock()
        self._submitted = self._submitted_bytes = 0
        self._changed = threading.Condition()
        self._done = self._done_bytes = 0
        # What hangs: jobs that were in work when somebody stopped waiting for them.
        self._at_work: dict[int, int] = {}
        self._hanging: set[int] = set()
        self._done_when_given_up = -1

    @property
    def done(self) -> int:
        """How many jobs were done."""
        return self._done

    @property
    def hangs(self) -> bool:
        """Whether anybody has stopped waiting for a job that is still in work."""
        return bool(self._hanging)

    @property
    def is_here(self) -> bool:
        """Whether it is one of the pool's threads that asks."""
        return threading.get_ident() in [thread.ident for thread in self._threads]

    def submit(
        self, nbytes: int, job: Callable[[], None], patience: Patience | None = None
    ) -> bool:
        """Hand a job over; wait while the budget is full.

        Parameters
        ----------
        nbytes : int
            What the job holds, or will hold [bytes]. One that holds nothing never
            waits.
        job : callable
            Its exceptions are its own business: here they are only logged.
        patience : Patience, optional
            How long to wait; for ever without it. It is not tried again while nothing
            has been done since it ended.

        Returns
        -------
        bool
            Whether the job was taken.
        """
        if self._put_if_it_fits(nbytes, job):
            return True
        self.waits += 1
        if patience is not None and self._is_jammed():
            return False
        waiting = patience or Patience()
        while waiting.wait(self._changed, lambda: self._fits(nbytes), self._tend):
            if self._put_if_it_fits(nbytes, job):
                return True
        self._give_up()
        return False

    def drain(self, patience: Patience | None = None, *, all_jobs: bool = True) -> bool:
        """Wait until nothing is waiting or in work.

        Parameters
        ----------
        patience : Patience, optional
            How long; for ever without it.
        all_jobs : bool
            Whether to wait, too, for what was given up before: jobs that hang.

        Returns
        -------
        bool
            Whether all is done.
        """
        if self._is_idle():
            return True
        waiting = patience or Patience()
        if self._cancelled is not None:
            waiting = waiting.at_most(self._cancelled + GRACE - time.monotonic())
        if all_jobs:
            return waiting.wait(self._changed, self._is_idle, self._tend)
        if self._is_jammed():
            waiting = waiting.at_most(SHORT)
        if not waiting.wait(self._changed, self._only_hangs, self._tend):
            self._give_up()
        return self._is_idle()

    def cancel(self) -> None:
        """Drop the jobs that no worker has begun. Takes no lock."""
        self._cancelled = time.monotonic()

    def close(self, patience: Patience | None = None) -> bool:
        """Wait for all jobs and end the threads. A later job starts new ones.

        Parameters
        ----------
        patience : Patience, optional
            How long; for ever without it. A thread that hangs ends when it can.

        Returns
        -------
        bool
            Whether all is done.
        """
        done = self.drain(patience)
        with self._submitting:  # what is submitted meanwhile has its own queue
            threads, self._threads = self._threads, []
            jobs, self._jobs = self._jobs, queue.SimpleQueue()
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            if done and thread is not threading.current_thread():
                thread.join(GRACE)
        return done

    def _put_if_it_fits(self, nbytes: int, job: Callable[[], None]) -> bool:
        with self._submitting:
            if nbytes and not self._fits(nbytes):
                return False
            # In this order: whatever interrupts it, nobody waits for a lost job.
            self._jobs.put((self._submitted, nbytes, job))
            self._submitted_bytes += nbytes
            self._submitted += 1
            most = self._workers
            if self._hanging:
                most += min(len(self._hanging), self._spare)
            if len(self._threads) < most:
                self._start_thread()
        return True

    def _fits(self, nbytes: int) -> bool:
        held = self._submitted_bytes - self._done_bytes
        return self._is_idle() or held + nbytes <= self._budget

    def _is_idle(self) -> bool:
        return self._done >= self._submitted

    def _only_hangs(self) -> bool:
        return self._done + len(self._hanging) >= self._submitted

    def _is_jammed(self) -> bool:
        """Whether nothing was done since somebody gave up."""
        return self._done == self._done_when_given_up

    def _give_up(self) -> None:
        with self._changed:
            self._done_when_given_up = self._done
            self._hanging = set(self._at_work.values())

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(
            target=self._work, args=(self._jobs,), name=name, daemon=True
        )
        self._threads.append(thread)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            self._threads.remove(thread)
            if not self._refused_thread:
                self._refused_thread = True
                logger.warning("no thread can be started (%s): exports wait", error)

    def _tend(self) -> bool:
        """See that there is a thread; where there is none, do a job in this one."""
        with self._submitting:
            self._threads = [t for t in self._threads if t.is_alive()]
            if not self._threads and not self._jobs.empty():
                self._start_thread()
            alone = not self._threads
        if not alone:
            return False
        try:
            item = self._jobs.get_nowait()
        except queue.Empty:
            return False
        if item is not None:
            with Interrupts():
                self._do(item)
        return True

    def _work(self, jobs: Jobs) -> None:
        while (item := jobs.get()) is not None:
            self._do(item)
            del item

    def _do(self, item: Job) -> None:
        number, nbytes, job = item
        me = threading.get_ident()
        self._at_work[me] = number
        try:
            if self._cancelled is None:
                job()
        except BaseException:
            # The border of a job: what is left here is a defect, never a frame's;
            # not even SystemExit may end the thread that others wait for.
            with suppress(Exception):
                logger.exception("a job of %s failed", self._name)
        finally:
            # Done first: letting go of the job may let go of the pool's owner,
            # whose finalizer then drains the pool from this very thread.
            self._count(me, number, nbytes)

    def _count(self, me: int, number: int, nbytes: int) -> None:
        with self._changed:
            self._at_work.pop(me, None)
            self._hanging.discard(number)
            self._done_bytes += nbytes
            self._done += 1
            self._changed.notify_all()

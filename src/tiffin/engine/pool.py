"""Run jobs in threads, with a memory limit that makes submitters wait."""

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

logger = logging.getLogger("tiffin")

SHORT = 0.5
"""How long to wait again for jobs after a wait has timed out [s]."""

GRACE = 2.0
"""How long to wait for running jobs after `cancel` [s]."""


class Pool:
    """Runs jobs in threads, in the order submitted.

    The threads start with the first job; `name` is their name, and up to `spare` more
    may replace threads that hang. Waiting and running jobs may take `budget` of memory
    together; a larger job runs alone [bytes].

    The threads are daemons, so that Python can exit; the owner of a pool closes it. If
    no thread can be started, a thread that waits for the jobs runs them.
    """

    def __init__(self, *, workers: int, budget: int, name: str, spare: int = 0) -> None:
        self._workers = workers
        self._spare = spare
        self._budget = budget
        self._name = name
        self._cancelled: float | None = None
        self._refused_thread = False
        self.waits = 0
        """How often a submitter had to wait for memory."""
        self.renew_in_child()
        renew_in_child(self)

    def renew_in_child(self) -> None:
        """Start again without jobs and threads, which belong to the parent process."""
        self._jobs: Jobs = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        # Two locks, so that a submitter never waits for a worker that finishes a job.
        self._submitting = threading.Lock()
        self._submitted = self._submitted_bytes = 0
        self._changed = threading.Condition()
        self._done = self._done_bytes = 0
        # Jobs hang if they were running when a wait for them timed out.
        self._at_work: dict[int, int] = {}
        self._hanging: set[int] = set()
        self._done_when_given_up = -1

    @property
    def done(self) -> int:
        """The number of finished jobs."""
        return self._done

    @property
    def hangs(self) -> bool:
        """Whether a job is still running although a wait for it has timed out."""
        return bool(self._hanging)

    @property
    def is_cancelled(self) -> bool:
        """Whether jobs are dropped."""
        return self._cancelled is not None

    @property
    def is_here(self) -> bool:
        """Whether the caller is one of the threads of the pool."""
        return threading.get_ident() in [thread.ident for thread in self._threads]

    def submit(
        self, nbytes: int, job: Callable[[], None], patience: Patience | None = None
    ) -> bool:
        """Add a job, and return whether it was added; wait while the memory is full.

        A job of 0 `nbytes` never waits. It must handle its exceptions; others are only
        logged. Without `patience` there is no limit. After a timeout, further calls do
        not wait until a job has finished.
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
        """Wait until all jobs are finished; return whether they are.

        Without `patience` there is no limit. With `all_jobs`, jobs that hang are waited
        for too.
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
        """Drop the jobs that have not started. Takes no lock."""
        self._cancelled = time.monotonic()

    def close(self, patience: Patience | None = None) -> bool:
        """Wait for all jobs, and end the threads; return whether all is done.

        Without `patience` there is no limit. A thread that hangs ends later. A later
        job starts new threads.
        """
        done = self.drain(patience)
        with self._submitting:  # later jobs get a new queue
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
            # In this order, an interrupt never makes a wait for a lost job endless.
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
        waiting = self._submitted_bytes - self._done_bytes
        return self._is_idle() or waiting + nbytes <= self._budget

    def _is_idle(self) -> bool:
        return self._done >= self._submitted

    def _only_hangs(self) -> bool:
        return self._done + len(self._hanging) >= self._submitted

    def _is_jammed(self) -> bool:
        """Return whether no job has finished since a wait timed out."""
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
                logger.warning("can't start a thread (%s): the export waits", error)

    def _tend(self) -> bool:
        """Start a thread if there is none; if that fails, run a job in this one."""
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
            # Jobs handle the errors of frames, so this is a bug. Even SystemExit must
            # not end the thread, because others wait for it.
            with suppress(Exception):
                logger.exception("a job of %s failed", self._name)
        finally:
            # Count first: deleting the job may delete the owner of the pool, whose
            # finalizer then drains the pool from this thread.
            self._count(me, number, nbytes)

    def _count(self, me: int, number: int, nbytes: int) -> None:
        with self._changed:
            self._at_work.pop(me, None)
            self._hanging.discard(number)
            self._done_bytes += nbytes
            self._done += 1
            self._changed.notify_all()

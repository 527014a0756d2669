"""The service: look at the source, export what is new, and never forget a run."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiffin.bulk import TaskResult
from tiffin.display import count_text
from tiffin.errors import SourceError
from tiffin.service.journal import Journal
from tiffin.service.listening import Listening
from tiffin.service.live import Live
from tiffin.service.on_done import OnDone
from tiffin.service.owners import owner_here
from tiffin.service.run_export import export_run
from tiffin.service.run_source import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.options import ConfigFile
    from tiffin.service.config import ServiceConfig
    from tiffin.service.run_state import RunState

__all__ = ["Service", "Status"]

logger = logging.getLogger("tiffin")

TRIES = 5
"""How often a run is tried before it is given up: files that are late are waited for.

So often, too, the service may be killed while it exports this run.
"""

PAUSES = (2.0, 10.0, 60.0, 300.0)
"""How long to wait after the first failure, the second, and so on [s]."""

LEASE = 30.0
"""How long a service that says nothing more still has its lease [s]."""

MINUTE = 60.0
"""Over how long images per second are counted [s]."""

LONGEST_LOOK = 5.0
"""How long a stop waits for a source that does not answer [s]."""


@dataclass
class Status:
    """What the service is doing.

    Attributes
    ----------
    begun : float
        When it began [s since 1970].
    works : bool
        Whether it exports; False if another service has the lease.
    looked : float
        When the source has last answered [s since 1970]; 0 if it has not.
    problem : str
        What keeps it from working; ``""`` if nothing does.
    run : RunState or None
        The run that is being exported, after its stop.
    total : TaskResult
        The sum of all exports since it began, also of live ones so far.
    failures : Counter
        How many exports have failed, by cause.
    """

    begun: float = field(default_factory=time.time)
    works: bool = False
    looked: float = 0.0
    problem: str = ""
    run: RunState | None = None
    total: TaskResult = field(default_factory=TaskResult)
    failures: Counter[str] = field(default_factory=Counter)
    _written: deque[tuple[float, int]] = field(default_factory=deque)

    def count(self, total: TaskResult) -> None:
        """Note the sum of all exports."""
        now = when = time.time()
        if total.written != self.total.written:
            if self._written and now - self._written[-1][0] < 1:
                when, _ = self._written.pop()  # a number a second is enough
            self._written.append((when, total.written))
        while len(self._written) > 1 and self._written[1][0] < now - MINUTE:
            self._written.popleft()
        self.total = total

    def rate(self) -> float:
        """Return images per second in the last minute."""
        since, before = max(self.begun, time.time() - MINUTE), 0
        for when, written in self._written.copy():
            before = written if when <= since else before
        return (self.total.written - before) / max(1.0, time.time() - since)


class Service:
    """Exports every run of a source, by the exports of a configuration file.

    Parameters
    ----------
    config : ServiceConfig
    exports : mapping of str to ConfigFile
    """

    def __init__(
        self, config: ServiceConfig, exports: Mapping[str, ConfigFile]
    ) -> None:
        self.config = config
        self.status = Status()
        self._source = source_of(config.source)  # raises if a library is missing
        self.journal = Journal(config.journal)
        self.exports = exports
        self._owner = owner_here()
        self._hint = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._waits = False
        self._on_done = OnDone(config.on_done)
        self._listening: Listening | None = None
        self._exported = TaskResult()
        self.live: Live | None = None
        if config.live:
            self.live = Live(exports, config.source, self.journal, self.hint)
        self._thread = threading.Thread(target=self._work, name="tiffin-service")
        self._thread.daemon = True

    def start(self) -> None:
        """Begin to work, in threads. It listens while it has the lease."""
        self._thread.start()
        threading.Thread(
            target=self._keep_lease, name="tiffin-lease", daemon=True
        ).start()

    def trouble(self) -> str:
        """Return why runs are not exported now; ``""`` if they are."""
        longest = max(60.0, 10 * self.config.interval)
        if self._stopping.is_set():
            return "the service is stopping"
        if not self._thread.is_alive():
            return "the service has ended"
        try:
            self.journal.counts()
        except sqlite3.Error as error:
            return f"the journal fails: {error}"
        status = self.status
        problem = status.problem or (self.live.trouble if self.live else "")
        if problem or not status.works:
            return problem or "another service has the lease"
        if not status.looked:
            return "the source has not answered yet"
        silent = time.time() - status.looked
        if silent > longest and status.run is None:
            return f"the source has not answered for {silent:.0f} s"
        return ""

    @property
    def damaged_files(self) -> dict[str, str]:
        """Path → reason of the files of documents that can't be read to their end."""
        return dict(self._source.damaged) if self.status.works else {}

    def hint(self) -> None:
        """Look at the source now. From any thread, also from a signal handler."""
        self._hint.set()

    def stop(self) -> bool:
        """Finish the run that is being exported; return False if it takes too long.

        A run that is not finished is exported by the next start.
        """
        self._stopping.set()
        self._hint.set()
        if self._thread.is_alive():
            limit = self.config.drain_timeout
            if self.status.run is None:  # it only waits for the source
                limit = min(limit, LONGEST_LOOK)
            self._thread.join(limit)
        self._stop_listening()
        left = self.journal.counts().get("waiting", 0)
        if left:
            logger.warning("%s left for the next start", count_text(left, "run"))
        if self._thread.is_alive():
            run = self.status.run
            if run is not None:
                name = f"run {run.name} ({run.uid[:8]})"
                logger.warning("%s is not finished: the next start goes on", name)
                self.journal.postpone(run.uid, run.why, 0, counts=False)
            self._on_done.kill()  # the next start runs it
            return False
        self._source.close()
        self.journal.release(self._owner)
        return True

    def close(self) -> None:
        """Close the journal, after `stop`."""
        self.journal.close()

    # ---- the work, in its thread

    def _work(self) -> None:
        while not self._stopping.is_set():
            pause = self.config.interval
            try:
                if self._has_lease():
                    works = self._look()
                    self._go_on_live()
                    pause = self._export_waiting() if works else self._pause()
            except Exception as error:  # the service goes on, whatever happens
                self._failures += 1
                self.status.problem = f"{type(error).__name__}: {error}"
                logger.exception("the service goes on after an unexpected error")
                pause = self._pause()
            self._hint.wait(pause)
            self._hint.clear()
        if self.live is not None:
            self.live.close()

    def _has_lease(self) -> bool:
        """Return whether this service works; another one may do so."""
        works = self.journal.lease(self._owner, LEASE)
        if works:
            if self._waits:
                logger.warning("the other service has ended: this one works now")
            again = self.journal.recover()
            if again:
                runs = count_text(again, "interrupted run")
                logger.warning("exporting %s again", runs)
            if self._listening is None and self.config.listen:
                self._listening = Listening(self.config, self.journal, self.hint)
        elif self.status.works:
            logger.warning("another service has taken over")
            self._stop_listening()
            if self.live is not None:
                self.live.close()
        elif not self._waits:
            where = self.config.journal
            logger.warning("another service works with %s: waiting for its end", where)
        self.status.works = works
        self._waits = not works
        return works

    def _keep_lease(self) -> None:
        """Renew the lease: an export may take longer than it lasts."""
        while not self._stopping.wait(LEASE / 5):
            try:
                if self.status.works and not self.journal.lease(self._owner, LEASE):
                    logger.warning("another service has the lease now")
                    self.hint()
            except sqlite3.Error as error:
                logger.warning("the journal: %s", error)

    def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    def _go_on_live(self) -> None:
        """Export what has come of runs without a stop."""
        if self.live is not None:
            heard = self._listening
            self.live.update(heard.spooled if heard else lambda _: None)
            self.status.count(self._exported.plus(self.live.progress()))

    def _look(self) -> bool:
        """Look for new runs; return whether the source answers."""
        try:
            new = self._source.look(self.journal)
        except (SourceError, OSError) as error:
            if not self._failures:
                logger.error("%s: trying again", error)  # noqa: TRY400 (it is no bug)
            self._failures += 1
            self.status.problem = str(error)
            return False
        if self._failures:
            logger.warning("the source answers again")
            self.status.problem = ""
        self._failures = 0
        self.status.looked = time.time()
        if new:
            logger.info("%s", count_text(new, "new run"))
        return True

    def _pause(self) -> float:
        """Return how long to wait before the next look: longer after failures [s]."""
        if not self._failures:
            return self.config.interval
        return max(self.config.interval, PAUSES[min(self._failures, len(PAUSES)) - 1])

    def _export_waiting(self) -> float:
        """Export what waits; return how long to wait for the next look [s]."""
        began = time.monotonic()
        while not self._stopping.is_set():
            run = self.journal.take()
            if run is None:
                break
            pause = self._export(run)
            if pause:
                return pause
            if time.monotonic() - began > self.config.interval:
                return 0.0  # look for new runs in between, and keep the lease
        return self._pause()

    def _export(self, run: RunState) -> float:
        """Export a run; return how long to wait if nothing can be exported [s]."""
        self.status.run = run
        try:
            return self._export_once(run)
        finally:
            self.status.run = None

    def _export_once(self, run: RunState) -> float:
        if run.tries > TRIES:  # the service was killed each time
            why = run.why or "the service was killed while it exported this run"
            self._give_up(run, TaskResult(why=f"given up after {TRIES} tries: {why}"))
            return 0.0
        live = self.live
        read = None if live is None else live.read
        result = export_run(run, self.exports, self.config.source, read)
        self._exported = total = self._exported.plus(result)
        if live is not None:
            live.forget(run.uid)
            total = total.plus(live.progress())
        self.status.count(total)
        if not result.ok:
            self.status.failures[result.cause or "other"] += 1
        if run.is_incomplete:  # a person wants what there is: it stays incomplete
            self.journal.finish(run.uid, "failed", result.with_why(run.why))
            return 0.0
        if result.ok:
            self.status.problem = ""
            images = count_text(result.written, "image")
            logger.info("run %s: %s", run.name, images)
            self._on_done(run, "done")  # before it is noted: SIGKILL does not skip it
            self.journal.finish(run.uid, "done", result)
            return 0.0
        return self._failed(run, result)

    def _failed(self, run: RunState, result: TaskResult) -> float:
        """Try a run again later, or give it up; return how long to wait [s]."""
        if result.no_room:
            self.status.problem = f"the disk is full: {result.why}"
            logger.error("%s: waiting for room", result.why)
            self.journal.postpone(run.uid, result.why, PAUSES[1], counts=False)
            return PAUSES[1]
        if not self._look():  # then the failure is not the run's
            self.journal.postpone(run.uid, result.why, 0, counts=False)
            return self._pause()
        if not result.may_pass or run.tries >= TRIES:
            self._give_up(run, result)
            return 0.0
        pause = PAUSES[min(run.tries, len(PAUSES)) - 1]
        logger.warning("run %s: %s: trying again", run.name, result.why)
        self.journal.postpone(run.uid, result.why, pause, counts=True)
        return 0.0

    def _give_up(self, run: RunState, result: TaskResult) -> None:
        logger.error("run %s (%s): %s", run.name, run.uid[:8], result.why)
        self.journal.finish(run.uid, "failed", result)
        self._on_done(run, "failed")

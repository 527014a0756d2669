"""The service: look at the source, export what is new, and never forget a run."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.bulk import Task, TaskResult, run_task
from tiffin.errors import SourceError, TiffinError
from tiffin.options import is_address
from tiffin.report import make_page
from tiffin.service.journal import Journal, RunState, owner_here
from tiffin.service.listeners import Hints, start_listener
from tiffin.service.source import source_of
from tiffin.service.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.options import ConfigFile
    from tiffin.service.config import ServiceConfig

__all__ = ["Service", "Status"]

logger = logging.getLogger("tiffin")

TRIES = 3
"""How often a run is tried before it is given up."""

PAUSES = (2.0, 10.0, 60.0, 300.0)
"""How long to wait after the first failure, the second, and so on [s]."""

LONGEST_GOODBYE = 5.0
"""How long to wait for a listener to end [s]."""

LONGEST_COMMAND = 600.0
"""How long a command of ``on_done`` may take [s]."""


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
        The run that is being exported.
    total : TaskResult
        The sum of all exports since it began.
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
        self.journal = Journal(config.journal)
        self.exports = exports
        self._source = source_of(config.source)
        self._owner = owner_here()
        self._hint = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._spool: Spool | None = None
        self._listeners: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._work, name="tiffin-service")
        self._thread.daemon = True

    def start(self) -> None:
        """Begin to work and to listen, in threads."""
        self._thread.start()
        if not self.config.listen:
            return
        folder = None if is_address(self.config.source) else self.config.source
        if folder is not None:
            self._spool = Spool(Path(folder), self.journal)
        hints = Hints(
            self.hint,
            None if self._spool is None else self._spool.add,
            folder,
            self._stopping,
        )
        self._listeners = [
            start_listener(each.type, each.model_dump(), hints)
            for each in self.config.listen
        ]

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
        if status.problem or not status.works:
            return status.problem or "another service has the lease"
        if not status.looked:
            return "the source has not answered yet"
        silent = time.time() - status.looked
        if silent > longest and status.run is None:
            return f"the source has not answered for {silent:.0f} s"
        return ""

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
            self._thread.join(self.config.drain_timeout)
        if self._thread.is_alive():
            run = self.status.run
            name = "a run" if run is None else f"run {run.uid[:8]}"
            logger.warning("%s is not finished: the next start goes on with it", name)
            return False
        for listener in self._listeners:
            listener.join(LONGEST_GOODBYE)
        if self._spool is not None:
            self._spool.close()
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
                    self._look()
                    pause = self._export_waiting()
            except Exception as error:  # the service goes on, whatever happens
                self._failures += 1
                self.status.problem = f"{type(error).__name__}: {error}"
                logger.exception("the service goes on after an unexpected error")
                pause = self._pause()
            self._hint.wait(pause)
            self._hint.clear()

    def _has_lease(self) -> bool:
        """Return whether this service works; another one may do so."""
        works = self.journal.lease(self._owner, max(30.0, 10 * self.config.interval))
        if works and not self.status.works:
            again = self.journal.recover()
            if again:
                logger.warning("%d interrupted runs are exported again", again)
        elif self.status.works and not works:
            logger.warning("another service has taken over")
        self.status.works = works
        return works

    def _look(self) -> None:
        try:
            new = self._source.look(self.journal)
        except (SourceError, OSError) as error:
            if not self._failures:
                logger.error("%s: trying again", error)  # noqa: TRY400 (it is no bug)
            self._failures += 1
            self.status.problem = str(error)
            return
        if self._failures:
            logger.warning("the source answers again")
        self._failures = 0
        self.status.problem = ""
        self.status.looked = time.time()
        if new:
            logger.info("%d new runs", new)

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
        if run.tries > TRIES:  # the service was killed each time
            why = run.why or "the service was killed while it exported this run"
            self._give_up(run, TaskResult(why=f"given up after {TRIES} tries: {why}"))
            return 0.0
        try:
            result = self._result(run)
        finally:
            self.status.run = None
        self.status.total = self.status.total.plus(result)
        if not result.ok:
            self.status.failures[result.cause or "other"] += 1
        if result.ok:
            self.journal.finish(run.uid, "done", result)
            logger.info("run %s: %d images", run.scan_id, result.written)
            self._after(run, "done")
            return 0.0
        if result.no_room:
            self.status.problem = f"the disk is full: {result.why}"
            logger.error("%s: waiting for room", result.why)
            self.journal.postpone(run.uid, result.why, PAUSES[1], counts=False)
            return PAUSES[1]
        if not result.may_pass or run.tries >= TRIES:
            if not self._source_answers():
                self.journal.postpone(run.uid, result.why, 0, counts=False)
                return self._pause()
            self._give_up(run, result)
            return 0.0
        pause = PAUSES[min(run.tries, len(PAUSES)) - 1]
        logger.warning("run %s: %s: trying again", run.scan_id, result.why)
        self.journal.postpone(run.uid, result.why, pause, counts=True)
        return 0.0

    def _result(self, run: RunState) -> TaskResult:
        """Export a run by each export of the configuration file."""
        total = TaskResult()
        for name, export in self.exports.items():
            try:
                given: dict[str, Any] = {"existing": "resume", **export.keywords()}
            except TiffinError as error:  # such as a server with darks that is down
                return TaskResult(
                    why=str(error), may_pass=True, cause=type(error).__name__
                )
            template = given.pop("template")
            catalog = given.pop("catalog", None) or self.config.source
            task = Task(run.uid, run.address, template, given, catalog=catalog)
            result = run_task(task)
            if given.get("report"):
                _write_page(run, given)
            if result.why and name:
                result = result.with_why(f"{name}: {result.why}")
            total = total.plus(result)
        return total

    def _give_up(self, run: RunState, result: TaskResult) -> None:
        self.status.run = None
        self.journal.finish(run.uid, "failed", result)
        logger.error("run %s (%s): %s", run.scan_id, run.uid[:8], result.why)
        self._after(run, "failed")

    def _source_answers(self) -> bool:
        """Look at the source: if it does not answer, a failure is not the run's."""
        self._look()
        return not self._failures

    def _after(self, run: RunState, status: str) -> None:
        """Run the command of the configuration file."""
        if self.config.on_done is None:
            return
        about = {
            "TIFFIN_RUN": run.uid,
            "TIFFIN_SCAN_ID": str(run.scan_id),
            "TIFFIN_STATUS": status,
        }
        try:
            subprocess.run(
                self.config.on_done,
                shell=True,
                check=True,
                env=os.environ | about,
                timeout=LONGEST_COMMAND,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            logger.error("run %s: on_done: %s", run.scan_id, error)  # noqa: TRY400 (likewise)


def _write_page(run: RunState, settings: Mapping[str, Any]) -> None:
    """Write the page of images of a run."""
    try:
        make_page(
            settings["directory"],
            runs=[run.uid],
            follow_links=settings.get("follow_links", False),
            mode=settings.get("mode"),
        )
    except (TiffinError, OSError) as error:
        logger.warning("run %s: no page of images: %s", run.scan_id, error)

"""What worker processes log is logged in the main one, which knows how it is shown."""

from __future__ import annotations

import logging
import sys
from multiprocessing import parent_process
from typing import TYPE_CHECKING

from tiffin.bulk.task import run_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.bulk.task import Task, TaskResult

__all__ = ["Logged", "log_of_worker", "run_logged"]

logger = logging.getLogger("tiffin")

Logged = tuple["TaskResult", "Sequence[tuple[int, str]]"]
"""A result, and what was logged meanwhile: levels and messages."""

WAITS = "the export waits"
"""In messages of an export that can't go on, as on a full disk."""


class _WorkerLog(logging.Handler):
    """Keeps warnings and errors until the next task of the process is finished."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 (as other handlers: the log ends no export)
            self.handleError(record)
            return
        if record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            text += f": {type(error).__name__}: {error} (engine='serial' shows where)"
        if WAITS in text:  # perhaps for hours, so not at the end of the task
            sys.stderr.write(f"tiffin: {text}\n")
        else:
            self._lines.append((record.levelno, text))

    def taken(self) -> list[tuple[int, str]]:
        """Return what was kept, and forget it."""
        self.acquire()
        lines, self._lines = self._lines, []
        self.release()
        return lines


_LOG = _WorkerLog()


def run_logged(task: Task) -> Logged:
    """Export what a task says, in a worker; return also what it logs."""
    if parent_process() is None:  # a worker without a nanny has a log of its own
        return run_task(task), ()
    logger.addHandler(_LOG)  # once, however often this is called
    return run_task(task), _LOG.taken()


def log_of_worker(logged: Logged) -> TaskResult:
    """Log what a worker has logged; return its result."""
    result, lines = logged
    for level, text in lines:
        logger.log(level, "%s", text)
    return result

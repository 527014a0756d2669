"""One task: the export of a run, or of some frames of a long one."""

from __future__ import annotations

import errno
import logging
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.errors import (
    ExistsError,
    FieldError,
    NoRoomError,
    ReadError,
    SourceError,
    TiffinError,
    WriteError,
)
from tiffin.export import Pipeline, replay
from tiffin.report import PageOfRun
from tiffin.settings import LIVE_DEFAULTS, Settings
from tiffin.sources import (
    TIMEOUT,
    Documents,
    RunFinder,
    UnreachableServerError,
    Via,
    documents_of_runs,
    open_run,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.records import Record, Report

__all__ = [
    "Task",
    "TaskResult",
    "documents_of",
    "live_pipeline",
    "read_report",
    "result_of",
    "run_task",
]

logger = logging.getLogger("tiffin")

FULL = (errno.ENOSPC, errno.EDQUOT)

PASSING = (ReadError, WriteError, SourceError)
"""Errors that may not come again: of disks, servers and networks."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to export. It can be sent to other machines: it holds no key.

    Attributes
    ----------
    uid : str
    address : object
        See `FoundRun`.
    template : str
    settings : mapping
        The keywords of `tiffin.export`.
    frames : str or None
        A slice of the run's frames; None for all that the settings choose.
    catalog : str or None
        The address of the runs that corrections look up.
    via, timeout
        As for `tiffin.export`.
    """

    uid: str
    address: Any
    template: Any
    settings: Mapping[str, Any]
    frames: str | None = None
    catalog: Any = None
    via: Via = "auto"
    timeout: float = TIMEOUT

    def __str__(self) -> str:
        return self.uid if self.frames is None else f"{self.uid}, frames {self.frames}"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Counts of what a task has done.

    Attributes
    ----------
    written, skipped, failed : int
        Frames.
    nbytes : int
        The size of the images that were written, uncompressed [bytes].
    seconds : float
        How long it took.
    why : str
        The first failure; ``""`` if there is none.
    may_pass : bool
        Whether another try may succeed.
    no_room : bool
        Whether the disk is full.
    cause : str
        The class of the first failure, such as ``"ReadError"``.
    unreachable : bool
        Whether the source does not answer.
    """

    written: int = 0
    skipped: int = 0
    failed: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    why: str = ""
    may_pass: bool = False
    no_room: bool = False
    cause: str = ""
    unreachable: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.why

    def plus(self, other: TaskResult) -> TaskResult:
        """Return the sum with the result of another part of the run."""
        return TaskResult(
            self.written + other.written,
            self.skipped + other.skipped,
            self.failed + other.failed,
            self.nbytes + other.nbytes,
            self.seconds + other.seconds,
            self.why or other.why,
            self.may_pass or other.may_pass,
            self.no_room or other.no_room,
            self.cause or other.cause,
            self.unreachable or other.unreachable,
        )

    def with_why(self, why: str) -> TaskResult:
        """Return the same with another reason."""
        return replace(self, why=why)


def run_task(task: Task, read: Callable[[Task], Report] | None = None) -> TaskResult:
    """Export what a task says. Errors are in the result.

    Parameters
    ----------
    task : Task
    read : callable, optional
        Exports the task and returns its report; by default, `read_report`.
    """
    began = time.monotonic()
    passing: tuple[type[Exception], ...] = PASSING
    if task.settings.get("existing") == "resume":
        passing += (ExistsError,)  # another export has just written it
    try:
        result = result_of((read or read_report)(task), passing)
    except (TiffinError, OSError) as error:
        why = str(error) or type(error).__name__
        result = TaskResult(
            why=why,
            may_pass=isinstance(error, passing),
            no_room=isinstance(error, NoRoomError),
            cause=type(error).__name__,
            unreachable=isinstance(error, UnreachableServerError),
        )
    except Exception as error:  # a border: the other runs go on
        logger.exception("run %s can't be exported", task)
        name = type(error).__name__
        result = TaskResult(why=f"{name}: {error}", may_pass=True, cause=name)
    return replace(result, seconds=time.monotonic() - began)


def read_report(
    task: Task,
    documents: Documents | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Export what a task says; return all records.

    `documents` are those of the run, if they are there already, and `progress` is
    called at each image, as by `tiffin.export`.
    """
    settings = _settings_of(task)
    if documents is None:
        documents = documents_of(task)
    find_run = RunFinder(task.catalog, fallback=documents, timeout=task.timeout)
    pages = [PageOfRun()] if settings.report else []
    return replay(
        settings, documents, progress=progress, find_run=find_run, observers=pages
    )


def documents_of(task: Task) -> Documents:
    """Return the documents of a task's run."""
    if isinstance(task.address, Documents):  # may hold other runs, too
        return Documents(partial(documents_of_runs, task.address, [task.uid]))
    return open_run(
        task.address,
        task.uid,
        via=task.via,
        roots=_settings_of(task).roots,
        timeout=task.timeout,
    )


def _settings_of(task: Task) -> Settings:
    given = dict(task.settings)
    if task.frames is not None:
        given["frames"] = task.frames
    return Settings.of(task.template, **given, on_error="report")


def live_pipeline(task: Task, share: int = 1) -> Pipeline:
    """Return what exports the documents of a task while they come.

    Images that are late are looked for again as long as the run goes on. So many
    pipelines share the memory of the settings.
    """
    memory = max(1, _settings_of(task).memory // share)
    late = {"asset_timeout": LIVE_DEFAULTS["asset_timeout"]}
    given = {**late, **task.settings, "memory": memory}
    settings = _settings_of(replace(task, settings=given))
    find_run = RunFinder(task.catalog, timeout=task.timeout)
    pages = [PageOfRun()] if settings.report else []
    return Pipeline(settings, find_run=find_run, observers=pages)


def _tells_of_no_image(record: Record) -> bool:
    """Return whether a run has no image at all, as scans of motors do."""
    return record.field is None and isinstance(record.error, FieldError)


def result_of(
    report: Report, passing: tuple[type[Exception], ...] = PASSING
) -> TaskResult:
    """Return the counts of a report. `passing` are errors that may not come again."""
    written = report.written
    failed = [record for record in report.failed if not _tells_of_no_image(record)]
    nbytes = sum(
        math.prod(record.shape) * record.dtype.itemsize
        for record in written
        if record.shape is not None and record.dtype is not None
    )
    errors = [record.error for record in failed]
    return TaskResult(
        len(written),
        len(report.skipped),
        len(failed),
        nbytes,
        why=str(errors[0]) if errors else "",
        may_pass=any(isinstance(error, passing) for error in errors),
        no_room=any(getattr(error, "errno", None) in FULL for error in errors)
        or any(isinstance(error, NoRoomError) for error in errors),
        cause=type(errors[0]).__name__ if errors else "",
    )

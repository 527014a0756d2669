"""One task: the export of a run, or of some frames of a long one."""

from __future__ import annotations

import errno
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tiffin.errors import NoRoomError, ReadError, SourceError, TiffinError, WriteError
from tiffin.export import replay
from tiffin.settings import Settings
from tiffin.sources import TIMEOUT, Documents, RunFinder, Via, open_catalogue, open_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.records import Report

__all__ = ["Task", "TaskResult", "read_report", "run_task"]

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
        )

    def with_why(self, why: str) -> TaskResult:
        """Return the same with another reason."""
        return replace(self, why=why)


def run_task(task: Task) -> TaskResult:
    """Export what a task says. Errors are in the result."""
    began = time.monotonic()
    try:
        result = _result_of(read_report(task))
    except (TiffinError, OSError) as error:
        why = str(error) or type(error).__name__
        result = TaskResult(
            why=why,
            may_pass=isinstance(error, PASSING),
            no_room=isinstance(error, NoRoomError),
            cause=type(error).__name__,
        )
    return replace(result, seconds=time.monotonic() - began)


def read_report(task: Task) -> Report:
    """Export what a task says; return all records."""
    given = dict(task.settings)
    if task.frames is not None:
        given["frames"] = task.frames
    settings = Settings.of(task.template, **given, on_error="report")
    documents = task.address
    if not isinstance(documents, Documents):
        documents = open_run(
            task.address,
            task.uid,
            via=task.via,
            roots=settings.roots,
            timeout=task.timeout,
        )
    catalog = task.catalog
    if isinstance(catalog, str):
        catalog = open_catalogue(catalog, task.timeout)
    find_run = RunFinder(catalog, fallback=documents, timeout=task.timeout)
    return replay(settings, documents, find_run=find_run)


def _result_of(report: Report) -> TaskResult:
    written, failed = report.written, report.failed
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
        may_pass=any(isinstance(error, PASSING) for error in errors),
        no_room=any(getattr(error, "errno", None) in FULL for error in errors)
        or any(isinstance(error, NoRoomError) for error in errors),
        cause=type(errors[0]).__name__ if errors else "",
    )

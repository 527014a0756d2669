"""Estimate sizes and times from a short sample of runs."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.bulk.task import Task, documents_of, read_report
from tiffin.engine import FOLDER
from tiffin.errors import TiffinError

if TYPE_CHECKING:
    from tiffin.bulk.bulk_plan import BulkPlan
    from tiffin.bulk.found_runs import FoundRun
    from tiffin.sources import Documents

__all__ = ["Sample", "take_sample"]

MOST_FRAMES = 8
"""How many frames of a run are written to measure the time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a run of the plan tells of the others.

    Attributes
    ----------
    frames_per_event : float
    bytes_per_frame : float
        The size of an image, uncompressed [bytes].
    file_size : float or None
        The size of an image as written [bytes].
    seconds_per_run, seconds_per_frame : float or None
        How long it takes to open a run, and to export a frame [s].
    """

    frames_per_event: float = 1.0
    bytes_per_frame: float = 0.0
    file_size: float | None = None
    seconds_per_run: float | None = None
    seconds_per_frame: float | None = None


def take_sample(plan: BulkPlan, task: Task, *, measure: bool) -> Sample | None:
    """Look at the last pending run; None if it tells nothing.

    Parameters
    ----------
    plan : BulkPlan
    task : Task
        With the settings of the export.
    measure : bool
        Whether to export some frames to a temporary folder.
    """
    if not plan.pending:
        return None
    run = plan.pending[-1]
    task = replace(task, uid=run.uid, address=run.address)
    logger = logging.getLogger("tiffin")
    before, logger.disabled = logger.disabled, True  # the export logs it again
    try:
        return _sample_of(run, task, measure=measure)
    except (TiffinError, OSError):
        return None  # the export of the run reports it
    finally:
        logger.disabled = before


def _sample_of(run: FoundRun, task: Task, *, measure: bool) -> Sample | None:
    dry = {**task.settings, "dry_run": True, "sidecars": ()}
    task = replace(task, settings=dry)
    documents = documents_of(task)
    records = read_report(task, documents).planned
    sizes = [
        math.prod(record.shape) * record.dtype.itemsize
        for record in records
        if record.dtype is not None and record.shape is not None
    ]
    sample = Sample(
        frames_per_event=len(records) / run.events if run.events else 1.0,
        bytes_per_frame=sum(sizes) / len(sizes) if sizes else 0.0,
    )
    return _measured(sample, task, documents) if measure and records else sample


def _measured(sample: Sample, task: Task, documents: Documents) -> Sample:
    """Export some frames, and add what that takes."""
    short = {**task.settings, "dry_run": False, "stack": None, "report": False}
    with tempfile.TemporaryDirectory(prefix="tiffin-sample-") as folder:
        first = {**short, "directory": f"{folder}/first"}  # imports libraries
        read_report(replace(task, settings=first, frames=":1"), documents)
        place = f"{folder}/more"
        more = replace(
            task, settings={**short, "directory": place}, frames=f":{MOST_FRAMES}"
        )
        times = [time.monotonic()]
        report = read_report(more, progress=lambda *_: times.append(time.monotonic()))
        times.append(time.monotonic())
        count = len(report.written)
        if not count:
            return sample
        each = (times[-2] - times[1]) / max(count - 1, 1)
        return replace(
            sample,
            file_size=_size_of(Path(place)) / count,
            seconds_per_run=max(times[-1] - times[0] - count * each, 0.0),
            seconds_per_frame=each,
        )


def _size_of(folder: Path) -> int:
    """Return the size of the files, without the manifests."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and FOLDER not in path.parts
    )

"""The pipeline: from documents to files and a report."""

from __future__ import annotations

import gc
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tiffin.assemble import skip_repeated_runs
from tiffin.display import draw_thumbnails_with
from tiffin.engine import Interrupts
from tiffin.errors import (
    CollisionError,
    ExistsError,
    FieldError,
    ResumeError,
    SourceError,
    TemplateError,
    TiffinError,
)
from tiffin.export.exporter import Exporter, class_error
from tiffin.export.manifests import settings_id, settings_of
from tiffin.export.metadata import Metadata
from tiffin.export.observers import EndedRun, RunObserver
from tiffin.export.pipeline import Pipeline
from tiffin.export.run_corrections import RunCorrections
from tiffin.export.scan_lines import ScanLines
from tiffin.export.thumbnails import thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.export.plan import Plan
    from tiffin.export.run_corrections import FindRun
    from tiffin.records import Report
    from tiffin.settings import Settings

__all__ = [
    "Exporter",
    "Metadata",
    "Pipeline",
    "RunCorrections",
    "RunObserver",
    "EndedRun",
    "ScanLines",
    "class_error",
    "raise_first",
    "replay",
    "settings_id",
    "settings_of",
]


draw_thumbnails_with(thumbnail)

NAMING_ERRORS = (TemplateError, CollisionError, ExistsError, FieldError, ResumeError)
"""Errors that are found before any pixel is read. If they raise, nothing is written."""

MANY_OBJECTS = 50_000
"""How many new objects start a garbage collection during a replay."""


def replay(
    settings: Settings,
    documents: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    progress: Callable[[int, int], object] | None = None,
    find_run: FindRun | None = None,
    observers: Iterable[RunObserver] = (),
) -> Report:
    """Export documents that can be iterated over twice.

    Parameters
    ----------
    settings : Settings
    documents : iterable of (name, document)
        The first iteration names every frame, the second writes the files.
    progress : callable, optional
        Called with (frames finished, frames known), from any thread.
    find_run : callable, optional
        Finds the documents of other runs, for corrections.
    observers : iterable of RunObserver
        Called at the end of each run.

    Returns
    -------
    Report

    Raises
    ------
    TiffinError
        With ``on_error="raise"``: errors of names and fields are raised before any file
        is written, other errors after all other files are written. The ``report`` of
        the exception has every frame.
    """
    pipeline = Pipeline(
        settings, progress=progress, find_run=find_run, observers=observers
    )
    try:
        # Ctrl-C: finish the files in progress and drop the rest; no file is incomplete.
        with Interrupts(pipeline.cancel) as interrupts, _few_collections():
            _replay(pipeline, settings, documents, interrupts)
    except BaseException:
        pipeline.cancel()
        raise
    finally:
        pipeline.close()
    report = pipeline.report()
    if settings.on_error == "raise":
        raise_first(report)
    return report


@contextmanager
def _few_collections() -> Iterator[None]:
    """Make garbage collections rarer.

    A replay creates many small objects that stay. With the defaults of Python, going
    through all of them again and again takes a fifth of the time of small files.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], MANY_OBJECTS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def raise_first(report: Report) -> None:
    """Raise the first failure of a report, if any; the error has the report."""
    failed = report.counts().get("failed")
    if not failed:
        return
    error = report.failed[0].error if report.failed else None
    if not isinstance(error, TiffinError):
        error = TiffinError(str(error or report))
    error.report = report
    if failed > 1 or report.written:
        error.add_note(f"tiffin: {report}; the exception's .report has every frame")
    raise error


def _replay(
    pipeline: Pipeline,
    settings: Settings,
    documents: Iterable[tuple[str, Mapping[str, Any]]],
    interrupts: Interrupts,
) -> None:
    # Each run is a part: if one breaks off, the others are still exported.
    parts = getattr(documents, "parts", (documents,))
    pipeline.source.look_ahead(parts)
    in_memory = getattr(documents, "in_memory", False) and not settings.dry_run
    plan = pipeline.plan(
        map(interrupts.between, skip_repeated_runs(parts)), keep=in_memory
    )
    if not len(pipeline.ledger):
        pipeline.ledger.record_failure(SourceError("the source holds no run"))
    if (
        settings.on_error == "raise"
        and pipeline.ledger.first_error(NAMING_ERRORS) is not None
    ):
        return
    if settings.dry_run or pipeline.refuse_without_room() is not None:
        return
    if in_memory:
        pipeline.write(plan)
    for part in () if in_memory else skip_repeated_runs(parts):
        _write(pipeline, plan, interrupts.between(part))
    pipeline.finish(plan)


def _write(
    pipeline: Pipeline,
    plan: Plan,
    documents: Iterable[tuple[str, Mapping[str, Any]]],
) -> None:
    try:
        for name, doc in documents:
            with suppress(SourceError):  # the plan has recorded it; go on
                pipeline.feed(name, doc, plan)
    except SourceError as error:  # the source broke off, perhaps in this pass only
        plan.problem = error

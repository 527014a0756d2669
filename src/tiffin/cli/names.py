"""``tiffin names``: the files that an export would write, before a pixel is read."""

from __future__ import annotations

import gc
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from tiffin.cli.options import (
    AllStreams,
    ApiKey,
    Limit,
    Queries,
    Runs,
    Since,
    Source,
    TemplateText,
    Timeout,
    Until,
    chosen_runs,
    keywords,
    with_settings,
)
from tiffin.cli.wording import in_shell, shown
from tiffin.errors import ExistsError
from tiffin.replay import export as export_images
from tiffin.sources import TIMEOUT, Selection
from tiffin.template import Template
from tiffin.writers import file_size

if TYPE_CHECKING:
    from tiffin.records import Report

__all__ = ["names"]


@with_settings(
    *("directory", "fields", "streams", "frames", "first", "colour", "axes"),
    *("timezone", "name_policy", "replacements"),
)
def names(
    source: Source,
    template: TemplateText,
    run: Runs = None,
    query: Queries = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    all_streams: AllStreams = False,
    timeout: Timeout = TIMEOUT,
    api_key: ApiKey = None,
    **settings: Any,
) -> None:
    """Print the names that an export would give."""
    # Names only: many small objects that stay, and no garbage worth looking for, now or
    # when the process ends.
    gc.disable()
    Template(template)  # what is wrong with it is said before any server is asked
    selection = Selection.of(
        runs=run or (), query=query or (), since=since, until=until, limit=limit
    )
    chosen = keywords(settings) | ({"streams": None} if all_streams else {})
    report = export_images(
        chosen_runs(source, selection, api_key, timeout),
        template,
        existing="skip",  # what is there already is no error here
        timeout=timeout,
        dry_run=True,
        on_error="report",
        **chosen,
    )
    _print(report)
    gc.freeze()
    raise typer.Exit(0 if report.records and not report.failed else 1)


def _print(report: Report) -> None:
    """Print a line a frame: its size, what there is to say, and its path.

    Why one fails stands behind its path.
    """
    lines, total, exist = [], 0, 0
    size_of = lru_cache(64)(file_size)
    for record in report.records:
        known = record.shape is not None and record.dtype is not None
        size = size_of(record.shape, record.dtype) if known else None
        total += size or 0
        exists = isinstance(record.error, ExistsError)
        exist += exists
        state = (
            "exists" if exists else "" if record.status == "planned" else record.status
        )
        told = os.fspath(record.path) if record.path else ""
        if record.error is not None and not exists:
            told += (": " if told else "") + in_shell(str(record.error))
        size_told = "?" if size is None else size
        lines.append(f"{size_told:>12}  {state:7}  {shown(told)}\n")
    sys.stdout.writelines(lines)
    Console(stderr=True).print(
        f"{len(report.records)} frames, {total / 1e6:.1f} MB; {exist} exist already, "
        f"{len(report.skipped) - exist} without an image, {len(report.failed)} failed",
        style="red" if report.failed or not lines else "green",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )

"""``tiffin names``: the files that an export would write, before a pixel is read."""

from __future__ import annotations

import gc
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from tiffin.cli.command import JsonOption, Source, command
from tiffin.cli.printing import (
    describe,
    escape,
    print_json,
    print_line,
    print_summary,
    with_options,
)
from tiffin.cli.templates import with_template
from tiffin.display import count_text, size_text
from tiffin.errors import ExistsError
from tiffin.options import RunOptions, find_config
from tiffin.replay import export as export_images
from tiffin.writers import WriterOptions, make_writer

if TYPE_CHECKING:
    from tiffin.records import Record, Report


@command(
    *("template", "directory", "fields", "streams", "frames", "first"),
    *("colour", "axes", "timezone", "name_policy", "replacements", "sidecars"),
    *("format", "profile", "stack", "bigtiff", "dtype", "stretch"),
)
def names(
    source: Source, runs: RunOptions, json_lines: JsonOption = False, **settings: Any
) -> None:
    """Print the names that an export would give.

    Examples
    --------
    tiffin names run.jsonl -t '{start.scan_id}_{event.seq_num:03d}.tif' -d out
    """
    # Names only: many small objects that stay, and no garbage worth collecting, now or
    # when the process ends.
    gc.disable()
    config = find_config()
    if config is not None:
        advice = "'tiffin export --dry-run' shows the names that it makes"
        print_line(f"{config} is not used here: {advice}", "dim")
    with_template(settings, runs, source)
    report = export_images(
        runs.open(source),
        existing="skip",  # a file that exists is no error here
        timeout=runs.timeout,
        dry_run=True,
        on_error="report",
        **settings,
    )
    if json_lines:
        for record in report.records:
            print_json(describe(record))
    else:
        _print(report, settings.get("format", "tiff"), settings.get("dtype"))
    gc.freeze()
    raise typer.Exit(0 if report.records and not report.failed else 1)


def _print(report: Report, form: str, dtype: str | None) -> None:
    """Print a line for each frame, and the counts."""
    lines: dict[object, str] = {}
    total = existing = 0
    size_of = lru_cache(64)(make_writer(form, WriterOptions()).size)
    for record in report.records:
        size = None
        if record.shape is not None and record.dtype is not None:
            size = size_of(record.shape, np.dtype(dtype or record.dtype))
            total += size or 0
        existing += isinstance(record.error, ExistsError)
        line = f"{'?' if size is None else size:>12}  {_describe(record)}\n"
        # Frames of one name fail alike: that is said once.
        lines.setdefault(line if record.status == "failed" else len(lines), line)
    sys.stdout.writelines(lines.values())
    frames = sum(record.kind != "sidecar" for record in report.records)
    print_summary(
        f"{count_text(frames, 'frame')}, {size_text(total)}; {existing} exist "
        f"already, {len(report.skipped) - existing} without an image, "
        f"{len(report.failed)} failed",
        ok=bool(lines) and not report.failed,
    )


def _describe(record: Record) -> str:
    """Return the state of a file, its path, and why it fails."""
    path = os.fspath(record.path) if record.path else ""
    if isinstance(record.error, ExistsError):
        return f"{'exists':7}  {escape(path)}"
    state = "" if record.status == "planned" else record.status
    reason = "" if record.error is None else with_options(str(record.error))
    return f"{state:7}  {escape(': '.join(filter(None, [path, reason])))}"

"""``tiffin resume``: go on with an export that was interrupted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiffin.cli.command import JsonOption, Source, command
from tiffin.cli.printing import as_json, describe, print_summary
from tiffin.cli.progress_bar import progress_bar
from tiffin.export import replay
from tiffin.options import RunOptions
from tiffin.recorded_settings import recorded_runs, recorded_settings
from tiffin.sources import RunFinder, open_source

if TYPE_CHECKING:
    from tiffin.records import Report

__all__ = ["resume"]


@command("follow_links", "workers", "memory")
def resume(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the export wrote to.")
    ],
    source: Source,
    runs: RunOptions,
    json_lines: JsonOption = False,
    **settings: Any,
) -> None:
    """Go on with an export that was interrupted.

    The settings are those in its manifest, and by default the runs too. Files that are
    right stay.

    Examples
    --------
    tiffin resume out run.jsonl
    tiffin resume out http://localhost:8000
    """
    chosen = recorded_settings(folder, existing="resume", **settings)
    if not runs.selection(source):
        runs = runs.model_copy(update={"run": recorded_runs(folder)})
    opened = open_source(runs.open(source), roots=chosen.roots, timeout=runs.timeout)
    with progress_bar() as progress:
        report = replay(
            chosen,
            opened,
            progress=progress,
            find_run=RunFinder(fallback=opened, timeout=runs.timeout),
        )
    _print(report, as_lines=json_lines)
    raise typer.Exit(0 if report.ok else 1)


def _print(report: Report, *, as_lines: bool) -> None:
    for record in report.records if as_lines else ():
        sys.stdout.write(f"{as_json(describe(record))}\n")
    print_summary(str(report), ok=report.ok)

"""``tiffin resume``: go on with an export that was interrupted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tiffin.cli.command import JsonOption, Source, command
from tiffin.cli.progress_bar import progress_bar
from tiffin.cli.summary import print_report
from tiffin.errors import SourceError
from tiffin.export import replay
from tiffin.options import RunOptions
from tiffin.recorded_settings import recorded_runs, recorded_settings
from tiffin.report import PageOfRun
from tiffin.sources import RunFinder, open_source


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
    opened = open_source(
        _open(source, runs, folder), roots=chosen.roots, timeout=runs.timeout
    )
    began = time.monotonic()
    with progress_bar() as progress:
        report = replay(
            chosen,
            opened,
            progress=progress,
            find_run=RunFinder(fallback=opened, timeout=runs.timeout),
            observers=[PageOfRun()] if chosen.report else (),
        )
    print_report(report, time.monotonic() - began, json_lines=json_lines)
    raise typer.Exit(0 if report.ok else 1)


def _open(source: str, runs: RunOptions, folder: Path) -> Any:
    """Return the runs of a source that are chosen, or else those that are listed."""
    if runs.selection(source):
        return runs.open(source)
    listed = runs.model_copy(update={"run": recorded_runs(folder)})
    listed.catalog(source)  # which says why, if there is no such source
    try:
        return listed.open(source)
    except SourceError as error:
        message = f"the source has not the runs that {folder} lists: {error}"
        raise SourceError(message) from error

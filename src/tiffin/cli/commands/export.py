"""``tiffin export``: images of a Tiled server's runs, or of a file of documents."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tiffin.cli.command import JsonOption, Source, command
from tiffin.cli.config_option import ConfigOption, ExportOption, steps_of
from tiffin.cli.printing import as_json, describe, escape, print_line, print_summary
from tiffin.cli.progress_bar import progress_bar
from tiffin.cli.templates import with_template
from tiffin.options import CorrectionOptions, RunOptions
from tiffin.replay import export as export_images
from tiffin.settings import SERVER, option_of, setting_names

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.records import Report

__all__ = ["export"]


@command("template", *[name for name in setting_names(live=False) if option_of(name)])
def export(
    context: typer.Context,
    source: Source,
    runs: RunOptions,
    corrections: CorrectionOptions,
    via: Annotated[
        Literal["auto", "http", "files"],
        typer.Option(
            help="How a server's external images are read.", rich_help_panel=SERVER
        ),
    ] = "auto",
    json_lines: JsonOption = False,
    config: ConfigOption = None,  # noqa: ARG001 (it is in the other options' defaults)
    export_name: ExportOption = None,  # noqa: ARG001 (likewise)
    **settings: Any,
) -> None:
    """Export the images of runs as TIFF files.

    Examples
    --------
    tiffin export http://localhost:8000 --run -1 -d out
    tiffin export run.jsonl -t '{start.scan_id}_{event.seq_num:03d}.tif' -d out
    """
    with_template(settings, runs, source)
    catalog = settings.pop("catalog", source)
    steps = steps_of(context, corrections, runs, settings)
    opened = runs.open(source)
    begun = time.monotonic()
    with progress_bar() as progress:
        report = export_images(
            opened,
            on_error="report",
            corrections=steps,
            catalog=runs.catalog(catalog) if steps else None,
            via=via,
            timeout=runs.timeout,
            progress=progress,
            **settings,
        )
    _print(report, time.monotonic() - begun, as_lines=json_lines)
    raise typer.Exit(0 if report.ok else 1)


def _print(report: Report, seconds: float, *, as_lines: bool) -> None:
    """Print the names of a dry run, the counts, and what to type next."""
    for record in report.records if as_lines else report.planned:
        text = as_json(describe(record)) if as_lines else escape(record.path)
        sys.stdout.write(f"{text}\n")
    paths = list(dict.fromkeys(each.path for each in report.written if each.path))
    text = str(report)
    if paths:
        nbytes = sum(record.nbytes for record in report.written)
        text += f" in {_places(paths)}; {nbytes / 1e6:.1f} MB in {seconds:.1f} s"
    if report.waits:
        text += f"; waited {report.waits} times for room in memory"
    print_summary(text, ok=report.ok)
    if paths:
        root = shlex.quote(escape(_root(paths[0])))
        again = "the same command with --existing resume tries again what failed, "
        print_line(
            f"next: {'' if report.ok else again}'tiffin report {root}' shows the "
            f"images, 'tiffin verify {root}' checks the files",
            "dim",
        )


def _places(paths: list[Path]) -> str:
    """Return the folder of files, with the first and the last name."""
    folders = {path.parent for path in paths}
    if len(folders) > 1:
        return f"{escape(_root(paths[0]))} ({len(folders)} folders)"
    names = dict.fromkeys([escape(paths[0].name), escape(paths[-1].name)])
    return f"{escape(paths[0].parent)} ({' … '.join(names)})"


def _root(path: Path) -> Path:
    """Return the folder of an export: the one with the manifests."""
    return next((p for p in path.parents if (p / ".tiffin").is_dir()), path.parent)

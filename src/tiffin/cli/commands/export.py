"""``tiffin export``: images of a Tiled server's runs, or of a file of documents."""

from __future__ import annotations

import time
from typing import Any

import typer

from tiffin.cli.command import JsonOption, Source, ViaOption, command
from tiffin.cli.config_option import ConfigOption, ExportOption, steps_of
from tiffin.cli.progress_bar import progress_bar
from tiffin.cli.summary import print_report
from tiffin.cli.templates import with_template
from tiffin.options import CorrectionOptions, RunOptions
from tiffin.replay import export as export_images
from tiffin.settings import option_of, setting_names


@command("template", *[name for name in setting_names(live=False) if option_of(name)])
def export(
    context: typer.Context,
    source: Source,
    runs: RunOptions,
    corrections: CorrectionOptions,
    via: ViaOption = "auto",
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
    began = time.monotonic()
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
    print_report(report, time.monotonic() - began, json_lines=json_lines)
    raise typer.Exit(0 if report.ok else 1)

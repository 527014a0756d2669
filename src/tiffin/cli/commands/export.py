"""``tiffin export``: images of a Tiled server's runs, or of a file of documents."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from tiffin.cli.command import Source, command
from tiffin.cli.config_option import ConfigOption, ExportOption, steps_of
from tiffin.cli.templates import check_template
from tiffin.cli.terminal import escape, print_summary
from tiffin.options import CorrectionOptions, RunOptions
from tiffin.replay import export as export_images
from tiffin.settings import SERVER, option_of, setting_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    check_template(settings["template"], runs, source)
    catalog = settings.pop("catalog", source)
    steps = steps_of(context, corrections, runs, settings)
    opened = runs.open(source)
    with _progress_bar() as progress:
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
    _print(report)
    raise typer.Exit(0 if report.ok else 1)


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("exporting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(report: Report) -> None:
    """Print the names of a dry run, and the counts."""
    for record in report.planned:
        sys.stdout.write(f"{escape(record.path)}\n")
    folders = {record.path.parent for record in report.written if record.path}
    where = f" in {escape(next(iter(folders)))}" if len(folders) == 1 else ""
    if report.waits:
        where += f"; waited {report.waits} times for room in memory"
    print_summary(f"{report}{where}", ok=report.ok)

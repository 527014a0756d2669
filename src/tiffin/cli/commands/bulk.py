"""``tiffin bulk``: images of many runs."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tiffin.bulk import DEFAULTS, ENGINES, progress_text
from tiffin.bulk import bulk as bulk_export
from tiffin.cli.command import Source, ViaOption, command
from tiffin.cli.config_option import ConfigOption, ExportOption, steps_of
from tiffin.cli.printing import escape, print_json, print_line, print_summary
from tiffin.errors import SettingsError
from tiffin.obstacles import is_there
from tiffin.options import CorrectionOptions, RunOptions
from tiffin.settings import option_of, setting_names
from tiffin.sources import is_address, key_in_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.bulk import BulkPlan, BulkReport

SETTINGS = [name for name in setting_names(live=False) if option_of(name)]


@command("template", *SETTINGS, **DEFAULTS)
def bulk(
    context: typer.Context,
    source: Source,
    runs: RunOptions,
    corrections: CorrectionOptions,
    via: ViaOption = "auto",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Begin at once.")] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(ENGINES), help="What runs the tasks; see the manual."
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="How many processes, by default one a core.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="local|ADDRESS|FILE",
            help="A Dask cluster: a new one, a scheduler's address, or its file.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only this share of the runs, such as 2/8."),
    ] = None,
    frames_per_task: Annotated[
        int | None, typer.Option(help="Divide longer runs into several tasks.")
    ] = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print the outcome of each run as JSON.")
    ] = False,
    config: ConfigOption = None,  # noqa: ARG001 (it is in the other options' defaults)
    export_name: ExportOption = None,  # noqa: ARG001 (likewise)
    **settings: Any,
) -> None:
    """Export many runs, on several processes or a Dask cluster.

    The same command again goes on with what is missing.

    Examples
    --------
    tiffin bulk http://localhost:8000 --query cycle=7 -d out -t '{start.uid}/{i}.tif'
    """
    if "template" not in settings:
        message = "is missing: give one, such as '{start.uid}/{field}_{i}.tif'"
        raise SettingsError(message, setting="template")
    steps = steps_of(context, corrections, runs, settings)
    dry_run = settings.get("dry_run", False)
    asks = not (yes or dry_run)
    if asks and not sys.stdin.isatty():
        message = "nobody can answer whether to begin: give --yes, or --dry-run to see"
        raise SettingsError(message)
    if not is_address(source) and not is_there(source):
        runs.catalog(source)  # which says what is wrong

    def confirm(plan: BulkPlan) -> bool:
        for line in str(plan).splitlines():
            print_line(escape(line), "")
        return not asks or not plan.pending or typer.confirm("export them?", err=True)

    # Worker processes inherit the key; no task holds it.
    with key_in_environment(runs.api_key), _progress_bar() as progress:
        report = bulk_export(
            source,
            engine=engine,
            processes=processes,
            dask=dask,
            shard=shard,
            frames_per_task=frames_per_task,
            selection=runs.selection(source),
            corrections=steps,
            via=via,
            timeout=runs.timeout,
            confirm=confirm,
            progress=progress,
            **settings,
        )
    if json_lines:
        for run in report.runs:
            print_json(asdict(run))
    if not dry_run:  # its plan tells all
        _print(report)
    refused = report.plan and (report.plan.refused or report.plan.problems)
    raise typer.Exit(0 if report.ok or (dry_run and not refused) else 1)


@contextmanager
def _progress_bar() -> Iterator[Callable[[BulkReport], None] | None]:
    """Show a bar on a terminal, from its first update on; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), TextColumn("{task.description}", markup=False))
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=None)

    def show(report: BulkReport) -> None:
        runs = len(report.runs)
        finished, text = runs - len(report.pending), progress_text(report)
        bar.update(task, completed=finished, total=runs, description=text)
        bar.start()

    try:
        yield show
    finally:
        bar.stop()


def _print(report: BulkReport) -> None:
    for run in report.failed:
        print_line(escape(str(run)), "red")
    if report.pending:
        print_line("the same command again goes on with the pending runs", "yellow")
    print_summary(f"{report}; see {escape(report.manifest)}", ok=report.ok)

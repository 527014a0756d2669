"""``tiffin export``: images of a Tiled server's runs, or of a file of documents."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from tiffin.cli.chain import correction
from tiffin.cli.config import ConfigFile, is_typed, tables_of
from tiffin.cli.correcting import (
    CHAIN,
    Allow,
    Binning,
    Crop,
    Dark,
    DarkMissing,
    DarkOrder,
    Flat,
    FlatOrder,
    Mask,
    MaskFill,
    OverflowOption,
    RoundingOption,
    asked_for,
    cast_of,
    words,
)
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
    catalog_of,
    chosen_runs,
    keywords,
    with_settings,
)
from tiffin.cli.wording import shown
from tiffin.replay import export as export_images
from tiffin.settings import option_of, setting_names
from tiffin.sources import TIMEOUT, Selection
from tiffin.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.cli.chain import Asked
    from tiffin.corrections import Correction
    from tiffin.records import Report

__all__ = ["export"]

SETTINGS = [name for name in setting_names(live=False) if option_of(name)]


@with_settings(*SETTINGS)
def export(
    context: typer.Context,
    source: Source,
    template: TemplateText,
    run: Runs = None,
    query: Queries = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    all_streams: AllStreams = False,
    dark: Dark = None,
    dark_missing: DarkMissing = None,
    dark_order: DarkOrder = None,
    allow: Allow = None,
    flat: Flat = None,
    flat_order: FlatOrder = None,
    mask: Mask = None,
    mask_fill: MaskFill = None,
    crop: Crop = None,
    binning: Binning = None,
    overflow: OverflowOption = None,
    rounding: RoundingOption = None,
    via: Annotated[
        Literal["auto", "http", "files"],
        typer.Option(help="How a server's external images are read."),
    ] = "auto",
    timeout: Timeout = TIMEOUT,
    config: ConfigFile = None,  # noqa: ARG001 (it is in the other options' defaults)
    api_key: ApiKey = None,
    **settings: Any,
) -> None:
    """Export the images of runs as TIFF files."""
    # What is wrong with settings is said before any server is asked.
    Template(template)
    chosen = keywords(settings)
    chain = asked_for(
        dark=dark,
        dark_missing=dark_missing,
        dark_order=dark_order,
        allow=allow,
        flat=flat,
        flat_order=flat_order,
        mask=mask,
        mask_fill=mask_fill,
        crop=crop,
        binning=binning,
    )
    cast = cast_of(chosen.get("dtype"), overflow, rounding)
    if cast:
        del chosen["dtype"]
    steps = _steps(context, chain, cast, api_key, timeout)
    # A stream that is typed counts before all that the file asks for.
    if all_streams and (
        is_typed(context, "all_streams") or not is_typed(context, "streams")
    ):
        chosen["streams"] = None
    if "memory" in chosen:
        chosen["memory"] *= 10**6
    if "save" in chosen:
        chosen["save"] = words(chosen["save"])
    catalog = chosen.pop("catalog", source)
    selection = Selection.of(
        runs=run or (), query=query or (), since=since, until=until, limit=limit
    )
    opened = chosen_runs(source, selection, api_key, timeout)
    console = Console(stderr=True)
    with _progress(console) as progress:
        report = export_images(
            opened,
            template,
            on_error="report",
            corrections=steps,
            catalog=catalog_of(catalog, api_key, timeout) if steps else None,
            via=via,
            timeout=timeout,
            progress=progress,
            **chosen,
        )
    _show(report, console)
    raise typer.Exit(0 if report.ok else 1)


def _steps(
    context: typer.Context,
    chain: list[Asked],
    cast: Asked | None,
    api_key: str | None,
    timeout: float,
) -> list[Correction]:
    """Make the corrections: the command line's, or the file's tables; a cast last."""
    catalog = partial(catalog_of, api_key=api_key, timeout=timeout)
    of_file = [correction(asked, catalog) for asked in tables_of(context)]
    if not of_file or is_typed(context, *CHAIN):
        of_file = [correction(asked, catalog) for asked in chain]
    return of_file + ([correction(cast, catalog)] if cast else [])


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, nothing elsewhere."""
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("exporting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("export", total=None)
        yield lambda done, known: bar.update(task, completed=done, total=known)


def _show(report: Report, console: Console) -> None:
    """Print the names of a dry run, each kind of failure once, and the sum."""
    for record in report.planned:
        sys.stdout.write(f"{shown(record.path)}\n")
    folders = {record.path.parent for record in report.written if record.path}
    where = f" in {shown(next(iter(folders)))}" if len(folders) == 1 else ""
    if report.waits:
        where += f"; waited {report.waits} times for room in memory"
    style = "green" if report.ok else "red"
    console.print(
        f"{report}{where}", style=style, markup=False, highlight=False, soft_wrap=True
    )

"""``tiffin export``: images of a Tiled server's runs, or of a file of documents."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated, Literal

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
    Catalog,
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
    Save,
    asked_for,
    cast_of,
    words,
)
from tiffin.cli.options import (
    AllStreams,
    ApiKey,
    AxisNames,
    Colour,
    Directory,
    Fields,
    First,
    FollowLinks,
    Frames,
    Limit,
    NamePolicy,
    Queries,
    Replacements,
    Runs,
    Since,
    Source,
    Streams,
    TemplateText,
    Timeout,
    Timezone,
    Until,
    axes_of,
    catalog_of,
    chosen_runs,
    mapping,
    streams_of,
)
from tiffin.cli.wording import shown
from tiffin.replay import export as export_images
from tiffin.sources import TIMEOUT, Selection
from tiffin.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.cli.chain import Asked
    from tiffin.corrections import Correction
    from tiffin.records import Report

__all__ = ["export"]


def export(
    context: typer.Context,
    source: Source,
    template: TemplateText,
    directory: Directory = None,
    run: Runs = None,
    query: Queries = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    field: Fields = None,
    stream: Streams = None,
    all_streams: AllStreams = False,
    frames: Frames = None,
    first: First = 0,
    existing: Annotated[
        Literal["error", "skip", "replace", "unique", "resume"],
        typer.Option(help="What to do where a file is there already."),
    ] = "error",
    compression: Annotated[
        Literal["zlib", "zstd", "lzw"] | None,
        typer.Option(help="Of the pixels; none by default."),
    ] = None,
    level: Annotated[
        int | None, typer.Option(help="How much the compression tries.")
    ] = None,
    checksum: Annotated[
        Literal["crc32", "sha256", "none"],
        typer.Option(help="Of each file, in the manifest."),
    ] = "crc32",
    fsync: Annotated[
        Literal["none", "file", "run"], typer.Option(help="What is forced to the disk.")
    ] = "none",
    mode: Annotated[
        str | None, typer.Option(help="The files' permissions, such as 640.")
    ] = None,
    directory_mode: Annotated[
        str | None,
        typer.Option(help="The permissions of folders that are made, such as 2770."),
    ] = None,
    follow_links: FollowLinks = False,
    file_time: Annotated[
        Literal["written", "event"],
        typer.Option(help="The files' time: that of writing, or their event's."),
    ] = "written",
    on_full: Annotated[
        Literal["stop", "wait"], typer.Option(help="What to do when the disk is full.")
    ] = "stop",
    workers: Annotated[int | None, typer.Option(help="How many threads write.")] = None,
    memory: Annotated[
        int | None,
        typer.Option(metavar="MB", help="How much may wait for them."),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Cast to it, where it holds every value: uint16, float32…"),
    ] = None,
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
    save: Save = None,
    catalog: Catalog = None,
    via: Annotated[
        Literal["auto", "http", "files"],
        typer.Option(help="How a server's external images are read."),
    ] = "auto",
    timeout: Timeout = TIMEOUT,
    root_map: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Where files of another mount are here."),
    ] = None,
    allow_external: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Where raw files may lie that HDF5 takes pixels from; repeatable.",
        ),
    ] = None,
    colour: Colour = None,
    axes: AxisNames = None,
    timezone: Timezone = None,
    name_policy: NamePolicy = "portable",
    replace: Replacements = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run/--no-dry-run",
            "-n",
            help="Print the names, write nothing.",
            show_default=False,
        ),
    ] = False,
    config: ConfigFile = None,  # noqa: ARG001 (it is in the other options' defaults)
    api_key: ApiKey = None,
) -> None:
    """Export the images of a run as numbered TIFF files."""
    # What is wrong with settings is said before any server is asked.
    Template(template)
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
    cast = cast_of(dtype, overflow, rounding)
    steps = _steps(context, chain, cast, api_key, timeout)
    # A stream that is typed counts before all that the file asks for.
    every = all_streams and (
        is_typed(context, "all_streams") or not is_typed(context, "stream")
    )
    selection = Selection.of(
        runs=run or (), query=query or (), since=since, until=until, limit=limit
    )
    opened = chosen_runs(source, selection, api_key, timeout)
    console = Console(stderr=True)
    with _progress(console) as progress:
        report = export_images(
            opened,
            template,
            directory=directory,
            fields=field or None,
            streams=streams_of(stream, every=every),
            frames=frames,
            first=first,
            existing=existing,
            compression=compression,
            level=level,
            checksum=checksum,
            fsync=fsync,
            mode=mode,
            directory_mode=directory_mode,
            follow_links=follow_links,
            file_time=file_time,
            on_full=on_full,
            workers=workers,
            memory=None if memory is None else memory * 10**6,
            dry_run=dry_run,
            on_error="report",
            dtype=None if cast else dtype,
            corrections=steps,
            catalog=catalog_of(catalog or source, api_key, timeout) if steps else None,
            save=words(save) or ("sub",),
            via=via,
            timeout=timeout,
            root_map=mapping("--root-map", root_map),
            allow_external=allow_external or (),
            colour=colour or (),
            axes=axes_of(axes),
            timezone=timezone,
            name_policy=name_policy,
            replacements=mapping("--replace", replace),
            progress=progress,
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

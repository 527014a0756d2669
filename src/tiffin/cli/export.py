"""``tiffin export``: images of a Tiled server's runs, or of a file of documents."""

from __future__ import annotations

import sys
from contextlib import contextmanager
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

from tiffin.cli.options import (
    AllStreams,
    ApiKey,
    Directory,
    Fields,
    Limit,
    NamePolicy,
    Queries,
    Replacements,
    Runs,
    Since,
    Source,
    Streams,
    TemplateText,
    Timezone,
    Until,
    chosen_runs,
    mapping,
    streams_of,
)
from tiffin.replay import export as export_images
from tiffin.sources import Selection
from tiffin.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.records import Report

__all__ = ["export"]

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C: 128 + SIGINT."""


def export(
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
    existing: Annotated[
        Literal["error", "skip", "replace", "resume"],
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
    via: Annotated[
        Literal["auto", "http", "files"],
        typer.Option(help="How a server's external images are read."),
    ] = "auto",
    root_map: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Where files of another mount are here."),
    ] = None,
    colour: Annotated[
        list[str] | None, typer.Option(help="A field of colour images; repeatable.")
    ] = None,
    timezone: Timezone = None,
    name_policy: NamePolicy = "portable",
    replace: Replacements = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Print the names, write nothing.")
    ] = False,
    api_key: ApiKey = None,
) -> None:
    """Export the images of a run as numbered TIFF files."""
    Template(template)  # what is wrong with it is said before any server is asked
    selection = Selection.of(
        runs=run or (), query=query or (), since=since, until=until, limit=limit
    )
    opened = chosen_runs(source, selection, api_key)
    console = Console(stderr=True)
    try:
        with _progress(console) as progress:
            report = export_images(
                opened,
                template,
                directory=directory,
                fields=field or None,
                streams=streams_of(stream, every=all_streams),
                existing=existing,
                compression=compression,
                level=level,
                checksum=checksum,
                fsync=fsync,
                mode=mode,
                on_full=on_full,
                workers=workers,
                memory=None if memory is None else memory * 10**6,
                dry_run=dry_run,
                on_error="report",
                dtype=dtype,
                via=via,
                root_map=mapping("--root-map", root_map),
                colour=colour or (),
                timezone=timezone,
                name_policy=name_policy,
                replacements=mapping("--replace", replace),
                progress=progress,
            )
    except KeyboardInterrupt:
        console.print("interrupted: no file is half written", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    _show(report, console)
    raise typer.Exit(0 if report.ok else 1)


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
        sys.stdout.write(f"{record.path}\n")
    folders = {record.path.parent for record in report.written if record.path}
    where = f" in {next(iter(folders))}" if len(folders) == 1 else ""
    if report.waits:
        where += f"; waited {report.waits} times for room in memory"
    style = "green" if report.ok else "red"
    console.print(
        f"{report}{where}", style=style, markup=False, highlight=False, soft_wrap=True
    )

"""``tiffin export``: images of a Tiled server's runs, or of a file of documents."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
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

from tiffin.errors import SettingsError
from tiffin.replay import export as export_images
from tiffin.sources import (
    Documents,
    Selection,
    connect,
    find_runs,
    only,
    open_source,
)
from tiffin.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.records import Report

__all__ = ["export"]

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C: 128 + SIGINT."""


def export(
    source: Annotated[
        str,
        typer.Argument(help="A Tiled server's address, or a file of documents."),
    ],
    template: Annotated[
        str,
        typer.Option(
            "--template",
            "-t",
            help="Names, such as '{start.scan_id}_{event.seq_num:03d}.tif'.",
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", help="Where the names begin."),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", "-r", help="-1 (the last), a scan_id, or a uid; may be repeated."
        ),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of the start document; repeatable."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Begun at or after.")] = None,
    until: Annotated[str | None, typer.Option(help="Begun before.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many, the newest.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", "-f", help="Only this field; may be repeated."),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            "--stream", "-s", help="This stream, not 'primary'; may be repeated."
        ),
    ] = None,
    all_streams: Annotated[
        bool, typer.Option("--all-streams", help="Every stream.")
    ] = False,
    existing: Annotated[
        Literal["error", "skip", "replace"],
        typer.Option(help="What to do where a file is there already."),
    ] = "error",
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Print the names, write nothing.")
    ] = False,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="TILED_API_KEY", help="For the Tiled server.", show_default=False
        ),
    ] = None,
) -> None:
    """Export the images of a run as numbered TIFF files."""
    Template(template)  # what is wrong with it is said before any server is asked
    selection = Selection.of(
        runs=run or (), query=query or (), since=since, until=until, limit=limit
    )
    opened = _open(source, selection, api_key)
    streams = None if all_streams else tuple(stream or ("primary",))
    console = Console(stderr=True)
    try:
        with _progress(console) as progress:
            report = export_images(
                opened,
                template,
                directory=directory,
                fields=field or None,
                streams=streams,
                existing=existing,
                dry_run=dry_run,
                on_error="report",
                dtype=dtype,
                via=via,
                root_map=_mapping(root_map or []),
                colour=colour or (),
                progress=progress,
            )
    except KeyboardInterrupt:
        console.print("interrupted: no file is half written", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    _show(report, console)
    raise typer.Exit(0 if report.ok else 1)


def _open(source: str, selection: Selection, api_key: str | None) -> Any:
    if source.startswith(("http://", "https://")):
        return find_runs(connect(source, api_key=api_key), selection)
    if not Path(source).exists():
        message = (
            f"{source!r} is neither a file nor an address that begins with http:// "
            f"or https://"
        )
        raise SettingsError(message)
    opened = open_source(source)
    if not selection:
        return opened
    uids = selection.choose([doc for name, doc in opened if name == "start"])
    return Documents(lambda: only(opened, uids))


def _mapping(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            message = f"--root-map {pair!r} is not OLD=NEW"
            raise SettingsError(message)
    return dict(pair.split("=", 1) for pair in pairs)


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
    style = "green" if report.ok else "red"
    console.print(
        f"{report}{where}", style=style, markup=False, highlight=False, soft_wrap=True
    )

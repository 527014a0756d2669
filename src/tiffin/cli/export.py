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
from tiffin.sources import connect, find_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.records import Report

__all__ = ["export"]

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C: 128 + SIGINT."""


def export(
    source: Annotated[
        str,
        typer.Argument(help="A Tiled server's address, or a .jsonl file of documents."),
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
            "--run", "-r", help="On a server: -1 (the last), a scan_id, or a uid."
        ),
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
    opened = _open(source, run, api_key)
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


def _open(source: str, runs: list[str] | None, api_key: str | None) -> Any:
    if source.startswith(("http://", "https://")):
        client = connect(source, api_key=api_key)
        return [find_run(client, run) for run in runs or ["-1"]]
    if runs:
        message = "--run chooses from a server's runs; a file is exported whole"
        raise SettingsError(message)
    if not Path(source).is_file():
        message = (
            f"{source!r} is neither a file nor an address that begins with http:// "
            f"or https://"
        )
        raise SettingsError(message)
    return Path(source)


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

"""The shell's way in: ``tiffin export SOURCE --template …``.

Exit status: 0 all written, 1 some failed, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from tiffin.cli.export import export
from tiffin.cli.names import names
from tiffin.cli.template import template
from tiffin.cli.verify import checksums, verify
from tiffin.cli.wording import ShellFormatter, in_shell, shown
from tiffin.errors import TiffinError

__all__ = ["app", "main"]

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C: 128 + SIGINT."""

app = typer.Typer(
    name="tiffin",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Export the images of Bluesky runs as numbered TIFF files.",
)
app.command()(export)
app.command()(names)
app.command()(template)
app.command()(verify)
app.command()(checksums)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"tiffin {version('tiffin')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the exit status says how it went."""
    # A run has many small objects that stay; searching them for garbage is in vain.
    gc.set_threshold(200_000, 20, 100)
    console = Console(stderr=True)
    handler = RichHandler(console=console, show_time=False, show_path=False)
    handler.setFormatter(ShellFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            console.print("interrupted: no file is half written", style="yellow")
        raise
    except TiffinError as error:
        console.print(f"[bold red]error:[/] {_plain(error)}", soft_wrap=True)
        for note in getattr(error, "__notes__", ()):
            console.print(shown(note), style="dim", markup=False, soft_wrap=True)
        sys.exit(error.exit_status)


def _plain(error: Exception) -> str:
    """Escape a message; its square brackets are not to be read as markup."""
    return shown(in_shell(str(error))).replace("[", "\\[")

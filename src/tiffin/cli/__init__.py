"""The command line: ``tiffin export SOURCE --template …``.

To add a command, add its module to `tiffin.cli.commands` and its line to `COMMANDS`.

Exit status: 0 all written, 1 some failed, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tiffin.errors import TiffinError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMANDS", "app", "load", "main"]

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ends: 128 + SIGINT."""

COMMANDS = {
    "export": "Export the images of runs as TIFF files.",
    "names": "Print the names that an export would give.",
    "template": "Check a template and explain its parts.",
    "verify": "Check that exported files are there and intact.",
    "checksums": "Print the SHA-256 of files, for sha256sum -c.",
}
"""Command → its line in the help, which is shown without importing the command."""


class _Commands(TyperGroup):
    """The commands; the module of a command is imported when it runs."""

    def list_commands(self, _context: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        return TyperCommand(name, help=COMMANDS[name]) if name in COMMANDS else None

    def resolve_command(
        self, context: Any, args: list[str]
    ) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(context, args)
        _configure_logging()
        return name, load(str(name)), rest


def load(name: str) -> Any:
    """Import a command."""
    function = getattr(import_module(f"tiffin.cli.commands.{name}"), name)
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name)(function)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="tiffin",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # importing rich takes longer than all else the help needs
    help="Export the images of Bluesky runs as numbered TIFF files.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"tiffin {version('tiffin')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line, and exit with its status."""
    # A run has many small objects that stay: collecting garbage often finds none.
    gc.set_threshold(200_000, 20, 100)
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _console().print("interrupted: no file is half written", style="yellow")
        raise
    except TiffinError as error:
        _print_error(error)
        sys.exit(error.exit_status)


def _print_error(error: TiffinError) -> None:
    from rich.text import Text

    from tiffin.cli.terminal import escape, with_options

    console, text = _console(), escape(with_options(str(error)))
    console.print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        console.print(Text(escape(note), "dim"), soft_wrap=True)


def _configure_logging() -> None:
    from rich.logging import RichHandler

    from tiffin.cli.terminal import ShellFormatter

    handler = RichHandler(console=_console(), show_time=False, show_path=False)
    handler.setFormatter(ShellFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _console() -> Console:
    from rich.console import Console  # not needed for the help

    return Console(stderr=True)

"""The command line: ``tiffin export SOURCE --template …``.

To add a command, add its module to `tiffin.cli.commands` and its line to `COMMANDS`.

Exit status: 0 all written, 1 some failed, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tiffin.errors import TiffinError

__all__ = ["COMMANDS", "app", "load", "main"]

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ends: 128 + SIGINT."""

COMMANDS = {
    "export": "Export the images of runs as TIFF files.",
    "bulk": "Export many runs, on several processes or a Dask cluster.",
    "serve": "Export every run by itself, as a configuration file says.",
    "names": "Print the names that an export would give.",
    "runs": "List runs, their images, and what names may use.",
    "template": "Check a template and explain its parts.",
    "show": "Print the metadata in files.",
    "report": "Write a page to look at the images of a folder.",
    "verify": "Check that exported files are there and intact.",
    "checksums": "Print the SHA-256 of files, for sha256sum -c.",
    "init": "Write a configuration file for a beamline, after a few questions.",
    "doctor": "Say what is installed, what a source has, and what a folder allows.",
    "demo": "Make a simulated experiment, export it, and say what to type next.",
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
        _terminal().configure_logging()
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
            _terminal().print_line("interrupted: no file is half written", "yellow")
        raise
    except TiffinError as error:
        _terminal().print_error(error)
        sys.exit(error.exit_status)


def _terminal() -> Any:
    from tiffin.cli import terminal  # the help does without rich and settings

    return terminal

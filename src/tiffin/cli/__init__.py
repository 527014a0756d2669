"""The shell's way in: ``tiffin export SOURCE --template …``.

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

__all__ = ["app", "main"]

INTERRUPTED = 130
"""What a shell expects of a command ended by Ctrl-C: 128 + SIGINT."""

COMMANDS = {
    "export": ("export", "Export the images of runs as TIFF files."),
    "names": ("names", "Print the names that an export would give."),
    "template": ("template", "Check a template and explain its parts."),
    "verify": ("verify", "Check that exported files are there and whole."),
    "checksums": ("verify", "Print the SHA-256 of files, for sha256sum -c."),
}
"""Command → its module and its line in the help: nothing is imported for that."""


class _Commands(TyperGroup):
    """The commands: a command's module is imported when it runs."""

    def list_commands(self, _context: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        if name not in COMMANDS:
            return None
        return TyperCommand(name, help=COMMANDS[name][1])

    def resolve_command(
        self, context: Any, args: list[str]
    ) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(context, args)
        _log_in_the_words_of_the_shell()
        return name, load(str(name)), rest


def load(name: str) -> Any:
    """Import a command."""
    function = getattr(import_module(f"tiffin.cli.{COMMANDS[name][0]}"), name)
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name)(function)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="tiffin",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer than all else that the help needs
    help="Export the images of Bluesky runs as numbered TIFF files.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

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
    # A run has many small objects that stay: searching them for garbage is in vain.
    gc.set_threshold(200_000, 20, 100)
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _console().print("interrupted: no file is half written", style="yellow")
        raise
    except TiffinError as error:
        _show(error)
        sys.exit(error.exit_status)


def _show(error: TiffinError) -> None:
    from tiffin.cli.wording import message_of, shown

    console = _console()
    plain = shown(message_of(error)).replace("[", "\\[")  # rich would read it as markup
    console.print(f"[bold red]error:[/] {plain}", soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        console.print(shown(note), style="dim", markup=False, soft_wrap=True)


def _log_in_the_words_of_the_shell() -> None:
    from rich.logging import RichHandler

    from tiffin.cli.wording import ShellFormatter

    handler = RichHandler(console=_console(), show_time=False, show_path=False)
    handler.setFormatter(ShellFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _console() -> Console:
    from rich.console import Console  # which the help does without

    return Console(stderr=True)

"""The command line: ``tiffin export SOURCE --template …``.

To add a command, add its module to `tiffin.cli.commands` and its line to `COMMANDS`.

Exit status: 0 all written, 1 some failed, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import inspect
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tiffin.cli.help import USAGE_ERROR, Command
from tiffin.errors import TiffinError, did_you_mean

__all__ = ["COMMANDS", "app", "load", "main"]

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ends: 128 + SIGINT."""

HELP = {"help_option_names": ["-h", "--help"]}

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
    "resume": "Go on with an export that was interrupted.",
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

    def format_commands(self, _context: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def resolve_command(
        self, context: Any, args: list[str]
    ) -> tuple[str | None, Any, list[str]]:
        if args[0] not in COMMANDS and context.resilient_parsing:
            return None, None, []  # a shell asks for completions
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMANDS, list_all=False)
            context.fail(f"there is no command {args[0]!r}{hint}")
        name, _, rest = super().resolve_command(context, args)
        _printing().configure_logging()
        return name, load(str(name)), rest


def load(name: str) -> Any:
    """Import a command."""
    function = getattr(import_module(f"tiffin.cli.commands.{name}"), name)
    documentation = inspect.cleandoc(function.__doc__ or "")  # python -OO
    text, _, examples = documentation.partition("\nExamples\n--------\n")
    alone = typer.Typer(add_completion=False)
    alone.command(
        name,
        cls=Command,
        help=text.strip(),
        epilog="\n\n".join(["Examples:", *examples.splitlines()]),
        context_settings=HELP,
    )(function)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="tiffin",
    cls=_Commands,
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
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
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in tiffin an error is raised.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line, and exit with its status."""
    # A run has many small objects that stay: collecting garbage often finds none.
    gc.set_threshold(200_000, 20, 100)
    debug = "--debug" in sys.argv
    for stream in (sys.stdout, sys.stderr):
        if "utf" not in (stream.encoding or "utf").lower():  # such as LC_ALL=C
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = app(
            [word for word in sys.argv[1:] if word != "--debug"],
            "tiffin",
            standalone_mode=False,
        )
    except USAGE_ERROR as error:
        status = _printing().print_usage_error(error)
    except typer.Abort:  # the end of the input, where a question is asked
        _printing().print_line(
            "\nno answer: nothing more is done (--yes asks nothing)", ""
        )
        status = 1
    except TiffinError as error:
        if debug:
            raise
        _printing().print_error(error)
        status = error.exit_status
    except (OSError, UnicodeEncodeError) as error:
        if debug:
            raise
        _printing().print_refusal(error)
        status = 1
    except Exception as error:
        if debug:
            raise
        _printing().print_defect(error)
        status = 1
    if status == INTERRUPTED:
        text = f"interrupted: no file is half written{_how_to_go_on(sys.argv)}"
        _printing().print_line(text, "yellow")
    sys.exit(status)


def _how_to_go_on(typed: list[str]) -> str:
    """Return how the command that was interrupted goes on, if it can."""
    if typed[1:2] == ["export"] and "resume" not in typed:
        return "; the same command with --existing resume goes on"
    goes_on = typed[1:2] in (["export"], ["resume"], ["bulk"])
    return "; the same command again goes on" if goes_on else ""


def _printing() -> Any:
    from tiffin.cli import printing  # the help does without rich and settings

    return printing

"""The help of a command: options under headings, and examples to copy.

On a terminal that is wide enough it has boxes and colours, elsewhere it is plain text.
"""

from __future__ import annotations

import shutil
import sys
from typing import Any

import typer
from typer.core import TyperCommand

from tiffin.cli.wrong_options import attached_value

USAGE_ERROR: Any = typer.BadParameter.__base__
"""What the parser raises if something else is typed than a command takes."""

NARROW = 80
"""Boxes need this many columns."""


class Command(TyperCommand):
    """A command whose help has examples, and headings without boxes too."""

    @property
    def examples(self) -> list[str]:
        """The lines to type, one after the other."""
        return (self.epilog or "").split("\n\n")[1:]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what is typed, but refuse options with one dash instead of two."""
        problem = attached_value(self, args)
        if problem:
            ctx.fail(problem)
        try:
            return super().parse_args(ctx, args)
        except USAGE_ERROR as error:  # not every one knows where it was raised
            error.ctx = error.ctx or ctx
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with boxes where there is room for them."""
        wide = shutil.get_terminal_size().columns >= NARROW
        self.rich_markup_mode = "rich" if wide and sys.stdout.isatty() else None
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and the options under their headings."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                default = "Arguments" if is_argument else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or default
                text = (record[0], record[1].replace("\\[", "["))
                groups.setdefault(heading, []).append(text)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (click's)
        """Write the examples, each on a line."""
        if self.examples:
            formatter.write("\nExamples:\n")
            formatter.write("".join(f"  {line}\n" for line in self.examples))

"""``tiffin template``: what each part of a template means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tiffin.cli.command import JsonOption, command
from tiffin.cli.printing import escape, print_json, print_line
from tiffin.cli.templates import check_template
from tiffin.errors import TemplateError
from tiffin.options import RunOptions
from tiffin.sources import first_image
from tiffin.template import Template

if TYPE_CHECKING:
    from collections.abc import Mapping


@command("timezone", "name_policy", "replacements")
def template(
    text: Annotated[str, typer.Argument(metavar="TEMPLATE", help="The template.")],
    runs: RunOptions,
    explain: Annotated[bool, typer.Option(help="Describe each part.")] = False,
    example: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="A run to take values from.")
    ] = None,
    json_lines: JsonOption = False,
    **style: Any,
) -> None:
    """Check a template and explain its parts.

    Examples
    --------
    tiffin template '{start.scan_id}_{event.seq_num:03d}.tif' --explain
    tiffin template '{start.scan_id}_{event.seq_num:03d}.tif' --example run.jsonl
    """
    check_template(text, runs, example)
    made = Template(text, policy=style.pop("name_policy", "portable"), **style)
    if not made.fields:
        print_line(
            "it has no field in curly brackets: all images get one name", "yellow"
        )
    values = None if example is None else first_image(runs.open(example))
    if json_lines:
        _print_json(made, values)
        return
    console = Console(soft_wrap=True)
    if explain:
        console.print(_table(made, values))
    console.print(Text(f"pattern   {escape(made.glob())}"))
    if values is None:
        return
    try:
        console.print(Text(f"example   {escape(made.render(values))}"))
    except TemplateError as error:
        console.print(Text(f"example   none: {escape(error)}"))
        raise typer.Exit(1) from None


def _print_json(made: Template, values: Mapping[str, Any] | None) -> None:
    described: dict[str, Any] = {
        "template": made.text,
        "pattern": made.glob(),
        "parts": [
            {"part": part, "meaning": meaning, "example": example}
            for part, meaning, example in made.explain(values)
        ],
    }
    if values is not None:
        described["example"] = made.render(values)
    print_json(described)


def _table(made: Template, values: Mapping[str, Any] | None) -> Table:
    table = Table("part", "meaning", box=None, pad_edge=False)
    if values is not None:
        table.add_column("example")
    for cells in made.explain(values):
        table.add_row(*(Text(escape(cell)) for cell in cells[: len(table.columns)]))
    return table

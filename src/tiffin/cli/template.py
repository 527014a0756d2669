"""``tiffin template``: what each part of a template means."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tiffin.assemble import Assembler, LateDocuments
from tiffin.cli.options import (
    ApiKey,
    Runs,
    chosen_runs,
    keywords,
    with_settings,
)
from tiffin.cli.wording import shown
from tiffin.errors import SourceError, TemplateError
from tiffin.sources import Selection, open_source
from tiffin.template import Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.sources import Documents

__all__ = ["template"]


@with_settings("timezone", "name_policy", "replacements")
def template(
    text: Annotated[str, typer.Argument(metavar="TEMPLATE", help="The template.")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Describe each part.")
    ] = False,
    example: Annotated[
        str | None,
        typer.Option("--example", metavar="SOURCE", help="A run to take values from."),
    ] = None,
    run: Runs = None,
    api_key: ApiKey = None,
    **settings: Any,
) -> None:
    """Check a template and explain its parts."""
    style = keywords(settings)
    made = Template(text, policy=style.pop("name_policy", "portable"), **style)
    names = None
    if example is not None:
        selection = Selection.of(runs=run or ())
        names = _first_frame(chosen_runs(example, selection, api_key))
    console = Console(soft_wrap=True)
    if explain:
        console.print(_table(made, names))
    console.print(Text(f"pattern   {shown(made.glob())}"))
    if names is not None and not _shown(console, made, names):
        raise typer.Exit(1)


def _shown(console: Console, made: Template, names: Mapping[str, Any]) -> bool:
    """Show the name of the example, or why it has none; tell whether it has."""
    try:
        name, is_there = made.render(names), True
    except TemplateError as error:
        name, is_there = f"none: {error}", False
    console.print(Text(f"example   {shown(name)}"))
    return is_there


def _table(made: Template, names: Mapping[str, Any] | None) -> Table:
    table = Table("part", "meaning", box=None, pad_edge=False)
    if names is not None:
        table.add_column("example")
    for part, meaning, example in made.explain(names):
        cells = (part, meaning, example) if names is not None else (part, meaning)
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table


def _first_frame(source: Any) -> Mapping[str, Any]:
    """Return what a template may speak of, for the first image of a run."""
    documents = open_source(source)
    foresight = LateDocuments.scan(_unbroken(documents))
    assembler = Assembler(
        fields=None, streams=None, join_events=True, late_documents=foresight
    )
    for name, doc in documents:
        for frame in assembler(name, doc):
            if frame.i is not None:
                return frame.names()
    for frame in assembler.finish():
        if frame.i is not None:
            return frame.names()
    message = "the run of the example holds no image"
    raise SourceError(message)


def _unbroken(documents: Documents) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return what comes before a source breaks off: its first image may be there."""
    with suppress(SourceError):
        yield from documents

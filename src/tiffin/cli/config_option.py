"""The options ``--config`` and ``--as``: a file's values are a command's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tiffin.cli.command import is_typed
from tiffin.cli.printing import escape, print_line
from tiffin.errors import SettingsError
from tiffin.options import (
    CHAIN,
    CorrectionOptions,
    CorrectionTable,
    RunOptions,
    find_config,
    read_config,
    read_exports,
)


def steps_of(
    context: typer.Context,
    corrections: CorrectionOptions,
    runs: RunOptions,
    settings: dict[str, Any],
) -> list[Any]:
    """Return the corrections: those of the file, unless the command line has some.

    The dtype is the last of them, if it is more than a setting.
    """
    tables: list[CorrectionTable] = context.obj or []
    if not tables or is_typed(context, *CHAIN):
        tables = corrections.tables()
    cast = corrections.cast(settings.get("dtype"))
    if cast:
        del settings["dtype"]
    return [table.make(runs.catalog) for table in tables + cast]


def _find(context: typer.Context, named: Path | None) -> Path | None:
    """Find the file; read it, if it is known by now which export is wanted."""
    path = find_config(named)
    if "export_name" in context.params:
        _read(context, path, context.params["export_name"])
    return path


def _choose(context: typer.Context, name: str | None) -> str | None:
    """Choose an export; read the file, if that is known by now."""
    if "config" in context.params:
        _read(context, context.params["config"], name)
    return name


def _read(context: typer.Context, path: Path | None, name: str | None) -> None:
    """Make what the file has the defaults of the command."""
    if context.resilient_parsing:
        return
    if path is None:
        if name is not None:
            message = (
                f"--as {name!r} is an export of a configuration file, and there is "
                f"none: give --config FILE"
            )
            raise SettingsError(message)
        return
    found = read_config(path, name)
    context.default_map = dict(found.values)
    context.obj = list(found.tables)
    chosen = f", export {found.export!r}" if found.export else ""
    print_line(f"options of {escape(path)}{escape(chosen)}", "dim")


def _exports() -> list[str]:
    """Return the names of the exports of the file that is found, for completion."""
    path = find_config()
    try:
        return [] if path is None else [*filter(None, read_exports(path))]
    except SettingsError:
        return []


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_find,
        is_eager=True,
        help="Options in TOML, by their long names; the command line overrides them. "
        "By default $TIFFIN_CONFIG, or tiffin.toml in this folder.",
    ),
]

ExportOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        callback=_choose,
        autocompletion=_exports,
        is_eager=True,
        help="The export of the configuration file, if it has several.",
    ),
]

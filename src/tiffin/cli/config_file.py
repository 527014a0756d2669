"""A configuration file: defaults for the options of a command, and its corrections.

It is TOML: options by their long names, and corrections as tables, in the order in
which they act. A file with a wrong name or value is refused before anything is done.
"""

from __future__ import annotations

import os
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_type_hints

import typer
from pydantic import Field

from tiffin.cli.correction_options import CHAIN
from tiffin.cli.correction_tables import KINDS, CorrectionTable, setting_types
from tiffin.cli.run_options import is_address
from tiffin.errors import SettingsError
from tiffin.settings import check_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ConfigFile", "hints_of", "options_of", "tables_of"]

TABLES = "corrections"

OTHER_TYPES: dict[str, tuple[type, ...]] = {
    "run": (int,),
    "stack": (int,),
    "bin": (int,),
    "mask-fill": (int, float),
    "since": (date,),
    "until": (date,),
}
"""Options that are text in the shell, and may have another type in TOML."""

AnyText = Annotated[str, Field(min_length=0)]

PAIRS: dict[str, Any] = {
    "axes": dict[str, AnyText],
    "metadata": dict[str, AnyText | Literal[False]] | Literal[False],
    "replace": dict[str, AnyText],
    "root-map": dict[str, AnyText],
}
"""Options that are pairs with "=" in the shell, and what else they may be in TOML."""


def tables_of(context: typer.Context) -> list[CorrectionTable]:
    """Return the corrections that the file has as tables."""
    tables: list[CorrectionTable] = context.obj or []
    return tables


def _read(context: typer.Context, path: Path | None) -> Path | None:
    """Make the file's options the defaults of the command."""
    if path is None or context.resilient_parsing:
        return path
    content = _content(path)
    # A pipe has no folder.
    folder = path.parent if path.is_file() else Path()
    try:
        tables = content.pop(TABLES, [])
        options = options_of(context.command)
        context.default_map = dict(_defaults(content, options, folder))
        context.obj = list(_tables(tables, options, path, folder))
        _refuse_both(tables, content, options)
    except SettingsError as error:
        message = f"{path}: {error}"
        raise SettingsError(message) from error
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_read,
        is_eager=True,
        help="Options in TOML, by their long names; the command line overrides them.",
    ),
]


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"--config {os.fspath(path)!r} can't be read as TOML: {error}"
        raise SettingsError(message) from error


class _Option(NamedTuple):
    """An option of a command, and the type of its parameter."""

    parameter: Any
    hint: Any


def options_of(command: Any) -> dict[str, _Option]:
    """Return the options that a file may hold, by long name: all but ``--config``."""
    hints = get_type_hints(command.callback)
    return {
        long.removeprefix("--"): _Option(parameter, hints[parameter.name])
        for parameter in command.params
        for long in parameter.opts
        if long.startswith("--") and parameter.name in hints.keys() - {"config"}
    }


def hints_of(options: Mapping[str, _Option]) -> dict[str, Any]:
    """Return the types of options in a file, by long name."""
    return {
        name: option.hint | PAIRS[name] if name in PAIRS else option.hint
        for name, option in options.items()
    }


def _defaults(
    content: Mapping[str, Any], options: Mapping[str, _Option], folder: Path
) -> Iterator[tuple[str, Any]]:
    """Check options, and return their values by parameter."""
    given = {
        name: _as_text(value, OTHER_TYPES.get(name, ()))
        for name, value in content.items()
    }
    for name in PAIRS.keys() & given.keys():
        if isinstance(given[name], dict):
            _check_pairs(name, given[name])
    for name, value in check_table(given, hints_of(options), what="option").items():
        if name in ("dark", "flat") and value.startswith("file:"):
            value = f"file:{_beside(folder, value.removeprefix('file:'))}"
        elif name in ("mask", "catalog"):
            value = _beside(folder, value.removeprefix("file:"))
        elif name == "metadata" and value is False:
            value = ["none"]
        elif name == "allow-external":
            value = [_beside(folder, each) for each in value]
        yield options[name].parameter.name, value


def _check_pairs(name: str, table: Mapping[str, Any]) -> None:
    """Check the types in a table, so that the error names the key."""
    for key, value in table.items():
        is_off = name == "metadata" and value is False
        if not (isinstance(value, str) or is_off):
            allowed = "text in quotes" + " or false" * (name == "metadata")
            message = f"must be {allowed}, not {value!r}"
            raise SettingsError(message, setting=f"{name}.{key}")


def _as_text(value: Any, types: tuple[type, ...]) -> Any:
    if isinstance(value, list):
        return [_as_text(item, types) for item in value]
    is_other = isinstance(value, types) and not isinstance(value, bool)
    return str(value) if is_other else value


def _tables(
    tables: Any, options: Mapping[str, _Option], path: Path, folder: Path
) -> Iterator[CorrectionTable]:
    """Check the kinds of tables, and that no option of the command is among them."""
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        message = f"corrections are tables, each under a line [[{TABLES}]]"
        raise SettingsError(message)
    for number, table in enumerate(tables, 1):
        kind = table.get("kind")
        settings = {name: table[name] for name in table if name != "kind"}
        where = f"{TABLES[:-1]} {number} (kind = {kind!r})"
        own = setting_types(kind) if kind in [*KINDS] else settings
        misplaced = [name for name in settings if name in options and name not in own]
        if misplaced:
            message = (
                f"{where}: {misplaced[0]!r} is an option of the command: write it "
                f"above the first [[{TABLES}]]"
            )
            raise SettingsError(message)
        for name in ("file", "dark", "catalog"):
            if isinstance(settings.get(name), str):
                settings[name] = _beside(folder, settings[name])
        yield CorrectionTable(f"{path}: {where}", kind, settings)


def _refuse_both(
    tables: Any, content: Mapping[str, Any], options: Mapping[str, _Option]
) -> None:
    """Refuse tables beside options of the chain: which acts first is not known."""
    mixed = [name for name in content if options[name].parameter.name in CHAIN]
    if mixed and tables:
        message = (
            f"corrections are tables here, and {mixed[0]!r} is given too: write it as "
            f"a table, in its place among them"
        )
        raise SettingsError(message)


def _beside(folder: Path, path: str) -> str:
    """Return a path that is relative to the folder of the configuration file."""
    if not path or is_address(path):
        return path
    expanded = os.path.expanduser(path)  # noqa: PTH111 (an unknown user is no error)
    return os.fspath(folder / expanded)

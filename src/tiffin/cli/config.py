"""A file with the options of a command, for those that the command line leaves out.

TOML: the options by their long names, and corrections as tables, in the order in which
they act. A file that has a word too many is refused before anything is done.
"""

from __future__ import annotations

import inspect
import os
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import typer

from tiffin.cli.chain import KINDS, Asked, settings_of
from tiffin.cli.correcting import CHAIN
from tiffin.cli.options import is_address
from tiffin.errors import SettingsError
from tiffin.settings import check_table, table_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ConfigFile", "is_typed", "json_schema", "options_of", "tables_of"]

TABLES = "corrections"

ALSO: dict[str, tuple[type, ...]] = {
    "run": (int,),
    "bin": (int,),
    "mask-fill": (int, float),
    "since": (date,),
    "until": (date,),
}
"""Options of text that TOML has a type for: in a file they may be written so."""


def tables_of(context: typer.Context) -> list[Asked]:
    """Return the corrections that the file has as tables."""
    found: list[Asked] = context.obj or []
    return found


def is_typed(context: typer.Context, *parameters: str) -> bool:
    """Whether one of a command's parameters stands on the command line."""
    sources = (context.get_parameter_source(name) for name in parameters)
    return any(
        source is not None and source.name == "COMMANDLINE" for source in sources
    )


def _take(context: typer.Context, path: Path | None) -> Path | None:
    """Read the file before other options are looked at, as their defaults."""
    if path is None or context.resilient_parsing:
        return path
    content = _content(path)
    # What comes through a pipe has no folder.
    folder = path.parent if path.is_file() else Path()
    try:
        tables = content.pop(TABLES, [])
        options = options_of(context.command)
        context.default_map = dict(_defaults(content, options, folder))
        context.obj = list(_asked(tables, options, path, folder))
        _refuse_both(content, options, tables)
    except SettingsError as error:
        message = f"{path}: {error}"
        raise SettingsError(message) from error
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_take,
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


def options_of(command: Any) -> dict[str, _Option]:
    """Return what a file may hold, by long name: all options but its own."""
    hints = get_type_hints(inspect.unwrap(command.callback or _take))
    return {
        long.removeprefix("--"): _Option(parameter, hints[str(parameter.name)])
        for parameter in command.params
        for long in parameter.opts
        if long.startswith("--") and parameter.name in hints.keys() - {"config"}
    }


class _Option(NamedTuple):
    """An option of a command, and the annotation of its parameter."""

    parameter: Any
    hint: Any

    @property
    def name(self) -> str:
        return str(self.parameter.name)


def _defaults(
    content: Mapping[str, Any], options: Mapping[str, _Option], folder: Path
) -> Iterator[tuple[str, Any]]:
    """Check options, and give them by their parameters."""
    for name, value in _checked(content, options).items():
        option = options[name]
        if name in ("dark", "flat") and value.startswith("file:"):
            value = f"file:{_beside(folder, value.removeprefix('file:'))}"
        elif name in ("mask", "catalog"):
            value = _beside(folder, value.removeprefix("file:"))
        elif name == "allow-external":
            value = [_beside(folder, each) for each in value]
        yield option.name, value


def _checked(
    content: Mapping[str, Any], options: Mapping[str, _Option]
) -> dict[str, Any]:
    """Return the file's options, each of the type that the shell takes."""
    hints = {name: option.hint for name, option in options.items()}
    given = {
        name: _as_text(value, ALSO.get(name, ())) for name, value in content.items()
    }
    return check_table(given, hints, what="option")


def _as_text(value: Any, kinds: tuple[type, ...]) -> Any:
    if isinstance(value, list):
        return [_as_text(item, kinds) for item in value]
    known = isinstance(value, kinds) and not isinstance(value, bool)
    return str(value) if known else value


def _asked(
    tables: Any, options: Mapping[str, _Option], path: Path, folder: Path
) -> Iterator[Asked]:
    """Check the names in tables, and give what these ask for."""
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        message = f"corrections are tables, each under a line [[{TABLES}]]"
        raise SettingsError(message)
    for number, table in enumerate(tables, 1):
        settings = dict(table)
        kind = settings.pop("kind", None)
        where = f"{TABLES[:-1]} {number} (kind = {kind!r})"
        known = settings_of(kind) if kind in [*KINDS] else settings
        astray = [n for n in settings if n in options and n not in known]
        if astray:
            message = (
                f"{where}: {astray[0]!r} is an option of the command: write it above "
                f"the first [[{TABLES}]]"
            )
            raise SettingsError(message)
        for name in ("file", "dark", "catalog"):
            if isinstance(settings.get(name), str):
                settings[name] = _beside(folder, settings[name])
        yield Asked(where=f"{path}: {where}", kind=kind, settings=settings)


def _refuse_both(
    content: Mapping[str, Any], options: Mapping[str, _Option], tables: Any
) -> None:
    """Refuse two chains: nobody could say which acts first."""
    mixed = [name for name in content if options[name].name in CHAIN]
    if mixed and tables:
        message = (
            f"corrections are tables here, and {mixed[0]!r} is given too: write it as "
            f"a table, in its place among them"
        )
        raise SettingsError(message)


def _beside(folder: Path, path: str) -> str:
    """See a path from the file's folder, whoever uses the file, and from where."""
    if not path or is_address(path):
        return path
    return os.fspath(folder / Path(path).expanduser())


def json_schema(command: Any) -> dict[str, Any]:
    """Return the JSON Schema of a configuration file of ``tiffin export``."""
    options = options_of(command)
    hints = {name: option.hint for name, option in options.items()}
    schema: dict[str, Any] = table_model("tiffin.toml", hints).model_json_schema()
    for name, option in options.items():
        entry = schema["properties"][name]
        entry.pop("default", None)
        entry["title"], entry["description"] = name, option.parameter.help
    schema["properties"][TABLES] = {
        "title": TABLES,
        "description": "Corrections, in the order in which they act.",
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"kind": {"enum": [*KINDS]}},
            "required": ["kind"],
        },
    }
    return schema

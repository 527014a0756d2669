"""The parts of a configuration file: what is at its top, and each export.

They may set all options of ``tiffin export``, but keys. Names and values are checked,
and made what the shell gives.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from tiffin.errors import SettingsError
from tiffin.options.correction_options import CHAIN, CorrectionOptions
from tiffin.options.correction_tables import KINDS, CorrectionTable, setting_types
from tiffin.options.option_values import AllStreams, option_type
from tiffin.options.run_options import RunOptions
from tiffin.settings import Settings, check_table, option_of
from tiffin.sources import Via, is_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

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

SECRET = "api-key"
"""An option that has no place in a file."""

AnyText = Annotated[str, Field(min_length=0)]

PAIRS: dict[str, Any] = {
    "axes": dict[str, AnyText],
    "metadata": dict[str, AnyText | Literal[False]] | Literal[False],
    "replace": dict[str, AnyText],
    "root-map": dict[str, AnyText],
}
"""Options that are pairs with "=" in the shell, and what else they may be in TOML."""

KEY_IN_ADDRESS = re.compile(r"https?://([^/?#]*@|.*[?&]api_key=)")
"""An address with a password or a key."""


class FileOption(NamedTuple):
    """An option in a file: the parameter that it sets, and its type."""

    parameter: str
    hint: Any


@lru_cache(1)
def file_options() -> Mapping[str, FileOption]:
    """Return the options that a file may have, by their long names."""
    options = {"source": FileOption("source", str), "via": FileOption("via", Via)}
    for model in (Settings, AllStreams, RunOptions, CorrectionOptions):
        for name, field in model.model_fields.items():
            option = option_of(name, model)
            if option is not None and option.name != SECRET:
                options[option.name] = FileOption(name, option_type(option, field))
    for name, pairs in PAIRS.items():
        options[name] = options[name]._replace(hint=options[name].hint | pairs)
    return options


def file_hints() -> dict[str, Any]:
    """Return the types of the options in a file, by their long names."""
    return {name: option.hint for name, option in file_options().items()}


def refuse_secrets(content: Any) -> None:
    """Refuse a key or a password in a file, which others may read."""
    message = (
        "a file is no place for a key, because others may read it: put it into the "
        "environment variable TILED_API_KEY"
    )
    if isinstance(content, dict):
        if any(key.replace("_", "-").lower() == SECRET for key in content):
            raise SettingsError(message)
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            refuse_secrets(value)
    if isinstance(content, str) and KEY_IN_ADDRESS.match(content):
        raise SettingsError(message)


@dataclass(frozen=True, slots=True)
class Section:
    """Options by their long names, and corrections; None if it has no such table."""

    options: Mapping[str, Any]
    tables: list[CorrectionTable] | None

    @classmethod
    def read(cls, content: Mapping[str, Any], where: str, folder: Path) -> Section:
        """Check a table and its corrections."""
        options = {name: content[name] for name in content if name != TABLES}
        checked = dict(_checked(options, folder))
        tables = None
        if TABLES in content:
            tables = list(_tables(content[TABLES], where, folder))
        section = cls(checked, tables)
        section.refuse_both()
        return section

    def with_own(self, own: Section) -> Section:
        """Return this, overridden by what one export says."""
        common = dict(self.options)
        if "stream" in own.options:
            common.pop("all-streams", None)
        tables = self.tables if own.tables is None else own.tables
        return Section(common | dict(own.options), tables)

    def refuse_both(self) -> None:
        """Refuse tables beside options of the chain: which acts first is not known."""
        places = file_options()
        mixed = [name for name in self.options if places[name].parameter in CHAIN]
        if mixed and self.tables:
            message = (
                f"corrections are tables here, and {mixed[0]!r} is given too: write it "
                f"as a table, in its place among them"
            )
            raise SettingsError(message)

    def values(self) -> dict[str, Any]:
        """Return the values by parameter."""
        places = file_options()
        return {places[name].parameter: self.options[name] for name in self.options}


def _checked(content: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    """Check options, and return them as the shell gives them."""
    given = {
        name: _as_text(value, OTHER_TYPES.get(name, ()))
        for name, value in content.items()
    }
    for name in PAIRS.keys() & given.keys():
        if isinstance(given[name], dict):
            _check_pairs(name, given[name])
    for name, value in check_table(given, file_hints(), what="option").items():
        if name in ("dark", "flat") and value.startswith("file:"):
            value = f"file:{_beside(folder, value.removeprefix('file:'))}"
        elif name in ("mask", "catalog", "source"):
            value = _beside(folder, value.removeprefix("file:"))
        elif name == "metadata" and value is False:
            value = ["none"]
        elif name == "allow-external":
            value = [_beside(folder, each) for each in value]
        yield name, value


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


def _tables(tables: Any, where: str, folder: Path) -> Iterator[CorrectionTable]:
    """Check the kinds of tables, and that no option of the command is among them."""
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        message = f"corrections are tables, each under a line [[{TABLES}]]"
        raise SettingsError(message)
    for number, table in enumerate(tables, 1):
        kind = table.get("kind")
        settings = {name: table[name] for name in table if name != "kind"}
        place = f"{TABLES[:-1]} {number} (kind = {kind!r})"
        own = setting_types(kind) if kind in [*KINDS] else settings
        options = file_options()
        misplaced = [name for name in settings if name in options and name not in own]
        if misplaced:
            message = (
                f"{place}: {misplaced[0]!r} is an option of the command: write it "
                f"above the first [[{TABLES}]]"
            )
            raise SettingsError(message)
        for name in ("file", "dark", "catalog"):
            if isinstance(settings.get(name), str):
                settings[name] = _beside(folder, settings[name])
        yield CorrectionTable(f"{where}: {place}", kind, settings)


def _beside(folder: Path, path: str) -> str:
    """Return a path that is relative to the folder of the configuration file."""
    if not path or is_address(path):
        return path
    expanded = os.path.expanduser(path)  # noqa: PTH111 (an unknown user is no error)
    return os.fspath(folder / expanded)

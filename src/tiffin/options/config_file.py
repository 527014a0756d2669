"""A configuration file: options and corrections, for one export or for several by name.

It is TOML: options by their long names, and corrections as tables, in the order in
which they act. What stands at the top is common to all tables ``[exports.NAME]``. A
file with a wrong name or value is refused before anything is done.
"""

from __future__ import annotations

import os
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError, did_you_mean
from tiffin.obstacles import is_there
from tiffin.options.config_sections import (
    TABLES,
    Section,
    file_options,
    refuse_secrets,
)
from tiffin.options.correction_options import CorrectionOptions
from tiffin.options.option_values import as_keywords
from tiffin.options.run_options import RunOptions
from tiffin.settings import Settings, check_model
from tiffin.sources import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.options.correction_tables import CorrectionTable

FILE_NAME = "tiffin.toml"
"""The configuration file of a folder."""

FILE_VARIABLE = "TIFFIN_CONFIG"
"""The environment variable that names another one."""

EXPORTS = "exports"

OTHER_TABLES = ("service",)
"""Tables that are no options of an export."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One export of a configuration file."""

    path: Path
    export: str
    """Its name; empty if the file names none."""
    values: Mapping[str, Any]
    """Parameter → value, as the shell gives it."""
    tables: tuple[CorrectionTable, ...]
    """The corrections, in the order in which they act."""

    def keywords(self) -> dict[str, Any]:
        """Return the template and the settings, as `tiffin.export` takes them.

        Corrections look up runs in ``catalog``, or else in ``source``.
        """
        place = f"{self.path}: {EXPORTS}.{self.export}" if self.export else self.path
        with errors_in(place):
            return self._keywords()

    def _keywords(self) -> dict[str, Any]:
        if "template" not in self.values:
            message = (
                "there is no template: write one, such as "
                'template = "{start.scan_id}_{event.seq_num:03d}.tif"'
            )
            raise SettingsError(message)
        keywords = as_keywords(_part(self.values, Settings))
        if self.values.get("all_streams"):
            keywords["streams"] = None
        options = check_model(CorrectionOptions, _part(self.values, CorrectionOptions))
        runs = check_model(RunOptions, _part(self.values, RunOptions))
        cast = options.cast(keywords.get("dtype"))
        if cast:
            del keywords["dtype"]
        tables = [*(self.tables or options.tables()), *cast]
        keywords["corrections"] = [table.make(runs.catalog) for table in tables]
        catalog = keywords.pop("catalog", self.values.get("source"))
        if tables and catalog and (is_address(catalog) or is_there(catalog)):
            keywords["catalog"] = runs.catalog(catalog)
        return keywords


@contextmanager
def errors_in(place: object) -> Iterator[None]:
    """Say where a problem is, in the errors that are raised."""
    try:
        yield
    except SettingsError as error:
        message = f"{place}: {error}"
        raise SettingsError(message) from error


def _part(values: Mapping[str, Any], model: Any) -> dict[str, Any]:
    return {name: values[name] for name in model.model_fields if name in values}


def find_config(named: Path | None = None) -> Path | None:
    """Return the named file, or that of the environment, or the one in this folder."""
    if named is not None:
        return named
    if os.environ.get(FILE_VARIABLE):
        return Path(os.environ[FILE_VARIABLE])
    return Path(FILE_NAME) if Path(FILE_NAME).exists() else None


def read_config(path: Path, export: str | None = None) -> ConfigFile:
    """Return an export of a file, by its name; without a name, the only one.

    If anything in the file is wrong, in other exports too, SettingsError is raised.
    """
    exports = read_exports(path)
    with errors_in(path):
        return exports[_name_of(export, exports)]


def read_exports(path: Path) -> dict[str, ConfigFile]:
    """Return all exports of a file, by name; "" is that of a file that names none."""
    content = _content(path)
    for name in OTHER_TABLES:
        content.pop(name, None)
    folder = path.parent if path.is_file() else Path()  # a pipe has no folder
    with errors_in(path):
        sections = _sections(content, path, folder)
    return {
        name: ConfigFile(path, name, section.values(), tuple(section.tables or ()))
        for name, section in sections.items()
    }


def read_table(path: Path, name: str) -> dict[str, Any] | None:
    """Return a table of a file that is no export; None if there is none."""
    table = _content(path).get(name)
    if table is None or isinstance(table, dict):
        return table
    message = f"{path}: {name!r} must be a table, under a line [{name}]"
    raise SettingsError(message)


def load_config(
    path: str | os.PathLike[str] | None = None, export: str | None = None
) -> ConfigFile:
    """Return an export of the file that is named, or found."""
    found = find_config(None if path is None else Path(path))
    if found is None:
        message = f"there is no {FILE_NAME} in {Path.cwd()}: name a configuration file"
        raise SettingsError(message)
    return read_config(found, export)


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"there is no file {path.absolute()}: `tiffin init` writes one"
        raise SettingsError(message) from error
    except (OSError, ValueError, RecursionError) as error:
        message = f"{os.fspath(path)!r} can't be read as TOML: {error}"
        if isinstance(error, tomllib.TOMLDecodeError):
            message += '; is text in quotes, as in directory = "out"?'
        raise SettingsError(message) from error


def _sections(content: dict[str, Any], path: Path, folder: Path) -> dict[str, Section]:
    """Check all that is in a file; return each export with what is common to all."""
    refuse_secrets(content)
    exports = content.pop(EXPORTS, {})
    if not isinstance(exports, dict) or not all(
        isinstance(table, dict) for table in exports.values()
    ):
        message = f"exports are tables, each under a line [{EXPORTS}.NAME]"
        raise SettingsError(message)
    for name in content.keys() - {TABLES, *file_options()}:
        meant = did_you_mean(name, (EXPORTS, TABLES, *OTHER_TABLES), list_all=False)
        if isinstance(content[name], (dict, list)) and meant:
            message = f"there is no table {name!r}{meant}"
            raise SettingsError(message)
    common = Section.read(content, str(path), folder)
    sections = {}
    for name, table in exports.items():
        with errors_in(f"{EXPORTS}.{name}"):
            own = Section.read(table, f"{path}: {EXPORTS}.{name}", folder)
            sections[name] = common.with_own(own)
            sections[name].refuse_both()
    return sections or {"": common}


def _name_of(export: str | None, exports: Mapping[str, Any]) -> str:
    """Return the name of the export that is asked for, or the only one."""
    if export is not None and export not in exports:
        there = did_you_mean(export, filter(None, exports)) or ", nor any other"
        message = f"there is no export {export!r}{there}"
        raise SettingsError(message)
    if export is None and len(exports) > 1:
        choices = " or ".join(f"export={name!r}" for name in exports)
        message = f"there are several exports: choose {choices}"
        raise SettingsError(message)
    return next(iter(exports)) if export is None else export

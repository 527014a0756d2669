"""The table ``[service]`` of a configuration file, and the exports beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, Strict

from tiffin.errors import SettingsError, TemplateError, TiffinError
from tiffin.options import (
    ConfigFile,
    errors_in,
    meant_address,
    read_exports,
    read_table,
    refuse_secrets,
)
from tiffin.service.listeners import check_listener
from tiffin.settings import Settings, check_model
from tiffin.sources import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Listen", "ServiceConfig", "http_address", "read_service"]

Seconds = Annotated[float, Field(gt=0, le=86_400)]  # a day

CHOICES = ("run", "query", "since", "until", "limit", "dry_run")
"""Parameters of an export that leave runs out."""


class Listen(BaseModel):
    """A listener; what else it takes depends on its type."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    """Such as ``zmq``, ``tiled``, ``kafka`` or ``folder``."""


class ServiceConfig(BaseModel):
    """What the service exports, from where, and how it tells about itself."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    source: Annotated[str, Field(min_length=1)]
    """A folder of files of documents, or the address of a Tiled catalogue."""

    journal: Annotated[Path, Strict(False)] = Path("state/journal.sqlite")  # noqa: FBT003
    """The file in which the service remembers what it has done."""

    interval: Seconds = 2.0
    """How long to wait between two looks at the source [s]."""

    http: str = "127.0.0.1:8090"
    """The address of the page, of /health and of /metrics; "" for none."""

    drain_timeout: Seconds = 30.0
    """How long SIGTERM waits for the run that is being exported [s]."""

    on_done: str | None = None
    """A command of the shell for each run that is done. It finds the run in the
    environment: TIFFIN_RUN, TIFFIN_SCAN_ID and TIFFIN_STATUS."""

    live: bool = False
    """Whether runs are exported while their documents are written to the folder, not
    only at their stop."""

    listen: tuple[Listen, ...] = ()
    """Listeners, which say that it is worth to look sooner."""


def read_service(path: Path) -> tuple[ServiceConfig, Mapping[str, ConfigFile]]:
    """Return the service of a configuration file, and its exports by name.

    The source and the journal are relative to the folder of the file. The directory of
    an export is relative to the working directory, as on the command line.

    Raises
    ------
    SettingsError
        If anything is wrong in the file, or it has no service.
    """
    table = read_table(path, "service")
    if table is None:
        message = (
            f"{path} has no table [service]: see the manual, 'Run tiffin as a service'"
        )
        raise SettingsError(message)
    refuse_secrets(table)
    listen = _listeners(table.get("listen", []), path)
    with errors_in(f"{path}: [service]"):
        config = check_model(ServiceConfig, {**table, "listen": listen})
        http_address(config.http)
        source = _source(config, path.parent)
    exports = read_exports(path)
    for name, export in exports.items():
        _refuse_choices(path, export)
        settings = _settings(path, name, export)
        if config.live:
            _check_live(path, name, settings)
    places = {"source": source, "journal": path.parent / config.journal}
    return config.model_copy(update=places), exports


def http_address(text: str) -> tuple[str, int] | None:
    """Return host and port of the page; None if there shall be none.

    Examples
    --------
    >>> http_address("127.0.0.1:8090"), http_address("[::1]:80"), http_address("")
    (('127.0.0.1', 8090), ('::1', 80), None)
    """
    if not text:
        return None
    try:
        url = urlsplit(f"//{text}")
        if url.netloc == text and url.hostname and url.port is not None:
            return url.hostname, url.port
    except ValueError:
        pass
    message = f'http: {text!r} is no address: write it as "127.0.0.1:8090"'
    raise SettingsError(message)


def _source(config: ServiceConfig, folder: Path) -> str:
    """Return the address of the source, or its path."""
    if is_address(config.source):
        if config.live:
            message = (
                f"must be false for the catalogue {config.source}: only the documents "
                f"of a folder are exported live, so give their folder as source, or "
                f"remove live"
            )
            raise SettingsError(message, setting="live")
        return config.source
    path = folder / config.source
    if os.path.isfile(path):  # noqa: PTH113 (False for what no system call takes)
        message = (
            f"must be a folder of files of documents, or the address of a Tiled "
            f"catalogue, not the file {path}: give its folder"
        )
        raise SettingsError(message, setting="source")
    meant = "" if os.path.lexists(path) else meant_address(config.source)
    if meant:  # else it would be made, and nothing would ever be there
        message = f"{config.source!r} is no folder: did you mean {meant} ?"
        raise SettingsError(message, setting="source")
    return str(path)


def _refuse_choices(path: Path, export: ConfigFile) -> None:
    """Raise a SettingsError if an export would leave runs out."""
    for name in CHOICES:
        if export.values.get(name, False) is not False:
            place = f"[exports.{export.export}] " if export.export else ""
            message = (
                f"{path}: {place}{name.replace('_', '-')} is not for a service, which "
                f"exports every run: remove it, or use `tiffin bulk`"
            )
            raise SettingsError(message)


def _settings(path: Path, name: str, export: ConfigFile) -> Settings:
    """Return the settings of an export; a SettingsError if any is wrong."""
    given = export.keywords()
    try:
        return Settings.of(given.pop("template"), **given)
    except TiffinError as error:
        message = f"{path}: {f'[exports.{name}] ' if name else ''}{error}"
        raise SettingsError(message) from error


def _check_live(path: Path, name: str, settings: Settings) -> None:
    """Raise a SettingsError if an export needs what only the end of a run tells."""
    try:
        settings.refuse_later_roots()
    except TemplateError as error:
        export = f"[exports.{name}]" if name else "the export"
        message = f"{path}: [service] live: must be false for {export}: {error}"
        raise SettingsError(message) from error


def _listeners(tables: Any, path: Path) -> tuple[Listen, ...]:
    if not isinstance(tables, list) or not all(isinstance(e, dict) for e in tables):
        message = f"{path}: [service]: listen must be tables [[service.listen]]"
        raise SettingsError(message)
    with errors_in(f"{path}: [[service.listen]]"):
        listeners = tuple(check_model(Listen, each) for each in tables)
        for each in listeners:
            check_listener(each.type, each.model_dump())
    return listeners

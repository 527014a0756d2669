"""The schema as keywords: for type checkers, signatures and docstrings."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, get_args, get_origin

from tiffin.settings.schema import Settings
from tiffin.settings.setting_types import (
    INTERNAL,
    LIVE,
    RESUME,
    Checksum,
    Compression,
    Existing,
    FileTime,
    Fsync,
    NamePolicy,
    OnError,
    OnFull,
    Option,
    Repeats,
    Type,
)

if TYPE_CHECKING:
    import os

    from tiffin.axes import AxesSetting
    from tiffin.corrections import Correction

__all__ = [
    "LIVE_DEFAULTS",
    "Keywords",
    "LiveKeywords",
    "description",
    "document_settings",
    "option_of",
    "resume_settings",
    "setting_names",
    "type_text",
]


class Keywords(TypedDict, total=False):
    """The keywords of `tiffin.export`, for type checkers.

    A test compares them with the schema.
    """

    directory: str | os.PathLike[str] | None
    fields: str | Iterable[str] | None
    streams: str | Iterable[str] | None
    existing: Existing
    dry_run: bool
    on_error: OnError
    dtype: Any
    corrections: Correction | Iterable[Correction]
    save: str | Iterable[str]
    catalog: Any
    frames: str | slice | Iterable[int] | None
    first: int
    repeats: Repeats
    workers: int | None
    memory: int | None
    colour: str | Iterable[str]
    axes: AxesSetting
    root_map: Mapping[str, str] | None
    allow_external: Iterable[str | os.PathLike[str]]
    handlers: Mapping[str, Callable[..., Any]] | None
    timezone: str | None
    name_policy: NamePolicy | None
    replacements: Mapping[str, str] | None
    compression: Compression | None
    level: int | None
    checksum: Checksum
    fsync: Fsync
    mode: int | str | None
    directory_mode: int | str | None
    follow_links: bool
    file_time: FileTime
    on_full: OnFull


class LiveKeywords(Keywords, total=False):
    """The keywords of `tiffin.ImageExporter`."""

    asset_timeout: float
    stop_timeout: float | None
    keep_reports: int | None


LIVE_DEFAULTS = {
    "on_error": "report",
    "asset_timeout": 20,
    "stop_timeout": 60,
    "keep_reports": 100,
}
"""Defaults of a live export that differ from those of a replay."""


def option_of(name: str) -> Option | None:
    """Return the shell option of a setting; None if it has none."""
    for mark in _marks(name):
        if isinstance(mark, Option):
            return replace(mark, name=mark.name or name.replace("_", "-"))
    return None


def setting_names(*, live: bool) -> list[str]:
    """Return the settings that a user may give, without the template."""
    hidden = {INTERNAL} if live else {INTERNAL, LIVE}
    return [
        name
        for name in Settings.model_fields
        if name != "template" and hidden.isdisjoint(_marks(name))
    ]


def resume_settings() -> list[str]:
    """Return the settings that must be the same for an export to be resumed."""
    return [name for name in Settings.model_fields if RESUME in _marks(name)]


def _marks(name: str) -> list[Any]:
    """Return the marks of a setting: `Option`, `Type`, `LIVE` and so on."""
    return [
        mark
        for mark in Settings.model_fields[name].metadata
        if isinstance(mark, (str, Option, Type))
    ]


Function = TypeVar("Function", bound=Callable[..., Any])


def document_settings(*, live: bool) -> Callable[[Function], Function]:
    """Show the settings in a signature and a docstring, in place of ``**settings``."""

    def decorate(function: Function) -> Function:
        target: Any = function
        signed: Any = target.__init__ if inspect.isclass(target) else target
        own = inspect.signature(signed)
        names = setting_names(live=live)
        explicit = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=_default(name, live=live),
                annotation=LiveKeywords.__annotations__[name],
            )
            for name in names
        ]
        signed.__signature__ = own.replace(parameters=[*explicit, *added])
        target.__doc__ = inspect.cleandoc(target.__doc__).replace(
            "**settings\n    See `tiffin.settings`.", "\n".join(map(_row, names))
        )
        return function

    return decorate


def _default(name: str, *, live: bool) -> Any:
    default = Settings.model_fields[name].default
    return LIVE_DEFAULTS.get(name, default) if live else default


def _row(name: str) -> str:
    text = textwrap.fill(description(name), 80)
    return f"{name} : {type_text(name)}\n{textwrap.indent(text, '    ')}"


def description(name: str) -> str:
    """Return what a setting does, on one line."""
    return " ".join((Settings.model_fields[name].description or "").split())


def type_text(name: str) -> str:
    """Return the type of a setting as the manual writes it."""
    for mark in _marks(name):
        if isinstance(mark, Type):
            return mark.text
    annotation: Any = Settings.model_fields[name].annotation
    kinds = get_args(annotation)
    optional = NoneType in kinds
    kind: Any = kinds[0] if optional else annotation
    if get_origin(kind) is Literal:
        text = "{" + ", ".join(f'"{choice}"' for choice in get_args(kind)) + "}"
    else:
        text = kind.__name__
    return text + (", optional" if optional else "")

"""The schema as keywords: for type checkers, signatures and docstrings."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, get_args, get_origin

from tiffin.settings import setting_types
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
    Stretch,
)
from tiffin.settings.validation import no_setting

if TYPE_CHECKING:
    import os

    from numpy.typing import DTypeLike
    from pydantic import BaseModel

    from tiffin.corrections import Correction


class Keywords(TypedDict, total=False):
    """The keywords of `tiffin.export`, for type checkers.

    The template and the directory can also be given by position. A test compares the
    keywords with the schema.
    """

    fields: str | Iterable[str] | None
    streams: str | Iterable[str] | None
    existing: Existing
    dry_run: bool
    on_error: OnError
    dtype: DTypeLike | None
    corrections: Correction | Iterable[Correction]
    save: str | Iterable[str]
    catalog: Any
    frames: str | slice | Iterable[int] | None
    first: int
    repeats: Repeats
    workers: int | None
    memory: int | None
    colour: str | Iterable[str]
    axes: str | Sequence[str] | Mapping[str, Any] | None
    root_map: Mapping[str, str] | None
    allow_external: Iterable[str | os.PathLike[str]]
    handlers: Mapping[str, Callable[..., Any]] | None
    timezone: str | None
    name_policy: NamePolicy | None
    replacements: Mapping[str, str] | None
    stack: str | int | None
    bigtiff: bool
    format: str
    profile: str
    metadata: Mapping[str, str | None] | None
    sidecars: str | Iterable[str]
    report: bool
    compression: Compression | None
    level: int | None
    stretch: Stretch | None
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


class AllKeywords(LiveKeywords, total=False):
    """With what can also be given by position."""

    directory: str | os.PathLike[str] | None


LIVE_DEFAULTS = {
    "on_error": "report",
    "asset_timeout": 20,
    "stop_timeout": 60,
    "keep_reports": 100,
}
"""Defaults of a live export that differ from those of a replay."""


def option_of(name: str, model: type[BaseModel] = Settings) -> Option | None:
    """Return the shell option of a setting; None if it has none."""
    for mark in model.model_fields[name].metadata:
        if isinstance(mark, Option):
            return replace(mark, name=mark.name or name.replace("_", "-"))
    return None


def description(name: str, model: type[BaseModel] = Settings) -> str:
    """Return what a setting does, on one line."""
    return " ".join((model.model_fields[name].description or "").split())


def setting_names(*, live: bool) -> list[str]:
    """Return the settings that a user may give, without the template."""
    hidden = {INTERNAL} if live else {INTERNAL, LIVE}
    return [
        name
        for name, field in Settings.model_fields.items()
        if name != "template" and hidden.isdisjoint(field.metadata)
    ]


def resume_settings() -> list[str]:
    """Return the settings that must be the same for an export to be resumed."""
    return [n for n, field in Settings.model_fields.items() if RESUME in field.metadata]


def refuse_unknown(given: Iterable[str], *others: str) -> None:
    """Raise if a keyword is neither a setting nor one of the others.

    Raises
    ------
    SettingsError
        The message names the most similar keywords.
    """
    names = [*setting_names(live=True), *others]
    for name in given:
        if name not in names:
            raise no_setting(name, names, "setting")


Function = TypeVar("Function", bound=Callable[..., Any])


def document_settings(
    *, live: bool, without: Sequence[str] = (), **defaults: Any
) -> Callable[[Function], Function]:
    """Show the settings in a signature and a docstring, in place of ``**settings``.

    Some may have other `defaults` than the schema. The types are in the docstring only:
    with them, nobody can read the signature.
    """

    def decorate(function: Function) -> Function:
        target: Any = function
        signed: Any = target.__init__ if inspect.isclass(target) else target
        own = inspect.signature(signed)
        names = [name for name in setting_names(live=live) if name not in without]
        explicit = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in own.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name, _default(name, live=live)),
            )
            for name in names
            if name not in own.parameters
        ]
        signed.__signature__ = own.replace(parameters=[*explicit, *added])
        texts = {name: _row(name) for name in names if name in own.parameters}
        texts["**settings"] = "\n".join(
            _row(name) for name in names if name not in texts
        )
        doc = inspect.cleandoc(target.__doc__ or "")
        for name, text in texts.items():
            doc = doc.replace(f"{name}\n    See `tiffin.settings`.", text)
        target.__doc__ = doc
        return function

    return decorate


def _default(name: str, *, live: bool) -> Any:
    default = Settings.model_fields[name].default
    return LIVE_DEFAULTS.get(name, default) if live else default


def _row(name: str) -> str:
    text = textwrap.fill(description(name), 80)
    return f"{name} : {type_text(name)}\n{textwrap.indent(text, '    ')}"


def type_text(name: str) -> str:
    """Return the type of a setting as the manual writes it."""
    hint: Any = AllKeywords.__annotations__[name]
    text: str = hint.__forward_arg__
    for alias in re.findall(r"\w+", text):
        kind = getattr(setting_types, alias, None)
        if get_origin(kind) is Literal:
            choices = ", ".join(f'"{choice}"' for choice in get_args(kind))
            text = text.replace(alias, f"{{{choices}}}")
    return text.replace(" | None", ", optional").replace(" | ", " or ")

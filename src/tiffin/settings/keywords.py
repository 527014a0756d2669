"""The schema as keywords: for type checkers, signatures and docstrings."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, get_args, get_origin

from tiffin.settings.marks import INTERNAL, LIVE, RESUME, Option, Type
from tiffin.settings.schema import (
    Checksum,
    Compression,
    Existing,
    FileTime,
    Fsync,
    NamePolicy,
    OnError,
    OnFull,
    Repeats,
    Settings,
)

if TYPE_CHECKING:
    import os

    from tiffin.axes import AxesSetting
    from tiffin.corrections import Correction

__all__ = ["Keywords", "LiveKeywords", "documented", "keywords_of", "option_of"]


class Keywords(TypedDict, total=False):
    """The keywords of `tiffin.export`, for type checkers; a test compares them."""

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
"""Where a live export differs from a replay."""


def marks(name: str) -> tuple[Any, ...]:
    """Return what a setting is marked with: `Option`, `Type`, `LIVE` and so on."""
    return tuple(Settings.model_fields[name].metadata)


def option_of(name: str) -> Option | None:
    """Return how the shell writes a setting; None if it has no option."""
    for mark in marks(name):
        if isinstance(mark, Option):
            return replace(mark, name=mark.name or name.replace("_", "-"))
    return None


def keywords_of(*, live: bool) -> list[str]:
    """Return the settings that a user may give, without the template."""
    hidden = {INTERNAL} if live else {INTERNAL, LIVE}
    return [
        name
        for name in Settings.model_fields
        if name != "template" and not any(mark in hidden for mark in _texts(name))
    ]


def resumed() -> list[str]:
    """Return the settings that must be the same for an export to be resumed."""
    return [name for name in Settings.model_fields if RESUME in _texts(name)]


def _texts(name: str) -> list[str]:
    return [mark for mark in marks(name) if isinstance(mark, str)]


Documented = TypeVar("Documented", bound=Callable[..., Any])


def documented(*, live: bool) -> Callable[[Documented], Documented]:
    """Show the settings in a signature and a docstring, in place of ``**settings``."""

    def decorate(function: Documented) -> Documented:
        target: Any = function
        signed: Any = target.__init__ if inspect.isclass(target) else target
        own = inspect.signature(signed)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shown = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=_default(name, live=live),
                annotation=LiveKeywords.__annotations__[name],
            )
            for name in keywords_of(live=live)
        ]
        signed.__signature__ = own.replace(parameters=[*kept, *shown])
        rows = "\n".join(map(_row, keywords_of(live=live)))
        target.__doc__ = inspect.cleandoc(target.__doc__).replace(
            "**settings\n    See `tiffin.settings`.", rows
        )
        return function

    return decorate


def _default(name: str, *, live: bool) -> Any:
    default = Settings.model_fields[name].default
    return LIVE_DEFAULTS.get(name, default) if live else default


def _row(name: str) -> str:
    text = textwrap.fill(Settings.model_fields[name].description or "", 80)
    return f"{name} : {type_text(name)}\n{textwrap.indent(text, '    ')}"


def type_text(name: str) -> str:
    """Return the type of a setting as the manual writes it."""
    written = [mark.text for mark in marks(name) if isinstance(mark, Type)]
    if written:
        return written[0]
    annotation: Any = Settings.model_fields[name].annotation
    optional = NoneType in get_args(annotation)
    inner = [each for each in get_args(annotation) if each is not NoneType]
    kind: Any = inner[0] if optional else annotation
    if get_origin(kind) is Literal:
        text = "{" + ", ".join(f'"{choice}"' for choice in get_args(kind)) + "}"
    else:
        text = kind.__name__
    return text + (", optional" if optional else "")

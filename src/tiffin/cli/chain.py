"""Corrections as a user writes them, made into those of `tiffin.corrections`.

Options of the shell and tables of a file become the same: a kind, and its settings by
the names that they have in Python. What a class takes is read off its fields.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from tiffin import corrections
from tiffin.errors import SettingsError, did_you_mean
from tiffin.settings import check_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.corrections import Correction

__all__ = ["KINDS", "Asked", "correction", "settings_of"]

KINDS: dict[str, type[Any]] = {
    "dark": corrections.DarkSubtract,
    "flat": corrections.FlatField,
    "mask": corrections.Mask,
    "threshold": corrections.Threshold,
    "crop": corrections.Crop,
    "bin": corrections.Bin,
    "rotate": corrections.Rotate,
    "flip": corrections.Flip,
    "scale": corrections.Scale,
    "cast": corrections.Cast,
    "average": corrections.Average,
    "sum": corrections.Sum,
}
"""A line for each correction is all that it takes to be known to the shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A correction that is asked for.

    Attributes
    ----------
    where : str
        What to call it in a message: the option, or the place in the file.
    kind : object
        As it was written; one of `KINDS`, if all is well.
    settings : mapping
        Name → value, as the shell or a file gives it.
    """

    where: str
    kind: Any
    settings: Mapping[str, Any]


def correction(asked: Asked, catalog_of: Callable[[str], Any]) -> Correction:
    """Make a correction of what was asked for.

    Parameters
    ----------
    asked : Asked
    catalog_of : callable
        Opens a catalogue that is named.

    Raises
    ------
    SettingsError
        Saying where, what was got, and what is wanted.

    Examples
    --------
    >>> asked = Asked(where="--crop", kind="crop", settings={"rows": "10:"})
    >>> print(correction(asked, str))
    Crop(rows=(10, None), columns=None)
    """
    read: dict[str, Callable[[str, Any], Any]] = {
        **READ,
        "catalog": lambda name, value: catalog_of(_text(name, value)),
    }
    try:
        settings_of(asked.kind)
        settings = {
            name: read.get(name, _as_it_is)(name, value)
            for name, value in asked.settings.items()
        }
        _check(asked, settings)
        made: Correction = KINDS[asked.kind](**settings)
    except (SettingsError, TypeError, ValueError) as error:
        message = f"{asked.where}: {error}"
        raise SettingsError(message) from error
    return made


def settings_of(kind: Any) -> Mapping[str, Any]:
    """Return what a kind of correction takes: name → annotation.

    Raises
    ------
    SettingsError
        If there is no such kind.

    Examples
    --------
    >>> sorted(settings_of("cast"))
    ['dtype', 'overflow', 'rounding']
    """
    if not isinstance(kind, str) or kind not in KINDS:
        said = "kind is missing" if kind is None else f"kind={kind!r} is no correction"
        raise SettingsError(said + did_you_mean(str(kind or ""), KINDS))
    hints = get_type_hints(KINDS[kind])
    return {field.name: hints[field.name] for field in dataclasses.fields(KINDS[kind])}


def _check(asked: Asked, settings: Mapping[str, Any]) -> None:
    """Check the names and types of settings."""
    hints = settings_of(asked.kind)
    required = [
        field.name
        for field in dataclasses.fields(KINDS[asked.kind])
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    check_table(settings, hints, required)
    for name, value in settings.items():
        if isinstance(value, str) and not value:
            message = f"{name} is empty: give a value, or leave it out"
            raise SettingsError(message)


def _as_it_is(_name: str, value: Any) -> Any:
    return value


def _of_type(name: str, value: Any, hint: Any) -> Any:
    check_table({name: value}, {name: hint})
    return value


def _text(name: str, value: Any) -> str:
    return str(_of_type(name, value, str))


def _path(_name: str, value: Any) -> Any:
    # A shell expands no ~ behind a colon, and nobody does in a file.
    if not isinstance(value, str):
        return value
    return os.path.expanduser(value)  # noqa: PTH111 (a user unknown here is no error)


def _run(_name: str, value: Any) -> Any:
    """Read a uid, or a table of what the start document of a run holds."""
    if not isinstance(value, dict):
        return value
    how = {name: value[name] for name in ("within", "later", "order") if name in value}
    _of_type("later", how.get("later", False), bool)
    held = {name: value[name] for name in value if name not in how}
    return corrections.Nearest(held, **how)


def _finite(name: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        message = f"{name} is a finite number, not {value!r}"
        raise SettingsError(message)
    return value


def _span(name: str, value: Any) -> Any:
    """Read ``FIRST:LAST``, of which either may be left out; other values stay."""
    if not isinstance(value, str):
        return value
    first, colon, last = value.partition(":")
    try:
        ends = tuple(int(end) if end else None for end in (first, last))
    except ValueError:
        colon = ""
    if not colon:
        message = f"{name} is FIRST:LAST, such as 100:900 or 100:, not {value!r}"
        raise SettingsError(message)
    return ends


def _dtype(_name: str, value: Any) -> Any:
    return corrections.Cast(value).dtype


READ: dict[str, Callable[[str, Any], Any]] = {
    "file": _path,
    "dark": _path,
    "run": _run,
    "dtype": _dtype,
    "constant": _finite,
    "rows": _span,
    "columns": _span,
}
"""Settings whose value a user may write otherwise than Python has it."""

"""Corrections as tables of settings, from the shell or from a configuration file.

A table has the kind of a correction, and the arguments of its class.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import BeforeValidator

from tiffin import corrections
from tiffin.errors import SettingsError, did_you_mean
from tiffin.settings import check_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.corrections import Correction

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
"""Kind → class. A new correction needs its line here, and nothing else."""


def _nearest(value: Any) -> Any:
    """Read a run: its uid, or a table of values of its start document."""
    if not isinstance(value, dict):
        return value
    keywords = {k: value[k] for k in ("within", "order") if k in value}
    metadata = {key: value[key] for key in value if key not in keywords}
    return corrections.Nearest(metadata, **keywords)


def _span(value: Any) -> Any:
    """Read ``FIRST:LAST``, either of which may be left out; other values stay."""
    if not isinstance(value, str):
        return value
    try:
        first, last = (int(end) if end else None for end in value.split(":"))
    except ValueError:
        message = f"must be FIRST:LAST, such as 100:900 or 100:, not {value!r}"
        raise ValueError(message) from None
    return first, last


def _dtype(value: Any) -> Any:
    return corrections.Cast(value).dtype


TYPES: dict[str, Any] = {
    "catalog": str,
    "file": str,
    "run": Annotated[Any, BeforeValidator(_nearest)],
    "dtype": Annotated[Any, BeforeValidator(_dtype)],
    "rows": Annotated[Any, BeforeValidator(_span)],
    "columns": Annotated[Any, BeforeValidator(_span)],
}
"""Settings that users write otherwise than Python; all others are as in the class."""


def setting_types(kind: Any) -> Mapping[str, Any]:
    """Return the settings of a kind of correction, with their types.

    Examples
    --------
    >>> sorted(setting_types("cast"))
    ['dtype', 'overflow', 'rounding']
    """
    if not isinstance(kind, str) or kind not in KINDS:
        hint = did_you_mean(str(kind or ""), KINDS)
        got = "kind is missing" if kind is None else f"there is no correction {kind!r}"
        raise SettingsError(got + hint)
    hints = get_type_hints(KINDS[kind]) | TYPES
    return {name: hints[name] for name in inspect.signature(KINDS[kind]).parameters}


@dataclass(frozen=True, slots=True)
class CorrectionTable:
    """A correction as a user writes it; nothing is checked yet."""

    where: str
    """The option, or the place in the file: how messages begin."""
    kind: Any
    """One of `KINDS`."""
    settings: Mapping[str, Any]

    def make(self, open_catalog: Callable[[str], Any]) -> Correction:
        """Return the correction; `open_catalog` opens an address or a path.

        Examples
        --------
        >>> print(CorrectionTable("--crop", "crop", {"rows": "10:"}).make(str))
        Crop(rows=(10, None), columns=None)
        """
        try:
            types, kind = setting_types(self.kind), KINDS[self.kind]
            parameters = inspect.signature(kind).parameters.values()
            required = [p.name for p in parameters if p.default is p.empty]
            values = check_table(self.settings, types, required)
            if "catalog" in values:
                values["catalog"] = open_catalog(values["catalog"])
            made: Correction = kind(**values)
        except (SettingsError, TypeError, ValueError) as error:
            message = f"{self.where}: {error}"
            raise SettingsError(message) from error
        return made

"""Return what each part of a template means, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError
from tiffin.template.grammar import Field, Part, Segment
from tiffin.template.lookup import nowhere
from tiffin.template.text import step_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.template.grammar import Reference
    from tiffin.template.style import Style

__all__ = ["explain"]

_PLAIN = {
    "stream": "the stream's name",
    "field": "the image field's name",
    "i": "the image's index in its event, from 0",
    "frame": "the image's running number in run, stream and field, from 0",
    "run": "the first 8 characters of the run's uid",
    "time": "the frame's own time",
    "kind": "light, dark, or sub where a dark was subtracted",
    "motors": "the scanned motors, each with its value and unit",
}
_DOCUMENTS = {
    "start": "the start document",
    "stop": "the stop document (known afterwards only)",
    "descriptor": "the descriptor",
    "event": "the event",
    "config": "the detectors' configuration",
    "baseline": "the first reading of the baseline stream",
    "motors": "the scanned motors",
}
_TYPES = {
    "": "",
    "d": "a whole number",
    "f": "a number with decimals",
    "F": "a number with decimals",
    "e": "a number with an exponent",
    "E": "a number with an exponent",
    "g": "a number, as short as can be",
    "G": "a number, as short as can be",
    "s": "text",
    "x": "a hexadecimal number",
    "X": "a hexadecimal number",
    "o": "an octal number",
    "b": "a binary number",
    "n": "a number",
    "%": "per cent",
}


def explain(
    parts: tuple[Part, ...], style: Style, names: Mapping[str, Any] | None
) -> list[tuple[str, str, str]]:
    """Return (part, meaning, example) for each part."""
    told: list[tuple[str, str, str]] = []
    for part in parts:
        if isinstance(part, Segment):
            told.append(
                ("<", "left out, up to '>', where a value in it is missing", "")
            )
            told += [_told(inner, style, names, optional=True) for inner in part.parts]
            told.append((">", "the end of what may be left out", ""))
        else:
            told.append(_told(part, style, names))
    return told


def _told(
    part: str | Field,
    style: Style,
    names: Mapping[str, Any] | None,
    *,
    optional: bool = False,
) -> tuple[str, str, str]:
    if isinstance(part, Field):
        return str(part), _meaning(part, style), _example(part, style, names, optional)
    folders = ", folders and all" if "/" in part else ""
    return part, f"stands as it is{folders}", part


def _meaning(field: Field, style: Style) -> str:
    said = ", or else ".join(_of(reference) for reference in field.references)
    if field.is_time:
        zone = style.timezone or "this machine's zone"
        said += f"; as a time, {field.specification!r}, in {zone}"
    elif field.specification:
        kind = _TYPES[field.type]
        said += f"; formatted {field.specification!r}" + (f", {kind}" if kind else "")
    if field.default is not None:
        said += f"; {field.default!r} where there is none"
    return said


def _of(reference: Reference) -> str:
    if not reference.keys:
        if reference.root in _PLAIN:
            return _PLAIN[reference.root]
        axis = reference.root[1:]
        return f"the image's index along leading axis {axis} of its event, from 0"
    where = _DOCUMENTS[reference.root]
    return " in ".join([repr(key) for key in reversed(reference.keys)]) + f" of {where}"


def _example(
    field: Field, style: Style, names: Mapping[str, Any] | None, optional: bool
) -> str:
    if names is None:
        return ""
    try:
        text = step_of(field, style)(names)
    except TemplateError as error:
        return f"error: {error}"
    if text is None and not optional:
        return f"error: {nowhere(field, names)}"
    return "(no value)" if text is None else text

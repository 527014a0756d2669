"""Describe each part of a template in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError
from tiffin.template.grammar import AXES, Field, Part, Segment
from tiffin.template.lookup import missing_key_error
from tiffin.template.text import renderer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.template.grammar import Reference
    from tiffin.template.style import Style

_VALUES = {
    "stream": "the stream's name",
    "field": "the image field's name",
    "i": "the image's index in its event, from 0",
    "frame": "the image's running number in run, stream and field, from 0",
    "run": "the first 8 characters of the run's uid",
    "time": "the frame's own time",
    "kind": "light, dark, or sub where a dark was subtracted",
    "motors": "the scanned motors, each with its value and unit",
    **{
        root: f"the image's index along leading axis {axis} of its event, from 0"
        for axis, root in enumerate(AXES)
    },
}
_DOCUMENTS = {
    "start": "the start document",
    "stop": "the stop document (known only after the run)",
    "descriptor": "the descriptor",
    "event": "the event",
    "config": "the detectors' configuration",
    "baseline": "the first reading of the baseline stream",
    "motors": "the scanned motors",
}
_TYPES = {
    "d": "a whole number",
    "f": "a number with decimals",
    "e": "a number with an exponent",
    "g": "a number, as short as possible",
    "s": "text",
    "x": "a hexadecimal number",
    "o": "an octal number",
    "b": "a binary number",
    "n": "a number",
    "%": "per cent",
}


def explain(
    parts: tuple[Part, ...], style: Style, names: Mapping[str, Any] | None
) -> list[tuple[str, str, str]]:
    """Return (part, meaning, example) for each part."""
    rows: list[tuple[str, str, str]] = []
    for part in parts:
        if isinstance(part, Segment):
            rows.append(("<", "left out, up to '>', if a value in it is missing", ""))
            rows += [_row(inner, style, names, optional=True) for inner in part.parts]
            rows.append((">", "the end of what may be left out", ""))
        else:
            rows.append(_row(part, style, names))
    return rows


def _row(
    part: str | Field,
    style: Style,
    names: Mapping[str, Any] | None,
    *,
    optional: bool = False,
) -> tuple[str, str, str]:
    if isinstance(part, Field):
        return str(part), _meaning(part, style), _example(part, style, names, optional)
    return part, "literal text" + (" with folders" if "/" in part else ""), part


def _meaning(field: Field, style: Style) -> str:
    text = ", or else ".join(_value(reference) for reference in field.references)
    if field.is_time:
        zone = style.timezone or "this machine's zone"
        text += f"; as a time, {field.specification!r}, in {zone}"
    elif field.specification:
        kind = _TYPES.get(field.type.lower(), "")
        text += f"; formatted {field.specification!r}" + (f", {kind}" if kind else "")
    if field.default is not None:
        text += f"; {field.default!r} where there is none"
    return text


def _value(reference: Reference) -> str:
    if not reference.keys:
        return _VALUES[reference.root]
    keys = " in ".join(map(repr, reversed(reference.keys)))
    return f"{keys} of {_DOCUMENTS[reference.root]}"


def _example(
    field: Field, style: Style, names: Mapping[str, Any] | None, optional: bool
) -> str:
    if names is None:
        return ""
    try:
        text = renderer_of(field, style)(names)
    except TemplateError as error:
        return f"error: {error}"
    if text is None and not optional:
        return f"error: {missing_key_error(field, names)}"
    return "(no value)" if text is None else text

"""Check a template against documents, before there is any frame to name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingKeyError, TemplateError, did_you_mean
from tiffin.template.grammar import Field, Part, Segment, fields_of
from tiffin.template.lookup import MISSING, find, motor_names, nowhere
from tiffin.template.text import step_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiffin.template.grammar import Reference
    from tiffin.template.style import Style

__all__ = ["check_descriptor", "check_start", "indistinct"]

OF_THE_START = frozenset({"start", "run"})
OF_THE_DESCRIPTOR = frozenset({"start", "run", "descriptor", "config"})

EVENT_KEYS = ("seq_num", "time", "uid", "data", "timestamps", "filled", "descriptor")
"""What an event document holds."""

OF_EACH_EVENT = frozenset({"event", "time", "frame", "motors"})
"""Roots that can tell the events of a stream apart."""

OF_EACH_IMAGE = frozenset({"i", "frame", *(f"i{axis}" for axis in range(6))})
"""Roots that can tell the images of an event apart."""

TEXT_TYPES = "s"
NUMBER_TYPES = "bcdeEfFgGnoxX%"


def check_start(
    parts: tuple[Part, ...], start: Mapping[str, Any], style: Style
) -> None:
    """Raise what every name of a run would fail with."""
    where = f"run {str(start.get('uid', '?'))[:8]}"
    for field, optional in _all(parts):
        _check_values(field, {"start": start}, OF_THE_START, style, optional, where)
        if field.references[-1].root == "motors" and _must_be(field, optional):
            _check_motors(field, start, where)


def check_descriptor(
    parts: tuple[Part, ...],
    descriptor: Mapping[str, Any],
    start: Mapping[str, Any],
    style: Style,
) -> None:
    """Raise what every name of a stream would fail with."""
    names = {"start": start, "descriptor": descriptor}
    where = f"the descriptor of stream {descriptor.get('name')!r}"
    for field, optional in _all(parts):
        if any(r.root in ("descriptor", "config") for r in field.references):
            shown = None if field.references[-1].root == "config" else where
            _check_values(field, names, OF_THE_DESCRIPTOR, style, optional, shown)
        known = [r for r in field.references if _announced(r, descriptor)]
        of_events = all(r.root == "event" for r in field.references)
        if of_events and not known and _must_be(field, optional):
            raise _not_announced(field, descriptor)
        for reference in known:
            _check_format(field, reference, descriptor)


def indistinct(
    parts_of: Iterable[Field], *, events: int | None, images: int, fields: int
) -> str | None:
    """Tell which field a template lacks to tell a run's frames apart.

    Parameters
    ----------
    parts_of : iterable of Field
        The template's.
    events : int or None
        How many a stream will have, where that is known.
    images : int
        How many an event announces for a field.
    fields : int
        How many fields of a stream are exported.

    Returns
    -------
    str or None
        What would mend it, such as ``"{i}"``; None if names can differ.

    Examples
    --------
    >>> from tiffin.template.grammar import parse
    >>> fields = fields_of(parse("{start.scan_id}.tif"))
    >>> indistinct(fields, events=3, images=1, fields=1)
    '{event.seq_num}'
    >>> indistinct(fields, events=1, images=1, fields=1)
    """
    roots = {reference.root for field in parts_of for reference in field.references}
    if events is not None and events > 1 and not roots & OF_EACH_EVENT:
        return "{event.seq_num}"
    if images > 1 and not roots & OF_EACH_IMAGE:
        return "{i}"
    if fields > 1 and "field" not in roots:
        return "{field}"
    return None


def _all(parts: tuple[Part, ...]) -> Iterable[tuple[Field, bool]]:
    """Give each field, and whether it may be without a value."""
    for part in parts:
        if isinstance(part, Segment):
            yield from ((field, True) for field in fields_of(part.parts))
        elif isinstance(part, Field):
            yield part, False


def _must_be(field: Field, optional: bool) -> bool:
    return not optional and field.default is None


def _check_values(
    field: Field,
    names: Mapping[str, Any],
    roots: frozenset[str],
    style: Style,
    optional: bool,
    where: str | None,
) -> None:
    """Format what can be known by now; a value that is there must fit its format."""
    settled = all(r.root in roots for r in field.references)
    there = any(
        r.root in roots and find(r, names) is not MISSING for r in field.references
    )
    if not settled and not there:
        return
    if step_of(field, style)(names) is None and settled and _must_be(field, optional):
        raise nowhere(field, names, where)


def _check_motors(field: Field, start: Mapping[str, Any], where: str) -> None:
    if not motor_names(start):
        message = (
            f"template field '{field}': {where} names no scanned motor in its hints; "
            f"a default, as in '{{motors|}}', or '<…>' around it leaves it out"
        )
        raise MissingKeyError(message, column=field.column)


def _announced(reference: Reference, descriptor: Mapping[str, Any]) -> bool:
    """Whether events of a descriptor will have what a reference asks for."""
    if reference.root != "event":
        return False
    first, *rest = reference.keys
    if first in ("data", "timestamps", "filled") and rest:
        return rest[0] in (descriptor.get("data_keys") or {})
    return first in EVENT_KEYS


def _not_announced(field: Field, descriptor: Mapping[str, Any]) -> MissingKeyError:
    keys = field.references[-1].keys
    if keys[0] in EVENT_KEYS and len(keys) > 1:
        wrong, choices = keys[1], tuple(descriptor.get("data_keys") or {})
    else:
        wrong, choices = keys[0], EVENT_KEYS
    message = (
        f"template field '{field}' is not in the events of stream "
        f"{descriptor.get('name')!r}" + did_you_mean(wrong, choices)
    )
    return MissingKeyError(message, column=field.column)


def _check_format(
    field: Field, reference: Reference, descriptor: Mapping[str, Any]
) -> None:
    """Refuse a number's format for a text, and the reverse; an array as a whole."""
    keys = reference.keys
    if keys[0] != "data" or len(keys) < 2:
        return
    data_key = (descriptor.get("data_keys") or {}).get(keys[1]) or {}
    dtype = data_key.get("dtype")
    if dtype == "array" and len(keys) == 2 and data_key.get("shape") not in ([], ()):
        message = (
            f"template field '{field}' is an array of shape "
            f"{list(data_key.get('shape') or ())}: choose one item of it, as in "
            f"'{{{reference}[0]}}'"
        )
        raise TemplateError(message, column=field.column)
    is_text, is_number = dtype == "string", dtype in ("number", "integer")
    wrong = (is_text and field.type and field.type in NUMBER_TYPES) or (
        is_number and field.type and field.type in TEXT_TYPES
    )
    if wrong and len(keys) == 2:
        message = (
            f"template field '{field}': {keys[1]!r} is a {dtype}, and "
            f"'{field.specification}' is not for a {dtype}"
        )
        raise TemplateError(message, column=field.column)

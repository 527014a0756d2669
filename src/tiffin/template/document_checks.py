"""Check a template against documents before there is any frame to name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingKeyError, TemplateError
from tiffin.template.grammar import AXES, Field, Part, Segment, fields_of
from tiffin.template.items import MISSING, follow, item, plain, texts_in
from tiffin.template.lookup import (
    AmbiguousKey,
    find,
    missing_key_error,
    motor_names,
    run_label,
)
from tiffin.template.messages import nearest, shortened, shown
from tiffin.template.text import renderer_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.template.grammar import Reference
    from tiffin.template.style import Style

OF_START = frozenset({"start", "run"})
OF_DESCRIPTOR = frozenset({"start", "run", "descriptor", "config"})

EVENT_KEYS = ("seq_num", "time", "uid", "data", "timestamps", "filled", "descriptor")
"""The keys of an event document."""

DATA_KEYS = ("data", "timestamps", "filled")
"""The keys of an event that have an item for each data key."""


def check_start(
    parts: tuple[Part, ...], start: Any, style: Style, where: str | None = None
) -> None:
    """Raise the error that all names of a run would raise.

    `where` is how messages refer to the start document.
    """
    where = where or run_label(start)
    for field, must_have_value in _fields_of(parts):
        _check_values(field, {"start": start}, OF_START, style, must_have_value, where)
        needs_motors = must_have_value and field.references[-1].root == "motors"
        if needs_motors and not motor_names(start):
            message = (
                f"{_shown(field)}: {where} names no scanned motor in its hints; "
                f"a default, as in '{{motors|}}', or '<…>' around it makes it optional"
            )
            raise MissingKeyError(message, column=field.column)


def check_descriptor(
    parts: tuple[Part, ...],
    descriptor: Any,
    start: Any,
    style: Style,
    image: str | None = None,
) -> None:
    """Raise the error that all names of a stream would raise.

    Without the field of an `image`, a configuration key of several devices is not
    checked: nobody knows which device is meant.
    """
    names = {"start": start, "descriptor": descriptor, "field": image}
    stream = f"stream {shown(item(descriptor, 'name'))}"
    for field, must_have_value in _fields_of(parts):
        roots = {reference.root for reference in field.references}
        ambiguous = image is None and any(
            type(find(reference, names)) is AmbiguousKey
            for reference in field.references
        )
        if roots & {"descriptor", "config"} and not ambiguous:
            by_device = field.references[-1].root == "config"
            where = None if by_device else f"the descriptor of {stream}"
            _check_values(field, names, OF_DESCRIPTOR, style, must_have_value, where)
        declared = [r for r in field.references if _is_declared(r, descriptor)]
        if roots == {"event"} and not declared and must_have_value:
            raise _not_declared(field, descriptor, stream)
        for reference in declared:
            _check_format(field, reference, descriptor)


def field_to_add(
    fields: Iterable[Field],
    *,
    num_points: Any,
    images: int,
    image_fields: int,
    streams: int,
) -> str | None:
    """Return the field that a template needs to give each image its own name, or None.

    `num_points` is from the start document: anything but the whole number 1 means
    several events. `images` counts those of one event, `image_fields` and `streams`
    what is exported of a run.

    Examples
    --------
    >>> from tiffin import Template
    >>> fields = Template("{start.scan_id}.tif").fields
    >>> field_to_add(fields, num_points=3, images=1, image_fields=1, streams=1)
    '{event.seq_num}'
    """
    references = [reference for field in fields for reference in field.references]
    roots = {reference.root for reference in references} - {"event"}
    keys = {reference.keys[0] for reference in references if reference.root == "event"}
    keys -= {"descriptor", "filled"}  # the same in all events
    points = plain(num_points)
    if (type(points) is not int or points != 1) and not (
        keys or roots & {"time", "frame", "motors"}
    ):
        return "{event.seq_num}"
    if images > 1 and not roots & {"i", "frame", *AXES}:
        return "{i}"
    # Each device has a configuration of its own.
    if image_fields > 1 and not roots & {"field", "config"}:
        return "{field}"
    of_stream = {"stream", "descriptor", "config", "time", "motors"}
    if streams > 1 and not (keys - {"seq_num"} or roots & of_stream):
        return "{stream}"
    return None


def _is_declared(reference: Reference, descriptor: Any) -> bool:
    """Return whether the events of a descriptor have what a reference asks for."""
    if reference.root != "event":
        return False
    first, *rest = reference.keys
    if first in DATA_KEYS and rest:
        return rest[0] in texts_in(item(descriptor, "data_keys"))
    return first in EVENT_KEYS


def _fields_of(parts: tuple[Part, ...]) -> Iterable[tuple[Field, bool]]:
    """Return each field, and whether it must have a value."""
    for part in parts:
        if isinstance(part, Segment):
            yield from ((field, False) for field in fields_of(part.parts))
        elif isinstance(part, Field):
            yield part, part.default is None


def _check_values(
    field: Field,
    names: dict[str, Any],
    roots: frozenset[str],
    style: Style,
    must_have_value: bool,
    where: str | None,
) -> None:
    """Format the values of some roots; raise if one is missing or has a wrong type."""
    references = [r for r in field.references if r.root in roots]
    complete = len(references) == len(field.references)
    if not complete and all(find(r, names) is MISSING for r in references):
        return
    text = renderer_of(field, style)(names)
    if text is None and complete and must_have_value:
        raise missing_key_error(field, names, where)


def _not_declared(field: Field, descriptor: Any, stream: str) -> MissingKeyError:
    keys = field.references[-1].keys
    if keys[0] in EVENT_KEYS and len(keys) > 1:
        suggestion = nearest(keys[1], item(descriptor, "data_keys"))
    elif keys[0] in texts_in(item(descriptor, "data_keys")):
        suggestion = f": did you mean {{event.data.{shortened(keys[0])}}}?"
    else:
        suggestion = nearest(keys[0], EVENT_KEYS)
    message = f"{_shown(field)} is not in the events of {stream}{suggestion}"
    return MissingKeyError(message, column=field.column)


def _check_format(field: Field, reference: Reference, descriptor: Any) -> None:
    """Refuse a format for numbers on text and the reverse, and whole arrays."""
    first, *rest = reference.keys
    if first != "data" or len(rest) != 1:
        return
    (key,) = rest
    dtype = plain(follow(descriptor, "data_keys", key, "dtype"))
    shape = follow(descriptor, "data_keys", key, "shape")
    if type(dtype) is not str:
        return
    message = ""
    empty = issubclass(type(shape), (list, tuple)) and item(shape, "0") is MISSING
    if dtype == "array" and not empty:
        message = (
            f" is an array of shape {_sizes(shape)}: choose one item of it, as in "
            f"'{{{reference}[0]}}'"
        )
    is_scalar = dtype in ("string", "number", "integer")
    if is_scalar and field.type and (dtype == "string") != (field.type == "s"):
        message = (
            f": {shortened(key, quoted=True)} is a {dtype}, and "
            f"'{field.specification}' is not for a {dtype}"
        )
    if message:
        raise TemplateError(_shown(field) + message, column=field.column)


def _shown(field: Field) -> str:
    return f"template field '{shortened(str(field))}'"


def _sizes(shape: Any) -> str:
    sizes = (item(shape, str(axis)) for axis in range(4))
    return "[" + ", ".join(shown(size) for size in sizes if size is not MISSING) + "]"

"""Check a template against documents, before there is any frame to name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingKeyError, TemplateError
from tiffin.template.grammar import AXES, Field, Part, Segment, fields_of
from tiffin.template.items import (
    follow,
    item,
    nearest,
    plain,
    shortened,
    shown,
    texts_in,
)
from tiffin.template.lookup import (
    MISSING,
    Ambiguous,
    find,
    motor_names,
    nowhere,
    run_of,
)
from tiffin.template.text import step_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.template.grammar import Reference
    from tiffin.template.style import Style

__all__ = ["check_descriptor", "check_start", "field_to_add"]

OF_THE_START = frozenset({"start", "run"})
OF_THE_DESCRIPTOR = frozenset({"start", "run", "descriptor", "config"})

EVENT_KEYS = ("seq_num", "time", "uid", "data", "timestamps", "filled", "descriptor")
"""The keys of an event document."""

DATA_KEYS = ("data", "timestamps", "filled")
"""The keys of an event that have an item for each data key."""

TEXT_TYPES = "s"
NUMBER_TYPES = "bcdeEfFgGnoxX%"


def check_start(parts: tuple[Part, ...], start: Any, style: Style) -> None:
    """Raise what every name of a run would fail with."""
    where = run_of(start)
    for field, optional in _all(parts):
        _check_values(field, {"start": start}, OF_THE_START, style, optional, where)
        if field.references[-1].root == "motors" and _must_be(field, optional):
            _check_motors(field, start, where)


def check_descriptor(
    parts: tuple[Part, ...],
    descriptor: Any,
    start: Any,
    style: Style,
    image: str | None = None,
) -> None:
    """Raise what every name of a stream would fail with; of one image field, if given.

    Without one nobody can say whose configuration is meant where several have a key.
    """
    names = {"start": start, "descriptor": descriptor, "field": image}
    where = f"the descriptor of {_stream(descriptor)}"
    for field, optional in _all(parts):
        ambiguous = any(type(find(r, names)) is Ambiguous for r in field.references)
        if any(r.root in ("descriptor", "config") for r in field.references) and not (
            ambiguous and image is None
        ):
            place = None if field.references[-1].root == "config" else where
            _check_values(field, names, OF_THE_DESCRIPTOR, style, optional, place)
        known = [r for r in field.references if _is_announced(r, descriptor)]
        of_events = all(r.root == "event" for r in field.references)
        if of_events and not known and _must_be(field, optional):
            raise _not_announced(field, descriptor)
        for reference in known:
            _check_format(field, reference, descriptor)


def field_to_add(
    fields: Iterable[Field],
    *,
    num_points: Any,
    images: int,
    image_fields: int,
    streams: int,
) -> str | None:
    """Return what a template needs to give each image of a run its own name.

    Parameters
    ----------
    fields : iterable of Field
        The fields of the template.
    num_points : object
        The number of events that the start document announces. Anything but the whole
        number 1 means several.
    images : int
        The number of images in an event.
    image_fields, streams : int
        How many image fields and streams are exported.

    Returns
    -------
    str or None
        A field such as ``"{i}"``, or None if the names can differ.

    Examples
    --------
    >>> from tiffin.template.grammar import fields_of, parse
    >>> fields = fields_of(parse("{start.scan_id}.tif"))
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


def _is_announced(reference: Reference, descriptor: Any) -> bool:
    """Return whether the events of a descriptor have what a reference asks for."""
    if reference.root != "event":
        return False
    first, *rest = reference.keys
    if first in DATA_KEYS and rest:
        return rest[0] in texts_in(item(descriptor, "data_keys"))
    return first in EVENT_KEYS


def _all(parts: tuple[Part, ...]) -> Iterable[tuple[Field, bool]]:
    """Return each field, and whether it may be without a value."""
    for part in parts:
        if isinstance(part, Segment):
            yield from ((field, True) for field in fields_of(part.parts))
        elif isinstance(part, Field):
            yield part, False


def _must_be(field: Field, optional: bool) -> bool:
    return not optional and field.default is None


def _check_values(
    field: Field,
    names: dict[str, Any],
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


def _check_motors(field: Field, start: Any, where: str) -> None:
    if not motor_names(start):
        message = (
            f"{_told(field)}: {where} names no scanned motor in its hints; "
            f"a default, as in '{{motors|}}', or '<…>' around it leaves it out"
        )
        raise MissingKeyError(message, column=field.column)


def _not_announced(field: Field, descriptor: Any) -> MissingKeyError:
    keys = field.references[-1].keys
    if keys[0] in EVENT_KEYS and len(keys) > 1:
        near = nearest(keys[1], item(descriptor, "data_keys"))
    else:
        near = nearest(keys[0], EVENT_KEYS)
    message = f"{_told(field)} is not in the events of {_stream(descriptor)}{near}"
    return MissingKeyError(message, column=field.column)


def _check_format(field: Field, reference: Reference, descriptor: Any) -> None:
    """Refuse a number's format for a text, and the reverse; an array as a whole."""
    keys = reference.keys
    if keys[0] != "data" or len(keys) < 2:
        return
    dtype = plain(follow(descriptor, "data_keys", keys[1], "dtype"))
    shape = follow(descriptor, "data_keys", keys[1], "shape")
    if type(dtype) is not str:
        return
    empty = issubclass(type(shape), (list, tuple)) and item(shape, "0") is MISSING
    if dtype == "array" and len(keys) == 2 and not empty:
        message = (
            f"{_told(field)} is an array of shape {_sizes(shape)}: choose one item of "
            f"it, as in '{{{reference}[0]}}'"
        )
        raise TemplateError(message, column=field.column)
    is_text, is_number = dtype == "string", dtype in ("number", "integer")
    wrong = (is_text and field.type and field.type in NUMBER_TYPES) or (
        is_number and field.type and field.type in TEXT_TYPES
    )
    if wrong and len(keys) == 2:
        message = (
            f"{_told(field)}: {shortened(keys[1], quoted=True)} is a {dtype}, and "
            f"'{field.specification}' is not for a {dtype}"
        )
        raise TemplateError(message, column=field.column)


def _told(field: Field) -> str:
    return f"template field '{shortened(str(field))}'"


def _stream(descriptor: Any) -> str:
    return f"stream {shown(item(descriptor, 'name'))}"


def _sizes(shape: Any) -> str:
    sizes = (item(shape, str(axis)) for axis in range(4))
    return "[" + ", ".join(shown(size) for size in sizes if size is not MISSING) + "]"

"""Whether the names of a run's frames can differ, told before there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.template.grammar import AXES
from tiffin.template.items import MISSING, item, plain, texts_in
from tiffin.template.lookup import find, is_missing, motor_names
from tiffin.template.times import pieces_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tiffin.template.grammar import Field, Reference

__all__ = ["announced", "indistinct"]

EVENT_KEYS = ("seq_num", "time", "uid", "data", "timestamps", "filled", "descriptor")
"""What an event document holds."""

OF_EACH_KEY = ("data", "timestamps", "filled")
"""What of it holds an item for each data key."""

OF_EACH_EVENT = frozenset({"event", "time", "frame", "motors"})
"""Roots that can tell the events of a stream apart."""

OF_EACH_STREAM = frozenset(
    {"stream", "descriptor", "config", "event", "time", "motors"}
)
"""Roots that can tell the streams of a run apart."""

OF_EACH_IMAGE = frozenset({"i", "frame", *AXES})
"""Roots that can tell the images of an event apart."""

OF_ALL_FRAMES = frozenset({"start", "run", "descriptor", "config"})
"""Roots whose values are the same for all frames of a stream."""

ALWAYS_THERE = frozenset({"stream", "field", "i", "frame", "kind"})
"""Roots that have a value in every frame."""

WITHIN_A_DAY = frozenset("HIMSf")
"""Directives that can differ between the events of a run."""


def indistinct(
    parts_of: Iterable[Field],
    *,
    events: Any,
    images: int,
    fields: int,
    streams: int = 1,
    start: Any = None,
    descriptor: Any = None,
) -> str | None:
    """Return which field a template lacks to tell a run's frames apart.

    Parameters
    ----------
    parts_of : iterable of Field
        The template's.
    events : int or None
        How many a stream will have: the start document's ``num_points``, whatever that
        is. With `start`, anything but the whole number 1 stands for many; without, only
        a whole number does.
    images : int
        How many an event announces for a field.
    fields : int
        How many fields of a stream are exported.
    streams : int
        How many streams of a run are exported.
    start, descriptor : mapping, optional
        What is the same in all names: an alternative that has a value there hides those
        behind it, and an event holds no data key but the descriptor's.

    Returns
    -------
    str or None
        What would mend it, such as ``"{i}"``; None if names can differ.

    Examples
    --------
    >>> from tiffin.template.grammar import fields_of, parse
    >>> fields = fields_of(parse("{start.scan_id}.tif"))
    >>> indistinct(fields, events=3, images=1, fields=1)
    '{event.seq_num}'
    >>> indistinct(fields, events=1, images=1, fields=1)
    >>> indistinct(fields, events=None, images=1, fields=1, start={"scan_id": 7})
    '{event.seq_num}'
    """
    names = {"start": start, "descriptor": descriptor}
    told = [
        (field, reference)
        for field in parts_of
        for reference in _that_count(field, names)
    ]

    def any_can(differ: Callable[[Field, Reference], bool]) -> bool:
        return any(differ(field, reference) for field, reference in told)

    number = _counted(events)
    many = number is None or number != 1
    if start is None:
        many = number is not None and number > 1
    if many and not any_can(_of_each_event):
        return "{event.seq_num}"
    if images > 1 and not any_can(lambda _, of: of.root in OF_EACH_IMAGE):
        return "{i}"
    # A field's configuration is its own device's.
    if fields > 1 and not any_can(lambda _, of: of.root in ("field", "config")):
        return "{field}"
    if streams > 1 and not any_can(_of_each_stream):
        return "{stream}"
    return None


def announced(reference: Reference, descriptor: Any) -> bool:
    """Whether events of a descriptor will have what a reference asks for."""
    if reference.root != "event":
        return False
    first, *rest = reference.keys
    if first in OF_EACH_KEY and rest:
        return rest[0] in texts_in(item(descriptor, "data_keys"))
    return first in EVENT_KEYS


def _counted(events: Any) -> int | None:
    """Return a whole number; a plan may write anything into its start document."""
    kind = type(events)
    if kind is bool or not issubclass(kind, (int, np.integer)):
        return None
    return int(plain(events))


def _that_count(field: Field, names: dict[str, Any]) -> Iterable[Reference]:
    """Return a field's alternatives up to the first that has a value in all names."""
    for reference in field.references:
        if _is_absent(reference, names):
            continue
        yield reference
        if reference.root in ALWAYS_THERE or _has_value(reference, names):
            return


def _is_absent(reference: Reference, names: dict[str, Any]) -> bool:
    """Whether no event will have a value."""
    if reference.root == "event" and names["descriptor"] is not None:
        return not announced(reference, names["descriptor"])
    if reference.root == "motors" and names["start"] is not None:
        return not motor_names(names["start"])
    return False


def _has_value(reference: Reference, names: dict[str, Any]) -> bool:
    if reference.root not in OF_ALL_FRAMES:
        return False
    value = plain(find(reference, names))
    return value is not MISSING and not is_missing(value)


def _of_each_event(field: Field, reference: Reference) -> bool:
    return _can_tell(field, reference, OF_EACH_EVENT, {"descriptor", "filled"})


def _of_each_stream(field: Field, reference: Reference) -> bool:
    same = {"seq_num", "filled", "run_start"}
    return _can_tell(field, reference, OF_EACH_STREAM, same)


def _can_tell(
    field: Field, reference: Reference, roots: frozenset[str], same: set[str]
) -> bool:
    if reference.keys and reference.keys[0] in same:
        return False
    if field.is_time and not _letters(field) & WITHIN_A_DAY:
        return False  # a day is not one event's
    return reference.root in roots


def _letters(field: Field) -> set[str]:
    return {letter for _, letter in pieces_of(field.specification)}

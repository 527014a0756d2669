"""Find a field's value in the documents, by keys and indices only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingKeyError, TemplateError
from tiffin.template.items import (
    MISSING,
    elements,
    follow,
    item,
    kind_of,
    label,
    nearest,
    plain,
    shortened,
    shown,
    texts_in,
)
from tiffin.template.portable import is_blank

if TYPE_CHECKING:
    from tiffin.template.grammar import Field, Reference

__all__ = [
    "MISSING",
    "Ambiguous",
    "find",
    "is_missing",
    "motor_names",
    "nowhere",
    "run_of",
    "units_of",
]

SHORT_UID = 8
"""Characters of a uid that `{run}` gives."""


def find(reference: Reference, names: Any) -> Any:
    """Find the value that a reference speaks of, or `MISSING`.

    Parameters
    ----------
    reference : Reference
    names : mapping
        What each root stands for.
    """
    return _follow(reference, names)[0]


def nowhere(field: Field, names: Any, where: str | None = None) -> MissingKeyError:
    """Say that a field has no value, and what its nearest keys are.

    Parameters
    ----------
    field : Field
    names : mapping
    where : str, optional
        What to call the document in the error.
    """
    reference = field.references[-1]
    value, told, last = _follow(reference, names)
    message = f"template field '{shortened(str(field))}' "
    if reference.root == "motors" and not reference.keys:
        message += f"has no value for this frame{_without(names)}"
    elif not reference.keys:
        message += "has no value for this frame"
    elif value is not MISSING:
        message += f"is blank here ({shown(value)})"
    else:
        inside = "".join(f"[{shortened(key)}]" for key in reference.keys[:told])
        place = where or _place(reference.root, names)
        message += f"is not in {place}{inside}"
        choices = _keys_of(reference.root, last, names) if told == 0 else last
        near = nearest(reference.keys[told], choices)
        if told and not near and not _is_looked_into(last):
            message += (
                f": {shortened(reference.keys[told - 1], quoted=True)} is "
                f"{kind_of(last)}, and only dicts, lists and arrays are looked into"
            )
        message += near
    return MissingKeyError(message, column=field.column)


def motor_names(start: Any) -> list[str]:
    """Give the fields that a run scans, as its hints say; else the motors it names."""
    found: list[str] = []
    for dimension in _listed(follow(start, "hints", "dimensions")):
        for fields in _listed(dimension)[:1]:
            # One field may stand without a list around it.
            named = texts_in([fields]) or texts_in(_listed(fields))
            found += [name for name in named if name != "time"]
    if not found:
        found = texts_in(_listed(item(start, "motors")))
    return list(dict.fromkeys(found))


def units_of(name: str, names: Any) -> str:
    """Give the units that the descriptor tells of a field; ``""`` if it tells none."""
    units = follow(names, "descriptor", "data_keys", name, "units")
    units = plain(units)
    return units if type(units) is str else ""


def run_of(start: Any) -> str:
    """Name a run in a message."""
    return f"run {label(item(start, 'uid'), SHORT_UID)}"


class Ambiguous:
    """A configuration's key that several devices have."""

    def __init__(self, key: str, owners: list[str]) -> None:
        self.key = key
        self.owners = owners

    def error(self, field: Field) -> TemplateError:
        """Say which devices, and how one of them is named."""
        path = f"descriptor[configuration][{self.owners[0]}][data][{self.key}]"
        message = (
            f"template field '{shortened(str(field))}' is in the configuration of "
            f"{' and '.join(map(shortened, self.owners[:4]))}: name one, as in "
            f"'{{{path[:200]}}}'"
        )
        return TemplateError(message, column=field.column)


# ---- roots that are made of the documents


def _run(names: Any) -> Any:
    uid = plain(follow(names, "start", "uid"))
    return uid[:SHORT_UID] if type(uid) is str else uid


def _time(names: Any) -> Any:
    return follow(names, "event", "time")


def _motors(names: Any) -> Any:
    """Return the scanned motors with their values in this event."""
    data = follow(names, "event", "data")
    found = {}
    for name in motor_names(item(names, "start")):
        found[name] = value = item(data, name)
        if value is MISSING:
            return MISSING
    return found or MISSING


_MADE: dict[str, Callable[[Any], Any]] = {
    "run": _run,
    "time": _time,
    "motors": _motors,
}


def _follow(reference: Reference, names: Any) -> tuple[Any, int, Any]:
    """Return the value or `MISSING`, how many keys led on, and what is there."""
    value = item(names, reference.root)
    if value is None or value is MISSING:
        if reference.root == "config":
            return _configured(reference, names)
        made = _MADE.get(reference.root)
        value = made(names) if made else MISSING
        if value is None:
            value = MISSING
    for told, key in enumerate(reference.keys):
        inner = item(value, key)
        if inner is MISSING and reference.root == "motors" and not told:
            inner = item(list(value.values()), key) if type(value) is dict else MISSING
        if inner is MISSING:
            return MISSING, told, value
        value = inner
    return value, len(reference.keys), value


def _configured(reference: Reference, names: Any) -> tuple[Any, int, Any]:
    """Find a key in the configurations of all devices."""
    devices = follow(names, "descriptor", "configuration")
    key, *rest = reference.keys
    found = {
        device: value
        for device in texts_in(devices)
        if (value := follow(devices, device, "data", key)) is not MISSING
    }
    if not found:
        return MISSING, 0, MISSING
    owners = list(found)
    if len(found) > 1:
        # The device that gave the image is meant.
        own = [device for device in owners if _gives(device, names)]
        if len(own) == 1:
            owners = own
        elif not all(_same(found[device], found[owners[0]]) for device in owners):
            return Ambiguous(key, owners), len(reference.keys), MISSING
    value = found[owners[0]]
    for told, inner in enumerate(rest, start=1):
        following = item(value, inner)
        if following is MISSING:
            return MISSING, told, value
        value = following
    return value, len(reference.keys), value


def _gives(device: str, names: Any) -> bool:
    field = plain(item(names, "field"))
    return type(field) is str and field in texts_in(
        follow(names, "descriptor", "object_keys", device)
    )


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one, as far as plain ones can be compared."""
    if one is other:
        return True
    one, other = plain(one), plain(other)
    comparable = type(one) in (str, int, float, bool)
    return comparable and type(one) is type(other) and bool(one == other)


def _listed(value: Any) -> list[Any]:
    """Return what a list or tuple holds; of a mapping nothing."""
    kind = type(value)
    return elements(value) if kind is list or not issubclass(kind, Mapping) else []


def _keys_of(root: str, document: Any, names: Any) -> Any:
    """Return what a first key can be."""
    if root != "config" or document is not MISSING:
        return document
    devices = follow(names, "descriptor", "configuration")
    return [
        key
        for device in texts_in(devices)
        for key in texts_in(follow(devices, device, "data"))
    ]


def _without(names: Any) -> str:
    """Name the motors that an event has no value of."""
    data = follow(names, "event", "data")
    values = {n: item(data, n) for n in motor_names(item(names, "start"))}
    absent = [
        shortened(name, quoted=True)
        for name, value in values.items()
        if value is MISSING or is_missing(plain(value))
    ]
    return f": {_place('event', names)} has none of {', '.join(absent[:8])}" * bool(
        absent
    )


def is_missing(value: Any) -> bool:
    """Whether a plain value counts as missing."""
    return value is None or (type(value) is str and is_blank(value))


def _is_looked_into(value: Any) -> bool:
    kinds = (dict, list, tuple, np.ndarray)
    return issubclass(type(value), kinds) or bool(elements(value))


def _place(root: str, names: Any) -> str:
    if root == "start":
        return run_of(item(names, "start"))
    if root == "event":
        return f"event {label(follow(names, 'event', 'seq_num'))}"
    known = {
        "config": "the descriptor's configurations",
        "baseline": "the run's baseline",
        "stop": "the stop document",
        "motors": "the scanned motors",
    }
    return known.get(root, f"the {root} document")

"""Find the values of template fields in the documents of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingKeyError, TemplateError
from tiffin.template.grammar import Reference
from tiffin.template.items import (
    MISSING,
    elements,
    follow,
    is_container,
    item,
    plain,
    texts_in,
)
from tiffin.template.messages import kind_of, label, nearest, shortened, shown
from tiffin.template.portable import is_blank

if TYPE_CHECKING:
    from tiffin.template.grammar import Field

SHORT_UID = 8
"""The number of characters in ``{run}``."""


@dataclass(frozen=True, slots=True)
class AmbiguousKey:
    """Found in place of a configuration value on which several devices disagree."""

    key: str
    devices: list[str]

    def error(self, field: Field) -> TemplateError:
        """Return the error that lists the devices and shows how to choose one."""
        path = f"descriptor[configuration][{self.devices[0]}][data][{self.key}]"
        message = (
            f"template field '{shortened(str(field))}' is in the configuration of "
            f"{' and '.join(map(shortened, self.devices[:4]))}: choose a device, as in "
            f"'{{{path[:200]}}}'"
        )
        return TemplateError(message, column=field.column)


def find(reference: Reference, names: Any) -> Any:
    """Return the value that a reference asks for, or `MISSING`.

    `names` has the value of each root. ``run``, ``time``, ``motors`` and ``config`` are
    made from the documents if they are not given.
    """
    root, keys = reference.root, reference.keys
    value = names.get(root) if type(names) is dict else item(names, root)
    if value is MISSING or value is None:
        value = MISSING
        if root == "config":
            value, keys = _configured(keys[0], names), keys[1:]
        elif root == "run":
            value = plain(follow(names, "start", "uid"))
            value = value[:SHORT_UID] if type(value) is str else value
        elif root == "time":
            value = follow(names, "event", "time")
        elif root == "motors":
            value = _motors(names)
    return value if type(value) is AmbiguousKey else follow(value, *keys)


def is_missing(value: Any) -> bool:
    """Return whether a plain value counts as missing: None, or blank text."""
    return value is None or (type(value) is str and is_blank(value))


def motor_names(start: Any) -> list[str]:
    """Return the fields that a run scans by its hints, else the motors it lists."""
    names: list[str] = []
    for dimension in _items_of(follow(start, "hints", "dimensions")):
        for fields in _items_of(dimension)[:1]:
            # A single field may stand without a list around it.
            names += texts_in([fields]) or texts_in(_items_of(fields))
    names = [name for name in names if name != "time"]
    return list(dict.fromkeys(names or texts_in(_items_of(item(start, "motors")))))


def sample_of(start: Mapping[str, Any]) -> Any:
    """Return the name of the sample: ``sample_name``, or ``sample`` or its name."""
    for key in ("sample_name", "sample"):
        value = plain(item(start, key))
        if issubclass(type(value), Mapping):
            value = plain(follow(value, "name"))
        if value is not MISSING and not is_missing(value):
            return value
    return None


def units_of(name: str, names: Any) -> str:
    """Return the units of a data key in the descriptor, or ``""``."""
    units = plain(follow(names, "descriptor", "data_keys", name, "units"))
    return units if type(units) is str else ""


def run_label(start: Any) -> str:
    """Return how messages refer to a run."""
    return f"run {label(item(start, 'uid'), SHORT_UID)}"


def missing_key_error(
    field: Field, names: Any, where: str | None = None
) -> MissingKeyError:
    """Return the error for a field without a value; it suggests similar keys.

    `where` is how the message refers to the document.
    """
    reason = why_missing(field.references[-1], names, where)
    message = f"template field '{shortened(str(field))}' {reason}"
    return MissingKeyError(message, column=field.column)


def why_missing(reference: Reference, names: Any, where: str | None = None) -> str:
    """Return the end of a message about a reference without a value."""
    root, keys = reference.root, reference.keys
    depth, value = 0, MISSING
    while depth < len(keys):
        value = find(Reference(root, keys[: depth + 1]), names)
        if value is MISSING:
            break
        depth += 1
    if not keys:
        absent = _motors_without_value(names) if root == "motors" else ""
        return f"has no value for this frame{absent}"
    if depth == len(keys):
        return f"is blank here ({shown(value)})"
    inside = "".join(f"[{shortened(key)}]" for key in keys[:depth])
    message = f"is not in {where or _place(root, names)}{inside}"
    if root == "config" and not depth:
        parent: Any = configuration_keys(names)
    else:
        parent = find(Reference(root, keys[:depth]), names)
    elsewhere = [] if depth else places_of(keys[0], names)
    suggestion = nearest(keys[depth], parent)
    if elsewhere:
        suggestion = f": did you mean {_either(elsewhere)}?"
    elif root == "start" and not depth and not suggestion.startswith(":"):
        reading = f"{{event.data.{keys[0]:.60}}}"
        suggestion += f"; if it is a reading of the events, write {reading}"
    if depth and not suggestion and not is_container(parent):
        suggestion = (
            f": {shortened(keys[depth - 1], quoted=True)} is {kind_of(parent)}, "
            f"and only dicts, lists and arrays can be looked into"
        )
    return message + suggestion


def places_of(key: str, names: Any) -> list[str]:
    """Return the references by which a template gets a key.

    Examples
    --------
    >>> names = {"start": {"T": 300}, "event": {"seq_num": 1, "data": {"T": 301.5}}}
    >>> places_of("T", names)
    ['start.T', 'event.data.T']
    """
    candidates = [
        Reference("start", (key,)),
        Reference("event", (key,)),
        Reference("event", ("data", key)),
        Reference("motors", (key,)),
        Reference("config", (key,)),
        Reference("baseline", (key,)),
        Reference("stop", (key,)),
    ]
    found = [r for r in candidates if find(r, names) is not MISSING]
    if key == "uid":  # all documents have one
        found = found[:1]
    if any(r.root == "event" for r in found):  # a motor's value is in the event too
        found = [r for r in found if r.root != "motors"]
    return [str(reference) for reference in found]


def _either(references: list[str]) -> str:
    return " or ".join(f"{{{reference}}}" for reference in references)


def _motors(names: Any) -> Any:
    """Return the values of the scanned motors in this event, by name and by index."""
    motors = motor_names(item(names, "start"))
    values = [follow(names, "event", "data", name) for name in motors]
    if not motors or any(value is MISSING for value in values):
        return MISSING
    by_index = dict(enumerate(values)) | dict(enumerate(values, -len(values)))
    return {**dict(zip(motors, values, strict=True)), **by_index}


def _configured(key: str, names: Any) -> Any:
    """Find a key in the configurations of all devices."""
    devices = follow(names, "descriptor", "configuration")
    values = {
        device: value
        for device in texts_in(devices)
        if (value := follow(devices, device, "data", key)) is not MISSING
    }
    first = next(iter(values.values()), MISSING)
    if len(values) > 1:
        own = [device for device in values if _is_device_of_image(device, names)]
        if len(own) == 1:
            return values[own[0]]
        if not all(_is_same(value, first) for value in values.values()):
            return AmbiguousKey(key, list(values))
    return first


def configuration_keys(names: Any) -> list[str]:
    """Return the keys in the configurations of all devices."""
    devices = follow(names, "descriptor", "configuration")
    return [k for d in texts_in(devices) for k in texts_in(follow(devices, d, "data"))]


def _is_device_of_image(device: str, names: Any) -> bool:
    field = plain(item(names, "field"))
    keys = follow(names, "descriptor", "object_keys", device)
    return type(field) is str and field in texts_in(keys)


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; only plain ones are compared."""
    if one is other:
        return True
    one, other = plain(one), plain(other)
    comparable = type(one) in (str, int, float, bool) and type(one) is type(other)
    return comparable and bool(one == other)


def _items_of(value: Any) -> list[Any]:
    """Return the items of a sequence; of a mapping, none."""
    return [] if issubclass(type(value), Mapping) else elements(value)


def _motors_without_value(names: Any) -> str:
    absent = [
        shortened(name, quoted=True)
        for name in motor_names(item(names, "start"))
        if (value := follow(names, "event", "data", name)) is MISSING
        or is_missing(plain(value))
    ]
    if not absent:
        return ""
    return f": {_place('event', names)} has no value of {', '.join(absent[:8])}"


def _place(root: str, names: Any) -> str:
    if root == "start":
        return run_label(item(names, "start"))
    if root == "event":
        return f"event {label(follow(names, 'event', 'seq_num'))}"
    places = {
        "config": "the descriptor's configurations",
        "baseline": "the run's baseline",
        "stop": "the stop document",
        "motors": "the scanned motors",
    }
    return places.get(root, f"the {root} document")

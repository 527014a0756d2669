"""Find a field's value in the documents.

Items only: mappings by key, lists by index. Nothing is called, no attribute is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingKeyError, TemplateError, did_you_mean

if TYPE_CHECKING:
    from tiffin.template.grammar import Field, Reference

__all__ = ["MISSING", "Ambiguous", "find", "motor_names", "nowhere", "units_of"]

MISSING: Any = object()
"""What `find` gives where there is no value: looking up must not cost an exception."""

SHORT_UID = 8
"""Characters of a uid that `{run}` gives."""


def find(reference: Reference, names: Mapping[str, Any]) -> Any:
    """Find the value that a reference speaks of, or `MISSING`.

    Parameters
    ----------
    reference : Reference
    names : mapping
        What each root stands for.
    """
    value = root_of(reference.root, names)
    if value is MISSING:
        return MISSING
    for key in reference.keys:
        try:
            value = _item(value, key)
        except (LookupError, TypeError, ValueError):
            return MISSING
    return value


def root_of(root: str, names: Mapping[str, Any]) -> Any:
    """Find what a root stands for: given, or made of the documents; or `MISSING`."""
    value = names.get(root)
    if value is None and root in _MADE:
        value = _MADE[root](names)
    return MISSING if value is None else value


def nowhere(
    field: Field, names: Mapping[str, Any], where: str | None = None
) -> MissingKeyError:
    """Say that a field has no value, and what its nearest keys are.

    Parameters
    ----------
    field : Field
    names : mapping
    where : str, optional
        What to call the document in the error.
    """
    reference = field.references[-1]
    told, choices = _furthest(reference, names)
    if not reference.keys:
        message = f"template field '{field}' has no value for this frame"
    elif told == len(reference.keys):
        value = find(reference, names)
        message = f"template field '{field}' is blank here ({value!r})"
    else:
        inside = "".join(f"[{key}]" for key in reference.keys[:told])
        place = where or _place(reference.root, names)
        message = f"template field '{field}' is not in {place}{inside}"
        message += did_you_mean(reference.keys[told], choices)
    return MissingKeyError(message, column=field.column)


def motor_names(start: Mapping[str, Any]) -> list[str]:
    """Give the fields that a run scans, as its hints say; else the motors it names."""
    found: list[str] = []
    hints = start.get("hints")
    dimensions = hints.get("dimensions") if isinstance(hints, Mapping) else None
    for dimension in dimensions or ():
        fields = dimension[0] if len(dimension) else ()
        found += [name for name in fields if isinstance(name, str) and name != "time"]
    if not found:
        found = [name for name in start.get("motors") or () if isinstance(name, str)]
    return list(dict.fromkeys(found))


def units_of(name: str, names: Mapping[str, Any]) -> str:
    """Give the units that the descriptor tells of a field; ``""`` if it tells none."""
    data_keys = (names.get("descriptor") or {}).get("data_keys") or {}
    return str((data_keys.get(name) or {}).get("units") or "")


# ---- roots that are made of the documents


def _run(names: Mapping[str, Any]) -> str | None:
    uid = (names.get("start") or {}).get("uid")
    return None if uid is None else str(uid)[:SHORT_UID]


def _time(names: Mapping[str, Any]) -> Any:
    return (names.get("event") or {}).get("time")


def _config(names: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """See the configurations of all devices as one mapping."""
    descriptor = names.get("descriptor") or {}
    devices = descriptor.get("configuration")
    if not isinstance(devices, Mapping):
        return None
    found: dict[str, Any] = {}
    shared: dict[str, list[str]] = {}
    for device, configuration in devices.items():
        for key, value in (configuration.get("data") or {}).items():
            shared.setdefault(key, []).append(device)
            found[key] = value
    for key, owners in shared.items():
        if len(owners) > 1:
            # The device that gave the image is meant.
            own = [d for d in owners if _gives(descriptor, d, names.get("field"))]
            if len(own) == 1:
                found[key] = devices[own[0]]["data"][key]
            elif any(devices[d]["data"][key] is not found[key] for d in owners):
                found[key] = Ambiguous(key, tuple(owners))
    return found


class Ambiguous:
    """A configuration's key that several devices have."""

    def __init__(self, key: str, owners: tuple[str, ...]) -> None:
        self.key = key
        self.owners = owners

    def error(self, field: Field) -> TemplateError:
        """Say which devices, and how one of them is named."""
        path = f"descriptor[configuration][{self.owners[0]}][data][{self.key}]"
        message = (
            f"template field '{field}' is in the configuration of "
            f"{' and '.join(self.owners)}: name one, as in '{{{path}}}'"
        )
        return TemplateError(message, column=field.column)


def _gives(descriptor: Mapping[str, Any], device: str, field: Any) -> bool:
    keys = (descriptor.get("object_keys") or {}).get(device) or ()
    return field in keys


def _motors(names: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the scanned motors with their values in this event."""
    start, event = names.get("start") or {}, names.get("event") or {}
    data = event.get("data") or {}
    wanted = motor_names(start)
    if not wanted or any(name not in data for name in wanted):
        return None
    return Motors((name, data[name]) for name in wanted)


class Motors(dict[str, Any]):
    """The scanned motors and their values, also to be had by place."""


_MADE: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "run": _run,
    "time": _time,
    "config": _config,
    "motors": _motors,
}


# ---- items


def _item(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        if isinstance(value, Motors):
            return list(value.values())[int(key)]
        return value[int(key)]
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return value[int(key)]
    raise TypeError(key)


def _furthest(
    reference: Reference, names: Mapping[str, Any]
) -> tuple[int, tuple[str, ...]]:
    """Tell how many keys can be followed, and the choices where they end."""
    value = root_of(reference.root, names)
    for depth, key in enumerate(reference.keys):
        try:
            inner = _item(value, key)
        except (LookupError, TypeError, ValueError):
            choices = value.keys() if isinstance(value, Mapping) else ()
            return depth, tuple(map(str, choices))
        value = inner
    return len(reference.keys), ()


def _place(root: str, names: Mapping[str, Any]) -> str:
    document = names.get(root)
    if root == "start" and isinstance(document, Mapping):
        return f"run {str(document.get('uid', '?'))[:SHORT_UID]}"
    if root == "event" and isinstance(document, Mapping):
        return f"event {document.get('seq_num', '?')}"
    known = {
        "config": "the descriptor's configurations",
        "baseline": "the run's baseline",
        "stop": "the stop document",
        "motors": "the scanned motors",
    }
    return known.get(root, f"the {root} document")

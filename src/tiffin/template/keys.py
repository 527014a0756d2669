"""List what a template may name in a run, with the text that each gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError
from tiffin.template.grammar import ROOTS, Field, Reference
from tiffin.template.items import MISSING, follow, is_container, item, texts_in
from tiffin.template.lookup import AmbiguousKey, configuration_keys, find
from tiffin.template.parser import parse_reference
from tiffin.template.style import Style
from tiffin.template.text import renderer_of

if TYPE_CHECKING:
    from collections.abc import Iterator


DEEPEST, MOST_ITEMS, MOST_FIELDS = 4, 8, 1000
"""How deep documents are listed, how much of each list, and how many fields at all."""

LEFT_OUT = ("descriptor", "hints", "filled", "timestamps", "run_start")
"""Roots and keys that names hardly need."""


def fields_with_values(names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (field, text) for all that a template may name in a run.

    Examples
    --------
    >>> names = {"start": {"scan_id": 7, "sample": {"name": "Ni"}}, "event": {}}
    >>> fields_with_values(names)
    [('{start.scan_id}', '7'), ('{start.sample.name}', 'Ni')]
    """
    rows: list[tuple[str, str]] = []
    style = Style.of("portable", None, None)
    for reference in _references(names):
        if len(rows) >= MOST_FIELDS:
            break
        field = Field((reference,), "%Y%m%d-%H%M%S" if reference.root == "time" else "")
        try:
            text = renderer_of(field, style)(names)
            is_written_so = parse_reference(str(reference)) == reference
        except TemplateError:  # an array, or a key with a bracket in it
            continue
        if text is not None and is_written_so:
            rows.append((str(field), text))
    return rows


def _references(names: Mapping[str, Any]) -> Iterator[Reference]:
    for root in ROOTS:
        if root in LEFT_OUT:
            continue
        if root == "config":
            for key in dict.fromkeys(configuration_keys(names)):
                yield from _of_configuration(key, names)
            continue
        reference = Reference(root)
        value = find(reference, names)
        if root == "motors" and value is not MISSING:
            yield reference
            yield from (Reference(root, (name,)) for name in texts_in(value))
        else:
            yield from _inside(reference, value)


def _inside(reference: Reference, value: Any) -> Iterator[Reference]:
    """Yield what is not a container, looking into mappings and plain lists."""
    if len(reference.keys) > DEEPEST or value is MISSING:
        return
    if not is_container(value):
        yield reference
        return
    is_mapping = issubclass(type(value), Mapping)
    keys = texts_in(value) if is_mapping else map(str, range(MOST_ITEMS))
    for key in keys:
        inside = item(value, key)
        inner = Reference(reference.root, (*reference.keys, key))
        if key not in LEFT_OUT and (is_mapping or not is_container(inside)):
            yield from _inside(inner, inside)


def _of_configuration(key: str, names: Any) -> Iterator[Reference]:
    """Yield the reference to a key; for each device if they have different values."""
    reference = Reference("config", (key,))
    value = find(reference, names)
    if type(value) is not AmbiguousKey:
        yield from _inside(reference, value)
        return
    for device in value.devices:
        path = ("configuration", device, "data", key)
        inside = follow(item(names, "descriptor"), *path)
        yield from _inside(Reference("descriptor", path), inside)

"""The grammar of templates: fields, segments and references.

A field is ``{alternative,alternative:specification|default}``; an alternative is
``root.key[key]``. A segment, ``<…>``, is left out if a field in it has no value.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiffin.template.specification import fill_and_type, is_strftime

DOCUMENTS = ("start", "descriptor", "event", "stop", "config", "baseline")
"""Roots that are mappings: a field must name a key."""

AXES = tuple(f"i{axis}" for axis in range(6))
VALUES = ("stream", "field", "i", "frame", "run", "time", "kind", *AXES)
"""Roots that are a single value: they have no keys."""

ROOTS = (*DOCUMENTS, "motors", *VALUES)


@dataclass(frozen=True, slots=True)
class Reference:
    """One alternative of a field: where a value is looked up."""

    root: str
    """One of `ROOTS`."""
    keys: tuple[str, ...] = ()
    """The keys to look up, one inside the other."""

    def __str__(self) -> str:
        keys = (f".{key}" if key.isidentifier() else f"[{key}]" for key in self.keys)
        return self.root + "".join(keys)


@dataclass(frozen=True, slots=True)
class Field:
    """A pair of curly brackets and what is in it."""

    references: tuple[Reference, ...]
    """The alternatives. The first that has a value is used."""
    specification: str = ""
    """How to format the value: as Python does, or with strftime directives."""
    default: str | None = None
    """The text to use if no alternative has a value; None if there must be one."""
    column: int = 1
    """Where the field begins in the template, counted from 1."""

    @property
    def is_time(self) -> bool:
        """Whether the specification has strftime directives."""
        return is_strftime(self.specification)

    @property
    def type(self) -> str:
        """The letter at the end of the specification, such as ``"d"``; or ``""``."""
        return fill_and_type(self.specification)[1]

    def __str__(self) -> str:
        names = ",".join(map(str, self.references))
        colon = f":{self.specification}" if self.specification else ""
        default = "" if self.default is None else f"|{self.default}"
        return f"{{{names}{colon}{default}}}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A pair of angle brackets: left out if a field in it has no value."""

    parts: tuple[str | Field, ...]

    def __str__(self) -> str:
        return f"<{''.join(map(str, self.parts))}>"


Part = str | Field | Segment


def fields_of(parts: tuple[Part, ...]) -> tuple[Field, ...]:
    """Return all fields in order, also those in segments."""
    fields: list[Field] = []
    for part in parts:
        if isinstance(part, Segment):
            fields += fields_of(part.parts)
        elif isinstance(part, Field):
            fields.append(part)
    return tuple(fields)

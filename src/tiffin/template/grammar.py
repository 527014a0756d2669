"""The grammar of a template: from text to literal parts, fields and segments.

A field is ``{alternative,alternative:specification|default}``; an alternative is
``root.key[key]``. A segment, ``<…>``, vanishes with the value of a field in it. Errors
carry the 1-based column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from tiffin.errors import did_you_mean
from tiffin.template.items import shortened
from tiffin.template.portable import check_literal, joins
from tiffin.template.specification import (
    LARGEST_WIDTH,
    Layout,
    check_specification,
    is_strftime,
    layout_of,
    refusal,
)

__all__ = ["ROOTS", "Field", "Part", "Reference", "Segment", "fields_of", "parse"]

DOCUMENTS = ("start", "descriptor", "event", "stop", "config", "baseline")
"""Roots that are mappings: a key must be named."""

AXES = tuple(f"i{axis}" for axis in range(6))
PLAIN = ("stream", "field", "i", "frame", "run", "time", "kind", *AXES)
"""Roots that are one value: there are no keys."""

ROOTS = (*DOCUMENTS, "motors", *PLAIN)

_KEY = re.compile(r"\.(?P<dotted>[^.\[\]{}:,|!]*)|\[(?P<bracketed>[^\[\]{}]*)\]")
_ROOT = re.compile(r"[^.\[\]{}:,|!]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a value is looked up: one alternative of a field.

    Attributes
    ----------
    root : str
        One of `ROOTS`.
    keys : tuple of str
        The keys to look up, one inside the other.
    """

    root: str
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        keys = (f".{key}" if key.isidentifier() else f"[{key}]" for key in self.keys)
        return self.root + "".join(keys)


@dataclass(frozen=True, slots=True)
class Field:
    """What stands in one pair of curly brackets.

    Attributes
    ----------
    references : tuple of Reference
        The alternatives, the first that has a value counts.
    specification : str
        How to format the value: as Python does, or as strftime.
    default : str or None
        The text where no alternative has a value; None where there must be one.
    column, end : int
        Where the field begins in the template, from 1, and where it has ended.
    """

    references: tuple[Reference, ...]
    specification: str = ""
    default: str | None = None
    column: int = 1
    end: int = field(default=1, compare=False)

    @property
    def name(self) -> str:
        """What the field speaks of, as in ``"start.sa_name,start.sample_name"``."""
        return ",".join(map(str, self.references))

    @property
    def is_time(self) -> bool:
        """Whether the specification is one of strftime."""
        return is_strftime(self.specification)

    @property
    def type(self) -> str:
        """The letter at the end of the specification, such as ``"d"``; or ``""``."""
        return self.layout.type

    @property
    def layout(self) -> Layout:
        """The specification's parts; those of none where it is one of strftime."""
        return layout_of(self.specification)

    def __str__(self) -> str:
        colon = f":{self.specification}" if self.specification else ""
        default = "" if self.default is None else f"|{self.default}"
        return f"{{{self.name}{colon}{default}}}"


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands in one pair of angle brackets: it vanishes with a value in it.

    Attributes
    ----------
    parts : tuple of str or Field
    column, end : int
        Where the segment begins in the template, from 1, and where it has ended.
    """

    parts: tuple[str | Field, ...]
    column: int = 1
    end: int = field(default=1, compare=False)


Part = str | Field | Segment


def fields_of(parts: tuple[Part, ...]) -> tuple[Field, ...]:
    """Return all fields, those in segments too, in order."""
    found: list[Field] = []
    for part in parts:
        if isinstance(part, Segment):
            found += fields_of(part.parts)
        elif isinstance(part, Field):
            found.append(part)
    return tuple(found)


def shifted(parts: tuple[Part, ...], by: int) -> tuple[Part, ...]:
    """Move all columns: the parts stand in a longer text."""
    moved: list[Part] = []
    for part in parts:
        if isinstance(part, Segment):
            inner = shifted(part.parts, by)
            at, end = part.column + by, part.end + by
            moved.append(Segment(inner, at, end))  # type: ignore[arg-type]
        elif isinstance(part, Field):
            moved.append(replace(part, column=part.column + by, end=part.end + by))
        else:
            moved.append(part)
    return tuple(moved)


def parse(text: str) -> tuple[Part, ...]:
    """Part a template into literal text, fields and segments.

    Raises
    ------
    TemplateError
        With the column where reading stopped.

    Examples
    --------
    >>> literal, field, rest = parse("a{{{start[scan_id]:04d|none}.")
    >>> literal, field.name, field.specification, field.default, rest
    ('a{', 'start.scan_id', '04d', 'none', '.')
    """
    reader = _Reader(text)
    parts = reader.parts()
    if reader.at < len(text):
        raise refusal("a '>' without its '<'", reader.at + 1)
    return parts


class _Reader:
    """Goes through a template's text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        # The literal leading folders may be the root, as in Z:/images/{start.user}.
        self._root_ends = re.split("[{<]", text, maxsplit=1)[0].rfind("/")

    def parts(self, *, segment: int | None = None) -> tuple[Part, ...]:
        """Read up to the end, or to the ``>`` of the segment that begins there."""
        parts: list[Part] = []
        literal: list[str] = []
        while self.at < len(self._text) and self._text[self.at] != ">":
            at = self.at
            for part in self._next(inside=segment is not None):
                if isinstance(part, str):
                    if parts and not literal and joins(part[0]):
                        message = f"{part[0]!r} joins the letter before it: a value's"
                        raise refusal(message, at + 1)
                    literal.append(part)
                    continue
                if literal:
                    parts.append("".join(literal))
                    literal = []
                parts.append(part)
        if literal:
            parts.append("".join(literal))
        return tuple(parts)

    def _next(self, *, inside: bool) -> tuple[Part, ...]:
        text, at = self._text, self.at
        pair = text[at : at + 2]
        if pair in ("{{", "}}"):
            self.at += 2
            return (pair[0],)
        if text[at] == "{":
            end = _closing(text, at)
            self.at = end + 1
            return _folders_of(_field(text[at + 1 : end], at + 1))
        if text[at] == "<":
            if inside:
                raise refusal("a segment inside a segment", at + 1)
            return (self._segment(),)
        if text[at] == "}":
            message = "a '}' without its '{' (write '}}' for a bracket in the name)"
            raise refusal(message, at + 1)
        refused = check_literal(text[at])
        if refused and not (text[at] == ":" and at < self._root_ends):
            raise refusal(refused, at + 1)
        self.at += 1
        return (text[at],)

    def _segment(self) -> Segment:
        opening = self.at
        self.at += 1
        parts = self.parts(segment=opening)
        if self.at >= len(self._text):
            raise refusal("a '<' without its '>'", opening + 1)
        self.at += 1
        fields = fields_of(parts)
        if not fields:
            message = (
                "a segment '<…>' without a field would never vanish; '<' and '>' "
                "can't stand in a name"
            )
            raise refusal(message, opening + 1)
        for inner in fields:
            if inner.default is not None:
                told = shortened(str(inner))
                message = f"'{told}' has a default, and so never makes '<…>' vanish"
                raise refusal(message, inner.column)
        return Segment(parts, opening + 1, self.at + 1)  # type: ignore[arg-type]


def _closing(text: str, opening: int) -> int:
    for at in range(opening + 1, len(text)):
        if text[at] == "}":
            return at
        if text[at] == "{":
            message = "a field inside a field: widths and keys are written out"
            raise refusal(message, at + 1)
    message = "a '{' without its '}' (write '{{' for a bracket in the name)"
    raise refusal(message, opening + 1)


def _field(inside: str, column: int) -> Field:
    before, bar, default = _parted(inside, "|")
    expression, colon, specification = _parted(before, ":")
    references, at = [], column + 1
    for alternative in _split(expression, ","):
        lead = len(alternative) - len(alternative.lstrip(" "))
        references.append(_reference(alternative.strip(" "), at + lead, column))
        at += len(alternative) + 1
    if colon:
        check_specification(specification, column + 1 + len(expression) + 1)
    if bar:
        _check_default(default, column + 1 + len(before) + 1)
    end = column + len(inside) + 2
    text = default if bar else None
    return Field(tuple(references), specification, text, column, end)


def _folders_of(field: Field) -> tuple[Part, ...]:
    """Take a time apart where its author wrote a slash: it parts folders, as any."""
    if not field.is_time or "/" not in field.specification:
        return (field,)
    at = field.end - 1 - len(field.specification)
    if field.default is not None:
        at -= len(field.default) + 1
        message = "a time of several folders has no default: put '<…>' around it"
        raise refusal(message, at + field.specification.index("/"))
    parts: list[Part] = []
    begin = field.column
    for text in field.specification.split("/"):
        if not is_strftime(text):
            message = (
                f"{text + '/'!r} in a time has no directive: write it beside the "
                f"brackets"
            )
            raise refusal(message, at)
        at += len(text) + 1
        one = replace(field, specification=text, column=begin, end=at - 1)
        parts += [one, "/"]
        begin = at
    parts[-2:] = [replace(one, end=field.end)]
    return tuple(parts)


def _split(text: str, mark: str) -> list[str]:
    """Split at each mark outside square brackets."""
    pieces = []
    while True:
        piece, found, text = _parted(text, mark)
        pieces.append(piece)
        if not found:
            return pieces


def _parted(text: str, mark: str) -> tuple[str, str, str]:
    """Part at the first mark outside square brackets."""
    depth = 0
    for at, character in enumerate(text):
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == mark and depth <= 0:
            return text[:at], mark, text[at + 1 :]
    return text, "", ""


def _reference(expression: str, at: int, column: int) -> Reference:
    matched = _ROOT.match(expression)
    root = matched.group() if matched else ""
    _check_root(root, column)
    keys = _keys(expression, len(root), at)
    if root in DOCUMENTS and not keys:
        message = (
            f"'{{{root}}}' is a whole document: name a key, as in '{{{root}.uid}}'"
        )
        raise refusal(message, column)
    if root in PLAIN and keys:
        message = f"'{{{root}}}' is a plain value and has no keys"
        raise refusal(message, column)
    return Reference(root, keys)


def _check_root(root: str, column: int) -> None:
    if root in ROOTS:
        return
    if not root or root.isdigit():
        message = "an empty or numbered field: name what goes here"
    else:
        message = f"'{shortened(root)}' is no root"
    near = did_you_mean(root[:LARGEST_WIDTH], ROOTS)
    message += near if root else "; there are: " + ", ".join(ROOTS)
    raise refusal(message, column)


def _keys(expression: str, at: int, start: int) -> tuple[str, ...]:
    keys = []
    while at < len(expression):
        here = start + at
        matched = _KEY.match(expression, at)
        if matched is None:
            message = f"{expression[at : at + 2]!r} is not expected here"
            if expression[at] == "!":
                told = shortened(expression[at:], quoted=True)
                message = f"a conversion ({told}) is refused"
            raise refusal(message, here)
        key = matched.group("dotted")
        if key is None:
            key = matched.group("bracketed").strip("'\"")
        if not key:
            raise refusal("a key is empty", here)
        if key.startswith("__"):
            message = (
                f"'{shortened(key)}' looks like an attribute; a template looks up "
                f"items only"
            )
            raise refusal(message, here)
        keys.append(key)
        at = matched.end()
    return tuple(keys)


def _check_default(default: str, column: int) -> None:
    if "/" in default:
        told = shortened(default, quoted=True)
        message = f"a default is a part of a name, {told} has a '/'"
        raise refusal(message, column + default.index("/"))
    for at, character in enumerate(default):
        refused = check_literal(character) or (
            f"{character!r} can't stand in a name" if character in "<>:" else ""
        )
        if refused:
            raise refusal(refused, column + at)

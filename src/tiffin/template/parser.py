"""Parse a template: from text to literal parts, fields and segments.

Errors have the column of the mistake, counted from 1.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.template.grammar import (
    DOCUMENTS,
    ROOTS,
    VALUES,
    Field,
    Part,
    Reference,
    Segment,
    fields_of,
)
from tiffin.template.messages import parse_error, shortened
from tiffin.template.portable import check_literal, foreign_path, joins_previous
from tiffin.template.specification import check_specification, is_strftime
from tiffin.template.words import unclosed, unknown_word

if TYPE_CHECKING:
    from tiffin.errors import TemplateError

LONGEST_TEMPLATE = 10_000
"""Characters. Parsing time may grow with the square of the length."""

_LEAD = re.compile(r"(?:(?:\{\{|\}\}|[^{}<>])*/)?")
"""The leading folders that are literal text."""

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}<>]|[^{}<>]+")

_FIELD = re.compile(
    r"(?P<expression>(?:\[[^\]]*\]|[^:|])*)(?::(?P<specification>[^|]*))?"
    r"(?:\|(?P<default>.*))?",
    re.DOTALL,
)

_COMMA = re.compile(r",(?![^\[]*\])")
"""A comma outside square brackets."""

_ROOT = re.compile(r"[^.\[\]{}:,|!]*")

_KEY = re.compile(r"\.(?P<dotted>[^.\[\]{}:,|!]*)|\[(?P<bracketed>[^\[\]{}]*)\]")


class Parsed(NamedTuple):
    """A template, parsed."""

    lead: str  # the literal leading folders, ending with a slash; or ""
    parts: tuple[Part, ...]  # what follows
    outline: str  # `lead` and the literal text of `parts`, with NUL for each field
    columns: list[int]  # of each character of `outline`


def parse(text: str) -> Parsed:
    """Split a template into literal text, fields and segments.

    Examples
    --------
    >>> lead, parts, *_ = parse("raw/a{{{start[scan_id]:04d|none}.")
    >>> literal, field, rest = parts
    >>> lead, literal, str(field), rest
    ('raw/', 'a{', '{start.scan_id:04d|none}', '.')
    """
    if len(text) > LONGEST_TEMPLATE:
        message = f"it has {len(text)} characters, and {LONGEST_TEMPLATE} are allowed"
        raise parse_error(message, LONGEST_TEMPLATE + 1)
    return _Parser(text).parse()


class _Parser:
    """Reads the text of a template once, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[Part] = []
        self._segment: list[str | Field] | None = None
        self._opened = 0  # the column of the segment's '<'
        self._outline = ""
        self._columns: list[int] = []

    def parse(self) -> Parsed:
        if "\\" in self._text and foreign_path(self._text):
            raise parse_error(f"{foreign_path(self._text)} (directory=)", 1)
        matched = _LEAD.match(self._text)
        end = matched.end() if matched else 0
        for token in _TOKEN.finditer(self._text, 0, end):
            # These folders may be a root such as Z:/images.
            self._literal(token[0], token.start() + 1, allowed=":")
        lead, self._parts = "".join(map(str, self._parts)), []
        for token in _TOKEN.finditer(self._text, end):
            self._read(token[0], token.start() + 1)
        if self._segment is not None:
            raise parse_error("a '<' without its '>'", self._opened)
        return Parsed(lead, tuple(self._parts), self._outline, self._columns)

    def _read(self, token: str, column: int) -> None:
        if token == "{":
            raise self._unclosed(column)
        if token == "}":
            message = "a '}' without its '{' (write '}}' for a bracket in the name)"
            raise parse_error(message, column)
        if token == "<":
            if self._segment is not None:
                raise parse_error("a segment inside a segment", column)
            self._segment, self._opened = [], column
        elif token == ">":
            self._close_segment(column)
        elif token[0] == "{" and token != "{{":
            for part in _parse_field(token[1:-1], column):
                if isinstance(part, str):
                    self._literal(part, column)
                else:
                    self._field(part)
        else:
            self._literal(token, column)

    def _literal(self, token: str, column: int, *, allowed: str = "") -> None:
        text = token[0] if token in ("{{", "}}") else token
        for n, character in enumerate(text):
            reason = "" if character in allowed else check_literal(character)
            if reason:
                raise parse_error(reason, column + n)
        self._outline += text
        self._columns += range(column, column + len(text))
        target = self._target()
        if target and isinstance(target[-1], str):
            target[-1] += text
        elif joins_previous(text[0]):
            message = (
                f"{text[0]!r} would change the letter before it, which is a value's"
            )
            raise parse_error(message, column)
        else:
            target.append(text)

    def _field(self, field: Field) -> None:
        self._outline += "\0"
        self._columns.append(field.column)
        self._target().append(field)

    def _target(self) -> list[Any]:
        return self._parts if self._segment is None else self._segment

    def _close_segment(self, column: int) -> None:
        if self._segment is None:
            raise parse_error("a '>' without its '<'", column)
        segment, self._segment = Segment(tuple(self._segment)), None
        fields = fields_of(segment.parts)
        if not fields:
            message = (
                "'<…>' is for a part that is left out where its field is missing, and "
                "this one has no field: write fields as {start.scan_id}; '<' and '>' "
                "can't be part of a name"
            )
            raise parse_error(message, self._opened)
        for field in fields:
            if field.default is not None:
                message = (
                    f"'{shortened(str(field))}' has a default, so the '<…>' around it "
                    f"would always be there"
                )
                raise parse_error(message, field.column)
        self._parts.append(segment)

    def _unclosed(self, column: int) -> TemplateError:
        inside, opens, following = self._text[column:].partition("{")
        if opens:
            return parse_error(unclosed(inside, following), column + len(inside) + 1)
        message = "a '{' without its '}' (write '{{' for a bracket in the name)"
        return parse_error(message, column)


def _parse_field(inside: str, column: int) -> list[str | Field]:
    """Parse what is inside of curly brackets that open at a column.

    A time with slashes becomes several fields: each slash separates folders.
    """
    matched = _FIELD.fullmatch(inside)
    assert matched is not None  # noqa: S101 (it matches any text)
    expression, specification, default = matched.groups()
    references, at = [], column + 1
    for alternative in _COMMA.split(expression):
        lead = len(alternative) - len(alternative.lstrip(" "))
        references.append(_reference(alternative.strip(" "), at + lead, column))
        at += len(alternative) + 1
    if specification is not None:
        check_specification(specification, column + 1 + matched.start("specification"))
    if default is not None:
        _check_default(default, column + 1 + matched.start("default"))
    field = Field(tuple(references), specification or "", default, column)
    if not field.is_time or "/" not in field.specification:
        return [field]
    at = column + 1 + matched.start("specification")
    if default is not None:
        message = "a time with folders can't have a default: put '<…>' around it"
        raise parse_error(message, at + field.specification.index("/"))
    parts: list[str | Field] = []
    for folder in field.specification.split("/"):
        if not is_strftime(folder):
            message = (
                f"{folder + '/'!r} in a time has no directive: write it outside the "
                f"curly brackets"
            )
            raise parse_error(message, at)
        at += len(folder) + 1
        parts += [replace(field, specification=folder), "/"]
    return parts[:-1]


def parse_reference(text: str) -> Reference:
    """Return what a reference such as ``event.data.T`` asks for.

    It is the inside of a template's field, without format and default.
    """
    return _reference(text, 0, 1)


def _reference(expression: str, at: int, column: int) -> Reference:
    matched = _ROOT.match(expression)
    root = matched.group() if matched else ""
    _check_root(root, expression, column)
    keys = _keys(expression, len(root), at)
    if root in DOCUMENTS and not keys:
        message = (
            f"'{{{root}}}' is a whole document: name a key, as in '{{{root}.uid}}'"
        )
        raise parse_error(message, column)
    if root in VALUES and keys:
        raise parse_error(f"'{{{root}}}' is a plain value and has no keys", column)
    return Reference(root, keys)


def _check_root(root: str, expression: str, column: int) -> None:
    if root in ROOTS:
        return
    if not root or root.isdigit():
        message = (
            "an empty or numbered field: name what goes here, as in {start.scan_id} or "
            "{event.seq_num}; 'tiffin runs SOURCE --run -1' lists what a run has"
        )
        raise parse_error(message, column)
    keys = re.findall(r"\.(\w+)", expression[len(root) :])
    raise unknown_word(root, keys, column)


def _keys(expression: str, at: int, start: int) -> tuple[str, ...]:
    keys = []
    while at < len(expression):
        column = start + at
        matched = _KEY.match(expression, at)
        if matched is None:
            message = f"{expression[at : at + 2]!r} is not expected here"
            if expression[at] == "!":
                shown = shortened(expression[at:], quoted=True)
                message = f"conversions such as {shown} are not supported"
            raise parse_error(message, column)
        key = matched["dotted"]
        if key is None:
            key = matched["bracketed"].strip("'\"")
        if not key:
            raise parse_error("a key is empty", column)
        if key.startswith("__"):
            message = (
                f"'{shortened(key)}' looks like an attribute; a template looks up "
                f"items only"
            )
            raise parse_error(message, column)
        keys.append(key)
        at = matched.end()
    return tuple(keys)


def _check_default(default: str, column: int) -> None:
    for n, character in enumerate(default):
        reason = check_literal(character)
        if character == "/":
            reason = "a default is part of a name and can't contain a '/'"
        if not n and joins_previous(character):
            reason = f"{character!r} would change the letter before it"
        if reason:
            raise parse_error(reason, column + n)

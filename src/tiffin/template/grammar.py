"""The grammar of a template: from text to literal parts and fields.

A field is ``{root.key[key]:specification}``. Errors carry the 1-based column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiffin.errors import TemplateError, did_you_mean

__all__ = ["ROOTS", "Field", "Part", "parse"]

DOCUMENTS = ("start", "descriptor", "event")
AXES = tuple(f"i{axis}" for axis in range(6))
PLAIN = ("stream", "field", "i", "frame", *AXES)
ROOTS = DOCUMENTS + PLAIN

LARGEST_WIDTH = 64
"""No width or precision above this: a name is for people, and memory is finite."""

_SPECIFICATION = re.compile(
    r"(?:.?[<>=^])?[-+ ]?z?#?0?(?P<width>\d+)?[_,]?(?:\.(?P<precision>\d+))?"
    r"[bcdeEfFgGnosxX%]?",
    re.DOTALL,
)
"""Python's format specification mini-language (docs.python.org, string)."""

_KEY = re.compile(r"\.(?P<dotted>[^.\[\]{}:,|!]*)|\[(?P<bracketed>[^\]{}]*)\]")
_ROOT = re.compile(r"[^.\[\]{}:,|!]*")


@dataclass(frozen=True, slots=True)
class Field:
    """What stands in one pair of curly brackets.

    Attributes
    ----------
    root : str
        One of `ROOTS`.
    keys : tuple of str
        The keys to look up, one inside the other.
    specification : str
        How to format the value, as in Python.
    column : int
        Where the field begins in the template, from 1.
    """

    root: str
    keys: tuple[str, ...]
    specification: str
    column: int

    def __str__(self) -> str:
        keys = "".join(f".{k}" if k.isidentifier() else f"[{k}]" for k in self.keys)
        colon = ":" if self.specification else ""
        return f"{{{self.root}{keys}{colon}{self.specification}}}"


Part = str | Field


def parse(text: str) -> tuple[Part, ...]:
    """Part a template into literal text and fields.

    Raises
    ------
    TemplateError
        With the column where reading stopped.

    Examples
    --------
    >>> parse("a{{{start[scan_id]:04d}.")
    ('a{', Field(root='start', keys=('scan_id',), specification='04d', column=4), '.')
    """
    parts: list[Part] = []
    literal: list[str] = []
    at = 0
    while at < len(text):
        pair = text[at : at + 2]
        if pair in ("{{", "}}"):
            literal.append(pair[0])
            at += 2
        elif text[at] == "{":
            if literal:
                parts.append("".join(literal))
                literal = []
            end = _closing(text, at)
            parts.append(_field(text[at + 1 : end], at + 1))
            at = end + 1
        elif text[at] == "}":
            message = "a '}' without its '{' (write '}}' for a bracket in the name)"
            raise TemplateError(_at(message, at + 1), column=at + 1)
        elif text[at] == "\0":
            message = "a NUL character, which no file name can hold"
            raise TemplateError(_at(message, at + 1), column=at + 1)
        else:
            literal.append(text[at])
            at += 1
    if literal:
        parts.append("".join(literal))
    return tuple(parts)


def _closing(text: str, opening: int) -> int:
    for at in range(opening + 1, len(text)):
        if text[at] == "}":
            return at
        if text[at] == "{":
            message = "a field inside a field: widths and keys are written out"
            raise TemplateError(_at(message, at + 1), column=at + 1)
    message = "a '{' without its '}' (write '{{' for a bracket in the name)"
    raise TemplateError(_at(message, opening + 1), column=opening + 1)


def _field(inside: str, column: int) -> Field:
    expression, _, specification = _parted(inside)
    matched = _ROOT.match(expression)
    root = matched.group() if matched else ""
    _check_root(root, column)
    keys = _keys(expression, len(root), column)
    if root in DOCUMENTS and not keys:
        message = (
            f"'{{{root}}}' is a whole document: name a key, as in '{{{root}.uid}}'"
        )
        raise TemplateError(_at(message, column), column=column)
    if root in PLAIN and keys:
        message = f"'{{{root}}}' is a plain value and has no keys"
        raise TemplateError(_at(message, column), column=column)
    _check_specification(specification, column + 1 + len(expression) + 1)
    return Field(root, keys, specification, column)


def _parted(inside: str) -> tuple[str, str, str]:
    """Part at the first colon outside square brackets."""
    depth = 0
    for at, character in enumerate(inside):
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == ":" and depth <= 0:
            return inside[:at], ":", inside[at + 1 :]
    return inside, "", ""


def _check_root(root: str, column: int) -> None:
    if root in ROOTS:
        return
    if not root or root.isdigit():
        message = "an empty or numbered field: name what goes here"
    else:
        message = f"'{root}' is no root"
    message += did_you_mean(root, ROOTS) if root else "; there are: " + ", ".join(ROOTS)
    raise TemplateError(_at(message, column), column=column)


def _keys(expression: str, at: int, column: int) -> tuple[str, ...]:
    keys = []
    while at < len(expression):
        here = column + 1 + at
        matched = _KEY.match(expression, at)
        if matched is None:
            message = f"{expression[at : at + 2]!r} is not expected here"
            if expression[at] == "!":
                message = f"a conversion ({expression[at:]!r}) is refused"
            raise TemplateError(_at(message, here), column=here)
        key = matched.group("dotted")
        if key is None:
            key = matched.group("bracketed").strip("'\"")
        if not key:
            raise TemplateError(_at("a key is empty", here), column=here)
        if key.startswith("__"):
            message = f"'{key}' looks like an attribute; a template looks up items only"
            raise TemplateError(_at(message, here), column=here)
        keys.append(key)
        at = matched.end()
    return tuple(keys)


def _check_specification(specification: str, column: int) -> None:
    matched = _SPECIFICATION.fullmatch(specification)
    if matched is None:
        message = (
            f"{specification!r} is no format specification, such as '04d' or '.2f'"
        )
        raise TemplateError(_at(message, column), column=column)
    for name, digits in matched.groupdict().items():
        if digits and int(digits) > LARGEST_WIDTH:
            message = f"a {name} of {digits} is over {LARGEST_WIDTH}"
            raise TemplateError(_at(message, column), column=column)


def _at(message: str, column: int) -> str:
    return f"template, column {column}: {message}"

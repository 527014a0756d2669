"""Read names backwards: the values that a name was made of, or an honest refusal.

A name is read from left to right, and for each part all places are kept where it may
end. How often the name can be read is counted on the way, so that one which can be read
in two ways is refused instead of being guessed. That takes time in proportion to parts
times length squared, whatever the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError
from tiffin.template.grammar import AXES, Field, Part, Segment
from tiffin.template.portable import CUT_MARK, LONGEST_COMPONENT
from tiffin.template.style import expanded
from tiffin.template.text import WHOLE_TYPES

if TYPE_CHECKING:
    from tiffin.template.style import Style

__all__ = ["Inverse"]

_DIRECTIVES = {
    "Y": r"\d{4}",
    "m": r"\d\d",
    "d": r"\d\d",
    "H": r"\d\d",
    "M": r"\d\d",
    "S": r"\d\d",
    "I": r"\d\d",
    "y": r"\d\d",
    "f": r"\d{6}",
    "j": r"\d{3}",
    "U": r"\d\d",
    "W": r"\d\d",
    "u": r"\d",
    "G": r"\d{4}",
    "V": r"\d\d",
    "b": r"[A-Z][a-z]{2}",
    "B": r"[A-Z][a-z]{2,8}",
    "a": r"[A-Z][a-z]{2}",
    "A": r"[A-Z][a-z]{2,8}",
    "p": r"[AP]M",
    "z": r"[+-]\d{4}(?:\d\d(?:\.\d+)?)?",
    "Z": r"[A-Za-z0-9+\-]+",
    "%": "%",
}

_FLOAT = r"[+\-]?(?:\d[\d,_]*(?:\.\d+)?(?:[eE][+\-]?\d+)?|nan|NAN|inf|INF)"
_INT = {
    "d": r"[+\-]?\d[\d,_]*",
    "n": _FLOAT,
    "x": r"[+\-]?(?:0x)?[0-9a-f_]+",
    "X": r"[+\-]?(?:0X)?[0-9A-F_]+",
    "o": r"[+\-]?(?:0o)?[0-7_]+",
    "b": r"[+\-]?(?:0b)?[01_]+",
}
NUMBERS = ("d", "n", "x", "X", "o", "b", *"eEfFgG%")
"""Format types whose text can be read back as a number."""

_BASES = {"x": 16, "X": 16, "o": 8, "b": 2}

_COUNTS = ("i", "frame", *AXES)
"""Roots that are whole numbers whatever the specification says."""

_CUT = re.compile(re.escape(CUT_MARK) + r"[0-9a-f]{8}(?:\.[A-Za-z0-9]{1,8})?$")


@dataclass(frozen=True, slots=True)
class _Token:
    """A part as the reader sees it: literal text, or a field's pattern."""

    literal: str = ""
    field: Field | None = None
    pattern: re.Pattern[str] | None = None


class Inverse:
    """A template, read backwards.

    Parameters
    ----------
    parts : tuple of Part
    text : str
        The template, for messages.
    style : Style
    """

    def __init__(self, parts: tuple[Part, ...], text: str, style: Style) -> None:
        self._parts = parts
        self._text = text
        self._style = style
        self._tokens = [_tokens(part, style) for part in parts]

    def glob(self) -> str:
        """Give the pattern of the names."""
        pattern = "".join(_glob(part) for part in self._parts)
        return re.sub(r"\*+", "*", pattern)

    def read(self, path: str) -> dict[str, Any]:
        """Read one name.

        Raises
        ------
        TemplateError
        """
        self.check_separate()
        self._check_whole(path)
        candidates = [path]
        first = self._parts[0] if self._parts else ""
        if path.startswith("/") and not (
            isinstance(first, str) and first.startswith("/")
        ):
            pieces = path.strip("/").split("/")
            candidates = ["/".join(pieces[-n:]) for n in range(1, len(pieces) + 1)]
        for candidate in candidates:
            ways = self._ways(candidate)
            if len(ways) > 1:
                shown = " or as ".join(repr(_values(way)) for way in ways[:2])
                message = f"{candidate!r} can be read as {shown}: no way to tell which"
                raise TemplateError(message)
            if ways:
                return self._typed(ways[0])
        message = f"{path!r} is no name of template {self._text!r}"
        raise TemplateError(message)

    # ---- what can't be read

    def check_separate(self) -> None:
        """Refuse fields that may follow each other without anything between them."""
        behind: set[Field | None] = {None}
        for part in self._parts:
            if not isinstance(part, Segment):
                behind = {self._follow(part, before) for before in behind}
                continue
            after = set(behind)  # the segment vanishes
            for before in behind:
                last = before
                for inner in part.parts:
                    last = self._follow(inner, last)
                after.add(last)
            behind = after

    def _follow(self, part: str | Field, before: Field | None) -> Field | None:
        if isinstance(part, str):
            return None
        if before is not None:
            message = (
                f"template {self._text!r} can't be inverted: '{part}' follows "
                f"'{before}' without a separator"
            )
            raise TemplateError(message, column=part.column)
        return part

    def _check_whole(self, path: str) -> None:
        for component in path.split("/"):
            length = len(component.encode("utf-8", "surrogatepass"))
            if length > LONGEST_COMPONENT - 8 and _CUT.search(component):
                message = f"{path!r} was too long and has been cut: it can't be read"
                raise TemplateError(message)

    # ---- reading

    def _ways(self, path: str) -> list[list[tuple[Field, str | None]]]:
        """Give the ways in which a path can be read: none, one, or two of them."""
        ends: dict[int, list[list[tuple[Field, str | None]]]] = {0: [[]]}
        for choices in self._tokens:
            after: dict[int, list[list[tuple[Field, str | None]]]] = {}
            for start, ways in ends.items():
                for stop, more in _readings(choices, path, start):
                    known = after.setdefault(stop, [])
                    # Two ways to one place are as good as all of them.
                    known += [way + more for way in ways[: 2 - len(known)]]
            ends = after
        found = [way for way in ends.get(len(path), []) if _agrees(way)]
        return found if len(found) < 2 or found[0] != found[1] else found[:1]

    def _typed(self, way: list[tuple[Field, str | None]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        told: dict[str, str] = {}
        for field, text in way:
            first = told.setdefault(field.name, str(field)) == str(field)
            key = field.name if first else f"{field.name}:{field.specification}"
            values[key] = self._value(field, text)
        return values

    def _value(self, field: Field, text: str | None) -> Any:
        if text is None:
            return None
        typed = field.is_time or field.type or _counts(field)
        if (
            field.default is not None
            and typed
            and text == self._style.clean(field.default)
        ):
            return None
        if field.is_time:
            return self._time(field, text)
        if field.type not in NUMBERS and not _counts(field):
            return text
        for old, new in self._style.replacements if field.type else ():
            if new:
                text = text.replace(new, old)
        return _number(field, text)

    def _time(self, field: Field, text: str) -> datetime | str:
        directives = expanded(field.specification).replace("%Z", "")
        try:
            time = datetime.strptime(text, _cleaned(directives, self._style))  # noqa: DTZ007
        except (ValueError, re.error):  # one directive twice is an error of strptime's
            return text
        return time if time.tzinfo else self._style.located(time)


Reading = tuple[int, list[tuple[Field, "str | None"]]]


def _tokens(part: Part, style: Style) -> list[list[_Token]]:
    """Give the ways in which a part may stand in a name."""
    if isinstance(part, Segment):
        inner = [_tokens(p, style)[0][0] for p in part.parts]
        return [inner, [_Token(field=t.field) for t in inner if t.field]]
    if isinstance(part, Field):
        return [[_Token(field=part, pattern=_pattern(part, style))]]
    return [[_Token(literal=part)]]


def _readings(choices: list[list[_Token]], path: str, start: int) -> list[Reading]:
    found: list[Reading] = []
    for tokens in choices:
        here: list[Reading] = [(start, [])]
        for token in tokens:
            here = [
                (stop, told + more)
                for begin, told in here
                for stop, more in _ends(token, path, begin)
            ]
        found += here
    return found


def _ends(token: _Token, path: str, start: int) -> list[Reading]:
    """Tell where a token that begins at a place may end."""
    if token.field is None:
        literal = token.literal
        return [(start + len(literal), [])] if path.startswith(literal, start) else []
    if token.pattern is None:  # its segment has vanished
        return [(start, [(token.field, None)])]
    limit = path.find("/", start)
    limit = len(path) if limit < 0 else limit
    stops = [
        stop
        for stop in range(start, limit + 1)
        if token.pattern.fullmatch(path, start, stop)
    ]
    return [(stop, [(token.field, path[start:stop])]) for stop in stops]


def _pattern(field: Field, style: Style) -> re.Pattern[str]:
    """Give the pattern of a field's text in a name."""
    if field.is_time:
        pattern = _time_pattern(field.specification, style)
    elif _counts(field) and not field.specification:
        pattern = r"\d+"
    elif field.type in NUMBERS and style.keeps_numbers:
        pattern = _INT.get(field.type, _FLOAT) + ("%" if field.type == "%" else "")
        pattern = f".*(?:{pattern}).*" if _is_padded(field) else pattern
    else:
        pattern = "[^/]+"  # text; or a site's replacements may have changed any of it
    if field.default is not None:
        pattern = f"(?:{pattern}|{re.escape(field.default)})"
    return re.compile(pattern, re.DOTALL)


def _is_padded(field: Field) -> bool:
    """Whether the specification fills with something but zeros."""
    return (
        any(mark in field.specification for mark in "<>^=")
        or (field.specification[:1].isdigit() and field.specification[:1] != "0")
        or " " in field.specification
    )


def _time_pattern(specification: str, style: Style) -> str:
    pieces = re.split(r"(%.)", expanded(specification), flags=re.DOTALL)
    return "".join(
        _DIRECTIVES[piece[1]]
        if piece.startswith("%")
        else re.escape(_cleaned(piece, style))
        for piece in pieces
        if piece
    )


def _cleaned(literal: str, style: Style) -> str:
    """See the text between directives as it stands in a name."""
    pieces = re.split(r"(%.)", literal, flags=re.DOTALL)
    return "".join(
        piece if piece.startswith("%") else "".join(_clean(c, style) for c in piece)
        for piece in pieces
    )


def _clean(character: str, style: Style) -> str:
    # Dots and blanks alone would count as nothing: between digits they are kept.
    return style.clean(f"0{character}0")[1:-1]


def _counts(field: Field) -> bool:
    return all(
        r.root in _COUNTS or (r.root == "event" and r.keys == ("seq_num",))
        for r in field.references
    )


def _number(field: Field, text: str) -> Any:
    """Read a number, whatever it is padded with; the text where there is none."""
    found = re.search(_INT.get(field.type, _FLOAT), text)
    if found is None:
        return text
    digits = found[0].replace(",", "").replace("_", "")
    if field.type in _BASES:
        return int(digits, _BASES[field.type])
    if field.type == "%":
        return float(digits) / 100
    whole = field.type in WHOLE_TYPES if field.type else _counts(field)
    return int(digits) if whole else float(digits)


def _agrees(way: list[tuple[Field, str | None]]) -> bool:
    """Whether a field that stands twice has one value."""
    seen: dict[str, str | None] = {}
    return all(seen.setdefault(str(field), text) == text for field, text in way)


def _values(way: list[tuple[Field, str | None]]) -> dict[str, str | None]:
    return {field.name: text for field, text in way}


def _glob(part: Part) -> str:
    if isinstance(part, str):
        return re.sub(r"[*?\[]", r"[\g<0>]", part)
    if isinstance(part, Segment) and any(
        isinstance(inner, str) and "/" in inner for inner in part.parts
    ):
        return "**/" if str(part.parts[-1]).endswith("/") else "*"
    return "*"

"""Read one field's text backwards: the values that it can be made of.

What is read is written again, and must give the same text: so a fill, a table of
replacements or a missing part of a time never becomes another value. Where two values
give one text, both are told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError
from tiffin.template.grammar import AXES, Field
from tiffin.template.items import shortened
from tiffin.template.text import number_text
from tiffin.template.times import (
    WITH_LETTERS,
    is_whole,
    pattern_of,
    pieces_of,
    read,
    strftime,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.template.style import Style

__all__ = ["Reading", "is_counted", "reading_of"]

NUMBERS = ("d", "n", "x", "X", "o", "b", *"eEfFgG%")
"""Format types whose text can be read back as a number."""

BASES = {"x": 16, "X": 16, "o": 8, "b": 2}
LETTERS = {
    "x": "abcdefx",
    "X": "ABCDEFX",
    "o": "o",
    "b": "b",
    "d": "",
    "": "",
    "n": ".,einfa",
    "%": ".%einfa",
}
"""What stands in a number besides digits and its sign, by the format's type."""

COUNTS = ("i", "frame", *AXES)
"""Roots that are whole numbers whatever the specification says."""

SHORT_UID = 8

MOST = 64
"""So many texts that replacements could have made one of are looked at."""

MEMORY = 4096

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How one field is read.

    Attributes
    ----------
    values : callable
        (text, whether it begins a component, whether it ends one) → the values that it
        can be made of: none, one, or two of them.
    characters : frozenset of str or None
        What the text is made of; None for anything but a slash.
    """

    values: Callable[[str, bool, bool], Values]
    characters: frozenset[str] | None = None


def reading_of(field: Field, style: Style) -> Reading:
    """Prepare to read a field.

    Raises
    ------
    TemplateError
        If the style's replacements take parts of its numbers away.
    """
    if field.is_time:
        reading = _time_reading(field, style)
    elif is_counted(field) or (field.type in NUMBERS and not _is_of_motors(field)):
        reading = _number_reading(field, style)
    else:
        reading = _text_reading(field, style)
    if field.default is None:
        return reading
    return _with_default(field, reading)


def is_counted(field: Field) -> bool:
    """Whether a field is a whole number that counts something."""
    return all(
        r.root in COUNTS or (r.root == "event" and r.keys == ("seq_num",))
        for r in field.references
    )


def _is_of_motors(field: Field) -> bool:
    return any(r.root == "motors" and not r.keys for r in field.references)


def _with_default(field: Field, reading: Reading) -> Reading:
    """Read a default as well: None, or where text is wanted its text as it stands."""
    default = str(field.default)
    is_text = reading.characters is None and not field.is_time

    def values(text: str, first: bool, last: bool) -> Values:
        found = reading.values(text, first, last)
        if text != default:
            return found
        if text and is_text:
            return (text,)
        return (*found, None)

    characters = reading.characters
    return Reading(
        values, None if characters is None else characters | frozenset(default)
    )


# ---- text


def _text_reading(field: Field, style: Style) -> Reading:
    limit = SHORT_UID if all(r.root == "run" for r in field.references) else None
    if field.layout.precision is not None and field.type in ("", "s"):
        limit = field.layout.precision
    if style.replacements:
        limit = None
    # Without a type the precision of a number is another thing.
    may_be_number = field.type != "s" and field.layout.precision is not None

    @lru_cache(MEMORY)
    def values(text: str, first: bool, last: bool) -> Values:  # noqa: ARG001
        if not style.fits(text):
            return ()
        too_long = limit is not None and text.isascii() and len(text) > limit
        if too_long and not (may_be_number and _as_float(text.strip()) is not None):
            return ()
        return (text,)

    return Reading(values)


# ---- numbers


def _number_reading(field: Field, style: Style) -> Reading:
    alphabet = _alphabet(field)
    images = [(c, _image(c, style)) for c in sorted(alphabet)]
    images += [
        (old, _image(old, style))
        for old, _ in style.replacements
        if len(old) > 1 and alphabet.issuperset(old)
    ]
    for original, image in images:
        if not image:
            message = (
                f"template field '{shortened(str(field))}' can't be inverted: the "
                f"table of replacements takes {original!r} away"
            )
            raise TemplateError(message, column=field.column)
    straight = all(original == image for original, image in images)

    @lru_cache(MEMORY)
    def values(text: str, first: bool, last: bool) -> Values:
        found: dict[str, Any] = {}
        for original in [text] if straight else _originals(text, images):
            for core in _cores(original, field):
                number = _number(core, field)
                if number is None or not _is_written(
                    style.clean, number, field, text, first, last
                ):
                    continue
                found.setdefault(repr(number), number)
                if len(found) > 1:
                    return tuple(found.values())
        return tuple(found.values())

    characters = frozenset("".join(image for _, image in images))
    return Reading(values, characters)


def _is_written(
    clean: Callable[[str], str],
    number: float,
    field: Field,
    text: str,
    first: bool,
    last: bool,
) -> bool:
    """Whether a number, written again, gives the text."""
    try:
        again = clean(number_text(number, field))
    except (ValueError, OverflowError):
        return False
    return _is_trimmed(again, text, first, last)


def _is_trimmed(whole: str, text: str, first: bool, last: bool) -> bool:
    """Whether a text is what stands in a name, whose ends have no blanks or dots."""
    if whole == text:
        return True
    whole = whole.lstrip(" ") if first else whole
    return (whole.rstrip(" .") if last else whole) == text


def _alphabet(field: Field) -> frozenset[str]:
    layout = field.layout
    told = LETTERS.get(layout.type, ".einfa")
    if layout.type in ("E", "F", "G"):
        told = told.upper()
    told += digits + layout.sign + layout.grouping
    if not is_counted(field):
        told += "-"
    if "e" in told or "E" in told:
        told += "+"
    if layout.width:
        told += layout.fill
    return frozenset(told)


def _image(characters: str, style: Style) -> str:
    # Dots and blanks alone would count as nothing: between digits they are kept.
    cleaned = style.clean(f"\ue000{characters}\ue000")
    return cleaned[1:-1] if len(cleaned) > 1 else ""


def _originals(text: str, images: list[tuple[str, str]]) -> list[str]:
    """Give what replacements could have made a text of.

    Raises
    ------
    TemplateError
        If that is too much.
    """
    ends: list[list[str]] = [[] for _ in range(len(text) + 1)]
    ends[0] = [""]
    for at, known in enumerate(ends[:-1]):
        if not known:
            continue
        for original, image in images:
            if text.startswith(image, at):
                ends[at + len(image)] += [before + original for before in known]
        if max(map(len, ends)) > MOST:
            message = f"{shortened(text, quoted=True)} can be read in too many ways"
            raise TemplateError(message)
    return ends[-1]


def _cores(text: str, field: Field) -> Iterator[str]:
    """Give what a number's text is without its padding, in all possible ways."""
    layout = field.layout
    if not layout.width:
        yield text
        return
    fill, align = layout.fill, layout.align or ">"
    if align == "=":
        for n in range(_filled(text, fill) + 1):
            yield text[n:]
        for n in range(1, _filled(text[1:], fill) + 1):
            yield text[0] + text[1 + n :]
        return
    left = _filled(text, fill) if align in (">", "^") else 0
    right = _filled(text[::-1], fill) if align in ("<", "^") else 0
    for n in range(left + 1):
        for m in range(right + 1):
            if n + m < len(text) and (align != "^" or abs(m - n) < 2 or fill == " "):
                yield text[n : len(text) - m]


def _filled(text: str, fill: str) -> int:
    return len(text) - len(text.lstrip(fill))


def _number(text: str, field: Field) -> Any:
    """Read a number that stands alone; None if it is none."""
    layout = field.layout
    text = text.lstrip(" ") if layout.sign == " " else text
    if layout.grouping or layout.type == "n":
        text = text.replace(layout.grouping or ",", "")
    if not text.isascii() or "_" in text or text != text.strip():
        return None
    try:
        if layout.type in BASES:
            return int(text, BASES[layout.type])
        if is_counted(field):
            return int(text) if not text.startswith("-") else None
        if layout.type == "d":
            return int(text)
        if layout.type == "%":
            return float(Decimal(text.removesuffix("%")) / 100)
    except (ValueError, InvalidOperation):
        return None
    return _as_float(text)


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# ---- times


def _time_reading(field: Field, style: Style) -> Reading:
    pieces = pieces_of(field.specification)
    letters = frozenset(letter for _, letter in pieces if letter)
    written = digits + ("+-." if letters & set("zZ") else "")
    written += ascii_letters if letters & WITH_LETTERS else ""
    literal = "".join(literal for literal, _ in pieces)
    touched = any(_image(c, style) != c for c in written) or any(
        len(old) > 1 and set(old) <= set(written + literal)
        for old, _ in style.replacements
    )
    if touched:  # the table may have changed any of it
        return Reading(lambda text, *_: (text,) if style.fits(text) else ())
    return _times(field, style, letters)


def _times(field: Field, style: Style, letters: frozenset[str]) -> Reading:
    pattern, known = _time_pattern(field, style)
    whole = is_whole(letters)

    @lru_cache(MEMORY)
    def values(text: str, first: bool, last: bool) -> Values:
        matched = pattern.fullmatch(text)
        if matched is None:
            return ()
        if not whole:
            return (text,)
        told: dict[str, str] = {}
        for letter, part in zip(known, matched.groups(), strict=True):
            told.setdefault(letter, part)
        found: dict[datetime, datetime] = {}
        for time in _located(told, letters, style):
            again = style.clean(strftime(time, field.specification))
            if _is_trimmed(again, text, first, last):
                found.setdefault(time.astimezone(UTC), time)
        return tuple(found.values())

    return Reading(values)


def _located(
    told: dict[str, str], letters: frozenset[str], style: Style
) -> Iterator[datetime]:
    """Give the time, in its zone; twice where clocks were put back."""
    try:
        time = read(told)
        if time.tzinfo is not None:
            yield style.time(time)
            return
        folds = (0, 1) if letters & set("HI") else (0,)
        for fold in folds:
            # By way of UTC, so that an hour that was left out is another one.
            located = style.located(time.replace(fold=fold)).astimezone(UTC)
            yield style.time(located)
    except (ValueError, OverflowError, OSError):
        return


def _time_pattern(field: Field, style: Style) -> tuple[re.Pattern[str], list[str]]:
    pattern, known = "", []
    for literal, letter in pieces_of(field.specification):
        if letter:
            pattern += f"({pattern_of(letter)})"
            known.append(letter)
        else:
            pattern += re.escape("".join(_image(c, style) for c in literal))
    return re.compile(pattern), known

"""A path's components: of a template, and of the names that it gives."""

from __future__ import annotations

import hashlib
from typing import TypeGuard
from unicodedata import is_normalized

from tiffin.errors import TemplateError
from tiffin.template.grammar import Field, Part, Segment
from tiffin.template.items import shortened
from tiffin.template.portable import (
    CUT_MARK,
    LONGEST_COMPONENT,
    REPLACEMENT,
    check_length,
    is_reserved,
    length_of,
    safe_component,
    split_suffix,
)

__all__ = [
    "Piece",
    "check_components",
    "fitted",
    "is_fit",
    "is_plain",
    "lead_of",
    "mended",
    "tidied",
]

Piece = tuple[str, bool]
"""A part of a name: its text, and whether that is a value's and so may be cut."""

FOR_VALUES = len(CUT_MARK) + 8
"""Bytes that values have at least, for the hash of what was cut."""

_FEW = LONGEST_COMPONENT // 4
"""So many characters fit into a component whatever they are."""

_RESERVED_BEGIN = frozenset({"con", "prn", "aux", "nul", "com", "lpt"})
"""How the names begin that Windows keeps for devices."""


def lead_of(parts: tuple[Part, ...]) -> str:
    """Return the literal leading folders, which may be a root."""
    literal = parts[0] if parts and isinstance(parts[0], str) else ""
    return literal[: literal.rfind("/") + 1]


def tidied(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Leave out of the leading folders what `mended` leaves out of names.

    Examples
    --------
    >>> tidied(("a//./b/c_",))
    ('a/b/c_',)
    """
    lead = lead_of(parts)
    if not lead:
        return parts
    folders = lead.split("/")
    kept = [f for n, f in enumerate(folders[:-1]) if f not in ("", ".") or n == 0]
    literal = "/".join([*kept, str(parts[0])[len(lead) :]])
    return (literal, *parts[1:])


def check_components(parts: tuple[Part, ...], text: str) -> None:
    """Refuse a template that ends without a name, or goes where it should not.

    Raises
    ------
    TemplateError
    """
    shape, at = _shape(parts)
    lead = len(lead_of(parts))
    if shape[shape.rfind("/") + 1 :] in ("", ".", ".."):
        message = f"template {_told(text)} ends without a file name"
        raise TemplateError(message, column=max(len(text), 1))
    for component in shape[:lead].split("/"):
        if is_reserved(component):
            place = shape.index(component)
            message = f"template {_told(text)}, column {at[place]}: "
            message += _reason_against(component)
            raise TemplateError(message, column=at[place])
    place = lead
    for component in shape[lead:].split("/"):
        reason = _reason_against(component)
        if reason:
            column = at[min(place, len(at) - 1)]
            message = f"template {_told(text)}, column {column}: {reason}"
            raise TemplateError(message, column=column)
        place += len(component) + 1
    if any(_may_vanish(part) for part in parts):
        _check_what_stays(parts, text)


def mended(path: str, parts: tuple[Part, ...], text: str) -> str:
    """Make every component of a rendered path one that can be: the careful way.

    Raises
    ------
    TemplateError
        If nothing is left of one, or the path is too long.
    """
    components = path.split("/")
    lead = lead_of(parts).count("/")
    made = [
        part if n < lead else safe_component(part)
        for n, part in enumerate(components)
        if part not in ("", ".") or (n == 0 and lead)
    ]
    if not components[-1] or not all(made[lead:]):
        message = f"template {_told(text)} gives an empty name here: {_told(path)}"
        raise TemplateError(message)
    whole = "/".join(made)
    check_length(whole)
    return whole


def is_fit(path: str) -> bool:
    """Whether no component is too long, or one that Windows keeps."""
    return not any(
        length_of(component) > LONGEST_COMPONENT or is_reserved(component)
        for component in path.split("/")
    )


def fitted(pieces: list[Piece]) -> str:
    """Change values so that each component is one that can be.

    One that is too long has its values cut, the longest first, and a hash of all of it
    keeps names apart; one that Windows keeps gets a mark. What the template's author
    wrote stays, and so do numbers and endings.

    Examples
    --------
    >>> fitted([("raw/x", False), ("a" * 300, True), ("_", False), ("7", True)])[-13:]
    'aa~53ea9e6c_7'
    >>> fitted([("co", True), ("n.tif", False)])
    'co_n.tif'
    """
    components: list[list[Piece]] = [[]]
    for text, is_value in pieces:
        first, *rest = (text,) if is_value else text.split("/")
        components[-1].append((first, is_value))
        components += [[(piece, False)] for piece in rest]
    return "/".join(map(_fitted, components))


def _fitted(component: list[Piece]) -> str:
    if is_reserved("".join(text for text, _ in component)):
        component = _marked(component)
    texts = [text for text, _ in component]
    whole = "".join(texts)
    if length_of(whole) <= LONGEST_COMPONENT:
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    mark = CUT_MARK + digest
    over = length_of(whole) + len(mark) - LONGEST_COMPONENT
    values = [n for n, (_, is_value) in enumerate(component) if is_value]
    for n in sorted(values, key=lambda n: -length_of(texts[n])):
        stem, suffix = split_suffix(texts[n])
        kept = stem.encode("utf-8")[: max(length_of(stem) - over, 0)]
        cut = kept.decode("utf-8", "ignore")
        over -= length_of(stem) - length_of(cut)
        texts[n], mark = cut + mark + suffix, ""
        if over <= 0:
            break
    return "".join(texts)


def _marked(component: list[Piece]) -> list[Piece]:
    """Put a mark behind the last value of what Windows reads: up to the first dot."""
    whole = "".join(text for text, _ in component)
    stem = len(whole.partition(".")[0].rstrip(" "))
    begin = place = at = 0
    for n, (text, is_value) in enumerate(component):
        if is_value and begin < stem:
            place, at = n, min(len(text), stem - begin)
        begin += len(text)
    text, is_value = component[place]
    marked = (text[:at] + REPLACEMENT + text[at:], is_value)
    return [*component[:place], marked, *component[place + 1 :]]


def is_plain(path: str) -> bool:
    """Whether a path needs no mending, as nearly all do: told by a few quick looks."""
    if path.isascii():
        if not 0 < len(path) <= LONGEST_COMPONENT:
            return False
    elif len(path) > _FEW or not is_normalized("NFC", path):
        return False
    if path[0] in "./ " or path[-1] in ". /":
        return False
    if "/" not in path:
        return path[:3].lower() not in _RESERVED_BEGIN
    if "/." in path or "./" in path or "//" in path or " /" in path or "/ " in path:
        return False
    for part in path.split("/"):  # noqa: SIM110 (all() takes twice as long)
        if part[:3].lower() in _RESERVED_BEGIN:
            return False
    return True


def _told(text: str) -> str:
    return shortened(text, quoted=True)


def _reason_against(component: str) -> str:
    if component == "..":
        return "'..' goes up behind a field"
    if component in ("", "."):
        return f"{component + '/'!r} is no folder behind one"
    if component.startswith("."):
        return "a name that begins with a dot is hidden"
    if component.startswith(" "):
        return "a name that begins with a space"
    if is_reserved(component):
        return f"Windows keeps {component.partition('.')[0]!r} for a device"
    if component.endswith((".", " ")):
        return "Windows takes no name that ends with a dot or a space"
    return _reason_by_length(component)


def _reason_by_length(component: str) -> str:
    literal = component.replace("\0", "")
    length = length_of(literal)
    if length <= LONGEST_COMPONENT - (FOR_VALUES if literal != component else 0):
        return ""
    return (
        f"{literal[:20]!r}… alone has {length} bytes: a name may have "
        f"{LONGEST_COMPONENT} bytes, with its values"
    )


def _check_what_stays(parts: tuple[Part, ...], text: str) -> None:
    """Refuse what can be no name when values vanish, any of them."""
    here = tuple(part for part in parts if not _is_folder(part))
    longest = max(_shape(here)[0].split("/"), key=len)
    if _reason_by_length(longest):
        message = f"template {_told(text)}: without its folders, "
        raise TemplateError(message + _reason_by_length(longest))
    stays, at = _shape(parts, vanishing=True)
    place = len(lead_of(parts))
    for component in stays[place:].split("/"):
        if is_reserved(component):
            column = at[min(place, len(at) - 1)]
            message = f"template {_told(text)}, column {column}: without its value, "
            raise TemplateError(message + _reason_against(component), column=column)
        place += len(component) + 1
    try:
        _check_ends(parts, len(lead_of(parts)))
    except _NoName as found:
        (column,) = found.args
        message = (
            f"template {_told(text)}, column {column}: no name is left here when its "
            f"value vanishes; a folder takes its '/' along, as in '<…/>'"
        )
        raise TemplateError(message, column=column) from None


class _NoName(Exception):
    """A component can be nothing, or end with a dot or blank: at a column."""


_NOTHING, _LOOSE, _NAME = "nothing", "loose", "name"

_Ends = dict[str, int]
"""How a component can stand so far: as nothing, with a dot or blank at its end, or as a
name; each with the column to blame, 0 for the one that is reached."""


def _check_ends(parts: tuple[Part, ...], lead: int) -> None:
    """Go through all ways in which parts can be there or not, side by side."""
    first = str(parts[0])[lead:] if lead else ""
    rest = (first, *parts[1:]) if lead else parts
    ends, column = _ends_behind(rest, {_NOTHING: 0}, lead + 1)
    _check_end(ends, column)


def _ends_behind(
    parts: tuple[Part, ...], ends: _Ends, column: int
) -> tuple[_Ends, int]:
    for part in parts:
        if isinstance(part, str):
            for character in part:
                ends = _ends_with(character, ends, column)
                column += 1
            continue
        there = {_NAME: part.column}
        if isinstance(part, Segment):
            there, _ = _ends_behind(part.parts, ends, part.column + 1)
        if _may_vanish(part):
            without = {kind: blamed or part.column for kind, blamed in ends.items()}
            there = {**there, **without}
        ends, column = there, part.end
    return ends, column


def _ends_with(character: str, ends: _Ends, column: int) -> _Ends:
    if character == "/":
        _check_end(ends, column)
        return {_NOTHING: 0}
    if character in ". ":
        if _NOTHING in ends:
            raise _NoName(ends[_NOTHING] or column)
        return {_LOOSE: column}
    return {_NAME: column}


def _check_end(ends: _Ends, column: int) -> None:
    for kind in (_NOTHING, _LOOSE):
        if kind in ends:
            raise _NoName(ends[kind] or column)


def _shape(
    parts: tuple[Part, ...], column: int = 1, *, vanishing: bool = False
) -> tuple[str, list[int]]:
    r"""Return the text with each field as ``\0``, and the column of each character.

    With `vanishing`, without the segments and fields that may be empty.
    """
    shape = ""
    columns: list[int] = []
    for part in parts:
        if vanishing and _may_vanish(part):
            column = part.column
        elif isinstance(part, Segment):
            inner, places = _shape(part.parts, part.column + 1)
            shape, columns, column = shape + inner, columns + places, part.end
        elif isinstance(part, Field):
            shape, columns, column = shape + "\0", [*columns, part.column], part.end
        else:
            shape += part
            columns += range(column, column + len(part))
            column += len(part)
    return shape, columns or [1]


def _is_folder(part: Part) -> bool:
    """Whether a part may vanish and take a slash with it."""
    return isinstance(part, Segment) and any(
        isinstance(inner, str) and "/" in inner for inner in part.parts
    )


def _may_vanish(part: Part) -> TypeGuard[Segment | Field]:
    if isinstance(part, Segment):
        return True
    # A default of blanks or dots is no name either.
    blank = isinstance(part, Field) and part.default is not None
    return blank and not str(part.default).strip(" .")  # type: ignore[union-attr]

"""A path's components: of a template, and of the names that it gives."""

from __future__ import annotations

import re
from typing import TypeGuard
from unicodedata import is_normalized

from tiffin.errors import TemplateError
from tiffin.template.grammar import Field, Part, Segment
from tiffin.template.portable import LONGEST_COMPONENT, check_length, safe_component

__all__ = ["check_components", "is_plain", "lead_of", "mended"]

_FEW = LONGEST_COMPONENT // 4
"""So many characters fit into a component whatever they are."""

_RESERVED_BEGIN = frozenset({"con", "prn", "aux", "nul", "com", "lpt"})
"""How the names begin that Windows keeps for devices."""


def lead_of(parts: tuple[Part, ...]) -> str:
    """Give the literal leading folders, which may be a root."""
    literal = parts[0] if parts and isinstance(parts[0], str) else ""
    return literal[: literal.rfind("/") + 1]


def check_components(parts: tuple[Part, ...], text: str) -> None:
    """Refuse a template that ends without a name, or goes where it should not.

    Raises
    ------
    TemplateError
    """
    shape, at = _shape(parts)
    lead = len(lead_of(parts))
    if shape[shape.rfind("/") + 1 :] in ("", ".", ".."):
        message = f"template {text!r} ends without a file name"
        raise TemplateError(message, column=max(len(text), 1))
    place = lead
    for component in shape[lead:].split("/"):
        reason = _reason_against(component)
        if reason:
            column = at[min(place, len(at) - 1)]
            message = f"template {text!r}, column {column}: {reason}"
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
        message = f"template {text!r} gives an empty name here: {path!r}"
        raise TemplateError(message)
    whole = "/".join(made)
    check_length(whole)
    return whole


def is_plain(path: str) -> bool:
    """Whether a path needs no mending, as nearly all do: told by a few quick looks."""
    if path.isascii():
        if not 0 < len(path) <= LONGEST_COMPONENT:
            return False
    elif len(path) > _FEW or not is_normalized("NFC", path):
        return False
    if path[0] in "./ " or path[-1] in ". /" or "/." in path or "./" in path:
        return False
    if "//" in path or " /" in path or "/ " in path:
        return False
    if "/" not in path:
        return path[:3].lower() not in _RESERVED_BEGIN
    return all(part[:3].lower() not in _RESERVED_BEGIN for part in path.split("/"))


def _reason_against(component: str) -> str:
    literal = component.replace("\0", "")
    if component == "..":
        return "'..' goes up behind a field"
    if component == ".":
        return ""
    if component.startswith("."):
        return "a name that begins with a dot is hidden"
    if component.startswith(" "):
        return "a name that begins with a space"
    if component.endswith((".", " ")):
        return "Windows takes no name that ends with a dot or a space"
    if len(literal.encode()) > LONGEST_COMPONENT:
        return f"{literal[:20]!r}… alone has more than {LONGEST_COMPONENT} bytes"
    return ""


def _check_what_stays(parts: tuple[Part, ...], text: str) -> None:
    """Refuse a folder, or a name, that may vanish and leave its '/' or '.' behind.

    Every part that may be empty is left out, and what is left is looked at.
    """
    stays, at = _shape(parts, vanishing=True)
    for found in re.finditer(r"(?:^|/)(?=/|[. ]|$)|[. ](?=/|$)", stays):
        place = found.start() + found[0].startswith("/")
        if place < len(lead_of(parts)):
            continue
        column = at[min(place, len(at) - 1)]
        message = (
            f"template {text!r}, column {column}: no name is left here when its value "
            f"vanishes; a folder takes its '/' along, as in '<…/>'"
        )
        raise TemplateError(message, column=column)


def _shape(
    parts: tuple[Part, ...], column: int = 1, *, vanishing: bool = False
) -> tuple[str, list[int]]:
    r"""Give the text with each field as ``\0``, and the column of each character.

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


def _may_vanish(part: Part) -> TypeGuard[Segment | Field]:
    if isinstance(part, Segment):
        return True
    # A default of blanks or dots is no name either.
    blank = isinstance(part, Field) and part.default is not None
    return blank and not str(part.default).strip(" .")  # type: ignore[union-attr]

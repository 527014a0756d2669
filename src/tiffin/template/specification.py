"""Check the format specification of a field: Python's own, or strftime directives."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache

from tiffin.template.messages import parse_error, shortened
from tiffin.template.times import DIRECTIVES

LARGEST_WIDTH = 64
"""The largest width or precision, and the longest strftime specification."""

_SPECIFICATION = re.compile(
    r"(?:(?P<fill>.)?[<>=^])?[-+ ]?z?#?(?P<zero>0?)(?P<width>[0-9]*)[_,]?"
    r"(?:\.(?P<precision>[0-9]+))?(?P<type>[bcdeEfFgGnosxX%]?)",
    re.DOTALL,
)
"""Python's format specification mini-language (docs.python.org, string)."""

_FILLS = " -_.=+~,;!@#$%&'()`"
"""The characters that may fill a field, besides ASCII letters and digits."""

_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)


@lru_cache(maxsize=256)
def fill_and_type(specification: str) -> tuple[str, str]:
    """Return the fill character and the type, such as ``"d"``, of a specification.

    Both are as Python takes them: without one, a space and ``""``.
    """
    matched = _SPECIFICATION.fullmatch(specification)
    if matched is None or is_strftime(specification):
        return " ", ""
    return matched["fill"] or matched["zero"] or " ", matched["type"]


@lru_cache(maxsize=256)
def is_strftime(specification: str) -> bool:
    """Return whether a specification has a directive for times, such as ``%Y``."""
    return not DIRECTIVES.isdisjoint(_DIRECTIVE.findall(specification))


def check_specification(specification: str, column: int) -> None:
    """Refuse a specification at a column that fits no value, or gives no name."""
    if is_strftime(specification):
        _check_strftime(specification, column)
        return
    matched = _SPECIFICATION.fullmatch(specification)
    if matched is None:
        message = (
            f"a format must be like '04d', '.2f' or '%Y%m%d', not "
            f"{shortened(specification, quoted=True)}"
        )
        plain = specification.removeprefix("%")
        if plain != specification and _SPECIFICATION.fullmatch(plain):
            message += f": did you mean {shortened(plain, quoted=True)}?"
        elif "yyyy" in specification.lower():
            message += ": did you mean '%Y-%m-%d'?"
        raise parse_error(message, column)
    for name in ("width", "precision"):
        digits = (matched[name] or "").lstrip("0")
        if len(digits) > 2 or int(digits or 0) > LARGEST_WIDTH:
            message = f"a {name} of {shortened(digits)} is over {LARGEST_WIDTH}"
            raise parse_error(message, column)
    if matched["type"] == "c":
        message = "a number can't be formatted as 'c': 47, for example, would be a '/'"
        raise parse_error(message, column)
    fill = matched["fill"] or " "
    if not (fill.isascii() and fill.isalnum()) and fill not in _FILLS:
        raise parse_error(f"{fill!r} can't fill a name", column)
    if not any(_fits(value, specification) for value in (1, 1.5, "text")):
        message = f"{specification!r} is not a valid format for numbers or text"
        raise parse_error(message, column)


def _fits(value: object, specification: str) -> bool:
    with suppress(ValueError):
        format(value, specification)
        return True
    return False


def _check_strftime(specification: str, column: int) -> None:
    if len(specification) > LARGEST_WIDTH:
        message = f"a specification of {len(specification)} is over {LARGEST_WIDTH}"
        raise parse_error(message, column)
    for directive in _DIRECTIVE.finditer(specification):
        if directive[1] not in (*DIRECTIVES, "%"):
            choices = " ".join(f"%{letter}" for letter in DIRECTIVES)
            message = f"a time directive must be one of {choices}, not {directive[0]!r}"
            raise parse_error(message, column + directive.start())

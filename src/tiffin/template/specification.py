"""A field's format specification: Python's own, or one of strftime."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from tiffin.errors import TemplateError
from tiffin.template.items import shortened
from tiffin.template.times import DIRECTIVES

__all__ = [
    "LARGEST_WIDTH",
    "Layout",
    "check_specification",
    "is_strftime",
    "layout_of",
    "refusal",
]

LARGEST_WIDTH = 64
"""No width or precision above this: a name is for people, and memory is finite."""

_SPECIFICATION = re.compile(
    r"(?:(?P<fill>.)?(?P<align>[<>=^]))?(?P<sign>[-+ ]?)z?#?(?P<zero>0?)"
    r"(?P<width>[0-9]*)(?P<grouping>[_,]?)(?:\.(?P<precision>[0-9]+))?"
    r"(?P<type>[bcdeEfFgGnosxX%]?)",
    re.DOTALL,
)
"""Python's format specification mini-language (docs.python.org, string)."""

_FILLS = " -_.=+~,;!@#$%&'()`"
"""What may fill a field, besides ASCII letters and digits."""

_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)


class Layout(NamedTuple):
    """The parts of a format specification, as Python names them."""

    fill: str = " "
    align: str = ""
    sign: str = ""
    width: int = 0
    grouping: str = ""
    precision: int | None = None
    type: str = ""


@lru_cache(maxsize=256)
def layout_of(specification: str) -> Layout:
    """Part a specification; one of strftime has none of the parts."""
    matched = None
    if not is_strftime(specification):
        matched = _SPECIFICATION.fullmatch(specification)
    if matched is None:
        return Layout()
    zero = matched["zero"]
    return Layout(
        fill=matched["fill"] or ("0" if zero else " "),
        align=matched["align"] or ("=" if zero else ""),
        sign=matched["sign"],
        width=int(matched["width"] or 0),
        grouping=matched["grouping"],
        precision=int(matched["precision"]) if matched["precision"] else None,
        type=matched["type"],
    )


@lru_cache(maxsize=256)
def is_strftime(specification: str) -> bool:
    """Whether a specification is one for times: it holds a directive such as ``%Y``."""
    return any(
        letter in DIRECTIVES for letter in _DIRECTIVE.findall(specification) if letter
    )


def check_specification(specification: str, column: int) -> None:
    """Refuse a specification that can't work, or not in a name.

    Raises
    ------
    TemplateError
        With the column, where `column` is that of its beginning.
    """
    if is_strftime(specification):
        _check_strftime(specification, column)
        return
    matched = _SPECIFICATION.fullmatch(specification)
    if matched is None:
        message = (
            f"{shortened(specification, quoted=True)} is no format specification, such "
            f"as '04d', '.2f' or '%Y%m%d'"
        )
        raise refusal(message, column)
    for name in ("width", "precision"):
        digits = (matched[name] or "").lstrip("0")
        if len(digits) > 2 or int(digits or 0) > LARGEST_WIDTH:
            message = f"a {name} of {shortened(digits)} is over {LARGEST_WIDTH}"
            raise refusal(message, column)
    if matched["type"] == "c":
        message = "a number can't be formatted as 'c', any character: a '/' is one too"
        raise refusal(message, column)
    fill = matched["fill"] or " "
    if not (fill.isascii() and fill.isalnum()) and fill not in _FILLS:
        raise refusal(f"{fill!r} can't fill a name", column)
    if not any(_takes(value, specification) for value in (1, 1.5, "text")):
        message = f"{specification!r} fits no value: Python takes it for none"
        raise refusal(message, column)


def _takes(value: object, specification: str) -> bool:
    with suppress(ValueError):
        format(value, specification)
        return True
    return False


def _check_strftime(specification: str, column: int) -> None:
    if len(specification) > LARGEST_WIDTH:
        message = f"a specification of {len(specification)} is over {LARGEST_WIDTH}"
        raise refusal(message, column)
    for found in _DIRECTIVE.finditer(specification):
        if found[1] not in (*DIRECTIVES, "%") or not found[1]:
            message = (
                f"'%{found[1]}' is no directive for a time; there are: "
                + " ".join(f"%{letter}" for letter in DIRECTIVES)
            )
            raise refusal(message, column + found.start())


def refusal(message: str, column: int) -> TemplateError:
    """Say what is wrong with a template, and where."""
    return TemplateError(f"template, column {column}: {message}", column=column)

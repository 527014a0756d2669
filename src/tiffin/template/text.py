"""Put a field's value into words: the steps that make a name, prepared once.

A step is a callable: what the roots stand for in, text out, or None where there is no
value. Only plain text, numbers and times are formatted, by their own built-in types:
no object's own code is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from tiffin.errors import TemplateError
from tiffin.template.grammar import Segment
from tiffin.template.items import (
    MISSING,
    kind_of,
    nearest,
    plain,
    shortened,
    shown,
    texts_in,
)
from tiffin.template.lookup import SHORT_UID, Ambiguous, find, is_missing, units_of
from tiffin.template.times import strftime

if TYPE_CHECKING:
    from tiffin.template.grammar import Field, Part, Reference
    from tiffin.template.specification import Layout
    from tiffin.template.style import Style

__all__ = [
    "Names",
    "Step",
    "number_text",
    "pieces_of",
    "segment_of",
    "step_of",
    "text_of",
]

Names = Any
"""What the roots stand for: a mapping, of whatever a run holds."""

Step = Callable[[Names], str | None]

WHOLE_TYPES = frozenset("bdoxX")
"""Format types that take whole numbers only."""

MOTOR_SPECIFICATION = ".6g"
"""Of a motor's value in ``{motors}``, unless the field has one."""

MEMORY = 1024
"""How many times a field remembers in words."""

_get: Any = dict.get
_has: Any = dict.__contains__
_values: Any = dict.values
"""Of dicts, whose subclasses' own methods are passed by; a TypeError of all else."""


def step_of(field: Field, style: Style) -> Step:
    """Prepare a field. The step gives None where it has no value and no default."""
    options = [_option(field, reference, style) for reference in field.references]
    default = field.default
    if len(options) == 1:
        (option,) = options
        if default is None:
            return option

        def or_default(names: Names) -> str | None:
            text = option(names)
            return default if text is None else text

        return or_default

    def first_of(names: Names) -> str | None:
        for option in options:
            text = option(names)
            if text is not None:
                return text
        return default

    return first_of


def segment_of(segment: Segment, style: Style) -> Callable[[Names], str]:
    """Prepare a segment. The step gives ``""`` where a field in it has no value."""
    steps = [p if isinstance(p, str) else step_of(p, style) for p in segment.parts]

    def all_or_nothing(names: Names) -> str:
        texts = []
        for step in steps:
            text = step if isinstance(step, str) else step(names)
            if text is None:
                return ""
            texts.append(text)
        return "".join(texts)

    return all_or_nothing


def pieces_of(part: Part, style: Style, names: Names) -> list[tuple[str, bool]]:
    """Return a part's texts, and of each whether it is a value's."""
    if isinstance(part, str):
        return [(part, False)]
    if isinstance(part, Segment):
        pieces = [
            piece for inner in part.parts for piece in pieces_of(inner, style, names)
        ]
        return pieces if all(text is not None for text, _ in pieces) else []
    return [(step_of(part, style)(names), True)]  # type: ignore[list-item]


def text_of(value: Any, field: Field, style: Style) -> str | None:
    """Format a value as its field asks; None if it is blank.

    Raises
    ------
    TemplateError
        If the specification does not fit the value.
    """
    text = _uncleaned(value, field, style)
    return None if text is None else style.clean(text) or None


def number_text(value: float, field: Field) -> str:
    """Format a number; one that is whole but stored as a float as a whole one.

    Raises
    ------
    ValueError, OverflowError
        If the specification does not fit the value.
    """
    specification = field.specification
    if type(value) is int or field.type not in WHOLE_TYPES:
        return format(value, specification)
    if not float.is_integer(value):
        message = f"it is not whole, and '{field.type}' is for whole numbers"
        raise ValueError(message)
    return format(int(value), specification)


def _option(field: Field, reference: Reference, style: Style) -> Step:
    """Prepare one alternative of a field."""
    if reference.root == "motors" and not reference.keys:
        return _motors_step(field, reference, style)
    root, made = reference.root, None
    first, rest = (*reference.keys, None)[0], reference.keys[1:]
    if root in _QUICK:
        made, first, rest = _QUICK[root](*reference.keys), None, ()
    specification, clean = field.specification, style.clean
    as_it_is = style.keeps_numbers and not field.is_time and _is_plain(field.layout)
    in_time = _time_step(field, style) if field.is_time else None
    is_bare = not specification
    is_text = not field.is_time and field.type in ("", "s") and not _is_signed(field)

    def option(names: Names) -> str | None:
        # The common case first: plain values under plain keys, in few steps. Dicts are
        # asked by their own `get`, so that subclasses' own methods are passed by.
        try:
            value = made(names) if made else _get(names, root)
            if first is not None:
                value = _get(value, first)
                if rest:
                    for key in rest:
                        value = _get(value, key)
        except TypeError:  # no dict on the way
            value = None
        kind = type(value)
        if kind is str:
            if is_bare:
                return clean(value) or None
            if is_text:
                return clean(format(value, specification)) or None
        elif kind is float or kind is int:
            try:
                if as_it_is:
                    return format(value, specification)
                if in_time:
                    return in_time(value)
            except (ValueError, OverflowError, OSError):
                pass  # told below, with all that is known
        if value is None:
            value = find(reference, names)
            if value is MISSING:
                return None
        return text_of(value, field, style)

    return option


def _run_look_up() -> Callable[[Any], Any]:
    def look_up(names: Any) -> Any:
        uid = _get(_get(names, "start"), "uid")
        known = type(uid) is str and _get(names, "run") is None
        return uid[:SHORT_UID] if known else None

    return look_up


def _config_look_up(key: str, *rest: str) -> Callable[[Any], Any]:
    def look_up(names: Any) -> Any:
        found = [
            _get(data, key)
            for device in _values(_get(_get(names, "descriptor"), "configuration"))
            if _has(data := _get(device, "data"), key)
        ]
        known = len(found) == 1 and _get(names, "config") is None
        return found[0] if known else None

    return (lambda _: None) if rest else look_up


_QUICK: dict[str, Callable[..., Callable[[Any], Any]]] = {
    "run": _run_look_up,
    "config": _config_look_up,
}


def _time_step(field: Field, style: Style) -> Callable[[float], str | None]:
    """Prepare times: of one document they are the same again and again."""

    @lru_cache(MEMORY)
    def in_time(seconds: float) -> str | None:
        time = strftime(style.time(seconds), field.specification)
        return style.clean(time) or None

    return in_time


def _is_plain(layout: Layout) -> bool:
    """Whether what a number's format gives can stand in a name as it is."""
    return layout.type != "n" and layout.fill != "."  # as a locale has it; and hidden


def _is_signed(field: Field) -> bool:
    """Whether the specification has what is for numbers only."""
    return any(mark in field.specification for mark in "+-=,_#z 0")


def _motors_step(field: Field, reference: Reference, style: Style) -> Step:
    """Prepare all scanned motors with their values and units: ``x_1.5mm_T_300K``."""
    numbers = replace(field, specification=field.specification or MOTOR_SPECIFICATION)
    others = replace(field, specification="")

    def motors_text(names: Names) -> str | None:
        motors = find(reference, names)
        if motors is MISSING:
            return None
        if not issubclass(type(motors), dict):
            return text_of(motors, others, style)
        texts = []
        for name in texts_in(motors):
            value = plain(_get(motors, name))
            of = numbers if type(value) in (int, float) else others
            text = _uncleaned(value, of, style, name)
            if text is None:
                return None
            texts.append(f"{name}_{text}{units_of(name, names)}")
        return style.clean("_".join(texts)) or None

    return motors_text


def _uncleaned(
    value: Any, field: Field, style: Style, motor: str | None = None
) -> str | None:
    if type(value) is not float:
        value = _plain(value, field)
    if is_missing(value):
        return None
    if type(value) is float and not field.is_time:
        with suppress(ValueError, OverflowError):
            return number_text(value, field)
    of = f"template field '{shortened(str(field))}'"
    if motor is not None:
        of = f"template field '{{motors}}': {shortened(motor, quoted=True)}"
    if type(value) is Ambiguous:
        raise value.error(field)
    if _is_several(value):
        message = f"{of} is {kind_of(value)}: choose one item of it"
        if issubclass(type(value), Mapping):
            message += nearest("", value)
        raise TemplateError(message, column=field.column)
    try:
        return _formatted(value, field, style)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        reason = shortened(str(error)) if type(value) is str else str(error)
        message = f"{of}: {shown(value)} can't be formatted so ({reason})"
        raise TemplateError(message, column=field.column) from None


def _plain(value: Any, field: Field) -> Any:
    kind: Any = type(value)
    if issubclass(kind, np.ndarray) and not np.ndarray.ndim.__get__(value):
        value = np.ndarray.view(value, np.ndarray)[()]
        kind = type(value)
    if issubclass(kind, (np.float32, np.float16)) and not field.type:
        # In as few digits as tell it, not in those of the double that is the same.
        base = np.float32 if issubclass(kind, np.float32) else np.float16
        return float(base.__str__(value))
    return plain(value)


def _is_several(value: Any) -> bool:
    kind = type(value)
    if issubclass(kind, (str, bytes, bytearray)):
        return False
    return issubclass(kind, (Mapping, list, tuple, set, frozenset, np.ndarray))


def _formatted(value: Any, field: Field, style: Style) -> str:
    kind = type(value)
    if kind is datetime and type(value.tzinfo) in (type(None), timezone, ZoneInfo):
        return strftime(style.time(value), field.specification or "%Y%m%d-%H%M%S")
    if kind not in (str, int, float, bool, complex):
        wanted = "as a number or a text"
        if any(word in kind.__name__.lower() for word in ("date", "time")):
            wanted = "as seconds since 1970 or a text in ISO 8601"
        message = f"{kind_of(value)} is neither text nor number: store it {wanted}"
        raise TypeError(message)
    if field.is_time:
        if kind in (bool, complex):
            message = f"{kind_of(value)} is no time"
            raise TypeError(message)
        return strftime(style.time(value), field.specification)
    if kind is bool:
        value = str(value)
    return (
        number_text(value, field)
        if kind in (int, float)
        else format(value, field.specification)
    )

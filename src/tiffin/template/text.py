"""Put a field's value into words: the steps that make a name, prepared once.

A step is a callable: what the roots stand for in, text out, or None where there is no
value. Only plain text, numbers and times are formatted, by their own built-in types:
no object's own code is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import TemplateError, did_you_mean
from tiffin.template.lookup import (
    MISSING,
    Ambiguous,
    find,
    units_of,
)
from tiffin.template.style import Style, strftime

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.template.grammar import Field, Reference, Segment

    Names = Mapping[str, Any]
    Step = Callable[[Names], str | None]

__all__ = ["step_of", "segment_of", "text_of"]

WHOLE_TYPES = "bcdoxX"
"""Format types that take whole numbers only."""

MOTOR_SPECIFICATION = ".6g"
"""Of a motor's value in ``{motors}``, unless the field has one."""


def step_of(field: Field, style: Style) -> Step:
    """Prepare a field. The step gives None where it has no value and no default."""
    options = [_option(field, reference, style) for reference in field.references]
    if len(options) == 1 and field.default is None:
        return options[0]

    def first_of(names: Names) -> str | None:
        for option in options:
            text = option(names)
            if text is not None:
                return text
        return field.default

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


def text_of(value: Any, field: Field, style: Style) -> str | None:
    """Format a value as its field asks; None if it is blank.

    Raises
    ------
    TemplateError
        If the specification does not fit the value.
    """
    if isinstance(value, np.generic) or (
        isinstance(value, np.ndarray) and not value.ndim
    ):
        value = value.item()
    if value is None:
        return None
    if isinstance(value, Ambiguous):
        raise value.error(field)
    if isinstance(value, (Mapping, list, tuple, set, frozenset, np.ndarray)):
        kind = type(value).__name__
        message = f"template field '{field}' is a {kind}: choose one item of it"
        if isinstance(value, Mapping):
            message += did_you_mean("", map(str, value.keys()))
        raise TemplateError(message, column=field.column)
    if isinstance(value, str) and not value.strip().strip("."):
        return None  # blank, or nothing but dots
    try:
        text = _formatted(value, field, style)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        message = f"template field '{field}': {value!r} can't be formatted so ({error})"
        raise TemplateError(message, column=field.column) from None
    return style.clean(text) or None


def _option(field: Field, reference: Reference, style: Style) -> Step:
    """Prepare one alternative of a field."""
    if reference.root == "motors" and not reference.keys:
        return lambda names: _motors_text(field, reference, names, style)
    specification = field.specification
    clean, as_it_is = style.clean, style.keeps_numbers and not field.is_time
    is_text = not field.is_time and field.type in ("", "s") and not _is_signed(field)

    def option(names: Names) -> str | None:
        # The common case first: plain values under plain keys, in few steps.
        try:
            value: Any = names[root]
            for key in keys:
                value = value[key]
        except (LookupError, TypeError, ValueError):
            value = find(reference, names)
        kind = type(value)
        if kind is str:
            if not specification:
                return clean(value) or None
            if is_text:
                return clean(format(value, specification)) or None
        elif (kind is int or kind is float) and as_it_is:
            try:
                return format(value, specification)
            except (ValueError, OverflowError):
                pass  # told below, with all that is known
        if value is MISSING or (value is None and root not in names):
            return None
        if value is None:  # a root that is made of the documents
            value = find(reference, names)
            if value is MISSING:
                return None
        return text_of(value, field, style)

    root, keys = reference.root, reference.keys
    return option


def _is_signed(field: Field) -> bool:
    """Whether the specification has what is for numbers only."""
    return any(mark in field.specification for mark in "+-=,_#z 0")


def _motors_text(
    field: Field, reference: Reference, names: Names, style: Style
) -> str | None:
    """Give every scanned motor with its value and unit: ``x_1.5mm_T_300K``."""
    motors = find(reference, names)
    if motors is MISSING:
        return None
    if isinstance(motors, str):
        return text_of(motors, field, style)
    texts = []
    for name, value in motors.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, (int, float)) and not isinstance(plain, bool):
            try:
                plain = _number(
                    plain, field.specification or MOTOR_SPECIFICATION, field
                )
            except (ValueError, OverflowError) as error:
                message = f"template field '{field}': {name} is {value!r} ({error})"
                raise TemplateError(message, column=field.column) from None
        elif not isinstance(plain, str):
            plain = str(type(plain).__name__)
        texts.append(f"{name}_{plain}{units_of(name, names)}")
    return style.clean("_".join(texts)) or None


def _formatted(value: Any, field: Field, style: Style) -> str:
    if field.is_time:
        if isinstance(value, bool) or not isinstance(
            value, (int, float, str, datetime)
        ):
            kind = type(value).__name__
            message = f"a {kind} is no time"
            raise TypeError(message)
        return strftime(style.time(value), field.specification)
    if isinstance(value, bool):
        return str.__format__(str(bool(value)), field.specification)
    if isinstance(value, str):
        return str.__format__(value, field.specification)
    if isinstance(value, (int, float)):
        return _number(value, field.specification, field)
    if isinstance(value, datetime):
        return strftime(style.time(value), field.specification or "%Y%m%d-%H%M%S")
    if isinstance(value, complex):
        return complex.__format__(value, field.specification)
    message = f"a {type(value).__name__} is neither text, number nor time"
    raise TypeError(message)


def _number(value: float, specification: str, field: Field) -> str:
    """Format a number; one that is whole but stored as a float as a whole one."""
    if isinstance(value, int):
        return int.__format__(value, specification)
    if field.type and field.type in WHOLE_TYPES:
        if not float.is_integer(value):
            message = f"it is not whole, and '{field.type}' is for whole numbers"
            raise ValueError(message)
        return int.__format__(int(value), specification)
    return float.__format__(value, specification)

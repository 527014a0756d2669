"""Checks of the settings of corrections, made when a correction is created."""

from __future__ import annotations

import contextlib
import math
import operator
import os
from typing import Any, get_args

import numpy as np

from tiffin.errors import SettingsError, did_you_mean

__all__ = [
    "Number",
    "check_choice",
    "check_integer",
    "check_number",
    "check_text",
    "float64_number",
    "is_finite",
    "set_fields",
]

Number = int | float


def set_fields(instance: object, **values: Any) -> None:
    """Set fields of a frozen dataclass, in its ``__post_init__``."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def check_choice(name: str, value: Any, choices: Any) -> str:
    """Return a setting that is one of some texts, or of a ``Literal``'s."""
    choices = get_args(choices) or choices
    if not isinstance(value, str) or value not in choices:
        hint = did_you_mean(str(value), choices)
        hint = hint if hint.startswith(":") else ""
        shown = ", ".join(map(repr, choices))
        raise SettingsError(f"{name} must be one of {shown}, not {value!r}{hint}")
    return value


def check_number(name: str, value: Any) -> Number:
    """Return a setting as an int or float; NaN and infinity are floats."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if number == value or math.isnan(number):  # a longdouble may differ
            return number
    raise SettingsError(f"{name} must be a number, not {value!r}")


def float64_number(name: str, value: Any) -> Number:
    """Return a setting as a finite number that float64 holds exactly."""
    number = check_number(name, value)
    with contextlib.suppress(OverflowError):
        if is_finite(number) and float(number) == number:
            return number
    message = f"{name} must be a finite number that float64 holds, not {value!r}"
    raise SettingsError(message)


def is_finite(number: Number) -> bool:
    """Return whether a number is finite; an int may be too large for `math`."""
    return isinstance(number, int) or math.isfinite(number)


def check_integer(name: str, value: Any) -> int:
    """Return a setting as an int; True and False are none."""
    with contextlib.suppress(TypeError):
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    raise SettingsError(f"{name} must be a whole number, not {value!r}")


def check_text(name: str, value: Any) -> None:
    """Raise unless a setting is None, or a text or path that is not empty."""
    if value is None or (isinstance(value, (str, os.PathLike)) and os.fspath(value)):
        return
    raise SettingsError(f"{name} must be a text that is not empty, not {value!r}")

"""Checks of the settings of corrections, made when a correction is created."""

from __future__ import annotations

import contextlib
import math
import operator
import os
from typing import Any, get_args

import numpy as np

from tiffin.errors import SettingsError, did_you_mean

Number = int | float


def set_fields(instance: object, **values: Any) -> None:
    """Set fields of a frozen dataclass, in its ``__post_init__``."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def check_choice(name: str, value: Any, choices: Any) -> str:
    """Return a setting that is one of some texts, or of a ``Literal``'s."""
    choices = get_args(choices) or choices
    if not isinstance(value, str) or value not in choices:
        hint = did_you_mean(str(value), choices, list_all=False)
        shown = ", ".join(map(repr, choices))
        raise SettingsError(f"{name} must be one of {shown}, not {value!r}{hint}")
    return value


def check_number(
    name: str, value: Any, *, least: float = -math.inf, finite: bool = True
) -> Number:
    """Return a setting as an int or float, by default a finite one."""
    number: Number = math.nan
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        number = int(value)
    elif isinstance(value, (float, np.floating)):
        # A longdouble may have digits that a float has not.
        number = float(value) if float(value) == value else math.nan
        if not finite and (math.isinf(number) or math.isnan(value)):
            return number
    if number >= least and abs(number) < math.inf:
        return number
    kind = "finite number" if finite else "number"
    span = f" from {least}" if math.isfinite(least) else ""
    raise SettingsError(f"{name} must be a {kind}{span}, not {value!r}")


def float64_number(name: str, value: Any, *, least: float = -math.inf) -> Number:
    """Return a setting as a finite number that float64 holds exactly."""
    number = check_number(name, value, least=least)
    with contextlib.suppress(OverflowError):
        if float(number) == number:
            return number
    raise SettingsError(f"{name} must be a number that float64 holds, not {value!r}")


def check_integer(
    name: str, value: Any, least: float = -math.inf, most: float = math.inf
) -> int:
    """Return a setting as an int in a range; True and False are none."""
    with contextlib.suppress(TypeError):
        number = operator.index(value)
        if least <= number <= most and not isinstance(value, (bool, np.bool_)):
            return number
    span = f" from {least}" if math.isfinite(least) else ""
    span += f" to {most}" if math.isfinite(most) else ""
    raise SettingsError(f"{name} must be a whole number{span}, not {value!r}")


def check_text(name: str, value: Any) -> None:
    """Raise unless a setting is None, or a text or path that is not empty."""
    if value is None or (isinstance(value, (str, os.PathLike)) and os.fspath(value)):
        return
    raise SettingsError(f"{name} must be a text that is not empty, not {value!r}")

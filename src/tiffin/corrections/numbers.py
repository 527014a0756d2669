"""Numbers and texts in the settings of corrections, checked when they are given."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from tiffin.errors import SettingsError

__all__ = ["Number", "check_text", "double", "is_finite", "number"]

Number = int | float


def number(name: str, value: Any) -> Number:
    """Return a setting as Python's number; a truth value or a text is none.

    Raises
    ------
    SettingsError
    """
    if isinstance(value, (bool, np.bool_)):
        value = None
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        known = float(value)
        if known == value or math.isnan(known):  # numpy has longer ones
            return known
    message = f"{name} is a number, not {value!r}"
    raise SettingsError(message)


def double(name: str, value: Any) -> Number:
    """Return a setting that float64 holds.

    Raises
    ------
    SettingsError
        If it is no such number, or not finite.
    """
    known = number(name, value)
    if not _is_double(known):
        message = f"{name} is a finite number that float64 holds, not {value!r}"
        raise SettingsError(message)
    return known


def check_text(name: str, value: Any) -> None:
    """Refuse what is no text or path, or an empty one; None is no setting.

    Raises
    ------
    SettingsError
    """
    if value is None or (isinstance(value, (str, os.PathLike)) and os.fspath(value)):
        return
    message = f"{name} is a text, not {value!r}"
    raise SettingsError(message)


def is_finite(known: Number) -> bool:
    """Return whether a number is finite; it may be larger than what `math` takes."""
    return isinstance(known, int) or math.isfinite(known)


def _is_double(known: Number) -> bool:
    try:
        return is_finite(known) and float(known) == known
    except OverflowError:
        return False

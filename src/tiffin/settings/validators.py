"""Read what a user writes for a setting, or say what is allowed.

Each function returns the value in its normal form, or raises a ValueError whose message
goes on behind the setting's name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tiffin.corrections import Correction, DarkSubtract, Kind, Step
from tiffin.errors import did_you_mean
from tiffin.writers import WRITABLE

LARGEST_BUDGET = 2**30
"""Default limit for the memory of waiting images [bytes]."""

A_YEAR = 366 * 86400
"""The longest time that can be waited for a file [s]."""


def names(value: Any) -> tuple[str, ...] | None:
    """Return names as a tuple; None means all."""
    if value is None:
        return None
    given: tuple[Any, ...] = ()
    if isinstance(value, str):
        given = (value,)
    elif isinstance(value, Iterable):
        given = tuple(value)
    if not given or not all(isinstance(name, str) and name for name in given):
        message = f"must be a name, a list of names, or None for all, not {value!r}"
        raise ValueError(message)
    return tuple(dict.fromkeys(given))


def none_or_names(value: Any) -> tuple[str, ...]:
    """Return names as a tuple; nothing means none."""
    return (names(value) or ()) if value else ()


def flag(value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, (bool, np.bool_)):
        message = f"must be True or False, not {value!r}"
        raise ValueError(message)
    return bool(value)


def dtype(value: Any) -> np.dtype | None:
    """Return a dtype that a TIFF holds."""
    if value is None:
        return None
    try:
        wanted: np.dtype | None = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):  # numpy parses some texts as Python
        wanted = None
    if wanted is None or wanted.name not in WRITABLE:
        message = f"must be a dtype that a TIFF holds, not {value!r}; choose one of "
        raise ValueError(message + ", ".join(WRITABLE))
    return wanted


def corrections(value: Any) -> tuple[Correction, ...]:
    """Return the corrections as a tuple."""
    steps = [value]
    if isinstance(value, Iterable) and not callable(value):
        steps = list(value)
    for step in steps:
        if isinstance(step, type):
            message = f"must be made with settings: {step.__name__}(...), not the class"
            raise ValueError(message)
        if not callable(step) and not isinstance(step, Step):
            message = (
                f"must be those of tiffin.corrections, or functions "
                f"(image, frame) -> image, not {step!r}"
            )
            raise ValueError(message)
    if sum(isinstance(step, DarkSubtract) for step in steps) > 1:
        message = "must hold one DarkSubtract at most: a dark is subtracted once"
        raise ValueError(message)
    return tuple(steps)


def kinds(value: Any) -> tuple[str, ...]:
    """Return which kinds of images are written."""
    kinds = names(value) or ("sub",)
    for kind in kinds:
        if kind not in get_args(Kind):
            choices = ", ".join(map(repr, get_args(Kind)))
            near = did_you_mean(kind, get_args(Kind))
            message = f"must be one of {choices}, not {kind!r}"
            raise ValueError(message + (near if near.startswith(":") else ""))
    return kinds


def workers(value: Any) -> int:
    """Return how many threads work; by default as many as cores, at most 4."""
    if value is None:
        return max(1, min(4, os.cpu_count() or 1))
    return _whole(value, "a number of threads")


def optional_seconds(value: Any) -> float | None:
    """Return a time up to a year [s]; None for no limit."""
    return None if value is None else seconds(value)


def reports(value: Any) -> int | None:
    """Return how many reports are kept; None for all."""
    return None if value is None else _whole(value, "a number of runs")


def memory(value: Any) -> int:
    """Return how much memory may be taken [bytes]."""
    if value is None:
        return max(min(LARGEST_BUDGET, available_memory() // 4), 2**20)
    return _whole(value, "a number of bytes")


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        message = f"must be {what} of at least 1, not {value!r}"
        raise ValueError(message)
    return value


def mode(value: Any) -> int | None:
    """Read permissions: a number, or text as chmod takes it, such as ``"640"``."""
    mode: int | None = value
    if isinstance(value, str):
        try:
            mode = int(value, 8)
        except ValueError:
            mode = -1
    valid = isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o7777
    if mode is not None and not valid:
        message = f"must be permissions, such as 0o640 or '640', not {value!r}"
        raise ValueError(message)
    return mode


def seconds(value: Any) -> float:
    """Return a time up to a year [s]."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= A_YEAR:
        message = (
            f"must be a number of seconds from 0 to {A_YEAR} (a year), not {value!r}"
        )
        raise ValueError(message)
    return float(value)


def available_memory() -> int:
    """Return how much memory is available [bytes]."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return LARGEST_BUDGET

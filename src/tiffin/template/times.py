"""Write times by the directives of strftime.

In English whatever the program's locale is, for a screen program may have set one and a
name must not depend on it; and with years of four digits, which strftime leaves to the
system.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DIRECTIVES",
    "pieces_of",
    "strftime",
]

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

_EXPANDED = {"F": "%Y-%m-%d", "T": "%H:%M:%S"}
"""Directives that stand for several."""


def _day_of_year(time: datetime) -> int:
    return time.timetuple().tm_yday


def _week(time: datetime, first_day: int) -> int:
    """Count the weeks of a year that begin with a day; 0 is Monday."""
    return (_day_of_year(time) + 6 - (time.weekday() - first_day) % 7) // 7


def _offset(time: datetime) -> str:
    offset = time.utcoffset() or timedelta()
    sign, offset = ("-", -offset) if offset < timedelta() else ("+", offset)
    minutes, seconds = divmod(offset, timedelta(minutes=1))
    text = f"{sign}{minutes // 60:02d}{minutes % 60:02d}"
    if seconds:
        text += f"{seconds.seconds:02d}"
    return text + (f".{seconds.microseconds:06d}" if seconds.microseconds else "")


_WRITTEN: dict[str, Callable[[datetime], str]] = {
    "Y": lambda time: f"{time.year:04d}",
    "m": lambda time: f"{time.month:02d}",
    "d": lambda time: f"{time.day:02d}",
    "H": lambda time: f"{time.hour:02d}",
    "M": lambda time: f"{time.minute:02d}",
    "S": lambda time: f"{time.second:02d}",
    "f": lambda time: f"{time.microsecond:06d}",
    "j": lambda time: f"{_day_of_year(time):03d}",
    "y": lambda time: f"{time.year % 100:02d}",
    "b": lambda time: _MONTHS[time.month - 1][:3],
    "B": lambda time: _MONTHS[time.month - 1],
    "a": lambda time: _DAYS[time.weekday()][:3],
    "A": lambda time: _DAYS[time.weekday()],
    "p": lambda time: ("AM", "PM")[time.hour // 12],
    "I": lambda time: f"{time.hour % 12 or 12:02d}",
    "z": _offset,
    "Z": lambda time: time.tzname() or "",
    "U": lambda time: f"{_week(time, 6):02d}",
    "W": lambda time: f"{_week(time, 0):02d}",
    "u": lambda time: f"{time.isoweekday()}",
    "G": lambda time: f"{time.isocalendar()[0]:04d}",
    "V": lambda time: f"{time.isocalendar()[1]:02d}",
}

DIRECTIVES = "".join((*_WRITTEN, *_EXPANDED))
"""The letters that may stand behind a per cent sign."""

_PIECE = re.compile(r"%(.)", re.DOTALL)


@lru_cache(maxsize=256)
def pieces_of(specification: str) -> tuple[tuple[str, str], ...]:
    """Part a specification into (literal, "") and ("", letter of a directive).

    Examples
    --------
    >>> pieces_of("%Y%%b")
    (('', 'Y'), ('%b', ''))
    """
    pieces: list[tuple[str, str]] = []
    for n, text in enumerate(_PIECE.split(specification)):
        if n % 2 and text in _EXPANDED:
            pieces += pieces_of(_EXPANDED[text])
        elif n % 2 and text in _WRITTEN:
            pieces.append(("", text))
        elif text and pieces and pieces[-1][0]:
            pieces[-1] = (pieces[-1][0] + text, "")
        elif text:
            pieces.append((text, ""))
    return tuple(pieces)


def strftime(time: datetime, specification: str) -> str:
    """Format a time as strftime does.

    Examples
    --------
    >>> strftime(datetime(926, 11, 22), "%d %b %Y %%b")
    '22 Nov 0926 %b'
    """
    return "".join(
        _WRITTEN[letter](time) if letter else literal
        for literal, letter in pieces_of(specification)
    )

"""Write times by directives as strftime has them, and read them back.

In English whatever the program's locale is, for a screen program may have set one and a
name must not depend on it; and with years of four digits, which strftime leaves to the
system.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DIRECTIVES",
    "WITH_LETTERS",
    "is_whole",
    "pattern_of",
    "pieces_of",
    "read",
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


# ---- backwards

_PATTERNS = {
    "Y": "[0-9]{4}",
    "f": "[0-9]{6}",
    "j": "[0-9]{3}",
    "u": "[1-7]",
    "G": "[0-9]{4}",
    "b": "|".join(month[:3] for month in _MONTHS),
    "B": "|".join(_MONTHS),
    "a": "|".join(day[:3] for day in _DAYS),
    "A": "|".join(_DAYS),
    "p": "AM|PM",
    "z": r"[+-][0-9]{4}(?:[0-9]{2}(?:\.[0-9]{6})?)?",
    "Z": r"[A-Za-z0-9+\-]+",
}

WITH_LETTERS = frozenset("bBaApZ")
"""Directives that give more than digits."""


def is_whole(letters: frozenset[str]) -> bool:
    """Whether directives tell a time from the year down, without a gap."""
    year = bool(letters & {"Y", "y"})
    month = year and bool(letters & {"m", "b", "B"})
    day = (month and "d" in letters) or (year and "j" in letters)
    day = day or letters >= {"G", "V", "u"}
    if letters & set("HIMSfp"):
        hour = "H" in letters or letters >= {"I", "p"}
        gap = "f" in letters and "S" not in letters
        return day and hour and not gap and ("S" not in letters or "M" in letters)
    if month:
        return day or "d" not in letters
    return day or (year and not letters & set("mbBdj"))


def pattern_of(letter: str) -> str:
    """Give the pattern of what a directive writes."""
    return _PATTERNS.get(letter, "[0-9]{2}")


def read(told: dict[str, str]) -> datetime:
    """Give the time that directives' texts tell, whose letters are whole.

    Without a zone, unless there is one among them.

    Raises
    ------
    ValueError, OverflowError
        If there is none such.

    Examples
    --------
    >>> read({"d": "22", "b": "Nov", "y": "26"}).isoformat()
    '2026-11-22T00:00:00'
    """
    day = _day(told)
    hour = int(told.get("H", "0"))
    if "H" not in told and "I" in told:
        hour = int(told["I"]) % 12 + 12 * (told["p"] == "PM")
    return datetime(
        day.year,
        day.month,
        day.day,
        hour,
        int(told.get("M", "0")),
        int(told.get("S", "0")),
        int(told.get("f", "0")),
        tzinfo=_zone_of(told["z"]) if "z" in told else None,
    )


def _day(told: dict[str, str]) -> date:
    if not told.keys() & {"Y", "y"}:
        return date.fromisocalendar(int(told["G"]), int(told["V"]), int(told["u"]))
    short = int(told.get("y", "0"))  # as POSIX has it: 1969 to 2068
    year = int(told.get("Y", short + (2000 if short < 69 else 1900)))
    if "j" in told:
        return date(year, 1, 1) + timedelta(int(told["j"]) - 1)
    named = told.get("b", told.get("B", "January"))[:3]
    month = told.get("m", [month[:3] for month in _MONTHS].index(named) + 1)
    return date(year, int(month), int(told.get("d", "1")))


def _zone_of(offset: str) -> timezone:
    """See ``+0100``, with seconds and their fractions if need be, as a zone."""
    hours, minutes = int(offset[1:3]), int(offset[3:5])
    seconds = float(offset[5:] or 0)
    size = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-size if offset[0] == "-" else size)

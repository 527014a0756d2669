"""Write times like `datetime.strftime`, but always in English.

Some screen programs set a locale, and names must not depend on it. Years always have
four digits; `datetime.strftime` leaves that to the system.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_FORMATS = {
    "Y": "{0.year:04d}",
    "m": "{0.month:02d}",
    "d": "{0.day:02d}",
    "H": "{0.hour:02d}",
    "M": "{0.minute:02d}",
    "S": "{0.second:02d}",
    "f": "{0.microsecond:06d}",
    "F": "{0.year:04d}-{0.month:02d}-{0.day:02d}",
    "T": "{0.hour:02d}:{0.minute:02d}:{0.second:02d}",
    "B": "{1}",
    "b": "{1:.3}",
    "A": "{2}",
    "a": "{2:.3}",
    "p": "{3}",
    "G": "{4:04d}",
    # These are numbers or the zone's own name: no locale changes them.
    **{letter: f"{{0:%{letter}}}" for letter in "yjIzZUWuV"},
}
"""A format for each directive. Its arguments are a time, the names of its month and
weekday, AM or PM, and the year of its ISO week."""

DIRECTIVES = _FORMATS.keys()
"""The letters that may follow a per cent sign."""

_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)


def strftime(time: datetime, specification: str) -> str:
    """Format a time.

    Examples
    --------
    >>> from datetime import datetime
    >>> strftime(datetime(926, 11, 22), "%d %b %Y %%b")
    '22 Nov 0926 %b'
    """
    month, day = _MONTHS[time.month - 1], _DAYS[time.weekday()]
    half, (iso_year, *_) = ("AM", "PM")[time.hour // 12], time.isocalendar()
    return _format_of(specification).format(time, month, day, half, iso_year)


@lru_cache(maxsize=256)
def _format_of(specification: str) -> str:
    escaped = specification.replace("{", "{{").replace("}", "}}")
    return _DIRECTIVE.sub(lambda found: _FORMATS.get(found[1], found[1]), escaped)

"""The style of names: policy, replacements, and the time zone."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiffin.errors import SettingsError, did_you_mean
from tiffin.template.messages import shown
from tiffin.template.paths import CUT_MARK
from tiffin.template.portable import (
    POLICIES,
    Policy,
    is_blank,
    portable_text,
    strict_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CACHED_VALUES = 4096
"""How many cleaned values are cached."""

QUARTER = 900
"""A quarter of an hour [s]."""

LONGEST_VALUE = 1024
"""The most characters of a value that are processed; a name has at most 255 bytes."""


@dataclass(frozen=True, slots=True)
class Style:
    """How values become part of a name.

    Examples
    --------
    >>> Style.of("strict", {" ": "-", "µ": "u"}).clean("10 µm/s")
    '10-um_s'
    """

    policy: Policy = "portable"
    """The characters that a name may have: all that Linux, macOS and Windows take, or
    ASCII letters, digits and ``-_.=+`` only."""
    replacements: tuple[tuple[str, str], ...] = ()
    """In each value, the first text of each pair is replaced by the second, before the
    policy is applied."""
    timezone: str | None = None
    """The IANA name of the time zone; None for the zone of this machine."""

    @classmethod
    def of(
        cls,
        policy: str = "portable",
        replacements: Mapping[str, str] | None = None,
        timezone: str | None = None,
    ) -> Style:
        """Return a style after checking the settings of a user."""
        if policy not in POLICIES:
            choices = ", ".join(map(repr, POLICIES))
            message = f"must be one of {choices}, not {policy!r}"
            raise SettingsError(message, setting="name_policy")
        table: object = {} if replacements is None else replacements
        if not isinstance(table, Mapping):
            message = (
                f"must be a mapping of text to text, such as {{' ': '-'}}, not "
                f"{shown(table)}"
            )
            raise SettingsError(message, setting="replacements")
        pairs = dict(table).items()
        for old, new in pairs:
            if not isinstance(old, str) or not isinstance(new, str) or not old:
                message = f"must map text to text, not {shown(old)} to {shown(new)}"
                raise SettingsError(message, setting="replacements")
        longest_first = sorted(pairs, key=lambda pair: -len(pair[0]))
        timezone = None if timezone is None else str(timezone)
        _zone(timezone)  # raises if there is no such zone
        return cls(policy, tuple(longest_first), timezone)

    @property
    def zone_name(self) -> str:
        """The name of the time zone: the one asked for, or this machine's."""
        return self.timezone or _local_zone()

    @property
    def keeps_numbers(self) -> bool:
        """Whether a formatted number can be part of a name as it is."""
        return self.policy == "portable" and not self.replacements

    @property
    def clean(self) -> Callable[[str], str]:
        """Returns the text of a value as part of a name; ``""`` if it is blank."""
        return _cleaner(self.policy, self.replacements)

    def time(self, value: Any) -> datetime:
        """Return seconds since 1970, or text in ISO 8601, as a time in the zone.

        A value that is no time raises a ValueError, OverflowError or OSError.
        """
        own_zone = _zone(self.timezone)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif not isinstance(value, datetime):
            zone = own_zone or _local_offset(value // QUARTER, time.tzname)
            return datetime.fromtimestamp(value, zone)
        if value.tzinfo is None and own_zone is not None:
            in_zone: datetime = value.replace(tzinfo=own_zone)
        else:
            in_zone = value.astimezone(own_zone)
        return in_zone


@lru_cache(maxsize=256)
def _local_offset(quarter: float, _: tuple[str, str]) -> tzinfo | None:
    """Return the offset of this machine's zone, which takes long to look up.

    Clocks change at the full quarter of an hour.
    """
    return datetime.fromtimestamp(quarter * QUARTER, UTC).astimezone().tzinfo


@lru_cache
def _cleaner(
    policy: Policy, replacements: tuple[tuple[str, str], ...]
) -> Callable[[str], str]:
    table = dict(replacements)
    pattern = re.compile("|".join(map(re.escape, table)))
    fit = strict_text if policy == "strict" else portable_text

    @lru_cache(CACHED_VALUES)
    def clean(text: str) -> str:
        if is_blank(text):
            return ""
        return fit(pattern.sub(lambda old: table[old[0]], text) if table else text)

    return lambda text: clean(text if len(text) <= LONGEST_VALUE else _cut(text))


def _cut(text: str) -> str:
    """Cut a text that is longer than any name, and add a hash of the whole.

    The time to normalize combining marks grows with the square of their number.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return text[:LONGEST_VALUE] + CUT_MARK + digest[:8]


def _local_zone() -> str:
    """Return the name of this machine's zone, or its abbreviation."""
    name = os.environ.get("TZ", "").lstrip(":")
    if name:
        return name
    path = os.path.realpath("/etc/localtime")
    _, found, name = path.partition("zoneinfo/")
    return name if found else time.tzname[0]


@lru_cache
def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    if name == "UTC":
        return timezone.utc  # noqa: UP017 (works without a time zone database)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        from zoneinfo import available_timezones

        message = f"must be a name such as 'Europe/Zurich', not {name!r}"
        hint = did_you_mean(str(name), available_timezones(), list_all=False)
        raise SettingsError(message + hint, setting="timezone") from None

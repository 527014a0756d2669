"""How values become text: a site's policy, its replacements, the zone of its times."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiffin.errors import SettingsError, did_you_mean
from tiffin.template.items import shown
from tiffin.template.portable import (
    CUT_MARK,
    POLICIES,
    Policy,
    is_blank,
    portable_text,
    strict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Style"]

MEMORY = 4096
"""How many different values are remembered with what became of them."""

LONGEST_VALUE = 1024
"""Characters of a value that are looked at; a component of a path has 255 bytes."""


@dataclass(frozen=True, slots=True)
class Style:
    """What a site wants of its names.

    Attributes
    ----------
    policy : {"portable", "strict"}
        What may stand in a name: anything that Linux, macOS and Windows take, or ASCII
        letters, digits and ``-_.=+`` only.
    replacements : tuple of (str, str)
        What is replaced by what in each value, before the policy has its say.
    timezone : str or None
        The IANA name of the zone of times; None for the machine's own.

    Examples
    --------
    >>> Style.of("strict", {" ": "-", "µ": "u"}).clean("10 µm/s")
    '10-um_s'
    """

    policy: Policy = "portable"
    replacements: tuple[tuple[str, str], ...] = ()
    timezone: str | None = None
    _cleaned: Callable[[str], str] = field(init=False, repr=False, compare=False)
    _replace: Callable[[str], str] = field(init=False, repr=False, compare=False)
    _zone: tzinfo | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cleaned", lru_cache(MEMORY)(self._clean))
        object.__setattr__(self, "_replace", _replacer(dict(self.replacements)))
        object.__setattr__(self, "_zone", _zone(self.timezone))

    @classmethod
    def of(
        cls,
        policy: str = "portable",
        replacements: Mapping[str, str] | None = None,
        timezone: str | None = None,
    ) -> Style:
        """Check what a user wrote.

        Raises
        ------
        SettingsError
            Saying what was got and what is wanted.
        """
        if policy not in POLICIES:
            choices = ", ".join(map(repr, POLICIES))
            message = f"name_policy must be one of {choices}, not {policy!r}"
            raise SettingsError(message)
        table: object = {} if replacements is None else replacements
        if not isinstance(table, Mapping):
            message = (
                f"replacements are a mapping of texts, such as {{' ': '-'}}, not "
                f"{shown(table)}"
            )
            raise SettingsError(message)
        pairs = dict(table).items()
        for old, new in pairs:
            texts = all(isinstance(text, str) for text in (old, new))
            if not texts or not old:
                message = (
                    f"replacements give a text for a text, not {shown(new)} for "
                    f"{shown(old)}"
                )
                raise SettingsError(message)
        longest_first = sorted(pairs, key=lambda pair: -len(pair[0]))
        return cls(policy, tuple(longest_first), timezone)

    def __reduce__(self) -> tuple[Any, ...]:
        return Style, (self.policy, self.replacements, self.timezone)

    @property
    def zone_name(self) -> str:
        """The zone of times: the one asked for, or this machine's."""
        return self.timezone or _local_zone()

    @property
    def keeps_numbers(self) -> bool:
        """Whether a formatted number can stand in a name as it is."""
        return self.policy == "portable" and not self.replacements

    def clean(self, text: str) -> str:
        """Make a value's text fit for a name; ``""`` if nothing of it is left."""
        return self._cleaned(text if len(text) <= LONGEST_VALUE else _cut(text))

    def _clean(self, text: str) -> str:
        return "" if is_blank(text) else self._policed(self._replace(text))

    def _policed(self, text: str) -> str:
        return strict(text) if self.policy == "strict" else portable_text(text)

    def time(self, value: Any) -> datetime:
        """See a number of seconds, or a text in ISO 8601, as a time in the zone.

        Raises
        ------
        ValueError, OverflowError, OSError
            If it is none.
        """
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif not isinstance(value, datetime):
            value = datetime.fromtimestamp(value, UTC)
        if value.tzinfo is None:
            return self.located(value)
        moved: datetime = value.astimezone(self._zone)
        return moved

    def located(self, naive: datetime) -> datetime:
        """Put a time without a zone into the zone."""
        if self._zone is None:
            return naive.astimezone()
        return naive.replace(tzinfo=self._zone)


def _replacer(table: Mapping[str, str]) -> Callable[[str], str]:
    """Prepare what replaces; the longest of what could be meant counts."""
    if not table:
        return str
    pattern = re.compile("|".join(map(re.escape, table)))
    return lambda text: pattern.sub(lambda found: table[found[0]], text)


def _cut(text: str) -> str:
    """Cut a text of which no name could hold the most, with a hash of all of it.

    To put marks into their order takes time by the square of how many there are.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return text[:LONGEST_VALUE] + CUT_MARK + digest[:8]


def _local_zone() -> str:
    """Name this machine's zone as well as it can be known."""
    name = os.environ.get("TZ", "").lstrip(":")
    if name:
        return name
    path = os.path.realpath("/etc/localtime")
    _, found, name = path.partition("zoneinfo/")
    return name if found else time.tzname[0]


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    if name == "UTC":
        return timezone.utc  # noqa: UP017 (known without a data base of zones)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        from zoneinfo import available_timezones

        message = f"timezone must be a name such as 'Europe/Zurich', not {name!r}"
        near = did_you_mean(str(name), available_timezones())
        raise SettingsError(message + (near if near.startswith(":") else "")) from None

"""What a setting is marked with beside its type and description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["INTERNAL", "LIVE", "RESUME", "Option", "Type"]


@dataclass(frozen=True, slots=True)
class Option:
    """How a setting is written in the shell and in the configuration file.

    Attributes
    ----------
    name : str
        The long option without its dashes; by default the setting's name.
    short : str
        A short option, such as ``"-f"``.
    metavar : str
        The placeholder in the help text.
    kind : type
        The type of the option's value.
    """

    name: str = ""
    short: str = ""
    metavar: str = ""
    kind: Any = str


@dataclass(frozen=True, slots=True)
class Type:
    """How the manual writes the type of a setting."""

    text: str


LIVE = "live"
"""Marks a setting of live exports only."""

INTERNAL = "internal"
"""Marks a setting that no user sees."""

RESUME = "resume"
"""Marks a setting that must be the same for an export to be resumed."""

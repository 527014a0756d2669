"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found, and what to do about it, if anything."""

    about: Literal["installation", "configuration", "source", "folder"]
    state: Literal["ok", "note", "problem"]
    """A note is something that may matter; a problem makes exports fail."""
    text: str
    todo: str = ""

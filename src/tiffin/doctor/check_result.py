"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CheckResult"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found.

    Attributes
    ----------
    about : {"installation", "configuration", "source", "folder"}
    state : {"ok", "note", "problem"}
        A note is something that may matter; a problem makes exports fail.
    text : str
        What was found.
    todo : str
        What to do about it; empty if nothing.
    """

    about: Literal["installation", "configuration", "source", "folder"]
    state: Literal["ok", "note", "problem"]
    text: str
    todo: str = ""

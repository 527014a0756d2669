"""A run as the journal knows it, and values that SQLite can hold."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

__all__ = ["INCOMPLETE", "RunState", "State", "is_small_int", "number", "text"]

State = Literal["open", "waiting", "working", "done", "failed"]

INCOMPLETE = "incomplete: "
"""So begins the failure of a run of which documents were lost."""


class RunState(NamedTuple):
    """A run, and what has become of it.

    Attributes
    ----------
    uid, address, scan_id
    started : float
        When the run began [s since 1970].
    state : {"open", "waiting", "working", "done", "failed"}
        Without a stop document; to be exported; being exported; exported; given up.
    tries : int
        How often an export has begun.
    why : str
        The last failure.
    written, skipped, failed : int
        Images.
    nbytes : int
    seconds : float
    found, finished : float or None
        When the service has found the run, and finished it [s since 1970].
    """

    uid: str
    address: str
    scan_id: int | None
    started: float
    state: State
    tries: int
    why: str
    written: int
    skipped: int
    failed: int
    nbytes: int
    seconds: float
    found: float
    finished: float | None

    @property
    def name(self) -> str:
        """The scan_id, or the beginning of the uid of a run that has none."""
        return self.uid[:8] if self.scan_id is None else str(self.scan_id)

    @property
    def is_open(self) -> bool:
        """Whether the run has no stop document."""
        return self.state == "open"

    @property
    def is_incomplete(self) -> bool:
        """Whether documents of the run were lost."""
        return self.why.startswith(INCOMPLETE)


def number(value: Any) -> float:
    """Return a time that SQLite can hold; 0 for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def is_small_int(value: Any) -> bool:
    """Return whether SQLite can hold a value as a whole number."""
    return isinstance(value, int) and abs(value) < 2**63


def text(uid: str) -> str:
    """Return text that SQLite can hold: no halves of characters."""
    return uid.encode("utf-8", "backslashreplace").decode()

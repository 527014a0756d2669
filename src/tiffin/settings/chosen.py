"""Which frames are exported, by their running numbers."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["Chosen", "chosen_frames", "first_number", "text_of"]

Chosen = range | frozenset[int]

MOST = sys.maxsize


def chosen_frames(frames: Any) -> Chosen | None:
    """Read which frames are to be exported; None for all.

    Parameters
    ----------
    frames : str, slice, range, int, iterable of int, or None
        The text is a slice, or numbers with commas between.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> chosen_frames("100:200"), chosen_frames(slice(None, 50, 10))
    (range(100, 200), range(0, 50, 10))
    >>> sorted(chosen_frames("1, 4")), chosen_frames(":")
    ([1, 4], None)
    """
    try:
        return _read(frames.strip() if isinstance(frames, str) else frames)
    except (TypeError, ValueError):
        message = (
            f"must be a slice such as '::10' or '100:200', or "
            f"numbers such as [0, 5], not {frames!r}. They count from 0; negative ones "
            f"are not possible: nobody knows the last frame before a run has ended"
        )
        raise ValueError(message) from None


def _read(frames: Any) -> Chosen | None:
    if isinstance(frames, str) and ":" in frames:
        ends = [part.strip() for part in frames.split(":")]
        frames = slice(*(int(end) if end else None for end in ends))
    elif isinstance(frames, str):
        frames = [int(number) for number in frames.split(",")]
    if isinstance(frames, slice):
        step = 1 if frames.step is None else _number(frames.step, 1)
        start = _number(frames.start or 0)
        stop = MOST if frames.stop is None else _number(frames.stop)
        chosen = range(start, stop, step)
        return None if chosen == range(MOST) else chosen
    if isinstance(frames, range):
        return _read(slice(frames.start, frames.stop, frames.step))
    if isinstance(frames, Iterable):
        return frozenset(_number(number) for number in frames)
    return None if frames is None else frozenset([_number(frames)])


def _number(value: Any, least: int = 0) -> int:
    number = operator.index(value)
    if type(value).__name__ in ("bool", "bool_") or number < least:
        raise ValueError(value)
    return number


def first_number(first: Any) -> int:
    """Read with which number `{frame}` and `{i}` begin.

    Raises
    ------
    ValueError
    """
    try:
        return _number(first)
    except (TypeError, ValueError):
        message = f"must be a whole number from 0, such as 1, not {first!r}"
        raise ValueError(message) from None


def text_of(chosen: Chosen | None) -> str | None:
    """Write chosen frames as `chosen_frames` reads them.

    Examples
    --------
    >>> text_of(range(100, 200)), text_of(frozenset({4, 1}))
    ('100:200', '1,4')
    """
    if isinstance(chosen, range):
        stop = "" if chosen.stop == MOST else chosen.stop
        step = "" if chosen.step == 1 else f":{chosen.step}"
        return f"{chosen.start}:{stop}{step}"
    return None if chosen is None else ",".join(map(str, sorted(chosen)))

"""Which frames are exported, by their running numbers."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable
from typing import Any

FrameSelection = range | frozenset[int]


def parse_frames(frames: Any) -> FrameSelection | None:
    """Return which frames are to be exported; None for all.

    Text holds a slice, or numbers separated by commas.

    Examples
    --------
    >>> parse_frames("100:200"), parse_frames(slice(None, 50, 10))
    (range(100, 200), range(0, 50, 10))
    >>> sorted(parse_frames("1, 4")), parse_frames(":")
    ([1, 4], None)
    """
    try:
        return _parse(frames.strip() if isinstance(frames, str) else frames)
    except (TypeError, ValueError):
        message = (
            f"must be a slice such as '::10' or '100:200', or "
            f"numbers such as [0, 5], not {frames!r}. Frames count from 0; negative "
            f"numbers are not possible, because the last frame is not known before a "
            f"run has ended"
        )
        raise ValueError(message) from None


def _parse(frames: Any) -> FrameSelection | None:
    if isinstance(frames, str) and ":" in frames:
        ends = [part.strip() for part in frames.split(":")]
        frames = slice(*(int(end) if end else None for end in ends))
    elif isinstance(frames, str):
        frames = [int(number) for number in frames.split(",")]
    if isinstance(frames, slice):
        step = 1 if frames.step is None else _number(frames.step, 1)
        start = _number(frames.start or 0)
        stop = sys.maxsize if frames.stop is None else _number(frames.stop)
        selection = range(start, stop, step)
        return None if selection == range(sys.maxsize) else selection
    if isinstance(frames, range):
        return _parse(slice(frames.start, frames.stop, frames.step))
    if isinstance(frames, Iterable):
        return frozenset(_number(number) for number in frames)
    return None if frames is None else frozenset([_number(frames)])


def _number(value: Any, least: int = 0) -> int:
    number = operator.index(value)
    if type(value).__name__ in ("bool", "bool_") or number < least:
        raise ValueError(value)
    return number


def parse_first(first: Any) -> int:
    """Return the number with which `{frame}` and `{i}` begin."""
    try:
        return _number(first)
    except (TypeError, ValueError):
        message = f"must be a whole number from 0, such as 1, not {first!r}"
        raise ValueError(message) from None


def format_frames(selection: FrameSelection | None) -> str | None:
    """Return a selection of frames as text that `parse_frames` takes.

    Examples
    --------
    >>> format_frames(range(100, 200)), format_frames(frozenset({4, 1}))
    ('100:200', '1,4')
    """
    if isinstance(selection, range):
        stop = "" if selection.stop == sys.maxsize else selection.stop
        step = "" if selection.step == 1 else f":{selection.step}"
        return f"{selection.start}:{stop}{step}"
    return None if selection is None else ",".join(map(str, sorted(selection)))

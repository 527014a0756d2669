"""Which image of a stream came before another, as far as its documents tell."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

from tiffin.errors import CorrectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.step import Reference
    from tiffin.frames import Frame

__all__ = ["latest_before", "time_of"]


def time_of(frame: Frame) -> tuple[float, bool]:
    """Tell when a frame was taken [s since 1970], and whether its event says so.

    In a fly scan only the descriptor has a time, which all of its frames share.
    """
    time = _number(frame.event.get("time"))
    if time is not None:
        return time, True
    return _number(frame.descriptor.get("time")) or 0.0, False


def latest_before(
    frame: Frame, references: Sequence[Reference], what: str
) -> Sequence[Reference]:
    """Give the latest of some references that was taken before a frame.

    Parameters
    ----------
    frame : Frame
    references : sequence of Reference
        In the order of their times.
    what : str
        They are, for the message.

    Returns
    -------
    sequence of Reference
        One, or none.

    Raises
    ------
    CorrectionError
        If there are several, and it can't be told which was the latest before it: they
        or the frame share the time of their stream.
    """
    time, is_own = time_of(frame)
    before = [reference for reference in references if reference.time <= time]
    if len(before) > 1 and not (is_own and all(r.is_timed for r in before)):
        message = (
            f"{frame}: {len(before)} {what}s came before it, and without the times of "
            f"events it can't be told which is the latest: name one by run= or file="
        )
        raise CorrectionError(message)
    return before[-1:]


def _number(time: Any) -> float | None:
    is_real = isinstance(time, Real) and not isinstance(time, bool)
    return float(time) if is_real and math.isfinite(time) else None

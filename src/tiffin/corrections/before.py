"""Which image of a stream came before another, as far as its documents tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.errors import CorrectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.step import Reference
    from tiffin.frames import Frame

__all__ = ["latest_before"]


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
    time, is_own = frame.taken()
    before = [reference for reference in references if reference.time <= time]
    if len(before) > 1 and not (is_own and all(r.is_timed for r in before)):
        message = (
            f"{frame}: {len(before)} {what}s came before it, and without the times of "
            f"events it can't be told which is the latest: name one by run= or file="
        )
        raise CorrectionError(message)
    return before[-1:]

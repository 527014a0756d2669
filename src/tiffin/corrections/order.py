"""Which image of a stream belongs to another, as far as times tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from tiffin.errors import CorrectionError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.step import Reference, RunView
    from tiffin.frames import Frame

__all__ = ["Order", "check_order", "taken_from_stream"]

Order = Literal["before", "nearest", "after"]


def check_order(order: Any) -> Order:
    """Check a setting.

    Raises
    ------
    SettingsError
    """
    if order not in get_args(Order):
        message = f"order must be 'before', 'nearest' or 'after', not {order!r}"
        raise SettingsError(message)
    checked: Order = order
    return checked


def taken_from_stream(
    run: RunView, stream: str, frame: Frame, order: Order, what: str
) -> Sequence[Reference]:
    """Return the image of a stream that a frame is corrected with.

    Parameters
    ----------
    run : RunView
    stream : str
    frame : Frame
    order : {"before", "nearest", "after"}
        The latest before the frame, the first after it, or the nearest in time; of two
        equally near the one before.
    what : str
        What the images are, for messages.

    Returns
    -------
    sequence of Reference
        One, or none.

    Raises
    ------
    CorrectionError
        If there are several, and it can't be told which it is: they or the frame share
        the time of their stream. If later ones are asked for, and the run goes on.
    """
    if order != "before" and not run.is_whole:
        message = (
            f"{frame}: order={order!r} needs the {what}s that stream {stream!r} gives "
            f"after it, which are not known while the run goes on: export the run "
            f"afterwards, with tiffin.export or tiffin.process"
        )
        raise CorrectionError(message)
    time, is_own = frame.taken()
    found = [
        reference
        for reference in run.of_stream(stream, frame.field)
        if order == "nearest"
        or (reference.time <= time if order == "before" else reference.time >= time)
    ]
    if len(found) > 1 and not (is_own and all(r.is_timed for r in found)):
        came = {"before": " before it", "after": " after it"}.get(order, "")
        message = (
            f"{frame}: {len(found)} {what}s came{came}, and without the times of "
            f"events it can't be told which one belongs to it: name it by run= or file="
        )
        raise CorrectionError(message)
    if order == "before":
        return found[-1:]
    return sorted(found, key=lambda reference: abs(reference.time - time))[:1]

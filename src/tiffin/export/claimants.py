"""Who claims a name, and which fields of a template tell two claimants apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tiffin.engine import Place
    from tiffin.frames import FrameId


class Claimant(NamedTuple):
    """The claimant of a name, as shown in messages."""

    frame: FrameId
    place: Place  # so that a run that is given twice collides with itself

    def __str__(self) -> str:
        run, stream, field, seq_num, _ = self.frame
        if seq_num is None:
            return f"a sidecar of run {run[:8]}"
        return f"event {seq_num} of field {field!r}, stream {stream!r}, run {run[:8]}"


def fields_apart(
    template: str, next_field: str, holder: Claimant, owner: Claimant
) -> list[str]:
    """Return the fields that a template lacks to tell two claimants apart.

    `next_field` tells a file apart from the next of its stream and field.

    Examples
    --------
    >>> from tiffin.frames import FrameId
    >>> one = Claimant(FrameId("run 1", "primary", "img", 1, 0), ("run 1", 0))
    >>> other = Claimant(FrameId("run 2", "primary", "img", 1, 0), ("run 2", 0))
    >>> fields_apart("{event.seq_num}.tif", "{event.seq_num}", one, other)
    ['{start.scan_id}']
    """
    run = "{run}" if "{start.scan_id" in template else "{start.scan_id}"
    fields = (run, "{stream}", "{field}", next_field, "{i}")
    differ = [
        field
        for field, one, other in zip(fields, holder.frame, owner.frame, strict=True)
        if one != other
    ]
    if not differ:  # the same frame, again
        return ["{frame}"]
    return [field for field in differ if field[:-1] not in template]

"""From one event and field to its frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import MOST_IMAGES
from tiffin.assemble.malformed import parse_int
from tiffin.errors import NoImageError, TiffinError
from tiffin.frames import Frame, FrameId, Pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.assemble.run import OpenRun
    from tiffin.axes import Hints

__all__ = ["frames_of", "take_numbers"]


def frames_of(
    run: OpenRun,
    descriptor: Mapping[str, Any],
    event: Mapping[str, Any],
    name: str | None,
    pixels: Pixels | TiffinError,
    numbers: range | None = None,
    source: str | None = None,
) -> Iterator[Frame]:
    """Return the frames of one event and field, or the one that says why not.

    Parameters
    ----------
    run : OpenRun
        Which counts them.
    descriptor, event : mapping
    name : str or None
        The field, where it is known.
    pixels : Pixels or TiffinError
        Where its images come from, or why there are none.
    numbers : range, optional
        Their running numbers, where they have been taken before.
    source : str, optional
        The uid of their stream resource.
    """
    if name is not None:
        absent = isinstance(pixels, NoImageError)
        (run.absent if absent else run.seen).add(name)
    seq_num = parse_int(event["seq_num"])  # numpy's are no JSON
    event_id = FrameId(run.uid, descriptor["name"], name, seq_num)
    context: dict[str, Any] = {
        "start": run.start,
        "descriptor": descriptor,
        "event": event,
        "baseline": run.baseline,
        "stop": run.stop,
        "source": source,
    }
    if isinstance(pixels, TiffinError):
        yield Frame(id=event_id, problem=pixels, **context)
        return
    if numbers is None:
        numbers = take_numbers(
            run, descriptor, name, event["seq_num"], pixels.shape, pixels.hints
        )
    if not numbers:
        shape = list(pixels.shape or ())
        message = f"event {event['seq_num']} holds no image of {name!r}: shape {shape}"
        yield Frame(id=event_id, problem=NoImageError(message), **context)
    for i, number in enumerate(numbers):
        which = event_id._replace(i=i)
        yield Frame(id=which, number=number, pixels=pixels, **context)


def take_numbers(
    run: OpenRun,
    descriptor: Mapping[str, Any],
    name: str | None,
    seq_num: Any,
    shape: tuple[int, ...] | None,
    hints: Hints,
    source: str | None = None,
) -> range:
    """Take the running numbers of an event's frames, whose array has a shape.

    There is one at least, unless nothing is there: what an event turns out to hold
    besides is found when it is read.
    """
    if shape is None:
        count = hints.images
    elif not math.prod(shape):
        return range(0)
    else:
        count = math.prod(shape[: -len(hints.at)])
    return run.take_numbers(
        descriptor["name"],
        str(name),
        count if count <= MOST_IMAGES else 1,
        parse_int(seq_num),
        source,
    )

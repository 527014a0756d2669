"""From one event and field to its frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tiffin.assemble.run import announced_images
from tiffin.errors import NoImageError, TiffinError
from tiffin.frames import Frame, Pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.assemble.run import OpenRun

__all__ = ["frames_of"]


def frames_of(
    run: OpenRun,
    descriptor: Mapping[str, Any],
    event: Mapping[str, Any],
    name: str | None,
    pixels: Pixels | TiffinError,
) -> Iterator[Frame]:
    """Give the frames of one event and field, or the one that says why not.

    Parameters
    ----------
    run : OpenRun
        Which counts them.
    descriptor, event : mapping
    name : str or None
        The field, where it is known.
    pixels : Pixels or TiffinError
        Where its images come from, or why there are none.
    """
    if name is not None:
        absent = isinstance(pixels, NoImageError)
        (run.absent if absent else run.seen).add(name)
    stream = str(descriptor["name"])
    context: dict[str, Any] = {
        "run": run.uid,
        "stream": stream,
        "field": name,
        "seq_num": int(event["seq_num"]),  # numpy's are no JSON
        "start": run.start,
        "descriptor": descriptor,
        "event": event,
        "baseline": run.baseline,
        "stop": run.stop,
    }
    if isinstance(pixels, TiffinError):
        yield Frame(problem=pixels, **context)
        return
    shape = pixels.shape
    if shape is not None and not math.prod(shape):
        message = (
            f"event {event['seq_num']} holds no image of {name!r}: shape {list(shape)}"
        )
        yield Frame(problem=NoImageError(message), **context)
        return
    if shape is None:
        data_key = descriptor["data_keys"].get(name, {})
        count = announced_images(data_key, colour=pixels.colour)
    else:
        count = math.prod(shape[: -3 if pixels.colour else -2])
    first = run.number(stream, str(name), count)
    for i in range(count):
        yield Frame(pixels=pixels, i=i, number=first + i, **context)

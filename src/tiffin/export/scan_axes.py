"""Which axes the pages of a stack are counted along: the scan's, and the user's.

The keys of start documents are those of Bluesky's plans (``bluesky.plans``): ``shape``,
``snaking`` of ``grid_scan``, ``snake_axes`` of ``list_grid_scan``, and the hints
``dimensions`` and ``gridding``.
"""

from __future__ import annotations

import math
import operator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.axes import lead_names
from tiffin.template import elements, follow, plain, texts_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiffin.frames import Frame, FrameId


def axes_in_event(frame: Frame) -> dict[str, int]:
    """Return name → length of the axes that ``axes=`` names, if it counts images.

    Empty where the array declares other axes than these.
    """
    pixels = frame.pixels
    if pixels is None or pixels.shape is None:
        return {}
    names = lead_names(pixels.hints.names)
    lead = pixels.shape[: -len(pixels.hints.image_axes)]
    return dict(zip(names, lead, strict=True)) if len(names) == len(lead) else {}


def axes_of_pages(
    start: Mapping[str, Any], ids: Iterable[FrameId], in_event: Mapping[str, int]
) -> dict[str, int]:
    """Return name → length of the axes that pages are counted along, slowest first.

    `ids` are those of the pages, in their order; `in_event` is what `axes_in_event`
    returns. Nothing is returned for a simple sequence: the scan is none of a grid, goes
    back and forth (snakes), is not complete, or a page is missing.
    """
    ids = list(ids)
    events = [
        (seq_num, [one.i for one in of_event])
        for seq_num, of_event in groupby(ids, lambda one: one.seq_num)
    ]
    each = len(events[0][1])
    if any(images != [*range(each)] for _, images in events):
        return {}
    named = dict(in_event) if math.prod(in_event.values()) == each else {}
    if len(events) == 1:
        return named
    scan = _axes_of_scan(start, ids[0].stream)
    numbers = [seq_num for seq_num, _ in events]
    if not scan or numbers != [*range(1, math.prod(scan.values()) + 1)]:
        return {"event": len(events), **named} if named else {}
    if each == 1:
        return scan
    return (
        {**scan, **named} if named and not named.keys() & scan else {**scan, "i": each}
    )


def _axes_of_scan(start: Mapping[str, Any], stream: str | None) -> dict[str, int]:
    """Return the axes of a scan whose points are in C order."""
    shape = _items(start.get("shape"))
    names = _names(start, len(shape), stream)
    gridding = follow(start, "hints", "gridding")
    is_other = isinstance(gridding, str) and gridding != "rectilinear"
    if not names or len(names) != len(shape) or is_other or _snakes(start):
        return {}
    try:
        sizes = [operator.index(plain(size)) for size in shape]
    except TypeError:
        return {}
    axes = dict(zip(names, sizes, strict=True))
    return axes if min(sizes) > 0 and len(axes) == len(sizes) else {}


def _names(start: Mapping[str, Any], count: int, stream: str | None) -> list[str]:
    """Return a name for each axis of a scan; none if these are of another stream."""
    dimensions = [*map(elements, elements(follow(start, "hints", "dimensions")))]
    motors = texts_in(elements(start.get("motors")))
    if count and len(dimensions) == count and all(dimensions):
        if any(one[1:] not in ([], [stream]) for one in dimensions):
            return []
        fields = [texts_in(elements(one[0]) or one) for one in dimensions]
        return [field[0] for field in fields if field]
    return motors if len(motors) == count and stream == "primary" else []


def _snakes(start: Mapping[str, Any]) -> bool:
    """Return whether any axis goes back and forth."""
    if any(plain(one) is not False for one in _items(start.get("snaking"))):
        return True
    value = plain(start.get("snake_axes"))  # True, a list of motors, or their text
    if isinstance(value, str):
        return value not in ("False", "None", "[]", "()", "")
    return value is True or bool(elements(value))


def _items(value: Any) -> list[Any]:
    return elements(value.tolist() if isinstance(value, np.ndarray) else value)

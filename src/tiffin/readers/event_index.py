"""Which rows of a dataset belong to an event, by what its descriptor declares.

The conventions are those of the consolidators of bluesky-tiled-plugins: an event of n
images is the next n, however the leading axes of a dataset group them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tiffin.axes import COLOURS, place
from tiffin.errors import NotYetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.axes import ArrayHints


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRows:
    """The rows of one event, or the images of it in rows that other events share.

    If events share rows, `part` is how many images come before this event's, and how
    many are this event's.
    """

    first: int
    count: int = 1
    part: tuple[int, int] | None = None
    image_axes: int = 2


def event_shape(
    shape: tuple[int, ...], parameters: Mapping[str, Any]
) -> tuple[int, ...]:
    """Return the shape of an event, the images of a point included.

    Older writers declare one image, and the number of images in the parameters.

    Examples
    --------
    >>> event_shape((1, 6, 9), {"multiplier": 3}), event_shape((6, 9), {})
    ((3, 6, 9), (6, 9))
    >>> event_shape((2, 6, 9), {"multiplier": 3})
    (3, 2, 6, 9)
    """
    multiplier = parameters.get("multiplier") or parameters.get("frame_per_point") or 1
    images = int(multiplier)
    if images == 1 or len(shape) < 2 or (len(shape) > 2 and shape[0] == images):
        return shape
    one_image = len(shape) > 2 and shape[0] == 1
    return (images, *(shape[1:] if one_image else shape))


def rows_of_event(
    hints: ArrayHints,
    row: tuple[int, ...],
    index: int,
    *,
    colour: bool = False,
    rows: Callable[[], int] = int,
    events: Callable[[], int] = int,
) -> EventRows:
    """Find the rows of the event with this index.

    `row` is the shape of a row, and `colour` tells whether its last axis holds samples;
    `rows` and `events` return how many are known (0 if that is unknown).

    Examples
    --------
    >>> from tiffin.axes import ArrayHints
    >>> rows_of_event(ArrayHints(sizes=(3, 6, 9)), (6, 9), 2)
    EventRows(first=6, count=3, part=None, image_axes=2)
    >>> rows_of_event(ArrayHints(sizes=(3, 6, 9)), (1, 6, 9), 2)
    EventRows(first=6, count=3, part=None, image_axes=2)
    >>> rows_of_event(ArrayHints(sizes=(1, 6, 9), scan=(2, 4)), (4, 6, 9), 5)
    EventRows(first=1, count=1, part=(1, 1), image_axes=2)
    """
    declared, per_row, axes = _image_counts(hints, row, colour)
    if not declared or not per_row:
        return EventRows(first=index)
    if declared % per_row == 0:
        count = declared // per_row
        return EventRows(first=index * count, count=count)
    _check_shared_rows(hints, row, row[:-axes], declared, rows(), events())
    first, before = divmod(index * declared, per_row)
    count = -(-(before + declared) // per_row)
    part = before, declared
    return EventRows(first=first, count=count, part=part, image_axes=axes)


def images_per_event(
    declared: tuple[int, ...], image: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the numbers of images that a declared shape can mean, likeliest first.

    `image` is (rows, columns), and samples if it has colour.

    Examples
    --------
    >>> images_per_event((2, 3, 6, 9), (6, 9))
    (6,)
    >>> images_per_event((2, 3, 6, 9), (6, 9, 3))
    (2, 6)
    """
    counts = [math.prod(declared[:-2])] if declared else []
    same = sorted(declared[-3:]) == sorted(image)
    if len(image) == 3 and (same or _includes_samples(declared[-3:], image)):
        counts.insert(0, math.prod(declared[:-3]))
    return tuple(count for count in dict.fromkeys(counts) if count)


def files_per_event(
    declared: tuple[int, ...], parameters: Mapping[str, Any], *, colour: bool = False
) -> int | None:
    """Return how many files of a sequence an event has, as declared.

    None if nothing says it. `colour` tells that the files hold colour images: the first
    of three axes may be samples.

    Examples
    --------
    >>> files_per_event((3, 6, 9), {"chunk_shape": [1, 6, 9]})
    3
    >>> files_per_event((3, 6, 9), {"chunk_shape": [1, 3, 6, 9]}) is None
    True
    """
    if parameters.get("files_per_datum"):
        return int(parameters["files_per_datum"])
    if len(declared) < 3 or not declared[0]:
        return None
    images, chunk = declared[0], tuple(parameters.get("chunk_shape") or ())
    if parameters.get("join_method") == "concat":
        step = int(chunk[0]) if chunk else 1
        return 1 if images % step else images // step
    if parameters.get("multiplier") or parameters.get("frame_per_point"):
        return images
    if colour and len(declared) == 3:
        return None
    same = len(chunk) == len(declared) and _agree(declared[1:], chunk[1:])
    if same and not images % int(chunk[0]):
        return images // int(chunk[0])
    return None


@lru_cache(256)  # the events of a field have the same shape
def _image_counts(
    hints: ArrayHints, row: tuple[int, ...], colour: bool
) -> tuple[int, int, int]:
    """Return the images of an event as declared, those of a row, an image's axes."""
    sizes = hints.sizes
    if len(sizes) < 2 or len(row) < 2:
        if len(row) > 1:
            place(row, hints, last_is_colour=colour)  # raises if it is not an image
        return 0, 0, 2
    if len(row) == 2 or len(row) < len(hints.names):  # each row is a plane
        image = hints.image
        planes = math.prod(hints.lead) * (image[2] if len(image) > 2 else 1)
        return planes, math.prod(row[:-2]), 2
    at = place(row, hints, last_is_colour=colour)
    if min(at) < len(row) - len(at):  # images lie across the row: it is one event
        return 0, 0, 2
    image = tuple(row[k] for k in at)
    per_row = math.prod(row) // (math.prod(image) or 1)
    same = sorted(sizes[-3:]) == sorted(image)
    has_more = len(at) > len(hints.image_axes)
    if has_more and (same or _includes_samples(sizes[-3:], image)):
        return math.prod(sizes[:-3]), per_row, len(at)
    if len(at) > 2 or _agree(hints.image[:2], image):
        return math.prod(hints.lead), per_row, len(at)
    # The declared sizes are wrong: only their number can be trusted.
    return math.prod(sizes[: max(len(sizes) - len(row), 0)]), 1, 2


def _check_shared_rows(
    hints: ArrayHints,
    row: tuple[int, ...],
    lead: tuple[int, ...],
    declared: int,
    rows: int,
    events: int,
) -> None:
    """Raise if a row's images can't be shared among events.

    Most images would be lost if there are as many events as rows, or if a row is one
    colour image. Where nobody counts events, this is not checked.
    """
    if not events or hints.names:
        return
    per_row, counts = math.prod(lead), {math.prod(hints.scan or (0,)), events}
    fits = rows * per_row in {number * declared for number in counts}
    fits = fits or lead == hints.scan[-len(lead) :]
    if rows in counts or (lead[-1] in COLOURS and not fits):
        message = (
            f"a row of {hints.field!r} has shape {[*row]}, but the descriptor declares "
            f"{[*hints.sizes]} for an event: with {events} events and {rows} rows of "
            f"{per_row} images, it is not clear (yet) which images belong to which "
            f"event; set axes='tyx' if images follow each other, or "
            f"colour={hints.field!r} if they are colour images"
        )
        raise NotYetError(message)


def _includes_samples(declared: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether a declared shape is that of a colour image, samples on any axis."""
    rows, columns, samples = image
    orders = (image, (samples, rows, columns), (rows, samples, columns))
    return len(declared) == 3 and any(_agree(declared, order) for order in orders)


def _agree(declared: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether sizes are equal, as far as they are declared."""
    return all(n in (0, int(m)) for n, m in zip(declared, sizes, strict=True))

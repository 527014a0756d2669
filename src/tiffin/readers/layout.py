"""Which rows of a dataset are one event's, told by what its descriptor announces.

Conventions are those of bluesky-tiled-plugins' consolidators: an event of n images is
the next n, whatever leading axes a dataset groups its images by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiffin.axes import COLOURS, place
from tiffin.errors import NotYetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.axes import Hints

__all__ = ["Span", "datum_shape", "files_an_event", "images_an_event", "span_of_event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Rows of one event; or some of the images in them.

    Attributes
    ----------
    first, rows : int
        The first row, and how many.
    part : tuple of (int, int) or None
        Where rows hold images of other events too: how many are before this event's,
        and how many are this event's.
    image_axes : int
        2; or 3 if images have colour.
    """

    first: int
    rows: int = 1
    part: tuple[int, int] | None = None
    image_axes: int = 2


def datum_shape(
    shape: tuple[int, ...], parameters: Mapping[str, Any]
) -> tuple[int, ...]:
    """Return the shape of an event, images a point included.

    Older writers announce one image and say in the parameters how many there are.

    Examples
    --------
    >>> datum_shape((1, 6, 9), {"multiplier": 3}), datum_shape((6, 9), {})
    ((3, 6, 9), (6, 9))
    >>> datum_shape((2, 6, 9), {"multiplier": 3})
    (3, 2, 6, 9)
    """
    images = _images_a_point(parameters)
    if images == 1 or len(shape) < 2:
        return shape
    if len(shape) > 2 and shape[0] == images:
        return shape
    return (
        (images, *shape[1:]) if len(shape) > 2 and shape[0] == 1 else (images, *shape)
    )


def span_of_event(
    hints: Hints,
    row: tuple[int, ...],
    index: int,
    *,
    colour: bool = False,
    rows: int = 0,
) -> Span:
    """Find the rows of the event with this index.

    Parameters
    ----------
    hints : Hints
        What is announced for an event.
    row : tuple of int
        The shape of a row.
    index : int
    colour : bool
        Whether the reader says that a row's last axis holds samples.
    rows : int
        How many there are; 0 where that is not known.

    Raises
    ------
    NotYetError
        If it is not known (yet) whether a row's images are those of several events.
    ReadError
        If rows and columns can't be told.

    Examples
    --------
    >>> from tiffin.axes import Hints
    >>> span_of_event(Hints(sizes=(3, 6, 9)), (6, 9), 2)
    Span(first=6, rows=3, part=None, image_axes=2)
    >>> span_of_event(Hints(sizes=(3, 6, 9)), (1, 6, 9), 2)
    Span(first=6, rows=3, part=None, image_axes=2)
    >>> span_of_event(Hints(sizes=(1, 6, 9), scan=(2, 4)), (4, 6, 9), 5)
    Span(first=1, rows=1, part=(1, 1), image_axes=2)
    """
    announced, held, axes = _announced_and_held(hints, row, colour=colour)
    if not announced or not held:
        return Span(first=index)
    if announced % held == 0:
        rows = announced // held
        return Span(first=index * rows, rows=rows)
    _check_grid(hints, row, row[:-axes], announced, rows)
    first, before = divmod(index * announced, held)
    rows = -(-(before + announced) // held)
    return Span(first=first, rows=rows, part=(before, announced), image_axes=axes)


def images_an_event(datum: tuple[int, ...], image: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers of images that an announced shape can mean, likeliest first.

    Parameters
    ----------
    datum : tuple of int
    image : tuple of int
        (rows, columns) of an image, samples behind them if it is of colour.

    Examples
    --------
    >>> images_an_event((2, 3, 6, 9), (6, 9)), images_an_event((2, 3, 6, 9), (6, 9, 3))
    ((6,), (2, 6))
    """
    found = [math.prod(datum[:-2])] if datum else []
    same = sorted(datum[-3:]) == sorted(image)
    if len(image) == 3 and (same or _holds_samples(datum[-3:], image)):
        found.insert(0, math.prod(datum[:-3]))
    return tuple(number for number in dict.fromkeys(found) if number)


def files_an_event(
    datum: tuple[int, ...], parameters: Mapping[str, Any], *, colour: bool = False
) -> int | None:
    """Return how many files of a sequence an event is said to have.

    Parameters
    ----------
    datum : tuple of int
    parameters : mapping
        Of the stream resource.
    colour : bool
        Whether the files hold colour images: the first of three axes may be samples.

    Returns
    -------
    int or None
        None where nothing says it: an event is one file then, unless the files hold
        less.

    Examples
    --------
    >>> files_an_event((3, 6, 9), {"chunk_shape": [1, 6, 9]})
    3
    >>> files_an_event((3, 6, 9), {"chunk_shape": [1, 3, 6, 9]}) is None
    True
    """
    said = parameters.get("files_per_datum")
    if said:
        return int(said)
    if len(datum) < 3 or not datum[0]:
        return None
    lead, chunk = datum[0], tuple(parameters.get("chunk_shape") or ())
    if parameters.get("join_method") == "concat":
        step = int(chunk[0]) if chunk else 1
        return 1 if lead % step else lead // step
    if parameters.get("multiplier") or parameters.get("frame_per_point"):
        return lead
    if colour and len(datum) == 3:
        return None
    whole = len(chunk) == len(datum) and _agree(datum[1:], chunk[1:])
    if whole and not lead % int(chunk[0]):
        return lead // int(chunk[0])
    return None


def _images_a_point(parameters: Mapping[str, Any]) -> int:
    said = parameters.get("multiplier") or parameters.get("frame_per_point") or 1
    return int(said)


def _announced_and_held(
    hints: Hints, row: tuple[int, ...], *, colour: bool
) -> tuple[int, int, int]:
    """Count an event's images as announced, those that a row holds, an image's axes."""
    sizes = hints.sizes
    if len(sizes) < 2 or len(row) < 2:
        if len(row) > 1:
            place(row, hints, last_is_colour=colour)  # which may be no image
        return 0, 0, 2
    if len(row) == 2 or len(row) < len(hints.names):  # rows that are planes
        image = hints.image
        planes = math.prod(hints.lead) * (image[2] if len(image) > 2 else 1)
        return planes, math.prod(row[:-2]), 2
    at = place(row, hints, last_is_colour=colour)
    if min(at) < len(row) - len(at):  # images lie across the row: it is one event's
        return 0, 0, 2
    found = tuple(row[k] for k in at)
    held = math.prod(row) // (math.prod(found) or 1)
    has_more = len(at) > len(hints.at)
    same = sorted(sizes[-3:]) == sorted(found)
    if has_more and (same or _holds_samples(sizes[-3:], found)):
        return math.prod(sizes[:-3]), held, len(at)
    if len(at) > 2 or _agree(hints.image[:2], found):
        return math.prod(hints.lead), held, len(at)
    # The announced sizes are wrong, so that only the number of axes can be trusted.
    return math.prod(sizes[: max(len(sizes) - len(row), 0)]), 1, 2


def _check_grid(
    hints: Hints,
    row: tuple[int, ...],
    lead: tuple[int, ...],
    announced: int,
    rows: int,
) -> None:
    """Refuse to share a row's images among events, unless their number fits that.

    Where there are as many events as rows, or a row may be an image of colour, most of
    the images would be lost. Where nobody counts events, that is not looked at.
    """
    held, events = math.prod(lead), {math.prod(hints.scan or (0,)), hints.events}
    if not hints.events or hints.names:
        return
    fits = rows * held in {number * announced for number in events}
    fits = fits or lead == hints.scan[-len(lead) :]
    if rows in events or (lead[-1] in COLOURS and not fits):
        message = (
            f"a row of {hints.field!r} has shape {[*row]}, where {[*hints.sizes]} is "
            f"announced for an event: {hints.events} events are known, and {rows} rows "
            f"of {held} images, so that it is not known (yet) which are an event's; "
            f"tell that images follow each other with axes='tyx', or that they are "
            f"of colour with colour={hints.field!r}"
        )
        raise NotYetError(message)


def _holds_samples(announced: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether an announced shape is a colour image's, its samples on any axis."""
    rows, columns, samples = image
    orders = (image, (samples, rows, columns), (rows, samples, columns))
    return len(announced) == 3 and any(_agree(announced, order) for order in orders)


def _agree(announced: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Whether sizes are equal, as far as they are announced."""
    return all(n in (0, int(m)) for n, m in zip(announced, found, strict=True))

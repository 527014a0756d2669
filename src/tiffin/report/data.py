"""Collect what the page shows: rows, figures and pixels of all images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tiffin.report.exported_images import each_file, read_images
from tiffin.report.listed_images import Problem
from tiffin.report.page import as_script
from tiffin.report.page_rows import link_companions, row_of
from tiffin.report.sizes import SMALLEST, fitting_side
from tiffin.report.statistics import statistics_of
from tiffin.report.views import encode_view, reduction_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiffin.folders import Folders
    from tiffin.report.listed_images import Listed, ListedImage

    Row = dict[str, Any]

__all__ = ["Collected", "collect"]

MOST_EXAMPLES = 16
MOST_MEMORY = 2**27
"""Of the examples that sizes are guessed from [bytes]."""


class Collected(NamedTuple):
    """Rows of images, and problems."""

    images: list[Row]
    problems: list[Problem]


def collect(folders: Folders, listed: Listed, room: int) -> Collected:
    """Read all images, and reduce them so that they fit.

    Parameters
    ----------
    folders : Folders
        Of the root.
    listed : Listed
    room : int
        For all images [bytes].
    """
    side = _guessed_side(folders, listed, room)
    while True:
        found = _read_all(folders, listed, side)
        size = len(as_script(found.images).encode())
        if size <= room or side <= SMALLEST:
            return found
        side = max(SMALLEST, min(side - 1, int(side * (room / size) ** 0.5)))


def _guessed_side(folders: Folders, listed: Listed, room: int) -> int:
    """Return the side of images that will fit, guessed from some of them."""
    images = listed.images
    examples: list[np.ndarray] = []
    texts = memory = 0
    count = min(len(images), MOST_EXAMPLES)
    for n in np.linspace(0, len(images) - 1, count).astype(int):
        for image, metadata, pixels in read_images(folders, [images[n]]):
            if isinstance(pixels, np.ndarray) and memory < MOST_MEMORY:
                examples.append(pixels)
                memory += pixels.nbytes
                row = _row(image, metadata, pixels, SMALLEST)
                texts += len(as_script(row).encode()) - len(row["view"]["data"])
    if not examples:
        return SMALLEST
    return fitting_side(examples, room / len(images) - texts / len(examples))


def _read_all(folders: Folders, listed: Listed, side: int) -> Collected:
    """Read all files, several at the same time."""
    found = [*each_file(partial(_rows_of_file, folders, side), listed)]
    problems = [*listed.problems]
    problems += [row for row in found if isinstance(row, Problem)]
    rows = [pair for pair in found if not isinstance(pair, Problem)]
    starts: dict[str, float] = {}
    for _, row in rows:
        time = float(row.get("timestamp") or "inf")
        starts[row["run"]] = min(time, starts.get(row["run"], time))
    rows.sort(key=lambda pair: starts[pair[1]["run"]])  # runs in order of time
    images = [row for _, row in rows]
    link_companions(images, [image.line for image, _ in rows])
    return Collected(images, problems)


def _rows_of_file(
    folders: Folders, side: int, images: Sequence[ListedImage]
) -> Iterable[tuple[ListedImage, Row] | Problem]:
    rows: list[tuple[ListedImage, Row] | Problem] = []
    for image, metadata, pixels in read_images(folders, images):
        if isinstance(pixels, Problem):
            rows.append(pixels)
            continue
        rows.append((image, _row(image, metadata, pixels, side)))
    return rows


def _row(
    image: ListedImage, metadata: Mapping[str, Any], pixels: np.ndarray, side: int
) -> Row:
    """Return what the page shows of an image."""
    return {
        **row_of(image, metadata),
        "shape": [*pixels.shape],
        "dtype": pixels.dtype.name,
        **statistics_of(pixels),
        "view": encode_view(pixels, reduction_of(pixels.shape, side)),
    }

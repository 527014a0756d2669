"""Collect what a page shows: rows, figures and pixels of images.

A page of all images reduces them until they fit. Others have the last image of each
detector.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.folders import Folders
from tiffin.report.exported_images import each_file, read_images
from tiffin.report.listed_images import Problem, read_listed
from tiffin.report.page import as_script
from tiffin.report.page_rows import link_companions, row_of
from tiffin.report.statistics import statistics_of
from tiffin.report.views import encode_view, reduction_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from tiffin.report.listed_images import Listed, ListedImage

    Row = dict[str, Any]

MOST_EXAMPLES = 16
MOST_MEMORY = 2**27
"""Of the examples that sizes are guessed from [bytes]."""

SMALLEST = 8
"""Images are never reduced to less than this [pixels]."""

LAST_SIDE = 480
"""The longest side of the last image of a detector [pixels]."""


def collect(
    folders: Folders, listed: Listed, room: int
) -> tuple[list[Row], list[Problem]]:
    """Read all images, and reduce them so that they take at most `room` bytes."""
    side = _guessed_side(folders, listed, room)
    while True:
        images, problems = _read_all(folders, listed, side)
        size = len(as_script(images).encode())
        if size <= room or side <= SMALLEST:
            return images, problems
        side = max(SMALLEST, min(side - 1, int(side * (room / size) ** 0.5)))


def last_images(
    folder: str | os.PathLike[str], run: str, *, follow_links: bool = False
) -> list[Row]:
    """Return the last image of each stream, field and kind of a run.

    Parameters
    ----------
    folder : path
        The root folder of an export.
    run : str
        The uid of the run.
    follow_links : bool
        Whether files and subfolders may be links.

    Returns
    -------
    list of dict
        What the page of images has of each, without figures. Images that can't be read
        are left out.

    Raises
    ------
    SourceError
        If the folder has no manifest of the run.
    """
    root = Path(folder).absolute()
    last = {
        tuple(map(image.line.get, ("stream", "field", "image"))): image
        for image in read_listed(root, [run]).images
    }
    folders = Folders(str(root), follow_links)
    return [
        _row(image, metadata, pixels, LAST_SIDE)
        for wanted in last.values()
        for image, metadata, pixels in read_images(folders, [wanted])
        if not isinstance(pixels, Problem)
    ]


def _guessed_side(folders: Folders, listed: Listed, room: int) -> int:
    """Return the side of images that will fit, guessed from some of them."""
    images = listed.images
    examples: list[np.ndarray] = []
    texts = memory = 0
    count = min(len(images), MOST_EXAMPLES)
    for n in np.linspace(0, len(images) - 1, count).astype(int):
        for image, metadata, pixels in read_images(folders, [images[n]]):
            if not isinstance(pixels, Problem) and memory < MOST_MEMORY:
                examples.append(pixels)
                memory += pixels.nbytes
                row = _row(image, metadata, pixels, SMALLEST) | statistics_of(pixels)
                texts += len(as_script(row).encode()) - len(row["view"]["data"])
    if not examples:
        return SMALLEST
    return _fitting_side(examples, room / len(images) - texts / len(examples))


def _fitting_side(images: Sequence[np.ndarray], room: float) -> int:
    """Return the longest side with which images take `room` bytes each, on average."""
    largest: int = max(max(image.shape[:2]) for image in images)
    sides: list[int] = [
        math.ceil(largest / n) for n in range(1, 1 + max(1, largest // SMALLEST))
    ]
    too_large, fits = -1, len(sides) - 1
    while fits - too_large > 1:  # sizes grow with sides
        middle = (too_large + fits) // 2
        views = [encode_view(i, reduction_of(i.shape, sides[middle])) for i in images]
        if sum(len(view["data"]) for view in views) <= room * len(images):
            fits = middle
        else:
            too_large = middle
    return sides[fits]


def _read_all(
    folders: Folders, listed: Listed, side: int
) -> tuple[list[Row], list[Problem]]:
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
    return images, problems


def _rows_of_file(
    folders: Folders, side: int, images: Sequence[ListedImage]
) -> list[tuple[ListedImage, Row] | Problem]:
    return [
        pixels
        if isinstance(pixels, Problem)
        else (image, _row(image, metadata, pixels, side) | statistics_of(pixels))
        for image, metadata, pixels in read_images(folders, images)
    ]


def _row(
    image: ListedImage, metadata: Mapping[str, Any], pixels: np.ndarray, side: int
) -> Row:
    """Return what the page shows of an image, but for its figures."""
    return {
        **row_of(image, metadata),
        "shape": [*pixels.shape],
        "dtype": pixels.dtype.name,
        "view": encode_view(pixels, reduction_of(pixels.shape, side)),
    }

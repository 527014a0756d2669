"""Write reduced images in full beside the page: a script for each, read when needed."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.folders import list_folder
from tiffin.report.exported_images import each_file, read_images
from tiffin.report.page import as_script, publish_part
from tiffin.report.views import encode_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiffin.folders import Folders
    from tiffin.report.listed_images import Listed, ListedImage

IMAGES = "images"
NUMBERED = re.compile(r"\d+\.js")


def write_full_images(
    folders: Folders,
    name: str,
    listed: Listed,
    rows: list[dict[str, Any]],
    mode: int | None,
) -> None:
    """Write the images that are reduced on the page, and note their files in the rows.

    `name` is the folder of the page.
    """
    reduced = {
        (row["name"], row["page"]): n
        for n, row in enumerate(rows)
        if row["view"]["reduction"] > 1
    }
    beside = f"{name}/{IMAGES}"
    write = partial(_write_images, folders, beside, reduced, mode)
    for n in each_file(write, listed):
        rows[n]["full"] = f"{IMAGES}/{n}.js"
    _remove_others(folders, beside, {f"{n}.js" for n in reduced.values()})


def _write_images(
    folders: Folders,
    beside: str,
    reduced: Mapping[tuple[str, int], int],
    mode: int | None,
    images: Sequence[ListedImage],
) -> Iterable[int]:
    """Write the reduced images of a file; return their numbers."""
    written = []
    wanted = [image for image in images if (image.name, image.page) in reduced]
    for image, _, pixels in read_images(folders, wanted) if wanted else ():
        if isinstance(pixels, np.ndarray):
            n = reduced[image.name, image.page]
            text = f"tiffinImage({n},{as_script(encode_view(pixels, level=1))});\n"
            publish_part(folders, f"{beside}/{n}.js", text.encode(), mode)
            written.append(n)
    return written


def _remove_others(folders: Folders, folder: str, wanted: set[str]) -> None:
    """Remove images of an earlier page that had more."""
    with suppress(FileNotFoundError), folders.open(folder) as opened:
        for name in list_folder(opened):
            if NUMBERED.fullmatch(name) and name not in wanted:
                os.unlink(name, dir_fd=opened)

"""Read the last image of each detector of a run, for pages that show only that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.folders import Folders
from tiffin.report.exported_images import read_images
from tiffin.report.listed_images import read_listed
from tiffin.report.page_rows import row_of
from tiffin.report.views import encode_view, reduction_of

if TYPE_CHECKING:
    import os

__all__ = ["last_images"]

SIDE = 480
"""The longest side of an image [pixels]."""


def last_images(
    folder: str | os.PathLike[str], run: str, *, follow_links: bool = False
) -> list[dict[str, Any]]:
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
        What the page of images has of each: its row, ``shape``, ``dtype`` and
        ``view``. Images that can't be read are left out.

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
        {
            **row_of(image, metadata),
            "shape": [*pixels.shape],
            "dtype": pixels.dtype.name,
            "view": encode_view(pixels, reduction_of(pixels.shape, SIDE)),
        }
        for wanted in last.values()
        for image, metadata, pixels in read_images(folders, [wanted])
        if isinstance(pixels, np.ndarray)
    ]

"""Read exported files: pixels and metadata of each image."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.errors import ReadError
from tiffin.file_metadata import metadata_in
from tiffin.readers import read_exported
from tiffin.report.listed_images import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np

    from tiffin.folders import Folders
    from tiffin.report.listed_images import Listed, ListedImage

WORKERS = 4


class DamagedError(ReadError):
    """A file is not what was exported."""


T = TypeVar("T")

Read = tuple["ListedImage", dict[str, Any], "np.ndarray | Problem"]


def read_images(folders: Folders, images: Sequence[ListedImage]) -> Iterator[Read]:
    """Yield images of one file, with their metadata and pixels, or why there are none.

    Only regular files below the root are read.
    """
    try:
        notes, rows = _open(folders, images[0])
    except (OSError, ValueError) as error:  # a ReadError is an OSError
        for image in images:
            yield image, {}, _problem(image, error)
        return
    with closing(rows):
        for image in images:
            note = notes[image.page] if image.page < len(notes) else {}
            yield image, note, _read(rows, image)


def each_file(
    act: Callable[[Sequence[ListedImage]], Iterable[T]], listed: Listed
) -> Iterator[T]:
    """Call a function with the images of each file, several at the same time.

    What the calls return comes one after the other, in the order of the files.
    """
    workers = min(WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="tiffin-report") as pool:
        try:
            for found in pool.map(act, listed.files.values()):
                yield from found
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _open(folders: Folders, image: ListedImage) -> tuple[Sequence[dict[str, Any]], Any]:
    """Open a file; return the metadata of its images, and the images."""
    path = Path(folders.root, image.name)
    # tifffile wants a file that has a name.
    file = open(path, "rb", opener=lambda *_: folders.open_file(image.name))  # noqa: SIM115 (opener=)
    try:
        _check_size(os.fstat(file.fileno()).st_size, image.line["bytes"])
        notes = list(metadata_in(file))
        file.seek(0)
        return notes, read_exported(path, file)
    except BaseException:
        file.close()
        raise


def _check_size(found: int, listed: int) -> None:
    if found != listed:
        message = f"the file has {found} bytes, and the manifest lists {listed}"
        raise DamagedError(message)


def _read(rows: Any, image: ListedImage) -> np.ndarray | Problem:
    try:
        pixels: np.ndarray = rows.read(image.page)
    except OSError as error:
        return _problem(image, error)
    if pixels.dtype.kind in "biuf" and pixels.size:
        return pixels
    reason = f"{[*pixels.shape]} pixels of dtype {pixels.dtype} can't be shown"
    return _problem(image, ReadError(reason))


def _problem(image: ListedImage, error: Exception) -> Problem:
    page = f", page {image.page}" if image.page else ""
    reason = str(getattr(error, "strerror", None) or error)
    state = "unreadable"
    if isinstance(error, FileNotFoundError):
        state, reason = "missing", "the file is gone"
    elif isinstance(error, DamagedError):
        state = "damaged"
    return Problem(image.run, f"{image.name}{page}", state, reason)

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np

    from tiffin.folders import Folders
    from tiffin.report.listed_images import Listed, ListedImage

__all__ = ["each_file", "read_images"]

WORKERS = 4
T = TypeVar("T")

Read = tuple["ListedImage", dict[str, Any], "np.ndarray | ReadError"]


def read_images(folders: Folders, images: Sequence[ListedImage]) -> Iterator[Read]:
    """Yield images of one file, with their metadata and pixels, or why there are none.

    Parameters
    ----------
    folders : Folders
        Of the root. Only regular files below it are read.
    images : sequence of ListedImage
    """
    name = images[0].name
    path = Path(folders.root, name)
    try:
        # tifffile wants a file that has a name.
        with open(path, "rb", opener=lambda *_: folders.open_file(name)) as file:
            _check_size(file.fileno(), images[0])
            notes = list(metadata_in(file))
            file.seek(0)
            rows = read_exported(path, file)
            with closing(rows):
                for image in images:
                    note = notes[image.page] if image.page < len(notes) else {}
                    yield image, note, _read(rows, image.page)
    except FileNotFoundError:
        yield from ((image, {}, ReadError("the file is missing")) for image in images)
    except OSError as error:  # a ReadError too
        why = error if isinstance(error, ReadError) else ReadError(_reason(error))
        yield from ((image, {}, why) for image in images)


def each_file(
    act: Callable[[Sequence[ListedImage]], Iterable[T]], listed: Listed
) -> Iterator[T]:
    """Call a function with the images of each file, several at the same time.

    Returns
    -------
    iterator
        What the calls return, one after the other, in the order of the files.
    """
    workers = min(WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="tiffin-report") as pool:
        try:
            for found in pool.map(act, listed.files.values()):
                yield from found
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _read(rows: Any, page: int) -> np.ndarray | ReadError:
    try:
        pixels: np.ndarray = rows.read(page)
    except ReadError as error:
        return error
    if pixels.dtype.kind not in "biuf":
        return ReadError(f"pixels of dtype {pixels.dtype} can't be shown")
    return pixels if pixels.size else ReadError("the image has no pixels")


def _check_size(descriptor: int, image: ListedImage) -> None:
    found, listed = os.fstat(descriptor).st_size, image.line["bytes"]
    if found != listed:
        message = f"the file has {found} bytes, and the manifest lists {listed}"
        raise ReadError(message)


def _reason(error: OSError) -> str:
    return str(error.strerror or error)

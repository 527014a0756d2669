"""Files of images, read whole: TIFF, JPEG, NPY."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, NotYetError, ReadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ArrayPages", "read_jpeg", "read_npy", "read_tiff"]


class ArrayPages:
    """The images of a file, in memory.

    Parameters
    ----------
    array : ndarray, shape (images, rows, columns[, samples])
    colour : bool
        Whether the last axis holds the samples of a colour.
    """

    def __init__(self, array: np.ndarray, *, colour: bool = False) -> None:
        self._array = array
        self.colour = colour
        self.shape: tuple[int, ...] = array.shape[1:]

    def __len__(self) -> int:
        return len(self._array)

    def read(self, page: int) -> np.ndarray:
        """Give one image."""
        image: np.ndarray = self._array[page]
        return image

    def close(self) -> None:
        """Nothing is held open."""


def read_tiff(path: Path) -> ArrayPages:
    """Read a TIFF's pages."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            size = path.stat().st_size
            for page in tiff.pages:
                _check_whole(page, size, path)
            pages = [np.asarray(page.asarray()) for page in tiff.pages]
            first: Any = tiff.pages[0]
            colour = first.photometric in (tifffile.PHOTOMETRIC.RGB, 6)
            if colour and first.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
                pages = [np.moveaxis(page, 0, -1) for page in pages]
    except (tifffile.TiffFileError, ValueError, OSError, IndexError) as error:
        message = f"{path} is no whole TIFF (yet): {error}"
        raise NotYetError(message) from error
    if len({page.shape for page in pages}) != 1:
        message = f"{path}: its pages have several shapes"
        raise ReadError(message)
    return ArrayPages(np.stack(pages), colour=colour)


def _check_whole(page: Any, size: int, path: Path) -> None:
    """Refuse a page of which the file has not all bytes: it would read as zeros."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count or offset + count > size:
            message = f"{path} breaks off: it is not whole (yet)"
            raise NotYetError(message)


def read_jpeg(path: Path) -> ArrayPages:
    """Read a JPEG; of colour if it has samples."""
    try:
        from PIL import Image
    except ImportError as error:
        message = f"JPEG needs Pillow: pip install 'tiffin[all]' ({error})"
        raise MissingLibraryError(message) from error
    try:
        with Image.open(path) as image:
            array = np.asarray(image)
    except OSError as error:
        message = f"{path} is no whole JPEG (yet): {error}"
        raise NotYetError(message) from error
    return ArrayPages(array[np.newaxis], colour=array.ndim == 3)


def read_npy(path: Path) -> ArrayPages:
    """Read an NPY file, all leading axes as one."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        message = f"{path} is no whole NPY (yet): {error}"
        raise NotYetError(message) from error
    if array.ndim < 2:
        message = f"{path} holds no image: its shape is {list(array.shape)}"
        raise ReadError(message)
    lead = math.prod(array.shape[:-2])
    return ArrayPages(array.reshape(lead, *array.shape[-2:]))

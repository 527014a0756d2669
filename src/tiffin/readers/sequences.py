"""Stream resources as files of images: one for each frame, or one of many pages."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, NotYetError, ReadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.readers.rows import Asset

__all__ = ["FileSequence", "jpeg_rows", "npy_rows", "tiff_rows"]

_BRACES = re.compile(r"\{\d*(?::(?P<width>0?\d{0,3})d?)?\}")
_PERCENT = re.compile(r"%(?P<zero>0?)(?P<width>\d{0,3})(?:\.(?P<precision>\d{1,3}))?d")


class FileSequence:
    """Files that a template numbers; each holds one image, or a few pages.

    Parameters
    ----------
    asset : Asset
        Its ``template`` is ``"ad_{:06d}.tiff"`` or ``"%s_%5.5d.tif"``; or its ``uris``
        list the files; or else the path itself is the only file.
    read_file : callable
        Reads a file: gives an array of pages, shape (pages, rows, columns[, samples]),
        and whether the samples are a colour's.
    """

    colour = False

    def __init__(
        self, asset: Asset, read_file: Callable[[Path], tuple[np.ndarray, bool]]
    ) -> None:
        self._asset = asset
        self._read_file = read_file
        self._template = str(asset.parameters.get("template") or "")
        self._uris = [str(uri) for uri in asset.parameters.get("uris") or ()]
        many = bool(self._template) or len(self._uris) > 1
        self._pages = _pages_a_file(asset) if many else 0
        self._last: tuple[int, np.ndarray] | None = None

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Tell the shape of one image; this reads its file."""
        return self.read(row).shape

    def read(self, row: int) -> np.ndarray:
        """Read one image."""
        number, page = divmod(row, self._pages) if self._pages else (0, row)
        pages = self._file(number)
        if page >= len(pages):
            message = (
                f"{self._path(number)} holds {len(pages)} image(s), number {page + 1} "
                f"is not there (yet)"
            )
            raise NotYetError(message)
        image: np.ndarray = pages[page]
        return image

    def close(self) -> None:
        """Let go of the last file."""
        self._last = None

    def _file(self, number: int) -> np.ndarray:
        if self._last is None or self._last[0] != number:
            path = self._path(number)
            if not path.is_file():
                message = f"{path} is not there (yet)"
                raise NotYetError(message)
            pages, self.colour = self._read_file(path)
            self._last = (number, pages)
        return self._last[1]

    def _path(self, number: int) -> Path:
        if self._uris:
            if number >= len(self._uris):
                message = (
                    f"the resource lists {len(self._uris)} files, no {number + 1}th"
                )
                raise ReadError(message)
            locate = self._asset.locate
            return locate(self._uris[number]) if locate else Path(self._uris[number])
        if not self._template:
            return self._asset.path
        filename = str(self._asset.parameters.get("filename") or "")
        name = numbered(self._template, number, filename).lstrip("/")
        if self._asset.locate is None:
            return self._asset.path / name
        # The template may continue the URI's last component, as in "…/uid" + "_1.npy".
        return self._asset.locate(self._asset.uri + name)


def numbered(template: str, number: int, filename: str = "") -> str:
    """Put a number into a template of either kind.

    Examples
    --------
    >>> numbered("ad_{:06d}.tiff", 7), numbered("%s%s_%6.6d.tiff", 7, "scan")
    ('ad_000007.tiff', 'scan_000007.tiff')
    """
    text = template.replace("%s", filename, 1).replace("%s", "")
    text = text.replace("{filename}", filename)
    text = _BRACES.sub(lambda m: f"{number:{m['width'] or ''}d}", text)

    def percent(found: re.Match[str]) -> str:
        digits = int(found["precision"] or 0)
        fill = found["zero"] or ("0" if digits else "")
        width = max(int(found["width"] or 0), digits)
        return f"{number:{fill}{width or ''}d}"

    return _PERCENT.sub(percent, text)


def tiff_rows(asset: Asset) -> FileSequence:
    """Open a sequence of TIFF files, or one file of pages."""
    return FileSequence(asset, _read_tiff)


def jpeg_rows(asset: Asset) -> FileSequence:
    """Open a sequence of JPEG files."""
    return FileSequence(asset, _read_jpeg)


def npy_rows(asset: Asset) -> FileSequence:
    """Open a sequence of NPY files."""
    return FileSequence(asset, _read_npy)


def _pages_a_file(asset: Asset) -> int:
    """Tell how many images a numbered file holds.

    The rule is that of bluesky-tiled-plugins' consolidators: ``chunk_shape`` with the
    rank of the datum says it; without it, files of one image.
    """
    datum, chunk = asset.datum_shape, tuple(asset.parameters.get("chunk_shape") or ())
    files = asset.parameters.get("files_per_datum")
    if files and datum:
        return max(int(datum[0]) // int(files), 1)
    if len(datum) >= 3 and len(chunk) == len(datum) and chunk[1:] == datum[1:]:
        return int(chunk[0])
    return 1


def _read_tiff(path: Path) -> tuple[np.ndarray, bool]:
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
    array = np.stack(pages) if len({page.shape for page in pages}) == 1 else None
    if array is None:
        message = f"{path}: its pages have several shapes"
        raise ReadError(message)
    return array, colour


def _check_whole(page: Any, size: int, path: Path) -> None:
    """Refuse a page of which the file has not all bytes: it would read as zeros."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count or offset + count > size:
            message = f"{path} breaks off: it is not whole (yet)"
            raise NotYetError(message)


def _read_jpeg(path: Path) -> tuple[np.ndarray, bool]:
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
    return array[np.newaxis], array.ndim == 3


def _read_npy(path: Path) -> tuple[np.ndarray, bool]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        message = f"{path} is no whole NPY (yet): {error}"
        raise NotYetError(message) from error
    if array.ndim < 2:
        message = f"{path} holds no image: its shape is {list(array.shape)}"
        raise ReadError(message)
    lead = math.prod(array.shape[:-2])
    return array.reshape(lead, *array.shape[-2:]), False

"""Files of images: TIFF, JPEG, NPY."""

from __future__ import annotations

import math
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tiffin.axes import ArrayHints, place
from tiffin.display import count_text
from tiffin.errors import NotYetError, ReadError, TiffinError, optional_import
from tiffin.readers.file_checks import check_image_size, open_regular
from tiffin.readers.rows import FixedRows
from tiffin.readers.tiff_checks import (
    JPEG,
    check_directory,
    check_page,
    last_tags_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARY_ERRORS = (
    OSError,
    ValueError,  # includes tifffile's own
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,  # includes those of the codecs
    EOFError,
    SyntaxError,
    struct.error,
)
"""What libraries raise for broken files."""


class ArrayPages(FixedRows):
    """Images in memory: (images, rows, columns), and samples if they have colour."""

    def __init__(self, path: Path, array: np.ndarray, *, colour: bool = False) -> None:
        super().__init__(path, len(array), array.shape[1:], colour=colour)
        self._array = array

    def _read(self, row: int) -> np.ndarray:
        image: np.ndarray = self._array[row]
        return image


class TiffPages(FixedRows):
    """The pages of a TIFF."""

    def __init__(self, file: BinaryIO, path: Path, declared: int = 0) -> None:
        self._file, self._declared = file, declared
        self._last_tags, self._tiff, first = _open_tiff(file, path)
        check_page(first, file, path, declared)
        shape, colour = _shape_in_order(first), _is_colour(first)
        super().__init__(path, len(self._tiff.pages), shape, colour=colour)

    def _read(self, row: int) -> np.ndarray:
        with _reported_errors("TIFF", self._path):
            check_directory(self._file, self._path, self._last_tags[row])
            tiff_page: Any = self._tiff.pages[row]
            _check_samples(tiff_page, self._path)
            shape = _shape_in_order(tiff_page)
            if shape != self.shape or _is_colour(tiff_page) != self.colour:
                message = (
                    f"{self._path}: its pages have several shapes: page {row} has "
                    f"{[*shape]}, the first {[*self.shape]}"
                )
                raise ReadError(message)
            check_page(tiff_page, self._file, self._path, self._declared)
            image = np.asarray(tiff_page.asarray())
        return np.moveaxis(image, 0, -1) if image.shape != shape else image

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        self._file.close()


class NpyPages(FixedRows):
    """The images of an NPY file in C order, all leading axes as one.

    The file must stand at the first image. A page has `axes` axes: more than 2 if those
    of an image are not the last two.
    """

    def __init__(
        self,
        file: BinaryIO,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype,
        axes: int,
    ) -> None:
        super().__init__(path, math.prod(shape[:-axes]), shape[-axes:])
        self._file, self._dtype, self._start = file, dtype, file.tell()

    def _read(self, row: int) -> np.ndarray:
        count = math.prod(self.shape)
        self._file.seek(self._start + row * count * self._dtype.itemsize)
        data = self._file.read(count * self._dtype.itemsize)
        return np.frombuffer(data, self._dtype, count).reshape(self.shape)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_tiff(
    path: Path, declared: int = 0, opened: BinaryIO | None = None
) -> FixedRows:
    """Open a TIFF; `declared` numbers an image has, or 0 if unknown.

    The file may be `opened` already.
    """
    with _opened("TIFF", path, opened) as file:
        return TiffPages(file, path, declared)


def tiff_samples(path: Path) -> str | None:
    """Return whether a TIFF has its samples "last" or "first"; None if it is grey."""
    with _opened("TIFF", path) as file, file:
        *_, page = _open_tiff(file, path)
        if not _is_colour(page):
            return None
        return "first" if _shape_in_order(page) != page.shape else "last"


def read_jpeg(path: Path, declared: int = 0) -> FixedRows:
    """Read a JPEG, grey or RGB."""
    with optional_import("JPEG needs Pillow", extra="all"):
        from PIL import Image
    with (
        _opened("JPEG", path) as file,
        file,
        # Otherwise Pillow would read other formats too, some by running programs.
        Image.open(file, formats=("JPEG", "MPO")) as image,
    ):
        shape = (image.height, image.width, len(image.getbands()))
        check_image_size(path, shape, 1, path.stat().st_size, declared)
        if image.mode not in ("L", "RGB"):
            raise _colour_error(path, image.mode, len(image.getbands()))
        array = np.asarray(image)
    return ArrayPages(path, array[np.newaxis], colour=array.ndim == 3)


def read_npy(
    path: Path,
    declared: int = 0,
    hints: ArrayHints | None = None,
    *,
    rows: bool = False,
    opened: BinaryIO | None = None,
) -> FixedRows:
    """Open an NPY file, all leading axes as one; `hints` tell which these are.

    With `rows`, a page is an entry along the first axis. The file may be `opened`
    already.
    """
    with _opened("NPY", path, opened) as file:
        shape, fortran_order, dtype = _npy_header(file)
        if len(shape) < 2 or dtype.hasobject or not dtype.itemsize:
            message = f"{path} holds no image: its shape is {[*shape]} of {dtype}"
            raise ReadError(message)
        axes = 2 if hints is None else len(shape) - min(place(shape, hints))
        axes = max(axes, len(shape) - 1) if rows else axes
        start = file.tell()
        size, expected = file.seek(0, 2) - start, math.prod(shape) * dtype.itemsize
        if size != expected:
            message = (
                f"{path}: its header says {[*shape]} of {dtype}, {expected} bytes; "
                f"{size} are there"
            )
            raise (NotYetError if size < expected else ReadError)(message)
        check_image_size(path, shape[-axes:], dtype.itemsize, size, declared)
        file.seek(start)
        if not fortran_order:
            return NpyPages(file, path, shape, dtype, axes)
        check_image_size(path, shape, dtype.itemsize, size, declared)
        with file:
            data = np.frombuffer(file.read(expected), dtype)
    array = data.reshape(shape, order="F")
    return ArrayPages(path, array.reshape(-1, *shape[-axes:]))


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether the order is Fortran's, and dtype."""
    if np.lib.format.read_magic(file) == (1, 0):
        header = np.lib.format.read_array_header_1_0(file)
    else:
        header = np.lib.format.read_array_header_2_0(file)
    shape, fortran_order, dtype = header
    if not all(type(n) is int and n >= 0 for n in shape):
        message = f"its header says {[*shape]}, which is not a shape"
        raise ValueError(message)
    return shape, fortran_order, dtype


@contextmanager
def _opened(
    kind: str, path: Path, opened: BinaryIO | None = None
) -> Iterator[BinaryIO]:
    """Open a file, and close it only if the block raises."""
    file = open_regular(path) if opened is None else opened
    try:
        with _reported_errors(kind, path):
            yield file
    except BaseException:
        file.close()
        raise


@contextmanager
def _reported_errors(kind: str, path: Path) -> Iterator[None]:
    """Turn a library's errors into ours: the file may be incomplete."""
    try:
        yield
    except TiffinError:
        raise
    except MemoryError as error:
        message = f"{path}: there is not enough memory for what its header claims"
        raise ReadError(message) from error
    except LIBRARY_ERRORS as error:
        message = (
            f"{path} is not a complete {kind} (yet): {type(error).__name__}: {error}"
        )
        raise NotYetError(message) from error


def _open_tiff(file: BinaryIO, path: Path) -> tuple[list[int], Any, Any]:
    """Return the places of last tags, the TIFF and its first page, after checks."""
    import tifffile

    last_tags = last_tags_of(file, path)
    if last_tags:
        check_directory(file, path, last_tags[0])
    file.seek(0)
    tiff = tifffile.TiffFile(file)
    first = tiff.pages[0]
    _check_samples(first, path)
    return last_tags, tiff, first


def _is_colour(page: Any) -> bool:
    """Whether a page is decoded as RGB, as the YCbCr of JPEG is too."""
    import tifffile

    kinds = tifffile.PHOTOMETRIC
    in_jpeg = page.photometric == kinds.YCBCR and page.compression in JPEG
    return page.photometric == kinds.RGB or in_jpeg


def _check_samples(page: Any, path: Path) -> None:
    samples = int(page.samplesperpixel)
    if samples not in (3, 4) if _is_colour(page) else samples != 1:
        kind = getattr(page.photometric, "name", page.photometric)
        raise _colour_error(path, kind, samples)


def _colour_error(path: Path, kind: object, samples: int) -> ReadError:
    message = (
        f"{path} holds {kind} with {count_text(samples, 'sample')} a pixel, which is "
        f"neither grey nor RGB: convert it to one of these first"
    )
    return ReadError(message)


def _shape_in_order(page: Any) -> tuple[int, ...]:
    """Return a page's shape with the samples last."""
    import tifffile

    shape: tuple[int, ...] = page.shape
    planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    return (*shape[1:], shape[0]) if planes and _is_colour(page) else shape

"""Files of images: TIFF, JPEG, NPY."""

from __future__ import annotations

import math
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tiffin.axes import Hints, place
from tiffin.errors import MissingLibraryError, NotYetError, ReadError, TiffinError
from tiffin.readers.regular import open_regular
from tiffin.readers.room import check_room
from tiffin.readers.stream_sizes import JPEG
from tiffin.readers.tiff_checks import check_chain, check_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "ArrayPages",
    "NpyPages",
    "TiffPages",
    "read_jpeg",
    "read_npy",
    "read_tiff",
    "tiff_samples",
]

FOREIGN = (
    OSError,
    ValueError,  # among them tifffile's own
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,  # among them the codecs'
    EOFError,
    SyntaxError,
    struct.error,
)
"""What libraries raise of files that are broken."""


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
        """Return one image."""
        image: np.ndarray = self._array[page]
        return image

    def close(self) -> None:
        """Nothing is held open."""


class TiffPages:
    """The pages of a TIFF, each read when it is asked for.

    Parameters
    ----------
    file : file
        Closed with these pages.
    path : pathlib.Path
        For messages.
    announced : int
        How many numbers the descriptor announces of an image; 0 if it does not.
    """

    def __init__(self, file: BinaryIO, path: Path, announced: int = 0) -> None:
        import tifffile

        self._path, self._file, self._announced = path, file, announced
        check_chain(file, path)
        file.seek(0)
        self._tiff = tifffile.TiffFile(file)
        self._count = len(self._tiff.pages)
        first: Any = self._tiff.pages[0]
        _check_samples(first, path)
        check_page(first, file, path, announced)
        self.colour = _is_colour(first)
        self.shape: tuple[int, ...] = _in_order(first)

    def __len__(self) -> int:
        return self._count

    def read(self, page: int) -> np.ndarray:
        """Read one page, in its own dtype."""
        with _telling("TIFF", self._path):
            found: Any = self._tiff.pages[page]
            _check_samples(found, self._path)
            shape = _in_order(found)
            if shape != self.shape or _is_colour(found) != self.colour:
                message = (
                    f"{self._path}: its pages have several shapes: page {page} has "
                    f"{[*shape]}, the first {[*self.shape]}"
                )
                raise ReadError(message)
            check_page(found, self._file, self._path, self._announced)
            image = np.asarray(found.asarray())
        return np.moveaxis(image, 0, -1) if image.shape != shape else image

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        self._file.close()


class NpyPages:
    """The images of an NPY file in C order, all leading axes as one.

    Parameters
    ----------
    file : file
        Closed with these pages.
    shape : tuple of int
        Of the whole array.
    dtype : numpy.dtype
    axes : int
        How many axes a page has: 2, or more where an image's are not the last two.
    """

    colour = False

    def __init__(
        self, file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype, axes: int = 2
    ) -> None:
        self._file, self._dtype, self._first = file, dtype, file.tell()
        self._count = math.prod(shape[:-axes])
        self.shape = shape[-axes:]

    def __len__(self) -> int:
        return self._count

    def read(self, page: int) -> np.ndarray:
        """Read one image."""
        count = math.prod(self.shape)
        self._file.seek(self._first + page * count * self._dtype.itemsize)
        data = self._file.read(count * self._dtype.itemsize)
        return np.frombuffer(data, self._dtype, count).reshape(self.shape)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_tiff(path: Path, announced: int = 0) -> TiffPages:
    """Open a TIFF; `announced` numbers an image has, or 0."""
    with _opening("TIFF", path) as file:
        return TiffPages(file, path, announced)


def tiff_samples(path: Path) -> str | None:
    """Return where a TIFF's first page has its samples.

    Returns
    -------
    {"last", "first"} or None
        None for a grey image.

    Raises
    ------
    ReadError
        If they are neither grey nor RGB.
    """
    import tifffile

    with _opening("TIFF", path) as file, file:
        check_chain(file, path)
        file.seek(0)
        page: Any = tifffile.TiffFile(file).pages[0]
        _check_samples(page, path)
        if not _is_colour(page):
            return None
        return "first" if _in_order(page) != page.shape else "last"


def read_jpeg(path: Path, announced: int = 0) -> ArrayPages:
    """Read a JPEG; of colour if it has samples."""
    try:
        from PIL import Image
    except ImportError as error:
        message = f"JPEG needs Pillow: pip install 'tiffin[all]' ({error})"
        raise MissingLibraryError(message) from error
    with (
        _opening("JPEG", path) as file,
        file,
        # Pillow would also read other formats, some through other programs.
        Image.open(file, formats=("JPEG", "MPO")) as image,
    ):
        shape = (image.height, image.width, len(image.getbands()))
        check_room(path, shape, 1, path.stat().st_size, announced)
        if image.mode not in ("L", "RGB"):
            raise _no_rgb(path, image.mode, len(image.getbands()))
        array = np.asarray(image)
    return ArrayPages(array[np.newaxis], colour=array.ndim == 3)


def read_npy(
    path: Path, announced: int = 0, hints: Hints | None = None, *, rows: bool = False
) -> ArrayPages | NpyPages:
    """Open an NPY file, all leading axes as one; `hints` tell which these are.

    With `rows`, a page is what stands at a place of the first axis.
    """
    with _opening("NPY", path) as file:
        shape, by_columns, dtype = _npy_header(file)
        if len(shape) < 2 or dtype.hasobject or not dtype.itemsize:
            message = f"{path} holds no image: its shape is {[*shape]} of {dtype}"
            raise ReadError(message)
        axes = 2 if hints is None else len(shape) - min(place(shape, hints))
        axes = max(axes, len(shape) - 1) if rows else axes
        first = file.tell()
        there, wanted = file.seek(0, 2) - first, math.prod(shape) * dtype.itemsize
        if there != wanted:
            message = (
                f"{path}: its header says {[*shape]} of {dtype}, {wanted} bytes; "
                f"{there} are there"
            )
            raise (NotYetError if there < wanted else ReadError)(message)
        check_room(path, shape[-axes:], dtype.itemsize, there, announced)
        file.seek(first)
        if not by_columns:
            return NpyPages(file, shape, dtype, axes)
        check_room(path, shape, dtype.itemsize, there, announced)
        with file:
            array = np.frombuffer(file.read(wanted), dtype).reshape(shape, order="F")
    return ArrayPages(array.reshape(-1, *shape[-axes:]))


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read an NPY file's header: shape, whether columns come first, and dtype."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(file)
    else:
        header = np.lib.format.read_array_header_2_0(file)
    shape, by_columns, dtype = header
    if not all(type(n) is int and n >= 0 for n in shape):
        message = f"its header says {[*shape]}, which is no shape"
        raise ValueError(message)
    return shape, by_columns, dtype


@contextmanager
def _opening(kind: str, path: Path) -> Iterator[BinaryIO]:
    """Open a file; close it if reading it fails."""
    file = open_regular(path)
    try:
        with _telling(kind, path):
            yield file
    except BaseException:
        file.close()
        raise


@contextmanager
def _telling(kind: str, path: Path) -> Iterator[None]:
    """Say which file a library could not read, and that it may not be whole yet."""
    try:
        yield
    except TiffinError:
        raise
    except MemoryError as error:
        message = f"{path}: memory is too short for what its header claims"
        raise ReadError(message) from error
    except FOREIGN as error:
        message = f"{path} is no whole {kind} (yet): {type(error).__name__}: {error}"
        raise NotYetError(message) from error


def _is_colour(page: Any) -> bool:
    """Whether a page is decoded as RGB: so is the YCbCr of JPEG."""
    import tifffile

    kinds = tifffile.PHOTOMETRIC
    in_jpeg = page.photometric == kinds.YCBCR and page.compression in JPEG
    return page.photometric == kinds.RGB or in_jpeg


def _check_samples(page: Any, path: Path) -> None:
    """Refuse samples that are neither grey nor RGB: nothing here holds them."""
    samples = int(page.samplesperpixel)
    is_rgb = _is_colour(page)
    if samples not in (3, 4) if is_rgb else samples != 1:
        kind = getattr(page.photometric, "name", page.photometric)
        raise _no_rgb(path, kind, samples)


def _no_rgb(path: Path, kind: object, samples: int) -> ReadError:
    message = (
        f"{path} holds {kind} with {samples} sample(s) a pixel, which is neither grey "
        f"nor RGB: convert it to one of these first"
    )
    return ReadError(message)


def _in_order(page: Any) -> tuple[int, ...]:
    """Tell a page's shape, a colour's samples last."""
    import tifffile

    shape: tuple[int, ...] = page.shape
    planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    return (*shape[1:], shape[0]) if planes and _is_colour(page) else shape

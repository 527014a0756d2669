"""One image, one plain TIFF: the layout that every reader measured reads.

The pixels are one strip, as they are or encoded, between a header and a directory that
are prepared once for each shape and dtype, so that a file costs one gathered write.
"""

from __future__ import annotations

import math
import os
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from tiffin.dtypes import COMPLEX_ADVICE, float_dtype_for
from tiffin.errors import DtypeError, ReadError
from tiffin.frames import too_large
from tiffin.writers.checksums import (
    Buffer,
    Checksum,
    Written,
    check_kind,
    checksum_over,
)
from tiffin.writers.codecs import Compression, check_compression, encode, worst_size
from tiffin.writers.layout import LARGEST, around, size_around

__all__ = ["WRITABLE", "SeriesWriter", "Writer", "check_writable", "file_size"]

UNSIGNED = ("uint8", "uint16", "uint32")
SIGNED = ("int8", "int16", "int32")
WRITABLE = (*UNSIGNED, *SIGNED, "float32", "float64")
"""The dtypes that a TIFF holds and that readers agree on."""

_AT_ONCE = 1024
"""How many buffers the system gathers in one write (IOV_MAX on Linux)."""


class Writer(Protocol):
    """What turns an image into a file's bytes."""

    def write(self, descriptor: int, image: np.ndarray) -> Written:
        """Write the whole file to an open descriptor; give its size and checksum."""
        ...


@dataclass(frozen=True, slots=True)
class SeriesWriter:
    """Writes each image as a TIFF file of its own.

    Parameters
    ----------
    compression : {None, "zlib", "zstd", "lzw"}
        zlib and LZW are read everywhere, zstd by few programs. None uses a predictor.
    level : int, optional
        1 (fast) to 9 (small) for zlib, to 22 for zstd. Without, the fastest encoder
        that is installed: for zlib that of the `isal` package.
    checksum : {"crc32", "sha256", "none"}
        What `write` gives for the file.

    Raises
    ------
    SettingsError
        If there is no such compression, level or checksum.
    MissingLibraryError
        If zstd or LZW is asked for and imagecodecs is not installed.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     image = np.arange(6, dtype="u2").reshape(2, 3)
    ...     written = SeriesWriter().write(file.fileno(), image)
    ...     tifffile.imread(file.name)
    array([[0, 1, 2],
           [3, 4, 5]], dtype=uint16)
    >>> written
    Written(nbytes=196, checksum='crc32:3ac44dee')
    """

    _: KW_ONLY
    compression: Compression | None = None
    level: int | None = None
    checksum: Checksum = "crc32"

    def __post_init__(self) -> None:
        check_compression(self.compression, self.level)
        check_kind(self.checksum)

    def write(self, descriptor: int, image: np.ndarray, note: str = "") -> Written:
        """Write one image.

        Parameters
        ----------
        descriptor : int
            Of a file opened for writing, at its beginning.
        image : ndarray, shape (rows, columns) or (rows, columns, samples) [counts]
            In one of the `WRITABLE` dtypes, in any byte order and memory layout. Three
            or four samples are a colour's (RGB, or RGB and alpha).
        note : str, optional
            ASCII. Stands in the file's private tag 65123, which readers leave alone.

        Returns
        -------
        Written
            The size of the file [bytes], and its checksum.

        Raises
        ------
        DtypeError
            If a TIFF that readers agree on can't hold the image.
        OSError
            If the file can't be written.
        """
        return self._write(descriptor, self.buffers(image, note))

    def buffers(self, image: np.ndarray, note: str = "") -> list[Buffer]:
        """Return the file of an image as buffers: header, strip, gap, directory.

        They may share the image's memory. `same_bytes` compares them with a file.
        """
        little = _little_endian(image.shape, image.dtype)
        pixels = np.ascontiguousarray(image, dtype=little)
        strip = encode(pixels.data, self.compression, self.level)
        return self._around(strip, image.shape, little, note)

    def takes(self, codec: str | None) -> bool:
        """Return whether chunks of some codec may be passed through as strips.

        Parameters
        ----------
        codec : str or None
            None: plain little-endian pixels; ``"zlib"``: a zlib stream of them. A
            writer that was given a level encodes by itself.
        """
        if codec is None:
            return self.compression is None
        return codec == "zlib" == self.compression and self.level is None

    def write_strip(
        self, descriptor: int, strip: Buffer, shape: tuple[int, ...], dtype: np.dtype
    ) -> Written:
        """Write one image whose strip is encoded already.

        Parameters
        ----------
        descriptor : int
            Of a file opened for writing, at its beginning.
        strip : buffer
            What this writer would encode `shape` pixels to, or another stream of the
            same codec (see `takes`). It is not decoded.
        shape : tuple of int
            (rows, columns), or (rows, columns, samples).
        dtype : numpy.dtype
            One of the `WRITABLE`, little-endian.

        Raises
        ------
        DtypeError
            If a TIFF that readers agree on can't hold such an image.
        ReadError
            If the strip is no such image's.
        OSError
            If the file can't be written.
        """
        return self._write(descriptor, self.strip_buffers(strip, shape, dtype))

    def strip_buffers(
        self, strip: Buffer, shape: tuple[int, ...], dtype: np.dtype
    ) -> list[Buffer]:
        """Return what `write_strip` writes as buffers."""
        if _little_endian(shape, dtype) != dtype:
            message = f"encoded pixels of dtype {dtype} are not little-endian"
            raise DtypeError(message)
        self._check_strip(memoryview(strip), shape, dtype)
        return self._around(strip, shape, dtype)

    def _around(
        self,
        strip: Buffer,
        shape: tuple[int, ...],
        dtype: np.dtype,
        note: str = "",
    ) -> list[Buffer]:
        size = memoryview(strip).nbytes
        if size + len(note) + 1024 > LARGEST:
            message = f"an image of {size} bytes is too large for a classic TIFF"
            raise DtypeError(message)
        header, gap, directory = around(shape, dtype.str, self.compression, size, note)
        return [header, strip, gap, directory]

    def _check_strip(
        self, strip: memoryview, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        wanted = math.prod(shape) * dtype.itemsize
        if self.compression is None and strip.nbytes != wanted:
            message = f"{strip.nbytes} bytes are no image of {wanted}"
            raise ReadError(message)
        if self.compression == "zlib" and not _begins_as_zlib(strip):
            message = f"{strip.nbytes} bytes do not begin as a zlib stream"
            raise ReadError(message)

    def _write(self, descriptor: int, buffers: list[Buffer]) -> Written:
        checksum = checksum_over(buffers, self.checksum)
        return Written(write_all(descriptor, buffers), checksum)


def file_size(
    shape: tuple[int, ...], dtype: np.dtype, compression: str | None = None
) -> int:
    """Return how large the file of an image is [bytes]: compressed, at most.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns), or (rows, columns, samples).
    dtype : numpy.dtype
    compression : {None, "zlib", "zstd", "lzw"}
        With one the size depends on the pixels: this is what noise would take.
    """
    pixel_bytes = math.prod(shape) * dtype.itemsize
    if dtype.name not in WRITABLE or not pixel_bytes:
        return pixel_bytes
    strip_bytes = worst_size(pixel_bytes, compression)
    around_it = size_around(shape, dtype.newbyteorder("<").str, compression)
    return around_it + strip_bytes + strip_bytes % 2


def check_writable(image: np.ndarray) -> None:
    """Raise a `DtypeError` unless the image fits a plain TIFF."""
    _little_endian(image.shape, image.dtype)


def write_all(descriptor: int, buffers: list[Buffer]) -> int:
    """Write all buffers, however many calls the system makes of it.

    Returns
    -------
    int
        Bytes written.
    """
    done = os.writev(descriptor, buffers[:_AT_ONCE])
    total = sum([memoryview(buffer).nbytes for buffer in buffers])
    if done < total:
        _write_rest(descriptor, buffers, done)
    return total


def _write_rest(descriptor: int, buffers: list[Buffer], done: int) -> None:
    """Go on behind the bytes that are written already."""
    waiting = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    while True:
        while waiting and done >= waiting[0].nbytes:
            done -= waiting.pop(0).nbytes
        if not waiting:
            return
        waiting[0] = waiting[0][done:]
        done = os.writev(descriptor, waiting[:_AT_ONCE])


@lru_cache(maxsize=64)
def _little_endian(shape: tuple[int, ...], dtype: np.dtype) -> np.dtype:
    """Check that such an image fits a plain TIFF; give the dtype that it has there."""
    if dtype.name not in WRITABLE:
        raise DtypeError(_refusal(dtype))
    nbytes = math.prod(shape) * dtype.itemsize
    if not nbytes:
        message = f"an image of shape {shape} has no pixel"
        raise DtypeError(message)
    if len(shape) not in (2, 3):
        message = f"an image has rows and columns; this has shape {shape}"
        raise DtypeError(message)
    if len(shape) == 3 and shape[2] not in (3, 4):
        message = f"a colour has 3 or 4 samples, not {shape[2]}"
        raise DtypeError(message)
    large = too_large(shape, nbytes)
    if large is not None:
        raise DtypeError(large)
    return dtype.newbyteorder("<")


def _begins_as_zlib(strip: memoryview) -> bool:
    """Look for a zlib header (RFC 1950): deflate, and a multiple of 31."""
    first = bytes(strip.cast("B")[:2])
    return len(first) == 2 and first[0] & 15 == 8 and int.from_bytes(first) % 31 == 0


def _refusal(dtype: np.dtype) -> str:
    """Say why there is no TIFF of such pixels, and what to do where that helps."""
    if dtype.kind not in "biufc":
        return f"no TIFF holds pixels of dtype {dtype}"
    told = f"pixels of dtype {dtype} have no TIFF that readers agree on"
    if dtype.kind == "c":
        return f"{told}: {COMPLEX_ADVICE}"
    if dtype.kind == "b":
        return f"{told}: they are true and false; dtype='uint8' makes 1 and 0 of them"
    if dtype.kind == "f":
        rounds = "holds" if dtype.itemsize < 4 else "rounds"
        return f"{told}: dtype={float_dtype_for(dtype).name!r} {rounds} their values"
    name = "uint32" if dtype.kind == "u" else "int32"
    return (
        f"{told}: ask for one that holds every value, as in dtype={name!r}; there are "
        f"{', '.join(WRITABLE)}"
    )

"""One image, one plain TIFF: the layout that every reader measured reads.

Classic TIFF, little-endian, one page, one strip, uncompressed, pixels first at byte 8
and the directory last, MinIsBlack. The directory is prepared once for each shape and
dtype, so that a file costs one gathered write. Field numbers are those of TIFF 6.0
(Aldus, 1992).
"""

from __future__ import annotations

import math
import os
import struct
from functools import lru_cache
from typing import Protocol

import numpy as np

from tiffin.errors import DtypeError

__all__ = ["WRITABLE", "SeriesWriter", "Writer", "file_size"]

UNSIGNED = ("uint8", "uint16", "uint32")
SIGNED = ("int8", "int16", "int32")
WRITABLE = (*UNSIGNED, *SIGNED, "float32", "float64")
"""The dtypes that a TIFF holds and that readers agree on."""

PIXELS_AT = 8
"""Byte of the first pixel: right behind the header. GSAS-II reads pixels there."""

LARGEST = 2**32 - 1
"""A classic TIFF's offsets have 32 bits [bytes]."""

SHORT, LONG, ASCII = 3, 4, 2

Tag = tuple[int, int, int | bytes | tuple[int, ...]]
"""Number, type, and one value, text or several values."""

MODEL_FOR = ("uint16", "uint32", "int32")
"""Dtypes whose files carry a Model tag: with it GSAS-II reads these, and no other,
correctly from byte 8; without, it declines the file or leaves it to its PIL importer.
"""


class Writer(Protocol):
    """What turns an image into a file's bytes."""

    def write(self, descriptor: int, image: np.ndarray) -> int:
        """Write the whole file to an open descriptor; give the number of bytes."""
        ...


class SeriesWriter:
    """Writes each image as a TIFF file of its own.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     image = np.arange(6, dtype="u2").reshape(2, 3)
    ...     _ = SeriesWriter().write(file.fileno(), image)
    ...     tifffile.imread(file.name)
    array([[0, 1, 2],
           [3, 4, 5]], dtype=uint16)
    """

    def write(self, descriptor: int, image: np.ndarray) -> int:
        """Write one image.

        Parameters
        ----------
        descriptor : int
            Of a file opened for writing, at its beginning.
        image : ndarray, shape (rows, columns) or (rows, columns, samples) [counts]
            In one of the `WRITABLE` dtypes, in any byte order and memory layout. Three
            or four samples are a colour's (RGB, or RGB and alpha).

        Returns
        -------
        int
            The size of the file [bytes].

        Raises
        ------
        DtypeError
            If a TIFF that readers agree on can't hold the image.
        OSError
            If the file can't be written.
        """
        check_writable(image)
        pixels = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
        header, directory = _layout(pixels.shape, pixels.dtype.str)
        gap = b"\0" * (-pixels.nbytes % 2)  # directories begin on a word boundary
        return write_all(descriptor, [header, pixels.data, gap, directory])


def file_size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Tell how large the file of an image is [bytes].

    Parameters
    ----------
    shape : tuple of int
        (rows, columns), or (rows, columns, samples).
    dtype : numpy.dtype
    """
    pixel_bytes = math.prod(shape) * dtype.itemsize
    if dtype.name not in WRITABLE or not pixel_bytes:
        return pixel_bytes
    header, directory = _layout(shape, dtype.newbyteorder("<").str)
    return len(header) + pixel_bytes + pixel_bytes % 2 + len(directory)


def check_writable(image: np.ndarray) -> None:
    """Raise a `DtypeError` unless the image fits a plain TIFF."""
    if image.dtype.name not in WRITABLE:
        message = (
            f"pixels of dtype {image.dtype} have no TIFF that readers agree on: "
            f"ask for one of {', '.join(WRITABLE)}, "
            f"as in dtype={_advice(image.dtype)!r}"
        )
        raise DtypeError(message)
    if not image.size:
        message = f"an image of shape {image.shape} has no pixel"
        raise DtypeError(message)
    if image.ndim == 3 and image.shape[2] not in (3, 4):
        message = f"a colour has 3 or 4 samples, not {image.shape[2]}"
        raise DtypeError(message)
    if image.nbytes + 1024 > LARGEST:
        message = f"an image of {image.nbytes} bytes is too large for a classic TIFF"
        raise DtypeError(message)


def write_all(descriptor: int, buffers: list[bytes | memoryview]) -> int:
    """Write all buffers, however many calls the system makes of it.

    Returns
    -------
    int
        Bytes written.
    """
    waiting = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    total = sum(buffer.nbytes for buffer in waiting)
    while waiting:
        done = os.writev(descriptor, waiting)
        while waiting and done >= waiting[0].nbytes:
            done -= waiting.pop(0).nbytes
        if done:
            waiting[0] = waiting[0][done:]
    return total


def _advice(dtype: np.dtype) -> str:
    return {"c": "float32", "f": "float64", "b": "uint8"}.get(dtype.kind, "int32")


@lru_cache(maxsize=64)
def _layout(shape: tuple[int, ...], dtype: str) -> tuple[bytes, bytes]:
    """Prepare header and directory for images of one shape and dtype."""
    kind = np.dtype(dtype)
    pixel_bytes = math.prod(shape) * kind.itemsize
    at = PIXELS_AT + pixel_bytes + pixel_bytes % 2
    header = struct.pack("<2sHI", b"II", 42, at)
    return header, _packed(_tags(shape, kind, pixel_bytes), at)


def _tags(shape: tuple[int, ...], dtype: np.dtype, pixel_bytes: int) -> list[Tag]:
    rows, columns, samples = (*shape, 1)[:3]
    colour = samples > 1
    tags: list[Tag] = [
        (256, LONG, columns),  # ImageWidth
        (257, LONG, rows),  # ImageLength
        (258, SHORT, (dtype.itemsize * 8,) * samples),  # BitsPerSample
        (259, SHORT, 1),  # Compression: none
        (262, SHORT, 2 if colour else 1),  # PhotometricInterpretation: RGB, MinIsBlack
        (273, LONG, PIXELS_AT),  # StripOffsets
        (277, SHORT, samples),  # SamplesPerPixel
        (278, LONG, rows),  # RowsPerStrip
        (279, LONG, pixel_bytes),  # StripByteCounts
        (305, ASCII, b"tiffin\0"),  # Software, without a version: bytes stay the same
        (339, SHORT, ({"u": 1, "i": 2, "f": 3}[dtype.kind],) * samples),  # SampleFormat
    ]
    if dtype.name in MODEL_FOR and not colour:
        tags.append((272, ASCII, b"Bluesky detector\0"))  # Model
    if samples == 4:
        tags.append((338, SHORT, 2))  # ExtraSamples: alpha, not multiplied in
    return sorted(tags, key=lambda tag: tag[0])


def _packed(tags: list[Tag], at: int) -> bytes:
    """Lay the tags out as a directory that begins at byte `at` of the file."""
    behind = at + 2 + 12 * len(tags) + 4
    entries, beyond = b"", b""
    for tag, kind, value in tags:
        data, count = _data(kind, value)
        if len(data) > 4:
            where = struct.pack("<I", behind + len(beyond))
            beyond += data + b"\0" * (len(data) % 2)
        else:
            where = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + where
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + beyond


def _data(kind: int, value: int | bytes | tuple[int, ...]) -> tuple[bytes, int]:
    """Give a tag's bytes, and how many values they are."""
    if isinstance(value, bytes):
        return value, len(value)
    values = value if isinstance(value, tuple) else (value,)
    form = "H" if kind == SHORT else "I"
    return struct.pack(f"<{len(values)}{form}", *values), len(values)

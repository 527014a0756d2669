"""Read the images of a file that an export has written: TIFF, PNG or NPY."""

from __future__ import annotations

import math
import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tiffin.errors import ReadError
from tiffin.readers.file_checks import check_image_size
from tiffin.readers.image_files import ArrayPages, read_npy, read_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.readers.rows import FixedRows

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG = b"\x89PNG\r\n\x1a\n"
NPY = b"\x93NUMPY"

SAMPLES = {0: 1, 2: 3, 6: 4}
"""Colour type → samples: greyscale, RGB, RGB with alpha."""


def read_exported(path: Path, file: BinaryIO) -> FixedRows:
    """Open the images of a file, by its first bytes; the path is for messages.

    The file is closed with the images, or if this raises: a ReadError if it is of
    another kind, or damaged.
    """
    head = file.read(8)
    file.seek(0)
    if head[:4] in TIFF:
        return read_tiff(path, opened=file)
    if head.startswith(NPY):
        return read_npy(path, opened=file)
    with file:
        if head != PNG:
            message = f"{path} is no TIFF, PNG or npy file: it begins with {head!r}"
            raise ReadError(message)
        array = _read_png(path, file)
    return ArrayPages(path, array[np.newaxis], colour=array.ndim == 3)


def _read_png(path: Path, file: BinaryIO) -> np.ndarray:
    """Read a PNG with 8 or 16 bits whose rows are not filtered, as ours are."""
    head, data = _chunks(path, file)
    columns, rows, bits, colour, *rest = struct.unpack(">IIBBBBB", head)
    if bits not in (8, 16) or colour not in SAMPLES or any(rest):
        message = f"{path} is a PNG of a kind that tiffin does not write"
        raise ReadError(message)
    shape = (rows, columns, SAMPLES[colour]) if colour else (rows, columns)
    dtype = np.dtype(f">u{bits // 8}")
    check_image_size(path, shape, dtype.itemsize, len(data))
    width = math.prod(shape[1:]) * dtype.itemsize
    try:
        pixels = zlib.decompressobj().decompress(data, rows * (width + 1) + 1)
    except zlib.error as error:
        message = f"{path} is damaged: {error}"
        raise ReadError(message) from error
    if len(pixels) != rows * (width + 1) or not pixels:
        message = f"{path} is damaged: it has too few or too many pixels"
        raise ReadError(message)
    filtered = np.frombuffer(pixels, np.uint8).reshape(rows, width + 1)
    if filtered[:, 0].any():
        message = f"{path} has filtered rows, which another program has made"
        raise ReadError(message)
    plain = np.ascontiguousarray(filtered[:, 1:]).view(dtype)
    return plain.astype(dtype.newbyteorder("=")).reshape(shape)


def _chunks(path: Path, file: BinaryIO) -> tuple[bytes, bytes]:
    """Return the header of a PNG, and its compressed pixels."""
    size = file.seek(0, os.SEEK_END)
    file.seek(len(PNG))
    header, data = b"", []
    while True:
        head = file.read(8)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 8 or length + 4 > size - file.tell():
            message = f"{path} breaks off before its last chunk"
            raise ReadError(message)
        body = file.read(length)
        file.seek(4, os.SEEK_CUR)  # the checksum
        if head[4:] == b"IHDR" and length == 13:
            header = body
        elif head[4:] == b"IDAT":
            data.append(body)
        elif head[4:] == b"IEND":
            break
    if not header:
        message = f"{path} has no header"
        raise ReadError(message)
    return header, b"".join(data)

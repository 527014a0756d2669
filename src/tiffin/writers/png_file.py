"""Write an image as a PNG: to look at, or of 8 or 16 bits exactly.

The PNG specification (third edition, W3C 2025) allows unsigned integers of 8 and 16
bits. Pillow can't write RGB of 16 bits, and a PNG is little more than a zlib stream: so
it is made here, and needs no other library.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiffin.array_images import too_large
from tiffin.errors import DtypeError
from tiffin.json_text import json_text
from tiffin.writers.codecs import check_compression
from tiffin.writers.png_notes import SIGNATURE, chunk, note_chunk
from tiffin.writers.stretch import Stretch, stretched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer

DTYPES = ("uint8", "uint16")

STRETCHED = (
    *("bool", "uint8", "uint16", "uint32", "uint64"),
    *("int8", "int16", "int32", "int64", "float16", "float32", "float64"),
)
"""The dtypes that can be stretched to 8 bits."""

COLOURS = {1: 0, 3: 2, 4: 6}
"""Samples → colour type: greyscale, RGB, RGB with alpha."""

LARGEST_CHUNK = 2**30
"""A chunk has less than 2 GiB [bytes]."""


@dataclass(frozen=True, slots=True)
class PngWriter:
    """Writes each image as a PNG file.

    Parameters
    ----------
    level : int, optional
        1 (fast) to 9 (small). The pixels are the same.
    stretch : {"linear", "percentile", "log"}, optional
        Makes 8 bits of any values. Without it, uint8 and uint16 are written exactly,
        and others are refused.

    Raises
    ------
    SettingsError
        If there is no such level.
    """

    _: KW_ONLY
    level: int | None = None
    stretch: Stretch | None = None

    format: ClassVar[str] = "png"
    suffixes: ClassVar[tuple[str, ...]] = (".png",)
    options: ClassVar[tuple[str, ...]] = ("level", "stretch")
    most_frames: ClassVar[int | None] = 1
    makes_folder: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_compression("zlib", self.level)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes of images that can be written."""
        return DTYPES if self.stretch is None else STRETCHED

    def takes(self, codec: str | None) -> bool:  # noqa: ARG002 (of the protocol)
        """Return False: a PNG has other bytes before each row."""
        return False

    def size(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Return None: the size depends on the pixels."""

    def buffers(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any]
    ) -> list[Buffer]:
        """Return the file of an image: greyscale, RGB, or RGB with alpha.

        Parameters
        ----------
        image : ndarray, shape (rows, columns[, samples]) [counts]
        metadata : mapping
            Written as JSON to an iTXt chunk ``tiffin``, with the stretch.

        Raises
        ------
        DtypeError
            If a PNG can't store the image.
        """
        pixels = np.asarray(image)
        samples = _samples(pixels.shape)
        if self.stretch is not None:
            if samples == 4:
                message = "stretch= is for greyscale and RGB, not for images with alpha"
                raise DtypeError(message)
            pixels, done = stretched(pixels, self.stretch)
            metadata = {**metadata, "stretch": done}
        if pixels.dtype.name not in DTYPES:
            message = (
                f"a PNG can't store pixels of dtype {pixels.dtype.name}: convert them "
                f"with dtype='uint8' or dtype='uint16', or choose how to show them "
                f"with stretch='linear', stretch='percentile' or stretch='log'"
            )
            raise DtypeError(message)
        bits = pixels.dtype.itemsize * 8
        rows, columns = pixels.shape[:2]
        size = struct.pack(">II", columns, rows)
        head = size + bytes([bits, COLOURS[samples], 0, 0, 0])
        note = json_text(metadata, ascii_only=True) if metadata else b""
        data = _compressed(pixels, 1 if self.level is None else self.level)
        strips = range(0, len(data), LARGEST_CHUNK)
        return [
            SIGNATURE + chunk(b"IHDR", head) + note_chunk(note),
            *(chunk(b"IDAT", data[at : at + LARGEST_CHUNK]) for at in strips),
            chunk(b"IEND", b""),
        ]


def _samples(shape: tuple[int, ...]) -> int:
    samples = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or samples not in COLOURS or 0 in shape:
        message = f"a PNG can't store an image of shape {[*shape]}"
        raise DtypeError(message)
    return samples


def _compressed(pixels: np.ndarray, level: int) -> bytes:
    """Compress rows, each after a byte that says that it is not filtered."""
    large = too_large(pixels.shape, pixels.nbytes)
    if large is not None:
        raise DtypeError(large)
    big_endian = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">"))
    rows = big_endian.reshape(len(pixels), -1).view(np.uint8)
    filtered = np.zeros((len(rows), rows.shape[1] + 1), np.uint8)
    filtered[:, 1:] = rows
    return zlib.compress(filtered.data, level)

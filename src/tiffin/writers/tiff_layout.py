"""The bytes of a TIFF around its pixels: header and directory.

Classic TIFF, little-endian, one page, one strip, pixels first at byte 8 and the
directory last, MinIsBlack. A directory is prepared once for each shape, dtype and
compression; what changes with the strip's size is patched. Numbers of fields are those
of TIFF 6.0 (Aldus, 1992).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

import numpy as np

__all__ = ["LARGEST", "NOTE_TAG", "PIXELS_AT", "TAG_OF", "around", "size_around"]

PIXELS_AT = 8
"""Byte of the first pixel: right behind the header. GSAS-II reads pixels there."""

LARGEST = 2**32 - 1
"""A classic TIFF's offsets have 32 bits [bytes]."""

SHORT, LONG, ASCII = 3, 4, 2

STRIP_BYTE_COUNTS = 279

NOTE_TAG = 65123
"""Holds what the writer was told to note, as ASCII. One of the private numbers (from
32768), beyond those of areaDetector's NDFileTIFF (from 65000); readers leave it alone,
where an ImageDescription changes how some read the pixels."""

TAG_OF = {None: 1, "lzw": 5, "zlib": 8, "zstd": 50000}
"""Values of the Compression field: TIFF 6.0; Adobe's deflate (Photoshop technical
notes, 2002); libtiff's zstd."""

Tag = tuple[int, int, int | bytes | tuple[int, ...]]
"""Number, type, and one value, text or several values."""

MODEL_FOR = ("uint16", "uint32", "int32")
"""Dtypes whose files carry a Model tag: with it GSAS-II reads these, and no other,
correctly from byte 8; without, it declines the file or leaves it to its PIL importer.
"""


class _Directory(NamedTuple):
    """A directory as it would be at byte 0 of a file."""

    data: bytes
    count_at: int  # where the number of the strip's bytes goes
    offsets_at: tuple[int, ...]  # of numbers that grow with the directory's place


@lru_cache(maxsize=256)
def around(
    shape: tuple[int, ...],
    dtype: str,
    compression: str | None,
    strip_bytes: int,
    note: str = "",
) -> tuple[bytes, bytes, bytes]:
    """Return header, gap and directory of an image's file.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns), or (rows, columns, samples).
    dtype : str
        As in ``"<u2"``.
    compression : {None, "lzw", "zlib", "zstd"}
    strip_bytes : int
        Size of the encoded strip.
    note : str, optional
        ASCII, for the `NOTE_TAG`.
    """
    gap = b"\0" * (strip_bytes % 2)  # directories begin on a word boundary
    at = PIXELS_AT + strip_bytes + len(gap)
    prepared = _directory(shape, dtype, compression, note)
    directory = bytearray(prepared.data)
    struct.pack_into("<I", directory, prepared.count_at, strip_bytes)
    for place in prepared.offsets_at:
        (offset,) = struct.unpack_from("<I", directory, place)
        struct.pack_into("<I", directory, place, at + offset)
    return struct.pack("<2sHI", b"II", 42, at), gap, bytes(directory)


def size_around(shape: tuple[int, ...], dtype: str, compression: str | None) -> int:
    """Return how large header and directory are together [bytes]."""
    return PIXELS_AT + len(_directory(shape, dtype, compression).data)


@lru_cache(maxsize=64)
def _directory(
    shape: tuple[int, ...], dtype: str, compression: str | None, note: str = ""
) -> _Directory:
    return _packed(_tags(shape, np.dtype(dtype), compression, note))


def _tags(
    shape: tuple[int, ...], dtype: np.dtype, compression: str | None, note: str
) -> list[Tag]:
    rows, columns, samples = (*shape, 1)[:3]
    colour = samples > 1
    tags: list[Tag] = [
        (256, LONG, columns),  # ImageWidth
        (257, LONG, rows),  # ImageLength
        (258, SHORT, (dtype.itemsize * 8,) * samples),  # BitsPerSample
        (259, SHORT, TAG_OF[compression]),  # Compression
        (262, SHORT, 2 if colour else 1),  # PhotometricInterpretation: RGB, MinIsBlack
        (273, LONG, PIXELS_AT),  # StripOffsets
        (277, SHORT, samples),  # SamplesPerPixel
        (278, LONG, rows),  # RowsPerStrip
        (STRIP_BYTE_COUNTS, LONG, 0),  # patched
        (305, ASCII, b"tiffin\0"),  # Software, without a version: bytes stay the same
        (339, SHORT, ({"u": 1, "i": 2, "f": 3}[dtype.kind],) * samples),  # SampleFormat
    ]
    if dtype.name in MODEL_FOR and not colour:
        tags.append((272, ASCII, b"Bluesky detector\0"))  # Model
    if samples == 4:
        tags.append((338, SHORT, 2))  # ExtraSamples: alpha, not multiplied in
    if note:
        tags.append((NOTE_TAG, ASCII, note.encode("ascii") + b"\0"))
    return sorted(tags, key=lambda tag: tag[0])


def _packed(tags: list[Tag]) -> _Directory:
    """Lay the tags out as a directory: count, entries, no next one, longer values."""
    behind = 2 + 12 * len(tags) + 4
    entries, beyond = b"", b""
    count_at, offsets_at = 0, []
    for number, kind, value in tags:
        data, count = _data(kind, value)
        value_at = 2 + len(entries) + 8
        if number == STRIP_BYTE_COUNTS:
            count_at = value_at
        if len(data) > 4:
            offsets_at.append(value_at)
            where = struct.pack("<I", behind + len(beyond))
            beyond += data + b"\0" * (len(data) % 2)
        else:
            where = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", number, kind, count) + where
    data = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + beyond
    return _Directory(data, count_at, tuple(offsets_at))


def _data(kind: int, value: int | bytes | tuple[int, ...]) -> tuple[bytes, int]:
    """Return a tag's bytes, and how many values they are."""
    if isinstance(value, bytes):
        return value, len(value)
    values = value if isinstance(value, tuple) else (value,)
    form = "H" if kind == SHORT else "I"
    return struct.pack(f"<{len(values)}{form}", *values), len(values)

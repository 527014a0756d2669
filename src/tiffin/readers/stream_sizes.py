"""What images inside a TIFF's strips and tiles say of themselves, before decoding."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["JPEG", "SIZE_OF", "StreamSize"]

LERC = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")

JPEG = (6, 7, 34892)

SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG that the image's size stands behind."""


class StreamSize(NamedTuple):
    """The size of an image that a decoder would make."""

    rows: int
    columns: int
    samples: int
    dtype: np.dtype


def _jpeg(data: bytes) -> StreamSize | None:
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in SIZES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
            return StreamSize(rows, columns, samples, _whole(bits))
        if data[at + 1] == 0xFF:  # a byte that only fills
            at += 1
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


def _jpeg_2000(data: bytes) -> StreamSize | None:
    """Read a bare codestream; one in boxes is not looked for."""
    if data[:4] != b"\xff\x4f\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    samples = struct.unpack_from(">H", data, 40)[0]
    depths = {*data[42 : 42 + 3 * samples : 3]}
    if len(depths) != 1:
        return None
    depth = depths.pop()
    dtype = _whole((depth & 0x7F) + 1, signed=bool(depth & 0x80))
    return StreamSize(bottom - top, right - left, samples, dtype)


def _png(data: bytes) -> StreamSize | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    columns, rows, bits, kind = struct.unpack_from(">IIBB", data, 16)
    samples = {0: 1, 2: 3, 4: 2, 6: 4}.get(kind)
    if samples is None:
        return None
    return StreamSize(rows, columns, samples, _whole(bits))


def _webp(data: bytes) -> StreamSize | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        columns, rows = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        return StreamSize(rows, columns, 4 if bits >> 28 & 1 else 3, np.dtype("u1"))
    if kind == b"VP8 ":
        columns, rows = (n & 0x3FFF for n in struct.unpack_from("<HH", data, 26))
        return StreamSize(rows, columns, 3, np.dtype("u1"))
    return None


def _lerc(data: bytes) -> StreamSize | None:
    if data[:6] != b"Lerc2 ":
        return None
    version = struct.unpack_from("<i", data, 6)[0]
    if version not in (4, 5, 6):
        return None
    rows, columns, samples = struct.unpack_from("<3i", data, 14)
    kind = struct.unpack_from("<i", data, 38)[0]
    if not 0 <= kind < len(LERC):
        return None
    return StreamSize(rows, columns, samples, np.dtype(LERC[kind]))


def _whole(bits: int, *, signed: bool = False) -> np.dtype:
    size = next((size for size in (1, 2, 4, 8) if bits <= 8 * size), 8)
    return np.dtype(f"{'i' if signed else 'u'}{size}")


SIZE_OF: dict[int, Callable[[bytes], StreamSize | None]] = {
    **dict.fromkeys(JPEG, _jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg_2000),
    34887: _lerc,
    34933: _png,
    50001: _webp,
}
"""By the number of a TIFF's compression; None where a stream does not tell."""

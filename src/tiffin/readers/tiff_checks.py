"""Check a TIFF before it is decoded: loops of pages, streams of another size."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from tiffin.display import count_text
from tiffin.errors import NotYetError, ReadError
from tiffin.readers.file_checks import check_image_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_PAGES = 10**6

JPEG = (6, 7, 34892)
"""Numbers of compression in JPEG."""

UNSUPPORTED = (22610, 33007, 34934, 48124, 50002, 52546)
"""Compressions with a size in each stream, which can't be checked."""

SHORTENED = {5: "lzw_decode", 34925: "lzma_decode"}
"""Compressions for which tifffile silently drops surplus bytes."""


def last_tags_of(file: BinaryIO, path: Path) -> list[int]:
    """Follow the directories of the pages from one to the next, to the last.

    Returns where the last tag of each is in the file, 0 if it has none.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        message = f"{path} is not a complete TIFF (yet): it begins with {head[:4]!r}"
        raise NotYetError(message)
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    number, entry, link = ("Q", 20, "Q") if big else ("H", 12, "I")
    at, seen, found = 8 if big else 4, set[int](), list[int]()
    while True:
        offset = _number(file, at, order + link, path)
        if not offset:
            return found
        if offset in seen:
            message = f"{path}: the directory of page {len(seen)} leads back to an"
            raise ReadError(f"{message} earlier one: it would never end")
        if len(seen) == MOST_PAGES:
            message = f"{path} has more than {MOST_PAGES} pages"
            raise ReadError(message)
        seen.add(offset)
        tags = _number(file, offset, order + number, path)
        at = offset + struct.calcsize(order + number) + tags * entry
        found.append(at - entry if tags else 0)


def check_directory(file: BinaryIO, path: Path, last_tag: int) -> None:
    """Check that a directory is written up to its last tag: else some are still zero.

    A program that adds a page may write the link to it first.
    """
    if not last_tag or not _number(file, last_tag, "H", path):
        message = f"{path} breaks off: the directory of a page is incomplete (so far)"
        raise NotYetError(message)


def _number(file: BinaryIO, at: int, kind: str, path: Path) -> int:
    size = struct.calcsize(kind)
    try:
        file.seek(at)
        data = file.read(size)
    except (OSError, ValueError, OverflowError):
        data = b""
    if len(data) < size:
        message = f"{path} breaks off: a directory of pages lies after its end (yet)"
        raise NotYetError(message)
    number: int = struct.unpack(kind, data)[0]
    return number


def check_page(page: Any, file: BinaryIO, path: Path, declared: int = 0) -> None:
    """Check that a page is complete, and gives what its header says."""
    size = file.seek(0, 2)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count or offset + count > size:
            # It would read as zeros.
            message = f"{path} breaks off: it is incomplete (so far)"
            raise NotYetError(message)
    itemsize = page.dtype.itemsize if page.dtype is not None else 1
    stored = sum(page.databytecounts)
    check_image_size(path, page.shape, itemsize, stored, declared)
    if page.is_contiguous:
        return
    check_image_size(path, page.chunks, itemsize, stored, declared)
    expected, present = math.prod(page.chunked), len(page.dataoffsets)
    if present < expected:
        message = f"{path}: a page has {present} of {expected} strips or tiles"
        raise ReadError(message)
    if page.compression in UNSUPPORTED:
        message = (
            f"{path}: a page is compressed as {page.compression.name}, which is not "
            f"read; deflate, LZW, Zstandard, PackBits, LZMA, JPEG, JPEG 2000, "
            f"PNG, WebP and LERC are"
        )
        raise ReadError(message)
    if page.compression in _READ_HEADER or page.compression in SHORTENED:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            _check_strip(page, file.read(count), itemsize, path)


def _check_strip(page: Any, data: bytes, itemsize: int, path: Path) -> None:
    """Check that a strip or tile is no larger than the page's header says."""
    if page.compression in _READ_HEADER:
        _check_embedded_image(page, _READ_HEADER[page.compression](data), path)
        return
    try:
        import imagecodecs
    except ImportError:  # tifffile will say so
        return
    most = math.prod(page.chunks) * itemsize
    decode = getattr(imagecodecs, SHORTENED[page.compression])
    if len(decode(data, out=most + 1)) > most:
        message = f"{path}: a strip holds more than the {most} bytes of its pixels"
        raise ReadError(message)


class ImageHeader(NamedTuple):
    """The size of the image that a decoder would make of a strip or tile."""

    rows: int
    columns: int
    samples: int
    dtype: np.dtype


def _check_embedded_image(page: Any, header: ImageHeader | None, path: Path) -> None:
    """Check the header of an image in a strip or tile, so that no number is cast."""
    kind = page.compression.name
    if header is None:
        message = (
            f"{path}: a strip of {kind} does not say what it holds: it is not read"
        )
        raise ReadError(message)
    rows, columns = page.chunks[:2]
    fits = header.rows <= rows and header.columns <= columns
    fits = fits and math.prod(header[:3]) <= math.prod(page.chunks)
    if not fits or header.dtype != page.dtype:
        message = (
            f"{path}: a {kind} strip of {header.rows} x {header.columns} pixels, "
            f"{count_text(header.samples, 'sample')} of {header.dtype} each, stands "
            f"where the page's header says {rows} x {columns} of {page.dtype}"
        )
        raise ReadError(message)


def _jpeg(data: bytes) -> ImageHeader | None:
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker < 0xD0 and marker not in (0xC4, 0xC8, 0xCC):
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
            return ImageHeader(rows, columns, samples, _integer(bits))
        if marker == 0xFF:  # padding
            at += 1
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


def _jpeg_2000(data: bytes) -> ImageHeader | None:
    """Read a bare codestream; one in boxes is not supported."""
    if data[:4] != b"\xff\x4f\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    samples = struct.unpack_from(">H", data, 40)[0]
    depths = {*data[42 : 42 + 3 * samples : 3]}
    if len(depths) != 1:
        return None
    depth = depths.pop()
    dtype = _integer((depth & 0x7F) + 1, signed=bool(depth & 0x80))
    return ImageHeader(bottom - top, right - left, samples, dtype)


def _png(data: bytes) -> ImageHeader | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    columns, rows, bits, kind = struct.unpack_from(">IIBB", data, 16)
    samples = {0: 1, 2: 3, 4: 2, 6: 4}.get(kind)
    if samples is None:
        return None
    return ImageHeader(rows, columns, samples, _integer(bits))


def _webp(data: bytes) -> ImageHeader | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        columns, rows = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        return ImageHeader(rows, columns, 4 if bits >> 28 & 1 else 3, np.dtype("u1"))
    if kind == b"VP8 ":
        columns, rows = (n & 0x3FFF for n in struct.unpack_from("<HH", data, 26))
        return ImageHeader(rows, columns, 3, np.dtype("u1"))
    return None


def _lerc(data: bytes) -> ImageHeader | None:
    if data[:6] != b"Lerc2 " or struct.unpack_from("<i", data, 6)[0] not in (4, 5, 6):
        return None
    rows, columns, samples = struct.unpack_from("<3i", data, 14)
    kind = struct.unpack_from("<i", data, 38)[0]
    dtypes = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
    if not 0 <= kind < len(dtypes):
        return None
    return ImageHeader(rows, columns, samples, np.dtype(dtypes[kind]))


def _integer(bits: int, *, signed: bool = False) -> np.dtype:
    size = next((size for size in (1, 2, 4, 8) if bits <= 8 * size), 8)
    return np.dtype(f"{'i' if signed else 'u'}{size}")


_READ_HEADER: dict[int, Callable[[bytes], ImageHeader | None]] = {
    **dict.fromkeys(JPEG, _jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg_2000),
    34887: _lerc,
    34933: _png,
    50001: _webp,
}
"""By the number of a TIFF's compression; None if a stream does not tell."""

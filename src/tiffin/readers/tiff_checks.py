"""Look at a TIFF before it is decoded: loops of pages, streams of another size."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from tiffin.errors import NotYetError, ReadError
from tiffin.readers.room import check_room
from tiffin.readers.stream_sizes import SIZE_OF

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.readers.stream_sizes import StreamSize

__all__ = ["check_chain", "check_page"]

MOST_PAGES = 10**6

NOT_READ = (22610, 33007, 34934, 48124, 50002, 52546)
"""Codecs whose streams have a size of their own, which is not looked at."""

CUT_SHORT = {5: "lzw_decode", 34925: "lzma_decode"}
"""Codecs of which tifffile drops what is too much without a word."""


def check_chain(file: BinaryIO, path: Path) -> None:
    """Follow the pages' directories from one to the next, to the last.

    Raises
    ------
    ReadError
        If one leads back to another, or there is no end of them.
    NotYetError
        If they end behind the end of the file.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        message = f"{path} is no whole TIFF (yet): it begins with {head[:4]!r}"
        raise NotYetError(message)
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    number, entry, link = ("Q", 20, "Q") if big else ("H", 12, "I")
    at, seen = 8 if big else 4, set[int]()
    while True:
        offset = _number(file, at, order + link, path)
        if not offset:
            return
        if offset in seen:
            message = f"{path}: the directory of page {len(seen)} leads back to an"
            raise ReadError(f"{message} earlier one: it would never end")
        if len(seen) == MOST_PAGES:
            message = f"{path} has more than {MOST_PAGES} pages"
            raise ReadError(message)
        seen.add(offset)
        tags = _number(file, offset, order + number, path)
        at = offset + struct.calcsize(order + number) + tags * entry


def _number(file: BinaryIO, at: int, kind: str, path: Path) -> int:
    size = struct.calcsize(kind)
    try:
        file.seek(at)
        found = file.read(size)
    except (OSError, ValueError, OverflowError):
        found = b""
    if len(found) < size:
        message = f"{path} breaks off: a directory of pages lies behind its end (yet)"
        raise NotYetError(message)
    number: int = struct.unpack(kind, found)[0]
    return number


def check_page(page: Any, file: BinaryIO, path: Path, announced: int = 0) -> None:
    """Check that a page's bytes are there, and give what its header says.

    Parameters
    ----------
    page : tifffile.TiffPage
    file : file
        In which the page lies.
    path : pathlib.Path
    announced : int, optional
        How many numbers the descriptor announces of an image; 0 if it does not.

    Raises
    ------
    NotYetError
        If the file breaks off.
    ReadError
        If the page can't be what its header says.
    """
    size = file.seek(0, 2)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count or offset + count > size:
            # It would read as zeros.
            message = f"{path} breaks off: it is not whole (yet)"
            raise NotYetError(message)
    itemsize = page.dtype.itemsize if page.dtype is not None else 1
    stored = sum(page.databytecounts)
    check_room(path, page.shape, itemsize, stored, announced)
    if page.is_contiguous:
        return
    check_room(path, page.chunks, itemsize, stored, announced)
    pieces, there = math.prod(page.chunked), len(page.dataoffsets)
    if there < pieces:
        message = f"{path}: a page has {there} of {pieces} strips or tiles"
        raise ReadError(message)
    if page.compression in NOT_READ:
        message = (
            f"{path}: a page is compressed as {page.compression.name}, which is not "
            f"read; deflate, LZW, Zstandard, PackBits, LZMA, JPEG, JPEG 2000, PNG, "
            f"WebP and LERC are"
        )
        raise ReadError(message)
    if page.compression in SIZE_OF or page.compression in CUT_SHORT:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            _check_stream(page, file.read(count), itemsize, path)


def _check_stream(page: Any, data: bytes, itemsize: int, path: Path) -> None:
    """Check that a strip or tile is no larger than its header says."""
    if page.compression in SIZE_OF:
        _check_image(page, SIZE_OF[page.compression](data), path)
        return
    try:
        import imagecodecs
    except ImportError:  # tifffile will say so
        return
    most = math.prod(page.chunks) * itemsize
    decode = getattr(imagecodecs, CUT_SHORT[page.compression])
    if len(decode(data, out=most + 1)) > most:
        message = f"{path}: a strip holds more than the {most} bytes of its pixels"
        raise ReadError(message)


def _check_image(page: Any, found: StreamSize | None, path: Path) -> None:
    """Check what an image in a strip or tile says of itself: no number is cast."""
    kind = page.compression.name
    if found is None:
        message = (
            f"{path}: a strip of {kind} does not say what it holds: it is not read"
        )
        raise ReadError(message)
    rows, columns = page.chunks[:2]
    fits = found.rows <= rows and found.columns <= columns
    fits = fits and math.prod(found[:3]) <= math.prod(page.chunks)
    if not fits or found.dtype != page.dtype:
        message = (
            f"{path}: a {kind} strip of {found.rows} x {found.columns} pixels, "
            f"{found.samples} sample(s) of {found.dtype} each, stands where the header "
            f"says {rows} x {columns} of {page.dtype}"
        )
        raise ReadError(message)

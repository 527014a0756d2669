"""How many bytes a compressed stream gives, found before a library decodes it."""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Inflate: TypeAlias = Callable[[Any, int], bytes | None]


def inflate(data: Any, size: int) -> bytes | None:
    """Decode a zlib stream; None if it is damaged, or does not give `size` bytes."""
    return _fastest_inflate()(data, size)


def libdeflate() -> Inflate:
    """Return the decoder of imagecodecs: less than half the time of Python's zlib."""
    from imagecodecs import DEFLATE, DeflateError, deflate_decode

    if not DEFLATE.available:
        raise ImportError("imagecodecs was built without libdeflate")

    def inflate(data: Any, size: int) -> bytes | None:
        try:
            decoded: Any = deflate_decode(data, out=size)
        except DeflateError:
            return None
        return decoded if len(decoded) == size else None

    return inflate


def plain_zlib(data: Any, size: int) -> bytes | None:
    """Decode with Python's zlib, to at most one byte too many."""
    stream = zlib.decompressobj()
    try:
        decoded = stream.decompress(data, size + 1)
    except zlib.error:
        return None
    return decoded if len(decoded) == size and stream.eof else None


@cache
def _fastest_inflate() -> Inflate:
    try:
        return libdeflate()
    except ImportError:
        return plain_zlib


def blosc_size(data: Any) -> int:
    """Return the size in the header of Blosc 1."""
    return int.from_bytes(data[4:8], "little")


def zstd_size(data: Any) -> int | None:
    """Return the size in the header of a Zstandard frame (RFC 8878); None if absent."""
    if bytes(data[:4]) != b"\x28\xb5\x2f\xfd":
        return None
    flags = data[4]
    single = flags >> 5 & 1
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    width = (single, 2, 4, 8)[flags >> 6]
    size = int.from_bytes(data[start : start + width], "little")
    return (size + 256 * (width == 2)) if width else None

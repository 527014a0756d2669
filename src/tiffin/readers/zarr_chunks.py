"""What the chunks of a Zarr array expand to, checked before Zarr decodes them."""

from __future__ import annotations

import bz2
import itertools
import lzma
import math
import zlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import NotYetError, ReadError, optional_import
from tiffin.readers.stream_sizes import blosc_size, zstd_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WIDEST_FILTER = 8
"""A filter before the compressor makes numbers at most this many times wider."""

NEVER_WRITTEN = 2**64 - 1
"""The offset, in the index of a shard, of a chunk that was never written."""


def check_codecs(path: Path, array: Any) -> None:
    """Raise `ReadError` if codecs run code, or the size of chunks can't be known.

    That is if it is pickled, compressed more than once, or in shards within shards.
    """
    filters = [*map(_name, array.filters)]
    names = [*filters, *map(_name, array.compressors)]
    if "pickle" in names:
        message = f"{path} is pickled: reading it would run code, so it is not read"
        raise ReadError(message)
    if sum(name in _SIZES for name in names) > 1 or any(n in _SIZES for n in filters):
        message = f"{path} is compressed more than once, or in a filter: not supported"
        raise ReadError(message)
    inner: Any = getattr(array.metadata, "codecs", ())
    index: Any = ()
    if array.shards is not None:
        inner, index = inner[0].codecs, inner[0].index_codecs
    is_plain = all(
        codec["name"] == "crc32c"
        or codec.get("configuration", {}).get("endian") == "little"
        for codec in (codec.to_dict() for codec in index)
    )
    if not is_plain or any(_name(codec) == "sharding_indexed" for codec in inner):
        message = f"{path}: shards within shards, or with such an index, are not read"
        raise ReadError(message)


def check_chunks(path: Path, array: Any, row: int) -> None:
    """Refuse a chunk, or shard, that expands to more than its shape says.

    Zarr itself refuses one that expands to less. Codecs whose streams do not tell their
    size are not checked.
    """
    names = map(_name, array.compressors)
    size_of = next((_SIZES[name] for name in names if name in _SIZES), None)
    if size_of is None:
        return
    most = math.prod(array.chunks) * int(array.dtype.itemsize)
    if array.filters:
        most *= WIDEST_FILTER
    for data in _streams(path, array, row):
        if size_of(data, most) > most:
            message = (
                f"{path}: a chunk expands to more than the {most} bytes of its shape"
            )
            raise ReadError(message)


def _streams(path: Path, array: Any, row: int) -> Iterator[bytes]:
    """Return the compressed chunks of a file."""
    if array.shards is None:
        yield path.read_bytes()
        return
    grid = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
    codec = array.metadata.codecs[0]
    checksums = 4 * sum(_name(each) == "crc32c" for each in codec.index_codecs)
    index_bytes = 16 * math.prod(grid)
    with path.open("rb") as file:
        end = file.seek(0, 2)
        where = codec.index_location  # an enumeration until Zarr 3.2, text since
        at_start = getattr(where, "value", where) == "start"
        file.seek(0 if at_start else max(end - index_bytes - checksums, 0))
        data = file.read(index_bytes)
        if len(data) < index_bytes:
            message = f"{path} breaks off: it is incomplete (so far)"
            raise NotYetError(message)
        index = np.frombuffer(data, "<u8").reshape(*grid, 2).tolist()
        if len(grid) > 2:
            number = row % array.shards[0] // array.chunks[0]
            index = index[number : number + 1]
        for _ in grid[1:]:
            index = list(itertools.chain.from_iterable(index))
        for offset, count in index:
            if offset != NEVER_WRITTEN and offset + count <= end:
                file.seek(offset)
                yield file.read(count)


def _name(codec: Any) -> str:
    """Return the name of a codec of either version of Zarr."""
    name = getattr(codec, "codec_id", None) or codec.to_dict()["name"]
    return str(name).removeprefix("numcodecs.")


def _decoded_size(
    decoder: Callable[[], Any], data: bytes, most: int, padding: bytes = b""
) -> int:
    """Return what streams give, one after the other, up to one byte too many."""
    size = 0
    with suppress(zlib.error, lzma.LZMAError, OSError, EOFError):  # Zarr will raise
        while data and size <= most:
            stream = decoder()
            size += len(stream.decompress(data, most + 1 - size))
            data = stream.unused_data.lstrip(padding)
    return size


def _zstd_size(data: bytes, most: int) -> int:
    """Return the size in the header; without one, decode."""
    size = zstd_size(data)
    if size is not None:
        return size
    why = "a Zstandard stream without its size in the header needs imagecodecs"
    with optional_import(why, extra="all"):
        from imagecodecs import ZstdError, zstd_decode
    try:
        return len(zstd_decode(data, out=most))
    except ZstdError:  # larger, or damaged
        return most + 1


# Codec → how many bytes a stream gives, counted up to one more than allowed.
_SIZES: dict[str, Callable[[bytes, int], int]] = {
    "blosc": lambda data, _: blosc_size(data),
    "zstd": _zstd_size,
    "gzip": partial(_decoded_size, partial(zlib.decompressobj, 31), padding=b"\0"),
    "zlib": partial(_decoded_size, zlib.decompressobj),
    "bz2": partial(_decoded_size, bz2.BZ2Decompressor),
    "lzma": partial(_decoded_size, lzma.LZMADecompressor, padding=b"\0"),
    "lz4": lambda data, _: int.from_bytes(data[:4], "little"),
}

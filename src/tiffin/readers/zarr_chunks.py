"""What the chunks of a Zarr array expand to: looked at before Zarr decodes them."""

from __future__ import annotations

import bz2
import itertools
import lzma
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import NotYetError, ReadError
from tiffin.readers.hdf5_filters import of_blosc, of_zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["check_chunks"]

WIDEST = 8
"""A filter before the compressor makes numbers at most so many times wider."""

EMPTY = 2**64 - 1
"""The place, in the index of a shard, of a chunk that was never written."""


def check_chunks(path: Path, array: Any, row: int) -> None:
    """Refuse a chunk, or shard, that expands to more than its shape says.

    A chunk that expands to less is Zarr's to refuse. Codecs whose streams do not tell
    are left alone.

    Parameters
    ----------
    path : pathlib.Path
        Of one chunk or shard.
    array : zarr.Array
    row : int
        Of the array's first axis; of a shard, only chunks with this row are looked at.

    Raises
    ------
    ReadError
        If there is more.
    NotYetError
        If a shard breaks off.
    """
    sizes = [
        _SIZES[name] for codec in array.compressors if (name := _name(codec)) in _SIZES
    ]
    if not sizes:
        return
    if len(sizes) > 1:
        message = f"{path} is compressed more than once: not supported"
        raise ReadError(message)
    most = math.prod(array.chunks) * int(array.dtype.itemsize)
    if array.filters:
        most *= WIDEST
    for data in _streams(path, array, row):
        if (sizes[0](data, most) or 0) > most:
            message = (
                f"{path}: a chunk expands to more than the {most} bytes of its shape"
            )
            raise ReadError(message)


def _streams(path: Path, array: Any, row: int) -> Iterator[bytes]:
    """Give the compressed chunks of a file."""
    if array.shards is None:
        yield path.read_bytes()
        return
    grid = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
    codec = array.metadata.codecs[0]
    sums = 4 * sum(_name(each) == "crc32c" for each in codec.index_codecs)
    nbytes = 16 * math.prod(grid) + sums
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0 if codec.index_location.value == "start" else max(end - nbytes, 0))
        data = file.read(nbytes - sums)
        if len(data) < nbytes - sums:
            message = f"{path} breaks off: it is not whole (yet)"
            raise NotYetError(message)
        index = np.frombuffer(data, "<u8").reshape(*grid, 2).tolist()
        if len(grid) > 2:
            number = row % array.shards[0] // array.chunks[0]
            index = index[number : number + 1]
        for _ in grid[1:]:
            index = list(itertools.chain.from_iterable(index))
        for offset, count in index:
            if offset != EMPTY and offset + count <= end:
                file.seek(offset)
                yield file.read(count)


def _name(codec: Any) -> str:
    """Tell the name of a codec of either version of Zarr."""
    told = getattr(codec, "codec_id", None) or codec.to_dict()["name"]
    return str(told).removeprefix("numcodecs.")


# ---- how many bytes a stream gives; None if it does not tell


def _of_zlib(bits: int) -> Callable[[bytes, int], int | None]:
    def size(data: bytes, most: int) -> int | None:
        given = 0
        try:
            while data and given <= most:  # gzip may hold one stream after the other
                decoder = zlib.decompressobj(bits)
                given += len(decoder.decompress(data, most + 1 - given))
                data = decoder.unused_data
        except zlib.error:  # a checksum, or damage: Zarr's to tell
            pass
        return given

    return size


def _of_bz2(data: bytes, most: int) -> int | None:
    return len(bz2.BZ2Decompressor().decompress(data, most + 1))


def _of_lzma(data: bytes, most: int) -> int | None:
    return len(lzma.LZMADecompressor().decompress(data, most + 1))


_SIZES: dict[str, Callable[[bytes, int], int | None]] = {
    "blosc": lambda data, most: of_blosc(data, (), most),
    "zstd": lambda data, most: of_zstd(data, (), most),
    "gzip": _of_zlib(31),
    "zlib": _of_zlib(15),
    "bz2": _of_bz2,
    "lzma": _of_lzma,
    "lz4": lambda data, _: int.from_bytes(data[:4], "little"),
}

"""What the chunks of a Zarr array expand to: looked at before Zarr decodes them."""

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

from tiffin.errors import MissingLibraryError, NotYetError, ReadError
from tiffin.readers.hdf5_filters import of_blosc, of_zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["check_chunks", "check_codecs"]

WIDEST = 8
"""A filter before the compressor makes numbers at most so many times wider."""

EMPTY = 2**64 - 1
"""The place, in the index of a shard, of a chunk that was never written."""


def check_codecs(path: Path, array: Any) -> None:
    """Refuse an array whose codecs run code, or whose chunks can't be bounded.

    Raises
    ------
    ReadError
        If it is pickled, compressed more than once, or in shards within shards.
    """
    filters = [*map(_name, array.filters)]
    found = [*filters, *map(_name, array.compressors)]
    if "pickle" in found:
        message = f"{path} is pickled: reading it would run code, so it is not read"
        raise ReadError(message)
    if sum(name in _SIZES for name in found) > 1 or any(n in _SIZES for n in filters):
        message = f"{path} is compressed more than once, or in a filter: not supported"
        raise ReadError(message)
    inner: Any = getattr(array.metadata, "codecs", ())
    places: Any = ()
    if array.shards is not None:
        inner, places = inner[0].codecs, inner[0].index_codecs
    told = [codec.to_dict() for codec in places]
    plain = all(
        each["name"] == "crc32c"
        or each.get("configuration", {}).get("endian") == "little"
        for each in told
    )
    if not plain or any(_name(codec) == "sharding_indexed" for codec in inner):
        message = f"{path}: shards within shards, or with such an index, are not read"
        raise ReadError(message)


def check_chunks(path: Path, array: Any, row: int) -> None:
    """Refuse a chunk, or shard, that expands to more than its shape says.

    A chunk that expands to less is Zarr's to refuse. Codecs whose streams do not tell
    are left alone.

    Parameters
    ----------
    path : pathlib.Path
        Of one chunk or shard.
    array : zarr.Array
        Which `check_codecs` has passed.
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
    """Return the compressed chunks of a file."""
    if array.shards is None:
        yield path.read_bytes()
        return
    grid = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
    codec = array.metadata.codecs[0]
    sums = 4 * sum(_name(each) == "crc32c" for each in codec.index_codecs)
    nbytes = 16 * math.prod(grid) + sums
    with path.open("rb") as file:
        end = file.seek(0, 2)
        where = codec.index_location  # an enumeration until Zarr 3.2, text since
        at_start = getattr(where, "value", where) == "start"
        file.seek(0 if at_start else max(end - nbytes, 0))
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
    """Return the name of a codec of either version of Zarr."""
    told = getattr(codec, "codec_id", None) or codec.to_dict()["name"]
    return str(told).removeprefix("numcodecs.")


# ---- how many bytes a stream gives; None if it does not tell


def _of_streams(
    decoder_of: Callable[[], Any], padding: bytes = b""
) -> Callable[[bytes, int], int | None]:
    """Count what streams give, one after the other, up to one byte too many."""

    def size(data: bytes, most: int) -> int | None:
        given = 0
        # A checksum, or damage, is Zarr's to tell.
        with suppress(zlib.error, lzma.LZMAError, OSError, EOFError):
            while data and given <= most:
                decoder = decoder_of()
                given += len(decoder.decompress(data, most + 1 - given))
                data = decoder.unused_data.lstrip(padding)
        return given

    return size


def _of_zstd(data: bytes, most: int) -> int | None:
    """Count what frames give that do not tell, or come one after the other."""
    told = of_zstd(data, (), most)
    if told is not None:
        return told
    try:
        from imagecodecs import ZstdError, zstd_decode
    except ImportError as error:
        message = (
            f"a stream of Zstandard that does not tell its size needs imagecodecs: "
            f"pip install 'tiffin[all]' ({error})"
        )
        raise MissingLibraryError(message) from error
    try:
        return len(zstd_decode(data, out=most))
    except ZstdError:  # more, or damage
        return most + 1


_SIZES: dict[str, Callable[[bytes, int], int | None]] = {
    "blosc": lambda data, most: of_blosc(data, (), most),
    "zstd": _of_zstd,
    "gzip": _of_streams(partial(zlib.decompressobj, 31), b"\0"),
    "zlib": _of_streams(zlib.decompressobj),
    "bz2": _of_streams(bz2.BZ2Decompressor),
    "lzma": _of_streams(lzma.LZMADecompressor, b"\0"),
    "lz4": lambda data, _: int.from_bytes(data[:4], "little"),
}

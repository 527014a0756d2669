"""The filters of HDF5 chunks, and how many bytes undoing them gives.

HDF5 and its plug-ins allocate whatever a compressed stream asks for, and take what it
gives for the chunk. So each stream is checked before HDF5 decodes it: it must give
exactly the bytes of the chunk's shape.
"""

from __future__ import annotations

import bz2
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, NotYetError, ReadError
from tiffin.readers.stream_sizes import blosc_size, inflate, zstd_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFLATE, SHUFFLE, FLETCHER32, SZIP, NBIT, SCALE_OFFSET = range(1, 7)

NAMES = {
    DEFLATE: "deflate", SZIP: "szip", 307: "bzip2", 32000: "LZF", 32001: "Blosc",
    32004: "LZ4", 32008: "bitshuffle", 32013: "ZFP", 32015: "Zstandard",
    32017: "SZ", 32018: "FCIDECOMP", 32019: "JPEG", 32024: "SZ3", 32026: "Blosc2",
    32028: "SPERR",
}  # fmt: skip
"""Filters by their registered number; most come with hdf5plugin."""

LARGE = 64 * 2**20
LARGEST = 512 * 2**20
"""A chunk of one image may be as large as the image; one of several, this large."""


class Filters:
    """The filters of a chunked dataset.

    `ids` are their registered numbers, in the order in which they were applied;
    `chunk_bytes` is the size of a decoded chunk.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.where = f"{dataset.file.filename}: a chunk of {dataset.name!r}"
        properties = dataset.id.get_create_plist()
        filters = map(properties.get_filter, range(properties.get_nfilters()))
        self._steps = [(int(step[0]), step[2]) for step in filters]
        self.ids = [step for step, _ in self._steps]
        self.chunk_bytes = math.prod(dataset.chunks) * int(dataset.dtype.itemsize)
        if self._steps:
            self._check_chunk_size()

    def read(self, corner: Sequence[int]) -> tuple[int, Any]:
        """Return a mask of the filters left out for a chunk, and its stored bytes."""
        most = self.chunk_bytes + self.chunk_bytes // 8 + 1024
        try:
            mask, data = self._dataset.id.read_direct_chunk(
                tuple(corner), out=np.empty(most, "u1")
            )
        except ValueError as error:
            message = (
                f"{self.where} takes more bytes than the {self.chunk_bytes} of its "
                f"shape: the file is damaged ({error})"
            )
            raise ReadError(message) from error
        except (OSError, RuntimeError) as error:
            message = f"{self.where} can't be read (yet): {error}"
            raise NotYetError(message) from error
        return mask, data

    def check(self, corner: Sequence[int]) -> None:
        """Check that HDF5 can decode a chunk to exactly the bytes of its shape."""
        mask, data = self.read(corner)
        steps = [step for n, step in enumerate(self._steps) if not mask >> n & 1]
        ids = [step for step, _ in steps]
        self._check_installed(ids)
        if len([step for step in ids if step not in (SHUFFLE, FLETCHER32)]) > 1:
            message = f"{self.where} is compressed more than once: not supported"
            raise ReadError(message)
        checksums = [4 * (step == FLETCHER32) for step in ids]
        size: int | None = len(data)
        expected = self.chunk_bytes + sum(checksums)
        for n, (step, values) in enumerate(steps):
            if step in _SIZES:
                expected = self.chunk_bytes + sum(checksums[:n])
                stream = data[: len(data) - sum(checksums[n:])]
                size = _SIZES[step](stream, values, expected)
            elif step not in (SHUFFLE, FLETCHER32):
                return  # the streams of this filter do not tell their size
        if size != expected and not self._is_unfiltered_edge(corner, data):
            message = (
                f"{self.where} can't be decoded (yet): it gives "
                f"{'other' if size is None else size} bytes, not the {expected} of its "
                f"shape"
            )
            raise NotYetError(message)

    def _is_unfiltered_edge(self, corner: Sequence[int], data: Any) -> bool:
        """Whether a chunk at the edge was left unfiltered, as a writer may choose."""
        ends = map(int.__add__, map(int, corner), self._dataset.chunks)
        edge = any(e > n for e, n in zip(ends, self._dataset.shape, strict=True))
        return edge and len(data) == self.chunk_bytes

    def _check_installed(self, ids: list[int]) -> None:
        import h5py

        missing = next((i for i in ids if not h5py.h5z.filter_avail(i)), None)
        if missing is None:
            return
        name = NAMES.get(missing)
        what = f"the HDF5 filter {missing}" + (f" ({name})" if name else "")
        message = f"{self.where} is compressed with {what}, which is not installed: "
        if name:
            message += "pip install hdf5plugin"
        else:
            message += "HDF5_PLUGIN_PATH names the folder of its plug-in"
        raise MissingLibraryError(message)

    def _check_chunk_size(self) -> None:
        shape, chunk = self._dataset.shape[1:], self._dataset.chunks[1:]
        itemsize = int(self._dataset.dtype.itemsize)
        image = math.prod(self._dataset.shape[-2:]) * itemsize
        used = math.prod(map(min, shape, chunk)) * int(self._dataset.chunks[0])
        too_wide = self.chunk_bytes > max(LARGE, 4 * used * itemsize)
        if too_wide or self.chunk_bytes > max(LARGEST, 2 * image):
            message = (
                f"{self.where} has {self.chunk_bytes} bytes, an image {image}: such "
                f"chunks are not decoded; h5repack makes smaller ones"
            )
            raise ReadError(message)


def _bzip2_size(data: Any, expected: int) -> int | None:
    decoder = bz2.BZ2Decompressor()
    try:
        size = len(decoder.decompress(data, expected + 1))
    except (OSError, EOFError):
        return None
    return size if decoder.eof else None


def _size_by_elements(values: Any) -> int | None:
    """Return the size that the parameters of scale-offset and n-bit tell."""
    return values[2] * values[4] if len(values) > 4 else None


def _big_endian(data: Any, start: int = 0) -> int:
    return int.from_bytes(data[start : start + 8], "big")


# Filter → how many bytes a stream gives, by the stream, the filter's parameters and the
# number expected; None for another number.
_SIZES: dict[int, Callable[[Any, Any, int], int | None]] = {
    DEFLATE: lambda d, _, expected: None if inflate(d, expected) is None else expected,
    SZIP: lambda d, *_: int.from_bytes(d[:4], "little"),
    NBIT: lambda _, values, __: _size_by_elements(values),
    SCALE_OFFSET: lambda _, values, __: _size_by_elements(values),
    307: lambda d, _, expected: _bzip2_size(d, expected),
    32001: lambda d, *_: blosc_size(d),
    32004: lambda d, *_: _big_endian(d),
    # Bitshuffle may compress, or only shuffle.
    32008: lambda d, v, _: _big_endian(d) if len(v) > 4 and v[4] else len(d),
    32015: lambda d, *_: zstd_size(d),
    32026: lambda d, *_: _big_endian(d, 30) if bytes(d[2:9]) == b"b2frame" else None,
}

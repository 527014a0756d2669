"""What was done to the chunks of a dataset, and what undoing it may give.

HDF5 and its plug-ins allocate whatever a compressed stream asks for, and take what it
gives for the chunk. So each stream is looked at before HDF5 decodes it: it must give
exactly the bytes of the chunk's shape.
"""

from __future__ import annotations

import bz2
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, NotYetError, ReadError
from tiffin.readers.stored import inflated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["DEFLATE", "SHUFFLE", "Filters", "of_blosc", "of_zstd"]

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
"""A chunk of one image may be as large as the image; of several, so large [bytes]."""


class Filters:
    """The filters of a chunked dataset.

    Parameters
    ----------
    dataset : h5py.Dataset

    Raises
    ------
    ReadError
        If its chunks are far larger than its images.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.where = f"{dataset.file.filename}: a chunk of {dataset.name!r}"
        properties = dataset.id.get_create_plist()
        found = map(properties.get_filter, range(properties.get_nfilters()))
        self._steps = [(int(step[0]), step[2]) for step in found]
        itemsize = int(dataset.dtype.itemsize)
        self.chunk_bytes = math.prod(dataset.chunks) * itemsize
        if self._steps:
            self._check_size(itemsize)

    @property
    def ids(self) -> list[int]:
        """Their registered numbers, in the order in which they were applied."""
        return [step for step, _ in self._steps]

    def read(self, corner: Sequence[int]) -> tuple[int, Any]:
        """Read a chunk as it is stored.

        Parameters
        ----------
        corner : sequence of int
            Where it begins in the dataset.

        Returns
        -------
        mask : int
            A bit for each filter that was left out.
        data : bytes-like

        Raises
        ------
        NotYetError
            If it can't be read.
        ReadError
            If it takes more bytes than its shape can need.
        """
        room = self.chunk_bytes + self.chunk_bytes // 8 + 1024
        try:
            mask, data = self._dataset.id.read_direct_chunk(
                tuple(corner), out=np.empty(room, "u1")
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
        """Make sure that HDF5 can decode a chunk, and gets the bytes of its shape.

        Raises
        ------
        MissingLibraryError
            Naming the filter that is not installed.
        ReadError
            If the chunk would give more or less.
        """
        mask, data = self.read(corner)
        steps = [s for n, s in enumerate(self._steps) if not mask >> n & 1]
        self._check_installed([step for step, _ in steps])
        sizes = [n for n, (step, _) in enumerate(steps) if step in _SIZES]
        others = [s for s, _ in steps if s not in (SHUFFLE, FLETCHER32)]
        if len(others) > 1:
            message = f"{self.where} is compressed more than once: not supported"
            raise ReadError(message)
        sums = [4 * (step == FLETCHER32) for step, _ in steps]
        given: int | None = len(data)
        wanted = self.chunk_bytes + sum(sums)
        if sizes:
            (place,) = sizes
            step, values = steps[place]
            wanted = self.chunk_bytes + sum(sums[:place])
            stream = data[: len(data) - sum(sums[place:])]
            given = _SIZES[step](stream, values, wanted)
        elif others:
            return  # by a filter whose streams do not tell
        if given != wanted and not self._is_plain_edge(corner, data):
            message = (
                f"{self.where} can't be decoded (yet): it gives "
                f"{'other' if given is None else given} bytes, not the {wanted} of its "
                f"shape"
            )
            raise NotYetError(message)

    def _is_plain_edge(self, corner: Sequence[int], data: Any) -> bool:
        """Whether a chunk at the edge was left as it is, as a writer may choose."""
        ends = map(int.__add__, map(int, corner), self._dataset.chunks)
        edge = any(e > n for e, n in zip(ends, self._dataset.shape, strict=True))
        return edge and len(data) == self.chunk_bytes

    def _check_installed(self, ids: list[int]) -> None:
        import h5py

        absent = next((i for i in ids if not h5py.h5z.filter_avail(i)), None)
        if absent is None:
            return
        name = NAMES.get(absent)
        what = f"the HDF5 filter {absent}" + (f" ({name})" if name else "")
        message = f"{self.where} is compressed with {what}, which is not installed: "
        if name:
            message += "pip install hdf5plugin"
        else:
            message += "HDF5_PLUGIN_PATH names the folder of its plug-in"
        raise MissingLibraryError(message)

    def _check_size(self, itemsize: int) -> None:
        shape, chunk = self._dataset.shape[1:], self._dataset.chunks[1:]
        image = math.prod(self._dataset.shape[-2:]) * itemsize
        useful = math.prod(map(min, shape, chunk)) * int(self._dataset.chunks[0])
        too_wide = self.chunk_bytes > max(LARGE, 4 * useful * itemsize)
        if too_wide or self.chunk_bytes > max(LARGEST, 2 * image):
            message = (
                f"{self.where} has {self.chunk_bytes} bytes, an image {image}: such "
                f"chunks are not decoded; h5repack makes smaller ones"
            )
            raise ReadError(message)


# ---- how many bytes a stream gives, as far as it tells; None if not as many as wanted


def _of_deflate(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    return wanted if inflated(data, wanted) is not None else None


def _of_bzip2(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    decoder = bz2.BZ2Decompressor()
    try:
        given = len(decoder.decompress(data, wanted + 1))
    except (OSError, EOFError):
        return None
    return given if decoder.eof else None


def _of_bitshuffle(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    compressed = len(values) > 4 and values[4]
    return _big(data, 0) if compressed else len(data)


def _of_lz4(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    return _big(data, 0)


def of_blosc(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    """Read the size in the header of Blosc 1."""
    return int.from_bytes(data[4:8], "little")


def _of_blosc2(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    return _big(data, 30) if bytes(data[2:9]) == b"b2frame" else None


def _of_szip(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    return int.from_bytes(data[:4], "little")


def of_zstd(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    """Read the size in a frame's header (RFC 8878); one without is not decoded."""
    if bytes(data[:4]) != b"\x28\xb5\x2f\xfd":
        return None
    flags = data[4]
    single = flags >> 5 & 1
    begin = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    size = (single, 2, 4, 8)[flags >> 6]
    told = int.from_bytes(data[begin : begin + size], "little")
    return (told + 256 * (size == 2)) if size else None


def _of_elements(data: Any, values: Any, wanted: int) -> int | None:  # noqa: ARG001
    """Of scale-offset and n-bit, the dataset's properties tell."""
    return values[2] * values[4] if len(values) > 4 else None


def _big(data: Any, begin: int) -> int:
    return int.from_bytes(data[begin : begin + 8], "big")


_SIZES: dict[int, Callable[[Any, Any, int], int | None]] = {
    DEFLATE: _of_deflate,
    SZIP: _of_szip,
    NBIT: _of_elements,
    SCALE_OFFSET: _of_elements,
    307: _of_bzip2,
    32001: of_blosc,
    32004: _of_lz4,
    32008: _of_bitshuffle,
    32015: of_zstd,
    32026: _of_blosc2,
}

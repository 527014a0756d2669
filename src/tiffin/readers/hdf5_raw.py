"""HDF5 read beside HDF5: bytes as they lie in the file, decoded outside its lock.

HDF5 lets one thread in at a time, and decodes while it is inside. Where it is known
how pixels lie, and nothing but deflate was done to them, they need no HDF5: any thread
reads them from the file by itself, or passes them on as they are.
"""

from __future__ import annotations

import math
import os
from array import array
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.readers.once import Once
from tiffin.readers.stored import Chunk, Deflated, PartOfChunk, Plain, SharedFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.readers.rows import Stored

__all__ = ["LARGEST_BLOCK", "RawRows", "raw_rows"]

LARGEST_BLOCK = 64 * 2**20
"""Chunks of several frames are decoded once, if not larger than this [bytes]."""

KEPT = 2 * LARGEST_BLOCK
MOST_KEPT = 8
"""So much of decoded chunks is kept for the other frames in them [bytes, chunks]."""

PASSED_ON = {"u": (1, 2, 4), "i": (1, 2, 4), "f": (4, 8)}
"""Kinds of numbers that may be passed on undecoded, and their sizes [bytes]."""


def raw_rows(dataset: Any) -> RawRows | None:
    """See a dataset as bytes in its file; None if only HDF5 can make pixels of them.

    Parameters
    ----------
    dataset : h5py.Dataset
    """
    file, shape = dataset.file, tuple(int(n) for n in dataset.shape)
    plain_file = file.driver == "sec2" and hasattr(os, "pread")
    if not plain_file or file.userblock_size or dataset.is_virtual:
        return None
    if len(shape) < 2 or not _is_as_stored(dataset):
        return None
    # A writer in this very process may hold newer bytes than the file does.
    written_here = file.mode != "r"
    if dataset.chunks is None:
        if written_here:
            return None
        offset = dataset.id.get_offset()  # None: within the metadata, or elsewhere
        return None if offset is None else Contiguous(dataset, int(offset))
    filters = dataset.id.get_create_plist()
    names = [filters.get_filter(n)[0] for n in range(filters.get_nfilters())]
    axis = _split_axis(_with_rows(shape), _with_rows(dataset.chunks))
    if axis is None or names not in ([], [_deflate()]):
        return None
    growing = written_here or bool(file.swmr_mode)
    if not growing and not hasattr(dataset.id, "chunk_iter"):
        return None
    rows = GrowingChunks if growing else Chunks
    return rows(dataset, axis, deflated=bool(names))


class RawRows:
    """Finds where images lie in a dataset's file. One thread at a time asks.

    Parameters
    ----------
    dataset : h5py.Dataset
    """

    def __init__(self, dataset: Any) -> None:
        file = dataset.file
        self._file = SharedFile(file.filename, file.id.get_vfd_handle())
        self._shape = _with_rows(dataset.shape)
        self._dtype = np.dtype(dataset.dtype.str)
        self._codec: str | None = None
        little = self._dtype == self._dtype.newbyteorder("<")
        self._may_pass = little and self._dtype.itemsize in PASSED_ON[self._dtype.kind]

    def stored(self, where: tuple[int, ...]) -> Stored | None:
        """Find an image.

        Parameters
        ----------
        where : tuple of int
            The row of the dataset, and what is meant within it.

        Returns
        -------
        Stored or None
            To be read by any thread, also when the dataset is closed meanwhile. None
            if HDF5 must be asked.
        """
        raise NotImplementedError

    def passes(self, takes: Callable[[str | None], bool]) -> bool:
        """Whether images may be passed on as they are stored."""
        return self._may_pass and takes(self._codec)

    def _bytes_behind(self, axes: int) -> int:
        return math.prod(self._shape[axes:]) * int(self._dtype.itemsize)


class Contiguous(RawRows):
    """A dataset in one piece."""

    def __init__(self, dataset: Any, offset: int) -> None:
        super().__init__(dataset)
        self._offset = offset

    def stored(self, where: tuple[int, ...]) -> Stored | None:
        """Find an image."""
        shape, nbytes = self._shape[len(where) :], self._bytes_behind(len(where))
        offset = self._offset + _number(where, self._shape) * nbytes
        return Plain(partial(self._file.read, offset, nbytes), shape, self._dtype)


class Chunks(RawRows):
    """A dataset in chunks that each hold some images, one behind the other.

    Parameters
    ----------
    dataset : h5py.Dataset
    axis : int
        Along which a chunk may hold several; behind it, chunks are whole.
    deflated : bool
    """

    def __init__(self, dataset: Any, axis: int, *, deflated: bool) -> None:
        super().__init__(dataset)
        self._dataset = dataset
        self._axis = axis
        self._deflated = deflated
        self._codec = "zlib" if deflated else None
        self._chunk = _with_rows(dataset.chunks)
        self._step = self._chunk[axis]
        self._chunk_bytes = math.prod(self._chunk) * self._dtype.itemsize
        kept = max(2, min(MOST_KEPT, KEPT // max(self._chunk_bytes, 1)))
        self._decoded: Once[bytes | None] = Once(kept)
        self._offsets, self._sizes = array("q"), array("q")
        self._surveyed = False

    def stored(self, where: tuple[int, ...]) -> Stored | None:
        """Find an image."""
        axes = self._axis + 1
        if len(where) < axes:  # it lies in several chunks
            return None
        corner = (*where[: self._axis], where[self._axis] // self._step)
        # How HDF5 stores a chunk that ends behind the dataset is the writer's choice.
        behind = (corner[-1] + 1) * self._step > self._shape[self._axis]
        if behind and self._step > 1:
            return None
        inside = (where[self._axis] % self._step, *where[axes:])
        return self._in_chunk(corner, inside, self._shape[len(where) :])

    def _in_chunk(
        self, corner: tuple[int, ...], inside: tuple[int, ...], shape: tuple[int, ...]
    ) -> Stored | None:
        number = self._number(corner)
        place = self._place(number)
        if place is None:
            return None
        offset, size = place
        nbytes = math.prod(shape) * self._dtype.itemsize
        start = _number(inside, self._chunk[self._axis :]) * nbytes
        if not self._deflated:
            if size != self._chunk_bytes:
                return None
            pixels = partial(self._file.read, offset + start, nbytes)
            return Plain(pixels, shape, self._dtype)
        whole = partial(self._file.read, offset, size)
        chunk = Chunk(whole, self._chunk_bytes, self._dtype)
        if nbytes == self._chunk_bytes:
            return Deflated(chunk, shape)
        if self._chunk_bytes > LARGEST_BLOCK:
            return None
        return PartOfChunk(chunk, shape, start, self._decoded, number)

    def _number(self, corner: tuple[int, ...]) -> int:
        """Count chunks; the first axis, which may grow, does not matter."""
        if not self._axis:
            return corner[0]
        last = -(-self._shape[self._axis] // self._step)
        return _number(corner, (*self._shape[: self._axis], last))

    def _place(self, number: int) -> tuple[int, int] | None:
        """Give offset and size of a chunk; None if it is absent, or not as the rest."""
        if not self._surveyed:
            self._surveyed = True
            self._dataset.id.chunk_iter(self._note)
        if number >= len(self._sizes) or not self._sizes[number]:
            return None
        return self._offsets[number], self._sizes[number]

    def _note(self, info: Any) -> None:
        if info.filter_mask:  # left out by the writer, or because it made no difference
            return
        there = (0,) * (len(self._shape) - len(info.chunk_offset)) + info.chunk_offset
        corner = (*there[: self._axis], there[self._axis] // self._step)
        number = self._number(corner)
        missing = number + 1 - len(self._sizes)
        if missing > 0:
            self._offsets.frombytes(bytes(8 * missing))
            self._sizes.frombytes(bytes(8 * missing))
        self._offsets[number], self._sizes[number] = info.byte_offset, info.size


class GrowingChunks(Chunks):
    """A dataset that is still being written to: chunks may change, and move.

    HDF5 itself finds and gives the bytes of each; they are decoded elsewhere. A chunk
    of several images is left to HDF5 altogether, because it may not be full.
    """

    def _in_chunk(
        self,
        corner: tuple[int, ...],
        inside: tuple[int, ...],  # noqa: ARG002 (it is the whole chunk)
        shape: tuple[int, ...],
    ) -> Stored | None:
        resized = _with_rows(self._dataset.shape)[1:] != self._shape[1:]
        if resized or math.prod(shape) * self._dtype.itemsize != self._chunk_bytes:
            return None
        begin = [n * c for n, c in zip(corner, self._chunk, strict=False)]
        begin += [0] * (len(self._chunk) - len(begin))
        try:
            mask, data = self._dataset.id.read_direct_chunk(
                tuple(begin[-self._dataset.ndim :])
            )
        except (OSError, ValueError, RuntimeError):
            return None  # HDF5 is asked again, and says why
        if mask:
            return None
        chunk = Chunk(lambda: data, self._chunk_bytes, self._dtype)
        if self._deflated:
            return Deflated(chunk, shape, careful=True)
        whole = len(data) == chunk.nbytes
        return Plain(chunk.raw, shape, self._dtype) if whole else None


def _is_as_stored(dataset: Any) -> bool:
    """Whether numbers are stored exactly as numpy holds them, padding bits too."""
    import h5py

    dtype = dataset.dtype
    if dtype.kind not in "uif":
        return False
    same: bool = dataset.id.get_type().equal(h5py.h5t.py_create(np.dtype(dtype.str)))
    return same


def _deflate() -> int:
    import h5py

    return int(h5py.h5z.FILTER_DEFLATE)


def _with_rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give a single image an axis of rows, of which it has one."""
    return tuple(int(n) for n in ((1, *shape) if len(shape) == 2 else shape))


def _split_axis(shape: tuple[int, ...], chunks: tuple[int, ...]) -> int | None:
    """Find the axis along which a chunk holds neighbours; None if it holds pieces."""
    axis = len(shape) - 1
    while axis and chunks[axis] == shape[axis]:
        axis -= 1
    alone = all(n == 1 for n in chunks[:axis])
    return axis if alone and axis <= len(shape) - 3 else None


def _number(where: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Count along axes in C order; the size of the first does not matter."""
    number = where[0]
    for index, size in zip(where[1:], shape[1:], strict=False):
        number = number * size + index
    return number

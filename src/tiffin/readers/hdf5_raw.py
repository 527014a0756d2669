"""Chunks read beside HDF5: decoded by any thread, or passed on as they are.

HDF5 lets one thread in at a time, and decodes while it is inside. Where nothing was
done to a chunk but shuffling and deflate, HDF5 only hands its bytes over.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.readers.hdf5_filters import DEFLATE, SHUFFLE
from tiffin.readers.recent import Recent
from tiffin.readers.stored import Chunk, Deflated, PartOfChunk, Plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.readers.hdf5_filters import Filters
    from tiffin.readers.rows import Stored

__all__ = ["LARGEST_BLOCK", "RawRows", "raw_rows"]

LARGEST_BLOCK = 64 * 2**20
"""Chunks of several frames are decoded once, if not larger than this [bytes]."""

KEPT = 2 * LARGEST_BLOCK
MOST_KEPT = 8
"""So much of decoded chunks is kept for the other frames in them [bytes, chunks]."""

PASSED_ON = {"u": (1, 2, 4), "i": (1, 2, 4), "f": (4, 8)}
"""Kinds of numbers that may be passed on undecoded, and their sizes [bytes]."""


def raw_rows(dataset: Any, filters: Filters | None) -> RawRows | None:
    """See a dataset as chunks; None if only HDF5 can make pixels of it.

    Parameters
    ----------
    dataset : h5py.Dataset
    filters : Filters or None
        Those of its chunks.
    """
    if filters is None or not _is_as_stored(dataset):
        return None
    shape = _with_rows(dataset.shape)
    axis = _split_axis(shape, _with_rows(dataset.chunks))
    if axis is None or filters.ids not in ([], [DEFLATE], [SHUFFLE, DEFLATE]):
        return None
    return RawRows(dataset, axis, filters)


class RawRows:
    """Images in chunks that each hold some, one behind the other.

    One thread at a time asks.

    Parameters
    ----------
    dataset : h5py.Dataset
    axis : int
        Along which a chunk may hold several; behind it, chunks are whole.
    filters : Filters
    """

    def __init__(self, dataset: Any, axis: int, filters: Filters) -> None:
        self._dataset = dataset
        self._axis = axis
        self._filters = filters
        self._shape = _with_rows(dataset.shape)
        self._chunk = _with_rows(dataset.chunks)
        self._dtype = np.dtype(dataset.dtype.str)
        self._deflated = DEFLATE in filters.ids
        self._shuffled = SHUFFLE in filters.ids
        # A chunk of several images may be filled up while it is looked at.
        self._growing = dataset.file.mode != "r" or bool(dataset.file.swmr_mode)
        kept = max(2, min(MOST_KEPT, KEPT // max(filters.chunk_bytes, 1)))
        self._chunks: Recent[Chunk | None] = Recent(kept)

    def passes(self, takes: Callable[[str | None], bool]) -> bool:
        """Whether images may be passed on as they are stored."""
        little = self._dtype == self._dtype.newbyteorder("<")
        held = self._dtype.itemsize in PASSED_ON[self._dtype.kind]
        codec = "zlib" if self._deflated else None
        return little and held and not self._shuffled and takes(codec)

    def stored(self, where: tuple[int, ...], *, whole: bool) -> Stored | None:
        """Find an image.

        Parameters
        ----------
        where : tuple of int
            The row of the dataset, and what is meant within it.
        whole : bool
            Whether only an image that is a chunk is of use.

        Returns
        -------
        Stored or None
            To be decoded by any thread, also when the dataset is closed meanwhile. None
            if HDF5 must be asked.
        """
        axis, step = self._axis, self._chunk[self._axis]
        if len(where) <= axis:  # it lies in several chunks
            return None
        shape = self._shape[len(where) :]
        nbytes = math.prod(shape) * self._dtype.itemsize
        number, place = divmod(where[axis], step)
        corner = (*where[:axis], number * step)
        if nbytes == self._filters.chunk_bytes:
            chunk = self._read(corner)
            if chunk is None or self._deflated:
                return None if chunk is None else Deflated(chunk, shape)
            return Plain(chunk.data, shape, self._dtype)
        # How HDF5 stores a chunk that ends behind the dataset is the writer's choice.
        behind = corner[-1] + step > self._shape[axis]
        large = self._filters.chunk_bytes > LARGEST_BLOCK
        if whole or behind or large or self._growing or not self._deflated:
            return None
        chunk = self._chunks.get(corner, lambda: self._read(corner))
        inside = (place, *where[axis + 1 :])
        start = _number(inside, self._chunk[axis:]) * nbytes
        return None if chunk is None else PartOfChunk(chunk, shape, start)

    def _read(self, corner: tuple[int, ...]) -> Chunk | None:
        """Read a chunk; None if it was stored in another way than the rest."""
        axes = len(self._chunk)
        if self._growing and _with_rows(self._dataset.shape)[1:] != self._shape[1:]:
            return None
        begin = corner + (0,) * (axes - len(corner))
        mask, data = self._filters.read(begin[axes - self._dataset.ndim :])
        if mask or not (self._deflated or len(data) == self._filters.chunk_bytes):
            return None
        size, where = self._filters.chunk_bytes, self._filters.where
        return Chunk(data, size, self._dtype, where, shuffled=self._shuffled)


def _is_as_stored(dataset: Any) -> bool:
    """Whether numbers are stored exactly as numpy holds them, padding bits too."""
    import h5py

    dtype = dataset.dtype
    if dtype.kind not in "uif":
        return False
    same: bool = dataset.id.get_type().equal(h5py.h5t.py_create(np.dtype(dtype.str)))
    return same


def _with_rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a single image an axis of rows, of which it has one."""
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

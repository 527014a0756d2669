"""HDF5 chunks as they are stored: decoded by any thread, or written without decoding.

HDF5 lets one thread in at a time, and decodes while it is inside. If a chunk is only
shuffled and deflated, or not filtered at all, HDF5 just hands over its bytes.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.array_images import Encoded
from tiffin.errors import NotYetError
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.hdf5_filters import DEFLATE, SHUFFLE
from tiffin.readers.stream_sizes import inflate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.readers.hdf5_filters import Filters

LARGEST_CHUNK = 64 * 2**20
"""A chunk of several images is decoded once, unless it is larger [bytes]."""

CACHE_BYTES = 2 * LARGEST_CHUNK
CACHE_CHUNKS = 8

UNDECODED = {"u": (1, 2, 4), "i": (1, 2, 4), "f": (4, 8)}
"""Kinds and sizes of numbers that may be written without decoding [bytes]."""


@dataclass(slots=True, eq=False)
class Chunk:
    """A chunk that holds several images, decoded once for all of them.

    `nbytes` are the bytes of its shape.
    """

    data: Any
    nbytes: int
    dtype: np.dtype
    where: str
    shuffled: bool = False
    codec: str | None = "zlib"
    """As `Encoded` names it."""
    _lock: Any = field(default_factory=threading.Lock)
    _decoded: Any = None

    def decoded(self) -> Any:
        """Decode it; raise `NotYetError` if it does not give the bytes of its shape."""
        if self.codec is None:
            return self.data
        with self._lock:
            if self._decoded is None:
                self._decoded = self._decode()
            return self._decoded

    def _decode(self) -> bytes | np.ndarray:
        decoded = inflate(self.data, self.nbytes)
        if decoded is None:
            message = (
                f"{self.where} can't be decoded (yet): it does not give the "
                f"{self.nbytes} bytes of its shape"
            )
            raise NotYetError(message)
        if not self.shuffled:
            return decoded
        planes = np.frombuffer(decoded, "u1").reshape(self.dtype.itemsize, -1)
        numbers = np.empty(planes.shape[::-1], "u1")
        for k, plane in enumerate(planes):  # five times as fast as transposing
            numbers[:, k] = plane
        return numbers


@dataclass(frozen=True, slots=True)
class ChunkImage:
    """An image that is a chunk, or begins `offset` bytes into one."""

    chunk: Chunk
    shape: tuple[int, ...]
    offset: int | None = None

    def encoded(self) -> Encoded | None:
        """Return the chunk's bytes, which are known to hold the image and no more."""
        if self.offset is not None:
            return None
        self.chunk.decoded()
        return Encoded(self.chunk.data, self.chunk.codec, self.shape, self.chunk.dtype)

    def read(self) -> np.ndarray:
        """Decode the image."""
        data, count = self.chunk.decoded(), math.prod(self.shape)
        image = np.frombuffer(data, self.chunk.dtype, count, self.offset or 0)
        return image.reshape(self.shape)


def find_chunks(dataset: Any, filters: Filters | None) -> Chunks | None:
    """Return the chunks of a dataset; None if only HDF5 can make pixels of them."""
    if filters is None or not _is_plain_dtype(dataset):
        return None
    axis = _split_axis(_with_rows(dataset.shape), _with_rows(dataset.chunks))
    if axis is None or filters.ids not in ([], [DEFLATE], [SHUFFLE, DEFLATE]):
        return None
    return Chunks(dataset, axis, filters)


class Chunks:
    """Chunks that each hold one image, or several one after the other.

    Only one thread at a time calls this.
    """

    def __init__(self, dataset: Any, axis: int, filters: Filters) -> None:
        self._dataset = dataset
        self._axis = axis
        self._filters = filters
        self._shape = _with_rows(dataset.shape)
        self._chunk = _with_rows(dataset.chunks)
        self._added_axes = len(self._shape) - dataset.ndim  # asking h5py takes long
        self._dtype = np.dtype(dataset.dtype.str)
        self._shuffled = SHUFFLE in filters.ids
        # A writer may still add images to a chunk.
        self._growing = dataset.file.mode != "r" or bool(dataset.file.swmr_mode)
        little = self._dtype == self._dtype.newbyteorder("<")
        known = self._dtype.itemsize in UNDECODED[self._dtype.kind]
        self._undecoded = little and known and not self._shuffled
        self._codec = "zlib" if DEFLATE in filters.ids else None
        size = max(2, min(CACHE_CHUNKS, CACHE_BYTES // max(filters.chunk_bytes, 1)))
        self._cache: OpenFileCache[Chunk | None] = OpenFileCache(size)

    def can_skip_decoding(self, takes: Callable[[str | None], bool]) -> bool:
        """Return whether a writer takes chunks as they are stored."""
        return self._undecoded and takes(self._codec)

    def find(self, where: tuple[int, ...], *, undecoded: bool) -> ChunkImage | None:
        """Find the image at an index.

        With `undecoded`, only an image that is a chunk of its own is of use. Return
        None if HDF5 has to read it.
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
            return None if chunk is None else ChunkImage(chunk, shape)
        # A writer may or may not filter a chunk that ends beyond the dataset.
        edge = corner[-1] + step > self._shape[axis]
        large = self._filters.chunk_bytes > LARGEST_CHUNK
        if undecoded or edge or large or self._growing or self._codec is None:
            return None
        chunk = self._cache.get(corner, lambda: self._read(corner))
        if chunk is None:
            return None
        for k in range(axis + 1, len(where)):
            place = place * self._chunk[k] + where[k]
        return ChunkImage(chunk, shape, place * nbytes)

    def _read(self, corner: tuple[int, ...]) -> Chunk | None:
        """Read a chunk; None if it is stored in another way than the others."""
        axes = len(self._chunk)
        if self._growing and _with_rows(self._dataset.shape)[1:] != self._shape[1:]:
            return None
        start = corner + (0,) * (axes - len(corner))
        mask, data = self._filters.read(start[self._added_axes :])
        size = self._filters.chunk_bytes
        if mask or (self._codec is None and len(data) != size):
            return None
        where, shuffled = self._filters.where, self._shuffled
        return Chunk(data, size, self._dtype, where, shuffled, self._codec)


def _is_plain_dtype(dataset: Any) -> bool:
    """Whether numbers are stored exactly as numpy holds them, padding bits too."""
    import h5py

    dtype = dataset.dtype
    if dtype.kind not in "uif":
        return False
    same: bool = dataset.id.get_type().equal(h5py.h5t.py_create(np.dtype(dtype.str)))
    return same


def _with_rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Add an axis of one row to the shape of a single image."""
    return tuple(int(n) for n in ((1, *shape) if len(shape) == 2 else shape))


def _split_axis(shape: tuple[int, ...], chunks: tuple[int, ...]) -> int | None:
    """Find the axis along which a chunk holds neighbours; None if it holds tiles."""
    axis = len(shape) - 1
    while axis and chunks[axis] == shape[axis]:
        axis -= 1
    alone = all(n == 1 for n in chunks[:axis])
    return axis if alone and axis <= len(shape) - 3 else None

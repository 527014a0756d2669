"""Chunks in memory: how any thread decodes them, or passes them on."""

from __future__ import annotations

import math
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tiffin.errors import NotYetError
from tiffin.frames import Encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    Inflate: TypeAlias = Callable[[Any, int], bytes | None]

__all__ = ["Chunk", "Deflated", "PartOfChunk", "Plain", "inflated"]


class Chunk:
    """A deflated chunk, which is decoded once for all images in it.

    Parameters
    ----------
    data : bytes-like
    nbytes : int
        How many bytes its shape says.
    dtype : numpy.dtype
    where : str
        For messages.
    shuffled : bool
        Whether its numbers were shuffled before.
    """

    def __init__(
        self, data: Any, nbytes: int, dtype: np.dtype, where: str, *, shuffled: bool
    ) -> None:
        self.data = data
        self.dtype = dtype
        self._nbytes = nbytes
        self._where = where
        self._shuffled = shuffled
        self._lock = threading.Lock()
        self._decoded: bytes | None = None

    def decoded(self) -> bytes:
        """Decode it.

        Raises
        ------
        NotYetError
            If it does not give exactly the bytes of its shape.
        """
        with self._lock:
            if self._decoded is None:
                self._decoded = self._decode()
            return self._decoded

    def _decode(self) -> bytes:
        decoded = inflated(self.data, self._nbytes)
        if decoded is None:
            message = (
                f"{self._where} can't be decoded (yet): it does not give the "
                f"{self._nbytes} bytes of its shape"
            )
            raise NotYetError(message)
        if self._shuffled:
            planes = np.frombuffer(decoded, "u1").reshape(self.dtype.itemsize, -1)
            decoded = planes.T.tobytes()
        return decoded


@dataclass(frozen=True, slots=True)
class Plain:
    """An image that is a chunk, and stored as it is."""

    data: Any
    shape: tuple[int, ...]
    dtype: np.dtype

    def encoded(self) -> Encoded:
        """Return its bytes."""
        return Encoded(self.data, None, self.shape, self.dtype)

    def read(self) -> np.ndarray:
        """See its bytes as numbers."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Deflated:
    """An image that is a chunk."""

    chunk: Chunk
    shape: tuple[int, ...]

    def encoded(self) -> Encoded:
        """Return its zlib stream, which is known to hold the image and no more."""
        self.chunk.decoded()
        return Encoded(self.chunk.data, "zlib", self.shape, self.chunk.dtype)

    def read(self) -> np.ndarray:
        """Decode it."""
        data = self.chunk.decoded()
        return np.frombuffer(data, self.chunk.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class PartOfChunk:
    """One image of several in a chunk."""

    chunk: Chunk
    shape: tuple[int, ...]
    start: int

    def encoded(self) -> None:
        """Give nothing: it can't be had without its neighbours."""

    def read(self) -> np.ndarray:
        """Cut it out of the chunk."""
        data, count = self.chunk.decoded(), math.prod(self.shape)
        image = np.frombuffer(data, self.chunk.dtype, count, self.start)
        return image.reshape(self.shape)


def inflated(data: Any, size: int) -> bytes | None:
    """Decode a zlib stream; None if it is none, or does not give `size` bytes."""
    return _inflate()(data, size)


def libdeflate() -> Inflate:
    """Return the decoder of the `imagecodecs` package: two thirds of ISA-L's time."""
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


def isa_l() -> Inflate:
    """Return the decoder of the `isal` package: two thirds of zlib's time."""
    from isal.isal_zlib import decompressobj, error

    return partial(_inflated, error, decompressobj)


def plain_zlib() -> Inflate:
    """Return Python's own decoder."""
    return partial(_inflated, zlib.error, zlib.decompressobj)


def _inflated(bad: Any, decoder: Callable[[], Any], data: Any, size: int) -> Any:
    """Decode a zlib stream, never to more than one byte too many."""
    stream = decoder()
    try:
        decoded = stream.decompress(data, size + 1)
    except bad:
        return None
    return decoded if len(decoded) == size and stream.eof else None


@cache
def _inflate() -> Inflate:
    """Find the fastest decoder that is installed."""
    for find in (libdeflate, isa_l):
        with suppress(ImportError):
            return find()
    return plain_zlib()

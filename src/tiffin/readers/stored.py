"""An image's bytes in a file: how any thread reads, decodes, or passes them on."""

from __future__ import annotations

import math
import os
import weakref
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

    from tiffin.readers.once import Once

    Inflate: TypeAlias = Callable[[bytes, int], bytes | None]

__all__ = ["Chunk", "Deflated", "PartOfChunk", "Plain", "SharedFile"]


class SharedFile:
    """A file's bytes. It stays open for as long as somebody may want some.

    Parameters
    ----------
    name : str
        For messages.
    descriptor : int
        Of the open file; may be closed afterwards.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self._name = name
        # Its name may lead to another file by now, so it is not opened again.
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Read so many bytes.

        Raises
        ------
        NotYetError
            If the file ends before.
        """
        try:
            data = os.pread(self._descriptor, size, offset)
            while len(data) < size:  # the system gives 2 GiB at most
                more = os.pread(self._descriptor, size - len(data), offset + len(data))
                if not more:
                    message = f"{self._name} is not whole (yet)"
                    raise NotYetError(message)
                data += more
        except OSError as error:
            message = f"{self._name} can't be read (yet): {error}"
            raise NotYetError(message) from error
        return data


@dataclass(frozen=True, slots=True)
class Plain:
    """An image that is stored as it is."""

    raw: Callable[[], bytes]
    shape: tuple[int, ...]
    dtype: np.dtype

    def encoded(self) -> Encoded:
        """Give its bytes."""
        return Encoded(self.raw(), None, self.shape, self.dtype)

    def read(self) -> np.ndarray:
        """Read it."""
        return np.frombuffer(self.raw(), self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A deflated chunk: how its bytes are to be had, and how many it inflates to."""

    raw: Callable[[], bytes]
    nbytes: int
    dtype: np.dtype

    def decoded(self) -> bytes | None:
        """Decode it; None if it is no such stream."""
        return _inflate()(self.raw(), self.nbytes)


@dataclass(frozen=True, slots=True)
class Deflated:
    """An image that is a chunk. A careful one is decoded before it is passed on."""

    chunk: Chunk
    shape: tuple[int, ...]
    careful: bool = False

    def encoded(self) -> Encoded | None:
        """Give its zlib stream."""
        data = self.chunk.raw()
        if self.careful and _inflate()(data, self.chunk.nbytes) is None:
            return None
        return Encoded(data, "zlib", self.shape, self.chunk.dtype)

    def read(self) -> np.ndarray | None:
        """Read and decode it; None if it is no such stream."""
        data = self.chunk.decoded()
        if data is None:
            return None
        return np.frombuffer(data, self.chunk.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class PartOfChunk:
    """One image of several in a chunk, which is decoded once for all of them."""

    chunk: Chunk
    shape: tuple[int, ...]
    start: int
    decoded: Once[bytes | None]
    number: int

    def encoded(self) -> None:
        """Give nothing: it can't be had without its neighbours."""

    def read(self) -> np.ndarray | None:
        """Read it, decoding the chunk if nobody has; None if that can't be."""
        data = self.decoded.get(self.number, self.chunk.decoded)
        if data is None:
            return None
        count = math.prod(self.shape)
        image = np.frombuffer(data, self.chunk.dtype, count, self.start)
        return image.reshape(self.shape)


def libdeflate() -> Inflate:
    """Give the decoder of the `imagecodecs` package: two thirds of ISA-L's time."""
    from imagecodecs import DEFLATE, DeflateError, deflate_decode

    if not DEFLATE.available:
        raise ImportError("imagecodecs was built without libdeflate")
    return partial(_inflated, DeflateError, lambda d, size: deflate_decode(d, out=size))


def isa_l() -> Inflate:
    """Give the decoder of the `isal` package: two thirds of zlib's time."""
    from isal.isal_zlib import decompress, error

    # Into a buffer that the pixels just fill, it would grow it twice.
    return partial(_inflated, error, lambda d, size: decompress(d, bufsize=size + 1))


def plain_zlib() -> Inflate:
    """Give Python's own decoder."""
    return partial(
        _inflated, zlib.error, lambda d, size: zlib.decompress(d, bufsize=size)
    )


def _inflated(
    bad: Any,
    decode: Callable[[bytes, int], Any],
    data: bytes,
    size: int,
) -> bytes | None:
    """Decode a zlib stream beside other threads; None if it is not one of `size`."""
    try:
        decoded: bytes = decode(data, size)
    except bad:
        return None
    return decoded if len(decoded) == size else None


@cache
def _inflate() -> Inflate:
    """Find the fastest decoder that is installed."""
    for find in (libdeflate, isa_l):
        with suppress(ImportError):
            return find()
    return plain_zlib()

"""Sizes and checksums of files, while they are written and later.

With the `isal` package, ISA-L calculates the CRC-32 (that of zlib, gzip and PNG) six
times as fast as zlib. All calls release the GIL.
"""

from __future__ import annotations

import hashlib
import os
import reprlib
import zlib
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from tiffin.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Checksum = Literal["crc32", "sha256", "none"]
CHECKSUMS = ("crc32", "sha256", "none")

Buffer = bytes | bytearray | memoryview

_AT_ONCE = 1024
"""How many buffers one system call can write (IOV_MAX on Linux)."""

_BLOCK = 1 << 20
"""How much of a file is read at a time; it fits into a processor cache [bytes]."""


class Written(NamedTuple):
    """The size and checksum of a written file.

    Attributes
    ----------
    nbytes : int
        The size of the file [bytes].
    checksum : str
        ``"crc32:9a3b01ff"``, ``"sha256:…"`` or ``""``, of the whole file.
    """

    nbytes: int
    checksum: str


def check_kind(kind: str) -> None:
    """Raise a `SettingsError` if there is no such checksum."""
    if kind not in CHECKSUMS:
        hint = did_you_mean(str(kind), CHECKSUMS)
        message = f"checksum must be one of {', '.join(CHECKSUMS)}, not {kind!r}{hint}"
        raise SettingsError(message)


class RunningChecksum:
    """The checksum of the bytes so far."""

    def __init__(self, kind: str) -> None:
        self._value = 0
        self._digest = hashlib.sha256() if kind == "sha256" else None
        self.is_crc32 = kind == "crc32"

    def update(self, buffers: Iterable[Buffer]) -> None:
        """Add buffers in their order."""
        if self._digest is not None:
            for buffer in buffers:
                self._digest.update(buffer)
        elif self.is_crc32:
            self._value = _crc32_of(buffers, self._value)

    def add(self, data: Buffer, crc32: int | None) -> None:
        """Add a buffer, whose CRC-32 may be known already."""
        if crc32 is None:
            self.update([data])
        else:
            nbytes = memoryview(data).nbytes
            self._value = crc32_combine(self._value, crc32, nbytes)

    def replace(self, old: bytes, new: bytes, behind: int) -> None:
        """Replace bytes that are followed by some others; only for a CRC-32."""
        # But for a constant a CRC-32 is linear, so what differs has one of its own.
        differs = crc32_of(old) ^ crc32_of(new)
        self._value ^= crc32_combine(differs, 0, behind)

    def __str__(self) -> str:
        if self._digest is not None:
            return f"sha256:{self._digest.hexdigest()}"
        return f"crc32:{self._value:08x}" if self.is_crc32 else ""


def checksum_over(buffers: Iterable[Buffer], kind: str) -> str:
    """Return the checksum of buffers in their order, without joining them."""
    if kind == "crc32":
        return f"crc32:{_crc32_of(buffers):08x}"
    running = RunningChecksum(kind)
    running.update(buffers)
    return str(running)


def _crc32_of(buffers: Iterable[Buffer], value: int = 0) -> int:
    for buffer in buffers:
        value = crc32_of(buffer, value) if buffer else value
    return value


def write_buffers(
    descriptor: int, buffers: list[Buffer], kind: str = "crc32"
) -> Written:
    """Write buffers to an open file; return the number of bytes, and their checksum."""
    checksum = checksum_over(buffers, kind)
    return Written(write_all(descriptor, buffers), checksum)


def write_all(descriptor: int, buffers: list[Buffer]) -> int:
    """Write all buffers, in several calls if necessary; return how many bytes."""
    done = os.writev(descriptor, buffers[:_AT_ONCE])
    total = sum([memoryview(buffer).nbytes for buffer in buffers])
    if done < total:
        _write_rest(descriptor, buffers, done)
    return total


def _write_rest(descriptor: int, buffers: list[Buffer], done: int) -> None:
    """Write the bytes that are not written yet."""
    waiting = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    while True:
        while waiting and done >= waiting[0].nbytes:
            done -= waiting.pop(0).nbytes
        if not waiting:
            return
        waiting[0] = waiting[0][done:]
        done = os.writev(descriptor, waiting[:_AT_ONCE])


def checksum_of(path: str | os.PathLike[str] | int, kind: str) -> Written:
    """Read a file and return its size and checksum.

    A descriptor is read from where it stands, and closed. With "none", the file is not
    read. A SettingsError is raised if there is no such checksum.
    """
    check_kind(kind)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (many, so no Path)
        if kind == "none":
            return Written(os.fstat(file.fileno()).st_size, "")
        blocks = _Blocks(file.readinto)
        checksum = checksum_over(blocks, kind)
    return Written(blocks.nbytes, checksum)


def difference(descriptor: int, nbytes: int, checksum: str) -> str:
    """Return how a file differs from its line in a manifest; ``""`` if it does not.

    The open file is closed. The expected `checksum` is such as ``"crc32:9a3b01ff"``, or
    ``""`` if it is unknown.
    """
    size = os.fstat(descriptor).st_size
    kind = checksum.partition(":")[0] or "none"
    if size != nbytes or kind not in CHECKSUMS:
        os.close(descriptor)
        if size != nbytes:
            return f"{size} bytes, not {nbytes}"
        return f"its checksum is of an unknown kind, {reprlib.repr(kind)}"
    same = checksum_of(descriptor, kind).checksum == checksum
    return "" if same else "its checksum differs"


def same_bytes(path: str | os.PathLike[str] | int, buffers: list[Buffer]) -> bool:
    """Return whether the content of a file is exactly that of some buffers.

    A descriptor is read from where it stands, and closed.
    """
    views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (many, so no Path)
        if os.fstat(file.fileno()).st_size != sum(view.nbytes for view in views):
            return False
        return all(_comes_next(file.readinto, view) for view in views)


def same_content(descriptor: int, other: int) -> bool:
    """Return whether two files have the same bytes; the first one is closed."""
    with open(descriptor, "rb", buffering=0) as file:
        if os.fstat(descriptor).st_size != os.fstat(other).st_size:
            return False
        at = 0
        while block := os.pread(other, _BLOCK, at):
            if not _comes_next(file.readinto, memoryview(block)):
                return False
            at += len(block)
    return True


class _Blocks:
    """The rest of a file in blocks. Each block is overwritten by the next."""

    def __init__(self, read_into: Callable[[memoryview], int | None]) -> None:
        self._read_into = read_into
        self._block = memoryview(bytearray(_BLOCK))
        self.nbytes = 0

    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> memoryview:
        size = self._read_into(self._block) or 0
        if not size:
            raise StopIteration
        self.nbytes += size
        return self._block[:size]


def _comes_next(
    read_into: Callable[[memoryview], int | None], wanted: memoryview
) -> bool:
    """Return whether these are the next bytes of a file."""
    block = memoryview(bytearray(min(_BLOCK, wanted.nbytes)))
    done = 0
    while done < wanted.nbytes:
        size = read_into(block[: wanted.nbytes - done]) or 0
        # numpy compares many bytes at a time and without the GIL; memoryviews don't
        found = np.frombuffer(block[:size], np.uint8)
        if not size or not np.array_equal(
            found, np.frombuffer(wanted, np.uint8)[done : done + size]
        ):
            return False
        done += size
    return True


def combine(first: int, second: int, nbytes: int) -> int:
    """Return the CRC-32 of two parts from those of each; `nbytes` has the second.

    A CRC-32 is a polynomial over GF(2), the lowest power in the highest bit. Bytes that
    follow multiply it by a power of x (Mark Adler, ``crc32_combine`` of zlib).
    """
    return _product(_power(nbytes), first) ^ second


@lru_cache(maxsize=64)
def _power(nbytes: int) -> int:
    """Return x to the power of a number of bits, modulo that of CRC-32."""
    power, square = 1 << 31, 1 << 23  # x^0 and x^8
    while nbytes:
        power = _product(square, power) if nbytes & 1 else power
        square = _product(square, square)
        nbytes >>= 1
    return power


def _product(a: int, b: int) -> int:
    product = 0
    for bit in range(31, -1, -1):
        product ^= b if a >> bit & 1 else 0
        b = b >> 1 ^ (0xEDB88320 if b & 1 else 0)
    return product


_library: Any = zlib
with suppress(ImportError):
    from isal import isal_zlib as _library

crc32_of: Callable[..., int] = _library.crc32
crc32_combine: Callable[[int, int, int], int]
crc32_combine = getattr(_library, "crc32_combine", combine)  # zlib's from Python 3.15

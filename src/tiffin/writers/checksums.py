"""Size and checksum of a file, while it is written and when it is on the disk.

CRC-32 (that of zlib, gzip and PNG) by ISA-L where the `isal` package is there: same
value, six times as fast as zlib's. All calls are long ones that release the GIL.
"""

from __future__ import annotations

import hashlib
import os
import reprlib
import zlib
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from tiffin.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "CHECKSUMS",
    "Buffer",
    "Checksum",
    "Written",
    "check_kind",
    "checksum_of",
    "checksum_over",
    "difference",
    "same_bytes",
    "write_buffers",
]

Checksum = Literal["crc32", "sha256", "none"]
CHECKSUMS = ("crc32", "sha256", "none")

Buffer = bytes | bytearray | memoryview

_AT_ONCE = 1024
"""How many buffers the system gathers in one write (IOV_MAX on Linux)."""

_BLOCK = 1 << 20
"""How much of a file is held at a time [bytes]: it fits a processor's cache."""


class Written(NamedTuple):
    """What was written.

    Attributes
    ----------
    nbytes : int
        The size of the file [bytes].
    checksum : str
        ``"crc32:9a3b01ff"``, ``"sha256:…"`` or ``""``, over the whole file.
    """

    nbytes: int
    checksum: str


def check_kind(kind: str) -> None:
    """Raise a `SettingsError` unless there is such a checksum."""
    if kind not in CHECKSUMS:
        hint = did_you_mean(str(kind), CHECKSUMS)
        message = f"checksum={kind!r} is none of {', '.join(CHECKSUMS)}{hint}"
        raise SettingsError(message)


def checksum_over(buffers: Iterable[Buffer], kind: str) -> str:
    """Return the checksum of buffers in their order, without joining them."""
    if kind == "none":
        return ""
    if kind == "sha256":
        digest = hashlib.sha256()
        for buffer in buffers:
            digest.update(buffer)
        return f"sha256:{digest.hexdigest()}"
    value = 0
    for buffer in buffers:
        value = _crc32(buffer, value) if buffer else value
    return f"crc32:{value:08x}"


def write_buffers(
    descriptor: int, buffers: list[Buffer], kind: str = "crc32"
) -> Written:
    """Write buffers to an open file.

    Parameters
    ----------
    descriptor : int
        Of a file opened for writing.
    buffers : list
        In their order in the file.
    kind : {"crc32", "sha256", "none"}

    Returns
    -------
    Written
        The number of bytes, and their checksum.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    checksum = checksum_over(buffers, kind)
    return Written(write_all(descriptor, buffers), checksum)


def write_all(descriptor: int, buffers: list[Buffer]) -> int:
    """Write all buffers, however many calls the system makes of it.

    Returns
    -------
    int
        Bytes written.
    """
    done = os.writev(descriptor, buffers[:_AT_ONCE])
    total = sum([memoryview(buffer).nbytes for buffer in buffers])
    if done < total:
        _write_rest(descriptor, buffers, done)
    return total


def _write_rest(descriptor: int, buffers: list[Buffer], done: int) -> None:
    """Go on behind the bytes that are written already."""
    waiting = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    while True:
        while waiting and done >= waiting[0].nbytes:
            done -= waiting.pop(0).nbytes
        if not waiting:
            return
        waiting[0] = waiting[0][done:]
        done = os.writev(descriptor, waiting[:_AT_ONCE])


def checksum_of(path: str | os.PathLike[str] | int, kind: str) -> Written:
    """Read a file and give its size and checksum.

    Parameters
    ----------
    path : str, path-like or int
        A descriptor is read from where it stands, and closed.
    kind : {"crc32", "sha256", "none"}
        With ``"none"`` nothing is read.

    Raises
    ------
    SettingsError
        If there is no such checksum.
    OSError
        If the file can't be read.
    """
    check_kind(kind)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (many, so no Path)
        if kind == "none":
            return Written(os.fstat(file.fileno()).st_size, "")
        blocks = _Blocks(file.readinto)
        checksum = checksum_over(blocks, kind)
    return Written(blocks.nbytes, checksum)


def difference(descriptor: int, nbytes: int, checksum: str) -> str:
    """Return how a file differs from what a manifest says of it.

    Parameters
    ----------
    descriptor : int
        Of the file; it is closed.
    nbytes : int
        The size that it should have [bytes].
    checksum : str
        Such as ``"crc32:9a3b01ff"``; ``""`` says nothing.

    Returns
    -------
    str
        ``""`` where it does not differ.
    """
    size = os.fstat(descriptor).st_size
    kind = checksum.partition(":")[0] or "none"
    if size != nbytes or kind not in CHECKSUMS:
        os.close(descriptor)
        if size != nbytes:
            return f"{size} bytes, not {nbytes}"
        return f"its checksum is of a kind that is not known, {reprlib.repr(kind)}"
    same = checksum_of(descriptor, kind).checksum == checksum
    return "" if same else "its checksum is another"


def same_bytes(path: str | os.PathLike[str] | int, buffers: list[Buffer]) -> bool:
    """Return whether a file holds exactly the bytes of some buffers.

    Parameters
    ----------
    path : str, path-like or int
        A descriptor is read from where it stands, and closed.
    buffers : list
        In their order in the file; as `TiffWriter.buffers` gives them.

    Raises
    ------
    OSError
        If the file can't be read, or is not there.
    """
    views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (many, so no Path)
        if os.fstat(file.fileno()).st_size != sum(view.nbytes for view in views):
            return False
        return all(_comes_next(file.readinto, view) for view in views)


class _Blocks:
    """The rest of a file in blocks, each valid until the next."""

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
    """Return whether a file goes on with these bytes."""
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


def _find_crc32() -> Callable[[Buffer, int], int]:
    try:
        from isal.isal_zlib import crc32
    except ImportError:
        return zlib.crc32
    return crc32


_crc32 = _find_crc32()

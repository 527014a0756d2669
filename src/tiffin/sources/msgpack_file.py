"""Documents in msgpack, with arrays as msgpack-numpy writes them.

They are decoded here, and not by msgpack-numpy: it runs what a pickle asks for, and
gives memory that nobody has written where an array has no data.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, SourceError
from tiffin.sources.document_file import TruncatedError
from tiffin.sources.tiled_arrays import UnreadableImages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.sources.document_file import DocumentFile

__all__ = ["decoded", "is_msgpack", "msgpack_documents"]

READ = 2**20
"""Read at once [bytes]."""

PLAIN = re.compile(r"[<>=|]?[?bBiufcSUmM]\d{0,9}(\[\w+\])?")
"""The dtypes that are decoded: numbers, text and times; no objects, no records."""

LONGEST = 80
"""How much of a dtype a message tells."""

BEGINS = frozenset(b"\x82\x92\xdc\xdd\xde\xdf")
"""First bytes of a map or an array of two in msgpack; text begins with none of them."""


def is_msgpack(contents: DocumentFile) -> bool:
    """Whether this is msgpack: by its first byte, whatever its name is."""
    return contents.head[:1] != b"" and contents.head[0] in BEGINS


def msgpack_documents(contents: DocumentFile) -> Iterator[tuple[Any, str]]:
    """Return what stands in a file, with its place.

    An array that can't be decoded is `UnreadableImages`: only its own frames fail.

    Raises
    ------
    TruncatedError
        If the file ends within a document.
    SourceError
        If it holds something else than msgpack.
    """
    try:
        import msgpack
    except ImportError as error:
        message = f"msgpack needs its library ({error}): pip install 'tiffin[files]'"
        raise MissingLibraryError(message) from error
    unpacker = msgpack.Unpacker(
        contents,
        object_hook=decoded,
        ext_hook=_extension,
        # No length that is only claimed takes more memory than the file has bytes.
        max_buffer_size=contents.most,
        read_size=min(contents.most, READ),
    )
    number = end = 0
    try:
        for number, found in enumerate(unpacker, 1):
            end = unpacker.tell()  # of what is whole; later, what is torn counts
            yield found, f"document {number}"
    except msgpack.exceptions.BufferFull:
        message = (
            f"{contents.path}, document {number + 1}: more than "
            f"{contents.most >> 20} MiB; unpack the file first"
        )
        raise SourceError(message) from None
    except (ValueError, msgpack.exceptions.UnpackException, MemoryError) as error:
        what = str(error) or type(error).__name__
        message = f"{contents.path}, document {number + 1}: no msgpack ({what})"
        raise SourceError(message) from error
    if end < contents.count:
        message = f"{contents.path} breaks off in document {number + 1}"
        raise TruncatedError(message)


def decoded(found: Mapping[Any, Any]) -> Any:
    """Return the array or number that a map stands for, or the map itself.

    Examples
    --------
    >>> array = {b"nd": True, b"type": "|u1", b"shape": [1, 2], b"data": bytes(2)}
    >>> decoded(array)
    array([[0, 0]], dtype=uint8)
    >>> print(decoded({**array, b"data": b""}))
    an array of uint8[1, 2] takes 2 bytes, and 0 are there
    """
    if b"nd" in found:
        shape = _shape(found.get(b"shape")) if found[b"nd"] is True else ()
        try:
            return _array(found, shape)
        except ValueError as error:
            # What has no shape is announced by its descriptor; rows and columns do.
            return UnreadableImages(str(error), (0, 0) if shape is None else shape)
    if b"complex" in found:
        try:
            return complex(found[b"data"])
        except (KeyError, TypeError, ValueError):
            return UnreadableImages("a complex number that is none", ())
    return found


def _array(found: Mapping[Any, Any], shape: tuple[int, ...] | None) -> Any:
    """Make an array or a number of the bytes that are there, or raise ValueError."""
    dtype, data = _dtype(found.get(b"type"), found.get(b"kind")), found.get(b"data")
    if shape is None:
        message = (
            f"an array with the shape {_short(found.get(b'shape'))}, which is none"
        )
        raise ValueError(message)
    if not isinstance(data, (bytes, bytearray)):
        message = f"an array of {dtype}{list(shape)} without its data"
        raise ValueError(message)  # noqa: TRY004 (one kind of error to its caller)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != len(data):
        message = (
            f"an array of {dtype}{list(shape)} takes {wanted} bytes, and {len(data)} "
            f"are there"
        )
        raise ValueError(message)
    array = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    return array.reshape(shape)[()]


def _shape(said: Any) -> tuple[int, ...] | None:
    if not isinstance(said, (list, tuple)):
        return None
    good = all(type(n) is int and 0 <= n < 2**63 for n in said)
    return tuple(said) if good else None


def _dtype(said: Any, kind: Any) -> np.dtype:
    text = said.decode("latin-1") if isinstance(said, bytes) else said
    if kind in (b"O", "O") or text in ("|O", "O"):
        message = "an array of Python objects: reading it could run any program"
        raise ValueError(message)
    if not isinstance(text, str) or not PLAIN.fullmatch(text):
        message = f"an array of dtype {_short(said)}, of which there are no images"
        raise ValueError(message)
    try:
        return np.dtype(text)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _short(said: Any) -> str:
    text = repr(said)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _extension(code: int, data: bytes) -> UnreadableImages:
    what = f"a value of the msgpack extension {code} ({len(data)} bytes)"
    return UnreadableImages(f"{what}, which is not read", ())

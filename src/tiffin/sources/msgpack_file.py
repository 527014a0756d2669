"""Documents in msgpack, with arrays as msgpack-numpy writes them.

msgpack-numpy is not used: it unpickles objects, which can run any code, and returns
uninitialized memory for an array without data.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import SourceError, optional_import
from tiffin.sources.document_file import TruncatedError
from tiffin.sources.prefetch import UnreadableImages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.sources.document_file import DocumentFile

READ_SIZE = 2**20
"""How much is read at once [bytes]."""

SAFE_DTYPE = re.compile(r"[<>=|]?[?bBiufcSUmM]\d{0,9}(\[\w+\])?")
"""The dtypes that are decoded: numbers, text and times; no objects, no records."""

FIRST_BYTES = frozenset(b"\x82\x92\xdc\xdd\xde\xdf")
"""First bytes of a map or an array of two in msgpack; no text begins with them."""


def is_msgpack(file: DocumentFile) -> bool:
    """Whether this is msgpack: by its first byte, whatever its name is."""
    return file.head[:1] != b"" and file.head[0] in FIRST_BYTES


def msgpack_documents(file: DocumentFile) -> Iterator[tuple[Any, str]]:
    """Yield the values in a file, each with its place.

    An array that can't be decoded is `UnreadableImages`: only its own frame fails.
    """
    with optional_import("msgpack needs its library", extra="files"):
        import msgpack
    unpacker = msgpack.Unpacker(
        file,
        object_hook=decoded,
        ext_hook=_extension,
        # A length that is only claimed takes no more memory than the file has bytes.
        max_buffer_size=file.max_document,
        read_size=min(file.max_document, READ_SIZE),
    )
    number = end = 0
    try:
        for number, value in enumerate(unpacker, 1):
            end = unpacker.tell()  # of complete documents
            yield value, f"document {number}"
    except msgpack.exceptions.BufferFull:
        what = f"more than {file.max_document >> 20} MiB; decompress the file first"
        message = f"{file.path}, document {number + 1}: {what}"
        raise SourceError(message) from None
    except (ValueError, msgpack.exceptions.UnpackException, MemoryError) as error:
        what = str(error) or type(error).__name__
        message = f"{file.path}, document {number + 1}: not valid msgpack ({what})"
        raise SourceError(message) from error
    if end < file.bytes_read:
        message = f"{file.path} breaks off in document {number + 1}"
        raise TruncatedError(message)


def pack(value: Any) -> bytes:
    """Return a document as msgpack, with arrays as msgpack-numpy writes them."""
    with optional_import("msgpack needs its library", extra="files"):
        import msgpack
    packed: bytes = msgpack.packb(value, default=_encoded)
    return packed


def unpack(data: bytes) -> Any:
    """Return a document of msgpack; raise SourceError if it is none.

    Arrays share the memory of `data`.
    """
    with optional_import("msgpack needs its library", extra="files"):
        import msgpack
    try:
        return msgpack.unpackb(data, object_hook=decoded, ext_hook=_extension)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        message = f"not valid msgpack: {str(error) or type(error).__name__}"
        raise SourceError(message) from error


def _encoded(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        is_array = isinstance(value, np.ndarray)
        item = {b"nd": is_array, b"type": value.dtype.str, b"data": value.tobytes()}
        return item | ({b"kind": b"", b"shape": value.shape} if is_array else {})
    if isinstance(value, complex):
        return {b"complex": True, b"data": repr(value)}
    message = f"a document can't hold {type(value).__name__}"
    raise TypeError(message)


def decoded(item: Mapping[Any, Any]) -> Any:
    """Return the array or number that a map stands for, or the map itself."""
    if b"nd" in item:
        shape = _shape(item.get(b"shape")) if item[b"nd"] is True else ()
        try:
            return _array(item, shape)
        except ValueError as error:
            # Without a shape, two dimensions make its field one of images.
            return UnreadableImages(str(error), (0, 0) if shape is None else shape)
    if b"complex" in item:
        try:
            return complex(item[b"data"])
        except (KeyError, TypeError, ValueError):
            return UnreadableImages("an invalid complex number", ())
    return item


def _array(item: Mapping[Any, Any], shape: tuple[int, ...] | None) -> Any:
    """Return the array or number of an item, or raise ValueError."""
    dtype, data = _dtype(item.get(b"type"), item.get(b"kind")), item.get(b"data")
    if shape is None:
        message = f"an array with the invalid shape {item.get(b'shape')!r:.80}"
        raise ValueError(message)
    if not isinstance(data, (bytes, bytearray)):
        message = f"an array of {dtype}{list(shape)} without its data"
        raise ValueError(message)  # noqa: TRY004 (the caller expects one kind of error)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes != len(data):
        message = (
            f"an array of {dtype}{list(shape)} takes {nbytes} bytes, and {len(data)} "
            f"are there"
        )
        raise ValueError(message)
    array = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    return array.reshape(shape)[()]


def _shape(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, (list, tuple)):
        return None
    valid = all(type(n) is int and 0 <= n < 2**63 for n in value)
    return tuple(value) if valid else None


def _dtype(value: Any, kind: Any) -> np.dtype:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if kind in (b"O", "O") or text in ("|O", "O"):
        message = "an array of Python objects: decoding it could run any program"
        raise ValueError(message)
    if not isinstance(text, str) or not SAFE_DTYPE.fullmatch(text):
        message = f"an array of dtype {value!r:.80}, which no image has"
        raise ValueError(message)
    try:
        return np.dtype(text)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _extension(code: int, data: bytes) -> UnreadableImages:
    what = f"a value of the msgpack extension {code} ({len(data)} bytes)"
    return UnreadableImages(f"{what}, which is not supported", ())

"""Metadata in a PNG: the chunk that holds them, made and found.

An iTXt chunk (PNG specification, third edition, section 11.3.3.4) has UTF-8 text under
a keyword, here ``tiffin``. A file that is read may be anybody's.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

from tiffin.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"

KEYWORD = b"tiffin\0"

LARGEST_NOTE = 2**26
"""The longest metadata that are read, decompressed [bytes]."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk: length, kind, data and CRC-32."""
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def note_chunk(note: bytes) -> bytes:
    """Return the chunk of metadata; nothing if there are none."""
    # Behind the keyword: not compressed, by no method, no language, no translation.
    return chunk(b"iTXt", KEYWORD + b"\0\0\0\0" + note) if note else b""


def notes_in_png(file: BinaryIO) -> Iterator[bytes]:
    """Yield the metadata of a PNG, which has one image; ``b""`` if it has none.

    A ReadError is raised if the file breaks off, or the chunk is damaged.
    """
    size = file.seek(0, os.SEEK_END)
    at, note = len(SIGNATURE), b""
    while True:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[:4])
        if len(head) < 8 or at + 12 + length > size:
            message = "it breaks off before its last chunk"
            raise ReadError(message)
        if head[4:] == b"IEND":
            break
        if head[4:] == b"iTXt" and not note and file.read(len(KEYWORD)) == KEYWORD:
            note = _text(file, length - len(KEYWORD))
        at += 12 + length
    yield note


def _text(file: BinaryIO, length: int) -> bytes:
    if not 4 <= length <= LARGEST_NOTE:
        message = f"its metadata have {length} bytes"
        raise ReadError(message)
    data = file.read(length)
    checksum = zlib.crc32(data, zlib.crc32(b"iTXt" + KEYWORD))
    if checksum != int.from_bytes(file.read(4)):
        message = "its metadata are damaged: the checksum differs"
        raise ReadError(message)
    is_compressed, text = data[0], data[2:].split(b"\0", 2)[-1]
    if not is_compressed:
        return text
    try:
        return _decompressed(text)
    except zlib.error as error:
        message = f"its metadata are damaged: {error}"
        raise ReadError(message) from error


def _decompressed(data: bytes) -> bytes:
    """Decompress text: another program may have compressed it."""
    decoder = zlib.decompressobj()
    text = decoder.decompress(data, LARGEST_NOTE)
    if decoder.unconsumed_tail:
        message = f"its metadata have more than {LARGEST_NOTE} bytes"
        raise ReadError(message)
    return text

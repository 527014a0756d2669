"""Find the metadata in a TIFF, of each page. The file may be anybody's.

Classic and BigTIFF, in either byte order; directories as in TIFF 6.0 (Aldus, 1992).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tiffin.errors import ReadError
from tiffin.writers.tiff_layout import ASCII, NOTE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = (1, ASCII, 7, 129)
"""Types of a value that may be text: bytes, ASCII, undefined, and UTF-8 (Exif 3)."""

MOST_TAGS = 65_535
"""A directory of a classic TIFF has no more; BigTIFF's count could be anything."""

LARGEST_NOTE = 2**26
"""The longest metadata of a page that are read [bytes]."""


class _Form(NamedTuple):
    """How numbers stand in a file."""

    link: str
    tags: str
    entry: str
    first_at: int


def is_tiff(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a TIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def notes_in_tiff(file: BinaryIO) -> Iterator[bytes]:
    """Yield the text in the tag for metadata for each page, ``b""`` if it has none.

    A ReadError is raised if the file breaks off, or its directories lead nowhere.
    """
    size = file.seek(0, os.SEEK_END)
    left = size  # no byte of a file belongs to two directories or values
    form = _form(_read(file, 0, 8))
    (at,) = struct.unpack(form.link, _read(file, form.first_at, _size(form.link)))
    seen = set[int]()
    while at:
        if at in seen:
            message = f"the directory of page {len(seen)} leads back to an earlier one"
            raise ReadError(message)
        seen.add(at)
        (tags,) = struct.unpack(form.tags, _read(file, at, _size(form.tags)))
        if tags > MOST_TAGS:
            message = f"the directory of page {len(seen) - 1} claims {tags} tags"
            raise ReadError(message)
        entries_at = at + _size(form.tags)
        length = tags * _size(form.entry)
        entries = _read(file, entries_at, length + _size(form.link))
        note = _note(file, form, entries[:length])
        left -= len(entries) + len(note)
        if left < 0:
            message = "its directories overlap"
            raise ReadError(message)
        yield note
        (at,) = struct.unpack(form.link, entries[length:])
    if not seen:
        message = "it has no page"
        raise ReadError(message)


def _form(head: bytes) -> _Form:
    order = "<" if head[:2] == b"II" else ">"
    if struct.unpack(order + "H", head[2:4])[0] == 43:
        return _Form(order + "Q", order + "Q", order + "HHQ8s", 8)
    return _Form(order + "I", order + "H", order + "HHI4s", 4)


def _note(file: BinaryIO, form: _Form, entries: bytes) -> bytes:
    for number, kind, count, value in struct.iter_unpack(form.entry, entries):
        if number != NOTE_TAG or kind not in TEXTS:
            continue
        if count > LARGEST_NOTE:
            message = f"its metadata claim {count} bytes"
            raise ReadError(message)
        if count <= len(value):
            return bytes(value[:count])
        (at,) = struct.unpack(form.link, value)
        return _read(file, at, count)
    return b""


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    try:
        file.seek(at)
        data = file.read(count)
    except (OSError, OverflowError, ValueError):  # such a place can't be
        data = b""
    if len(data) < count:
        message = f"it breaks off: {count} bytes at byte {at} are not there"
        raise ReadError(message)
    return data


def _size(form: str) -> int:
    return struct.calcsize(form)

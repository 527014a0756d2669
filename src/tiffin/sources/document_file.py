"""The bytes of a file of documents, decompressed if it is gzipped."""

from __future__ import annotations

import gzip
import os
import stat
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import BufferedReader
    from pathlib import Path

    Document = tuple[str, Mapping[str, Any]]

SUFFIXES = (".jsonl", ".json", ".msgpack", ".ndjson")
"""How the names of files of documents end; ``.gz`` may follow."""

ACCEPTED = (
    "JSON (.jsonl, .json) or msgpack (.msgpack) of documents, gzipped (.gz) or not"
)

MAX_DOCUMENT = 2**28
"""Size limit of a document that is compressed, comes through a pipe, or is being
written [bytes].

A small file could otherwise fill the memory.
"""

OTHER_FORMATS = {
    "an HDF5 (or NeXus) file": (b"\x89HDF\r\n\x1a\n",),
    "a NetCDF file": (b"CDF\x01", b"CDF\x02"),
    "a TIFF file": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "a numpy file (.npy)": (b"\x93NUMPY",),
    "an SQLite database": (b"SQLite format 3\x00",),
    "a zip archive (or .npz, .xlsx …)": (b"PK\x03\x04", b"PK\x05\x06"),
    "compressed with bzip2": (b"BZh",),
    "compressed with xz": (b"\xfd7zXZ\x00",),
    "compressed with zstd": (b"\x28\xb5\x2f\xfd",),
    "a PNG image": (b"\x89PNG\r\n",),
    "a JPEG image": (b"\xff\xd8\xff",),
    "a CBF image": (b"###CBF",),
    "a Parquet file": (b"PAR1",),
}
"""How files of other formats begin."""

MARKUP = {
    "XML": (b"<?xml",),
    "a web page (HTML)": (b"<!doctype html", b"<html"),
}
"""How text of other formats begins, in small letters, perhaps after spaces."""

HEAD = 512


class TruncatedError(SourceError):
    """A file that ends within a document."""


class DocumentFile:
    """A file, or a pipe, that is read once from front to back.

    `head` are the first bytes, which are still to be read; `max_document` is the size
    limit of a document; `truncated` tells whether compressed data ended too early.

    If the file is still being written, `wait_for_more` is called at its end: it waits,
    and returns whether to look for more.
    """

    def __init__(
        self, path: Path, wait_for_more: Callable[[], bool] | None = None
    ) -> None:
        self.path = path
        self._wait_for_more = wait_for_more
        self.bytes_read = 0
        self.truncated = False
        self._file = path.open("rb")
        try:
            status = path.stat()
            self._bytes: BufferedReader | gzip.GzipFile = self._file
            gzipped = self._file.peek(2).startswith(b"\x1f\x8b")
            if gzipped:
                self._bytes = gzip.GzipFile(fileobj=self._file)
            self.head = b""
            try:
                self.head = self._bytes.peek(HEAD)[:HEAD]
            except EOFError:
                self.truncated = True
            bounded = stat.S_ISREG(status.st_mode) and not (gzipped or wait_for_more)
            self.max_document = max(status.st_size, 1) if bounded else MAX_DOCUMENT
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> DocumentFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def other_format(self) -> str | None:
        """The file's format, if it can't be one of documents; else None."""
        text = self.head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        for head, formats in ((self.head, OTHER_FORMATS), (text, MARKUP)):
            for name, beginnings in formats.items():
                if head.startswith(beginnings):
                    return name
        return "a tar archive" if self.head[257:262] == b"ustar" else None

    @property
    def waits(self) -> bool:
        """Whether `read` would wait until more is written."""
        return self._wait_for_more is not None and self._size() <= self.bytes_read

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end, or where gzip is cut off."""
        data = self._read(size)
        while not data and self._wait_for_more is not None and not self.truncated:
            if self._size() < self.bytes_read:
                message = f"{self.path} has become shorter while it was read"
                raise SourceError(message)
            if not self._wait_for_more():
                break
            data = self._read(size)
        self.bytes_read += len(data)
        return data

    def _read(self, size: int) -> bytes:
        try:
            return self._bytes.read1(size)
        except EOFError:
            self.truncated = True
            return b""

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

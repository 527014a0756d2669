"""The bytes of a file of documents, unpacked where they are gzipped."""

from __future__ import annotations

import gzip
import stat
from typing import TYPE_CHECKING

from tiffin.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["ACCEPTED", "SUFFIXES", "DocumentFile", "TruncatedError"]

SUFFIXES = (".jsonl", ".json", ".msgpack", ".ndjson")
"""How the names of files of documents end; ``.gz`` may follow."""

ACCEPTED = (
    "JSON (.jsonl, .json) or msgpack (.msgpack) of documents, gzipped (.gz) or not"
)

LARGEST = 2**28
"""What one document may take that comes compressed, or through a pipe [bytes].

A small file could otherwise fill the memory.
"""

KINDS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 (or NeXus) file",
    b"CDF\x01": "a NetCDF file",
    b"CDF\x02": "a NetCDF file",
    b"II*\x00": "a TIFF file",
    b"MM\x00*": "a TIFF file",
    b"II+\x00": "a TIFF file",
    b"MM\x00+": "a TIFF file",
    b"\x93NUMPY": "a numpy file (.npy)",
    b"SQLite format 3\x00": "an SQLite database",
    b"PK\x03\x04": "a zip archive (or .npz, .xlsx …)",
    b"PK\x05\x06": "a zip archive (or .npz, .xlsx …)",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF file",
    b"###CBF": "a CBF image",
    b"\x7fELF": "a program",
    b"Obj\x01": "an Avro file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"<?xml": "XML",
    b"<!doctype html": "a web page (HTML)",
    b"<html": "a web page (HTML)",
}
"""What files begin with that hold no documents."""

AT_257 = b"ustar"
"""What stands there in a tar archive."""

HEAD = 512


class TruncatedError(SourceError):
    """A file that ends within a document."""


class DocumentFile:
    """A file's bytes, read once from front to back.

    Parameters
    ----------
    path : pathlib.Path
        A file, or a pipe.

    Attributes
    ----------
    path : pathlib.Path
    head : bytes
        The first of them, still to be read.
    most : int
        What one document may take [bytes].
    count : int
        How many have been read.
    torn : bool
        Whether the compressed data ended too early.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.torn = False
        self._file = path.open("rb")
        self._bytes: gzip.GzipFile | None = None
        try:
            status = path.stat()
            self.most = max(status.st_size, 1)
            self.head = self._file.peek(HEAD)[:HEAD]
            if self.head.startswith(b"\x1f\x8b"):
                self._bytes = gzip.GzipFile(fileobj=self._file)
                self.head = self._peek(self._bytes)
            if self._bytes is not None or not stat.S_ISREG(status.st_mode):
                self.most = LARGEST
        except BaseException:
            self._file.close()
            raise

    def _peek(self, gzipped: gzip.GzipFile) -> bytes:
        try:
            return gzipped.peek(HEAD)[:HEAD]
        except EOFError:
            self.torn = True
            return b""

    def __enter__(self) -> DocumentFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def kind(self) -> str | None:
        """What the file is, if it can't be one of documents; else None."""
        start = self.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:16].lower()
        for magic, kind in KINDS.items():
            text = magic.startswith(b"<")
            if start.startswith(magic) if text else self.head.startswith(magic):
                return kind
        return "a tar archive" if self.head[257:262] == AT_257 else None

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end, or where gzip breaks off."""
        if self._bytes is None:
            data = self._file.read1(size)
        else:
            data = self._unpacked(self._bytes, size)
        self.count += len(data)
        return data

    def _unpacked(self, gzipped: gzip.GzipFile, size: int) -> bytes:
        pieces, got = [], 0
        while got < size and not self.torn:
            try:
                piece = gzipped.read1(size - got)
            except EOFError:
                self.torn = True
                break
            if not piece:
                break
            pieces.append(piece)
            got += len(piece)
        return b"".join(pieces)

"""Several images in one TIFF file, written as they come, in constant memory.

Pages may come in any order: pixels lie in the file as they came, and the directories,
a linked list, are in the order of their keys. In the usual case, pages in order, the
file is written from beginning to end and nothing is changed afterwards; a directory is
written when the next page is known.
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.errors import DtypeError
from tiffin.writers.checksums import (
    RunningChecksum,
    Written,
    checksum_of,
    write_all,
)
from tiffin.writers.profile import PageInfo, note_and_date, page_of
from tiffin.writers.tiff_layout import LARGEST, directory, following_at, header

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer
    from tiffin.writers.tiff_layout import TiffPage
    from tiffin.writers.tiff_series import TiffWriter

__all__ = ["TiffStack"]

ROOM = 2**16
"""What must stay free after the pixels of a page, for directories [bytes]."""


class _Stored(NamedTuple):
    """A page whose pixels are in the file, and whose directory may be.

    The metadata are kept until the directory is written; then they are in the file.
    """

    strip_at: int
    strip_bytes: int
    shape: tuple[int, ...]
    dtype: np.dtype
    timestamp: float | None
    metadata: Mapping[str, Any] | None
    directory_at: int = 0
    following_at: int = 0
    note_at: int = 0
    note_bytes: int = 0


class TiffStack:
    """Writes pages to an open file. Not for two threads at a time, but for `encode`.

    Parameters
    ----------
    writer : TiffWriter
    descriptor : int
        Of an empty file, opened for reading and writing.
    checksum : {"crc32", "sha256", "none"}
    big : bool
        Whether to write a BigTIFF; a classic TIFF holds less than 4 GiB.
    """

    def __init__(
        self,
        writer: TiffWriter,
        descriptor: int,
        *,
        checksum: str = "crc32",
        big: bool = False,
    ) -> None:
        self._writer = writer
        self._descriptor = descriptor
        self._kind = checksum
        self._big = big
        self._size = 0
        self._sum = RunningChecksum(checksum)
        self._pages: dict[Any, _Stored] = {}
        self._held: Any = None  # the key of the page whose directory is not written
        self._is_changed = writer.profile.needs_page_count

    def encode(self, image: np.ndarray | Encoded) -> Buffer:
        """Return the strip of a page; may be called from several threads.

        Raises
        ------
        DtypeError
            If the file can't hold the image.
        """
        return self._writer.strip(image)

    def add(
        self,
        key: Hashable,
        strip: Buffer,
        image: np.ndarray | Encoded,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write a page, or write one anew in place of the one with the same key.

        Parameters
        ----------
        key : sortable
            Pages are in the order of their keys.
        strip : buffer
            As `encode` returned it.
        image : ndarray or Encoded
            Whose shape and dtype count.
        metadata : mapping

        Raises
        ------
        DtypeError
            If the file would be larger than a classic TIFF can be.
        OSError
            If the page can't be written; then the file is as it was.
        """
        dtype = image.dtype.newbyteorder("<")
        size = memoryview(strip).nbytes
        held = None if self._held is None else self._pages[self._held]
        before: list[Buffer] = []
        if not self._size:
            page = self._page(PageInfo(image.shape, dtype, metadata))
            begin = len(header(page, 0))
            first = 0 if self._is_changed else begin + size + size % 2
            before = [header(page, first)]
        elif held is not None:
            data, held = self._directory_of(held, self._size)
            pad = len(data) % 2
            following = self._size + len(data) + pad + size + size % 2
            self._is_changed |= key < self._held
            data = _with_next(data, held, following, big=self._big)
            before = [data, bytes(pad)]
        at = self._size + sum(map(len, before))
        if at + size + ROOM > LARGEST and not self._big:
            message = (
                f"the page does not fit: a classic TIFF holds less than 4 GiB, and the "
                f"file has {self._size / 2**30:.2f} already; bigtiff=True has no limit"
            )
            raise DtypeError(message)
        self._append([*before, strip, bytes(size % 2)])
        if held is not None:
            self._pages[self._held] = held
        self._is_changed |= key in self._pages
        waits = self._writer.profile.needs_page_count and not self._pages
        time = metadata.get("timestamp")
        self._pages[key] = _Stored(at, size, image.shape, dtype, time, metadata)
        self._held = None if waits else key

    def drop(self, key: Hashable) -> None:
        """Leave a page out, whose pixels are in the file already."""
        del self._pages[key]
        self._is_changed = True
        self._held = None if self._held == key else self._held

    def finish(
        self, axes: Mapping[str, int] | None = None
    ) -> tuple[Written, list[Any]]:
        """Write what is left, and link the pages.

        Parameters
        ----------
        axes : mapping of str to int, optional
            Name → length of the axes that the pages count, the slowest first.

        Returns
        -------
        Written
            The size of the file, and its checksum.
        list
            The keys of the pages, in their order.

        Raises
        ------
        OSError
            If the file can't be written.
        """
        keys = sorted(self._pages)
        counts = self._writer.profile.needs_page_count
        for n, key in enumerate(keys):
            if n == 0 and counts:
                self._append_directory(key, self._about_all(keys, axes or {}))
            elif not self._pages[key].directory_at:
                self._append_directory(key)
        if not self._is_changed:
            return Written(self._size, str(self._sum)), keys
        self._link(keys)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return checksum_of(os.dup(self._descriptor), self._kind), keys

    def _about_all(self, keys: list[Any], axes: Mapping[str, int]) -> PageInfo:
        """Return the information about the first page, which describes the file."""
        first = self._pages[keys[0]]
        metadata = first.metadata
        if metadata is None:  # another page was the first one when it was written
            note = os.pread(self._descriptor, first.note_bytes, first.note_at)
            metadata = json.loads(note or "{}")
        times = [self._pages[key].timestamp for key in keys]
        known = tuple(time for time in times if isinstance(time, (int, float)))
        return PageInfo(
            first.shape,
            first.dtype,
            metadata,
            pages=len(keys),
            axes=dict(axes),
            timestamps=known if len(known) == len(times) else (),
        )

    def _page(self, info: PageInfo) -> TiffPage:
        page = page_of(info, self._writer.compression, self._writer.profile)
        return page._replace(big=self._big) if self._big else page

    def _directory_of(
        self, stored: _Stored, at: int, about_all: PageInfo | None = None
    ) -> tuple[bytes, _Stored]:
        """Return a directory to stand at a byte, and its page with where it stands.

        `about_all` is given for the first page, when all are known.
        """
        info = about_all or PageInfo(
            stored.shape, stored.dtype, stored.metadata or {}, page=1, pages=0
        )
        note, date = note_and_date(info.metadata)
        page = self._page(info)
        data = directory(page, stored.strip_at, stored.strip_bytes, at, note, date)
        return data, stored._replace(
            metadata=None,
            directory_at=at,
            following_at=at + following_at(page, note, date),
            note_at=at + len(data) - len(note) - 1,
            note_bytes=len(note),
        )

    def _append_directory(self, key: Any, about_all: PageInfo | None = None) -> None:
        if self._size % 2:
            self._append([b"\0"])
        data, stored = self._directory_of(self._pages[key], self._size, about_all)
        self._append([data])
        self._pages[key] = stored

    def _append(self, buffers: list[Buffer]) -> None:
        before = self._size
        try:
            write_all(self._descriptor, [b for b in buffers if len(b)])
        except OSError:
            os.ftruncate(self._descriptor, before)
            os.lseek(self._descriptor, before, os.SEEK_SET)
            raise
        self._size += sum(memoryview(buffer).nbytes for buffer in buffers)
        if not self._is_changed:
            self._sum.update(buffers)

    def _link(self, keys: list[Any]) -> None:
        """Set the place of the next directory in each page, and of the first one."""
        form, first_at = ("<Q", 8) if self._big else ("<I", 4)
        pages = [self._pages[key] for key in keys]
        places = [first_at, *(page.following_at for page in pages)]
        targets = [*(page.directory_at for page in pages), 0]
        for place, target in zip(places, targets, strict=True):
            _write_at(self._descriptor, struct.pack(form, target), place)


def _with_next(data: bytes, page: _Stored, following: int, *, big: bool) -> bytes:
    """Return a directory with the place of the next one."""
    place = page.following_at - page.directory_at
    return (
        data[:place]
        + struct.pack("<Q" if big else "<I", following)
        + (data[place + (8 if big else 4) :])
    )


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    """Write bytes at a place, in however many calls the system takes them."""
    while data:
        done = os.pwrite(descriptor, data, at)
        data, at = data[done:], at + done

"""Several images in one TIFF file, written as they come, in constant memory.

Pages may come in any order: pixels lie in the file as they came, and the directories,
a linked list, are in the order of their keys. In the usual case, pages in order, the
file is written from beginning to end and nothing is changed afterwards; a directory is
written when the next page is known.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.errors import DtypeError
from tiffin.writers.checksums import (
    RunningChecksum,
    Written,
    checksum_of,
    crc32_of,
    write_all,
)
from tiffin.writers.description import label
from tiffin.writers.profile import PageInfo, note_and_date, tiff_page_of
from tiffin.writers.tiff_layout import LARGEST, TiffPage, directory, header

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer
    from tiffin.writers.tiff_layout import Directory
    from tiffin.writers.tiff_series import TiffWriter

ROOM = 2**16
"""What stays free after the pixels of a page, but for labels [bytes]."""

PER_PAGE = 512
"""What a directory takes at most, but for its note and label [bytes]."""

MOST_WAITING = 1000
"""How many pieces of directories are written together."""


class EncodedTiffPage(NamedTuple):
    """A page that has no place in the file yet.

    Attributes
    ----------
    data : buffer
        The strip.
    nbytes : int
        Its size [bytes].
    crc32 : int or None
        Of the strip, if that is the checksum of the file.
    shape : tuple of int
    dtype : numpy.dtype
    timestamp : float or None
    label : str
    described : (Directory, bytes, bytes)
        Its directory, note and date.
    """

    data: Buffer
    nbytes: int
    crc32: int | None
    shape: tuple[int, ...]
    dtype: np.dtype
    timestamp: float | None
    label: str
    described: tuple[Directory, bytes, bytes]


@dataclass(slots=True)
class _Stored:
    """A page whose pixels are in the file, and whose directory may be.

    How it is described is kept until the directory is written.
    """

    key: Any
    strip_at: int
    strip_bytes: int
    shape: tuple[int, ...]
    dtype: np.dtype
    timestamp: float | None
    label: str
    described: tuple[Directory, bytes, bytes] | None
    directory_at: int = 0
    following_at: int = 0
    following: int = 0
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
        self._waiting: list[Buffer] = []  # what `flush` will write
        self._size = self._written = 0  # with what waits, and without it
        self._sum = RunningChecksum(checksum)
        self._pages: dict[Any, _Stored] = {}
        self._pending: _Stored | None = None  # whose directory is not written
        self._counts = writer.profile.needs_page_count
        self._is_changed = self._counts
        self._first = 0  # the place of the first directory, as the header has it
        self._pixels_first = writer.profile.pixels_first and not writer.compression
        self._room = ROOM
        self._describes_all = False
        self._forms: dict[tuple[Any, ...], Directory] = {}  # if pages have the same

    def encode(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any]
    ) -> EncodedTiffPage:
        """Return a page for `add`; may be called from several threads.

        A DtypeError is raised if the file can't hold the image.
        """
        data = self._writer.strip(image)
        # If it is the first one that describes all pages, it is described again.
        dtype = image.dtype.newbyteorder("<")
        info = PageInfo(image.shape, dtype, metadata, page=1, pages=0)
        return EncodedTiffPage(
            data,
            memoryview(data).nbytes,
            crc32_of(data) if self._sum.is_crc32 else None,
            image.shape,
            dtype,
            metadata.get("timestamp"),
            label(metadata) if self._counts else "",
            self._described(info, note_and_date(metadata)),
        )

    def add(self, key: Hashable, page: EncodedTiffPage) -> None:
        """Add a page, or one in place of the one with the same key.

        Pages are in the order of their keys. It is written by `flush`, with others. A
        DtypeError is raised if the file would be larger than a classic TIFF can be.
        """
        pending, begin, size = self._pending, self._size, page.nbytes
        before = b""
        if pending is not None and pending.described is not None:
            form, note, _ = pending.described
            begin += form.size(note)
            begin += begin % 2
        elif not begin:
            begin = len(self._header(0))
        if begin + size + self._room > LARGEST and not self._big:
            message = (
                f"the page does not fit: a classic TIFF holds less than 4 GiB, and the "
                f"file has {self._size / 2**30:.2f} already; bigtiff=True has no limit"
            )
            raise DtypeError(message)
        following = begin + size + (0 if self._pixels_first else size % 2)
        if pending is not None:
            before = self._filled(pending, self._size, following)
            self._is_changed |= key < pending.key
        elif not self._size:
            self._first = 0 if self._is_changed else following
            before = self._header(self._first)
        self._put(before.ljust(begin - self._size, b"\0"))
        self._waiting.append(page.data)
        self._size += size
        self._sum.add(page.data, page.crc32)
        self._put(bytes(following - self._size))
        self._is_changed |= key in self._pages
        waits = self._pixels_first or (self._counts and not self._pages)
        stored = self._pages[key] = _Stored(key, begin, size, *page[3:])
        self._pending = None if waits else stored
        if self._counts:
            self._room += 2 * len(page.label) + 4
        if self._pixels_first:
            self._room += len(page.described[1]) + PER_PAGE

    def flush(self) -> None:
        """Write the pages that were added.

        After an OSError, the file is as it was. Try again, or give up.
        """
        if not self._waiting:
            return
        try:
            write_all(self._descriptor, self._waiting)
        except OSError:
            os.ftruncate(self._descriptor, self._written)
            os.lseek(self._descriptor, self._written, os.SEEK_SET)
            raise
        self._waiting, self._written = [], self._size

    def drop(self, key: Hashable) -> None:
        """Leave a page out, which was added."""
        dropped = self._pages.pop(key)
        self._is_changed = True
        self._pending = None if self._pending is dropped else self._pending

    def finish(
        self, axes: Mapping[str, int] | None = None
    ) -> tuple[Written, list[Any]]:
        """Write what is left, and link the pages.

        `axes` are name → length of what the pages count, the slowest first. Return the
        size of the file and its checksum, and the keys of the pages, in their order.
        """
        self.flush()
        pages = [self._pages[key] for key in sorted(self._pages)]
        for page, following in zip_longest(pages, pages[1:]):
            if page is pages[0] and self._counts and not self._describes_all:
                about_all = self._about_all(pages, axes or {})
                of_it = note_and_date(about_all.metadata)
                page.described = self._described(about_all, of_it)
                self._describes_all = True
            if page.described is not None:
                self._put_directory(page, following)
            if len(self._waiting) > MOST_WAITING:
                self.flush()
        self.flush()
        keys = [page.key for page in pages]
        if self._is_changed:
            self._link(pages)
            if self._kind == "sha256":
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                return checksum_of(os.dup(self._descriptor), self._kind), keys
        return Written(self._size, str(self._sum)), keys

    def _about_all(self, pages: list[_Stored], axes: Mapping[str, int]) -> PageInfo:
        """Return the information about the first page, which describes the file."""
        first = pages[0]
        if first.described is None:  # another page was the first one when it came
            note = os.pread(self._descriptor, first.note_bytes, first.note_at)
        else:
            note = first.described[1]
        times = [page.timestamp for page in pages]
        known = tuple(time for time in times if isinstance(time, (int, float)))
        return PageInfo(
            first.shape,
            first.dtype,
            json.loads(note or b"{}"),
            pages=len(pages),
            axes=dict(axes),
            timestamps=known if len(known) == len(times) else (),
            labels=tuple(page.label for page in pages),
            is_contiguous=self._pixels_first
            and all(
                page.strip_at + page.strip_bytes == following.strip_at
                for page, following in pairwise(pages)
            ),
        )

    def _header(self, first: int) -> bytes:
        at = self._writer.profile.pixels_at
        return header(TiffPage((), "", pixels_at=at, big=self._big), first)

    def _described(
        self, info: PageInfo, note_and_date: tuple[bytes, bytes]
    ) -> tuple[Directory, bytes, bytes]:
        """Return the directory of a page with its note and date."""
        note, date = note_and_date
        kind = info.shape, info.dtype, bool(note), bool(date)
        form = self._forms.get(kind)
        if form is None:
            page = tiff_page_of(info, self._writer.compression, self._writer.profile)
            page = page._replace(big=True) if self._big else page
            of = directory.__wrapped__ if info.pages else directory  # it may be large
            form = of(page, *kind[2:])
            if self._writer.profile.is_uniform:
                self._forms[kind] = form
        return form, note, date

    @staticmethod
    def _filled(stored: _Stored, at: int, following: int) -> bytes:
        """Return the directory of a page for a byte of the file, and note the place."""
        assert stored.described is not None  # noqa: S101 (it has no directory yet)
        form, note, date = stored.described
        stored.described = None
        stored.directory_at = at
        stored.following_at, stored.following = at + form.following_at, following
        stored.note_at, stored.note_bytes = at + len(form.data), len(note)
        place = stored.strip_at, stored.strip_bytes
        return form.filled(*place, at, note, date, following)

    def _put_directory(self, page: _Stored, then: _Stored | None) -> None:
        """Write a directory; that of the page `then` is written already, or next."""
        assert page.described is not None  # noqa: S101 (it has no directory yet)
        self._put(bytes(self._size % 2))
        form, note, _ = page.described
        end = self._size + form.size(note)
        following = 0 if then is None else then.directory_at or end + end % 2
        self._put(self._filled(page, self._size, following))

    def _put(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)
            self._size += len(data)
            self._sum.update([data])

    def _link(self, pages: list[_Stored]) -> None:
        """Set the place of the next directory in each page, and of the first one."""
        first, *others = [*(page.directory_at for page in pages), 0]
        self._set(8 if self._big else 4, self._first, first)
        self._first = first
        for page, following in zip(pages, others, strict=True):
            self._set(page.following_at, page.following, following)
            page.following = following

    def _set(self, at: int, old: int, new: int) -> None:
        """Replace a place in the file by another one."""
        if new == old:
            return
        size = 8 if self._big else 4
        data = new.to_bytes(size, "little")
        _write_at(self._descriptor, data, at)
        if self._sum.is_crc32:
            behind = self._size - at - size
            self._sum.replace(old.to_bytes(size, "little"), data, behind)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    """Write bytes at a place, in however many calls the system takes them."""
    while data:
        done = os.pwrite(descriptor, data, at)
        data, at = data[done:], at + done

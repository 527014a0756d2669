"""The header and the directory of a TIFF.

Files are classic TIFF, little-endian, with one page and one strip. The pixels start at
byte 8, and the directory comes last. A directory is prepared once for each shape, dtype
and compression; the numbers that depend on the size of the strip are patched. Tag
numbers are those of TIFF 6.0 (Aldus, 1992).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

import numpy as np

PIXELS_AT = 8
"""The byte of the first pixel, after the header. GSAS-II reads pixels there."""

LARGEST = 2**32 - 1
"""The largest offset in a classic TIFF, which has 32 bits [bytes]."""

BYTE, ASCII, SHORT, LONG, RATIONAL, DOUBLE, LONG8 = 1, 2, 3, 4, 5, 12, 16
"""Types of values; a RATIONAL is a pair of two."""

STRIP_OFFSETS, STRIP_BYTE_COUNTS = 273, 279

NOTE_TAG = 65123
"""The tag with the metadata of the image: a JSON object in ASCII with escapes. It is a
private number (from 32768), after those of NDFileTIFF in areaDetector (from 65000).
Readers ignore it, while an ImageDescription changes how some read the pixels."""

DATE_TIME = 306
"""The tag of the time of the image; its value has 20 bytes, NUL included."""

TAG_OF = {None: 1, "lzw": 5, "zlib": 8, "zstd": 50000}
"""Values of the Compression tag: TIFF 6.0; deflate by Adobe (Photoshop technical
notes, 2002); zstd of libtiff."""

Tag = tuple[int, int, int | float | bytes | tuple[int | float, ...]]
"""Number, type, and one value, text or several values."""

MODEL: Tag = (272, ASCII, b"Bluesky detector\0")


class TiffPage(NamedTuple):
    """The properties of a page that do not depend on its size and metadata.

    Attributes
    ----------
    shape : tuple of int
        (rows, columns), or (rows, columns, samples).
    dtype : str
        Such as ``"<u2"``.
    compression : {None, "lzw", "zlib", "zstd"}
    tags : tuple of Tag
        More tags, or others in place of the usual ones.
    pixels_at : int
        The byte of the first pixel of a file.
    directory_at : int or None
        The byte of the directory, if it stands before the pixels.
    big : bool
        Whether the file is a BigTIFF, whose offsets have 64 bits.
    """

    shape: tuple[int, ...]
    dtype: str
    compression: str | None = None
    tags: tuple[Tag, ...] = ()
    pixels_at: int = PIXELS_AT
    directory_at: int | None = None
    big: bool = False


class Directory(NamedTuple):
    """A directory of pages that differ in their places, sizes, notes and dates only.

    Attributes
    ----------
    data : bytes
        As it is at byte 0 of a file, without note and date.
    strip_at, count_at, following_at, note_at, date_at : int
        Where in the data the place of the strip goes, the number of its bytes, the
        place of the next directory, the number of bytes of the note, and the date.
    offsets : tuple of (int, int)
        Where in the data the place of a longer value goes, and where the value is.
    offset : Struct
        The format of places in the file.
    """

    data: bytes
    strip_at: int
    count_at: int
    following_at: int
    offsets: tuple[tuple[int, int], ...]
    note_at: int
    date_at: int
    offset: struct.Struct

    def size(self, note: bytes) -> int:
        """Return the size of the directory with a note [bytes]."""
        return len(self.data) + (len(note) + 1 if note else 0)

    def filled(
        self,
        strip_at: int,
        strip_bytes: int,
        at: int,
        note: bytes = b"",
        date: bytes = b"",
        following: int = 0,
    ) -> bytes:
        """Return the directory of a page for byte `at` of a file.

        `strip_at` is where the encoded strip is, `following` where the directory of the
        next page is; 0 for none. Note and date are as for `around`.
        """
        data = self.placed(strip_at, strip_bytes, at, following)
        return self.described(data, note, date)

    def placed(
        self, strip_at: int, strip_bytes: int, at: int, following: int = 0
    ) -> bytes:
        """Return the directory as `filled`, but without note and date."""
        data, put = bytearray(self.data), self.offset.pack_into
        put(data, self.count_at, strip_bytes)
        put(data, self.strip_at, strip_at)
        put(data, self.following_at, following)
        for place, behind in self.offsets:
            put(data, place, at + behind)
        return bytes(data)

    def described(self, placed: bytes, note: bytes, date: bytes) -> bytes:
        """Return a directory that is `placed` with note and date."""
        data = bytearray(placed)
        if date:
            data[self.date_at : self.date_at + len(date)] = date
        if note:  # it is the last of the longer values
            self.offset.pack_into(data, self.note_at, len(note) + 1)
            data += note + b"\0"
        return bytes(data)


class Prepared(NamedTuple):
    """What is around strips of one size in files that have the same tags.

    `header` and `gap` stand before the strip and behind it; `placed` is the directory,
    without note and date.
    """

    header: bytes
    gap: bytes
    placed: bytes
    form: Directory

    def around(self, note: bytes, date: bytes) -> tuple[bytes, bytes, bytes]:
        """Return header, gap and directory, as the function `around`."""
        return self.header, self.gap, self.form.described(self.placed, note, date)


def around(
    page: TiffPage,
    strip_bytes: int,
    note: bytes = b"",
    date: bytes = b"",
) -> tuple[bytes, bytes, bytes]:
    """Return header, gap and directory of the file of an image.

    The note is ASCII text for the `NOTE_TAG`; the date, as in ``b"2026:11:29
    03:04:05"``, is for the `DATE_TIME` tag.
    """
    if page.directory_at is not None:
        return _directory_first(page, strip_bytes, note, date)
    return prepare(page, strip_bytes, bool(note), bool(date)).around(note, date)


def prepare(
    page: TiffPage, strip_bytes: int, has_note: bool, has_date: bool
) -> Prepared:
    """Prepare what is around a strip, with the directory behind it."""
    gap = b"\0" * (strip_bytes % 2)  # directories begin on a word boundary
    at = page.pixels_at + strip_bytes + len(gap)
    form = directory(page, has_note, has_date)
    placed = form.placed(page.pixels_at, strip_bytes, at)
    return Prepared(header(page, at), gap, placed, form)


def header(page: TiffPage, first: int) -> bytes:
    """Return what stands before the first pixel; `first` is where a directory is."""
    if page.big:  # https://www.awaresystems.be/imaging/tiff/bigtiff.html
        data = struct.pack("<2sHHHQ", b"II", 43, 8, 0, first)
        return data.ljust(max(page.pixels_at, len(data)), b"\0")
    return struct.pack("<2sHI", b"II", 42, first).ljust(page.pixels_at, b"\0")


def _directory_first(
    page: TiffPage, strip_bytes: int, note: bytes, date: bytes
) -> tuple[bytes, bytes, bytes]:
    """Put the directory before the pixels, and the note, which may be long, last."""
    gap = b"\0" * (strip_bytes % 2)
    at = page.directory_at or PIXELS_AT
    prepared = directory(page, bool(note), bool(date))
    data = prepared.filled(page.pixels_at, strip_bytes, at, note, date)
    end = b""
    if note:
        place = prepared.note_at + 4
        where = struct.pack("<I", page.pixels_at + strip_bytes + len(gap))
        end = data[-len(note) - 1 :]
        data = data[:place] + where + data[place + 4 : -len(end)]
    header = struct.pack("<2sHI", b"II", 42, at).ljust(at, b"\0") + data
    if len(header) > page.pixels_at:
        message = f"a directory of {len(data)} bytes reaches into the pixels"
        raise ValueError(message)
    return header.ljust(page.pixels_at, b"\0"), gap, end


def size_around(page: TiffPage) -> int:
    """Return the size of header and directory together [bytes]."""
    return page.pixels_at + len(directory(page).data)


@lru_cache(maxsize=64)
def directory(
    page: TiffPage, has_note: bool = False, has_date: bool = False
) -> Directory:
    """Return the directory of a page, which pages of the same kind share."""
    tags = {tag[0]: tag for tag in (*_tags(page), *page.tags)}
    if has_date:
        tags[DATE_TIME] = (DATE_TIME, ASCII, b"\0" * 20)
    if has_note:
        tags[NOTE_TAG] = (NOTE_TAG, ASCII, b"")
    return _packed([tags[number] for number in sorted(tags)], big=page.big)


def _tags(page: TiffPage) -> list[Tag]:
    dtype = np.dtype(page.dtype)
    rows, columns, samples = (*page.shape, 1)[:3]
    colour = samples > 1
    tags: list[Tag] = [
        (256, LONG, columns),  # ImageWidth
        (257, LONG, rows),  # ImageLength
        (258, SHORT, (dtype.itemsize * 8,) * samples),  # BitsPerSample
        (259, SHORT, TAG_OF[page.compression]),  # Compression
        (262, SHORT, 2 if colour else 1),  # PhotometricInterpretation: RGB, MinIsBlack
        (STRIP_OFFSETS, LONG8 if page.big else LONG, 0),  # patched
        (277, SHORT, samples),  # SamplesPerPixel
        (278, LONG, rows),  # RowsPerStrip
        (STRIP_BYTE_COUNTS, LONG8 if page.big else LONG, 0),  # patched
        (305, ASCII, b"tiffin\0"),  # Software, without a version: bytes stay the same
        (339, SHORT, ({"u": 1, "i": 2, "f": 3}[dtype.kind],) * samples),  # SampleFormat
    ]
    if samples == 4:
        tags.append((338, SHORT, 2))  # ExtraSamples: alpha, not multiplied in
    return tags


def _packed(tags: list[Tag], *, big: bool = False) -> Directory:
    """Lay the tags out as a directory: count, entries, the next one, longer values.

    The note is the tag with the largest number, and so its value comes last.
    """
    count_form, entry_form, offset = (
        ("<Q", "<HHQ", "<Q") if big else ("<H", "<HHI", "<I")
    )
    size = struct.calcsize(offset)  # of an offset, and of a value inside an entry
    begin = struct.calcsize(count_form)
    entry_size = struct.calcsize(entry_form) + size
    behind = begin + entry_size * len(tags) + size
    entries, beyond = b"", b""
    places: dict[int, int] = {}
    date_at = 0
    offsets = []
    for number, kind, value in tags:
        data, count = _data(kind, value)
        places[number] = value_at = begin + len(entries) + entry_size - size
        if number == DATE_TIME:
            date_at = behind + len(beyond)
        if len(data) > size or number == NOTE_TAG:
            offsets.append((value_at, behind + len(beyond)))
            where = struct.pack(offset, behind + len(beyond))
            beyond += data + b"\0" * (len(data) % 2)
        else:
            where = data.ljust(size, b"\0")
        entries += struct.pack(entry_form, number, kind, count) + where
    return Directory(
        struct.pack(count_form, len(tags)) + entries + bytes(size) + beyond,
        places[STRIP_OFFSETS],
        places[STRIP_BYTE_COUNTS],
        behind - size,
        tuple(offsets),
        places.get(NOTE_TAG, size) - size,
        date_at,
        struct.Struct(offset),
    )


def _data(
    kind: int, value: float | bytes | tuple[int | float, ...]
) -> tuple[bytes, int]:
    """Return the bytes of a value, and the number of values."""
    if isinstance(value, bytes):
        return value, len(value)
    values = value if isinstance(value, tuple) else (value,)
    form = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q", DOUBLE: "d"}[kind]
    count = len(values) // 2 if kind == RATIONAL else len(values)
    return struct.pack(f"<{len(values)}{form}", *values), count

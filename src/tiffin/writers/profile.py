"""Profiles: what a program needs in the files that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.dtypes import TIFF_DTYPES
from tiffin.json_text import json_text
from tiffin.writers.tiff_layout import PIXELS_AT, Tag, TiffPage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np


class PageInfo(NamedTuple):
    """What the functions of a profile get about a page.

    Attributes
    ----------
    shape : tuple of int
        (rows, columns), or (rows, columns, samples).
    dtype : numpy.dtype
    metadata : mapping
        Information about the image; see `tiffin.read_metadata`.
    page : int
        The index of the page in the file, from 0.
    pages : int
        The number of pages of the file.
    axes : mapping of str to int
        Name → length of the axes along which the pages are counted, the slowest first.
        Empty for a simple sequence.
    timestamps : tuple of float
        When each page of the file was taken [s since 1970]. Empty if that is not known
        of all of them; only the first page needs it.
    labels : tuple of str
        A line for each page of the file, which tells it from the others; only the first
        page needs them.
    is_contiguous : bool
        Whether the pixels of all pages follow each other in the file.
    compression : str or None
        Of the pixels; known to `tags` only.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    metadata: Mapping[str, Any]
    page: int = 0
    pages: int = 1
    axes: Mapping[str, int] = {}
    timestamps: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    is_contiguous: bool = False
    compression: str | None = None


class Sidecar(NamedTuple):
    """A file that a program expects beside each image.

    Attributes
    ----------
    suffix : str
        Its name is that of the image and this, such as ``".metadata"``.
    content : callable
        Given a `PageInfo`, returns its bytes.
    """

    suffix: str
    content: Callable[[PageInfo], bytes]


class Promise(NamedTuple):
    """A reader that gives the exact pixels of files: `make readers` tests it.

    Attributes
    ----------
    reader : str
        One of those of ``docs/reference/readers.md``, such as ``"ImageJ"``.
    compressions : tuple of str or None, optional
        By default all compressions of the profile.
    colours : bool
        Whether it reads colours too.
    bigtiff : bool
        Whether it reads BigTIFF too.
    """

    reader: str
    compressions: tuple[str | None, ...] | None = None
    colours: bool = True
    bigtiff: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A layout of TIFF files that one program reads correctly.

    Attributes
    ----------
    name : str
        Such as ``"imagej"``.
    program : str
        The program, in a few words.
    dtypes : tuple of str
        The dtypes that the program reads exactly.
    compressions : tuple of str or None
        The compressions that the program reads; None means no compression.
    holds_stacks : bool
        Whether a file can have several pages.
    holds_bigtiff : bool
        Whether the program reads BigTIFF.
    needs_page_count : bool
        Whether the tags of page 0 depend on how many pages there are. That is known
        when the file is complete.
    pixels_first : bool
        Whether the pixels of all pages come before all directories, if they are not
        compressed.
    colours : tuple of str
        The dtypes of colour images, with several samples a pixel, that it reads.
    least : int, optional
        The least value that the program reads exactly.
    pixels_at : int
        The byte of the first pixel.
    directory_at : int, optional
        The byte of the directory, if it stands before the pixels.
    tags : callable, optional
        `PageInfo` → tags of the page, as (number, type, value). They add to the usual
        tags, or replace those with the same number.
    is_uniform : bool
        Whether pages of the same shape, dtype and compression have the same tags.
    sidecar : Sidecar, optional
        A file that the program expects beside each image.
    promises : tuple of Promise
        The readers that give the exact pixels of all that the profile can hold.
    otherwise : str
        The profile to choose for an image that the program can't read.
    """

    name: str
    program: str
    dtypes: tuple[str, ...] = TIFF_DTYPES
    compressions: tuple[str | None, ...] = (None, "zlib", "zstd", "lzw")
    holds_stacks: bool = True
    holds_bigtiff: bool = True
    needs_page_count: bool = False
    pixels_first: bool = False
    colours: tuple[str, ...] = TIFF_DTYPES
    least: int | None = None
    pixels_at: int = PIXELS_AT
    directory_at: int | None = None
    tags: Callable[[PageInfo], list[Tag]] | None = None
    is_uniform: bool = False
    sidecar: Sidecar | None = None
    promises: tuple[Promise, ...] = ()
    otherwise: str = "plain"


def tiff_page_of(info: PageInfo, compression: str | None, profile: Profile) -> TiffPage:
    """Return the content of the directory of a page, without note and date."""
    tags: tuple[Tag, ...] = ()
    if profile.tags is not None:
        tags = tuple(profile.tags(info._replace(compression=compression)))
    return TiffPage(
        info.shape,
        info.dtype.str,
        compression,
        tags,
        profile.pixels_at,
        profile.directory_at,
    )


def note_and_date(metadata: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return metadata as JSON, and their time in the format of TIFF."""
    note = json_text(metadata, ascii_only=True) if metadata else b""
    date = str(metadata.get("time") or "")[:19]
    return note, date.replace("-", ":").replace("T", " ").encode()

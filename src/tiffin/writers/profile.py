"""Profiles: what a program needs in the files that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.writers.tiff_layout import PIXELS_AT, Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

__all__ = ["TIFF_DTYPES", "PageInfo", "Profile"]

TIFF_DTYPES = (
    *("uint8", "uint16", "uint32", "int8", "int16", "int32"),
    *("float32", "float64"),
)
"""The dtypes that programs read in the same way from a TIFF."""


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
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    metadata: Mapping[str, Any]
    page: int = 0
    pages: int = 1
    axes: Mapping[str, int] = {}


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
    pixels_at : int
        The byte of the first pixel.
    tags : callable, optional
        `PageInfo` → tags of the page, as (number, type, value). They add to the usual
        tags, or replace those with the same number.
    sidecar : callable, optional
        `PageInfo` → (suffix, content) of a file that the program expects beside the
        image, such as ``(".metadata", b"wavelength = 0.2")``.
    """

    name: str
    program: str
    dtypes: tuple[str, ...] = TIFF_DTYPES
    compressions: tuple[str | None, ...] = (None, "zlib", "zstd", "lzw")
    holds_stacks: bool = True
    pixels_at: int = PIXELS_AT
    tags: Callable[[PageInfo], list[Tag]] | None = None
    sidecar: Callable[[PageInfo], tuple[str, bytes]] | None = None

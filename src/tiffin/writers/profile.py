"""What a program that opens the files needs of them."""

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
"""The dtypes that a TIFF holds and that readers agree on."""


class PageInfo(NamedTuple):
    """What a profile may use to make the tags of a page.

    Attributes
    ----------
    shape : tuple of int
        (rows, columns), or (rows, columns, samples).
    dtype : numpy.dtype
    metadata : mapping
        What is known of the image; see `tiffin.read_metadata`.
    page : int
        Its number in the file, from 0.
    pages : int
        How many pages the file has.
    axes : mapping of str to int
        Name → length of the axes that the pages count, the slowest first; empty where
        they are a plain sequence.
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
        For whom it is, in a few words.
    dtypes : tuple of str
        What the program reads exactly.
    compressions : tuple of str or None
        None stands for no compression.
    holds_stacks : bool
        Whether a file may have several pages.
    pixels_at : int
        The byte of the first pixel.
    tags : callable, optional
        Given a `PageInfo`, returns more tags for the page, or others in place of the
        usual ones: (number, type, value).
    sidecar : callable, optional
        Given a `PageInfo`, returns (suffix, content) of a file that the program expects
        beside the image, such as ``(".metadata", b"wavelength = 0.2")``.
    """

    name: str
    program: str
    dtypes: tuple[str, ...] = TIFF_DTYPES
    compressions: tuple[str | None, ...] = (None, "zlib", "zstd", "lzw")
    holds_stacks: bool = True
    pixels_at: int = PIXELS_AT
    tags: Callable[[PageInfo], list[Tag]] | None = None
    sidecar: Callable[[PageInfo], tuple[str, bytes]] | None = None

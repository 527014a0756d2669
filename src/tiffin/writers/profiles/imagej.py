"""Files for ImageJ 1.x, which opens them without the Bio-Formats plug-in.

What ImageJ reads, and how, is in its own ``ij.io.TiffDecoder`` and ``TiffEncoder``
(https://github.com/imagej/ImageJ), and was measured with ImageJ 1.53t.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

from tiffin.writers.beamline import beamline
from tiffin.writers.description import dimensions, facts
from tiffin.writers.profile import Profile, Promise
from tiffin.writers.tiff_layout import ASCII, BYTE, LONG, RATIONAL, SHORT

if TYPE_CHECKING:
    from tiffin.writers.profile import PageInfo
    from tiffin.writers.tiff_layout import Tag

__all__ = ["PROFILE"]

IMAGE_DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 270, 282, 283, 296
BYTE_COUNTS, INFO = 50838, 50839
"""ImageJ's own tags: the text that *Image > Show Info* shows, and its sizes."""

COUNTS = {"C": "channels", "Z": "slices", "T": "frames"}


def _tags(page: PageInfo) -> list[Tag]:
    """Describe the file in its first page: ImageJ reads no other description."""
    if page.page:
        return []
    # Without images=, which would say that pixels of all pages follow each other.
    lines = ["ImageJ=1.53t"]
    if page.pages > 1:
        axes = dimensions(page, any_order=False)
        lines += [f"{COUNTS[axis]}={axes[axis]}" for axis in COUNTS if axis in axes]
        lines += ["hyperstack=true", "mode=grayscale", "loop=false"]
    size = _resolution(page)
    if size:
        lines.append("unit=micron")
    return [
        (IMAGE_DESCRIPTION, ASCII, ("\n".join(lines) + "\n\0").encode()),
        *size,
        *_info(facts(page)),
    ]


def _resolution(page: PageInfo) -> list[Tag]:
    """Return how many pixels a micrometre has, if that is known."""
    known = beamline(page.metadata)
    if known.pixel_x is None or known.pixel_y is None:
        return []
    x, y = (
        Fraction(size).limit_denominator(10**5)
        for size in (known.pixel_x, known.pixel_y)
    )
    if not (0 < x < 40_000 and 0 < y < 40_000):  # numbers of 32 bits
        return []
    return [
        (X_RESOLUTION, RATIONAL, (x.denominator, x.numerator)),
        (Y_RESOLUTION, RATIONAL, (y.denominator, y.numerator)),
        (RESOLUTION_UNIT, SHORT, 1),  # the unit is in the description
    ]


def _info(known: dict[str, str]) -> list[Tag]:
    """Return metadata as lines of "name: value", for eyes and for macros."""
    if not known:
        return []
    lines = (f"{name}: {' '.join(value.split())}\n" for name, value in known.items())
    text = "".join(lines).encode("utf-16-le", "replace")
    # Numbers and letters in the byte order of the file, so that "IJIJ" is "JIJI".
    header = b"JIJI" + b"ofni" + struct.pack("<I", 1)
    return [
        (BYTE_COUNTS, LONG, (len(header), len(text))),
        (INFO, BYTE, header + text),
    ]


PROFILE = Profile(
    name="imagej",
    program="ImageJ",
    dtypes=("uint8", "uint16", "int16", "float32"),
    colours=("uint8",),  # of 16 bits it misreads stacks, the compressed ones too
    compressions=(None, "zlib", "lzw"),
    holds_bigtiff=False,
    needs_page_count=True,
    tags=_tags,
    promises=(
        Promise("ImageJ"),
        Promise("Bio-Formats"),
        Promise("tifffile"),
        Promise("libtiff"),
        Promise("OpenCV"),
        Promise("libvips"),
        Promise("fabio", compressions=(None,), colours=False),
        Promise("Pillow", colours=False),
    ),
    otherwise="ome",  # which Fiji opens with Bio-Formats
)

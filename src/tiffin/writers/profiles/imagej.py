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

IMAGE_DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 270, 282, 283, 296
BYTE_COUNTS, TEXTS = 50838, 50839
"""ImageJ's own tags: the text that *Image > Show Info* shows and the labels of slices,
and their sizes."""

COUNTS = {"C": "channels", "Z": "slices", "T": "frames"}


def _tags(page: PageInfo) -> list[Tag]:
    """Describe the file in its first page: ImageJ reads no other description."""
    if page.page:
        return []
    lines = ["ImageJ=1.53t"]
    if page.pages > 1:
        # With images= it reads no other directory, and so shows the labels of slices.
        lines += [f"images={page.pages}"] if page.is_contiguous else []
        axes = dimensions(page, any_order=False)
        lines += [f"{COUNTS[axis]}={axes[axis]}" for axis in COUNTS if axis in axes]
        lines += ["hyperstack=true", "mode=grayscale", "loop=false"]
    size = _resolution(page)
    if size:
        lines.append("unit=micron")
    return [
        (IMAGE_DESCRIPTION, ASCII, ("\n".join(lines) + "\n\0").encode()),
        *size,
        *_texts(facts(page), page.labels if page.pages > 1 else ()),
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


def _texts(known: dict[str, str], labels: tuple[str, ...]) -> list[Tag]:
    """Return metadata as lines of "name: value", and a label for each slice."""
    lines = [f"{name}: {' '.join(value.split())}\n" for name, value in known.items()]
    info = ["".join(lines)] if lines else []
    # Numbers and letters in the byte order of the file, so that "IJIJ" is "JIJI".
    header, texts = b"JIJI", []
    for kind, values in ((b"ofni", info), (b"lbal", labels)):
        if any(values):
            header += kind + struct.pack("<I", len(values))
            texts += [value.encode("utf-16-le", "replace") for value in values]
    if not texts:
        return []
    return [
        (BYTE_COUNTS, LONG, (len(header), *map(len, texts))),
        (TEXTS, BYTE, header + b"".join(texts)),
    ]


PROFILE = Profile(
    name="imagej",
    program="ImageJ",
    dtypes=("uint8", "uint16", "int16", "float32"),
    colours=("uint8",),  # of 16 bits it misreads stacks, the compressed ones too
    compressions=(None, "zlib", "lzw"),
    holds_bigtiff=False,
    needs_page_count=True,
    pixels_first=True,
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

"""OME-TIFF, for Fiji with Bio-Formats, OMERO, QuPath and napari.

The description follows the schema of June 2016
(https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html), the
pixels are those of any TIFF.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from tiffin.writers.beamline import beamline
from tiffin.writers.description import dimensions, facts
from tiffin.writers.profile import Profile, Promise
from tiffin.writers.tiff_layout import ASCII

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.writers.profile import PageInfo
    from tiffin.writers.tiff_layout import Tag

IMAGE_DESCRIPTION = 270

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""

TYPES = {"float32": "float", "float64": "double"}


def _tags(page: PageInfo) -> list[Tag]:
    """Describe the file in its first page."""
    if page.page:
        return []
    return [(IMAGE_DESCRIPTION, ASCII, _xml(page).encode() + b"\0")]


def _xml(page: PageInfo) -> str:
    known = facts(page)
    name = " ".join(
        known[key] for key in ("scan_id", "field", "seq_num") if key in known
    )
    date = _date(page)
    taken = f"<AcquisitionDate>{date}</AcquisitionDate>" if date else ""
    pairs = "".join(
        f"<M K={_quoted(key)}>{_text(value)}</M>" for key, value in known.items()
    )
    reference, annotation = "", ""
    if pairs:
        reference = '<AnnotationRef ID="Annotation:0"/>'
        annotation = (
            '<StructuredAnnotations><MapAnnotation ID="Annotation:0" '
            f'Namespace="tiffin"><Value>{pairs}</Value></MapAnnotation>'
            "</StructuredAnnotations>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{SCHEMA}" Creator="tiffin" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{SCHEMA} {SCHEMA}/ome.xsd">'
        f'<Image ID="Image:0" Name={_quoted(name)}>{taken}'
        f"{_pixels(page)}{reference}</Image>{annotation}</OME>"
    )


def _date(page: PageInfo) -> str | None:
    """Return the time of the first page, or None if the metadata has no such time."""
    try:
        return datetime.fromisoformat(str(page.metadata.get("time"))).isoformat()
    except ValueError:
        return None


def _pixels(page: PageInfo) -> str:
    rows, columns, samples = (*page.shape, 1)[:3]
    axes = dimensions(page, any_order=True)
    # Samples lie within a page: where there are several, channels are the fastest axis.
    fastest_first = [*reversed(axes)] if samples == 1 else ["C", *reversed(axes)]
    order = "".join([*fastest_first, *(a for a in "ZCT" if a not in fastest_first)])
    channels = axes.get("C", 1)
    known = beamline(page.metadata)
    sizes = {"X": known.pixel_x, "Y": known.pixel_y}  # [µm], which the schema assumes
    physical = "".join(
        f' PhysicalSize{axis}="{size!r}"'
        for axis, size in sizes.items()
        if _is_size(size)
    )
    kind = TYPES.get(page.dtype.name, page.dtype.name)
    return (
        f'<Pixels ID="Pixels:0" DimensionOrder="XY{order}" Type="{kind}" '
        f'SizeX="{columns}" SizeY="{rows}" SizeZ="{axes.get("Z", 1)}" '
        f'SizeC="{channels * samples}" SizeT="{axes.get("T", 1)}" '
        f'BigEndian="false"{physical}>'
        + "".join(
            f'<Channel ID="Channel:0:{n}" SamplesPerPixel="{samples}"/>'
            for n in range(channels)
        )
        + f'<TiffData IFD="0" PlaneCount="{page.pages}"/>'
        + "".join(_planes(page, axes))
        + "</Pixels>"
    )


def _planes(page: PageInfo, axes: dict[str, int]) -> Iterator[str]:
    """Give time and exposure [s] of each page, where they are known."""
    exposure = page.metadata.get("exposure")
    is_known = isinstance(exposure, (int, float)) and not isinstance(exposure, bool)
    about_all = f' ExposureTime="{exposure}"' if is_known else ""
    times = page.timestamps
    if len(times) > 1 and len({*times}) == 1:
        times = ()  # that of the event, or of a fly scan, as a whole
    if not (about_all or times):
        return
    for n in range(page.pages):
        places = np.unravel_index(n, tuple(axes.values()))
        place = dict(zip(axes, map(int, places), strict=True))
        where = "".join(f' The{axis}="{place.get(axis, 0)}"' for axis in "ZTC")
        since = f' DeltaT="{times[n] - times[0]:.6f}"' if times else ""
        yield f"<Plane{where}{since}{about_all}/>"


def _is_size(size: float | None) -> bool:
    return size is not None and size > 0


def _text(value: str) -> str:
    return escape(NOT_IN_XML.sub("\ufffd", value))


def _quoted(value: str) -> str:
    return quoteattr(NOT_IN_XML.sub("\ufffd", value))


PROFILE = Profile(
    name="ome",
    program="Bio-Formats and other readers of OME-TIFF",
    needs_page_count=True,
    tags=_tags,
    promises=(
        Promise("Bio-Formats"),
        Promise("tifffile"),
        Promise("libtiff"),
        Promise("OpenCV", compressions=(None, "zlib", "lzw")),
    ),
)

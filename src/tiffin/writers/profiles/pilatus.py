r"""Files as a Pilatus detector writes them, for fabio and what reads through it.

The directory is at byte 130, by which fabio knows the format, and the pixels are int32
from byte 4096, where GSAS-II looks for those of a Model with PILATUS. ImageDescription
has the detector's header: a line ``# Key value`` for each thing that is known, with the
keys and units of the mini-header of CBF files.

Sources: *PILATUS CBF header specification* 1.4 (Dectris); fabio's openimage.py and
pilatusimage.py (https://github.com/silx-kit/fabio).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tiffin.writers.beamline import beamline
from tiffin.writers.profile import Profile, Promise
from tiffin.writers.tiff_layout import ASCII

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.writers.profile import PageInfo
    from tiffin.writers.tiff_layout import Tag

MODEL = b"PILATUS\0"


def _tags(page: PageInfo) -> list[Tag]:
    text = "".join(f"# {line}\r\n" for line in _lines(page))
    data = text.encode("ascii", "backslashreplace")
    return [(270, ASCII, data + b"\0"), (272, ASCII, MODEL)]


def _lines(page: PageInfo) -> Iterator[str]:
    known = beamline(page.metadata)
    yield "Detector: PILATUS"
    if known.pixel_x is not None and known.pixel_y is not None:
        x, y = _scaled(known.pixel_x, -6), _scaled(known.pixel_y, -6)
        yield f"Pixel_size {x} m x {y} m"
    for key, name in (
        ("Exposure_time", "exposure"),
        ("Exposure_period", "exposure_period"),
    ):
        if isinstance(page.metadata.get(name), (int, float)):
            yield f"{key} {page.metadata[name]!r} s"
    if known.wavelength is not None:
        yield f"Wavelength {known.wavelength!r} A"
    if known.distance is not None:
        yield f"Detector_distance {_scaled(known.distance, -3)} m"
    if known.centre_x is not None and known.centre_y is not None:
        yield f"Beam_xy ({known.centre_x!r}, {known.centre_y!r}) pixels"
    if known.polarization is not None:
        yield f"Polarization {known.polarization!r}"


def _scaled(value: float, power: int) -> str:
    """Return a number times a power of ten, with its digits as they are."""
    return repr(float(Decimal(repr(value)).scaleb(power)))


PROFILE = Profile(
    name="pilatus",
    program="fabio's Pilatus reader",
    dtypes=("int32",),
    compressions=(None,),
    holds_stacks=False,
    colours=(),
    directory_at=130,
    pixels_at=4096,
    tags=_tags,
    promises=(Promise("fabio"), Promise("tifffile"), Promise("Pillow")),
)

"""What the profiles of diffraction programs use of the metadata: the geometry.

The entries are those of GSAS-II's ``.metadata`` files, with its units
(https://gsas-ii.readthedocs.io, importers G2img_1TIF and G2img_PILTIF), so that one
``metadata=`` serves every profile. Nothing is guessed: what is no such entry, or no
number, is not known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRIES: Mapping[str, tuple[str, ...]] = {
    "wavelength": ("wavelength",),
    "distance": ("distance",),
    "polarization": ("polarization",),
    "sample_changer": ("sampleChangerCoordinate",),
    "pixel_x": ("detectorXPixelSize", "pixelSizeX"),
    "pixel_y": ("detectorYPixelSize", "pixelSizeY"),
    "centre_x": ("CenterPixelX",),
    "centre_y": ("CenterPixelY",),
}
"""Field → names of its entry, whose case is ignored; G2img_1TIF's first."""


class Beamline(NamedTuple):
    """What is known; None stands for what is not.

    Attributes
    ----------
    wavelength : float or None
        [Å].
    distance : float or None
        From the sample to the detector [mm].
    polarization : float or None
        The share that is polarized horizontally.
    sample_changer : float or None
    pixel_x, pixel_y : float or None
        Width and height of a pixel [µm].
    centre_x, centre_y : float or None
        Column and row of the direct beam [pixels].
    """

    wavelength: float | None = None
    distance: float | None = None
    polarization: float | None = None
    sample_changer: float | None = None
    pixel_x: float | None = None
    pixel_y: float | None = None
    centre_x: float | None = None
    centre_y: float | None = None


def beamline(metadata: Mapping[str, Any]) -> Beamline:
    """Return what the metadata of an image say of the beamline.

    Examples
    --------
    >>> beamline({"Wavelength": 0.1839, "distance": "far"}).wavelength
    0.1839
    """
    known = {key.lower(): value for key, value in metadata.items() if _is_number(value)}
    return Beamline(
        *(
            next((known[name.lower()] for name in names if name.lower() in known), None)
            for names in ENTRIES.values()
        )
    )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)

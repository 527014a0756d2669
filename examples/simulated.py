"""A small diffraction beamline, simulated: detector, shutter, motor, furnace.

The detector always sees its dark current, and while the shutter is open, the rings of a
powder. The position of the sample changes the intensity. The temperature of the furnace
expands the lattice, so that the rings shrink (much more than in reality).
"""

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.sim import SynAxis, SynSignal

SHAPE = (128, 160)
"""Rows and columns of the detector."""

LATTICE = 5.47
"""Lattice parameter of UO2 at room temperature, roughly [angstrom]."""

REFLECTIONS = np.sqrt([3, 4, 8, 11, 12, 16, 19, 20])
"""Square root of h² + k² + l² of the first reflections of a face-centred lattice."""


def powder_rings(scale, temperature):
    """Return a powder pattern of shape SHAPE [counts]."""
    rows, columns = np.indices(SHAPE)
    radius = np.hypot(rows - SHAPE[0] / 2, columns - SHAPE[1] / 2)
    lattice = LATTICE * (1 + 2e-4 * (temperature - 300))
    rings = 85 * REFLECTIONS / lattice
    pattern = sum(
        900 / (n + 1) * np.exp(-(((radius - ring) / 0.9) ** 2))
        for n, ring in enumerate(rings)
    )
    return scale * (pattern + 40 * np.exp(-radius / 30))


class ImageSignal(SynSignal):
    """A simulated image that declares its dtype, as area detectors do."""

    def describe(self):
        described = super().describe()
        described[self.name]["dtype_numpy"] = np.asarray(self.get()).dtype.str
        return described


class Detector(Device):
    """An integrating detector that also reports its total counts.

    Parameters
    ----------
    dtype : str
        The dtype of the pixels. Detectors of this kind use uint16 or int32.
    """

    image = Cpt(ImageSignal)
    stats1_total = Cpt(SynSignal)
    images_per_set = Cpt(Signal, value=1, kind="config")

    def __init__(self, prefix="", *, name, expose, dtype="int32", **kwargs):
        super().__init__(prefix, name=name, **kwargs)
        self._expose = expose
        self._dtype = dtype
        self._random = np.random.default_rng(7)
        self.image.sim_set_func(self._frame)
        self.stats1_total.sim_set_func(self._total)
        self.image.trigger()

    def _frame(self):
        dark = self._random.poisson(110, SHAPE)
        light = self._random.poisson(np.maximum(self._expose(), 0))
        return (dark + light).astype(self._dtype)

    def _total(self):
        return int(self.image.get().sum())

    def trigger(self):
        self.image.trigger()
        return self.stats1_total.trigger()


class Shutter(Signal):
    """A shutter; 1 means open."""


shctl1 = Shutter(name="shctl1", value=1)
motor = SynAxis(name="sample_x")
furnace = SynAxis(name="temperature", value=300.0)


def exposure():
    """Return what reaches the detector now [counts]."""
    if not shctl1.get():
        return np.zeros(SHAPE)
    centred = np.exp(-((motor.readback.get() / 4) ** 2))
    return powder_rings(centred, furnace.readback.get())


def make_detector(name="pe1", dtype="int32"):
    """Return the detector that the cookbook calls pe1c."""
    return Detector(name=name, expose=exposure, dtype=dtype)

"""A simulated experiment: a powder is heated on a diffraction beamline.

The detector always has its dark current and hot pixels. With the shutter open it sees
the rings of a powder, which shrink as the lattice expands (more than in reality).
"""

from __future__ import annotations

import time as clock
from typing import TYPE_CHECKING, Any

import numpy as np
from event_model import compose_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (256, 256)

CENTRE = (120.0, 134.0)
"""Where the beam would hit the detector: row, column [pixels]."""

LATTICE = 3.524
"""Lattice parameter of nickel at room temperature [angstrom]."""

EXPANSION = 1.2e-4
"""Relative expansion of the lattice, about nine times that of nickel [1/K]."""

REFLECTIONS = np.sqrt([3, 4, 8, 11, 12, 16, 19, 20])
"""Square root of h² + k² + l² of the first reflections of a face-centred lattice."""

HEIGHTS = (1100, 550, 420, 480, 160, 90, 210, 190)
"""How strong they are [counts]."""

SCALE = 105.0
"""Radius of a ring whose reflection is as long as the lattice parameter [pixels]."""

HOT = 60
"""The number of hot pixels."""

EXPOSURE = 0.5
"""The time that an image takes [s]."""

PAUSE, POINT = 2.0, 10.0
"""The time for a dark frame, and for a point [s]."""


def heating_scan(
    temperatures: tuple[float, ...] = (300.0, 450.0, 600.0, 750.0, 900.0, 1050.0),
    *,
    scan_id: int = 42,
    time: float | None = None,
) -> list[tuple[str, dict[str, Any]]]:
    """Return the documents of a scan with dark frames, as a RunEngine emits them.

    The stream ``dark`` has a dark before the first point and one halfway, ``primary``
    an image ``pe1_image`` of 256 x 256 pixels (uint16) at each temperature.

    Parameters
    ----------
    temperatures : tuple of float
        One for each point [K].
    scan_id : int
    time : float, optional
        When the scan begins; by default so that it ends about now [s since 1970].

    Returns
    -------
    list of (name, document)

    Examples
    --------
    >>> from collections import Counter
    >>> print(*Counter(name for name, doc in heating_scan()).items())
    ('start', 1) ('descriptor', 2) ('event', 8) ('stop', 1)
    """
    lasts = 1 + 2 * PAUSE + POINT * len(temperatures)
    began = clock.time() - lasts if time is None else time
    beamline = _Beamline()
    run = compose_run(time=began, metadata=_metadata(scan_id, len(temperatures)))
    dark = run.compose_descriptor(name="dark", time=began + 0.1, **_detector())
    primary = run.compose_descriptor(
        name="primary", time=began + 0.2, **_detector(_temperature())
    )
    documents: list[tuple[str, Any]] = [
        ("start", run.start_doc),
        ("descriptor", dark.descriptor_doc),
        ("descriptor", primary.descriptor_doc),
    ]
    now = began + 1
    for n, temperature in enumerate(temperatures):
        if n in (0, len(temperatures) // 2):
            documents.append(("event", _event(dark, beamline.image(), now)))
            now += PAUSE
        data = beamline.image(temperature) | {"temperature": temperature}
        documents.append(("event", _event(primary, data, now)))
        now += POINT
    documents.append(("stop", run.compose_stop(time=now)))
    return [(name, dict(doc)) for name, doc in documents]


class _Beamline:
    """A detector that looks at a hot powder; its dark current rises slowly."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(42)
        rows, columns = np.indices(SHAPE)
        self._radius = np.hypot(rows - CENTRE[0], columns - CENTRE[1])
        self._dark = 80 + 20 * columns / SHAPE[1]
        places = self._random.integers(0, SHAPE[0], (2, HOT))
        self._dark[*places] = self._random.uniform(4_000, 30_000, HOT)

    def image(self, temperature: float | None = None) -> dict[str, Any]:
        """Return an image, and its sum; without a temperature, a dark one."""
        counts = self._random.poisson(self._dark)
        if temperature is not None:
            counts += self._random.poisson(self._powder(temperature))
        self._dark *= 1.002
        image = counts.astype(np.uint16)
        return {"pe1_image": image, "pe1_stats1_total": int(image.sum())}

    def _powder(self, temperature: float) -> NDArray[np.float64]:
        lattice = LATTICE * (1 + EXPANSION * (temperature - 300))
        width = 1.1 + temperature / 2000
        pattern = 45 * np.exp(-self._radius / 60)
        for ring, height in zip(SCALE * REFLECTIONS / lattice, HEIGHTS, strict=True):
            pattern += height * np.exp(-(((self._radius - ring) / width) ** 2))
        in_beamstop = self._radius < 9
        return np.where(in_beamstop, 0, pattern)


def _metadata(scan_id: int, points: int) -> dict[str, Any]:
    return {
        "scan_id": scan_id,
        "plan_name": "list_scan",
        "sample_name": "Ni powder",
        "proposal": "demo",
        "detectors": ["pe1"],
        "motors": ["temperature"],
        "num_points": points,
        "hints": {"dimensions": [[["temperature"], "primary"]]},
    }


def _detector(*others: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a descriptor that tell of the detector."""
    image = {"dtype": "array", "shape": [*SHAPE], "dtype_numpy": "<u2"}
    keys = {
        "pe1_image": {"source": "SIM:pe1:image", **image},
        "pe1_stats1_total": {"source": "SIM:pe1", "dtype": "integer", "shape": []},
    }
    configured = {
        "data": {"pe1_cam_acquire_time": EXPOSURE},
        "timestamps": {"pe1_cam_acquire_time": 0.0},
        "data_keys": {
            "pe1_cam_acquire_time": {
                "source": "SIM:pe1:cam",
                "dtype": "number",
                "shape": [],
                "units": "s",
            }
        },
    }
    objects = {"pe1": [*keys]}
    for other in others:
        keys |= other
        objects |= {name: [name] for name in other}
    return {
        "data_keys": keys,
        "configuration": {"pe1": configured},
        "object_keys": objects,
        "hints": {name: {"fields": [name]} for name in objects if name != "pe1"},
    }


def _temperature() -> dict[str, Any]:
    key = {"source": "SIM:furnace", "dtype": "number", "shape": [], "units": "K"}
    return {"temperature": key}


def _event(bundle: Any, data: dict[str, Any], time: float) -> dict[str, Any]:
    timestamps = dict.fromkeys(data, time)
    event: dict[str, Any] = bundle.compose_event(
        data=data, timestamps=timestamps, time=time, validate=False
    )
    return event

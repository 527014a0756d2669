"""Collect the metadata of each image for its file."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from tiffin.corrections import configuration_of
from tiffin.export.provenance import provenance_of
from tiffin.template import MISSING, find, follow, motor_names, plain, units_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.corrections import Notes
    from tiffin.frames import Frame
    from tiffin.settings import Settings

__all__ = ["Metadata"]

logger = logging.getLogger("tiffin")

EXPOSURES = ("acquire_time", "exposure_time", "count_time")
"""Endings of configuration keys with an exposure time: that of areaDetector, and those
of other devices."""

MOST_ELEMENTS = 1_000
"""The longest list or array that is written."""

MOST_LOGGED = 1_000


class Metadata:
    """Collects the metadata of images. Unknown values are left out.

    The same frame always gives the same metadata, without the time of the export or the
    version of tiffin.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._wanted = settings.metadata is not None
        self._changes = dict(settings.metadata or {})
        self._first = settings.first
        self._time = settings.template.style.time
        self._logged: set[tuple[str, str]] = set()

    def of(self, frame: Frame, notes: Notes) -> dict[str, Any]:
        """Return the metadata of a frame, as values for JSON.

        Parameters
        ----------
        frame : Frame
        notes : Notes
            The notes of its corrections.
        """
        done = provenance_of(notes)
        if not self._wanted:
            return done
        run, stream, field, seq_num, i = frame.id
        start = frame.start
        time, _ = frame.taken()
        found = {
            "run": run,
            "scan_id": start.get("scan_id"),
            "stream": stream,
            "field": field,
            "seq_num": seq_num,
            "i": i,
            "frame": frame.number,
            "kind": None if frame.kind == "light" else frame.kind,
            "time": self._iso(time) if time else None,
            "timestamp": time or None,
            "sample": _sample(start),
            "plan_name": start.get("plan_name"),
            "motors": _motors(frame) or None,
            "exposure": _exposure(frame),
            **done,
        }
        if self._changes:
            self._change(found, frame)
        metadata = {}
        for key, value in found.items():
            if value is None:
                continue
            try:
                metadata[key] = _as_json(value)
            except ValueError as error:
                self._log(run, key, error)
        return metadata

    def _change(self, found: dict[str, Any], frame: Frame) -> None:
        names = frame.names(self._first)
        for key, reference in self._changes.items():
            value = MISSING if reference is None else find(reference, names)
            found[key] = None if value is MISSING else plain(value)

    def _iso(self, time: float) -> str | None:
        try:
            return self._time(time).isoformat()
        except (ValueError, OverflowError, OSError):
            return None

    def _log(self, run: str, key: str, error: Exception) -> None:
        if (run, key) not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add((run, key))
            logger.warning("run %s: metadata %r is left out: %s", run[:8], key, error)


def _as_json(value: Any, depth: int = 0) -> Any:
    """Return a value for JSON; NaN and infinity become null.

    Raises
    ------
    ValueError
        If JSON has no such value.
    """
    value = plain(value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # a numpy array
        value = value.tolist() if value.size <= MOST_ELEMENTS else [0] * value.size
    if isinstance(value, (list, tuple)) and depth < 10:
        if len(value) > MOST_ELEMENTS:
            message = f"it has {len(value)} elements, and at most {MOST_ELEMENTS} are"
            raise ValueError(f"{message} written")
        return [_as_json(item, depth + 1) for item in value]
    if isinstance(value, dict) and depth < 10:
        return {str(key): _as_json(item, depth + 1) for key, item in value.items()}
    message = f"JSON can't hold {type(value).__name__}"
    raise ValueError(message)


def _sample(start: Mapping[str, Any]) -> Any:
    """Return the name of the sample: ``sample_name``, or ``sample`` or its name."""
    sample = start.get("sample_name") or start.get("sample")
    return follow(sample, "name") if isinstance(sample, dict) else sample


def _motors(frame: Frame) -> dict[str, dict[str, Any]]:
    """Return the value and the unit of each scanned motor."""
    names = {"descriptor": frame.descriptor}
    motors = {}
    for name in motor_names(frame.start):
        value = plain(follow(frame.event, "data", name))
        if value is not MISSING:
            unit = units_of(name, names)
            motors[name] = {"value": value, "unit": unit} if unit else {"value": value}
    return motors


def _exposure(frame: Frame) -> float | None:
    """Return the exposure time in the configuration of the detector [s]."""
    configuration = configuration_of(frame.descriptor, frame.field)
    for ending in EXPOSURES:
        for key, value in configuration.items():
            number = plain(value)
            if str(key).endswith(ending) and isinstance(number, (int, float)):
                return float(number)
    return None

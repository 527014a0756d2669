"""Collect the metadata of each image for its file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.corrections import configuration_of
from tiffin.export.json_values import as_json
from tiffin.template import (
    MISSING,
    find,
    follow,
    motor_names,
    plain,
    sample_of,
    unbraced,
    units_of,
    why_missing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tiffin.corrections import Notes
    from tiffin.frames import Frame
    from tiffin.settings import Settings

logger = logging.getLogger("tiffin")

EXPOSURES = ("acquire_time", "exposure_time", "count_time")
"""Endings of configuration keys with an exposure time: that of areaDetector, and those
of other devices."""

MOST_LOGGED = 1_000

MOST_SHARED = 100
"""How many streams and fields have their metadata ready."""


class _Shared(NamedTuple):
    """The metadata that the frames of a stream and field share."""

    start: Mapping[str, Any]  # the documents that it is from
    descriptor: Mapping[str, Any]
    identity: dict[str, Any]
    about: dict[str, Any]
    exposure: dict[str, Any]
    units: dict[str, str]  # of each scanned motor


class Metadata:
    """Collects the metadata of images. Unknown values are left out.

    The same frame always gives the same metadata, without the time of the export or the
    version of tiffin.
    """

    def __init__(self, settings: Settings) -> None:
        self._wanted = settings.metadata is not None
        self._changes = dict(settings.metadata or {})
        self._first = settings.first
        self._time = settings.template.style.time
        self._shared: dict[tuple[str | None, ...], _Shared] = {}
        self._logged: set[tuple[str, str]] = set()

    def of(self, frame: Frame, notes: Notes) -> dict[str, Any]:
        """Return the metadata of a frame, with the notes of its corrections."""
        if not self._wanted:
            return _provenance_of(notes)
        shared = self._shared_with(frame)
        _, _, _, seq_num, i = frame.id
        metadata = shared.identity.copy()
        if seq_num is not None:
            metadata["seq_num"] = seq_num
        if i is not None:
            metadata["i"] = i
        if frame.number is not None:
            metadata["frame"] = frame.number
        if frame.kind is not None and frame.kind != "light":
            metadata["kind"] = frame.kind
        time, _ = frame.taken()
        if time:
            in_zone = iso_time(self._time, time)
            if in_zone is not None:
                metadata["time"] = in_zone
            metadata["timestamp"] = time
        metadata |= shared.about
        if shared.units:
            metadata |= self._motors(frame, shared.units)
        metadata |= shared.exposure
        if notes.steps:
            metadata |= self._as_json(frame.run, _provenance_of(notes))
        if self._changes:
            self._change(metadata, frame)
        return metadata

    def _shared_with(self, frame: Frame) -> _Shared:
        """Return what the frames of a stream and field share; it is collected once."""
        key = frame.id[:3]
        shared = self._shared.get(key)
        if (
            shared is None
            or shared.start is not frame.start
            or shared.descriptor is not frame.descriptor
        ):
            if len(self._shared) >= MOST_SHARED:
                self._shared.clear()
            shared = self._shared[key] = self._collected(frame)
        return shared

    def _collected(self, frame: Frame) -> _Shared:
        start, descriptor = frame.start, frame.descriptor
        identity = {
            "run": frame.run,
            "scan_id": start.get("scan_id"),
            "stream": frame.stream,
            "field": frame.field,
        }
        about = {"sample": sample_of(start), "plan_name": start.get("plan_name")}
        names = {"descriptor": descriptor}
        return _Shared(
            start,
            descriptor,
            self._as_json(frame.run, identity),
            self._as_json(frame.run, about),
            self._as_json(frame.run, {"exposure": _exposure(frame)}),
            {motor: units_of(motor, names) for motor in motor_names(start)},
        )

    def _change(self, metadata: dict[str, Any], frame: Frame) -> None:
        """Add and remove the entries that the user asks for."""
        names = frame.names(self._first)
        for key, reference in self._changes.items():
            value = MISSING if reference is None else find(reference, names)
            if reference is not None and value is MISSING:
                reason = f"{reference} {unbraced(why_missing(reference, names))}"
                self._log(frame.run, key, f"is left out: {reason}")
            changed = self._as_json(frame.run, {key: plain(value)})
            if changed:
                metadata |= changed
            else:
                metadata.pop(key, None)

    def _as_json(self, run: str, found: dict[str, Any]) -> dict[str, Any]:
        """Return entries as JSON has them, without those that it can't hold."""
        metadata = {}
        for key, value in found.items():
            if value is None or value is MISSING:
                continue
            try:
                metadata[key] = self._value(run, key, value)
            except ValueError as error:
                self._log(run, key, f"is left out: {error}")
        return metadata

    def _value(self, run: str, key: str, value: Any) -> Any:
        """Return a value for JSON, and say if there is null in place of a number."""
        found, lost = as_json(value)
        if lost is not None:
            self._log(run, key, f"has null in place of {lost}: JSON has no such number")
        return found

    def _motors(self, frame: Frame, units: Mapping[str, str]) -> dict[str, Any]:
        """Return an entry with the value and the unit of each scanned motor."""
        motors = {}
        for name, unit in units.items():
            found = follow(frame.event, "data", name)
            if found is MISSING:
                continue
            try:
                value = self._value(frame.run, name, found)
            except ValueError as error:
                self._log(frame.run, name, f"is left out: {error}")
                continue
            motors[name] = {"value": value, "unit": unit} if unit else {"value": value}
        return {"motors": motors} if motors else {}

    def _log(self, run: str, key: str, message: str) -> None:
        if (run, key) not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add((run, key))
            logger.warning("run %s: metadata %r %s", run[:8], key, message)


def iso_time(to_zone: Callable[[float], datetime], time: float) -> str | None:
    """Return a time [s since 1970] as ISO 8601 with its zone; None if there is none."""
    try:
        return to_zone(time).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _provenance_of(notes: Notes) -> dict[str, Any]:
    """Return how an image was corrected; nothing if it was not."""
    if not notes.steps:
        return {}
    done: dict[str, Any] = {"corrections": notes.steps}
    if notes.used:
        done["used"] = notes.used
    if notes.clipped:
        done["clipped"] = notes.clipped
    return done


def _exposure(frame: Frame) -> float | None:
    """Return the exposure time in the configuration of the detector [s]."""
    configuration = configuration_of(frame.descriptor, frame.field)
    for ending in EXPOSURES:
        for key, value in configuration.items():
            number = plain(value)
            if str(key).endswith(ending) and type(number) in (int, float):
                return float(number)
    return None

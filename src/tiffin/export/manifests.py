"""Write the manifests of an export, and look up lines of earlier exports.

This module makes the lines; `tiffin.engine` writes them in order.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin import __version__
from tiffin.corrections import describe
from tiffin.dtypes import dtype_name
from tiffin.engine import FOLDER, SCHEMA, Manifest, ManifestFile, read_manifest
from tiffin.errors import ReadError, ResumeError, SupersededError
from tiffin.export.publisher import caused_by
from tiffin.json_text import json_text
from tiffin.obstacles import obstacle
from tiffin.settings import format_frames, resume_settings
from tiffin.template import portable_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.corrections import Notes
    from tiffin.export.output_file import Published
    from tiffin.frames import Frame
    from tiffin.records import Record
    from tiffin.settings import Settings
    from tiffin.writers import Written

T = TypeVar("T")

COMPARED = ("template", *resume_settings())
"""The settings that must be the same for an export to be resumed."""


MOST_OPEN = 100
"""How many manifests have their file open, and how many of earlier exports are kept. A
replay may have more runs than a process may have files."""


class Manifests:
    """The manifests of an export, one file for each run. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._values = settings_of(settings)
        self._id = settings_id(self._values)
        self._open: dict[str, Manifest] = {}
        self._recent: dict[str, Manifest] = {}  # those whose file is open
        # JSON has no tuples: compare what both would say in a file.
        self._ours = json.loads(json_text(self._values))
        self._earlier: dict[str, ManifestFile | None] = {}
        self._same_settings: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self.on = not (settings.dry_run or settings.compare or settings.hooks)
        """Whether lines are wanted."""

    def expect(self, run: str, group: int, *, writes: bool) -> None:
        """Reserve the place of a group among the lines of its run."""
        if self.on:
            self._manifest(run).expect(group, writes=writes)

    def add(self, run: str, lines: list[tuple[int, str]]) -> None:
        """Add the lines of groups of a run."""
        if not self.on:
            return
        manifest = self._manifest(run)
        manifest.add(lines)
        with self._lock:
            self._recent.pop(run, None)
            self._recent[run] = manifest
            idle = _oldest(self._recent)
        if idle is not None:
            idle.release()

    def line(
        self,
        frame: Frame,
        record: Record,
        name: str,
        done: Published | None,
        notes: Notes | None = None,
        page: int = 0,
    ) -> str:
        """Return the line of a file and its sidecar, or of a frame that has none."""
        _, stream, field, seq_num, i = frame.id
        line: dict[str, Any] = {
            "kind": "file",
            "settings": self._id,
            "status": record.status if done is None else "written",
            "path": name,
            "stream": stream,
            "field": field,
            "frames": [(seq_num, i, page)],
            "frame": frame.number,
            "event": record.event,
            "time": frame.taken()[0] or None,
            "shape": record.shape,
            "dtype": None if record.dtype is None else dtype_name(record.dtype),
        }
        if frame.kind is not None:
            line["image"] = frame.kind
        if notes is not None and notes.clipped:
            line["clipped"] = notes.clipped
        if notes is not None and notes.used:
            line["used"] = notes.used
        if done is not None:
            line["bytes"], line["checksum"] = done.file
        elif record.error is not None:
            if record.status == "skipped" and isinstance(record.error, SupersededError):
                line["superseded"] = True
            line["error"] = str(record.error)
        if done is None or done.sidecar is None or self._settings.sidecar is None:
            return _line(line)
        beside, (nbytes, checksum) = name + self._settings.sidecar.suffix, done.sidecar
        line["sidecar"] = {"path": beside, "bytes": nbytes, "checksum": checksum}
        return _line(line)

    def sidecar_line(self, record: Record, name: str, written: Written) -> str:
        """Return the line of a sidecar."""
        line = {
            "kind": "sidecar",
            "settings": self._id,
            "status": "written",
            "path": name,
            "stream": record.stream,
            "field": record.field,
            "bytes": written.nbytes,
            "checksum": written.checksum,
        }
        return _line(line)

    def earlier(self, run: str) -> ManifestFile | None:
        """Return the manifest of earlier exports of a run; the newest are kept."""
        with suppress(KeyError):
            return self._earlier[run]
        path = self._settings.directory / FOLDER / self._name(run)
        found = None
        with suppress(FileNotFoundError):
            found = read_manifest(path)
        with self._lock:
            self._earlier[run] = found
            _oldest(self._earlier)
        return found

    def listed(self, run: str, name: str) -> Mapping[str, Any] | None:
        """Return the line of a file, if it was exported with the same settings."""
        earlier = self.earlier(run)
        line = None if earlier is None else earlier.files.get(name)
        if earlier is None or line is None:
            return None
        if run not in self._same_settings:
            self._same_settings[run] = tuple(
                key
                for key, theirs in earlier.settings.items()
                if not self._differ(theirs)
            )
        return line if line.get("settings") in self._same_settings[run] else None

    def forget(self, run: str) -> None:
        """Read the manifest of a run again when it is next used."""
        self._earlier.pop(run, None)
        self._same_settings.pop(run, None)

    def refusal(self, run: str) -> ResumeError | ReadError | None:
        """Return an error if a run can't be resumed with these settings."""
        if self._settings.existing != "resume":
            return None
        try:
            earlier = self.earlier(run)
        except OSError as error:
            name = f"{self._settings.directory}/{FOLDER}/{self._name(run)}"
            why = obstacle(self._settings.directory) or error.strerror or error
            return caused_by(ReadError(f"{name} can't be read: {why}"), error)
        if earlier is None or not earlier.settings:
            return None
        for theirs in reversed(list(earlier.settings.values())):
            differences = self._differ(theirs)
            if not differences:
                return None
        message = (
            f"run {run[:8]} can't be resumed in {self._settings.directory}: "
            + "; ".join(differences)
            + ". Give the settings that were used, or another directory, or export "
            "anew with existing='replace'"
        )
        return ResumeError(message)

    def _differ(self, theirs: Mapping[str, Any]) -> list[str]:
        ours = self._ours
        return [
            f"{key} was {_brief(theirs.get(key))}, is {_brief(ours.get(key))}"
            for key in COMPARED
            if theirs.get(key) != ours.get(key)
        ]

    def close(self, run: str | None = None) -> None:
        """Append remaining lines and close the files: of one run, or of all."""
        with self._lock:
            runs = list(self._open) if run is None else [run]
            closing = [self._open.pop(r) for r in runs if r in self._open]
            for ended in runs:
                self._recent.pop(ended, None)
        for ended in runs:
            self.forget(ended)
        with ExitStack() as stack:  # closes all, even if one raises
            for manifest in closing:
                stack.callback(manifest.close)

    def _manifest(self, run: str) -> Manifest:
        with self._lock:
            if run not in self._open:
                head = {
                    "kind": "settings",
                    "schema": SCHEMA,
                    "tiffin": __version__,
                    "run": run,
                    "id": self._id,
                    "settings": self._values,
                }
                self._open[run] = Manifest(
                    self._settings.folders,
                    self._name(run),
                    _line(head),
                    sync=self._settings.fsync != "none",
                    mode=self._settings.mode,
                )
            return self._open[run]

    def _name(self, run: str) -> str:
        return f"{portable_text(run) or '_'}.jsonl"


def _oldest(kept: dict[str, T]) -> T | None:
    """Remove and return the oldest value, if there are too many."""
    return kept.pop(next(iter(kept))) if len(kept) > MOST_OPEN else None


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 200
_brief = _repr.repr
"""Shortens values of a manifest for messages."""


def settings_id(values: Mapping[str, Any]) -> str:
    """Return a short name of settings: the same values have the same one."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def settings_of(settings: Settings) -> dict[str, Any]:
    """Return the settings that affect which files there are, and what is in them."""
    style = settings.template.style
    return {
        "template": settings.template.text,
        "fields": settings.fields,
        "streams": settings.streams,
        "corrections": [describe(step) for step in settings.corrections],
        "format": None if settings.format == "tiff" else settings.format,
        "profile": settings.profile,
        "stack": settings.stack,
        "bigtiff": settings.bigtiff or None,
        "metadata": None
        if settings.metadata is None
        else {key: str(entry or "") for key, entry in settings.metadata.items()},
        "compression": settings.compression,
        "level": settings.level,
        "stretch": settings.stretch,
        "dtype": None if settings.dtype is None else settings.dtype.name,
        "timezone": style.zone_name,
        "name_policy": style.policy,
        "replacements": dict(style.replacements),
        "colour": settings.image_axes.colour,
        "axes": settings.image_axes.as_text,
        "first": settings.first or None,
        "repeats": None if settings.repeats == "last" else settings.repeats,
        "frames": format_frames(settings.frames),
        "sidecars": settings.sidecars or None,
        "report": settings.report or None,
    }


def _line(values: dict[str, Any]) -> str:
    return json_text(values).decode() + "\n"

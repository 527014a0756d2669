"""Give frames their names, and claim these, before any pixel is read."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.engine import Claims
from tiffin.errors import (
    CollisionError,
    ExistsError,
    NoImageError,
    TemplateError,
    WriteError,
)
from tiffin.records import Record
from tiffin.template import indistinct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiffin.assemble import Announced
    from tiffin.engine import Ledger
    from tiffin.engine.ledger import Place
    from tiffin.export.settings import Export
    from tiffin.frames import Frame
    from tiffin.records import Status

__all__ = ["Named", "Namer", "record_of"]


@dataclass(frozen=True, slots=True)
class Named:
    """A frame with its place in the ledger, and the path to write it to, if it may be.

    Attributes
    ----------
    frame : Frame
    place : (int, int)
    path : pathlib.Path or None
        None where the frame's record says already why nothing is to be written.
    """

    frame: Frame
    place: Place
    path: Path | None


class Namer:
    """Names frames, and puts a record for each: planned, or already ended."""

    def __init__(self, settings: Export, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._claims = Claims()
        self._refused: dict[tuple[str, str | None], TemplateError] = {}

    def check_start(self, start: Mapping[str, Any]) -> TemplateError | None:
        """Tell at its start document what every name of a run would fail with."""
        try:
            self._settings.template.check_start(start)
        except TemplateError as error:
            self._ledger.say(str(start["uid"]), error)
            return error
        return None

    def check_descriptor(
        self, announced: Announced, *, live: bool
    ) -> TemplateError | None:
        """Tell at its descriptor what every name of a stream would fail with.

        Live, names that can't tell the announced frames apart are refused as well; a
        replay knows the frames themselves.
        """
        descriptor, start = announced.descriptor, announced.start
        found: TemplateError | None = None
        for field, images in announced.images.items():
            try:
                self._settings.template.check_descriptor(descriptor, start)
                if live:
                    self._check_distinct(start, images, len(announced.images))
            except TemplateError as error:
                self._refused[str(descriptor["uid"]), field] = error
                self._ledger.say(str(start["uid"]), error, field)
                found = found or error
        return found

    def _check_distinct(
        self, start: Mapping[str, Any], images: int, fields: int
    ) -> None:
        template = self._settings.template
        events = start.get("num_points")
        if not isinstance(events, int):
            events = None
        mend = indistinct(template.fields, events=events, images=images, fields=fields)
        if mend is not None:
            many = {
                "{i}": f"the {images} images of an event",
                "{field}": f"the images of {fields} fields",
            }
            message = (
                f"template {template.text!r} gives one name to "
                f"{many.get(mend, f'all {events} events')}: add {mend}"
            )
            raise TemplateError(message)

    def name(self, group: list[Frame]) -> list[Named]:
        """Name the frames of one event and field."""
        first = self._ledger.new_group()
        rendered = [self._render(frame) for frame in group]
        times = Counter(name for name in rendered if isinstance(name, str))
        return [
            self._settle(frame, (first, n), name, shared=times.get(str(name), 0) > 1)
            for n, (frame, name) in enumerate(zip(group, rendered, strict=True))
        ]

    def name_one(self, frame: Frame, place: Place) -> Named:
        """Name a frame that turned up beside those of its event."""
        return self._settle(frame, place, self._render(frame), shared=False)

    def refuse_contested(self, item: Named) -> Named:
        """Take the name from a frame if another wanted it too."""
        if item.path is None:
            return item
        name = item.path.relative_to(self._settings.root).as_posix()
        if not self._claims.is_contested(name):
            return item
        message = (
            f"{name!r} is the name of several frames: tell them apart in the template, "
            f"as with {{event.seq_num}}, {{stream}}, {{field}} or {{i}}"
        )
        self._ledger.settle(item.place, "failed", CollisionError(message))
        return replace(item, path=None)

    def _render(self, frame: Frame) -> str | TemplateError:
        refused = self._refused.get((str(frame.descriptor.get("uid")), frame.field))
        if refused is not None:
            return refused
        try:
            return self._settings.template.render(frame.names())
        except TemplateError as error:
            return error

    def _settle(
        self, frame: Frame, place: Place, name: str | TemplateError, *, shared: bool
    ) -> Named:
        path = None if isinstance(name, TemplateError) else self._settings.root / name
        error = frame.problem or self._refusal(frame, place, name, shared=shared)
        if error is None:
            self._ledger.put(place, record_of(frame, "planned", path=path))
            return Named(frame, place, path)
        status: Status = "failed"
        if isinstance(error, NoImageError):
            status, path = "skipped", None
        elif isinstance(error, ExistsError) and self._settings.existing == "skip":
            status = "skipped"
        if frame.seq_num is None:
            path = None
        self._ledger.put(place, record_of(frame, status, path=path, error=error))
        return Named(frame, place, None)

    def _refusal(
        self, frame: Frame, place: Place, name: str | TemplateError, *, shared: bool
    ) -> Exception | None:
        """Say why a frame may not have its name; None, and it has it."""
        if isinstance(name, TemplateError):
            return name
        if shared:
            message = (
                f"event {frame.seq_num} holds several images of {frame.field!r}, all "
                f"named {name!r}: add {{i}} to the template"
            )
            return CollisionError(message)
        try:
            self._claims.take(name, _Owner.of(frame, place))
        except CollisionError as error:
            return error
        path = self._settings.root / name
        if os.path.isdir(path):  # noqa: PTH112 (this one never raises)
            return WriteError(f"{path} is a folder: no file can have that name")
        if self._settings.existing != "replace" and os.path.lexists(path):
            return ExistsError.at(path)
        return None


class _Owner(NamedTuple):
    """Who claims a name, and says so in a collision's message."""

    run: str
    stream: str | None
    field: str | None
    seq_num: int | None
    place: Place  # a run that is given twice owns none of its names

    @classmethod
    def of(cls, frame: Frame, place: Place) -> _Owner:
        return cls(frame.run, frame.stream, frame.field, frame.seq_num, place)

    def __str__(self) -> str:
        return (
            f"event {self.seq_num} of field {self.field!r}, stream {self.stream!r}, "
            f"run {self.run[:8]}"
        )


def record_of(frame: Frame, status: Status, **more: Any) -> Record:
    """Begin a record with what the frame tells of itself.

    Parameters
    ----------
    frame : Frame
    status : {"written", "skipped", "failed", "planned"}
    **more
        Other attributes of the `Record`, which override the frame's.
    """
    told: dict[str, Any] = {
        "path": None,
        "run": frame.run,
        "stream": frame.stream,
        "field": frame.field,
        "seq_num": frame.seq_num,
        "i": frame.i,
        "shape": frame.shape,
        "dtype": frame.dtype,
        "event": frame.event.get("uid"),
    }
    return Record(status=status, **(told | more))

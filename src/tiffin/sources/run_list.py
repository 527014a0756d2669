"""Summarize runs: what a user calls them, and which images they have."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import BASELINE, Assembler, LateDocuments
from tiffin.errors import SourceError, TiffinError
from tiffin.sources.source_types import Documents, open_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tiffin.frames import Frame


PRIMARY = "primary"
"""The stream that is exported by default."""


@dataclass(slots=True)
class ImageField:
    """The images of one stream and field."""

    stream: str
    name: str
    shape: tuple[int, ...] | None = None
    """(rows, columns), with samples last if colour; None if not known."""
    dtype: str | None = None
    frames: int = 0
    per_event: int = 0
    """The most images of an event."""

    def add(self, frame: Frame) -> None:
        """Count a frame; look at the first one if the descriptor does not tell all."""
        shape, dtype = frame.shape, frame.dtype
        if not self.frames and (shape is None or dtype is None):
            with suppress(TiffinError):  # an export reports it
                images = frame.images()
                shape = shape or tuple(images.shape[1:])
                dtype = dtype or np.asarray(images[frame.i or 0]).dtype
        self.shape = self.shape or shape
        self.dtype = self.dtype or (None if dtype is None else dtype.name)
        self.frames += 1
        self.per_event = max(self.per_event, (frame.i or 0) + 1)


@dataclass(slots=True)
class RunSummary:
    """A run: its start document, fields and images."""

    start: Mapping[str, Any]
    names: dict[str, Any]
    """The values that a template may name, for the first image, of the stream
    ``primary`` if it has one; for the run if it has no image."""
    fields: dict[str, list[str]] = field(default_factory=dict)
    """Stream → its fields, images or not."""
    images: dict[tuple[str, str], ImageField] = field(default_factory=dict)
    """By stream and field."""
    problems: list[str] = field(default_factory=list)
    """Why images are missing, each reason once."""

    def add(self, frame: Frame) -> None:
        """Add an image, or the reason why there is none."""
        if frame.i is None:
            problem = str(frame.problem)
            if frame.field is not None and problem not in self.problems:
                self.problems.append(problem)
            return
        key = str(frame.stream), str(frame.field)
        images = self.images.setdefault(key, ImageField(*key))
        is_better = frame.stream == PRIMARY and self.names.get("stream") != PRIMARY
        if is_better or not any(each.frames for each in self.images.values()):
            self.names = frame.names()
        images.add(frame)

    def add_descriptor(
        self, descriptor: Mapping[str, Any], image_fields: Iterable[str]
    ) -> None:
        """Add the fields of a stream."""
        stream = str(descriptor.get("name"))
        fields = self.fields.setdefault(stream, [])
        fields += [f for f in descriptor.get("data_keys", ()) if f not in fields]
        for name in image_fields:
            self.images.setdefault((stream, name), ImageField(stream, name))
        if stream != BASELINE:
            self.names.setdefault("descriptor", descriptor)


def summaries(source: Any, **how: Any) -> list[RunSummary]:
    """Return a summary of each run of a source, in its order.

    What can be read of a source that breaks off is summarized. `how` are keywords of
    `open_source`.
    """
    runs: dict[str, RunSummary] = {}
    problems = []
    for part in open_source(source, **how).parts:
        try:
            _summarize(part, runs)
        except SourceError as error:
            problems.append(error)
    if problems and not runs:
        raise problems[0]
    return [*runs.values()]


def first_image(source: Any) -> Mapping[str, Any]:
    """Return the values that a template may name, for the first image of a source."""
    documents = open_source(source)
    assembler = _assembler(LateDocuments.scan(_unbroken(documents)))
    frames = (frame for name, doc in documents for frame in assembler(name, doc))
    for frame in chain(frames, assembler.finish()):
        if frame.i is not None:
            return frame.names()
    message = "the run of the example holds no image"
    raise SourceError(message)


def _summarize(part: Documents, runs: dict[str, RunSummary]) -> None:
    """Add the runs of a part of a source, up to where it breaks off."""
    late = LateDocuments.scan(_unbroken(part))
    assembler = _assembler(late)
    owners: dict[str, RunSummary] = {}  # by the uid of a descriptor

    def add(frames: Iterable[Frame]) -> None:
        for frame in frames:
            if frame.id.run in runs:
                runs[frame.id.run].add(frame)

    try:
        for name, doc in part:
            if name == "start":
                uid = str(doc.get("uid"))
                known = {
                    "stop": late.stops.get(uid, {}),
                    "baseline": late.baselines.get(uid, {}),
                }
                runs.setdefault(uid, RunSummary(doc, {"start": doc, **known}))
            add(assembler(name, doc))
            run = runs.get(str(doc.get("run_start")))
            if name == "descriptor" and run is not None:
                owners[str(doc.get("uid"))] = run
                declared = assembler.declared_images(doc)
                run.add_descriptor(doc, () if declared is None else declared.images)
            elif name == "event" and str(doc.get("descriptor")) in owners:
                owners[str(doc["descriptor"])].names.setdefault("event", doc)
    finally:
        add(assembler.finish())
        assembler.close()


def _assembler(late: LateDocuments) -> Assembler:
    return Assembler(fields=None, streams=None, join_events=True, late_documents=late)


def _unbroken(documents: Documents) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return what comes before a source breaks off: its first image may be there."""
    with suppress(SourceError):
        yield from documents

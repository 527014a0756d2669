"""Bind the corrections of an export to its runs, and look up what they need."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tiffin.array_images import images_in
from tiffin.assemble import Assembler, ListDtypes
from tiffin.corrections import (
    BoundCorrection,
    BoundDark,
    Correction,
    DarkSubtract,
    FlatField,
    FrameCombiner,
    ImageKind,
    Nearest,
    Notes,
    ReferenceImages,
    bind,
    configuration_of,
    correct,
)
from tiffin.dtypes import refuse_masked
from tiffin.errors import NoImageError, SourceError
from tiffin.export.combined_pixels import CombinedPixels
from tiffin.readers import RootMap, read_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tiffin.axes import Axes
    from tiffin.export.combined_pixels import Correct
    from tiffin.frames import Frame


class FindRun(Protocol):
    """Finds other runs in a catalogue, by default in that of the export."""

    def __call__(
        self, catalog: Any, uid: str, /
    ) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Return the documents of a run."""
        ...

    def nearest_runs(
        self, catalog: Any, query: Nearest, light: Mapping[str, Any], /
    ) -> Iterator[Mapping[str, Any]]:
        """Return the start documents that match a query, nearest to a light first."""
        ...


class RunCorrections:
    """Binds corrections to runs, and collects the streams with darks and flat fields.

    `find_run` finds the documents of other runs; `roots` are for files recorded on
    another mount. Thread-safe, except `feed`.
    """

    def __init__(
        self,
        steps: Sequence[Correction],
        find_run: FindRun | None = None,
        roots: RootMap | None = None,
        axes: Axes | None = None,
    ) -> None:
        self._steps = steps
        self._axes = axes
        self.combiners = tuple(
            step for step in steps if isinstance(step, FrameCombiner)
        )
        """The corrections that combine frames, in order."""
        self.subtracts = any(isinstance(step, DarkSubtract) for step in steps)
        """Whether a dark is subtracted."""
        self._find_run = find_run
        self._roots = roots
        self._bound: dict[str, list[BoundCorrection]] = {}
        self._views: dict[str, _View] = {}
        self._whole: set[str] = set()
        self._lock = threading.RLock()
        self.streams = tuple(s for step in steps for s in getattr(step, "streams", ()))
        """The streams with darks and flat fields."""
        self._assembler = (
            Assembler(fields=None, streams=self.streams, roots=roots, axes=self._axes)
            if self.streams
            else None
        )

    @property
    def looks_ahead(self) -> bool:
        """Whether a correction uses later images of a stream."""
        steps = (s for s in self._steps if isinstance(s, (DarkSubtract, FlatField)))
        return any(step.order != "before" and step.streams for step in steps)

    def look_ahead(self, name: str, doc: Mapping[str, Any]) -> None:
        """Process a document of a replay in advance."""
        if name == "start":
            self._whole.add(str(doc.get("uid")))
        self.feed(name, doc)

    def feed(self, name: str, doc: Mapping[str, Any]) -> None:
        """Collect the darks and flat fields of a document."""
        if self._assembler is None:
            return
        groups: dict[int, list[Frame]] = {}
        for frame in self._assembler(name, doc):
            if frame.seq_num is not None and not _is_empty(frame):
                source = frame.pixels or frame.problem
                groups.setdefault(id(source), []).append(frame)
        for frames in groups.values():
            self._view(frames[0]).note(_reference(frames[0]))

    def kind(self, frame: Frame) -> ImageKind:
        """Return the kind of a frame: light, dark, or subtracted.

        A TiffinError is raised if that is not known, or the frame can't be exported.
        """
        for bound in self._of(frame):
            if isinstance(bound, BoundDark):
                return bound.kind(frame)
        return "light"

    def darks(self, frame: Frame) -> Sequence[Frame]:
        """Return the darks of a light as frames."""
        return [
            reference.frame
            for bound in self._of(frame)
            if isinstance(bound, BoundDark)
            for reference in bound.references(frame)
            if reference.frame is not None
        ]

    def __call__(self, image: np.ndarray, frame: Frame, notes: Notes) -> np.ndarray:
        """Correct an image; a combined image with the remaining corrections."""
        pixels, steps = frame.pixels, self._of(frame)
        if not isinstance(pixels, CombinedPixels):
            if frame.kind == "dark":  # darks are not combined
                steps = [step for step in steps if not isinstance(step, FrameCombiner)]
            return correct(image, frame, steps, notes)
        pixels.tell(notes)
        image = correct(image, frame, self._part(frame, len(self.combiners)), notes)
        pixels.let_go()
        return image

    def before(self, number: int) -> Correct:
        """Return the corrections before the n-th combination, as a function."""

        def act(image: np.ndarray, frame: Frame, notes: Notes) -> np.ndarray:
            return correct(image, frame, self._part(frame, number), notes)

        return act

    def _part(self, frame: Frame, number: int) -> Sequence[BoundCorrection]:
        """Return the corrections between two combinations."""
        steps = self._of(frame)
        ends = [k for k, step in enumerate(steps) if isinstance(step, FrameCombiner)]
        begins = [0, *(k + 1 for k in ends)]
        return steps[begins[number] : [*ends, len(steps)][number]]

    def end_run(self, run: str) -> None:
        """Forget a run."""
        with self._lock:
            self.close()
            self._bound.pop(run, None)
            self._views.pop(run, None)
            self._whole.discard(run)

    def close(self) -> None:
        """Close the files of darks and flat fields; reading opens them again."""
        with self._lock:
            if self._assembler is not None:
                self._assembler.close()
            for view in self._views.values():
                view.close()

    def end_runs(self, run: str, is_open: Callable[[str], bool]) -> None:
        """Forget a run, and other runs that only gave darks.

        Runs that a replay has processed in advance stay.
        """
        with self._lock:
            for of in {*self._bound, *self._views}:
                if of == run or not (is_open(of) or of in self._whole):
                    self.end_run(of)

    def _of(self, frame: Frame) -> Sequence[BoundCorrection]:
        """Return the corrections that are bound to the run of a frame."""
        with self._lock:
            if frame.run not in self._bound:
                view = self._view(frame)
                self._bound[frame.run] = [bind(step, view) for step in self._steps]
            return self._bound[frame.run]

    def _view(self, frame: Frame) -> _View:
        with self._lock:
            if frame.run not in self._views:
                self._views[frame.run] = _View(
                    frame.start,
                    self._find_run,
                    self._roots,
                    self._axes,
                    is_whole=frame.run in self._whole,
                )
            return self._views[frame.run]


class _View:
    """What corrections can look up for one run."""

    def __init__(
        self,
        start: Mapping[str, Any],
        find_run: FindRun | None,
        roots: RootMap | None,
        axes: Axes | None,
        *,
        is_whole: bool,
    ) -> None:
        self._axes = axes
        self.is_whole = is_whole
        self._start = start
        self._find_run = find_run
        self._roots = roots
        self._streams: dict[
            tuple[str | None, str | None], dict[Any, ReferenceImages]
        ] = {}
        self._others: list[Assembler] = []

    @property
    def start(self) -> Mapping[str, Any]:
        return self._start

    def close(self) -> None:
        for assembler in self._others:
            assembler.close()

    def note(self, dark: tuple[Any, str | None, ReferenceImages]) -> None:
        """Add an image of a stream, once."""
        event, field, reference = dark
        kept = self._streams.setdefault((reference.stream, field), {})
        kept.setdefault(event, reference)

    def of_stream(self, stream: str, field: str | None) -> Sequence[ReferenceImages]:
        found = self._streams.get((stream, field), {})
        return sorted(found.values(), key=lambda reference: reference.time)

    def of_file(self, path: str) -> ReferenceImages:
        images = read_images(path)
        return ReferenceImages(read=lambda: images, name=path)

    def nearest_runs(self, query: Nearest, catalog: Any) -> Iterator[Mapping[str, Any]]:
        if self._find_run is None:
            message = f"{query!r} can't be looked up: there is no catalogue"
            raise SourceError(message)
        return self._find_run.nearest_runs(catalog, query, self._start)

    def of_run(
        self, uid: str, field: str | None, catalog: Any
    ) -> Sequence[ReferenceImages]:
        if self._find_run is None:
            message = f"run {uid[:8]} can't be looked up: there is no catalogue"
            raise SourceError(message)
        fields = None if field is None else (field,)
        assembler = Assembler(
            fields=fields,
            streams=None,
            dtypes=ListDtypes(),
            roots=self._roots,
            axes=self._axes,
        )
        self._others.append(assembler)
        found: dict[int, ReferenceImages] = {}
        for name, doc in self._find_run(catalog, uid):
            for frame in assembler(name, doc):
                if frame.problem is not None and frame.seq_num is None:
                    raise frame.problem
                if frame.stream == "primary" and not _is_empty(frame):
                    if frame.problem is not None:
                        raise frame.problem
                    found.setdefault(id(frame.pixels), _reference(frame)[2])
        return list(found.values())


def _is_empty(frame: Frame) -> bool:
    """Return whether an event has no image, which does not make a dark fail."""
    return isinstance(frame.problem, NoImageError)


def _reference(frame: Frame) -> tuple[Any, str | None, ReferenceImages]:
    """Return the images of an event as images to correct with."""
    pixels, problem = frame.pixels, frame.problem
    read: list[np.ndarray] = []

    def images() -> np.ndarray:
        if pixels is None:
            raise problem or ValueError("this frame has no pixels")
        if not read:
            side_by_side = images_in(pixels.open(), pixels.hints)
            found = [side_by_side[k] for k in range(side_by_side.shape[0])]
            for image in found:
                refuse_masked(image)
            read.append(np.stack([np.asarray(image) for image in found]))
        return read[0]

    place = f"stream {frame.stream!r}, event {frame.seq_num}"
    time, is_timed = frame.taken()
    reference = ReferenceImages(
        read=images,
        run=frame.run,
        stream=frame.stream,
        seq_num=frame.seq_num,
        time=time,
        is_timed=is_timed,
        configuration=configuration_of(frame.descriptor, frame.field),
        name=f"run {frame.run[:8]}, {place}",
        frame=frame,
    )
    # A resumed plan repeats the number of an event.
    event = (frame.seq_num, frame.event.get("uid"))
    return event, frame.field, reference

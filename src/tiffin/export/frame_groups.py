"""Group frames that are combined to one: n of a field, or those of an event.

The frames are grouped before any pixel is read, so names, dry runs and checks for
collisions treat combined frames like others.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tiffin.assemble import axis_hints
from tiffin.errors import CorrectionError, NoImageError, SupersededError, TiffinError
from tiffin.export.combined_pixels import CombinedPixels, naming_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiffin.assemble import DeclaredImages
    from tiffin.axes import Axes
    from tiffin.corrections import FrameCombiner
    from tiffin.export.run_corrections import RunCorrections
    from tiffin.frames import Frame
    from tiffin.settings import Settings

MOST_BYTES = 64 * 2**20
"""Memory limit for images from documents in a group. Beyond it, the calling thread adds
them up [bytes]."""

Lane = tuple[str, str | None, str | None, str]
"""Run, stream, field and kind of image. Only frames of the same lane are combined."""

PointKey = tuple[str, str, str | None, int | None, str | None]
"""Run, stream, field, seq_num, and stream resource."""


class FrameGroups:
    """Combines frames for `Average` and `Sum`, and passes other frames on."""

    def __init__(self, corrections: RunCorrections, settings: Settings) -> None:
        self._stages = [
            _Stage(step, number, corrections, settings.image_axes)
            for number, step in enumerate(corrections.combiners)
        ]
        self._budget = min(MOST_BYTES, settings.memory)
        # With n=None, each event is combined alone, and retakes are handled as usual.
        self.counts_retakes = settings.repeats != "all" and any(
            stage.spans_events for stage in self._stages
        )
        """Whether retakes are handled here, before frames are combined."""
        self._first_counts = settings.repeats == "first"
        self._expected: Counter[PointKey] = Counter()
        self._taken: Counter[tuple[str, PointKey]] = Counter()
        self.restart()

    @property
    def combines(self) -> bool:
        """Whether frames are combined."""
        return bool(self._stages)

    def restart(self, keep_bytes: float | None = None) -> None:
        """Start again without frames.

        Images from documents may take `keep_bytes` of memory before they are added up,
        by default the usual limit. 0: only names are needed, and no pixels. Infinite:
        the images stay in memory anyway [bytes].
        """
        self._taken.clear()
        for stage in self._stages:
            stage.groups.clear()
            stage.seen.clear()
            stage.numbers.clear()
            stage.most = self._budget if keep_bytes is None else keep_bytes

    def of(self, lane: str, group: list[Frame]) -> Iterator[list[Frame]]:
        """Add the frames of an event and field; return the groups that they complete.

        The `lane` is the kind of image: frames of different lanes are never combined.
        The frames of a group share their pixels.
        """
        if self.counts_retakes and not is_never_combined(group[0]):
            group = self._unless_superseded(lane, group)
        yield from self._through(self._stages, lane, [group])

    def count_retakes(self, groups: Iterable[list[Frame]]) -> None:
        """Count the takes of each point of a replay, before any is combined."""
        self._expected = Counter(
            _point(group[0]) for group in groups if not is_never_combined(group[0])
        )

    def _unless_superseded(self, lane: str, group: list[Frame]) -> list[Frame]:
        """Return the frames to combine, or superseded frames with the reason."""
        first, point = group[0], _point(group[0])
        self._taken[lane, point] += 1
        take, takes = self._taken[lane, point], self._expected[point]
        error = SupersededError(f"superseded: event {first.seq_num} was taken again")
        if self._first_counts and take > 1:
            error = SupersededError(
                f"superseded: event {first.seq_num} was taken before, and "
                f"repeats='first' keeps the first"
            )
        elif take == max(takes, 1) or self._first_counts:
            return group
        elif not takes:
            earlier = self._stages[0].replace(lane, group)
            group = earlier or group
            if not earlier:
                error = SupersededError(
                    f"event {first.seq_num} was taken again, but its earlier take is "
                    f"combined with others already: export the run again, with "
                    f"existing='replace'"
                )
                error.skip = False
        return [replace(frame, pixels=None, problem=error) for frame in group]

    def end(self, run: str | None = None) -> Iterator[tuple[str, list[Frame]]]:
        """End a run, or all; return the incomplete group of each lane, which fails."""
        for number, stage in enumerate(self._stages):
            for key in [k for k in stage.groups if run in (None, k[0])]:
                left = stage.left(key)
                behind = self._stages[number + 1 :]
                for group in self._through(behind, key[3], [left] if left else []):
                    yield key[3], group
            stage.forget(run)
        for taken in [k for k in self._taken if run in (None, k[1][0])]:
            del self._taken[taken]

    def _through(
        self, stages: list[_Stage], lane: str, groups: Iterable[list[Frame]]
    ) -> Iterator[list[Frame]]:
        for group in groups:
            if not stages or is_never_combined(group[0]):
                yield group
            else:
                combined = stages[0].of(lane, group)
                yield from self._through(stages[1:], lane, combined)


def is_never_combined(frame: Frame) -> bool:
    """Return whether a frame is a dark, is superseded, or has no image."""
    other = isinstance(frame.problem, (NoImageError, SupersededError))
    nothing = other or frame.seq_num is None
    return nothing or frame.kind == "dark"


def _point(frame: Frame) -> PointKey:
    return frame.run, str(frame.stream), frame.field, frame.seq_num, frame.source


@dataclass(slots=True)
class _Group:
    first: Frame
    pixels: CombinedPixels
    number: int
    last: Frame
    problem: Exception | None = None
    kinds: set[str | None] = field(default_factory=set)

    def frame(self) -> Frame:
        """Return the combined frame."""
        problem = self.problem
        if problem is None and len(self.kinds) > 1:
            message = (
                f"{_span(self.first, self.last)}: some of these frames have a dark and "
                f"some have none, so they can't be combined"
            )
            problem = CorrectionError(message)
        pixels = self.pixels if problem is None else None
        return replace(self.first, pixels=pixels, problem=problem, number=self.number)


class _Stage:
    """One correction that combines frames."""

    def __init__(
        self,
        step: FrameCombiner,
        number: int,
        corrections: RunCorrections,
        axes: Axes,
    ) -> None:
        self._step = step
        self._axes = axes
        self._number = number
        self._corrections = corrections
        self.groups: dict[Lane, _Group] = {}
        self.seen: Counter[Lane] = Counter()
        self.most: float = 0
        self._images: dict[Lane, int] = {}
        self.numbers: dict[Lane, dict[tuple[object, ...], int]] = {}

    @property
    def spans_events(self) -> bool:
        """Whether frames of different events are combined."""
        return self._step.n is not None

    def of(self, lane: str, group: list[Frame]) -> Iterator[list[Frame]]:
        """Add the frames of an event and field; return the frames they complete."""
        first = group[0]
        key = (first.run, first.stream, first.field, lane)
        if self._step.n is None:
            yield [self._whole_event(key, first)]
            return
        images = len(group)
        if first.problem is None:
            self._images[key] = images
        else:
            # It counts as all images of its event, so that later groups do not shift.
            group = group[:1] * (self._images.get(key) or self._declared_images(first))
        for frame in group:
            complete = self._add(key, frame, images)
            if complete is not None:
                yield [complete]

    def replace(self, lane: str, retake: list[Frame]) -> list[Frame]:
        """Replace the earlier take by a retake; return the earlier one if possible."""
        first = retake[0]
        group = self.groups.get((first.run, first.stream, first.field, lane))
        earlier = [] if group is None else group.pixels.replace(retake)
        if group is not None and earlier:
            if group.first is earlier[0]:
                group.first = first
            if group.last is earlier[-1]:
                group.last = retake[-1]
            if first.problem is not None:
                group.problem = group.problem or _problem_of(first)
        return earlier

    def _declared_images(self, frame: Frame) -> int:
        """Return how many frames an event that can't be read would have."""
        data_key = (frame.descriptor.get("data_keys") or {}).get(frame.field)
        if data_key is None or self._number:  # a combined frame is one
            return 1
        return axis_hints(self._axes, str(frame.field), data_key).images

    def left(self, key: Lane) -> list[Frame]:
        """Return the frame of an incomplete group, which fails."""
        group = self.groups.pop(key)
        total, count = self.seen[key], group.pixels.count
        if group.problem is None:
            some = "1 frame is" if count == 1 else f"{count} frames are"
            message = (
                f"{_span(group.first, group.last)}: {some} left of {total}, too few "
                f"for {self._step}: choose an n that divides {total}, or export "
                f"without it"
            )
            group.problem = CorrectionError(message)
        return [group.frame()]

    def forget(self, run: str | None) -> None:
        """Forget the counts of a run, or of all."""
        for key in [k for k in self.seen if run in (None, k[0])]:
            del self.seen[key]
            self._images.pop(key, None)
            self.numbers.pop(key, None)

    def _whole_event(self, key: Lane, first: Frame) -> Frame:
        self.seen[key] += 1
        numbers = self.numbers.setdefault(key, {})
        point = (first.seq_num, first.source, first.number)  # the same for retakes
        number = numbers.setdefault(point, len(numbers))
        if first.problem is not None:
            return replace(first, number=number)
        combined = self._pixels(first)
        combined.add(first, None, names_only=not self.most)
        return replace(first, pixels=combined, number=number)

    def _add(self, key: Lane, frame: Frame, images: int) -> Frame | None:
        n = self._step.n or 1
        group = self.groups.get(key)
        if group is None:
            number = self.seen[key] // n
            group = _Group(frame, self._pixels(frame), number, frame)
            self.groups[key] = group
        self.seen[key] += 1
        group.last = frame
        if frame.problem is not None:
            group.problem = group.problem or _problem_of(frame)
        else:
            group.kinds.add(frame.kind)
        group.pixels.add(
            frame, images, names_only=not self.most or group.problem is not None
        )
        if group.pixels.count == n:
            return self.groups.pop(key).frame()
        if group.problem is None and group.pixels.waiting > self.most:
            group.pixels.add_up()
        return None

    def _pixels(self, first: Frame) -> CombinedPixels:
        return CombinedPixels(self._step, self._corrections.before(self._number), first)


def _problem_of(frame: Frame) -> Exception | None:
    error = frame.problem
    return naming_frame(error, frame) if isinstance(error, TiffinError) else error


def _span(first: Frame, last: Frame) -> str:
    if first.seq_num == last.seq_num:
        images = "image" if first.i == last.i else "images"
        span = f"event {first.seq_num}, {images} {first.i}"
        span += f" to {last.i}" if first.i != last.i else ""
    else:
        span = f"events {first.seq_num} to {last.seq_num}"
    return f"{span}, field {first.field!r}"


def declared_after(
    steps: Iterable[FrameCombiner], declared: DeclaredImages
) -> DeclaredImages:
    """Return what a descriptor declares about combined frames.

    `declared` is what it declares about the frames before they are combined.
    """
    images, start = dict(declared.images), dict(declared.start)
    events = {name: start.get("num_points") for name in images}
    for step in steps:
        for name, count in images.items():
            n, before = step.n or count, events[name]
            images[name] = math.ceil(count / n)
            if isinstance(before, int):
                events[name] = max(1, before * count // n // images[name])
    known = [count for count in events.values() if isinstance(count, int)]
    if known:
        start["num_points"] = max(known)
    return replace(declared, images=images, start=start)

"""The open runs: their documents, and the running numbers of their frames."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import MAX_IMAGES
from tiffin.assemble.malformed import MALFORMED, parse_int
from tiffin.errors import NoImageError, TiffinError
from tiffin.frames import Frame, FrameId, Pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.axes import ArrayHints

UNNAMED = "primary"
"""The stream of a descriptor without a name: early runs had only one stream."""


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """The documents of a run that later ones refer to, and the count of its frames."""

    start: Mapping[str, Any]
    stop: Mapping[str, Any] = field(default_factory=dict)  # if a replay looked ahead
    baseline: Mapping[str, Any] = field(default_factory=dict)  # data of its first event
    number_repeats: bool = False  # whether a retake has running numbers of its own
    descriptors: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by uid
    found: set[str] = field(default_factory=set)  # fields that events had
    absent: set[str] = field(default_factory=set)  # fields that events lacked
    event_counts: Counter[str] = field(default_factory=Counter)  # by stream
    # Stream → the seq_nums of its events and stream datums.
    seq_nums: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    # (stream, field) → the seq_nums of its stream datums.
    streamed: dict[tuple[str, str], set[int]] = field(
        default_factory=lambda: defaultdict(set)
    )
    # (stream, seq_num) → its events; a retake adds one.
    events: dict[tuple[str, int], list[Mapping[str, Any]]] = field(default_factory=dict)
    # Stream of nothing but images → whether it has events, and its first seq_nums.
    has_events: dict[str, bool] = field(default_factory=dict)
    first_points: dict[str, range] = field(default_factory=dict)
    # (stream, field, seq_num, stream resource) → number of stream datums.
    takes: Counter[tuple[str, str, int, str]] = field(default_factory=Counter)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _numbers: dict[tuple[str | int | None, ...], range] = field(default_factory=dict)
    _digests: set[bytes] = field(default_factory=set)

    @property
    def uid(self) -> str:
        """The run's uid."""
        return str(self.start["uid"])

    def is_duplicate(self, name: str, doc: Mapping[str, Any]) -> bool:
        """Return whether a document with this uid came before, and remember it."""
        uid = doc.get("uid")
        if not isinstance(uid, str):
            return False
        text = f"{name} {uid}".encode(errors="surrogatepass")
        before = len(self._digests)
        self._digests.add(blake2b(text, digest_size=16).digest())
        return len(self._digests) == before

    def frames(
        self,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str | None,
        pixels: Pixels | TiffinError,
        numbers: range | None = None,
        source: str | None = None,
    ) -> Iterator[Frame]:
        """Yield the frames of one event and field, or one frame with the problem.

        `numbers` are their running numbers, if these are taken already; `source` is the
        uid of a stream resource.
        """
        if name is not None:
            (self.absent if isinstance(pixels, NoImageError) else self.found).add(name)
        seq_num = parse_int(event["seq_num"])  # JSON takes no numpy integer
        uid, stream = self.uid, descriptor["name"]
        context: dict[str, Any] = {
            "start": self.start,
            "descriptor": descriptor,
            "event": event,
            "baseline": self.baseline,
            "stop": self.stop,
            "source": source,
        }
        if isinstance(pixels, TiffinError):
            event_id = FrameId(uid, stream, name, seq_num)
            yield Frame(id=event_id, problem=pixels, **context)
            return
        if numbers is None:
            numbers = self.take_numbers(
                stream, str(name), seq_num, pixels.shape, pixels.hints
            )
        if not numbers:
            shape = list(pixels.shape or ())
            message = f"event {seq_num} has no image of {name!r}: shape {shape}"
            event_id = FrameId(uid, stream, name, seq_num)
            yield Frame(id=event_id, problem=NoImageError(message), **context)
        for i, number in enumerate(numbers):
            frame_id = FrameId(uid, stream, name, seq_num, i)
            yield Frame(id=frame_id, number=number, pixels=pixels, **context)

    def take_numbers(
        self,
        stream: str,
        name: str,
        seq_num: int,
        shape: tuple[int, ...] | None,
        hints: ArrayHints,
        source: str | None = None,
    ) -> range:
        """Take the running numbers of an event's frames; a retake has the first take's.

        If the shape is not known, the hints say how many frames are expected. More may
        be found when the event is read.
        """
        if shape is None:
            count = hints.images
        elif math.prod(shape):
            count = math.prod(shape[: -len(hints.image_axes)])
        else:
            return range(0)
        if count > MAX_IMAGES:
            count = 1
        point = (stream, name, seq_num, source)
        first = end = self._counts[stream, name]
        earlier = None if self.number_repeats else self._numbers.get(point)
        if earlier is not None and (count <= len(earlier) or earlier.stop == end):
            first = earlier.start
        numbers = range(first, first + count)
        self._counts[stream, name] = max(end, numbers.stop)
        if not self.number_repeats and (earlier is None or len(earlier) < count):
            self._numbers[point] = numbers
        return numbers

    def missing_stream_datums(self) -> Iterator[tuple[str, str, int]]:
        """Yield (stream, field, seq_num) of images that no stream datum has.

        All fields of a stream advance together: a gap in one of them is lost data.
        """
        for (stream, name), streamed in self.streamed.items():
            for seq_num in sorted(self.seq_nums[stream] - streamed):
                yield stream, name, seq_num


class Runs:
    """The open runs, which may be interleaved or nested."""

    def __init__(self) -> None:
        self._runs: dict[str, OpenRun] = {}
        self._descriptors: dict[str, tuple[OpenRun, Mapping[str, Any]]] = {}

    def __iter__(self) -> Iterator[OpenRun]:
        return iter([*self._runs.values()])

    def begin(self, run: OpenRun) -> None:
        """Add a run."""
        self._runs[_check_text(run.start["uid"])] = run

    def get(self, uid: str) -> OpenRun | None:
        """Return an open run, or None."""
        return self._runs.get(uid)

    def add_descriptor(self, descriptor: Mapping[str, Any]) -> bool:
        """Add a descriptor to its run; return False if that run is not open."""
        for data_key in descriptor["data_keys"].values():
            data_key.get("shape")  # raises if it is not a mapping
        if descriptor.get("name") is None:  # event-model does not require it
            descriptor = {**descriptor, "name": UNNAMED}
        _check_text(descriptor["name"])
        run = self._runs.get(descriptor["run_start"])
        if run is None:
            return False
        run.descriptors[_check_text(descriptor["uid"])] = descriptor
        self._descriptors[descriptor["uid"]] = run, descriptor
        return True

    def find(self, descriptor: str) -> tuple[OpenRun, Mapping[str, Any]] | None:
        """Return the run and the descriptor with this uid, or None."""
        return self._descriptors.get(descriptor)

    def owner(self, doc: Mapping[str, Any]) -> str | None:
        """Return the open run of a resource or datum, or None.

        Not every resource names its run, and no datum does. It is then the newest run.
        """
        uid = doc.get("run_start")
        if uid:
            return uid if uid in self._runs else None
        return next(reversed(self._runs), None)

    def uid_of(self, event: Any) -> str:
        """Return the run of an event that may be malformed, "" if it is not known."""
        try:
            found = self._descriptors.get(event["descriptor"])
        except MALFORMED:
            return ""
        return "" if found is None else found[0].uid

    def end(self, run: OpenRun) -> None:
        """Remove a run."""
        self._runs.pop(run.uid, None)
        for uid in run.descriptors:
            self._descriptors.pop(uid, None)


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        message = f"{value!r} must be text"
        raise TypeError(message)
    return value

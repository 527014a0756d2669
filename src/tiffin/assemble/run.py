"""What an open run has told so far."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import declares_image
from tiffin.errors import FieldError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["OpenRun"]


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """The documents of one run that later ones refer to, and a running count.

    Attributes
    ----------
    start : mapping
        The start document.
    descriptors : dict
        Descriptor uid → descriptor document, of all streams.
    counts : Counter
        (stream, field) → how many frames so far.
    seen : set
        The fields of which an event told something: images, or that there were none.
    absent : set
        The fields that an event should have held, and did not.
    told : dict
        (stream, field) → the seq_nums of which stream datums told.
    numbers : dict
        Stream → the seq_nums of its events, and of any field's stream datums.
    events : dict
        (stream, seq_num) → its events, for stream datums to be joined with: several
        where the point was taken again.
    takes : Counter
        (stream, field, seq_num, stream resource) → how many stream datums told of it.
    baseline : mapping
        The data of the first event of the stream ``baseline``, once it is known.
    stop : mapping
        The stop document, where it is known before the frames are.
    known : set
        Digests of the uids of its events and stream datums: what comes once more is
        the same document.
    repeats : bool
        Whether a point that is taken again gets running numbers of its own.
    points : dict
        (stream, field, seq_num, stream resource) → the running numbers of its frames.
    """

    start: Mapping[str, Any]
    descriptors: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    told: dict[tuple[str, str], set[int]] = field(
        default_factory=lambda: defaultdict(set)
    )
    numbers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    events: dict[tuple[str, int], list[Mapping[str, Any]]] = field(default_factory=dict)
    takes: Counter[tuple[str, str, int, str]] = field(default_factory=Counter)
    baseline: Mapping[str, Any] = field(default_factory=dict)
    stop: Mapping[str, Any] = field(default_factory=dict)
    known: set[bytes] = field(default_factory=set)
    repeats: bool = False
    points: dict[tuple[str, str, int, str | None], range] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The run's uid."""
        return str(self.start["uid"])

    def is_known(self, kind: str, doc: Mapping[str, Any]) -> bool:
        """Return whether a document came before, and remember it.

        One without a uid is always new.
        """
        uid = doc.get("uid")
        if not isinstance(uid, str):
            return False
        text = f"{kind} {uid}".encode(errors="surrogatepass")
        digest = blake2b(text, digest_size=16).digest()
        before = len(self.known)
        self.known.add(digest)
        return len(self.known) == before

    def take_numbers(
        self, stream: str, name: str, frames: int, seq_num: int, source: str | None
    ) -> range:
        """Give the running numbers of so many frames; a retake has those of its point.

        Parameters
        ----------
        stream, name : str
        frames : int
        seq_num : int
        source : str or None
            The uid of their stream resource, where there is one.
        """
        where, point = (stream, name), (stream, name, seq_num, source)
        first = behind = self.counts[where]
        earlier = None if self.repeats else self.points.get(point)
        if earlier is not None and (
            frames <= len(earlier) or earlier.stop == first  # none is behind them
        ):
            first = earlier.start
        numbers = range(first, first + frames)
        self.counts[where] = max(behind, numbers.stop)
        if not self.repeats and (earlier is None or len(earlier) < frames):
            self.points[point] = numbers
        return numbers

    def missing(
        self, fields: tuple[str, ...] | None, streams: tuple[str, ...] | None
    ) -> list[tuple[str | None, FieldError]]:
        """Say which of the fields asked for the run did not have, and what it has.

        Returns
        -------
        list of (field or None, FieldError)
            None stands for all fields, where the user named none.
        """
        if fields is None:
            if not self.seen:
                return [(None, FieldError(self._no_image(streams)))]
            never_held = sorted(self.absent - self.seen)
            fields = (*never_held, *self._never_streamed(streams))
        unseen = [name for name in dict.fromkeys(fields) if name not in self.seen]
        return [(name, FieldError(self._no_field(name, streams))) for name in unseen]

    def _never_streamed(self, streams: tuple[str, ...] | None) -> list[str]:
        """Return the fields announced as stream resources of which none ever came."""
        return [
            name
            for descriptor in self.descriptors.values()
            if descriptor["name"] in self.numbers
            and (streams is None or descriptor["name"] in streams)
            for name, data_key in descriptor["data_keys"].items()
            if declares_image(data_key)
            and str(data_key.get("external", "")).startswith("STREAM:")
        ]

    def untold(self) -> Iterator[tuple[str, str, int]]:
        """Return (stream, field, seq_num) of what no stream datum told, in order.

        All fields of a stream go along with its events, and with each other: where one
        that is told of by stream datums has a gap, images have been lost.
        """
        for (stream, name), told in self.told.items():
            for seq_num in sorted(self.numbers[stream] - told):
                yield stream, name, seq_num

    def image_fields(self) -> dict[str, list[str]]:
        """Return the image fields that the descriptors announce, by stream."""
        found: dict[str, list[str]] = {}
        for descriptor in self.descriptors.values():
            for name, data_key in descriptor["data_keys"].items():
                names = found.setdefault(descriptor["name"], [])
                if declares_image(data_key) and name not in names:
                    names.append(name)
        return {stream: names for stream, names in found.items() if names}

    def _no_image(self, streams: tuple[str, ...] | None) -> str:
        wanted = "any stream" if streams is None else " or ".join(map(repr, streams))
        return f"run {self.uid[:8]} gave no image in {wanted}; {self._choices()}"

    def _no_field(self, name: str, streams: tuple[str, ...] | None) -> str:
        held = {
            descriptor["name"]: descriptor["data_keys"][name]
            for descriptor in self.descriptors.values()
            if name in descriptor["data_keys"]
        }
        selected = {
            s: key for s, key in held.items() if streams is None or s in streams
        }
        if not held:
            near = did_you_mean(name, self._all_images())
            near = near if near.startswith(":") else ""
            near = f"{near} " if near else "; "
            return f"run {self.uid[:8]} has no field {name!r}{near}{self._choices()}"
        if not selected:
            return (
                f"field {name!r} of run {self.uid[:8]} is in stream "
                f"{' and '.join(map(repr, held))} only: ask for streams={tuple(held)!r}"
            )
        stream, data_key = next(iter(selected.items()))
        if declares_image(data_key):
            return f"run {self.uid[:8]} has no event with field {name!r} in {stream!r}"
        shape = data_key.get("shape")
        shape = [] if shape is None else [*shape] if isinstance(shape, tuple) else shape
        return (
            f"field {name!r} of run {self.uid[:8]} is no image: its shape is {shape}, "
            f"an image has two dimensions or more; {self._choices()}"
        )

    def _choices(self) -> str:
        found = self.image_fields()
        if not found:
            return "it announces no image field at all"
        told = (f"{', '.join(names)} (stream {s!r})" for s, names in found.items())
        return "its image fields are: " + "; ".join(told)

    def _all_images(self) -> list[str]:
        return [name for names in self.image_fields().values() for name in names]

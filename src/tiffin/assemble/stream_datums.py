"""Stream resources and stream datums: images that no event speaks of."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import announced_dtype
from tiffin.assemble.documents import without_images
from tiffin.assemble.event_frames import frames_of, take_numbers
from tiffin.assemble.legacy_documents import upgrade_stream_resource
from tiffin.assemble.malformed import (
    MALFORMED,
    MALFORMED_OR_OURS,
    malformed_error,
    parse_int,
)
from tiffin.assemble.references import DocumentCache, MissingDocument
from tiffin.errors import SourceError, TiffinError
from tiffin.readers import AssetPixels, Assets, RootMap, event_shape, find_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.assemble.field_selection import FieldSelection
    from tiffin.assemble.references import PendingFrames
    from tiffin.assemble.run import OpenRun
    from tiffin.axes import Hints
    from tiffin.frames import Frame, Pixels

__all__ = ["StreamDatums"]

MOST_EVENTS = 10**7
"""A stream datum that tells of more is damaged: none is the size of a run of weeks."""

MOST_SEEN = 1000
"""So many stream resources are remembered as they are seen, to be quick."""


class StreamDatums:
    """Knows stream resources, and owns the files that reading them opens.

    Parameters
    ----------
    selection : FieldSelection
    pending : PendingFrames
    join_events : bool
        Whether a stream datum waits for its event.
    roots : RootMap, optional
        For files recorded on another mount.
    counts : dict, optional
        (run, stream resource) → how many events are known. What it holds is known
        already, and stays.
    """

    def __init__(
        self,
        selection: FieldSelection,
        pending: PendingFrames,
        *,
        join_events: bool,
        roots: RootMap | None = None,
        counts: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self._selection = selection
        self._pending = pending
        self._join_events = join_events
        self._assets = Assets(roots)
        self._seen: dict[str, _Seen] = {}
        self._owns_counts = counts is None
        self._counts = {} if counts is None else counts
        self.resources = DocumentCache()

    def resource(self, doc: Mapping[str, Any], run: str | None) -> Iterator[Frame]:
        """Take a stream resource of an open run; give the frames that waited for it."""
        self.resources.add(doc["uid"], upgrade_stream_resource(doc), run)
        yield from self._pending.arrived(doc["uid"])

    def datum(
        self, run: OpenRun, descriptor: Mapping[str, Any], doc: Mapping[str, Any]
    ) -> Iterator[Frame]:
        """Return the images that a stream datum tells of.

        Raises
        ------
        SourceError
            If it does not tell which.
        """
        indices, seq_nums = _range_in(doc, "indices"), _range_in(doc, "seq_nums")
        if len(indices) != len(seq_nums):
            message = (
                f"stream datum {doc.get('uid')!r} has {len(indices)} indices for "
                f"{len(seq_nums)} seq_nums"
            )
            raise SourceError(message)
        run.numbers[descriptor["name"]].update(seq_nums)
        counted = run.uid, str(doc["stream_resource"])
        self._counts[counted] = max(self._counts.get(counted, 0), indices.stop)
        if self._owns_counts and len(self._counts) > MOST_SEEN:
            del self._counts[next(iter(self._counts))]
        for index, seq_num in zip(indices, seq_nums, strict=True):
            uid = doc["stream_resource"]
            yield from self._frames(run, descriptor, uid, index, seq_num, final=False)

    def event(
        self, run: OpenRun, descriptor: Mapping[str, Any], event: Mapping[str, Any]
    ) -> Iterator[Frame]:
        """Take an event to be joined with; give the frames that waited for it."""
        if not self._join_events:
            return
        place = (descriptor["name"], parse_int(event["seq_num"]))
        events = run.events.setdefault(place, [])
        events.append(without_images(event))
        yield from self._pending.arrived((run.uid, *place, len(events)))

    def end_run(self, run: str) -> None:
        """Let go of what an ended run alone refers to."""
        self.resources.end_run(run)

    def close(self) -> None:
        """Close the files that are open; what is asked for later opens them anew."""
        self._assets.close()
        self._seen.clear()

    def _frames(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        uid: str,
        index: int,
        seq_num: int,
        *,
        final: bool,
    ) -> Iterator[Frame]:
        """Return the images of one index, once its stream resource is known."""
        try:
            resource = self._described(uid)
        except MALFORMED_OR_OURS as error:
            if isinstance(error, MissingDocument) and not final:
                again = partial(self._frames, run, descriptor, uid, index, seq_num)
                self._pending.add(run.uid, error.uid, again)
                return
            problem = malformed_error(f"what describes stream resource {uid!r}", error)
            alone = _event_alone(descriptor, seq_num)
            yield from frames_of(run, descriptor, alone, None, problem, source=str(uid))
            return
        name = resource["data_key"]
        data_key = descriptor["data_keys"].get(name, {})
        if not self._selection.has_streamed(name, descriptor["data_keys"]):
            return
        run.told[descriptor["name"], name].add(seq_num)
        pixels: Pixels | TiffinError
        try:
            pixels = self._pixels(run, resource, index, name, data_key)
        except MALFORMED_OR_OURS as error:
            pixels = malformed_error(f"stream resource {uid!r}", error)
        checked = self._selection.checked(pixels, announced=True)
        # Before the event is waited for: numbers are not to depend on who waits.
        numbers = range(0)
        if not isinstance(checked, TiffinError):
            shape, hints = checked.shape, checked.hints
            numbers = take_numbers(run, descriptor, name, seq_num, shape, hints, uid)
        take = 1
        if self._join_events:
            run.takes[descriptor["name"], name, seq_num, uid] += 1
            take = run.takes[descriptor["name"], name, seq_num, uid]
        yield from self._joined(
            run, descriptor, name, seq_num, take, checked, numbers, uid, final=final
        )

    def _joined(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        name: str,
        seq_num: int,
        take: int,
        pixels: Pixels | TiffinError,
        numbers: range,
        source: str,
        *,
        final: bool,
    ) -> Iterator[Frame]:
        """Return the images of one index, each take joined with its own event.

        A point that is taken again has several events, which come in the same order.
        """
        place = (descriptor["name"], seq_num)
        events = run.events.get(place, [])
        if len(events) < take and self._join_events and not final:
            again = partial(
                self._joined,
                run,
                descriptor,
                name,
                seq_num,
                take,
                pixels,
                numbers,
                source,
            )
            self._pending.add(run.uid, (run.uid, *place, take), again)
            return
        event = events[:take][-1] if events else _event_alone(descriptor, seq_num)
        yield from frames_of(run, descriptor, event, name, pixels, numbers, source)

    def _described(self, uid: str) -> Mapping[str, Any]:
        resource = self.resources.get(uid)
        if resource is None:
            message = f"no document described stream resource {uid!r}"
            raise MissingDocument(message, uid)
        self.resources.mark_used(uid)
        hash(resource["data_key"])  # what names no field is refused here
        return resource

    def _pixels(
        self,
        run: OpenRun,
        resource: Mapping[str, Any],
        index: int,
        name: str,
        data_key: Mapping[str, Any],
    ) -> AssetPixels:
        """See one index of a stream resource as pixels.

        Raises
        ------
        UnknownFormatError
            If nobody reads its mimetype.
        """
        run_uid, uid = run.uid, str(resource["uid"])
        seen = self._seen.get(uid)
        if seen is None or seen.resource is not resource or seen.of is not data_key:
            find_reader(resource["mimetype"])
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            hints = self._selection.hints(name, data_key)
            hints = replace(hints, scan=_scan(run.start))
            seen = self._seen[uid] = _Seen(resource, data_key, hints)
        return AssetPixels(
            assets=self._assets,
            resource=resource,
            index=index,
            shape=seen.hints.shape,
            dtype=seen.dtype,
            hints=seen.hints,
            events=lambda: self._counts.get((run_uid, uid), 0),
        )


class _Seen:
    """What is the same for all indices of a stream resource."""

    def __init__(
        self, resource: Mapping[str, Any], data_key: Mapping[str, Any], hints: Hints
    ) -> None:
        self.resource, self.of = resource, data_key
        self.dtype = announced_dtype(data_key)
        parameters = resource.get("parameters") or {}
        self.hints = replace(hints, sizes=event_shape(hints.sizes, parameters))


def _scan(start: Mapping[str, Any]) -> tuple[int, ...]:
    """Read the shape of a scan, or its number of points; () if nothing tells."""
    said = start.get("shape") or start.get("num_points")
    sizes = said if isinstance(said, (list, tuple)) else (said,)
    known = all(isinstance(size, int) and size > 0 for size in sizes)
    return tuple(sizes) if known else ()


def _range_in(doc: Mapping[str, Any], name: str) -> range:
    """Read a half-open range of a stream datum."""
    said = doc[name]
    try:
        start, stop = parse_int(said["start"]), parse_int(said["stop"])
    except MALFORMED as error:
        raise malformed_error(f"{name} {said!r} of a stream datum", error) from error
    if not 0 <= start <= stop <= start + MOST_EVENTS:
        message = (
            f"{name} {said!r} of stream datum {doc.get('uid')!r} are none: they go "
            f"from 0 or more upwards, over {MOST_EVENTS} at most"
        )
        raise SourceError(message)
    return range(start, stop)


def _event_alone(descriptor: Mapping[str, Any], seq_num: int) -> dict[str, Any]:
    """Stand in for an event: a fly scan has none, and its descriptor's time only."""
    return {"seq_num": seq_num, "time": descriptor.get("time"), "data": {}}

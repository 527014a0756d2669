"""Stream resources and stream datums: images that are not in any event."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.assemble.data_keys import declared_dtype, is_streamed
from tiffin.assemble.document_copies import without_images
from tiffin.assemble.legacy_documents import upgrade_stream_resource
from tiffin.assemble.malformed import (
    MALFORMED,
    MALFORMED_OR_OURS,
    malformed_error,
    parse_int,
)
from tiffin.assemble.pending import DocumentCache, MissingDocument
from tiffin.errors import SourceError, TiffinError
from tiffin.readers import AssetPixels, Assets, RootMap, event_shape, find_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from tiffin.assemble.data_keys import FieldSelection
    from tiffin.assemble.pending import PendingFrames
    from tiffin.assemble.runs import OpenRun
    from tiffin.axes import ArrayHints
    from tiffin.frames import Frame, Pixels

MAX_EVENTS = 10**7
"""A stream datum of more events is damaged: a run of weeks has fewer."""

MAX_CACHED = 1000


class StreamDatums:
    """Makes the frames of stream datums, and owns the files that are open for them.

    See `Assembler` for the parameters.
    """

    def __init__(
        self,
        selection: FieldSelection,
        pending: PendingFrames,
        *,
        join_events: bool,
        join_readings: bool = False,
        patience: int = 0,
        roots: RootMap | None = None,
        counts: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self._selection = selection
        self._pending = pending
        self._join_events = join_events
        self._join_readings = join_readings
        self._patience = patience
        self._assets = Assets(roots)
        self._cache: dict[str, _Declared] = {}  # by the uid of the stream resource
        self._owns_counts = counts is None
        self._counts = {} if counts is None else counts
        self.resources = DocumentCache()
        self._latest: tuple[Mapping[str, Any] | None, bool | None] = (None, None)

    def add_resource(self, doc: Mapping[str, Any], run: str | None) -> Iterator[Frame]:
        """Add a stream resource of an open run; yield the frames that waited for it."""
        self.resources.add(doc["uid"], upgrade_stream_resource(doc), run)
        yield from self._pending.arrived(doc["uid"])

    def add_event(
        self, run: OpenRun, descriptor: Mapping[str, Any], event: Mapping[str, Any]
    ) -> Iterator[Frame]:
        """Add an event that frames may wait for; yield these frames."""
        stream, joins = descriptor["name"], self._joins(run, descriptor)
        if joins is False:
            return
        point = (stream, parse_int(event["seq_num"]))
        events = run.events.setdefault(point, [])
        events.append(without_images(event))
        if joins is None:
            run.has_events[stream] = True
            yield from self._pending.arrived((run.uid, stream))
        yield from self._pending.arrived((run.uid, *point, len(events)))

    def frames(
        self, run: OpenRun, descriptor: Mapping[str, Any], doc: Mapping[str, Any]
    ) -> Iterator[Frame]:
        """Yield the images of a stream datum."""
        indices, seq_nums = _parse_range(doc, "indices"), _parse_range(doc, "seq_nums")
        if len(indices) != len(seq_nums):
            message = (
                f"stream datum {doc.get('uid')!r} has {len(indices)} indices for "
                f"{len(seq_nums)} seq_nums"
            )
            raise SourceError(message)
        run.seq_nums[descriptor["name"]].update(seq_nums)
        uid = doc["stream_resource"]
        key = run.uid, str(uid)
        self._counts[key] = max(self._counts.get(key, 0), indices.stop)
        if self._owns_counts and len(self._counts) > MAX_CACHED:
            del self._counts[next(iter(self._counts))]
        stream, part = descriptor["name"], (run, descriptor, uid, indices, seq_nums)
        if self._joins(run, descriptor) is None:
            first = run.first_points.setdefault(stream, seq_nums)
            if seq_nums.start < first.stop + self._patience:
                self._pending.add(run.uid, (run.uid, stream), self._part, *part)
                return
            run.has_events[stream] = False
            yield from self._pending.arrived((run.uid, stream))
        yield from self._part(*part, final=False)

    def end_run(self, run: str) -> None:
        """Drop what only an ended run refers to."""
        self.resources.end_run(run)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        self._assets.close()
        self._cache.clear()

    def _part(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        uid: str,
        indices: range,
        seq_nums: range,
        *,
        final: bool,
    ) -> Iterator[Frame]:
        """Yield the images of a stream datum, when it is known if it has events."""
        joins = bool(self._joins(run, descriptor))
        for index, seq_num in zip(indices, seq_nums, strict=True):
            point = _Point(run, descriptor, uid, index, seq_num, joins)
            yield from self._frames(point, final=final)

    def _frames(self, point: _Point, *, final: bool) -> Iterator[Frame]:
        """Yield the images of one index, once its stream resource is known."""
        run, descriptor, uid, index, seq_num, joins = point
        try:
            resource = self._resource(uid)
        except MALFORMED_OR_OURS as error:
            if isinstance(error, MissingDocument) and not final:
                self._pending.add(run.uid, uid, self._frames, point)
                return
            problem = malformed_error(f"stream resource {uid!r}", error)
            event = _placeholder_event(point)
            yield from run.frames(descriptor, event, None, problem, source=str(uid))
            return
        stream, name = descriptor["name"], resource["data_key"]
        data_key = descriptor["data_keys"].get(name, {})
        if not self._selection.has_streamed(name, descriptor["data_keys"]):
            return
        run.streamed[stream, name].add(seq_num)
        pixels: Pixels | TiffinError
        numbers = range(0)
        try:
            pixels = self._pixels(run, resource, index, name, data_key)
            pixels = self._selection.check(pixels, declared=True)
        except MALFORMED_OR_OURS as error:
            pixels = malformed_error(f"stream resource {uid!r}", error)
        else:  # before waiting for the event, so that waiting changes no number
            numbers = run.take_numbers(
                stream, name, seq_num, pixels.shape, pixels.hints, uid
            )
        if not joins:
            event = _placeholder_event(point)
            yield from run.frames(descriptor, event, name, pixels, numbers, uid)
            return
        run.takes[stream, name, seq_num, uid] += 1
        take = run.takes[stream, name, seq_num, uid]
        yield from self._join(point, name, take, pixels, numbers, final=final)

    def _joins(self, run: OpenRun, descriptor: Mapping[str, Any]) -> bool | None:
        """Return whether the frames of a stream wait for their events.

        If readings stand beside the images, there will be events with them. A stream of
        nothing but images has events in a step scan, and none in a fly scan. The plan
        makes the event of a point before the stream datums of the next one, so these
        tell. Until then, this is not known: None.
        """
        if self._join_events or not self._join_readings:
            return self._join_events
        if self._latest[0] is not descriptor:  # most documents share one
            self._latest = descriptor, _has_readings(descriptor)
        joins = self._latest[1]
        return run.has_events.get(descriptor["name"]) if joins is None else joins

    def _join(
        self,
        point: _Point,
        name: str,
        take: int,
        pixels: Pixels | TiffinError,
        numbers: range,
        *,
        final: bool,
    ) -> Iterator[Frame]:
        """Yield the images of one index, once its event is known.

        A retake has an event of its own. Events and stream datums come in one order.
        """
        run, descriptor, uid, _, seq_num, _ = point
        stream = descriptor["name"]
        events = run.events.get((stream, seq_num), [])
        if len(events) < take and not final:
            key = (run.uid, stream, seq_num, take)
            args = (point, name, take, pixels, numbers)
            self._pending.add(run.uid, key, self._join, *args)
            return
        event = events[:take][-1] if events else _placeholder_event(point)
        yield from run.frames(descriptor, event, name, pixels, numbers, uid)

    def _resource(self, uid: str) -> Mapping[str, Any]:
        resource = self.resources.get(uid)
        if resource is None:
            message = f"no document described stream resource {uid!r}"
            raise MissingDocument(message, uid)
        self.resources.mark_used(uid)
        hash(resource["data_key"])  # raises if it is not the name of a field
        return resource

    def _pixels(
        self,
        run: OpenRun,
        resource: Mapping[str, Any],
        index: int,
        name: str,
        data_key: Mapping[str, Any],
    ) -> AssetPixels:
        uid = str(resource["uid"])
        cached = self._cache.get(uid)
        if cached is None or cached[0] is not resource or cached[1] is not data_key:
            find_reader(resource["mimetype"])  # raises if no reader is registered
            hints = self._selection.hints(name, data_key)
            sizes = event_shape(hints.sizes, resource.get("parameters") or {})
            hints = replace(hints, sizes=sizes, scan=_scan_shape(run.start))
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            dtype = declared_dtype(data_key)
            cached = _Declared(resource, data_key, hints, hints.shape, dtype)
            self._cache[uid] = cached
        key = run.uid, uid
        return AssetPixels(
            assets=self._assets,
            resource=resource,
            index=index,
            shape=cached.shape,
            dtype=cached.dtype,
            hints=cached.hints,
            events=lambda: self._counts.get(key, 0),
        )


class _Declared(NamedTuple):
    """What a stream resource and its data key say of each event."""

    resource: Mapping[str, Any]
    data_key: Mapping[str, Any]
    hints: ArrayHints
    shape: tuple[int, ...] | None
    dtype: np.dtype | None


class _Point(NamedTuple):
    """One index of a stream datum."""

    run: OpenRun
    descriptor: Mapping[str, Any]
    resource: str
    event_index: int
    seq_num: int
    joins: bool
    """Whether it waits for its event."""


def _scan_shape(start: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape or the number of points of a scan, () if neither is known."""
    shape = start.get("shape") or start.get("num_points")
    sizes = shape if isinstance(shape, (list, tuple)) else (shape,)
    is_valid = all(isinstance(size, int) and size > 0 for size in sizes)
    return tuple(sizes) if is_valid else ()


def _parse_range(doc: Mapping[str, Any], name: str) -> range:
    value = doc[name]
    try:
        start, stop = parse_int(value["start"]), parse_int(value["stop"])
    except MALFORMED as error:
        raise malformed_error(f"{name} {value!r} of a stream datum", error) from error
    if not 0 <= start <= stop <= start + MAX_EVENTS:
        message = (
            f"{name} of stream datum {doc.get('uid')!r} must go up from 0 or more, "
            f"by {MAX_EVENTS} at most, not {value!r}"
        )
        raise SourceError(message)
    return range(start, stop)


def _has_readings(descriptor: Mapping[str, Any]) -> bool | None:
    """Return whether readings stand beside images; None if there are only images."""
    keys = (descriptor.get("data_keys") or {}).values()
    if len({"external" in key for key in keys}) == 2:
        return True
    return None if all(map(is_streamed, keys)) else False


def _placeholder_event(point: _Point) -> dict[str, Any]:
    """Return an event for a fly scan, which has none but its descriptor's time."""
    time = point.descriptor.get("time")
    return {"seq_num": point.seq_num, "time": time, "data": {}}

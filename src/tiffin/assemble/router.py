"""The assembler: documents of any number of runs in, frames out."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from event_model import unpack_datum_page

from tiffin.assemble.event_frames import frames_of
from tiffin.assemble.external import External
from tiffin.assemble.foresight import BASELINE, Foresight, events_in
from tiffin.assemble.inline import ListDtypes, inline_pixels, inline_shape
from tiffin.assemble.referenced import Referenced
from tiffin.assemble.run import (
    Announced,
    OpenRun,
    announced_images,
    is_colour,
    is_image,
)
from tiffin.assemble.waiting import WaitingRoom
from tiffin.errors import (
    FieldError,
    NoImageError,
    ReadError,
    SourceError,
    TiffinError,
)
from tiffin.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiffin.frames import Pixels
    from tiffin.readers import RootMap

__all__ = ["Assembler"]

logger = logging.getLogger("tiffin")


class Assembler:
    """Turns documents into frames; runs may be interleaved.

    Parameters
    ----------
    fields : tuple of str or None
        Which fields; None means every field that holds images.
    streams : tuple of str or None
        Which streams; None means every one.
    dtypes : ListDtypes, optional
        The rule for lists without a dtype.
    join_events : bool
        Whether a stream datum waits for its event, because a name or a correction asks
        for the event's data.
    colour : tuple of str
        The fields whose last axis holds the samples of a colour, besides those whose
        ``dims`` say so.
    roots : RootMap, optional
        For files recorded on another mount.
    foresight : Foresight, optional
        What a replay's documents tell only later.

    Examples
    --------
    >>> from tiffin.testing import run_of
    >>> import numpy as np
    >>> assembler = Assembler(fields=None, streams=("primary",))
    >>> documents = run_of({"img": [np.zeros((4, 6, 9), "u2")]})
    >>> [frame.i for name, doc in documents for frame in assembler(name, doc)]
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        *,
        fields: tuple[str, ...] | None,
        streams: tuple[str, ...] | None,
        dtypes: ListDtypes | None = None,
        join_events: bool = False,
        colour: tuple[str, ...] = (),
        roots: RootMap | None = None,
        foresight: Foresight | None = None,
    ) -> None:
        self.fields = fields
        """Which fields; None means every one. May be changed between two documents."""
        self._foresight = foresight or Foresight()
        self._streams = streams
        self._dtypes = dtypes or ListDtypes()
        self._join_events = join_events
        self._colour = colour
        self._external = External(roots)
        self._runs: dict[str, OpenRun] = {}
        self._run_of_descriptor: dict[str, OpenRun] = {}
        self._referenced = Referenced()
        self._waiting = WaitingRoom()
        self._strangers: set[str] = set()
        self._methods: dict[str, Callable[[Any], Iterator[Frame] | None]] = {
            "start": self._start,
            "descriptor": self._descriptor,
            "resource": self._resource,
            "datum": self._datum,
            "datum_page": self._datum_page,
            "event": self._event,
            "event_page": partial(self._events, "event_page"),
            "bulk_events": partial(self._events, "bulk_events"),
            "stream_resource": self._stream_resource,
            "stream_datum": self._stream_datum,
            "stop": self._stop,
        }

    def __call__(self, name: str, doc: Mapping[str, Any]) -> Iterator[Frame]:
        """Take one document; give the frames that it completes.

        The frames of one event and field follow each other and share their pixels.

        Raises
        ------
        SourceError
            If the document lacks what its kind must have.
        """
        method = self._methods.get(name)
        if method is None:
            self._is_new(name, f"documents of kind {name!r} are not known here")
            return
        try:
            yield from method(doc) or ()
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, TiffinError):
                raise
            kind = type(error).__name__
            message = f"a {name} document can't be understood: {kind}: {error}"
            raise SourceError(message) from error

    def finish(self) -> Iterator[Frame]:
        """End the runs that never stopped."""
        for run in list(self._runs.values()):
            yield from self._end(run)

    def close(self) -> None:
        """Close the external files that are open."""
        self._external.close()

    # ---- one method a kind of document

    def _start(self, doc: Mapping[str, Any]) -> None:
        uid = doc["uid"]
        self._runs[uid] = OpenRun(
            start=doc,
            stop=self._foresight.stops.get(uid, {}),
            baseline=self._foresight.baselines.get(uid, {}),
        )

    def _descriptor(self, doc: Mapping[str, Any]) -> None:
        for data_key in doc["data_keys"].values():
            data_key.get("shape")  # what is no descriptor is refused here
        str(doc["name"])
        run = self._runs.get(doc["run_start"])
        if run is None:
            self._is_new(doc["run_start"], "a run joined after its start is left out")
            return
        run.descriptors[doc["uid"]] = doc
        self._run_of_descriptor[doc["uid"]] = run

    def _resource(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        self._referenced.resources[doc["uid"]] = doc
        yield from self._waiting.arrived(doc["uid"])

    def _datum(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        self._referenced.datums[doc["datum_id"]] = doc
        yield from self._waiting.arrived(doc["datum_id"])

    def _datum_page(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        for datum in unpack_datum_page(cast(Any, doc)):
            yield from self._datum(cast(Any, datum))

    def _events(self, name: str, doc: Mapping[str, Any]) -> Iterator[Frame]:
        for event in events_in(name, doc):
            yield from self._event(event)

    def _event(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        self._note_baseline(doc)
        found = self._selected(doc["descriptor"])
        if found is None:
            yield from self._stranger(doc["descriptor"])
            return
        run, descriptor = found
        run.numbers[str(descriptor["name"])].add(int(doc["seq_num"]))
        for name in self._fields_in(doc["data"], descriptor["data_keys"]):
            yield from self._images(run, descriptor, doc, name)
        if self._join_events:
            place = (str(descriptor["name"]), int(doc["seq_num"]))
            run.events[place] = _without_images(doc)
            yield from self._waiting.arrived((run.uid, *place))

    def _note_baseline(self, event: Mapping[str, Any]) -> None:
        uid = event["descriptor"]
        run = self._run_of_descriptor.get(uid)
        if run is None or run.baseline or run.descriptors[uid]["name"] != BASELINE:
            return
        run.baseline = _without_images(event)["data"]

    def _stream_resource(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        self._referenced.stream_resources[doc["uid"]] = doc
        yield from self._waiting.arrived(doc["uid"])

    def _stream_datum(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        found = self._selected(doc["descriptor"])
        if found is None:
            yield from self._stranger(doc["descriptor"])
            return
        run, descriptor = found
        indices = range(int(doc["indices"]["start"]), int(doc["indices"]["stop"]))
        seq_nums = range(int(doc["seq_nums"]["start"]), int(doc["seq_nums"]["stop"]))
        if len(indices) != len(seq_nums):
            message = f"it has {len(indices)} indices for {len(seq_nums)} seq_nums"
            raise ValueError(message)
        run.numbers[str(descriptor["name"])].update(seq_nums)
        for index, seq_num in zip(indices, seq_nums, strict=True):
            resource = doc["stream_resource"]
            yield from self._streamed(
                run, descriptor, resource, index, seq_num, last=False
            )

    def _stop(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        run = self._runs.get(doc["run_start"])
        if run is not None:
            yield from self._end(run)

    def announced(self, descriptor: Mapping[str, Any]) -> Announced | None:
        """Tell what a descriptor promises; None if its stream is left out."""
        found = self._selected(descriptor["uid"])
        if found is None:
            return None
        run, _ = found
        images = {
            name: announced_images(data_key, colour=self._is_colour(name, data_key))
            for name, data_key in descriptor["data_keys"].items()
            if is_image(data_key) and (self.fields is None or name in self.fields)
        }
        return Announced(run.start, descriptor, images)

    def _selected(self, uid: str) -> tuple[OpenRun, Mapping[str, Any]] | None:
        """Find run and descriptor, if the descriptor's stream is asked for."""
        run = self._run_of_descriptor.get(uid)
        if run is None:
            return None
        descriptor = run.descriptors[uid]
        if self._streams is not None and descriptor["name"] not in self._streams:
            return None
        return run, descriptor

    # ---- from an event to frames

    def _fields_in(
        self, data: Mapping[str, Any], data_keys: Mapping[str, Any]
    ) -> list[str]:
        if self.fields is not None:
            return [name for name in self.fields if name in data_keys or name in data]
        names = [name for name, data_key in data_keys.items() if is_image(data_key)]
        more = (
            name for name, value in data.items() if name not in names and _is_2d(value)
        )
        return [*names, *more]

    def _images(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
    ) -> Iterator[Frame]:
        data_key = descriptor["data_keys"].get(name, {})
        external = str(data_key.get("external", ""))
        if name not in event["data"]:
            if external.startswith("STREAM:"):
                return  # its stream datum tells of it
            problem = NoImageError(f"event {event['seq_num']} holds no {name!r}")
            yield from frames_of(run, descriptor, event, name, problem)
            return
        value = event["data"][name]
        shape = inline_shape(value)
        if isinstance(value, str) and (external or name in event.get("filled", {})):
            yield from self._filled(run, descriptor, event, name, last=False)
        elif shape is not None and (
            len(shape) >= 2 or (is_image(data_key) and shape == (0,))
        ):
            where = (run.uid, descriptor["name"], name)
            try:
                pixels: Any = inline_pixels(value, data_key, self._dtypes, where)
                pixels.colour = self._is_colour(name, data_key)
            except TiffinError as error:
                pixels = error
            yield from frames_of(run, descriptor, event, name, pixels)
        elif is_image(data_key) or name in run.seen:
            held = type(value).__name__ if shape is None else f"shape {list(shape)}"
            message = f"event {event['seq_num']}: {name!r} is no image here ({held})"
            yield from frames_of(run, descriptor, event, name, FieldError(message))
        # Else the field is none of images: said at the run's end, if it was asked for.

    def _filled(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
        *,
        last: bool,
    ) -> Iterator[Frame]:
        """Give the images of a datum, once datum and resource are known."""
        datum_id = str(event["data"][name])
        datum = self._referenced.datums.get(datum_id)
        resource = self._referenced.resources.get(datum["resource"]) if datum else None
        again = partial(self._filled, run, descriptor, event, name)
        pixels: Pixels | TiffinError
        if datum is None:
            if not last:
                self._waiting.wait(run.uid, datum_id, again)
                return
            pixels = ReadError(f"no document described datum {datum_id!r}")
        elif resource is None:
            if not last:
                self._waiting.wait(run.uid, datum["resource"], again)
                return
            message = f"no document described resource {datum['resource']!r}"
            pixels = ReadError(f"{message} of datum {datum_id!r}")
        else:
            data_key = descriptor["data_keys"].get(name, {})
            colour = self._is_colour(name, data_key)
            pixels = self._external.datum(resource, datum, data_key, colour=colour)
        yield from frames_of(run, descriptor, event, name, pixels)

    def _streamed(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        resource_uid: str,
        index: int,
        seq_num: int,
        *,
        last: bool,
    ) -> Iterator[Frame]:
        """Give the images of one index of a stream datum, joined with its event."""
        resource = self._referenced.stream_resources.get(resource_uid)
        again = (run, descriptor, resource_uid, index, seq_num)
        if resource is None:
            if not last:
                later = partial(self._streamed, *again)
                self._waiting.wait(run.uid, resource_uid, later)
                return
            message = f"no document described stream resource {resource_uid!r}"
            problem = ReadError(message)
            alone = _event_alone(descriptor, seq_num)
            yield from frames_of(run, descriptor, alone, None, problem)
            return
        name = resource["data_key"]
        data_key = descriptor["data_keys"].get(name, {})
        if not (is_image(data_key) if self.fields is None else name in self.fields):
            return
        if self.fields is not None and not _may_be_image(data_key):
            return  # said at the end of the run
        place = (str(descriptor["name"]), seq_num)
        run.told[str(descriptor["name"]), name].add(seq_num)
        known = run.events.get(place)
        if known is None and self._join_events and not last:
            later = partial(self._streamed, *again)
            self._waiting.wait(run.uid, (run.uid, *place), later)
            return
        event = known or _event_alone(descriptor, seq_num)
        colour = self._is_colour(name, data_key)
        pixels = self._external.asset(resource, index, data_key, colour=colour)
        yield from frames_of(run, descriptor, event, name, pixels)

    def _is_colour(self, name: str, data_key: Mapping[str, Any]) -> bool:
        return name in self._colour or is_colour(data_key)

    # ---- the end of a run

    def _end(self, run: OpenRun) -> Iterator[Frame]:
        yield from self._waiting.leave(run.uid)
        for stream, name, seq_num in run.untold():
            lost = ReadError(f"no stream datum told of event {seq_num} of {name!r}")
            yield Frame(
                run=run.uid,
                stream=stream,
                field=name,
                seq_num=seq_num,
                start=run.start,
                problem=lost,
            )
        for field, problem in run.missing(self.fields, self._streams):
            yield Frame(run=run.uid, field=field, start=run.start, problem=problem)
        self._runs.pop(run.uid, None)
        for uid in run.descriptors:
            self._run_of_descriptor.pop(uid, None)
        self._referenced.forget(run.uid)
        if not self._runs:
            # Resources need not name their run, so they go when the last run goes.
            self._referenced.clear()

    def _stranger(self, descriptor: str) -> Iterator[Frame]:
        """Account for events whose descriptor never came, once a descriptor."""
        if descriptor in self._run_of_descriptor:
            return  # of a stream that was not asked for
        message = "events without their descriptor are left out"
        if self._is_new(descriptor, message):
            problem = SourceError(f"{message} (descriptor {descriptor})")
            yield Frame(run="", problem=problem)

    def _is_new(self, key: str, message: str) -> bool:
        """Say something once; tell whether this was the first time."""
        if key in self._strangers:
            return False
        self._strangers.add(key)
        logger.warning("%s (%s)", message, str(key)[:8])
        return True


def _event_alone(descriptor: Mapping[str, Any], seq_num: int) -> dict[str, Any]:
    """Stand in for an event: a fly scan has none, and its descriptor's time only."""
    return {"seq_num": seq_num, "time": descriptor["time"], "data": {}}


def _is_2d(value: object) -> bool:
    shape = inline_shape(value)
    return shape is not None and len(shape) >= 2


def _may_be_image(data_key: Mapping[str, Any]) -> bool:
    shape = data_key.get("shape")
    return shape is None or len(shape) >= 2


def _without_images(event: Mapping[str, Any]) -> dict[str, Any]:
    """Keep an event's scalars: its images would be held until the run ends."""
    data = {name: value for name, value in event["data"].items() if not _is_2d(value)}
    return {**event, "data": data}

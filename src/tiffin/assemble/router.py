"""The assembler: documents of any number of runs in, frames out."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, cast

from event_model import unpack_datum_page, unpack_event_page

from tiffin.assemble.inline import (
    ListDtypes,
    declared_dtype,
    inline_pixels,
    inline_shape,
)
from tiffin.assemble.run import OpenRun, announced_shape, is_image
from tiffin.errors import NoImageError, ReadError, SourceError, TiffinError
from tiffin.frames import Frame, Pixels
from tiffin.readers import DatumPixels, Handlers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    ) -> None:
        self._fields = fields
        self._streams = streams
        self._dtypes = dtypes or ListDtypes()
        self._handlers = Handlers()
        self._runs: dict[str, OpenRun] = {}
        self._run_of_descriptor: dict[str, OpenRun] = {}
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._stream_resources: dict[str, Mapping[str, Any]] = {}
        self._datums: dict[str, Mapping[str, Any]] = {}
        self._strangers: set[str] = set()
        self._methods = {
            "start": self._start,
            "descriptor": self._descriptor,
            "resource": self._resource,
            "datum": self._datum,
            "datum_page": self._datum_page,
            "event": self._event,
            "event_page": self._event_page,
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
            self._once(name, f"documents of kind {name!r} are not known here")
            return
        try:
            yield from method(doc) or ()
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            kind = type(error).__name__
            message = f"a {name} document can't be understood: {kind}: {error}"
            raise SourceError(message) from error

    def finish(self) -> Iterator[Frame]:
        """End the runs that never stopped."""
        for run in list(self._runs.values()):
            yield from self._end(run)

    def close(self) -> None:
        """Close the external files that are open."""
        self._handlers.close()

    # ---- one method a kind of document

    def _start(self, doc: Mapping[str, Any]) -> None:
        self._runs[doc["uid"]] = OpenRun(start=doc)

    def _descriptor(self, doc: Mapping[str, Any]) -> None:
        run = self._runs.get(doc["run_start"])
        if run is None:
            self._once(doc["run_start"], "a run joined after its start is not exported")
            return
        run.descriptors[doc["uid"]] = doc
        self._run_of_descriptor[doc["uid"]] = run

    def _resource(self, doc: Mapping[str, Any]) -> None:
        self._resources[doc["uid"]] = doc

    def _datum(self, doc: Mapping[str, Any]) -> None:
        self._datums[doc["datum_id"]] = doc

    def _datum_page(self, doc: Mapping[str, Any]) -> None:
        for datum in unpack_datum_page(cast(Any, doc)):
            self._datum(datum)

    def _event_page(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        for event in unpack_event_page(cast(Any, doc)):
            yield from self._event(event)

    def _event(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        run = self._run_of_descriptor.get(doc["descriptor"])
        if run is None:
            self._once(doc["descriptor"], "events without their descriptor are dropped")
            return
        descriptor = run.descriptors[doc["descriptor"]]
        if self._streams is not None and descriptor["name"] not in self._streams:
            return
        for name in self._fields_in(doc["data"], descriptor["data_keys"]):
            yield from self._images(run, descriptor, doc, name)

    def _stream_resource(self, doc: Mapping[str, Any]) -> None:
        self._stream_resources[doc["uid"]] = doc

    def _stream_datum(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        run = self._run_of_descriptor.get(doc["descriptor"])
        resource = self._stream_resources[doc["stream_resource"]]
        name = resource["data_key"]
        if run is None or (self._fields is not None and name not in self._fields):
            return
        descriptor = run.descriptors[doc["descriptor"]]
        if self._streams is not None and descriptor["name"] not in self._streams:
            return
        if self._fields is None and not is_image(descriptor["data_keys"].get(name, {})):
            return
        message = f"stream resources ({resource['mimetype']}) can't be read yet"
        for seq_num in range(doc["seq_nums"]["start"], doc["seq_nums"]["stop"]):
            event = {"seq_num": seq_num, "data": {}}
            problem = ReadError(f"field {name!r}: {message}")
            yield from self._frames(run, descriptor, event, name, problem)

    def _stop(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        run = self._runs.get(doc["run_start"])
        if run is not None:
            yield from self._end(run)

    # ---- from an event to frames

    def _fields_in(
        self, data: Mapping[str, Any], data_keys: Mapping[str, Any]
    ) -> list[str]:
        if self._fields is not None:
            return [name for name in self._fields if name in data_keys or name in data]
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
            yield from self._frames(run, descriptor, event, name, problem)
            return
        value = event["data"][name]
        shape = inline_shape(value)
        if isinstance(value, str) and (external or name in event.get("filled", {})):
            pixels: Pixels | TiffinError = self._datum_pixels(value, data_key)
        elif shape is None or (
            len(shape) < 2 and not (is_image(data_key) and shape == (0,))
        ):
            return  # no image: said at the end of the run, if it was asked for
        else:
            where = (run.uid, descriptor["name"], name)
            pixels = inline_pixels(value, data_key, self._dtypes, where)
        yield from self._frames(run, descriptor, event, name, pixels)

    def _frames(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
        pixels: Pixels | TiffinError,
    ) -> Iterator[Frame]:
        """Give the frames of one event and field, or the one that says why not."""
        run.seen.add(name)
        stream = str(descriptor["name"])
        context: dict[str, Any] = {
            "run": run.uid,
            "stream": stream,
            "field": name,
            "seq_num": event["seq_num"],
            "start": run.start,
            "descriptor": descriptor,
            "event": event,
        }
        if isinstance(pixels, TiffinError):
            yield Frame(problem=pixels, **context)
            return
        count = 1 if pixels.shape is None else math.prod(pixels.shape[:-2])
        if pixels.shape is not None and not math.prod(pixels.shape):
            shape = list(pixels.shape)
            message = (
                f"event {event['seq_num']} holds no image of {name!r}: shape {shape}"
            )
            yield Frame(problem=NoImageError(message), **context)
            return
        first = run.number(stream, name, count)
        for i in range(count):
            yield Frame(pixels=pixels, i=i, number=first + i, **context)

    def _datum_pixels(
        self, datum_id: str, data_key: Mapping[str, Any]
    ) -> DatumPixels | TiffinError:
        datum = self._datums.get(datum_id)
        if datum is None:
            return ReadError(f"datum {datum_id!r} has not been described by a document")
        resource = self._resources.get(datum["resource"])
        if resource is None:
            return ReadError(
                f"resource {datum['resource']!r} of datum {datum_id!r} is unknown"
            )
        return DatumPixels(
            handlers=self._handlers,
            resource=resource,
            datum_kwargs=datum["datum_kwargs"],
            shape=announced_shape(data_key),
            dtype=declared_dtype(data_key),
        )

    # ---- the end of a run

    def _end(self, run: OpenRun) -> Iterator[Frame]:
        for name, problem in run.missing(self._fields, self._streams):
            yield Frame(run=run.uid, field=name, start=run.start, problem=problem)
        self._runs.pop(run.uid, None)
        for uid in run.descriptors:
            self._run_of_descriptor.pop(uid, None)
        if not self._runs:
            # Resources need not name their run, so they go when the last run goes.
            for documents in (self._resources, self._stream_resources, self._datums):
                documents.clear()

    def _once(self, key: str, message: str) -> None:
        if key not in self._strangers:
            self._strangers.add(key)
            logger.warning("%s (%s)", message, str(key)[:8])


def _is_2d(value: object) -> bool:
    shape = inline_shape(value)
    return shape is not None and len(shape) >= 2

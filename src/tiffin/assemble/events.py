"""Events: images in the event itself, or in files that datums and resources name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import declared_dtype, declares_image, is_streamed
from tiffin.assemble.document_copies import array_shape
from tiffin.assemble.inline import inline_pixels
from tiffin.assemble.malformed import MALFORMED_OR_OURS, malformed_error, parse_int
from tiffin.assemble.pending import DocumentCache, MissingDocument
from tiffin.errors import FieldError, NoImageError
from tiffin.readers import DatumPixels, Handlers, RootMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.assemble.data_keys import FieldSelection
    from tiffin.assemble.list_images import ListDtypes
    from tiffin.assemble.pending import PendingFrames
    from tiffin.assemble.runs import OpenRun
    from tiffin.errors import TiffinError
    from tiffin.frames import Frame, Pixels


class Events:
    """Makes the frames of events, and owns the handlers that have files open.

    See `Assembler` for the parameters.
    """

    def __init__(
        self,
        selection: FieldSelection,
        pending: PendingFrames,
        dtypes: ListDtypes,
        roots: RootMap | None,
    ) -> None:
        self._selection = selection
        self._pending = pending
        self._dtypes = dtypes
        self._handlers = Handlers(roots)
        self.resources = DocumentCache()
        self.datums = DocumentCache(single_use=True)

    def add_resource(self, doc: Mapping[str, Any], run: str | None) -> Iterator[Frame]:
        """Add a resource of an open run; yield the frames that waited for it."""
        self.resources.add(doc["uid"], doc, run)
        yield from self._pending.arrived(doc["uid"])

    def add_datum(self, doc: Mapping[str, Any], run: str | None) -> Iterator[Frame]:
        """Add a datum, of its resource's run if that is open, else of `run`."""
        run = self.resources.run_of(doc["resource"]) or run
        self.datums.add(doc["datum_id"], doc, run)
        yield from self._pending.arrived(doc["datum_id"])

    def frames(
        self, run: OpenRun, descriptor: Mapping[str, Any], event: Mapping[str, Any]
    ) -> Iterator[Frame]:
        """Yield the frames of an event, field by field."""
        data, data_keys = event["data"], descriptor["data_keys"]
        for name in self._selection.in_event(data, data_keys):
            data_key = data_keys.get(name, {})
            if name in data and _is_reference(event, name, data_key):
                yield from self._of_datum(run, descriptor, event, name, final=False)
            elif name in data:
                pixels = self._inline(run, descriptor, event, name, data_key)
                if pixels is not None:
                    yield from run.frames(descriptor, event, name, pixels)
            elif not is_streamed(data_key):
                problem = NoImageError(f"event {event['seq_num']} has no {name!r}")
                yield from run.frames(descriptor, event, name, problem)

    def end_run(self, run: str) -> None:
        """Drop what only an ended run refers to."""
        self.resources.end_run(run)
        self.datums.end_run(run)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        self._handlers.close()

    def _inline(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
        data_key: Mapping[str, Any],
    ) -> Pixels | TiffinError | None:
        """Return the pixels of a value, or why there are none; None for no image."""
        value = event["data"][name]
        shape = array_shape(value)
        has_axes = shape is not None and len(shape) >= 2
        declared = has_axes or declares_image(data_key)
        if has_axes or (declared and shape == (0,)):
            key = (run.uid, descriptor["name"], name)
            try:
                hints = self._selection.hints(name, data_key)
                pixels: Any = inline_pixels(value, data_key, self._dtypes, key, hints)
                return self._selection.check(pixels, declared=False)
            except MALFORMED_OR_OURS as error:
                return malformed_error(f"event {event['seq_num']}: {name!r}", error)
        if declared or name in run.found:
            got = type(value).__name__ if shape is None else f"shape {list(shape)}"
            message = f"event {event['seq_num']}: {name!r} is not an image here ({got})"
            return FieldError(message)
        return None  # the end of the run reports it, if the user asked for this field

    def _of_datum(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
        numbers: range | None = None,
        *,
        final: bool,
    ) -> Iterator[Frame]:
        """Yield the images of a datum, once the datum and its resource are known."""
        datum_id = event["data"][name]
        data_key = descriptor["data_keys"].get(name, {})
        pixels: Pixels | TiffinError
        try:
            hints = self._selection.hints(name, data_key)
            datum, resource = self._resolve(datum_id)
            self._handlers.factory(resource["spec"])  # raises if no handler reads it
            datum_pixels = DatumPixels(
                handlers=self._handlers,
                resource=resource,
                datum_kwargs=datum["datum_kwargs"],
                shape=hints.shape,
                dtype=declared_dtype(data_key),
                hints=hints,
            )
            pixels = self._selection.check(datum_pixels, declared=True)
        except MALFORMED_OR_OURS as error:
            if isinstance(error, MissingDocument) and not final:
                if numbers is None:  # now, so that waiting changes no number
                    stream, seq_num = descriptor["name"], parse_int(event["seq_num"])
                    numbers = run.take_numbers(
                        stream, name, seq_num, hints.shape, hints
                    )
                args = (run, descriptor, event, name, numbers)
                self._pending.add(run.uid, error.uid, self._of_datum, *args)
                return
            pixels = malformed_error(f"datum {datum_id!r} or its resource", error)
        yield from run.frames(descriptor, event, name, pixels, numbers)

    def _resolve(self, datum_id: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return a datum and its resource."""
        datum = self.datums.get(datum_id)
        if datum is None:
            message = f"no document described datum {datum_id!r}"
            raise MissingDocument(message, datum_id)
        uid = datum["resource"]
        resource = self.resources.get(uid)
        if resource is None:
            message = f"no document described resource {uid!r} of datum {datum_id!r}"
            raise MissingDocument(message, uid)
        self.datums.mark_used(datum_id)
        self.resources.mark_used(uid)
        return datum, resource


def _is_reference(
    event: Mapping[str, Any], name: str, data_key: Mapping[str, Any]
) -> bool:
    if not isinstance(event["data"][name], str):
        return False
    filled = event.get("filled")
    in_filled = isinstance(filled, Mapping) and name in filled
    return in_filled or bool(str(data_key.get("external", "")))

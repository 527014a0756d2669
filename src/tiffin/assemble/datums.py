"""Resources and datums: an event has the datum's id in place of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import declared_dtype
from tiffin.assemble.malformed import MALFORMED_OR_OURS, malformed_error, parse_int
from tiffin.assemble.references import DocumentCache, MissingDocument
from tiffin.readers import DatumPixels, Handlers, RootMap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.assemble.field_selection import FieldSelection
    from tiffin.assemble.references import PendingFrames
    from tiffin.assemble.runs import OpenRun
    from tiffin.errors import TiffinError
    from tiffin.frames import Frame, Pixels

__all__ = ["Datums"]


class Datums:
    """Makes the frames of datums, and owns the handlers that have files open.

    Parameters
    ----------
    selection : FieldSelection
    pending : PendingFrames
    roots : RootMap, optional
        For files recorded on another mount.
    """

    def __init__(
        self,
        selection: FieldSelection,
        pending: PendingFrames,
        roots: RootMap | None = None,
    ) -> None:
        self._selection = selection
        self._pending = pending
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
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
        numbers: range | None = None,
        *,
        final: bool,
    ) -> Iterator[Frame]:
        """Yield the images of a datum, once the datum and its resource are known.

        Running numbers are taken now, so that waiting changes no number.
        """
        datum_id = event["data"][name]
        data_key = descriptor["data_keys"].get(name, {})
        pixels: Pixels | TiffinError
        try:
            pixels = self._pixels(datum_id, name, data_key)
            pixels = self._selection.check(pixels, declared=True)
        except MALFORMED_OR_OURS as error:
            if isinstance(error, MissingDocument) and not final:
                if numbers is None:
                    hints = self._selection.hints(name, data_key)
                    stream = descriptor["name"]
                    seq_num = parse_int(event["seq_num"])
                    numbers = run.take_numbers(
                        stream, name, seq_num, hints.shape, hints
                    )
                args = (run, descriptor, event, name, numbers)
                self._pending.add(run.uid, error.uid, self.frames, *args)
                return
            pixels = malformed_error(f"datum {datum_id!r} or its resource", error)
        yield from run.frames(descriptor, event, name, pixels, numbers)

    def end_run(self, run: str) -> None:
        """Drop what only an ended run refers to."""
        self.resources.end_run(run)
        self.datums.end_run(run)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        self._handlers.close()

    def _pixels(
        self, datum_id: str, name: str, data_key: Mapping[str, Any]
    ) -> DatumPixels:
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
        self._handlers.factory(resource["spec"])  # raises if no handler reads it
        hints = self._selection.hints(name, data_key)
        return DatumPixels(
            handlers=self._handlers,
            resource=resource,
            datum_kwargs=datum["datum_kwargs"],
            shape=hints.shape,
            dtype=declared_dtype(data_key),
            hints=hints,
        )

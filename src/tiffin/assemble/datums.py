"""Resources and datums: what an event refers to by a datum's id."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import announced_dtype
from tiffin.assemble.event_frames import frames_of, take_numbers
from tiffin.assemble.malformed import MALFORMED_OR_OURS, malformed_error
from tiffin.assemble.references import DocumentCache, MissingDocument
from tiffin.readers import DatumPixels, Handlers, RootMap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.assemble.field_selection import FieldSelection
    from tiffin.assemble.references import PendingFrames
    from tiffin.assemble.run import OpenRun
    from tiffin.errors import TiffinError
    from tiffin.frames import Frame, Pixels

__all__ = ["Datums"]


class Datums:
    """Knows resources and datums, and owns the files that reading them opens.

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

    def resource(self, doc: Mapping[str, Any], run: str | None) -> Iterator[Frame]:
        """Take a resource of an open run; give the frames that waited for it."""
        self.resources.add(doc["uid"], doc, run)
        yield from self._pending.arrived(doc["uid"])

    def datum(self, doc: Mapping[str, Any], run: str | None) -> Iterator[Frame]:
        """Take a datum, of its resource's run or else this one."""
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
        """Return the images of a datum, once datum and resource are known.

        Their running numbers are taken when the event comes, not when these do.
        """
        datum_id = str(event["data"][name])
        data_key = descriptor["data_keys"].get(name, {})
        pixels: Pixels | TiffinError
        try:
            pixels = self._pixels(datum_id, name, data_key)
        except MALFORMED_OR_OURS as error:
            if isinstance(error, MissingDocument) and not final:
                if numbers is None:
                    hints = self._selection.hints(name, data_key)
                    number = event["seq_num"]
                    numbers = take_numbers(
                        run, descriptor, name, number, hints.shape, hints
                    )
                again = partial(self.frames, run, descriptor, event, name, numbers)
                self._pending.add(run.uid, error.uid, again)
                return
            pixels = malformed_error(f"what describes datum {datum_id!r}", error)
        checked = self._selection.checked(pixels, announced=True)
        yield from frames_of(run, descriptor, event, name, checked, numbers)

    def end_run(self, run: str) -> None:
        """Let go of what an ended run alone refers to."""
        self.resources.end_run(run)
        self.datums.end_run(run)

    def close(self) -> None:
        """Close the files that are open; what is asked for later opens them anew."""
        self._handlers.close()

    def _pixels(
        self, datum_id: str, name: str, data_key: Mapping[str, Any]
    ) -> DatumPixels:
        """See a datum as pixels.

        Raises
        ------
        MissingDocument
            If it, or its resource, is not known yet.
        UnknownFormatError
            If nobody can read its spec.
        """
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
        self._handlers.factory(resource["spec"])
        hints = self._selection.hints(name, data_key)
        return DatumPixels(
            handlers=self._handlers,
            resource=resource,
            datum_kwargs=datum["datum_kwargs"],
            shape=hints.shape,
            dtype=announced_dtype(data_key),
            hints=hints,
        )

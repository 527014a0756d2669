"""The assembler: documents of any number of runs in, frames out."""

from __future__ import annotations

import logging
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from event_model import unpack_datum_page

from tiffin.assemble.data_keys import DeclaredImages
from tiffin.assemble.datums import Datums
from tiffin.assemble.documents import without_images
from tiffin.assemble.events import Events
from tiffin.assemble.field_selection import FieldSelection
from tiffin.assemble.inline import ListDtypes
from tiffin.assemble.legacy_documents import unpack_bulk_datum
from tiffin.assemble.lookahead import BASELINE, LateDocuments, unpack_events
from tiffin.assemble.malformed import MALFORMED, malformed_error, parse_int
from tiffin.assemble.references import PendingFrames
from tiffin.assemble.run import OpenRun
from tiffin.assemble.runs import Runs
from tiffin.assemble.stream_datums import StreamDatums
from tiffin.axes import Axes
from tiffin.errors import ReadError, SourceError
from tiffin.frames import Frame, FrameId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np

    from tiffin.assemble.references import DocumentCache
    from tiffin.readers import RootMap

__all__ = ["Assembler"]

logger = logging.getLogger("tiffin")

MOST_STRANGERS = 10_000
"""Documents of which it was said once that they are left out."""


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
    axes : Axes, optional
        What the user says of arrays' axes.
    roots : RootMap, optional
        For files recorded on another mount.
    late_documents : LateDocuments, optional
        What a replay's documents tell only later.
    corrected : bool
        Whether corrections act on the images, other than a cast: they may make real
        numbers of complex ones. Where none does, what no TIFF can hold is one problem
        an event.
    cast : numpy.dtype, optional
        What images are cast to in the end, where nothing else acts on them.
    counts : dict, optional
        (run, stream resource) → how many events are known, where others know it too.
    repeats : bool
        Whether points that are taken again get running numbers of their own.

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
        axes: Axes | None = None,
        roots: RootMap | None = None,
        late_documents: LateDocuments | None = None,
        corrected: bool = True,
        cast: np.dtype | None = None,
        counts: dict[tuple[str, str], int] | None = None,
        repeats: bool = False,
    ) -> None:
        self._selection = selection = FieldSelection(
            fields=fields,
            streams=streams,
            axes=axes or Axes(),
            corrected=corrected,
            cast=cast,
        )
        self._repeats = repeats
        self._late_documents = late_documents or LateDocuments()
        self._runs = Runs()
        self._pending = pending = PendingFrames()
        self._datums = Datums(selection, pending, roots)
        self._events = Events(selection, dtypes or ListDtypes(), self._datums)
        self._stream_datums = StreamDatums(
            selection, pending, join_events=join_events, roots=roots, counts=counts
        )
        self._strangers: set[str] = set()
        self._methods: dict[str, Callable[[Any], Iterator[Frame] | None]] = {
            "start": self._start,
            "descriptor": self._descriptor,
            "resource": self._resource,
            "datum": self._datum,
            "datum_page": partial(self._page, "datum_page"),
            "bulk_datum": partial(self._page, "bulk_datum"),
            "event": self._event,
            "event_page": partial(self._page, "event_page"),
            "bulk_events": partial(self._page, "bulk_events"),
            "stream_resource": self._stream_resource,
            "stream_datum": self._stream_datum,
            "stop": self._stop,
        }

    @property
    def fields(self) -> tuple[str, ...] | None:
        """Which fields; None means every one. May be changed between two documents."""
        return self._selection.fields

    @fields.setter
    def fields(self, fields: tuple[str, ...] | None) -> None:
        self._selection.fields = fields

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
        except MALFORMED as error:
            raise malformed_error(f"this {name} document", error) from error

    def finish(self) -> Iterator[Frame]:
        """End the runs that never stopped."""
        for run in self._runs:
            yield from self._end(run)

    def close(self) -> None:
        """Close the external files that are open."""
        self._datums.close()
        self._stream_datums.close()

    def kept(self) -> tuple[DocumentCache, ...]:
        """Return the documents that are kept for others to refer to."""
        datums = self._datums
        return datums.resources, datums.datums, self._stream_datums.resources

    def declared_images(self, descriptor: Mapping[str, Any]) -> DeclaredImages | None:
        """Return what a descriptor promises; None if its stream is left out."""
        found = self._selected(descriptor["uid"])
        if found is None:
            return None
        run, descriptor = found  # as it is understood
        data_keys = descriptor["data_keys"]
        images = {
            name: self._selection.hints(name, data_keys[name]).images
            for name in self._selection.announced(data_keys)
        }
        return DeclaredImages(run.start, descriptor, images)

    # ---- one method a kind of document

    def _start(self, doc: Mapping[str, Any]) -> None:
        uid = str(doc["uid"])
        if self._runs.get(uid) is not None:
            return  # delivered twice; a run that has stopped may come again
        stop = self._late_documents.stops.get(uid, {})
        baseline = self._late_documents.baselines.get(uid, {})
        self._runs.begin(
            OpenRun(start=doc, stop=stop, baseline=baseline, repeats=self._repeats)
        )

    def _descriptor(self, doc: Mapping[str, Any]) -> None:
        if not self._runs.describe(doc):
            self._is_new(doc["run_start"], "a run joined after its start is left out")

    def _resource(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        return self._datums.resource(doc, self._runs.owner(doc))

    def _datum(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        return self._datums.datum(doc, self._runs.owner(doc))

    def _stream_resource(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        return self._stream_datums.resource(doc, self._runs.owner(doc))

    def _stream_datum(self, doc: Mapping[str, Any]) -> Iterator[Frame] | None:
        found = self._selected(doc["descriptor"])
        if found is None:
            return self._stranger(doc["descriptor"])
        if found[0].is_known("stream_datum", doc):
            return None
        return self._stream_datums.datum(*found, doc)

    def _event(self, doc: Mapping[str, Any]) -> Iterator[Frame] | None:
        self._note_baseline(doc)
        found = self._selected(doc["descriptor"])
        if found is None:
            return self._stranger(doc["descriptor"])
        run, descriptor = found
        if run.is_known("event", doc):
            return None
        run.numbers[descriptor["name"]].add(parse_int(doc["seq_num"]))
        return chain(
            self._events.frames(run, descriptor, doc),
            self._stream_datums.event(run, descriptor, doc),
        )

    def _note_baseline(self, event: Mapping[str, Any]) -> None:
        run, descriptor = self._runs.find(event["descriptor"]) or (None, {})
        if run is not None and not run.baseline and descriptor["name"] == BASELINE:
            run.baseline = without_images(event)["data"]

    def _page(self, name: str, doc: Mapping[str, Any]) -> Iterator[Frame]:
        """Take what a page holds; one that is not understood does not cost the rest."""
        method = self._methods["datum" if "datum" in name else "event"]
        for part in _parts_of(name, doc):
            try:
                yield from method(part) or ()
            except MALFORMED as error:
                problem = malformed_error(f"part of this {name} document", error)
                yield Frame(id=FrameId(self._runs.uid_for(part)), problem=problem)

    def _stop(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        run = self._runs.get(doc["run_start"])
        if run is not None:
            yield from self._end(run)

    def _selected(self, uid: str) -> tuple[OpenRun, Mapping[str, Any]] | None:
        """Find run and descriptor, if the descriptor's stream is asked for."""
        found = self._runs.find(uid)
        wanted = found is not None and self._selection.has_stream(found[1]["name"])
        return found if wanted else None

    def _stranger(self, descriptor: str) -> Iterator[Frame]:
        """Account for events whose descriptor never came, once a descriptor."""
        if self._runs.find(descriptor) is not None:
            return  # of a stream that was not asked for
        message = "events without their descriptor are left out"
        if self._is_new(descriptor, message):
            problem = SourceError(f"{message} (descriptor {descriptor})")
            yield Frame(id=FrameId(""), problem=problem)

    def _is_new(self, key: str, message: str) -> bool:
        """Say something once; tell whether this was the first time."""
        if key in self._strangers:
            return False
        if len(self._strangers) >= MOST_STRANGERS:
            self._strangers.clear()
        self._strangers.add(key)
        logger.warning("%s (%s)", message, str(key)[:8])
        return True

    # ---- the end of a run

    def _end(self, run: OpenRun) -> Iterator[Frame]:
        yield from self._pending.end_run(run.uid)
        for stream, name, seq_num in run.untold():
            lost = ReadError(f"no stream datum told of event {seq_num} of {name!r}")
            which = FrameId(run.uid, stream, name, seq_num)
            yield Frame(id=which, start=run.start, problem=lost)
        for field, problem in run.missing(self.fields, self._selection.streams):
            which = FrameId(run.uid, field=field)
            yield Frame(id=which, start=run.start, problem=problem)
        self._runs.end(run)
        self._datums.end_run(run.uid)
        self._stream_datums.end_run(run.uid)


def _parts_of(name: str, doc: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Return the datums or events that a document holds."""
    if name == "datum_page":
        datums: Iterable[Any] = unpack_datum_page(cast(Any, doc))
        return datums
    return unpack_bulk_datum(doc) if name == "bulk_datum" else unpack_events(name, doc)

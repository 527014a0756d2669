"""The assembler: the documents of any number of runs in, frames out."""

from __future__ import annotations

import logging
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from tiffin.assemble.data_keys import DeclaredImages, FieldSelection
from tiffin.assemble.document_copies import without_images
from tiffin.assemble.events import Events
from tiffin.assemble.legacy_documents import unpack
from tiffin.assemble.list_images import ListDtypes
from tiffin.assemble.lookahead import BASELINE, LateDocuments
from tiffin.assemble.malformed import MALFORMED, malformed_error, parse_int
from tiffin.assemble.missing_fields import missing_fields
from tiffin.assemble.pending import PendingFrames
from tiffin.assemble.runs import OpenRun, Runs
from tiffin.assemble.stream_datums import StreamDatums
from tiffin.axes import Axes
from tiffin.errors import ReadError, SourceError
from tiffin.frames import Frame, FrameId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np

    from tiffin.readers import RootMap

logger = logging.getLogger("tiffin")

MAX_WARNINGS = 10_000
"""How many warnings are remembered, so that each is logged once."""


class Assembler:
    """Turns documents into frames, without reading pixels. Runs may be interleaved.

    Parameters
    ----------
    fields, streams : tuple of str or None
        What to select; None means every field with images, and every stream.
    dtypes : ListDtypes, optional
        Chooses the dtype of lists for which none is declared.
    join_events : bool
        Whether a stream datum waits for its event, whose data somebody needs.
    join_readings : bool
        Whether it waits where there is an event, as far as that can be known.
    patience : int
        After how many points more a stream of nothing but images counts as one without
        events.
    axes : Axes, optional
        What the user says of arrays' axes.
    roots : RootMap, optional
        For files recorded on another mount.
    late_documents : LateDocuments, optional
        What a replay has looked up beforehand.
    corrected : bool
        Whether corrections, other than a cast, may turn images that can't be written
        as TIFF into some that can. Otherwise such images are refused.
    cast : numpy.dtype, optional
        What images are cast to.
    counts : dict, optional
        (run, stream resource) → number of events, shared with other assemblers.
    repeats : bool
        Whether a retake gets running numbers of its own.
    warned : set of str, optional
        What was warned of already, shared with other assemblers.

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
        join_readings: bool = False,
        patience: int = 0,
        axes: Axes | None = None,
        roots: RootMap | None = None,
        late_documents: LateDocuments | None = None,
        corrected: bool = True,
        cast: np.dtype | None = None,
        counts: dict[tuple[str, str], int] | None = None,
        repeats: bool = False,
        warned: set[str] | None = None,
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
        self._events = Events(selection, pending, dtypes or ListDtypes(), roots)
        self._stream_datums = StreamDatums(
            selection,
            pending,
            join_events=join_events,
            join_readings=join_readings,
            patience=patience,
            roots=roots,
            counts=counts,
        )
        self._warned: set[str] = set() if warned is None else warned

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The selected fields; None means all."""
        return self._selection.fields

    @fields.setter
    def fields(self, fields: tuple[str, ...] | None) -> None:
        self._selection.fields = fields

    def __call__(self, name: str, doc: Mapping[str, Any]) -> Iterator[Frame]:
        """Take one document, and yield the frames that it completes.

        The frames of one event and field are consecutive and share their pixels. A
        malformed document raises a SourceError.
        """
        method = self._methods.get(name)
        if method is None:
            self._warn_once(name, f"documents of type {name!r} are ignored")
            return
        try:
            yield from method(self, doc) or ()
        except MALFORMED as error:
            raise malformed_error(f"this {name} document", error) from error

    def finish(self) -> Iterator[Frame]:
        """End the runs that have no stop document."""
        for run in self._runs:
            yield from self._end(run)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        self._events.close()
        self._stream_datums.close()

    def declared_images(self, descriptor: Mapping[str, Any]) -> DeclaredImages | None:
        """Return what a descriptor declares, None if its stream is not selected."""
        found = self._find_selected(descriptor["uid"])
        if found is None:
            return None
        run, descriptor = found
        data_keys = descriptor["data_keys"]
        images = {
            name: self._selection.hints(name, data_keys[name]).images
            for name in self._selection.declared(data_keys)
        }
        return DeclaredImages(run.start, descriptor, images)

    # ---- one method for each type of document

    def _start(self, doc: Mapping[str, Any]) -> None:
        uid = str(doc["uid"])
        if self._runs.get(uid) is None:  # else it was delivered twice
            late = self._late_documents
            run = OpenRun(
                start=doc,
                stop=late.stops.get(uid, {}),
                baseline=late.baselines.get(uid, {}),
                number_repeats=self._repeats,
            )
            self._runs.begin(run)

    def _descriptor(self, doc: Mapping[str, Any]) -> None:
        if not self._runs.add_descriptor(doc):
            message = "a run whose start document is missing is ignored"
            self._warn_once(doc["run_start"], message)

    def _resource(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        return self._events.add_resource(doc, self._runs.owner(doc))

    def _datum(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        return self._events.add_datum(doc, self._runs.owner(doc))

    def _stream_resource(self, doc: Mapping[str, Any]) -> Iterator[Frame]:
        return self._stream_datums.add_resource(doc, self._runs.owner(doc))

    def _stream_datum(self, doc: Mapping[str, Any]) -> Iterator[Frame] | None:
        found = self._find_selected(doc["descriptor"])
        if found is None:
            return self._without_descriptor(doc["descriptor"])
        if found[0].is_duplicate("stream_datum", doc):
            return None
        return self._stream_datums.frames(*found, doc)

    def _event(self, doc: Mapping[str, Any]) -> Iterator[Frame] | None:
        run, descriptor = self._runs.find(doc["descriptor"]) or (None, {})
        if run is None:
            return self._without_descriptor(doc["descriptor"])
        if not run.baseline and descriptor["name"] == BASELINE:
            run.baseline = without_images(doc)["data"]
        if not self._selection.has_stream(descriptor["name"]):
            return None
        if run.is_duplicate("event", doc):
            return None
        run.event_counts[descriptor["name"]] += 1
        run.seq_nums[descriptor["name"]].add(parse_int(doc["seq_num"]))
        return chain(
            self._events.frames(run, descriptor, doc),
            self._stream_datums.add_event(run, descriptor, doc),
        )

    def _page(self, doc: Mapping[str, Any], *, name: str) -> Iterator[Frame]:
        """Take the parts of a page. A malformed one does not affect the others."""
        method = self._datum if "datum" in name else self._event
        for part in unpack(name, doc):
            try:
                yield from method(part) or ()
            except MALFORMED as error:
                problem = malformed_error(f"part of this {name} document", error)
                yield Frame(id=FrameId(self._runs.uid_of(part)), problem=problem)

    def _stop(self, doc: Mapping[str, Any]) -> Iterator[Frame] | None:
        run = self._runs.get(doc["run_start"])
        if run is None:
            return None
        self._warn_of_lost_events(run, doc)
        return self._end(run)

    def _find_selected(self, uid: str) -> tuple[OpenRun, Mapping[str, Any]] | None:
        """Return run and descriptor, if the descriptor's stream is selected."""
        found = self._runs.find(uid)
        if found is None or not self._selection.has_stream(found[1]["name"]):
            return None
        return found

    def _without_descriptor(self, descriptor: str) -> Iterator[Frame]:
        """Report events of an unknown descriptor, once."""
        message = "events without their descriptor are left out"
        if self._runs.find(descriptor) is None and self._warn_once(descriptor, message):
            problem = SourceError(f"{message} (descriptor {descriptor})")
            yield Frame(id=FrameId(""), problem=problem)

    def _warn_once(self, key: str, message: str) -> bool:
        """Log a warning; return False if it was logged before."""
        if key in self._warned:
            return False
        if len(self._warned) >= MAX_WARNINGS:
            self._warned.clear()
        self._warned.add(key)
        logger.warning("%s (%s)", message, str(key)[:8])
        return True

    def _warn_of_lost_events(self, run: OpenRun, stop: Mapping[str, Any]) -> None:
        """Say which events the stop document counts, and have not come."""
        counts = stop.get("num_events")
        for descriptor in run.descriptors.values():
            stream = descriptor["name"]
            count = counts.get(stream) if isinstance(counts, dict) else None
            images = self.declared_images(descriptor)
            if not isinstance(count, int) or images is None or not images.images:
                continue
            # Some count a point that was taken again twice.
            lost = count - max(run.event_counts[stream], len(run.seq_nums[stream]))
            if lost > 0:
                message = (
                    f"{lost} of the {count} events of stream {stream!r} that the stop "
                    f"document counts are missing from the source, and so are their "
                    f"images"
                )
                self._warn_once(f"{run.uid} {stream}", message)

    def _end(self, run: OpenRun) -> Iterator[Frame]:
        """End a run: yield the frames that still wait, and report what is missing."""
        yield from self._pending.end_run(run.uid)
        for stream, name, seq_num in run.missing_stream_datums():
            lost = ReadError(f"event {seq_num} of {name!r} has no stream datum")
            frame_id = FrameId(run.uid, stream, name, seq_num)
            yield Frame(id=frame_id, start=run.start, problem=lost)
        selection = self._selection
        for field, problem in missing_fields(run, selection.fields, selection.streams):
            frame_id = FrameId(run.uid, field=field)
            yield Frame(id=frame_id, start=run.start, problem=problem)
        self._runs.end(run)
        self._events.end_run(run.uid)
        self._stream_datums.end_run(run.uid)

    _methods: ClassVar[dict[str, Callable[[Any, Any], Iterator[Frame] | None]]] = {
        "start": _start,
        "descriptor": _descriptor,
        "resource": _resource,
        "datum": _datum,
        "datum_page": partial(_page, name="datum_page"),
        "bulk_datum": partial(_page, name="bulk_datum"),
        "event": _event,
        "event_page": partial(_page, name="event_page"),
        "bulk_events": partial(_page, name="bulk_events"),
        "stream_resource": _stream_resource,
        "stream_datum": _stream_datum,
        "stop": _stop,
    }
    """What takes each type of document."""

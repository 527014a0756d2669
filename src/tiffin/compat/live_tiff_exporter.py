"""The exporter of bluesky's 2016 cookbook, with its signature and its hooks.

Subclasses override ``start``, ``descriptor``, ``event``, ``stop`` or ``_save_image``,
and get documents of their own: what they change in them goes into the files, and is
seen by nobody else. It works in the caller's thread, as it always did. What the recipe
subtracts in ``event`` can be named instead: ``corrections = DarkSubtract()``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import Assembler, ListDtypes, own_copy
from tiffin.corrections import Joining, Notes
from tiffin.engine import Claims, Ledger
from tiffin.errors import (
    CollisionError,
    ExistsError,
    FieldError,
    NoImageError,
    ReadError,
    SettingsError,
    SourceError,
    TemplateError,
    TiffinError,
)
from tiffin.export import Export, ImageContent, record_of
from tiffin.export.correcting import Correcting
from tiffin.export.provenance import provenance
from tiffin.frames import Frame, images_in
from tiffin.records import Record
from tiffin.sources import RunFinder
from tiffin.writers import SeriesWriter, publish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tiffin.corrections import Correction
    from tiffin.export import OnError
    from tiffin.records import Report

__all__ = ["LiveTiffExporter"]

logger = logging.getLogger("tiffin")

MOST_OPEN_RUNS = 100
"""Runs without a stop that are remembered."""


class LiveTiffExporter:
    """Save the images of one field as TIFF files, named by a template.

    Parameters
    ----------
    field : str
        A data key, such as ``"pe1_image"``.
    template : str
        A path with metadata in curly brackets; ``{i}`` numbers the images of a stack.
    dryrun : bool
        Make names, write nothing.
    overwrite : bool
        Whether a file that is there already may be replaced.
    db : object, optional
        Where `corrections` look runs up: ``db[uid]``. External data are read through
        registered handlers, whatever it is.
    on_error : {"report", "raise"}
        What becomes of tiffin's own failures: recorded and logged, or raised, an
        existing file as the OSError that it was. What a subclass's own hooks raise
        always propagates.
    dtype : dtype-like, optional
        Of images that come as lists without a dtype.

    Attributes
    ----------
    field : str
    filenames : list of str
        Of the run in progress, or the last one.
    corrections : correction, or sequence of corrections
        For a subclass to name: what is done to each image after its ``event``, before
        ``_save_image``. Of `tiffin.corrections`; in a sequence, functions ``(image,
        frame) -> image`` as well. A stream that gives darks is not exported.

    Examples
    --------
    The recipe's SubtractedTiffExporter, as float32 that can't wrap:

    >>> from tiffin.corrections import DarkSubtract
    >>> class SubtractedTiffExporter(LiveTiffExporter):
    ...     corrections = DarkSubtract(key="dark_frame")

    One that corrects by itself:

    >>> import tempfile
    >>> from tiffin.testing import run_of
    >>> class Doubled(LiveTiffExporter):
    ...     def event(self, doc):
    ...         doc["data"][self.field] *= 2
    ...         super().event(doc)
    >>> with tempfile.TemporaryDirectory() as out:
    ...     exporter = Doubled("img", out + "/{start.scan_id}_{event.seq_num}.tif")
    ...     for name, doc in run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=7):
    ...         exporter(name, doc)
    ...     [Path(filename).name for filename in exporter.filenames]
    ['7_1.tif', '7_2.tif']
    """

    corrections: Correction | Sequence[Correction] = ()

    def __init__(
        self,
        field: str,
        template: str,
        dryrun: bool = False,
        overwrite: bool = False,
        db: Any = None,
        *,
        on_error: OnError = "report",
        dtype: Any = None,
    ) -> None:
        _check_field(field)
        self._settings = Export.of(
            template,
            fields=field,
            streams=None,
            existing="replace" if overwrite else "error",
            dry_run=dryrun,
            on_error=on_error,
            dtype=dtype,
            corrections=self.corrections,  # type: ignore[arg-type]
        )
        self._settings.refuse_later_roots()
        self.field = field
        self.template = template
        self.dryrun = dryrun
        self.overwrite = overwrite
        self.db = db
        self.filenames: list[str] = []
        self._dtypes = ListDtypes(self._settings.dtype)
        self._assembler = Assembler(
            fields=(field,), streams=None, dtypes=self._dtypes, join_events=True
        )
        self._correcting = Correcting(_steps(self._settings), RunFinder(db))
        self._ledger = Ledger()
        self._writer = SeriesWriter()
        self._starts: dict[str, Mapping[str, Any]] = {}
        self._claims: Claims[tuple[Any, ...]] = Claims()
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self._frame: Frame | None = None
        self._note = ""
        self._failure: Exception | None = None

    @property
    def reports(self) -> dict[str, Report]:
        """Run uid → report, of all runs so far; ``""`` for what belongs to none."""
        return {run: self._ledger.report(run) for run in self._ledger.runs}

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document, and call the hook of its kind."""
        understood = False
        frames: list[Frame] = []
        with self._our_own(doc):
            frames = list(self._assembler(name, _document(name, doc)))
            self._correcting.feed(name, doc)
            understood = True
        if not understood:
            return
        if name == "start":
            self._begin(str(doc["uid"]))
        if name in ("start", "descriptor"):
            getattr(self, name)(own_copy(doc))
            self._assembler.fields = (self.field,)  # a hook may have chosen another
        self._hand_events(frames)
        if name == "stop":
            self.stop(own_copy(doc))
            self._correcting.end_run(str(doc["run_start"]))

    def prepare(self, parts: Iterable[Iterable[tuple[str, Mapping[str, Any]]]]) -> None:
        """Look ahead at a replay: at lists without a dtype, and at darks in streams.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            Gone through once now.
        """
        ahead = Assembler(fields=(self.field,), streams=None, dtypes=self._dtypes)
        with self._dtypes.survey():
            for part in parts:
                with suppress(SourceError):
                    for name, doc in part:
                        with suppress(SourceError):
                            self._correcting.feed(name, doc)
                            list(ahead(name, doc))

    def finish(self) -> None:
        """End the runs that never stopped, at the end of a replay."""
        self._hand_events(list(self._assembler.finish()))

    # ---- the hooks

    def start(self, doc: dict[str, Any]) -> None:
        """Begin a run; names are made of this document."""
        self.filenames = []
        if not self._starts:
            self._claims = Claims()  # a later run may overwrite, one beside it not
        self._starts[doc["uid"]] = doc
        with self._our_own(doc):
            self._settings.template.check_start(doc)

    def descriptor(self, doc: dict[str, Any]) -> None:
        """Begin a stream; names are made of this document."""
        self._descriptors[doc["uid"]] = doc

    def event(self, doc: dict[str, Any]) -> None:
        """Export what stands in the field: one image, or a stack of them.

        Parameters
        ----------
        doc : dict
            An event of one's own; ``doc["data"][self.field]`` is a writable array,
            shape (rows, columns) or (images, rows, columns).
        """
        if self.field not in doc["data"] or self._frame is None:
            return
        frame = self._frame
        array = np.asarray(doc["data"][self.field])
        if array.ndim < 2 or not array.size:
            kind = FieldError if array.ndim < 2 else NoImageError
            message = f"{frame}: no image, its shape is {list(array.shape)}"
            self._record(frame, error=kind(message))
            return
        if frame.stream in self._correcting.streams:
            return
        images = images_in(array, frame.pixels)
        try:
            told = self._told(frame, doc)
        except TiffinError as error:  # a light without a dark, say
            for i in range(images.shape[0]):
                self._record(frame.with_index(i), error=error)
            return
        items = [self._named(told.with_index(i)) for i in range(images.shape[0])]
        names = [name for _, name in items]
        for n, (item, name) in enumerate(items):
            self._export(item, name, images[n], shared=names.count(name) > 1)

    def stop(self, doc: dict[str, Any]) -> None:
        """End a run. The filenames stay."""
        self._starts.pop(doc["run_start"], None)

    def _save_image(self, image: np.ndarray, filename: str) -> None:
        """Write one image, unless this is a dry run.

        Parameters
        ----------
        image : ndarray, shape (rows, columns) [counts]
        filename : str
            Absolute.

        Raises
        ------
        ExistsError
            If the file is there already and may not be replaced.
        """
        path = Path(filename)
        if not self.overwrite and os.path.lexists(path):
            raise ExistsError.at(path)
        if not self.dryrun:
            image = np.asarray(image)
            write = partial(self._writer.write, image=image, note=self._note)
            publish(path, write, replace=self.overwrite)
        self.filenames.append(filename)

    # ---- what the hooks stand on

    def _begin(self, run: str) -> None:
        self._ledger.note(run)
        if len(self._starts) > MOST_OPEN_RUNS:
            for never_stopped in self._starts:
                self._correcting.end_run(never_stopped)
            self._starts.clear()

    def _hand_events(self, frames: list[Frame]) -> None:
        for frame in _first_of_each_event(frames):
            self._hand_event(frame)

    def _hand_event(self, frame: Frame) -> None:
        """Call the event hook with a filled copy."""
        if frame.problem is not None or frame.pixels is None:
            self._record(frame, error=frame.problem)
            return
        try:
            array = np.array(frame.pixels.open())  # a copy, writable
        except Exception as error:  # noqa: BLE001 (a plug-in's; recorded)
            message = f"{frame}: {type(error).__name__}: {error}"
            ours = error if isinstance(error, TiffinError) else ReadError(message)
            self._record(frame, error=ours)
            return
        event = own_copy(frame.event)
        field = str(frame.field)
        event["data"][field] = array
        event["filled"] = {**event.get("filled", {}), field: True}
        self._frame = frame
        self._failure = None
        try:
            self.event(event)
        finally:
            self._frame = None
        self._raise_failure()

    def _told(self, frame: Frame, event: Mapping[str, Any]) -> Frame:
        """See a frame with the documents that the hooks have passed on, and its kind.

        Raises
        ------
        TiffinError
            If its dark is not to be had.
        """
        descriptor = str(event.get("descriptor"))
        told = replace(
            frame,
            start=self._starts.get(frame.run, frame.start),
            descriptor=self._descriptors.get(descriptor, frame.descriptor),
            event=event,
        )
        if not self._correcting.subtracts:
            return told
        return replace(told, kind=self._correcting.kind(told))

    def _named(self, frame: Frame) -> tuple[Frame, str | Exception]:
        try:
            name = self._settings.template.render(frame.names())
        except TemplateError as error:
            return frame, error
        return frame, str(self._settings.root / name)

    def _export(
        self, frame: Frame, name: str | Exception, image: np.ndarray, *, shared: bool
    ) -> None:
        if isinstance(name, Exception):
            self._record(frame, error=name)
        elif shared or not self._claim(frame, name):
            message = (
                f"several images of {self.field!r} have the name {name!r}: tell them "
                f"apart in the template, as with {{event.seq_num}} or {{i}}"
            )
            self._record(frame, path=Path(name), error=CollisionError(message))
        else:
            saved, notes = len(self.filenames), Notes()
            try:
                image = self._correcting(image, frame, notes)
                self._note = provenance(notes)  # for the hook, whose arguments are old
                self._save_image(image, name)
            except TiffinError as error:
                self._record(frame, path=Path(name), error=error)
            else:
                # A subclass may have saved it under another name.
                name = self.filenames[-1] if len(self.filenames) > saved else name
                self._record(frame, path=Path(name), image=image, notes=notes)

    def _claim(self, frame: Frame, name: str) -> bool:
        try:
            self._claims.take(name, (frame.run, frame.number, frame.stream))
        except CollisionError:
            return False
        return True

    def _record(
        self,
        frame: Frame,
        *,
        path: Path | None = None,
        image: np.ndarray | None = None,
        error: Exception | None = None,
        notes: Notes | None = None,
    ) -> None:
        """Record a frame; keep its failure, to be raised if that was asked for."""
        status: Any = "planned" if self.dryrun else "written"
        if error is not None:
            skip = isinstance(error, NoImageError) or getattr(error, "skip", False)
            status = "skipped" if skip else "failed"
        notes = notes or Notes()
        content = None
        if image is not None:
            content = ImageContent(self._writer, image, provenance(notes))
        record = record_of(
            frame,
            status,
            path=path,
            error=error,
            written=content,
            clipped=notes.clipped,
        )
        self._ledger.put((self._ledger.new_group(), 0), record)
        if status == "failed" and error is not None:
            self._failure = self._failure or error
            if self._frame is None:
                self._raise_failure()

    def _raise_failure(self) -> None:
        """Raise the first failure of an event, once all of it has been tried."""
        failure, self._failure = self._failure, None
        if failure is not None and self._raising:
            if isinstance(failure, TiffinError):
                failure.report = self._ledger.report()
            raise failure

    @property
    def _raising(self) -> bool:
        return self._settings.on_error == "raise"

    @contextmanager
    def _our_own(self, doc: Mapping[str, Any]) -> Iterator[None]:
        """Keep a failure of ours from the RunEngine, unless raising was asked for."""
        try:
            yield
        except TiffinError as error:
            if self._raising:
                raise
            run = _run_of(doc)
            if isinstance(error, TemplateError):
                self._ledger.say(run, error)  # its frames' records will tell
                return
            record = Record(status="failed", path=None, run=run, error=error)
            self._ledger.put((self._ledger.new_group(), 0), record)


def _steps(settings: Export) -> Sequence[Correction]:
    """Give the corrections; the dtype is of lists here, and no image is cast to it."""
    for step in settings.corrections:
        if isinstance(step, Joining):
            message = f"{step} joins frames of several events: use an ImageExporter"
            raise SettingsError(message)
    return settings.corrections[: -1 if settings.dtype is not None else None]


def _check_field(field: object) -> None:
    if not isinstance(field, str):
        message = f"field is the name of one field, not {field!r}"
        raise SettingsError(message)


def _document(name: str, doc: object) -> dict[str, Any]:
    if not isinstance(doc, Mapping):
        message = f"a {name} document is a mapping, not {type(doc).__name__}"
        raise SourceError(message)
    return dict(doc)


def _run_of(doc: object) -> str:
    """Tell a document's run, as far as it says."""
    told = doc if isinstance(doc, Mapping) else {}
    return str(told.get("run_start") or told.get("uid") or "")


def _first_of_each_event(frames: list[Frame]) -> Iterator[Frame]:
    seen: set[int] = set()
    for frame in frames:
        if id(frame.pixels or frame) not in seen:
            seen.add(id(frame.pixels or frame))
            yield frame

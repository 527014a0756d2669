"""The exporter of Bluesky's cookbook of 2016, with its signature and its hooks.

Subclasses override ``start``, ``descriptor``, ``event``, ``stop`` or ``_save_image``.
Their documents are copies: a change goes into the files, and nobody else sees it. All
happens in the caller's thread. A subclass can name what it subtracts instead of writing
an ``event``: ``corrections = DarkSubtract()``.

Names, claims, retakes, corrections and records are those of any export.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.array_images import images_in, read_all
from tiffin.assemble import ArrayPixels, Assembler, ListDtypes, copy_document
from tiffin.axes import Hints
from tiffin.dtypes import refuse_masked
from tiffin.engine import Interrupts, Ledger
from tiffin.errors import (
    ExistsError,
    FieldError,
    NoImageError,
    ReadError,
    SettingsError,
    SourceError,
    TiffinError,
    WriteError,
)
from tiffin.export import (
    ImageKinds,
    Journal,
    Namer,
    OpenRuns,
    Publisher,
    RunCorrections,
    Worker,
)
from tiffin.frames import Frame, FrameId
from tiffin.records import Record
from tiffin.settings import Settings
from tiffin.sources import RunFinder
from tiffin.writers import publish, write_buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiffin.corrections import Correction
    from tiffin.engine import Place
    from tiffin.export import PageGroup
    from tiffin.records import Report, Status
    from tiffin.settings import OnError

__all__ = ["LiveTiffExporter"]

KEEP_REPORTS = 100
"""How many ended runs keep their records; of older ones there are counts."""


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
        Whether to replace files that exist already.
    db : object, optional
        Where `corrections` find other runs: ``db[uid]``.
    on_error : {"report", "raise"}
        Whether a failure is recorded and logged, or raised; an existing file raises an
        OSError. An exception of a subclass's own hooks is always raised.
    dtype : dtype-like, optional
        Convert to this dtype in the end; an image with a value that it can't hold
        fails. Images that come as lists without a dtype have it from the beginning.
    follow_links : bool, optional
        Whether folders that values of the template name may be links. By default they
        are refused. The leading folders, without values, may always be links.
    handlers : mapping of str to class, optional
        Handlers for Resource documents, by spec. They override registered ones.

    Attributes
    ----------
    field : str
    filenames : list of str
        The files of the run in progress, or of the last one; of all that are open,
        where runs are nested.
    corrections : correction, or sequence of corrections
        Set by a subclass: what is done to each image after ``event`` and before
        ``_save_image``. One of `tiffin.corrections`, or a sequence of these and of
        functions ``(image, frame) -> image``. Streams that give darks are not exported.

    Examples
    --------
    The recipe's SubtractedTiffExporter, as float32, which can't wrap:

    >>> from tiffin.corrections import DarkSubtract
    >>> class SubtractedTiffExporter(LiveTiffExporter):
    ...     corrections = DarkSubtract(key="dark_frame")

    A subclass with a correction of its own:

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
        follow_links: bool = False,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        given: object = field
        if not isinstance(given, str):
            message = f"field must be the name of one field, not {field!r}"
            raise SettingsError(message)
        self._settings = settings = Settings.of(
            template,
            fields=field,
            streams=None,
            existing="replace",  # it is `_save_image` that refuses to
            dry_run=dryrun,
            on_error=on_error,
            dtype=dtype,
            follow_links=follow_links,
            handlers=handlers,
            corrections=self.corrections,
        )
        settings.refuse_later_roots()
        self.field = field
        self.template = template
        self.dryrun = dryrun
        self.overwrite = overwrite
        self.db = db
        self.filenames: list[str] = []
        self._dtypes = ListDtypes(settings.dtype)
        self._assembler = self._new_assembler()
        self._corrections = RunCorrections(
            settings.steps, RunFinder(db), settings.roots
        )
        for step in self._corrections.joins:
            message = f"{step} joins frames of several events: use an ImageExporter"
            raise SettingsError(message)
        self._images = ImageKinds(self._corrections, settings)
        self._open_runs = OpenRuns()
        self._ledger = Ledger(dry_run=dryrun, keep=KEEP_REPORTS)
        self._namer = Namer(settings, self._ledger)
        self._publisher = Publisher(settings, self._ledger, self._call_save_image)
        self._worker = Worker(
            settings,
            self._namer,
            self._ledger,
            Journal(settings, on=False),
            self._corrections,
            self._publisher,
        )
        # Start documents and descriptors that the hooks have passed on, by uid.
        self._documents: dict[str, Mapping[str, Any]] = {}
        # Of the present event: its frame and the hints of its array, the places of its
        # records, the files of its earlier takes, and how its image was corrected.
        self._frame: Frame | None = None
        self._hints = Hints()
        self._places: list[Place] = []
        self._earlier: frozenset[str] = frozenset()
        self._metadata: Mapping[str, Any] = {}
        self._renamed: dict[str, str] = {}
        self._raised: BaseException | None = None

    @property
    def reports(self) -> Mapping[str, Report]:
        """Run uid → report, of all runs so far; ``""`` for what belongs to none.

        Of runs before the newest 100 that are over there are counts, and no records.
        """
        return self._ledger.reports

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document, and call the hook of its kind."""
        given: object = doc
        try:
            if not isinstance(given, Mapping):
                message = (
                    f"{name} document: must be a mapping, not {type(given).__name__}"
                )
                raise SourceError(message)
            if name == "start" and self._ledger.is_open(str(doc.get("uid"))):
                return  # delivered twice
            self._open_runs.note(name, doc)
            frames = list(self._assembler(name, dict(doc)))
            self._corrections.feed(name, doc)
        except TiffinError as error:
            self._record_failure(error, name, doc)
            return
        if name == "start":
            self._begin_run(str(doc["uid"]))
        if name in ("start", "descriptor"):
            getattr(self, name)(copy_document(doc))
            self._assembler.fields = (self.field,)  # a hook may choose another
        self._hand_over(frames)
        if name == "stop":
            self.stop(copy_document(doc))
            self._end_run(str(doc["run_start"]))

    def prepare(self, parts: Iterable[Iterable[tuple[str, Mapping[str, Any]]]]) -> None:
        """Look ahead at a replay: at lists without a dtype, and at darks in streams.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            Gone through once now.
        """
        self._ledger.keep = None  # who asks for all of them gets all
        assembler = self._new_assembler()
        with self._dtypes.survey():
            for part in parts:
                with suppress(SourceError):
                    for name, doc in part:
                        with suppress(SourceError):
                            self._corrections.look_ahead(name, doc)
                            list(assembler(name, doc))

    def finish(self) -> None:
        """Export what is left of runs that never stopped, at the end of a replay."""
        self._hand_over(self._assembler.finish())
        self._assembler.close()
        self._corrections.close()
        self._ledger.keep = KEEP_REPORTS

    # ---- the hooks

    def start(self, doc: dict[str, Any]) -> None:
        """Begin a run. Its files are named by this document."""
        if len(self._open_runs) < 2:  # else a run in a run: both have their names
            self.filenames = []
        self._documents[doc["uid"]] = doc
        error = self._namer.checks.check_start(doc)
        if error is not None:
            self._raise(error, str(doc["uid"]))

    def descriptor(self, doc: dict[str, Any]) -> None:
        """Begin a stream. Its files are named by this document."""
        self._documents[doc["uid"]] = doc

    def event(self, doc: dict[str, Any]) -> None:
        """Export what is in the field: one image, or a stack of them.

        Parameters
        ----------
        doc : dict
            A copy of the event; ``doc["data"][self.field]`` is a writable array, shape
            (rows, columns) or (images, rows, columns).
        """
        if self.field not in doc["data"] or self._frame is None:
            return
        frame = self._frame
        try:
            pixels = self._pixels_of(doc["data"][self.field])
            images = images_in(pixels.array, pixels.hints).shape[0]
        except TiffinError as error:
            self._export([replace(frame, problem=error)], doc)
            return
        frame = replace(frame, pixels=pixels)
        self._export([frame.with_index(i) for i in range(images)], doc)

    def stop(self, doc: dict[str, Any]) -> None:
        """End a run. The filenames stay."""

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
            If the file exists already and may not be replaced.
        """
        path = Path(filename)
        may_replace = self.overwrite or filename in self._earlier
        if not may_replace and os.path.lexists(path):
            message = f"there is already a file at {path}: overwrite=True replaces it"
            raise ExistsError(message)
        if not self.dryrun:
            buffers = self._settings.writer.buffers(np.asarray(image), self._metadata)
            write = partial(write_buffers, buffers=buffers)
            # A subclass may save it elsewhere: then its folder is the user's choice.
            folders = self._settings.folders if self._is_below(path) else None
            publish(path, write, replace=may_replace, folders=folders)
        self.filenames.append(filename)

    # ---- runs

    def _new_assembler(self) -> Assembler:
        return Assembler(
            fields=(self.field,),
            streams=None,
            dtypes=self._dtypes,
            join_events=True,
            roots=self._settings.roots,
        )

    def _begin_run(self, run: str) -> None:
        if self._ledger.is_over(run):  # it comes again
            self._ledger.forget(run)
        self._namer.begin_run(run)
        self._ledger.begin(run)
        oldest = self._open_runs.begin(run)
        if oldest is not None:  # it never stopped
            self._hand_over(self._assembler("stop", {"run_start": oldest}))
            self._end_run(oldest)

    def _end_run(self, run: str) -> None:
        """Forget a run, except for its report."""
        self._documents = {
            uid: doc
            for uid, doc in self._documents.items()
            if run not in (uid, doc.get("run_start"))
        }
        self._open_runs.stop(run)
        self._open_runs.forget(run)
        self._assembler.close()
        self._dtypes.forget(run)
        self._corrections.end_run(run)
        self._images.forget()
        self._namer.release(run)
        self._worker.end_run(run)
        self._ledger.end(run)

    # ---- events

    def _hand_over(self, frames: Iterable[Frame]) -> None:
        """Call the event hook for each event, and raise the first failure of each."""
        for _, event in itertools.groupby(list(frames), lambda f: id(f.pixels or f)):
            self._places = []
            self._hand_over_event(list(event))
            records = [self._ledger.at(place) for place in self._places]
            for record in records:
                if record.status == "failed":
                    self._raise(record.error, record.run)

    def _hand_over_event(self, frames: list[Frame]) -> None:
        first = frames[0]
        if first.problem is not None or first.pixels is None or self._names_only:
            self._export(frames, first.event)
            return
        try:
            array, self._hints = read_all(first.pixels)  # a copy, writable
        except Exception as error:  # noqa: BLE001 (a plug-in's; recorded)
            message = f"{first}: {type(error).__name__}: {error}"
            problem = error if isinstance(error, TiffinError) else ReadError(message)
            self._export([replace(f, problem=problem) for f in frames], first.event)
            return
        doc, field = copy_document(first.event), str(first.field)
        doc["data"][field] = array
        doc["filled"] = {**(doc.get("filled") or {}), field: True}
        self._frame = first
        try:
            self.event(doc)
        finally:
            self._frame = None

    @property
    def _names_only(self) -> bool:
        """Whether no pixel is read: in a dry run, unless a subclass may look at it."""
        hooks = (type(self).event, type(self)._save_image)  # noqa: SLF001 (a subclass's)
        ours = (LiveTiffExporter.event, LiveTiffExporter._save_image)
        return self.dryrun and hooks == ours

    def _pixels_of(self, value: Any) -> ArrayPixels:
        """Return what is in the field of an event, which a hook may have changed."""
        refuse_masked(value)
        array = np.asarray(value)
        if array.ndim < 2 or not array.size:
            kind = FieldError if array.ndim < 2 else NoImageError
            message = f"{self._frame}: no image, its shape is {list(array.shape)}"
            raise kind(message)
        colour = self._hints.colour and array.shape[-1] in self._hints.image[2:]
        hints = Hints.of_images(array.shape, axes=3 if colour else 2)
        return ArrayPixels(array, array.shape, hints, 0, array.dtype)

    # ---- files

    def _export(self, frames: list[Frame], event: Mapping[str, Any]) -> None:
        """Name and write frames, with the documents that the hooks have passed on."""
        first = frames[0]
        if first.problem is None and first.stream in self._corrections.streams:
            return
        start = self._documents.get(first.run, first.start)
        uid = str(event.get("descriptor"))
        descriptor = self._documents.get(uid, first.descriptor)
        documents = partial(replace, start=start, descriptor=descriptor, event=event)
        for group in self._images.of([[*map(documents, frames)]]):
            pages = self._namer.name(group)
            self._places += [page.place for page in pages]
            self._earlier = self._namer.retakes.paths(pages[0].place)
            if self._names_only:
                files = [page.file for page in pages if page.file is not None]
                self.filenames += [self._publisher.path(file.name) for file in files]
            else:
                self._write(pages)
            self._remove_earlier([self._ledger.at(page.place) for page in pages])
            self._earlier = frozenset()
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def _write(self, pages: PageGroup) -> None:
        with Interrupts():  # Ctrl-C: an image that has begun is finished
            self._worker.export([pages])
            for page in pages:
                record = self._ledger.at(page.place)
                if record.status == "written":
                    file = self._renamed.pop(str(record.file), record.file)
                    status: Status = "planned" if self.dryrun else "written"
                    record = record._replace(file=file, status=status)
                    self._ledger.put(page.place, record)

    def _call_save_image(
        self, path: str, image: np.ndarray, metadata: Mapping[str, Any]
    ) -> None:
        """Call the hook, and remember what it raises: that is the user's own."""
        self._metadata, before = metadata, len(self.filenames)
        if self._raised is None:
            try:
                self._save_image(image, path)
            except TiffinError:
                raise
            except BaseException as error:  # noqa: BLE001 (raised by `_export`)
                self._raised = error
        if self._raised is not None:
            raise WriteError(f"{path}: _save_image raised {self._raised!r}")
        if len(self.filenames) > before:  # it may have saved it under another name
            self._renamed[path] = self.filenames[-1]

    def _remove_earlier(self, records: Sequence[Record]) -> None:
        """Remove the files of a point's earlier takes, once it is exported again."""
        exported = [r for r in records if r.status in ("written", "planned")]
        files = {record.file for record in exported}
        for filename in self._earlier.intersection(self.filenames):
            if filename in files:
                self.filenames.remove(filename)  # it is there twice
            elif len(exported) == len(records):
                self.filenames.remove(filename)
                if self.dryrun:
                    continue
                if self._is_below(Path(filename)):
                    self._publisher.remove(self._publisher.name(filename))
                else:
                    with suppress(OSError):
                        Path(filename).unlink()

    def _is_below(self, path: Path) -> bool:
        return path.is_relative_to(self._settings.directory) and ".." not in path.parts

    # ---- failures

    def _record_failure(self, error: TiffinError, name: str, doc: object) -> None:
        """Record a document that is not understood."""
        run = self._open_runs.run_of(name, doc) if isinstance(doc, Mapping) else ""
        record = Record(id=FrameId(run), status="failed", error=error)
        self._ledger.put((run, self._ledger.new_group(), 0), record)
        self._raise(error, run)

    def _raise(self, error: Exception | None, run: str) -> None:
        """Raise a failure of an export, if that is wanted."""
        if error is not None and self._settings.on_error == "raise":
            if isinstance(error, TiffinError):
                error.report = self._ledger.report(run)
            raise error

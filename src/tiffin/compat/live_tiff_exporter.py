"""The `LiveTiffExporter` of the Bluesky cookbook of 2016, with its signature and hooks.

It runs in the caller's thread. Subclasses override ``start``, ``descriptor``,
``event``, ``stop`` or ``_save_image``. They get copies of the documents, and changes go
into the files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.array_images import images_in, read_all
from tiffin.assemble import ArrayPixels, copy_document
from tiffin.axes import ArrayHints
from tiffin.corrections import FrameCombiner
from tiffin.dtypes import refuse_masked
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
from tiffin.export import Exporter, Pipeline, ScanLines, class_error
from tiffin.settings import LIVE_DEFAULTS, Settings
from tiffin.sources import RunFinder
from tiffin.writers import publish, write_buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiffin.corrections import Correction
    from tiffin.engine import Place
    from tiffin.frames import Frame
    from tiffin.records import Record, Status
    from tiffin.settings import OnError


class LiveTiffExporter(Exporter):
    """Save the images of one field as TIFF files, named by a template.

    Parameters
    ----------
    field : str
        A data key, such as ``"pe1_image"``.
    template : str
        A path with metadata in braces; ``{i}`` is the number of an image in a stack.
    dryrun : bool
        Make names only, and write no files.
    overwrite : bool
        Whether to replace files that exist already.
    db : object, optional
        Where `corrections` find other runs: ``db[uid]``.
    on_error : {"report", "raise"}
        Whether to record and log failures, or to raise them; an existing file raises an
        OSError. Exceptions in the hooks of a subclass are always raised.
    dtype : dtype-like, optional
        Convert to this dtype after the corrections; an image with a value that it can't
        hold fails. Lists without a dtype are converted at the beginning.
    follow_links : bool, optional
        Whether folders whose names contain values can be links. By default they are
        refused. The leading folders, without values, can always be links.
    handlers : mapping of str to class, optional
        Handlers for Resource documents, by spec. They override registered ones.

    Attributes
    ----------
    filenames : list of str
        The files of the current or last run, or of all open runs if they are nested.
    corrections : correction, or sequence of corrections
        Set by a subclass: the corrections of each image after ``event`` and before
        ``_save_image``. One of `tiffin.corrections`, or a sequence of these and of
        functions ``(image, frame) -> image``. Streams with darks are not exported.

    Examples
    --------
    >>> class Doubled(LiveTiffExporter):
    ...     def event(self, doc):
    ...         doc["data"][self.field] *= 2
    ...         super().event(doc)
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
        document: object = template
        if isinstance(document, Mapping):
            arguments = "'pe1_image', '{start.scan_id}_{event.seq_num}.tif'"
            raise class_error(type(self), arguments)
        given: object = field
        if not isinstance(given, str):
            message = f"field must be the name of one field, not {field!r}"
            raise SettingsError(message)
        self._settings = settings = Settings.of(
            template,
            fields=field,
            streams=None,
            existing="replace",  # `_save_image` refuses existing files
            dry_run=dryrun,
            on_error=on_error,
            dtype=dtype,
            follow_links=follow_links,
            handlers=handlers,
            corrections=self.corrections,
            keep_reports=LIVE_DEFAULTS["keep_reports"],
            hooks=True,
        )
        settings.refuse_later_roots()
        for step in settings.steps:
            if isinstance(step, FrameCombiner):
                message = f"{step} joins frames of several events: use an ImageExporter"
                raise SettingsError(message)
        self.field = field
        self.template = template
        self.dryrun = dryrun
        self.overwrite = overwrite
        self.db = db
        self.filenames: list[str] = []
        # A dry run reads no pixel, unless a subclass may look at it.
        classes = (type(self), LiveTiffExporter)
        hooks = [(c.event, c._save_image) for c in classes]  # noqa: SLF001 (its own)
        self._names_only = dryrun and hooks[0] == hooks[1]
        self._events: list[list[Frame]] = []
        self._lines = ScanLines(settings)
        self._pipeline = Pipeline(
            settings,
            find_run=RunFinder(db),
            on_event=self._events.append,
            save=self._call_save_image,
            observers=[self._lines],
        )
        self._pipeline.ledger.says_no_image = False
        # Run → uid → start document or descriptor, as the hooks pass them on.
        self._documents: dict[str, dict[str, Mapping[str, Any]]] = {}
        # The current event.
        self._frame: Frame | None = None
        self._hints = ArrayHints()
        self._failure: Record | None = None
        self._earlier: frozenset[str] = frozenset()  # files of earlier takes
        self._metadata: Mapping[str, Any] = {}
        self._renamed: dict[str, str] = {}
        self._raised: BaseException | None = None

    def __repr__(self) -> str:
        what = f"{self.field!r} to {self.template!r}"
        return f"<{type(self).__name__}: {what}, {self.reports!r}>"

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Process one document, and call its hook."""
        given: object = doc
        if not isinstance(given, Mapping):
            message = f"{name} document: must be a mapping, not {type(given).__name__}"
            self._record_failure(SourceError(message), "")
            return
        if name == "start" and self._pipeline.is_open(str(doc.get("uid"))):
            return  # delivered twice
        if name == "start":
            self._documents = {
                run: documents
                for run, documents in self._documents.items()
                if self._pipeline.is_open(run)
            }
        try:
            self._pipeline.feed(name, dict(doc))
            if name == "start":
                self._lines.begin(doc)
        except Exception as error:  # noqa: BLE001 (the RunEngine's border; recorded)
            if not isinstance(error, TiffinError):
                error = SourceError(f"this {name} document was not exported: {error!r}")
            self._record_failure(error, self._pipeline.open_runs.run_of(name, doc))
            return
        if name in ("start", "descriptor"):
            getattr(self, name)(copy_document(doc))
            self._pipeline.source.choose_field(self.field)  # a hook may choose another
        self._hand_over()
        if name == "stop":
            try:
                self.stop(copy_document(doc))
            finally:
                self._pipeline.end_run(str(doc["run_start"]))

    def finish(self) -> None:
        """End the runs that never stopped, at the end of a replay."""
        self._pipeline.finish(patient=False)
        self._hand_over()
        self._pipeline.close()
        self._pipeline.ledger.keep = self._settings.keep_reports

    # ---- the hooks

    def start(self, doc: dict[str, Any]) -> None:
        """Begin a run. Names are made from this document."""
        if not self._documents:  # else runs are nested
            self.filenames = []
        self._documents[doc["uid"]] = {doc["uid"]: doc}
        error = self._pipeline.namer.checks.check_start(doc)
        if error is not None:
            self._raise(error, str(doc["uid"]))

    def descriptor(self, doc: dict[str, Any]) -> None:
        """Begin a stream. Names are made from this document."""
        self._documents.setdefault(doc["run_start"], {})[doc["uid"]] = doc

    def event(self, doc: dict[str, Any]) -> None:
        """Export the image, or the stack of images, in the field.

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
        """End a run. `filenames` stays."""

    def _save_image(self, image: np.ndarray, filename: str) -> None:
        """Write an image, shape (rows, columns), to an absolute path."""
        path = Path(filename)
        may_replace = self.overwrite or filename in self._earlier
        if not may_replace and os.path.lexists(path):
            message = f"there is already a file at {path}: overwrite=True replaces it"
            raise ExistsError(message)
        if not self.dryrun:
            buffers = self._settings.writer.buffers(np.asarray(image), self._metadata)
            write = partial(write_buffers, buffers=buffers)
            # If a subclass saves it elsewhere, the folder is the choice of the user.
            folders = self._settings.folders if self._is_below(path) else None
            publish(path, write, replace=may_replace, folders=folders)
        self.filenames.append(filename)

    # ---- events

    def _hand_over(self) -> None:
        """Call the event hook for each event, and raise its first failure."""
        while self._events:
            self._hand_over_event(self._events.pop(0))
            if self._failure is not None:
                self._raise(self._failure.error, self._failure.run)

    def _hand_over_event(self, frames: list[Frame]) -> None:
        self._failure = self._raised = None
        first = frames[0]
        if first.problem is not None or first.pixels is None or self._names_only:
            self._export(frames, first.event)
            return
        try:
            array, self._hints = read_all(first.pixels)  # a copy, writable
        except Exception as error:  # noqa: BLE001 (of a plug-in; recorded)
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

    def _pixels_of(self, value: Any) -> ArrayPixels:
        """Return the value of the field, which a hook may have changed."""
        refuse_masked(value)
        array = np.asarray(value)
        if array.ndim < 2 or not array.size:
            kind = FieldError if array.ndim < 2 else NoImageError
            message = f"{self._frame}: no image, its shape is {list(array.shape)}"
            raise kind(message)
        colour = self._hints.colour and array.shape[-1] in self._hints.image[2:]
        hints = ArrayHints.of_images(array.shape, axes=3 if colour else 2)
        return ArrayPixels(array, array.shape, hints, 0, array.dtype)

    # ---- files

    def _export(self, frames: list[Frame], event: Mapping[str, Any]) -> None:
        """Name and write frames, with the documents of the hooks."""
        first = frames[0]
        known = self._documents.get(first.run, {})
        start = known.get(first.run, first.start)
        descriptor = known.get(str(event.get("descriptor")), first.descriptor)
        changed = partial(replace, start=start, descriptor=descriptor, event=event)
        for pages in self._pipeline.name([*map(changed, frames)]):
            places = [page.place for page in pages]
            self._earlier = self._pipeline.namer.retakes.paths(places[0])
            try:
                if not self._names_only:
                    self._pipeline.export(pages)
            finally:  # Ctrl-C is raised when the images are written
                self._settle(places)
                self._earlier = frozenset()
        if self._raised is not None:
            raise self._raised

    def _call_save_image(
        self, path: str, image: np.ndarray, metadata: Mapping[str, Any]
    ) -> None:
        """Call the hook, and remember its exception, which `_export` raises."""
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
        if len(self.filenames) > before:  # the hook may have used another name
            self._renamed[path] = self.filenames[-1]

    def _settle(self, places: list[Place]) -> None:
        """Record where images were saved, and remove the files of earlier takes."""
        files = []
        for place in places:
            record = self._pipeline.ledger.at(place)
            if record.status == "written":
                file = self._renamed.pop(str(record.file), record.file)
                status: Status = "planned" if self.dryrun else "written"
                record = record._replace(file=file, status=status)
                self._pipeline.ledger.put(place, record)
            elif record.status == "planned":
                self.filenames.append(str(record.file))
            elif record.status == "failed":
                self._failure = self._failure or record
            if record.status in ("written", "planned"):
                files.append(record.file)
        for filename in self._earlier.intersection(self.filenames):
            if filename in files:
                self.filenames.remove(filename)  # it is in the list twice
            elif len(files) == len(places):  # the point is exported again
                self.filenames.remove(filename)
                if not self.dryrun:
                    self._remove(Path(filename))

    def _remove(self, path: Path) -> None:
        if self._is_below(path):
            self._pipeline.publisher.remove(self._pipeline.publisher.name(path))
        else:
            with suppress(OSError):
                path.unlink()

    def _is_below(self, path: Path) -> bool:
        return path.is_relative_to(self._settings.directory) and ".." not in path.parts

    # ---- failures

    def _record_failure(self, error: Exception, run: str) -> None:
        """Record an invalid document."""
        self._pipeline.ledger.record_failure(error, run)
        self._raise(error, run)

    def _raise(self, error: Exception | None, run: str) -> None:
        """Raise a failure for ``on_error="raise"``."""
        if error is not None and self._settings.on_error == "raise":
            if isinstance(error, TiffinError):
                error.report = self._pipeline.report(run)
            raise error

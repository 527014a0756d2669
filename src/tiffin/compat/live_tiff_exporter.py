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
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import Assembler, ListDtypes, copy_document
from tiffin.axes import Hints
from tiffin.compat.accounts import KEEP_REPORTS, Accounts
from tiffin.corrections import FrameCombiner, Notes
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
from tiffin.export import RunCorrections, provenance_of
from tiffin.frames import Frame, images_in, whole
from tiffin.settings import Settings
from tiffin.sources import RunFinder
from tiffin.writers import TiffWriter, publish, write_buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tiffin.corrections import Correction
    from tiffin.records import Report
    from tiffin.settings import OnError

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
        Cast to it in the end, where it holds every value. Images that come as lists
        without a dtype have it from the beginning.
    follow_links : bool, optional
        Whether folders that the template makes may be links; else such a link is
        refused. Its literal leading folders may always be links.
    handlers : mapping of str to class, optional
        Handlers for Resource documents, by spec; they go before registered ones.

    Attributes
    ----------
    field : str
    filenames : list of str
        Of the run in progress, or the last one; of several, where runs are nested.
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
        follow_links: bool = False,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        _check_field(field)
        self._settings = Settings.of(
            template,
            fields=field,
            streams=None,
            existing="replace" if overwrite else "error",
            dry_run=dryrun,
            on_error=on_error,
            dtype=dtype,
            follow_links=follow_links,
            handlers=handlers,
            corrections=self.corrections,
        )
        self._settings.refuse_later_roots()
        self.field = field
        self.template = template
        self.dryrun = dryrun
        self.overwrite = overwrite
        self.db = db
        self.filenames: list[str] = []
        self._earlier: set[str] = set()  # files of an earlier take of this point
        self._dtypes = ListDtypes(self._settings.dtype)
        self._assembler = Assembler(
            fields=(field,),
            streams=None,
            dtypes=self._dtypes,
            join_events=True,
            roots=self._settings.roots,
        )
        _check_steps(self._settings)
        self._correcting = RunCorrections(
            self._settings.steps, RunFinder(db), self._settings.roots
        )
        self._writer = TiffWriter()
        raising = self._settings.on_error == "raise"
        self._accounts = Accounts(raising=raising, dry_run=dryrun)
        self._starts: dict[str, Mapping[str, Any]] = {}
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self._frame: Frame | None = None
        self._hints = Hints()
        self._metadata: dict[str, Any] = {}

    @property
    def reports(self) -> Mapping[str, Report]:
        """Run uid → report, of all runs so far; ``""`` for what belongs to none.

        Of runs before the newest 100 that are over there are counts, and no records.
        """
        return self._accounts.reports

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document, and call the hook of its kind."""
        given: object = doc
        started = given.get("uid") if isinstance(given, Mapping) else None
        if name == "start" and str(started) in self._starts:
            return  # delivered twice
        understood = False
        frames: list[Frame] = []
        with self._accounts.our_own(doc):
            frames = list(self._assembler(name, _document(name, doc)))
            self._correcting.feed(name, doc)
            understood = True
        if not understood:
            return
        if name == "start":
            self._begin(str(doc["uid"]))
        if name in ("start", "descriptor"):
            getattr(self, name)(copy_document(doc))
            self._assembler.fields = (self.field,)  # a hook may have chosen another
        self._hand_events(frames)
        if name == "stop":
            self.stop(copy_document(doc))
            self._end(str(doc["run_start"]))

    def prepare(self, parts: Iterable[Iterable[tuple[str, Mapping[str, Any]]]]) -> None:
        """Look ahead at a replay: at lists without a dtype, and at darks in streams.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            Gone through once now.
        """
        self._accounts.keep_reports(None)  # who asks for all of them gets all
        ahead = Assembler(fields=(self.field,), streams=None, dtypes=self._dtypes)
        with self._dtypes.survey():
            for part in parts:
                with suppress(SourceError):
                    for name, doc in part:
                        with suppress(SourceError):
                            self._correcting.look_ahead(name, doc)
                            list(ahead(name, doc))

    def finish(self) -> None:
        """End the runs that never stopped, at the end of a replay."""
        self._hand_events(list(self._assembler.finish()))
        self._assembler.close()
        self._correcting.close()
        self._accounts.keep_reports(KEEP_REPORTS)

    # ---- the hooks

    def start(self, doc: dict[str, Any]) -> None:
        """Begin a run; names are made of this document."""
        if not self._starts:  # else a run in a run: both have their names
            self.filenames = []
            self._accounts.free_names()  # a later run may overwrite, one beside it not
        self._starts[doc["uid"]] = doc
        with self._accounts.our_own(doc):
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
            self._fail(frame, kind(message))
            return
        if frame.stream in self._correcting.streams:
            return
        try:
            images = images_in(array, self._hints_of(array))
        except ReadError as error:
            self._fail(frame, error)
            return
        try:
            told = self._told(frame, doc)
        except TiffinError as error:  # a light without a dark, say
            for i in range(images.shape[0]):
                self._fail(frame.with_index(i), error)
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
        replaces = self.overwrite or filename in self._earlier
        if not replaces and os.path.lexists(path):
            message = f"there is already a file at {path}: overwrite=True replaces it"
            raise ExistsError(message)
        if not self.dryrun:
            image = np.asarray(image)
            buffers = self._writer.buffers(image, self._metadata)
            write = partial(write_buffers, buffers=buffers)
            root = self._settings.directory
            # A subclass may save it elsewhere: then its folder is the user's word.
            below = path.is_relative_to(root) and ".." not in path.parts
            folders = self._settings.folders if below else None
            publish(path, write, replace=replaces, folders=folders)
        if filename in self._earlier:
            self._earlier.discard(filename)
            self.filenames.remove(filename)
        self.filenames.append(filename)

    # ---- what the hooks stand on

    def _begin(self, run: str) -> None:
        self._accounts.begin(run)
        if len(self._starts) > MOST_OPEN_RUNS:
            for never_stopped in list(self._starts):
                left = self._assembler("stop", {"run_start": never_stopped})
                self._hand_events(list(left))
                self._end(never_stopped)
            self._starts.clear()

    def _end(self, run: str) -> None:
        """Let go of what was kept for a run, but for its report."""
        self._descriptors = {
            uid: doc
            for uid, doc in self._descriptors.items()
            if doc.get("run_start") != run
        }
        self._assembler.close()
        self._correcting.end_run(run)
        self._accounts.end(run)

    def _hand_events(self, frames: list[Frame]) -> None:
        for event in _by_event(frames):
            if self._only_names:
                self._plan(event)
            else:
                self._hand_event(event[0])

    @property
    def _only_names(self) -> bool:
        """Whether nobody is to see pixels: a dry run, whose hooks are not one's own."""
        hooks = (type(self).event, type(self)._save_image)  # noqa: SLF001 (a subclass's)
        theirs = (LiveTiffExporter.event, LiveTiffExporter._save_image)
        return self.dryrun and hooks == theirs

    def _hints_of(self, array: np.ndarray) -> Hints:
        """See an array, which a hook may have changed, in the order of images."""
        colour = self._hints.colour and array.shape[-1] in self._hints.image[2:]
        return Hints.of_images(array.shape, axes=3 if colour else 2)

    def _plan(self, event: list[Frame]) -> None:
        """Name the images of an event as announced."""
        self._earlier = self._accounts.take(event[0])
        if event[0].problem is not None:
            self._fail(event[0], event[0].problem)
            return
        if event[0].stream in self._correcting.streams:
            return
        items = [self._named(self._seen(frame, frame.event)) for frame in event]
        names = [name for _, name in items]
        for frame, name in items:
            path = self._path_of(frame, name, shared=names.count(name) > 1)
            if path is not None:
                self.filenames.append(str(path))
                self._accounts.planned(frame, path)
        self._remove_earlier()
        self._accounts.raise_failure()

    def _hand_event(self, frame: Frame) -> None:
        """Call the event hook with a filled copy."""
        self._earlier = self._accounts.take(frame)
        if frame.problem is not None or frame.pixels is None:
            self._fail(frame, frame.problem)
            return
        try:
            array, self._hints = whole(frame.pixels)  # a copy, writable
        except Exception as error:  # noqa: BLE001 (a plug-in's; recorded)
            message = f"{frame}: {type(error).__name__}: {error}"
            ours = error if isinstance(error, TiffinError) else ReadError(message)
            self._fail(frame, ours)
            return
        event = copy_document(frame.event)
        field = str(frame.field)
        event["data"][field] = array
        event["filled"] = {**(event.get("filled") or {}), field: True}
        self._frame = frame
        try:
            self.event(event)
        finally:
            self._frame = None
        self._remove_earlier()
        self._accounts.raise_failure()

    def _fail(
        self, frame: Frame, error: Exception | None, path: Path | None = None
    ) -> None:
        """Record a failure; raise it at once where no event is under way."""
        self._accounts.failed(frame, error, path)
        if self._frame is None:
            self._accounts.raise_failure()

    def _seen(self, frame: Frame, event: Mapping[str, Any]) -> Frame:
        """See a frame with the documents that the hooks have passed on."""
        descriptor = str(event.get("descriptor"))
        return replace(
            frame,
            start=self._starts.get(frame.run, frame.start),
            descriptor=self._descriptors.get(descriptor, frame.descriptor),
            event=event,
        )

    def _told(self, frame: Frame, event: Mapping[str, Any]) -> Frame:
        """See a frame as `_seen`, and its kind.

        Raises
        ------
        TiffinError
            If its dark is not to be had.
        """
        told = self._seen(frame, event)
        if not self._correcting.subtracts:
            return told
        return replace(told, kind=self._correcting.kind(told))

    def _named(self, frame: Frame) -> tuple[Frame, str | Exception]:
        try:
            name = self._settings.template.render(frame.names())
        except TemplateError as error:
            return frame, error
        return frame, str(self._settings.directory / name)

    def _path_of(
        self, frame: Frame, name: str | Exception, *, shared: bool
    ) -> Path | None:
        """Return where an image is to go, or record why nowhere."""
        if isinstance(name, Exception):
            self._fail(frame, name)
            return None
        if shared or not self._accounts.claim(frame, name):
            message = (
                f"several images of {self.field!r} have the name {name!r}: tell them "
                f"apart in the template, as with {{event.seq_num}} or {{i}}"
            )
            self._fail(frame, CollisionError(message), Path(name))
            return None
        return Path(name)

    def _export(
        self, frame: Frame, name: str | Exception, image: np.ndarray, *, shared: bool
    ) -> None:
        path = self._path_of(frame, name, shared=shared)
        if path is None:
            return
        saved, notes = len(self.filenames), Notes()
        try:
            image = self._correcting(image, frame, notes)
            self._metadata = provenance_of(
                notes
            )  # for the hook, whose arguments are old
            self._save_image(image, str(path))
        except TiffinError as error:
            self._fail(frame, error, path)
        else:
            # A subclass may have saved it under another name.
            if len(self.filenames) > saved:
                path = Path(self.filenames[-1])
            self._accounts.done(frame, path, image, notes, dry=self.dryrun)

    def _remove_earlier(self) -> None:
        """Remove what is left of a point's earlier take, once it was taken again."""
        if not self._accounts.is_exported():
            return
        for filename in self._earlier.intersection(self.filenames):
            self.filenames.remove(filename)
            if not self.dryrun:
                with suppress(OSError):
                    Path(filename).unlink()


def _check_steps(settings: Settings) -> None:
    for step in settings.steps:
        if isinstance(step, FrameCombiner):
            message = f"{step} joins frames of several events: use an ImageExporter"
            raise SettingsError(message)


def _check_field(field: object) -> None:
    if not isinstance(field, str):
        message = f"field is the name of one field, not {field!r}"
        raise SettingsError(message)


def _document(name: str, doc: object) -> dict[str, Any]:
    if not isinstance(doc, Mapping):
        message = f"{name} document must be a mapping, not {type(doc).__name__}"
        raise SourceError(message)
    return dict(doc)


def _by_event(frames: list[Frame]) -> list[list[Frame]]:
    """Take together what shares its pixels: the images of one event."""
    events: dict[int, list[Frame]] = {}
    for frame in frames:
        events.setdefault(id(frame.pixels or frame), []).append(frame)
    return list(events.values())

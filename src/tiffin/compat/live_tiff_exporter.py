"""The exporter of bluesky's 2016 cookbook, with its signature and its hooks.

Subclasses override ``start``, ``descriptor``, ``event``, ``stop`` or ``_save_image``,
and get documents of their own: what they change in them goes into the files, and is
seen by nobody else. It works in the caller's thread, as it always did.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import Assembler, own_copy
from tiffin.engine import Claims, Ledger
from tiffin.errors import (
    CollisionError,
    ExistsError,
    FieldError,
    NoImageError,
    ReadError,
    TemplateError,
    TiffinError,
)
from tiffin.export import Export, record_of
from tiffin.frames import Frame, images_in
from tiffin.records import Record
from tiffin.writers import SeriesWriter, publish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        Accepted for old calls. External data are read through registered handlers.
    on_error : {"report", "raise"}
        What becomes of tiffin's own failures: recorded and logged, or raised, an
        existing file as the OSError that it was. What a subclass's own hooks raise
        always propagates.

    Attributes
    ----------
    field : str
    filenames : list of str
        Of the run in progress, or the last one.

    Examples
    --------
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

    def __init__(
        self,
        field: str,
        template: str,
        dryrun: bool = False,
        overwrite: bool = False,
        db: Any = None,
        *,
        on_error: OnError = "report",
    ) -> None:
        self._settings = Export.of(
            template,
            fields=field,
            streams=None,
            existing="replace" if overwrite else "error",
            dry_run=dryrun,
            on_error=on_error,
        )
        self._settings.refuse_later_roots()
        self.field = field
        self.template = template
        self.dryrun = dryrun
        self.overwrite = overwrite
        self.db = db
        self.filenames: list[str] = []
        self._assembler = Assembler(fields=(field,), streams=None, join_events=True)
        self._ledger = Ledger()
        self._writer = SeriesWriter()
        self._runs: list[str] = []
        self._starts: dict[str, Mapping[str, Any]] = {}
        self._claims = Claims()
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self._frame: Frame | None = None
        self._failure: Exception | None = None

    @property
    def reports(self) -> dict[str, Report]:
        """Run uid → report, of all runs so far."""
        return {run: self._ledger.report(run) for run in self._runs}

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document, and call the hook of its kind."""
        if name == "start":
            self._runs.append(str(doc["uid"]))
        if name == "start" and len(self._starts) > MOST_OPEN_RUNS:
            self._starts.clear()  # of runs that never stopped
        frames: list[Frame] = []
        with self._our_own(doc):
            frames = list(self._assembler(name, dict(doc)))
        if name in ("start", "descriptor"):
            getattr(self, name)(own_copy(doc))
        for frame in _first_of_each_event(frames):
            self._hand_event(frame)
        if name == "stop":
            self.stop(own_copy(doc))

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
        images = images_in(array, frame.pixels)
        items = [self._named(frame.with_index(i), doc) for i in range(images.shape[0])]
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
            write = partial(self._writer.write, image=image)
            publish(path, write, replace=self.overwrite)
        self.filenames.append(filename)

    # ---- what the hooks stand on

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
        event["data"][self.field] = array
        event["filled"] = {**event.get("filled", {}), self.field: True}
        self._frame = frame
        self._failure = None
        try:
            self.event(event)
        finally:
            self._frame = None
        self._raise_failure()

    def _named(
        self, frame: Frame, event: Mapping[str, Any]
    ) -> tuple[Frame, str | Exception]:
        start = self._starts.get(frame.run, frame.start)
        try:
            descriptor = self._descriptors.get(
                str(event.get("descriptor")), frame.descriptor
            )
            documents = {"start": start, "descriptor": descriptor, "event": event}
            names = {**frame.names(), **documents}
            name = self._settings.template.render(names)
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
            try:
                self._save_image(image, name)
            except TiffinError as error:
                self._record(frame, path=Path(name), error=error)
            else:
                self._record(frame, path=Path(name), image=image)

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
    ) -> None:
        """Record a frame; keep its failure, to be raised if that was asked for."""
        status: Any = "planned" if self.dryrun else "written"
        if error is not None:
            status = "skipped" if isinstance(error, NoImageError) else "failed"
        more = {} if image is None else {"shape": image.shape, "dtype": image.dtype}
        record = record_of(frame, status, path=path, error=error, **more)
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
            run = str(doc.get("run_start") or (self._runs[-1] if self._runs else ""))
            if isinstance(error, TemplateError):
                self._ledger.say(run, error)  # its frames' records will tell
                return
            record = Record(status="failed", path=None, run=run, error=error)
            self._ledger.put((self._ledger.new_group(), 0), record)


def _first_of_each_event(frames: list[Frame]) -> Iterator[Frame]:
    seen: set[int] = set()
    for frame in frames:
        if id(frame.pixels or frame) not in seen:
            seen.add(id(frame.pixels or frame))
            yield frame

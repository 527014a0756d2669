"""What a worker does with files of one image: publish and record them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.errors import ExistsError, NoImageError, ReadError, TiffinError
from tiffin.export.output_file import ReadyFile
from tiffin.export.publisher import caused_by
from tiffin.records import Record

if TYPE_CHECKING:
    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.corrections import Notes
    from tiffin.export.context import ExportContext
    from tiffin.export.existing_files import ExistingFiles
    from tiffin.export.listing import Lines
    from tiffin.export.output_file import Page, Published
    from tiffin.records import Status

    # A file with its record, its name, and what was written.
    _Done = tuple[ReadyFile, Record, str, Published]

MOST_READY = 32
"""How many files are written one after another when their bytes are ready. It takes
less time than to write each when it is ready: the processor's caches keep the code."""

ENOUGH = 4 * 2**20
"""How many bytes of images are ready at most, but for the last one [bytes]."""


LONGEST = 10_000
"""The longest message of an error; some contain an array [characters]."""


class FileWorker:
    """Writes the files of a worker's images. Thread-safe."""

    def __init__(self, context: ExportContext, existing: ExistingFiles) -> None:
        settings, self._namer, self._ledger, self._manifests, self._publisher = context
        self._settings = settings
        self._corrected = bool(settings.steps)
        self._retakes = context.namer.retakes
        self._existing = existing

    def add(
        self,
        ready: list[ReadyFile],
        page: Page,
        image: np.ndarray | Encoded,
        notes: Notes,
        lines: Lines,
    ) -> None:
        """Make the bytes of a file ready, and write those that can't wait.

        A TiffinError is raised if such a file can't hold the image.
        """
        frame, path = page.frame, self._publisher.path(page.name)
        content = self._publisher.encode(image, frame, notes)
        record = Record.of(frame, "written", path, image=image, clipped=notes.clipped)
        ready.append(ReadyFile(page, content, record, notes, lines))
        # Only what a document holds can wait: a reader may use its array again.
        waits = frame.pixels is not None and frame.pixels.memory and not self._corrected
        is_full = len(ready) >= MOST_READY or len(ready) * record.nbytes > ENOUGH
        if is_full or not waits:
            self.write(ready)

    def write(self, ready: list[ReadyFile]) -> None:
        """Write and record the files, until none is ready any more."""
        done: list[_Done] = []
        for file in ready:
            stopped = self._publisher.stopped
            try:
                if stopped is None:
                    self._put(file, done)
                else:
                    self.fail(file.page, stopped)
            except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
                self.fail(file.page, error)
        ready.clear()
        for file, record, name, written in done if self._manifests.on else ():
            page = file.page
            try:
                line = self._manifests.line(
                    page.frame, record, name, written, file.notes
                )
                file.lines[page.place[2]] = line
            except BaseException as error:  # noqa: BLE001 (as above)
                self.fail(page, error)

    def fail(self, page: Page, error: BaseException) -> None:
        """Record why an image is not written."""
        skip = self._settings.existing == "skip" and isinstance(error, ExistsError)
        # A value that is not an image is a failure only if its field was requested.
        skip |= self._settings.fields is None and isinstance(error, NoImageError)
        if not isinstance(error, TiffinError):
            message = f"{page.frame}: {type(error).__name__}: {error}"
            error = caused_by(ReadError(message[:LONGEST]), error)
        path = self._publisher.path(page.name)
        if path in self._retakes.paths(page.place):
            with self._retakes.lock(path):  # another worker may be writing it
                holds = path in self._retakes.files(page.place)
            if holds:
                message = f"{error}; {path} holds an earlier take, not this one"
                error = caused_by(ReadError(message), error)
        status: Status = "skipped" if skip else "failed"
        self._ledger.settle(page.place, status, error, if_planned=True)

    def _put(self, file: ReadyFile, done: list[_Done]) -> None:
        page: Page | None = file.page
        path, place = str(file.record.file), file.page.place
        while page is not None:
            with self._retakes.lock(path):
                if not self._ledger.is_planned(place):
                    return  # the point was taken again
                page = self._put_one(page, path, file, done)
            if page is not None:
                path = self._publisher.path(page.name)

    def _put_one(
        self, page: Page, path: str, file: ReadyFile, done: list[_Done]
    ) -> Page | None:
        """Publish or adopt a file, and record it; or return a page with a new name."""
        frame, name = page.frame, page.name
        content, record = file.content, file.record
        if page is not file.page:
            record = record._replace(file=path)
        is_retake = path in self._retakes.files(page.place)
        looks = self._existing.looks and not is_retake
        state = self._existing.state(frame.run, name, content) if looks else "absent"
        if state == "same":
            written = self._existing.sum_of(name)
            there = ExistsError(f"{path} exists already")
            record = record._replace(status="skipped", error=there)
        else:
            damaged = state == "damaged" or self._settings.existing == "replace"
            may_replace = damaged or is_retake
            try:
                written = self._publisher.publish(
                    name, content, frame, replace=may_replace
                )
            except ExistsError:
                renamed = self._namer.another(page)
                if renamed is None:
                    raise
                return renamed
        if not self._ledger.put(page.place, record, if_planned=True):
            if state != "same" and not self._retakes.wrote(page.place, path):
                self._publisher.remove(name)
        else:
            done.append((file, record, name, written))
        return None

"""Read, correct, write and record the frames of an event."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from tiffin.corrections import Notes
from tiffin.engine import slim
from tiffin.errors import (
    CorrectionError,
    ExistsError,
    NoImageError,
    NotYetError,
    ReadError,
    TiffinError,
)
from tiffin.export.existing_files import ExistingFiles
from tiffin.export.listing import Listing
from tiffin.export.publisher import caused_by
from tiffin.export.stack_file import StackFile
from tiffin.export.stack_worker import StackWorker
from tiffin.records import Record

if TYPE_CHECKING:
    from tiffin.array_images import Encoded, Images
    from tiffin.engine import Retries
    from tiffin.export.content import Content
    from tiffin.export.context import ExportContext
    from tiffin.export.listing import Lines
    from tiffin.export.output_file import OutputFile, Page, PageGroup
    from tiffin.export.run_corrections import RunCorrections
    from tiffin.frames import Frame
    from tiffin.records import Status
__all__ = ["Worker"]

logger = logging.getLogger("tiffin")

MOST_STACKS = 2
"""Of how many stacks a job writes pages together."""

LONGEST = 10_000
"""The longest message of an error; some contain an array [characters]."""


class Worker:
    """Exports images, and records every frame. Thread-safe.

    The array decides how many images an event has: additional images are named and
    written too, and the records of missing ones are removed.

    Parameters
    ----------
    context : ExportContext
    corrections : RunCorrections
    retries : Retries, optional
        Tries late files again. Without it, their frames fail.
    """

    def __init__(
        self,
        context: ExportContext,
        corrections: RunCorrections,
        retries: Retries | None = None,
    ) -> None:
        settings, self._namer, self._ledger, self._manifests, self._publisher = context
        self._settings = settings
        self._corrections = corrections
        self._retries = retries
        self._retakes = context.namer.retakes
        self._existing = ExistingFiles(settings, context.manifests)
        self._listing = Listing(context)
        self._stacks = StackWorker(context, self._listing, self._existing)
        self._writer = settings.writer
        self._corrected = bool(settings.steps)
        self._stacked = settings.stack is not None
        self._surprised: set[tuple[str, str | None, str | None]] = set()

    def export(self, groups: list[PageGroup]) -> None:
        """Write the images of events, and add their files to the manifests."""
        lines_of: dict[str, list[tuple[int, str]]] = {}
        done: PageGroup = []
        stacks: set[OutputFile | None] = set()
        for pages in groups:
            lines = self._export(pages)
            if lines is not None:
                if self._stacked:
                    stacks.add(pages[0].file)
                    done += pages
                if len(stacks) > MOST_STACKS:
                    self._stacks.settle(done)
                    done, stacks = [], set()
                run, number, _ = pages[0].place
                lines_of.setdefault(run, []).append((number, lines))
        self._stacks.settle(done)
        for run, lines_of_run in lines_of.items():
            self._listing.add(run, lines_of_run)

    def fail(self, pages: PageGroup, error: BaseException) -> None:
        """Fail the unfinished frames of a group."""
        for page in pages:
            if page.file is not None and self._ledger.is_planned(page.place):
                self._fail(page, error)

    def finish(self, stack: StackFile) -> None:
        """Publish a stack, if all of its pages are done."""
        self._stacks.finish(stack)

    def end_run(self, run: str) -> None:
        """Forget the warnings of a run."""
        self._surprised = {key for key in self._surprised if key[0] != run}

    # ---- a group of frames

    def _export(self, pages: PageGroup) -> str | None:
        """Write the images of an event; return their lines, None if some are late."""
        lines: Lines = {}
        try:
            missing = self._try(pages, pages, lines)
            if missing and self._retries is not None:
                self._postpone(pages, missing, lines)
                return None
            for page, error in missing:
                self._fail(page, error)
            return self._listing.lines_of(pages, lines)
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self.fail(pages, error)
            return "".join(lines.values())

    def _postpone(
        self,
        pages: PageGroup,
        missing: list[tuple[Page, NotYetError]],
        lines: Lines,
    ) -> None:
        left = missing

        def attempt(is_last: bool) -> bool:
            nonlocal left
            try:
                left = self._try(pages, [page for page, _ in left], lines)
                for page, error in left if is_last else ():
                    self._fail(page, error)
                done = is_last or not left
            except BaseException as error:  # noqa: BLE001 (as above)
                self.fail(pages, error)
                done = True
            if done:
                self._stacks.settle(pages)
                run, number, _ = pages[0].place
                self._listing.add(run, [(number, self._listing.lines_of(pages, lines))])
            return done

        assert self._retries is not None  # noqa: S101 (the caller has checked)
        self._retries.postpone(pages[0].frame.run, attempt)

    def _try(
        self, pages: PageGroup, wanted: PageGroup, lines: Lines
    ) -> list[tuple[Page, NotYetError]]:
        """Write the images that can be read; return the late ones."""
        planned = self._ledger.is_planned  # false if the point was taken again
        wanted = [p for p in wanted if p.file is not None and planned(p.place)]
        if self._publisher.stopped is not None:
            for page in wanted:
                self._stacks.stop(page, self._publisher.stopped)
                self._fail(page, self._publisher.stopped)
            return []
        if self._settings.existing == "resume":
            wanted = [page for page in wanted if not self._is_intact(page)]
        if not wanted:
            return []
        try:
            images = wanted[0].frame.images()
        except NotYetError as error:
            slim(error)  # it is kept for a while, and its traceback keeps files open
            return [(page, error) for page in wanted]
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            for page in wanted:
                self._fail(page, error)
            return []
        found = images.shape[0] if math.prod(images.shape) else 0
        if found != len(pages):
            wanted = self._settle_surprise(pages, wanted, found)
        missing = []
        for page in wanted:
            late = self._write(page, images, lines)
            if late is not None:
                missing.append((page, late))
        return missing

    def _settle_surprise(
        self, pages: PageGroup, wanted: PageGroup, found: int
    ) -> PageGroup:
        """Remove the records of missing images, and name additional images."""
        first = wanted[0]
        run, number, _ = first.place
        self._log_surprise(first.frame, len(pages), found)
        for page in wanted:
            if page.place[2] >= found:
                self._ledger.withdraw(page.place)
        if not found:
            message = (
                f"event {first.frame.seq_num} has no image of {first.frame.field!r}"
            )
            empty = Record.of(first.frame, "skipped", error=NoImageError(message))
            empty = empty._replace(id=empty.id._replace(i=None))
            self._ledger.put(first.place, empty)
        more = [(run, number, i) for i in range(len(pages), found)]
        new = [
            self._namer.name_one(first.frame.with_index(place[2]), place)
            for place in more
            if not self._ledger.has(place)  # a retry finds it
        ]
        for page in new:
            if isinstance(page.file, StackFile):
                page.file.submit()
                page.file.settle()  # with the group, which is not settled yet
        there = [page for page in wanted if page.place[2] < found]
        return there + [page for page in new if page.file is not None]

    def _log_surprise(self, frame: Frame, declared: int, found: int) -> None:
        key = frame.id[:3]
        if key not in self._surprised:
            self._surprised.add(key)
            logger.warning(
                "run %s: the descriptor declares %d image(s) of %r for each event, but "
                "event %s has %d: using the number in the event",
                frame.run[:8],
                declared,
                frame.field,
                frame.seq_num,
                found,
            )

    # ---- one image

    def _write(self, page: Page, images: Images, lines: Lines) -> NotYetError | None:
        """Write and record an image; return the error if it is late."""
        try:
            self._put(page, images, lines)
        except NotYetError as error:
            slim(error)
            return error
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self._fail(page, error)
        return None

    def _put(self, page: Page, images: Images, lines: Lines) -> None:
        notes = Notes()
        image = self._image(page.frame, images, notes)
        if isinstance(page.file, StackFile):
            self._stacks.add(page, image, notes)
            return
        content = self._publisher.encode(image, page.frame, notes)
        done = Record.of(
            page.frame,
            "written",
            file=self._path(page),
            image=image,
            clipped=notes.clipped,
        )
        left: Page | None = page
        while left is not None:
            with self._retakes.lock(str(done.file)):
                if not self._ledger.is_planned(page.place):
                    return  # the point was taken again
                left = self._put_one(left, content, done, notes, lines)
            if left is not None:
                done = done._replace(file=self._path(left))

    def _image(
        self, frame: Frame, images: Images, notes: Notes
    ) -> np.ndarray | Encoded:
        """Read and correct an image; or take its stored bytes, if possible."""
        i = frame.i or 0
        if not self._corrected:
            encoded = getattr(images, "encoded", None)
            stored: Encoded | None = encoded(i, self._writer.takes) if encoded else None
            return np.asarray(images[i]) if stored is None else stored
        image = self._corrections(np.asarray(images[i]), frame, notes)
        if not image.size:
            message = f"{frame}: the corrections leave no pixels, shape {image.shape}"
            raise CorrectionError(message)
        return image

    def _put_one(
        self,
        page: Page,
        content: Content,
        record: Record,
        notes: Notes,
        lines: Lines,
    ) -> Page | None:
        """Publish or adopt a file, and record it; or return a page with a new name."""
        frame, name, path = page.frame, self._name(page), str(record.file)
        is_retake = path in self._retakes.files(page.place)
        looks = self._existing.looks and not is_retake
        state = self._existing.state(frame.run, name, content) if looks else "absent"
        if state == "same":
            done = self._existing.sum_of(name)
            there = ExistsError(f"{path} exists already")
            record = record._replace(status="skipped", error=there)
        else:
            damaged = state == "damaged" or self._settings.existing == "replace"
            may_replace = damaged or is_retake
            try:
                done = self._publisher.publish(
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
        elif self._manifests.on:
            line = self._manifests.line(frame, record, name, done, notes)
            lines[page.place[2]] = line
        return None

    def _is_intact(self, page: Page) -> bool:
        """Return whether the file of a frame is listed and intact; then skip it."""
        name, path = self._name(page), self._path(page)
        try:
            if isinstance(page.file, StackFile):
                found = self._stacks.is_intact(page)
            else:
                found = self._existing.listed(page.frame.run, name)
        except OSError as error:
            message = f"{path} can't be read: {error}"
            self._fail(page, caused_by(ReadError(message), error))
            return True
        if found:
            self._publisher.clear(name)
            there = ExistsError(f"{path} exists already and is intact")
            self._ledger.settle(page.place, "skipped", there, if_planned=True)
        return found

    def _fail(self, page: Page, error: BaseException) -> None:
        skip = self._settings.existing == "skip" and isinstance(error, ExistsError)
        # A value that is not an image is a failure only if its field was requested.
        skip |= self._settings.fields is None and isinstance(error, NoImageError)
        if not isinstance(error, TiffinError):
            message = f"{page.frame}: {type(error).__name__}: {error}"
            error = caused_by(ReadError(message[:LONGEST]), error)
        path = self._path(page)
        if path in self._retakes.paths(page.place):
            with self._retakes.lock(path):  # another worker may be writing it
                holds = path in self._retakes.files(page.place)
            if holds:
                message = f"{error}; {path} holds an earlier take, not this one"
                error = caused_by(ReadError(message), error)
        status: Status = "skipped" if skip else "failed"
        self._ledger.settle(page.place, status, error, if_planned=True)

    def _name(self, page: Page) -> str:
        return "" if page.file is None else page.file.name

    def _path(self, page: Page) -> str:
        return self._publisher.path(self._name(page))

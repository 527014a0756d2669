"""Read, correct, write and record the frames of an event."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from tiffin.corrections import Notes
from tiffin.display import count_text
from tiffin.engine import slim
from tiffin.errors import (
    CorrectionError,
    ExistsError,
    NoImageError,
    NotYetError,
    ReadError,
)
from tiffin.export.existing_files import ExistingFiles
from tiffin.export.file_worker import FileWorker
from tiffin.export.listing import Listing
from tiffin.export.publisher import caused_by
from tiffin.export.stack_file import StackFile
from tiffin.export.stack_worker import StackWorker
from tiffin.records import Record

if TYPE_CHECKING:
    from tiffin.array_images import Encoded, Images
    from tiffin.engine import Retries
    from tiffin.export.context import ExportContext
    from tiffin.export.listing import Lines
    from tiffin.export.output_file import OutputFile, Page, PageGroup, ReadyFile
    from tiffin.export.run_corrections import RunCorrections
    from tiffin.frames import Frame

logger = logging.getLogger("tiffin")

MOST_STACKS = 2
"""Of how many stacks a job writes pages together."""


class Worker:
    """Exports images, and records every frame. Thread-safe.

    The array decides how many images an event has: additional images are named and
    written too, and the records of missing ones are removed. Without `retries`, frames
    of late files fail.
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
        self._files = FileWorker(context, self._existing)
        self._stacks = StackWorker(context, self._listing, self._existing)
        self._writer = settings.writer
        self._corrected = bool(settings.steps)
        self._stacked = settings.stack is not None
        self._warned: set[tuple[str, str | None, str | None]] = set()

    def export(self, groups: list[PageGroup]) -> None:
        """Write the images of events, and add their files to the manifests."""
        lines_of: dict[str, list[tuple[int, str]]] = {}
        write = self._write_stacked if self._stacked else self._write_groups
        for pages, lines in write(groups):
            run, number, _ = pages[0].place
            lines_of.setdefault(run, []).append((number, lines))
        for run, lines_of_run in lines_of.items():
            self._listing.add(run, lines_of_run)

    def _write_groups(self, groups: list[PageGroup]) -> list[tuple[PageGroup, str]]:
        """Write the images of events, several at a time; return their lines."""
        ready: list[ReadyFile] = []
        begun = [(pages, self._begin(pages, ready)) for pages in groups]
        self._files.write(ready)
        return [
            (pages, self._lines_of(pages, lines))
            for pages, lines in begun
            if lines is not None
        ]

    def _write_stacked(self, groups: list[PageGroup]) -> list[tuple[PageGroup, str]]:
        """Add the images of events to stacks; return the lines of other frames."""
        found = []
        done: PageGroup = []
        stacks: set[OutputFile | None] = set()
        for pages in groups:
            for each, lines in self._write_groups([pages]):
                found.append((each, lines))
                stacks.add(pages[0].file)
                done += pages
            if len(stacks) > MOST_STACKS:
                self._stacks.settle(done)
                done, stacks = [], set()
        self._stacks.settle(done)
        return found

    def fail(self, pages: PageGroup, error: BaseException) -> None:
        """Fail the unfinished frames of a group."""
        for page in pages:
            if page.file is not None and self._ledger.is_planned(page.place):
                self._files.fail(page, error)

    def finish(self, stack: StackFile) -> None:
        """Publish a stack, if all of its pages are done."""
        self._stacks.finish(stack)

    def end_run(self, run: str) -> None:
        """Forget the warnings of a run."""
        self._warned = {key for key in self._warned if key[0] != run}

    # ---- a group of frames

    def _begin(self, pages: PageGroup, ready: list[ReadyFile]) -> Lines | None:
        """Read and encode the images of an event, or write them.

        Return their lines, as soon as they are written; None if some images are late.
        """
        lines: Lines = {}
        try:
            missing = self._try(pages, pages, lines, ready)
            if missing and self._retries is not None:
                self._files.write(ready)
                self._postpone(pages, missing, lines)
                return None
            for page, error in missing:
                self._files.fail(page, error)
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self._files.write(ready)
            self.fail(pages, error)
        return lines

    def _lines_of(self, pages: PageGroup, lines: Lines) -> str:
        try:
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
            ready: list[ReadyFile] = []
            try:
                left = self._try(pages, [page for page, _ in left], lines, ready)
                self._files.write(ready)
                for page, error in left if is_last else ():
                    self._files.fail(page, error)
                done = is_last or not left
            except BaseException as error:  # noqa: BLE001 (as above)
                self._files.write(ready)
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
        self,
        pages: PageGroup,
        wanted: PageGroup,
        lines: Lines,
        ready: list[ReadyFile],
    ) -> list[tuple[Page, NotYetError]]:
        """Prepare or write the images that can be read; return the late ones."""
        planned = self._ledger.is_planned  # false if the point was taken again
        wanted = [p for p in wanted if p.file is not None and planned(p.place)]
        if self._publisher.stopped is not None:
            for page in wanted:
                self._stacks.stop(page, self._publisher.stopped)
                self._files.fail(page, self._publisher.stopped)
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
                self._files.fail(page, error)
            return []
        found = images.shape[0] if math.prod(images.shape) else 0
        if found != len(pages):
            wanted = self._settle_other_count(pages, wanted, found)
        missing = []
        for page in wanted:
            late = self._prepare(page, images, lines, ready)
            if late is not None:
                missing.append((page, late))
        return missing

    def _settle_other_count(
        self, pages: PageGroup, wanted: PageGroup, found: int
    ) -> PageGroup:
        """Remove the records of missing images, and name additional images."""
        first = wanted[0]
        run, number, _ = first.place
        self._log_other_count(first.frame, len(pages), found)
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

    def _log_other_count(self, frame: Frame, declared: int, found: int) -> None:
        key = frame.id[:3]
        if key not in self._warned:
            self._warned.add(key)
            logger.warning(
                "run %s: the descriptor declares %s of %r for each event, but "
                "event %s has %d: using the number in the event",
                frame.run[:8],
                count_text(declared, "image"),
                frame.field,
                frame.seq_num,
                found,
            )

    # ---- one image

    def _prepare(
        self, page: Page, images: Images, lines: Lines, ready: list[ReadyFile]
    ) -> NotYetError | None:
        """Read and encode an image, and perhaps write it; return why it is late."""
        notes = Notes()
        try:
            image = self._image(page.frame, images, notes)
            if isinstance(page.file, StackFile):
                self._stacks.add(page, image, notes)
            else:
                self._files.add(ready, page, image, notes, lines)
        except NotYetError as error:
            slim(error)
            return error
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self._files.fail(page, error)
        return None

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

    def _is_intact(self, page: Page) -> bool:
        """Return whether the file of a frame is listed and intact; then skip it."""
        name, path = page.name, self._publisher.path(page.name)
        try:
            if isinstance(page.file, StackFile):
                found = self._stacks.is_intact(page)
            else:
                found = self._existing.listed(page.frame.run, name)
        except OSError as error:
            message = f"{path} can't be read: {error}"
            self._files.fail(page, caused_by(ReadError(message), error))
            return True
        if found:
            self._publisher.clear(name)
            there = ExistsError(f"{path} exists already and is intact")
            self._ledger.settle(page.place, "skipped", there, if_planned=True)
        return found

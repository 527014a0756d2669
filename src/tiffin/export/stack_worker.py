"""What a worker does with stacks: add pages, and publish complete files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from tiffin.engine import slim
from tiffin.errors import DtypeError, ExistsError, ReadError, TiffinError, WriteError
from tiffin.export.output_file import Published
from tiffin.export.publisher import caused_by
from tiffin.export.scan_axes import axes_of_pages
from tiffin.export.stack_file import StackFile, StackPage
from tiffin.frames import Frame
from tiffin.records import Record
from tiffin.writers import ScratchFile, same_content, write_error

if TYPE_CHECKING:
    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.corrections import Notes
    from tiffin.export.context import ExportContext
    from tiffin.export.existing_files import ExistingFiles
    from tiffin.export.listing import Listing
    from tiffin.export.output_file import Page, PageGroup
    from tiffin.export.stack_file import PageKey
    from tiffin.records import Status
    from tiffin.writers import StackingWriter, StackWriter, UnnamedFile

MOST_WAITING = 64 * 2**20
"""Encoded pages of a stack that may wait for one before them [bytes]."""

MOST_LEFT = 16 * 2**20
"""Encoded pages that are left to a thread that is writing others [bytes]."""

ENOUGH = 2**20
"""Pages that are written without waiting for more [bytes]."""


class StackWorker:
    """Writes stacks. Safe in threads.

    A stack is a file without a name until all of its pages are written. A frame that
    fails leaves its page out; a page that can't be written fails the whole stack.
    """

    def __init__(
        self, context: ExportContext, listing: Listing, existing: ExistingFiles
    ) -> None:
        self._settings, namer, self._ledger, self._manifests, self._publisher = context
        self._listing = listing
        self._existing = existing
        self._retakes = namer.retakes

    def add(self, page: Page, image: np.ndarray | Encoded, notes: Notes) -> None:
        """Write a page of a stack; raise a TiffinError if that is not possible."""
        stack, frame = page.file, page.frame
        assert isinstance(stack, StackFile)  # noqa: S101 (the caller has checked)
        metadata = self._publisher.metadata.of(frame, notes)
        with stack.lock:
            writer = self._writer_of(stack)
        encoded = writer.encode(image, metadata)  # several threads at a time
        path = self._publisher.path(stack.name)
        record = Record.of(frame, "written", path, image=image, clipped=notes.clipped)
        with stack.lock:
            if not self._ledger.is_planned(page.place):
                return  # the point was taken again
            self._check_same(stack, record)
            self._writer_of(stack)  # raises what has failed it meanwhile
            stack.pages[page.key] = StackPage(page.place, record, _light(frame), notes)
            stack.make_ready(page.key, encoded)
        if stack.waiting >= ENOUGH:
            self._write(stack)

    def stop(self, page: Page, error: TiffinError) -> None:
        """Fail the whole stack of a page that is not written because of a full disk."""
        if isinstance(page.file, StackFile):
            with page.file.lock:
                page.file.error = page.file.error or error

    def settle(self, pages: PageGroup) -> None:
        """Count pages as done, and write those that waited; finish complete stacks."""
        keys: dict[StackFile, list[PageKey]] = {}
        for page in pages:
            if isinstance(page.file, StackFile):
                keys.setdefault(page.file, []).append(page.key)
        for stack, done in keys.items():
            with stack.lock:
                for key in done:
                    stack.give_up(key)
            self._write(stack)
            stack.settle(len(done))
            self.finish(stack)

    def _write(self, stack: StackFile) -> None:
        """Write the pages whose turn it is.

        While another thread is writing, they are left to it, unless too many wait.
        """
        wrote = True
        while wrote and stack.writing.acquire(blocking=stack.waiting > MOST_LEFT):
            try:
                wrote = self._write_ready(stack, MOST_WAITING)
            finally:
                stack.writing.release()

    def _write_ready(self, stack: StackFile, most: float) -> bool:
        """Write the pages whose turn it is; return whether there were any."""
        with stack.lock:
            ready, writer = stack.take_ready(most), stack.writer
        if writer is None or stack.error is not None:
            return False
        try:
            for key, encoded in ready:
                try:
                    writer.add(key, encoded)
                except DtypeError as error:  # it alone can't be written
                    page = stack.pages.pop(key)
                    self._ledger.settle(page.place, "failed", error, if_planned=True)
            self._append(stack, writer.flush)
        except BaseException as error:  # noqa: BLE001 (the stack fails when it ends)
            stack.error = error
        return bool(ready)

    def is_intact(self, page: Page) -> bool:
        """Return whether the manifest lists a stack with all pages, and it is intact.

        Only of a stack whose frames were all planned is it known which these are. An
        OSError is raised if the file can't be read.
        """
        stack = page.file
        assert isinstance(stack, StackFile)  # noqa: S101 (the caller has checked)
        with stack.lock:
            if stack.is_intact is None:
                run = page.frame.run
                entry = self._manifests.listed(run, stack.name) or {}
                is_full = len(entry.get("frames", ())) == stack.frames
                stack.is_intact = (
                    stack.is_planned
                    and is_full
                    and self._existing.listed(run, stack.name)
                )
            return stack.is_intact

    def finish(self, stack: StackFile) -> None:
        """Publish a stack if all of its pages are done, and record its frames."""
        if not stack.takes_turn():
            return
        lines: list[str] = []
        try:
            with stack.writing:
                self._finish(stack, lines)
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self._fail(stack, error)
        finally:
            stack.discard()
            self._list(stack, lines)

    def _list(self, stack: StackFile, lines: list[str]) -> None:
        """Add the lines of a stack to the manifest, also if there are none."""
        if stack.group is None and lines:  # no descriptor declares its images
            run = next(iter(stack.pages.values())).place[0]
            stack.group = run, self._ledger.new_group()
            self._manifests.expect(*stack.group, writes=True)
        if stack.group is not None:
            run, number = stack.group
            self._listing.add(run, [(number, "".join(lines))])

    def _finish(self, stack: StackFile, lines: list[str]) -> None:
        self._write_ready(stack, 0)
        if stack.error is not None:
            raise stack.error
        planned = self._ledger.is_planned
        writer = stack.writer
        for key in [k for k, p in stack.pages.items() if not planned(p.place)]:
            del stack.pages[key]  # it was taken again, and the later take failed
            if writer is not None:
                writer.drop(key)
        if writer is None or stack.file is None or not stack.pages:
            return
        finished: list[Any] = []
        in_order = [stack.pages[key] for key in sorted(stack.pages)]
        ids = [page.record.id for page in in_order]
        axes = axes_of_pages(in_order[0].frame.start, ids, stack.axes)
        self._append(stack, lambda: finished.extend(writer.finish(axes)))
        written, keys = finished
        self._publish(stack)
        for n, key in enumerate(keys):
            place, record, frame, notes = stack.pages[key]
            record = record._replace(page=n)
            if self._settings.compare:
                there = ExistsError(f"{record.file} is there already")
                record = record._replace(status="skipped", error=there)
            if self._ledger.put(place, record, if_planned=True) and self._manifests.on:
                line = self._manifests.line(
                    frame, record, stack.name, Published(written), notes, page=n
                )
                lines.append(line)

    def _publish(self, stack: StackFile) -> None:
        file, first = stack.file, stack.pages[min(stack.pages)]
        assert file is not None  # noqa: S101 (the caller has checked)
        path = self._publisher.path(stack.name)
        replaces = self._settings.existing == "replace"
        replaces |= path in self._retakes.files(first.place)
        if self._existing.looks and not replaces:
            same = partial(same_content, other=file.descriptor)
            state = self._existing.state_of(first.frame.run, stack.name, same)
            replaces = state in ("damaged", "same")
        if not self._settings.compare:
            self._publisher.give_name(file, first.frame, replace=replaces)

    def _writer_of(self, stack: StackFile) -> StackWriter:
        """Return what writes a stack; open its file for the first page."""
        if stack.error is not None:
            message = f"the stack {self._publisher.path(stack.name)} failed"
            raise caused_by(WriteError(f"{message}: {stack.error}"), stack.error)
        if stack.writer is None:
            scratch = self._settings.compare
            file: UnnamedFile = ScratchFile() if scratch else self._new_file(stack)
            stack.file = file
            writer = cast("StackingWriter", self._settings.writer)
            stack.writer = writer.stack(
                file.descriptor,
                checksum=self._settings.checksum,
                big=self._settings.bigtiff,
            )
        return stack.writer

    def _new_file(self, stack: StackFile) -> UnnamedFile:
        """Open the file of a stack, or fail the whole stack."""
        while True:
            try:
                return self._publisher.new_file(stack.name)
            except WriteError as error:
                if not self._publisher.waits_for_room(error):
                    stack.error = error
                    raise

    def _append(self, stack: StackFile, write: Any) -> None:
        """Write to a stack; wait for room on a full disk, if that was asked for."""
        while True:
            try:
                write()
            except OSError as error:
                if isinstance(error, TiffinError):
                    raise
                refused = write_error(self._publisher.path(stack.name), error)
                if self._publisher.waits_for_room(refused):
                    continue
                stack.error = refused
                raise refused from error
            return

    def _check_same(self, stack: StackFile, record: Record) -> None:
        first = next(iter(stack.pages.values()), None)
        if first is None:
            return
        known, found = first.record, record
        if (known.shape, known.dtype) != (found.shape, found.dtype):
            message = (
                f"{found.id} has shape {[*(found.shape or ())]} and dtype "
                f"{found.dtype}, but the stack {stack.name} begins with shape "
                f"{[*(known.shape or ())]} and dtype {known.dtype}: export without "
                f"stack=, or make them the same with corrections"
            )
            raise DtypeError(message)

    def _fail(self, stack: StackFile, error: BaseException) -> None:
        if not isinstance(error, TiffinError):
            name = type(error).__name__
            error = caused_by(ReadError(f"{stack.name}: {name}: {error}"), error)
        slim(error)
        stack.error = error
        skip = self._settings.existing == "skip" and isinstance(error, ExistsError)
        for page in stack.pages.values():
            status: Status = "skipped" if skip else "failed"
            self._ledger.settle(page.place, status, error, if_planned=True)


def _light(frame: Frame) -> Frame:
    """Return a frame with what its line in the manifest needs of its event."""
    return Frame(
        id=frame.id,
        number=frame.number,
        start=frame.start,
        descriptor=frame.descriptor,
        event={k: frame.event[k] for k in ("uid", "time") if k in frame.event},
        kind=frame.kind,
    )

"""Write files beside the images of a run: its documents, and a table of its frames."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.errors import (
    ExistsError,
    ReadError,
    SupersededError,
    TiffinError,
    WriteError,
)
from tiffin.export.frame_table import FrameTable, Row
from tiffin.export.listing import Listing
from tiffin.export.metadata import iso_time
from tiffin.export.publisher import caused_by
from tiffin.export.run_json import run_json
from tiffin.folders import IrregularError
from tiffin.frames import Frame, FrameId
from tiffin.records import Record
from tiffin.writers import Written, checksum_of, checksum_over, write_buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.engine import Place
    from tiffin.export.context import ExportContext
    from tiffin.export.frame_table import Point
    from tiffin.export.observers import EndedRun
    from tiffin.export.output_file import PageGroup

    Chunks = Callable[[], Iterable[bytes]]
    Listed = Mapping[tuple[int, int, str | None], tuple[str, int]]
    Claim = tuple[Frame, Place, str | TiffinError]

RUN, TABLE = "run.json", "frames.csv"
NAMES = {RUN: "run.json", TABLE: "frames_{stream}_{field}.csv"}
"""The names below the folder of the run, as templates."""


class Sidecars:
    """Names, collects and writes the sidecars of runs. An observer of their ends."""

    def __init__(self, context: ExportContext) -> None:
        settings, self._namer, self._ledger, self._manifests, self._publisher = context
        self._settings = settings
        self._listing = Listing(context)
        wanted = () if settings.compare or settings.hooks else settings.sidecars
        self._templates = {
            kind: settings.template.of_sidecar(NAMES[kind]) for kind in wanted
        }
        # By run; and by stream and field, with None for the run itself.
        self._names: dict[str, dict[FrameId, str | TiffinError]] = {}
        self._tables: dict[str, dict[FrameId, FrameTable | Exception]] = {}

    # ---- names

    def see(self, pages: PageGroup) -> None:
        """Name the sidecars of the run, stream and field of some frames."""
        if not self._templates or not any(map(self._has_file, pages)):
            return
        frame = pages[0].frame
        names = self._names.setdefault(frame.run, {})
        run, table = _ids(frame)
        if table in names or (run in names and TABLE not in self._templates):
            return
        for kind, which in ((RUN, run), (TABLE, table)):
            if kind in self._templates and which not in names:
                try:
                    found = self._templates[kind].render(frame.names())
                except TiffinError as error:
                    names[which] = error
                else:
                    names[which] = found

    def _claims(self, run: str) -> list[Claim]:
        names = self._names.pop(run, {})
        return [self._claim(which, name) for which, name in names.items()]

    def _claim(self, which: FrameId, name: str | TiffinError) -> Claim:
        frame = Frame(id=which, kind="sidecar")
        place = (which.run, self._ledger.new_group(), 0)
        file = None if isinstance(name, TiffinError) else self._publisher.path(name)
        if isinstance(name, str):
            name = self._namer.claim_sidecar(name, frame, place)
        if isinstance(name, TiffinError):
            exists = isinstance(name, ExistsError) and self._settings.existing == "skip"
            status = "skipped" if exists else "failed"
            self._ledger.put(place, Record.of(frame, status, file, error=name))  # type: ignore[arg-type]
        elif self._settings.dry_run:
            path = self._publisher.path(name)
            self._ledger.put(place, Record.of(frame, "planned", file=path))
        return frame, place, name

    def _has_file(self, page: Any) -> bool:
        if page.file is not None:
            return True
        has = self._ledger.has(page.place)
        return has and _is_there(self._ledger.at(page.place))

    # ---- rows

    def note(self, pages: PageGroup) -> None:
        """Collect the event of some frames, for the table."""
        if TABLE not in self._templates or pages[0].frame.seq_num is None:
            return
        first = pages[0]
        _, which = _ids(first.frame)
        tables = self._tables.setdefault(which.run, {})
        if which not in tables:
            tables[which] = FrameTable()
        table = tables[which]
        if isinstance(table, FrameTable):
            try:
                table.add(first.frame, first.place[1], len(pages))
            except (OSError, ValueError, TypeError) as error:
                table.close()
                tables[which] = error

    # ---- the end of a run

    def run_ended(self, summary: EndedRun) -> None:
        """Write the sidecars of a run that has at least one image."""
        run = summary.run
        if not self._templates:
            return
        if self._is_whole(summary):
            for frame, place, name in self._claims(run):
                if isinstance(name, str) and not self._settings.dry_run:
                    self._finish(frame, place, name, summary)
        self._names.pop(run, None)
        for table in self._tables.pop(run, {}).values():
            if isinstance(table, FrameTable):
                table.close()

    def _is_whole(self, summary: EndedRun) -> bool:
        """Return whether no frame is unfinished, and at least one image is there."""
        left = self._ledger.left(summary.run)
        if self._settings.dry_run and left:
            return True
        return not left and any(map(_is_there, summary.report.records))

    def _finish(self, frame: Frame, place: Place, name: str, summary: EndedRun) -> None:
        """Write a sidecar, list it, and record it."""
        path = self._publisher.path(name)
        try:
            done, error = self._put(
                frame, name, self._chunks(frame, name, summary), summary
            )
        except (TiffinError, OSError, ValueError, TypeError) as refused:
            if not isinstance(refused, TiffinError):
                message = f"{path} can't be written: {refused}"
                refused = caused_by(WriteError(message), refused)
            record = Record.of(frame, "failed", path, error=refused)
        else:
            status = "written" if error is None else "skipped"
            record = Record.of(frame, status, path, error=error)  # type: ignore[arg-type]
            if done is not None:
                self._manifests.expect(frame.run, place[1], writes=True)
                line = self._manifests.sidecar_line(record, name, done)
                self._listing.add(frame.run, [(place[1], line)])
        self._ledger.put(place, record)

    def _put(
        self, frame: Frame, name: str, chunks: Chunks, summary: EndedRun
    ) -> tuple[Written | None, ExistsError | None]:
        """Write a sidecar, unless a resume finds that it is there and right.

        Return what to list, and why nothing was written.
        """
        listed = False
        if self._settings.existing == "resume":
            listed = self._manifests.listed(frame.run, name) is not None
            if self._is_same(name, chunks):
                there = ExistsError(f"{self._publisher.path(name)} is there already")
                done = None if listed else self._sum_of(name)
                return done, there
        self._publisher.clear(name)
        dated = Frame(id=frame.id, event=summary.documents.stop or {})
        done = self._publisher.write(
            name,
            partial(_write_chunks, chunks=chunks, kind=self._settings.checksum),
            dated,
            replace=listed or self._settings.existing == "replace",
            stops=False,
        )
        return done, None

    def _is_same(self, name: str, chunks: Chunks) -> bool:
        try:
            descriptor = self._settings.folders.open_file(name)
        except (FileNotFoundError, NotADirectoryError, IrregularError):
            return False
        there = checksum_of(descriptor, "sha256").checksum
        return there == checksum_over(chunks(), "sha256")

    def _sum_of(self, name: str) -> Written:
        descriptor = self._settings.folders.open_file(name)
        return checksum_of(descriptor, self._settings.checksum)

    # ---- contents

    def _chunks(self, frame: Frame, name: str, summary: EndedRun) -> Chunks:
        """Return what gives the content of a sidecar, again at each call."""
        if frame.field is None:
            return lambda: [run_json(summary.documents)]
        table = self._tables.get(frame.run, {}).get(frame.id)
        if isinstance(table, Exception):
            raise table
        if table is None:
            message = f"no frame of {frame.field!r} came again"
            raise ReadError(message)
        folder, listed = name.rpartition("/")[0], self._listed(frame.id)
        rows_of = partial(self._rows_of, frame.run, folder, listed)
        zone = self._settings.template.style.time
        return lambda: table.chunks(rows_of, partial(iso_time, zone))

    def _rows_of(
        self, run: str, folder: str, listed: Listed, point: Point
    ) -> Iterator[Row]:
        """Return a row for each frame of an event: as recorded, or as listed before."""
        for i in itertools.count():
            place = (run, point.group, i)
            if self._ledger.has(place):
                record = self._ledger.at(place)
                if not isinstance(record.error, SupersededError):
                    which = (point.seq_num, i, point.kind)
                    _, page = listed.get(which, ("", record.page))
                    page = record.page if record.status == "written" else page
                    yield self._row(record, folder, page)
            elif i >= point.images:
                return
            else:
                path, page = listed.get((point.seq_num, i, point.kind), ("", 0))
                number = None if point.number is None else point.number + i
                if path:
                    yield Row(_relative(path, folder), page, i, number, "written")

    def _row(self, record: Record, folder: str, page: int) -> Row:
        resumed = self._settings.existing == "resume" and _is_there(record)
        file = ""
        if record.file is not None and _is_there(record):
            file = _relative(self._publisher.name(record.file), folder)
        status = "written" if resumed else record.status
        return Row(file, page, record.i, record.number, status)

    def _listed(self, which: FrameId) -> Listed:
        """Return where an earlier export put frames that this one does not write."""
        resumes = self._settings.existing == "resume" and self._settings.stack
        if self._settings.frames is None and not resumes:
            return {}
        earlier = self._manifests.earlier(which.run)
        return {
            (seq_num, i, line.get("image")): (str(line["path"]), page)
            for line in (earlier.files.values() if earlier else ())
            if (line.get("stream"), line.get("field")) == which[1:3]
            for seq_num, i, page in line["frames"]
        }


def _ids(frame: Frame) -> tuple[FrameId, FrameId]:
    """Return what stands for the run of a frame, and for its stream and field."""
    return FrameId(frame.run), FrameId(frame.run, frame.stream, frame.field)


def _is_there(record: Record) -> bool:
    """Return whether the file of a frame was written, now or before."""
    if record.status == "written":
        return True
    return record.status == "skipped" and isinstance(record.error, ExistsError)


def _relative(path: str, folder: str) -> str:
    """Return a path relative to the folder of a sidecar, which is above it."""
    return path.removeprefix(f"{folder}/") if folder else path


def _write_chunks(descriptor: int, chunks: Chunks, kind: str) -> Written:
    nbytes = 0

    def written() -> Iterator[bytes]:
        nonlocal nbytes
        for chunk in chunks():
            nbytes += write_buffers(descriptor, [chunk], "none").nbytes
            yield chunk

    done = written()
    checksum = checksum_over(done, kind)
    for _ in done:  # without a checksum, nothing was asked for yet
        pass
    return Written(nbytes, checksum)

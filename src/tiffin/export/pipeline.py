"""The order of things: document, frame, name, claim, queue, pixels, file, record.

Names come before pixels: what a plan, a dry run and a collision need is known without
reading any. A replay plans all of its names first; live, each frame takes its name as
it comes.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import Assembler, LateDocuments, ListDtypes
from tiffin.corrections import Cast
from tiffin.engine import Later, Patience, Pool
from tiffin.errors import (
    CollisionError,
    ExistsError,
    FieldError,
    NoImageError,
    NoRoomError,
    ResumeError,
    SourceError,
    TemplateError,
    TiffinError,
    WriteError,
)
from tiffin.export.batches import Batches
from tiffin.export.correcting import Correcting, FindRun
from tiffin.export.durable import sync_files
from tiffin.export.journal import Journal
from tiffin.export.kinds import Kinds
from tiffin.export.naming import Namer
from tiffin.export.outcome import Named
from tiffin.export.plan import Plan
from tiffin.export.room import check_room
from tiffin.export.worker import Group, Worker
from tiffin.records import Record, Reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.frames import Frame
    from tiffin.records import Kept, Report
    from tiffin.settings import Settings

    Documents = Iterable[tuple[str, Mapping[str, Any]]]

__all__ = ["Pipeline"]

LATE = frozenset({"stop", "baseline"})
"""What a name may ask for that documents may tell only behind the frames."""

MOST_OPEN_RUNS = 1_000
"""Runs may be one in another. Beyond that the oldest never stopped, and is ended."""

NAMING_ERRORS = (TemplateError, CollisionError, ExistsError, FieldError, ResumeError)
"""What is wrong before any pixel is read: raising, nothing is written."""


class Pipeline:
    """Leads documents through an export.

    Parameters
    ----------
    settings : Settings
    progress : callable, optional
        Called with (frames finished, frames known), from any thread.
    find_run : callable, optional
        Finds the documents of other runs that corrections ask for.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        progress: Callable[[int, int], object] | None = None,
        find_run: FindRun | None = None,
    ) -> None:
        self._settings = settings
        self._namer = Namer(settings, progress)
        self._ledger = self._namer.ledger
        self._pool = Pool(
            workers=settings.workers,
            budget=settings.memory,
            name="tiffin-writer",
            spare=settings.workers,
        )
        self._later: Later | None = None
        if settings.asset_timeout:
            submit = partial(self._pool.submit, 0)
            self._later = Later(
                settings.asset_timeout,
                submit,
                release=self._close_files,
            )
        self._journal = Journal(settings)
        self._correcting = Correcting(
            settings.steps, find_run, settings.roots, settings.image_axes
        )
        self._kinds = Kinds(self._correcting, settings)
        self._worker = Worker(
            settings,
            self._namer,
            self._ledger,
            self._journal,
            self._correcting,
            self._later,
        )
        self._batches = Batches(self._pool, self._worker)
        self._synced: set[str] = set()
        self._corrected = any(not isinstance(s, Cast) for s in settings.steps)
        casts = [s.dtype for s in settings.steps if isinstance(s, Cast)]
        self._cast = np.dtype(casts[-1]) if casts else None
        self._dtypes = ListDtypes(settings.dtype, cast_later=self._corrected)
        self._counts: dict[tuple[str, str], int] = {}
        self._foresight: LateDocuments | None = None
        self._assembler = self._new_assembler()
        self._plan = Plan(self._namer)
        self._runs: dict[str, str] = {}
        self._open: dict[str, None] = {}  # runs that began and never stopped yet
        self._late: set[str] = set()
        self._closed: dict[str, str] = {}  # as _runs, of runs that `close` ended

    def prepare(self, parts: Iterable[Documents]) -> None:
        """Look ahead for what names and corrections ask for, and documents tell late.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            To be given to `plan` or `feed` again. Looked at only if there is need.
        """
        if self._settings.template.roots & LATE:
            self._foresight = LateDocuments.scan(_unbroken(parts))
            self._assembler = self._new_assembler()
        if self._correcting.looks_ahead:
            for name, doc in _unbroken(parts):
                with suppress(SourceError):  # which the export meets, too
                    self._correcting.look_ahead(name, doc)
        if self._kinds.tells_retakes:
            self._kinds.foresee(self._all_groups(parts))

    def _all_groups(self, parts: Iterable[Documents]) -> Iterator[list[Frame]]:
        assembler = self._new_assembler()
        for name, doc in _unbroken(parts):
            with suppress(SourceError):
                yield from _groups(assembler(name, doc))
        yield from _groups(assembler.finish())

    def survey(self, parts: Iterable[Documents]) -> None:
        """Let every frame that comes as a list have its say about its field's dtype."""
        assembler = self._new_assembler()
        with self._dtypes.survey():
            for name, doc in _unbroken(parts):
                with suppress(SourceError):
                    for _ in assembler(name, doc):
                        pass

    def plan(self, parts: Iterable[Documents], *, keep: bool = False) -> None:
        """Name every frame of a replay, and settle all claims, before any is read.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            One run each, or a few. To be given to `feed` again, unless this is a dry
            run, or the frames are kept.
        keep : bool
            Whether to keep the frames for `write`: of documents that stand in memory
            anyway, images too.
        """
        # Pixels of frames that are kept are closed with the assembler that gave them.
        assembler = self._assembler if keep else self._new_assembler()
        self._namer.planning = True
        self._kinds.plan(keep=keep)
        with self._dtypes.survey():
            for group in self._groups_of(assembler, parts):
                self._plan.add(self._namer.name(group), keep=keep)
        self._namer.planning = False
        self._kinds.forget()
        self._namer.account()
        self._plan.settle()

    def write(self) -> None:
        """Hand the frames over that the plan has kept."""
        for named in self._plan.kept():
            self._hand_named(named)

    def feed(self, name: str, doc: Mapping[str, Any]) -> TiffinError | None:
        """Take one document: hand what it completes to the workers.

        Returns
        -------
        TiffinError or None
            What every name of the run or stream would fail with, told by a start
            document or a descriptor.
        """
        if self._closed:
            self._refuse_of_closed(name, doc)
        if name == "start":
            if self.is_open(str(doc["uid"])):
                return None  # delivered twice
            self._begin_run(str(doc["uid"]))
        elif name == "stop":
            self._open.pop(str(doc.get("run_start")), None)
        self._note_run(name, doc)
        self._correcting.feed(name, doc)
        try:
            self._hand_over(self._kinds.of(_groups(self._assembler(name, doc))))
        finally:
            if name == "stop":
                self._hand_over(self._kinds.end(str(doc.get("run_start"))))
        if not self._plan:
            self._batches.flush()  # live: nothing is to wait for company
        if name == "start":
            self._ledger.begin(str(doc["uid"]))
            return None if self._plan else self._check_start(doc)
        if name == "descriptor" and not self._plan:
            return self._check_descriptor(self._assembler, doc, live=True)
        return None

    def _refuse_of_closed(self, name: str, doc: Mapping[str, Any]) -> None:
        """Refuse what comes of a run that `close` has ended.

        Raises
        ------
        SourceError
        """
        if name == "stop":
            run = doc.get("run_start")
            self._closed = {d: of for d, of in self._closed.items() if of != run}
        elif name == "descriptor":
            self._closed.pop(str(doc.get("uid")), None)
        elif str(doc.get("descriptor")) in self._closed:
            message = (
                f"{name} {doc.get('seq_num', doc.get('uid'))} came after the exporter "
                f"was closed: close it when its runs are over"
            )
            raise SourceError(message)

    def _check_start(self, doc: Mapping[str, Any]) -> TiffinError | None:
        if self._settings.existing == "resume":
            error = self._journal.refusal(str(doc["uid"]))
            if error is not None:
                self._namer.refuse_run(str(doc["uid"]), error)
                return error
        return self._namer.check_start(doc)

    def _check_descriptor(
        self, assembler: Assembler, doc: Mapping[str, Any], *, live: bool
    ) -> TemplateError | None:
        announced = assembler.declared_images(doc)
        if announced is None:
            return None
        return self._namer.check_descriptor(self._kinds.announced(announced), live=live)

    def _begin_run(self, run: str) -> None:
        """Let go of the runs that are over; one that comes again begins anew."""
        self.close_runs()
        if self._ledger.is_over(run):
            self._ledger.forget(run)
            self._namer.release(run, again=True)
            self._journal.forget(run)
        self._namer.begin_run(run)
        self._open[run] = None
        if len(self._open) > MOST_OPEN_RUNS and not self._plan:
            oldest = next(iter(self._open))
            self.feed("stop", {"run_start": oldest})
            self.end_run(oldest, Patience.of(self._settings.stop_timeout))

    def close_runs(self) -> None:
        """Let go of the runs that were late, or hung, and of which nothing is left."""
        for run in list(self._late):
            if not self._is_under_way(run):
                self._close_run(run)

    def _is_under_way(self, run: str) -> bool:
        if self._later is not None and self._later.has(run):
            return True
        return not self._settings.dry_run and self._ledger.left(run) > 0

    def _close_files(self) -> None:
        """Close what was opened, unless a job hangs: it may hold a library's lock."""
        if not self._pool.hangs:
            self._assembler.close()
            self._correcting.close()

    def _close_run(self, run: str) -> None:
        """Close what a run opened, and give its names free: they are on the disk."""
        self._late.discard(run)
        self._close_files()  # what was tried once more may have opened a file
        self._say_empty(run)
        self._sync(run)
        self._synced.discard(run)
        self._close_manifests(run)
        self._namer.release(run)
        self._journal.forget(run)
        self._worker.end_run(run)
        self._dtypes.forget(run)
        for counted in [key for key in self._counts if key[0] == run]:
            del self._counts[counted]
        self._ledger.end(run)
        self._correcting.end_runs(lambda of: not self._ledger.is_open(of))

    def progress(self) -> object:
        """Return what changes while anything goes on; waiting for room is meant to."""
        return self._ledger.finished, self._pool.done, self._worker.looked

    def patience(self) -> Patience:
        """Wait for as long as there is progress, late files included."""
        limit = self._settings.stop_timeout
        if limit is not None and self._later is not None and self._later.is_busy:
            limit += self._settings.asset_timeout
        return Patience(stalls=limit, progress=self.progress)

    def wait(self, patience: Patience) -> bool:
        """Wait for what has been fed, files that are late too."""
        self._batches.flush()
        return self._pool.drain(patience) and (
            self._later is None or self._later.wait(patience)
        )

    def end_run(self, run: str, patience: Patience | None = None) -> None:
        """Wait for what can be read, and close what the run opened.

        Files that are not there yet are not waited for: it may be the caller who is
        to close them. Nor is what hangs, for longer than that.
        """
        self._batches.flush()
        self._pool.drain(patience, all_jobs=False)
        self._close_files()
        self._runs = {d: of for d, of in self._runs.items() if of != run}
        self._namer.account(run)
        if self._later is not None and not self._pool.hangs:
            self._later.end_run(run, patience=patience)
        elif self._later is not None:
            self._later.begin_end(run)
        if self._is_under_way(run):
            self._late.add(run)
        else:
            self._close_run(run)

    def finish(self, *, patient: bool = True) -> None:
        """End the runs that never stopped, and wait for all frames.

        Parameters
        ----------
        patient : bool
            Whether files that are late may still come; else they are looked for once
            more.
        """
        self._hand_over(self._kinds.of(_groups(self._assembler.finish())))
        self._hand_over(self._kinds.end())
        self._batches.flush()
        self._closed, self._runs = self._runs, {}
        self._open.clear()
        patience = self.patience()
        done = self._pool.drain(patience)
        if self._later is not None:
            self._later.end_all(None if patient else 0)
            done = done and self._later.wait(patience)
        self._close_files()
        self._plan.fail_rest()
        self._namer.account()
        self._close_journal()

    def refuse_without_room(self) -> NoRoomError | None:
        """Refuse all that is planned if the disk has no room for it; say why."""
        error = check_room(self._settings, self._namer.sizes())
        if error is not None:
            for place, _ in self._ledger.waiting():
                self._ledger.settle(place, "failed", error)
        return error

    def close(self) -> None:
        """Wait for all frames, while there is progress, and end the threads."""
        patience = self.patience()
        if self._later is not None and self._pool.drain(patience):
            self._later.end_all()
            self._later.wait(patience)
        self._pool.close(patience)
        self._close_files()
        self._close_journal()

    def cancel(self) -> None:
        """Drop what no worker has begun; `close` waits for the rest. Takes no lock."""
        self._pool.cancel()
        self._worker.stop_waiting()

    def stop_waiting(self) -> None:
        """Wait no longer for room on a full disk: what does not fit fails."""
        self._worker.stop_waiting()

    def _close_journal(self) -> None:
        for run in self._ledger.unfinished:
            self._say_empty(run)
            self._sync(run)
        self._close_manifests()

    def _close_manifests(self, run: str | None = None) -> None:
        """Write what is left to be told; files that are not listed are not ok."""
        try:
            self._journal.close(run)
        except Exception as error:  # noqa: BLE001 (the end of a run; recorded)
            refused = WriteError(f"a manifest can't be written: {error}")
            refused.errno = getattr(error, "errno", None)
            if self._ledger.report(run).written:
                self.record_failure(refused, run or "")

    def _say_empty(self, run: str) -> None:
        """Say it aloud, once, where no event of a run held an image."""
        if self._ledger.is_empty(run):
            message = "no image was exported: no event of the run holds any"
            self._ledger.say(run, NoImageError(message))

    def _sync(self, run: str) -> None:
        """Force the files of a run to the disk, once, if that was asked for."""
        if self._settings.fsync != "run" or run in self._synced:
            return
        self._synced.add(run)
        written = self._ledger.report(run).written
        paths = [r.path for r in written if r.path]
        for error in sync_files(self._settings.folders, paths):
            self.record_failure(error, run)

    def record_failure(self, error: Exception, run: str = "") -> None:
        """Record a failure that is no frame's."""
        place = (run, self._ledger.new_group(), 0)
        self._ledger.put(
            place, Record(status="failed", path=None, run=run, error=error)
        )

    @property
    def reports(self) -> Reports:
        """Run uid → report, of all runs that there is something to tell of, in order.

        Each is made when it is asked for.
        """
        ledger = self._ledger
        return Reports(lambda: ledger.runs, self.report, ledger.knows)

    def keep_reports(self, runs: int | None) -> None:
        """Set of how many runs that are over the records stay; None for all."""
        self._ledger.keep = runs

    def report(self, run: str | None = None) -> Report:
        """Sum up what has become of the frames so far."""
        return self._ledger.report(run, waits=self._pool.waits)

    def naming_error(self) -> Exception | None:
        """Return the first of what the plan found wrong with names and fields."""
        return self._ledger.first_error(NAMING_ERRORS)

    def hangs(self, run: str) -> bool:
        """Whether frames of a run were waited for in vain, and are still under way."""
        return self._pool.hangs and self._ledger.left(run) > 0

    def left(self, run: str | None = None) -> str:
        """Return what is still to be done: of all runs, or of one."""
        waiting = self._ledger.waiting(run)
        of = f"run {run[:8]}: " if run else ""
        if not waiting or self._settings.dry_run:
            return f"{of}documents are waited for"
        first = waiting[0][1]
        frames = "1 frame is" if len(waiting) == 1 else f"{len(waiting)} frames are"
        return f"{of}{frames} under way, first {_told(first)}"

    def is_open(self, run: str) -> bool:
        """Whether a run has not ended yet."""
        return self._ledger.is_open(run) and run not in self._late

    @property
    def has_records(self) -> bool:
        """Whether there is anything to tell."""
        return len(self._ledger) > 0

    def _new_assembler(self) -> Assembler:
        return Assembler(
            fields=self._settings.fields,
            streams=self._settings.streams,
            dtypes=self._dtypes,
            join_events=self._settings.needs_events,
            axes=self._settings.image_axes,
            roots=self._settings.roots,
            late_documents=self._foresight,
            corrected=self._corrected,
            cast=self._cast,
            counts=self._counts,
            repeats=self._settings.repeats == "all",
        )

    def _groups_of(
        self, assembler: Assembler, parts: Iterable[Documents]
    ) -> Iterator[list[Frame]]:
        """Return all frames of a source; where a part breaks, record that and go on."""
        for part in parts:
            try:
                for name, doc in part:
                    frames = self._frames_of(assembler, name, doc)
                    yield from self._kinds.of(_groups(frames))
                    if name == "stop":
                        yield from self._kinds.end(str(doc.get("run_start")))
                        self._namer.retakes.forget(str(doc.get("run_start")))
            except SourceError as error:
                self.record_failure(error)
        yield from self._kinds.of(_groups(assembler.finish()))
        yield from self._kinds.end()

    def _frames_of(
        self, assembler: Assembler, name: str, doc: Mapping[str, Any]
    ) -> Iterator[Frame]:
        self._note_run(name, doc)
        try:
            self._correcting.feed(name, doc)
            yield from assembler(name, doc)
            if name == "start":
                self._check_start(doc)
            elif name == "descriptor":
                self._check_descriptor(assembler, doc, live=False)
        except SourceError as error:
            self.record_failure(error, self.run_of(name, doc))

    def run_of(self, name: str, doc: Mapping[str, Any]) -> str:
        """Find the run of any document, as far as it can be known; else ``""``."""
        told = doc.get("uid" if name == "start" else "run_start")
        if not isinstance(told, str):
            of = str(doc.get("descriptor"))
            told = self._runs.get(of) or self._closed.get(of)
        return told or ""

    def _note_run(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "descriptor" and "uid" in doc:
            self._runs[str(doc["uid"])] = str(doc.get("run_start"))

    def _hand_over(self, groups: Iterable[list[Frame]]) -> None:
        for group in groups:
            self._hand_named(self._plan.names_of(group) or self._namer.name(group))

    def _hand_named(self, named: list[Named]) -> None:
        named = [
            item
            if item.name is None or self._ledger.is_planned(item.place)
            else item._replace(name=None)  # it was taken again
            for item in named
        ]
        writes = named[0].name is not None or any(n.name is not None for n in named)
        known = writes or any(self._ledger.has(item.place) for item in named)
        if self._settings.dry_run or not known:
            return
        group = Group(named[0].place[1], named)
        try:
            self._journal.expect(group.run, group.number, writes=writes)
            nbytes = _cost(named)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (recorded)
            self._worker.fail(group, error)
        else:
            self._batches.add(group, nbytes)


def _unbroken(parts: Iterable[Documents]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give each part's documents up to where it breaks, which is recorded elsewhere."""
    for part in parts:
        with suppress(SourceError):
            yield from part


def _groups(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Take together the frames of one event and field, which share their pixels."""
    for _, group in itertools.groupby(frames, key=lambda f: id(f.pixels or f)):
        yield list(group)


def _told(kept: Kept) -> str:
    """Return which frame it is, where it comes from and where it goes, in short."""
    if not isinstance(kept, Named):
        return f"number {kept.number} of {kept.field!r}"
    resource: Mapping[str, Any] = getattr(kept.frame.pixels, "resource", None) or {}
    source = resource.get("uri") or resource.get("resource_path")
    comes = f" from {source}" if source else ""
    return f"{kept.frame}{comes}, to {kept.name}"


def _cost(named: list[Named]) -> int:
    """Return what a group holds in memory, or will once it is read [bytes]."""
    first = named[0].frame
    held = first.pixels.held if first.pixels else 0
    return held or first.nbytes * len(named)

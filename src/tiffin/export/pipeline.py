"""The order of things: document, frame, group, name, claim, queue, file, record.

Names come before pixels: what a plan, a dry run and a collision need is known without
reading any. A replay plans all of its names first; live, each frame gets its name as it
comes.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import Assembler, LateDocuments, ListDtypes
from tiffin.corrections import Cast
from tiffin.engine import Ledger, Patience, Pool, Retries
from tiffin.errors import (
    CollisionError,
    ExistsError,
    FieldError,
    NoRoomError,
    ResumeError,
    SourceError,
    TemplateError,
    TiffinError,
)
from tiffin.export.disk_space import check_room
from tiffin.export.image_kinds import ImageKinds
from tiffin.export.journal import Journal
from tiffin.export.naming import Namer
from tiffin.export.open_runs import OpenRuns
from tiffin.export.plan import Plan
from tiffin.export.publisher import Publisher
from tiffin.export.run_corrections import FindRun, RunCorrections
from tiffin.export.run_ends import RunEnds
from tiffin.export.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.export.output_file import PageGroup
    from tiffin.frames import Frame
    from tiffin.records import Report, Reports
    from tiffin.settings import Settings

    Documents = Iterable[tuple[str, Mapping[str, Any]]]

__all__ = ["Pipeline"]

LATE = frozenset({"stop", "baseline"})
"""What a name may use that may come only behind the frames."""

NAMING_ERRORS = (TemplateError, CollisionError, ExistsError, FieldError, ResumeError)
"""What is wrong before any pixel is read: raising, nothing is written."""

MOST_GROUPS = 32
"""Groups in a job: between 16 and 64 made no difference that could be measured."""

ENOUGH = 4 * 2**20
"""So much is worth a job of its own [bytes]."""


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
        self._ledger = Ledger(
            progress, dry_run=settings.dry_run, keep=settings.keep_reports
        )
        self._namer = Namer(settings, self._ledger)
        self._pool = Pool(
            workers=settings.workers,
            budget=settings.memory,
            name="tiffin-writer",
            spare=settings.workers,
        )
        self._retries: Retries | None = None
        if settings.asset_timeout:
            submit = partial(self._pool.submit, 0)
            self._retries = Retries(
                settings.asset_timeout, submit, release=self._close_files
            )
        self._journal = Journal(settings)
        self._corrections = RunCorrections(
            settings.steps, find_run, settings.roots, settings.image_axes
        )
        self._images = ImageKinds(self._corrections, settings)
        self._publisher = Publisher(settings, self._ledger)
        self._worker = Worker(
            settings,
            self._namer,
            self._ledger,
            self._journal,
            self._corrections,
            self._publisher,
            self._retries,
        )
        self._waiting: list[PageGroup] = []
        self._waiting_bytes = 0
        self._corrected = any(not isinstance(s, Cast) for s in settings.steps)
        casts = [s.dtype for s in settings.steps if isinstance(s, Cast)]
        self._cast = np.dtype(casts[-1]) if casts else None
        self._dtypes = ListDtypes(settings.dtype, cast_later=self._corrected)
        self._counts: dict[tuple[str, str], int] = {}
        self._late_documents: LateDocuments | None = None
        self._assembler = self._new_assembler()
        self._open_runs = OpenRuns()
        self._ends = RunEnds(
            settings,
            self._ledger,
            self._journal,
            self._pool,
            self._retries,
            self._close_files,
            self._forget,
        )
        self.record_failure = self._ends.record_failure
        self.close_late = self._ends.close_late
        self.run_of = self._open_runs.run_of

    # ---- the way of a document

    def feed(
        self, name: str, doc: Mapping[str, Any], plan: Plan | None = None
    ) -> TiffinError | None:
        """Take one document: hand what it completes to the workers.

        Parameters
        ----------
        name : str
        doc : mapping
        plan : Plan, optional
            The names that the replay has made. Live there is none.

        Returns
        -------
        TiffinError or None
            Live: what every name of the run or stream would fail with, at its start
            document or descriptor.
        """
        if not self._begin(name, doc, plan):
            return None  # delivered twice
        try:
            self._export(self._images.of(_by_event(self._assembler(name, doc))), plan)
        finally:
            if name == "stop":
                self._export(self._images.end(str(doc.get("run_start"))), plan)
        if name == "start":
            self._ledger.begin(str(doc["uid"]))
        if plan is not None:
            return None
        self._flush()  # live: nothing waits for company
        return self._check(name, doc)

    def _export(self, groups: Iterable[list[Frame]], plan: Plan | None) -> None:
        """Name and claim the files of groups of frames, and submit them."""
        for group in groups:
            pages = plan.pages_of(group) if plan is not None else None
            self._submit(pages or self._namer.name(group))

    def _submit(self, pages: PageGroup) -> None:
        """Hand pages to the workers, small ones a few groups at a time."""
        planned = self._ledger.is_planned  # unless a point was taken again
        pages = [p if planned(p.place) else p._replace(file=None) for p in pages]
        writes = any(page.file is not None for page in pages)
        known = writes or any(self._ledger.has(page.place) for page in pages)
        if self._settings.dry_run or not known:
            return
        run, number, _ = pages[0].place
        try:
            self._journal.expect(run, number, writes=writes)
            nbytes = _memory_of(pages)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (recorded)
            self._worker.fail(pages, error)
            return
        self._waiting.append(pages)
        self._waiting_bytes += nbytes
        if len(self._waiting) >= MOST_GROUPS or self._waiting_bytes >= ENOUGH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            job = partial(self._worker.export, self._waiting)
            nbytes, self._waiting, self._waiting_bytes = self._waiting_bytes, [], 0
            self._pool.submit(nbytes, job)

    def _begin(self, name: str, doc: Mapping[str, Any], plan: Plan | None) -> bool:
        """Follow the runs; return whether the document is new."""
        self._open_runs.refuse_closed(name, doc)
        if name == "start":
            run = str(doc["uid"])
            if self.is_open(run):
                return False
            self._begin_run(run, plan)
        elif name == "stop":
            self._open_runs.stop(str(doc.get("run_start")))
        self._open_runs.note(name, doc)
        self._corrections.feed(name, doc)
        return True

    def _begin_run(self, run: str, plan: Plan | None) -> None:
        """Begin a run, or begin it anew if it comes again."""
        self.close_late()
        if self._ledger.is_over(run):
            self._ledger.forget(run)
            self._namer.release(run, again=True)
            self._journal.forget(run)
        self._namer.begin_run(run)
        oldest = self._open_runs.begin(run)
        if oldest is not None and plan is None:
            self.feed("stop", {"run_start": oldest})
            self.end_run(oldest, Patience.of(self._settings.stop_timeout))

    def _check(self, name: str, doc: Mapping[str, Any]) -> TiffinError | None:
        if name == "start":
            return self._check_start(doc)
        if name == "descriptor":
            return self._check_descriptor(self._assembler, doc, live=True)
        return None

    def _check_start(self, doc: Mapping[str, Any]) -> TiffinError | None:
        if self._settings.existing == "resume":
            error = self._journal.refusal(str(doc["uid"]))
            if error is not None:
                self._namer.checks.refuse_run(str(doc["uid"]), error)
                return error
        return self._namer.checks.check_start(doc)

    def _check_descriptor(
        self, assembler: Assembler, doc: Mapping[str, Any], *, live: bool
    ) -> TemplateError | None:
        declared = assembler.declared_images(doc)
        if declared is None:
            return None
        declared = self._images.announced(declared)
        return self._namer.checks.check_descriptor(declared, live=live)

    # ---- a replay

    def prepare(self, parts: Iterable[Documents]) -> None:
        """Look ahead for what names and corrections use, and documents have late.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            To be given to `plan` or `feed` again. Looked at only if there is need.
        """
        if self._settings.template.roots & LATE:
            self._late_documents = LateDocuments.scan(_unbroken(parts))
            self._assembler = self._new_assembler()
        if self._corrections.looks_ahead:
            for name, doc in _unbroken(parts):
                with suppress(SourceError):  # which the export meets, too
                    self._corrections.look_ahead(name, doc)
        if self._images.counts_retakes:
            self._images.count_retakes(self._all_groups(parts))

    def survey(self, parts: Iterable[Documents]) -> None:
        """Find a dtype for each field of lists that fits all of its frames."""
        with self._dtypes.survey():
            for _ in self._all_groups(parts):
                pass

    def _all_groups(self, parts: Iterable[Documents]) -> Iterator[list[Frame]]:
        assembler = self._new_assembler()
        for name, doc in _unbroken(parts):
            with suppress(SourceError):
                yield from _by_event(assembler(name, doc))
        yield from _by_event(assembler.finish())

    def plan(self, parts: Iterable[Documents], *, keep: bool = False) -> Plan:
        """Name every frame of a replay, and settle all claims, before any is read.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            One run each, or a few. To be given to `feed` again, unless this is a dry
            run, or the frames are kept.
        keep : bool
            Whether to keep the frames for `write`: those of documents that stand in
            memory anyway, images too.
        """
        plan = Plan(self._namer, self._ledger)
        # Pixels of frames that are kept are closed with the assembler that made them.
        assembler = self._assembler if keep else self._new_assembler()
        self._namer.planning = True
        self._images.plan(keep=keep)
        with self._dtypes.survey():
            for group in self._groups_of(assembler, parts):
                plan.add(self._namer.name(group), keep=keep)
        self._namer.planning = False
        self._images.forget()
        self._namer.account()
        plan.settle()
        return plan

    def _groups_of(
        self, assembler: Assembler, parts: Iterable[Documents]
    ) -> Iterator[list[Frame]]:
        """Return all groups of a source; where a part breaks, record that and go on."""
        for part in parts:
            try:
                for name, doc in part:
                    frames = self._frames_of(assembler, name, doc)
                    yield from self._images.of(_by_event(frames))
                    if name == "stop":
                        yield from self._images.end(str(doc.get("run_start")))
                        self._namer.retakes.forget(str(doc.get("run_start")))
            except SourceError as error:
                self.record_failure(error)
        yield from self._images.of(_by_event(assembler.finish()))
        yield from self._images.end()

    def _frames_of(
        self, assembler: Assembler, name: str, doc: Mapping[str, Any]
    ) -> Iterator[Frame]:
        self._open_runs.note(name, doc)
        try:
            self._corrections.feed(name, doc)
            yield from assembler(name, doc)
            if name == "start":
                self._check_start(doc)
            elif name == "descriptor":
                self._check_descriptor(assembler, doc, live=False)
        except SourceError as error:
            self.record_failure(error, self.run_of(name, doc))

    def write(self, plan: Plan) -> None:
        """Write the frames that the plan has kept."""
        for pages in plan.kept():
            self._submit(pages)

    def refuse_without_room(self) -> NoRoomError | None:
        """Refuse all that is planned if the disk has no room for it; return why."""
        error = check_room(
            self._settings, (record for _, record in self._ledger.waiting())
        )
        if error is not None:
            for place, _ in self._ledger.waiting():
                self._ledger.settle(place, "failed", error)
        return error

    def naming_error(self) -> Exception | None:
        """Return the first of what the plan found wrong with names and fields."""
        return self._ledger.first_error(NAMING_ERRORS)

    # ---- the end of runs

    def end_run(self, run: str, patience: Patience | None = None) -> None:
        """Wait for what can be read, and close what the run opened."""
        self._flush()
        self._open_runs.forget(run)
        self._namer.account(run)
        self._ends.end(run, patience)

    def finish(self, plan: Plan | None = None, *, patient: bool = True) -> None:
        """End the runs that never stopped, and wait for all frames.

        Parameters
        ----------
        plan : Plan, optional
            Of a replay: what it names and was not seen again fails.
        patient : bool
            Whether files that are late may still come; else they are looked for once
            more.
        """
        self._export(self._images.of(_by_event(self._assembler.finish())), plan)
        self._export(self._images.end(), plan)
        self._flush()
        self._open_runs.close()
        patience = self.patience()
        self._pool.drain(patience)
        if self._retries is not None:
            self._retries.end_all(None if patient else 0)
            self._retries.wait(patience)
        self._close_files()
        if plan is not None:
            plan.fail_rest()
        self._namer.account()
        self._ends.close_all()

    def close(self) -> None:
        """Wait for all frames, while there is progress, and end the threads."""
        patience = self.patience()
        if self._retries is not None and self._pool.drain(patience):
            self._retries.end_all()
            self._retries.wait(patience)
        self._pool.close(patience)
        self._close_files()
        self._ends.close_all()

    def cancel(self) -> None:
        """Drop what no worker has begun; `close` waits for the rest. Takes no lock."""
        self._pool.cancel()
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """Wait no longer for room on a full disk: what does not fit fails."""
        self._publisher.stop_waiting()

    def wait(self, patience: Patience) -> bool:
        """Wait for what has been fed, late files too; return whether all is done."""
        self._flush()
        return self._pool.drain(patience) and (
            self._retries is None or self._retries.wait(patience)
        )

    def patience(self) -> Patience:
        """Wait as long as there is progress, late files included."""
        limit = self._settings.stop_timeout
        if limit is not None and self._retries is not None and self._retries.is_busy:
            limit += self._settings.asset_timeout
        return Patience(stalls=limit, progress=self.progress)

    def progress(self) -> object:
        """Return what changes while anything goes on, a wait for room included."""
        return self._ledger.finished, self._pool.done, self._publisher.looked

    def _close_files(self) -> None:
        """Close what was opened, unless a job hangs: it may hold a library's lock."""
        if not self._pool.hangs:
            self._assembler.close()
            self._corrections.close()

    def _forget(self, run: str) -> None:
        """Forget a run whose files are all written."""
        self._namer.release(run)
        self._journal.forget(run)
        self._worker.end_run(run)
        self._dtypes.forget(run)
        for key in [key for key in self._counts if key[0] == run]:
            del self._counts[key]
        self._corrections.end_runs(lambda of: of == run or not self._ledger.is_open(of))

    # ---- what became of frames

    @property
    def reports(self) -> Reports:
        """Run uid → report, of all runs that have one, in order."""
        return self._ledger.reports

    def keep_reports(self, runs: int | None) -> None:
        """Set how many ended runs keep their records; None for all."""
        self._ledger.keep = runs

    def report(self, run: str | None = None) -> Report:
        """Return what has become of the frames so far."""
        return self._ledger.report(run, waits=self._pool.waits)

    def hangs(self, run: str) -> bool:
        """Return whether frames of a run were waited for in vain."""
        return self._pool.hangs and self._ledger.left(run) > 0

    def left(self, run: str | None = None) -> str:
        """Describe what is still to be done: of all runs, or of one."""
        waiting = self._ledger.waiting(run)
        of = f"run {run[:8]}: " if run else ""
        if not waiting or self._settings.dry_run:
            return f"{of}documents are waited for"
        first = waiting[0][1]
        frames = "1 frame is" if len(waiting) == 1 else f"{len(waiting)} frames are"
        return f"{of}{frames} under way, first {first.id}, to {first.file}"

    def is_open(self, run: str) -> bool:
        """Return whether a run has not ended yet."""
        return self._ledger.is_open(run) and not self._ends.is_late(run)

    @property
    def has_records(self) -> bool:
        """Whether any frame was seen, or anything failed."""
        return len(self._ledger) > 0

    def _new_assembler(self) -> Assembler:
        return Assembler(
            fields=self._settings.fields,
            streams=self._settings.streams,
            dtypes=self._dtypes,
            join_events=self._settings.needs_events,
            axes=self._settings.image_axes,
            roots=self._settings.roots,
            late_documents=self._late_documents,
            corrected=self._corrected,
            cast=self._cast,
            counts=self._counts,
            repeats=self._settings.repeats == "all",
        )


def _unbroken(parts: Iterable[Documents]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the documents of each part up to where it breaks."""
    for part in parts:
        with suppress(SourceError):  # the plan records it
            yield from part


def _by_event(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Group the frames of one event and field, which share their pixels."""
    for _, group in itertools.groupby(frames, key=lambda f: id(f.pixels or f)):
        yield list(group)


def _memory_of(pages: PageGroup) -> int:
    """Return what a group holds in memory, or will once it is read [bytes]."""
    first = pages[0].frame
    held = first.pixels.held if first.pixels else 0
    return held or first.nbytes * len(pages)

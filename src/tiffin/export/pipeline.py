"""The order of the steps: document, frame, group, name, claim, job, file, record.

Names are made from metadata, so a plan, a dry run and a check for collisions read no
pixels. A replay names all frames first; live, each frame is named when it comes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.engine import Interrupts, Ledger, Patience, Pool, Retries
from tiffin.errors import NoRoomError, SourceError, TiffinError
from tiffin.export.context import ExportContext
from tiffin.export.disk_space import check_room
from tiffin.export.frame_source import FrameSource
from tiffin.export.job_queue import JobQueue
from tiffin.export.manifests import Manifests
from tiffin.export.naming import Namer
from tiffin.export.open_runs import OpenRuns
from tiffin.export.plan import Plan
from tiffin.export.publisher import Publisher
from tiffin.export.run_corrections import FindRun, RunCorrections
from tiffin.export.run_documents import DocumentsOfRuns
from tiffin.export.run_ends import RunEnds
from tiffin.export.sidecars import Sidecars
from tiffin.export.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.export.observers import RunObserver
    from tiffin.export.output_file import PageGroup
    from tiffin.export.publisher import Save
    from tiffin.frames import Frame
    from tiffin.records import Report
    from tiffin.settings import Settings

    Documents = Iterable[tuple[str, Mapping[str, Any]]]


class Pipeline:
    """Exports documents.

    Parameters
    ----------
    settings : Settings
    progress : callable, optional
        Called with (frames finished, frames known), from any thread.
    find_run : callable, optional
        Finds the documents of other runs, for corrections.
    on_event : callable, optional
        With ``hooks``: called with the frames of each event. It gives them, or others,
        to `name` and `export`.
    save : callable, optional
        With ``hooks``: writes the files, see `Publisher`.
    observers : iterable of RunObserver
        Called at the end of each run.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        progress: Callable[[int, int], object] | None = None,
        find_run: FindRun | None = None,
        on_event: Callable[[list[Frame]], object] | None = None,
        save: Save | None = None,
        observers: Iterable[RunObserver] = (),
    ) -> None:
        self._settings = settings
        self.ledger = Ledger(
            progress, dry_run=settings.dry_run, keep=settings.keep_reports
        )
        self.namer = Namer(settings, self.ledger)
        self._pool = Pool(
            workers=settings.workers,
            budget=settings.memory,
            name="tiffin-writer",
            spare=settings.workers,
        )
        self._manifests = Manifests(settings)
        self._corrections = RunCorrections(
            settings.steps, find_run, settings.roots, settings.image_axes
        )
        self.source = FrameSource(settings, self._corrections)
        # No part holds the pipeline: without cycles, its memory is freed at once.
        self._close_files = partial(
            _close_files, self._pool, self.source, self._corrections
        )
        submit = partial(self._pool.submit, 0)
        self._retries = Retries(settings.asset_timeout, submit, self._close_files)
        self._on_event = on_event
        self.publisher = Publisher(settings, self.ledger, save)
        context = ExportContext(
            settings, self.namer, self.ledger, self._manifests, self.publisher
        )
        retries = self._retries if settings.asset_timeout else None
        self._worker = Worker(context, self._corrections, retries)
        self.open_runs = OpenRuns()
        named = settings.image_axes.colour or settings.image_axes.named
        wanted = settings.sidecars or settings.report or named
        self._documents = DocumentsOfRuns(on=bool(wanted))
        self._sidecars = Sidecars(context)
        self._jobs = JobQueue(context, self._pool, self._worker, self._sidecars)
        self.ends = RunEnds(
            context,
            self._pool,
            self._retries,
            self._close_files,
            (
                self.namer.release,
                self._manifests.forget,
                self._worker.end_run,
                self.source.forget,
                partial(self._corrections.end_runs, is_open=self.ledger.is_open),
            ),
            self._documents,
            [self._sidecars, *observers],
        )

    # ---- the steps of a document

    def feed(
        self, name: str, doc: Mapping[str, Any], plan: Plan | None = None
    ) -> TiffinError | None:
        """Process one document, and pass the frames that it completes to the workers.

        Parameters
        ----------
        name : str
        doc : mapping
        plan : Plan, optional
            The names of a replay. None if live.

        Returns
        -------
        TiffinError or None
            Live, for a start document or descriptor: the error that every name of the
            run or stream would have.
        """
        if not self._begin(name, doc, plan):
            return None  # delivered twice
        for group in self.source.feed(name, doc):  # assemble, and group
            if self._on_event is not None:
                self._on_event(group)
                continue
            pages = self._pages_of(group, plan)  # name, and claim
            self._jobs.submit(pages)  # a worker reads, corrects, writes and records
        self._jobs.finish_stacks(self.namer.stacks.closed())
        if name == "start":
            self.ledger.begin(str(doc["uid"]))
        if plan is not None and name == "stop":
            self.ends.stopped(str(doc.get("run_start")))
        if plan is not None or self._settings.hooks:
            return None
        self._jobs.flush()  # live, no frame waits for a job to fill up
        return self._check(self.source, name, doc, live=True)

    def _pages_of(self, group: list[Frame], plan: Plan | None) -> PageGroup:
        planned = None if plan is None else plan.pages_of(group)
        return planned or self._named(group)

    def _named(self, group: list[Frame]) -> PageGroup:
        pages = self.namer.name(group)
        if self._settings.sidecars:
            self._sidecars.see(pages)
        return pages

    def _begin(self, name: str, doc: Mapping[str, Any], plan: Plan | None) -> bool:
        """Keep track of runs; return whether the document is new."""
        self.open_runs.refuse_closed(name, doc)
        if name == "start":
            run = str(doc["uid"])
            if self.is_open(run):
                return False
            self._begin_run(run, plan)
        elif name == "stop":
            self.open_runs.stop(str(doc.get("run_start")))
        self.open_runs.note(name, doc)
        self._documents.note(name, doc)
        return True

    def _begin_run(self, run: str, plan: Plan | None) -> None:
        """Begin a run, also one that was exported before."""
        self.ends.close_late()
        self.ends.observe_stopped()
        if self.ledger.is_over(run):
            self.ledger.forget(run)
            self.namer.release(run, again=True)
            self._manifests.forget(run)
            self.source.forget_darks(run)
        self.namer.begin_run(run)
        oldest = self.open_runs.begin(run)
        if oldest is not None and plan is None:
            self.feed("stop", {"run_start": oldest})
            self.end_run(oldest, Patience.of(self._settings.stop_timeout))

    def _check(
        self, source: FrameSource, name: str, doc: Mapping[str, Any], *, live: bool
    ) -> TiffinError | None:
        """Return the error that every name of a run or stream would have."""
        checks = self.namer.checks
        if name == "descriptor":
            declared = source.declared(doc)
            if declared is None:
                return None
            return checks.check_descriptor(declared, live=live)
        if name != "start":
            return None
        run = str(doc["uid"])
        refused = self._manifests.refusal(run)
        if refused is None:
            return checks.check_start(doc)
        checks.refuse_run(run, refused)
        return refused

    # ---- what hooks have changed

    def name(self, event: list[Frame]) -> Iterator[PageGroup]:
        """Name and claim the files of an event's frames, unless these are darks."""
        first = event[0]
        if first.problem is None and first.stream in self._corrections.streams:
            return iter(())
        return map(self.namer.name, self.source.groups_of([event]))

    def export(self, pages: PageGroup) -> None:
        """Write files, in the caller's thread."""
        with Interrupts():  # Ctrl-C: an image that has begun is finished
            self._worker.export([pages])

    # ---- a replay

    def plan(self, parts: Iterable[Documents], *, keep: bool = False) -> Plan:
        """Name every frame of a replay, and claim all names, before any image is read.

        Each part has the documents of one run, or a few. Afterwards `feed` gets the
        same documents, except in a dry run. With `keep`, the frames are kept for
        `write` instead, because the documents and their images are in memory anyway.
        """
        plan = Plan(self.namer, self.ledger)
        self.namer.planning = True
        with self.source.first_pass(keep=keep) as source:
            for part in parts:
                try:
                    for name, doc in part:
                        self._plan_document(source, name, doc, plan, keep=keep)
                except SourceError as error:  # go on with the next part
                    self.ledger.record_failure(error)
            for group in source.finish():
                plan.add(self._named(group), keep=keep)
        self.namer.planning = False
        self.namer.stacks.close()
        self.namer.account()
        plan.settle()
        return plan

    def _plan_document(
        self,
        source: FrameSource,
        name: str,
        doc: Mapping[str, Any],
        plan: Plan,
        *,
        keep: bool,
    ) -> None:
        self.open_runs.note(name, doc)
        if keep or self._settings.dry_run:  # else `feed` gets it, too
            self._documents.note(name, doc)
        try:
            for group in source.feed(name, doc):
                plan.add(self._named(group), keep=keep)
            self._check(source, name, doc, live=False)
        except SourceError as error:
            self.ledger.record_failure(error, self.open_runs.run_of(name, doc))
        if name == "stop":
            self.namer.retakes.forget(str(doc.get("run_start")))

    def write(self, plan: Plan) -> None:
        """Write the frames that the plan keeps."""
        for pages in plan.kept():
            self._jobs.submit(pages)

    def refuse_without_room(self) -> NoRoomError | None:
        """Fail all planned frames if the disk is too small; return the error."""
        error = check_room(
            self._settings, (record for _, record in self.ledger.waiting())
        )
        if error is not None:
            for place, _ in self.ledger.waiting():
                self.ledger.settle(place, "failed", error)
        return error

    # ---- the end of runs

    def end_run(self, run: str, patience: Patience | None = None) -> None:
        """Wait for the frames of a run, except late ones, and close its files."""
        self._jobs.flush()
        self._jobs.finish_stacks(self.namer.stacks.end(run))
        self.open_runs.forget(run)
        self.namer.account(run)
        self.ends.end(run, patience)

    def finish(self, plan: Plan | None = None, *, patient: bool = True) -> None:
        """End runs without a stop document, and wait for all frames.

        Frames in the plan of a replay that have not come again fail. If not `patient`,
        late files are tried once more, and not waited for.
        """
        for group in self.source.finish():
            if self._on_event is not None:
                self._on_event(group)
            else:
                self._jobs.submit(self._pages_of(group, plan))
        self._jobs.flush()
        self._jobs.finish_stacks(self.namer.stacks.end())
        self.open_runs.close()
        patience = self.patience()
        self._pool.drain(patience)
        self._retries.end_all(None if patient else 0)
        self._retries.wait(patience)
        self._close_files()
        if plan is not None:
            plan.fail_rest()
        self.namer.account()
        self.ends.close_all()

    def close(self) -> None:
        """Wait for all frames as long as there is progress, and end the threads."""
        patience = self.patience()
        if self._settings.asset_timeout and self._pool.drain(patience):
            if self._pool.is_cancelled:  # attempts would not be made
                self._retries.drop()
            self._retries.end_all()
            self._retries.wait(patience)
        self._pool.close(patience)
        self._close_files()
        self._jobs.discard(self.namer.stacks.left())
        self.ends.close_all()

    def cancel(self) -> None:
        """Drop jobs that have not started; `close` waits for the rest. No lock."""
        self._pool.cancel()
        self.publisher.stop_waiting()

    def wait(self, patience: Patience) -> bool:
        """Wait for all frames so far, also late ones; return whether all are done."""
        self._jobs.flush()
        return self._pool.drain(patience) and self._retries.wait(patience)

    def patience(self) -> Patience:
        """Return a limit that ends a wait without progress, late files included."""
        limit = self._settings.stop_timeout
        if limit is not None and self._retries.is_busy:
            limit += self._settings.asset_timeout
        return Patience(stalls=limit, progress=self.progress)

    def progress(self) -> object:
        """Return a value that changes while there is progress or a wait for space."""
        return self.ledger.finished, self._pool.done, self.publisher.looked

    # ---- results

    def report(self, run: str | None = None) -> Report:
        """Return the report so far: of one run, or of all."""
        return self.ledger.report(run, waits=self._pool.waits)

    def hangs(self, run: str) -> bool:
        """Return whether a wait for frames of a run has timed out."""
        return self._pool.hangs and self.ledger.left(run) > 0

    def is_open(self, run: str) -> bool:
        """Return whether a run has not ended."""
        return self.ledger.is_open(run) and not self.ends.is_late(run)


def _close_files(pool: Pool, source: FrameSource, corrections: RunCorrections) -> None:
    """Close all files, unless a job hangs, which may hold the lock of a library."""
    if not pool.hangs:
        source.close()
        corrections.close()

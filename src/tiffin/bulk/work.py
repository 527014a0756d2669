"""Divide runs into tasks, run these, and record what becomes of each run."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiffin.bulk.bulk_report import BulkReport, RunOutcome
from tiffin.bulk.task import Task, TaskResult
from tiffin.corrections import FrameCombiner
from tiffin.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from tiffin.bulk.bulk_manifest import BulkManifest
    from tiffin.bulk.bulk_plan import BulkPlan
    from tiffin.bulk.engines import Engine
    from tiffin.bulk.found_runs import FoundRun
    from tiffin.bulk.sample import Sample
    from tiffin.settings import Settings

__all__ = ["Parts", "Progress", "Work"]

logger = logging.getLogger("tiffin")

Progress = Callable[[BulkReport], object]

TRIES = 3
"""How often a task is tried before it is given up."""

LARGE_TASK = 4 * 2**30
"""About how large the images of a task are [bytes]."""


PAUSE = 0.1
"""The shortest time between two calls of `progress` [s]."""


@dataclass(frozen=True, slots=True)
class Parts:
    """How long runs are divided.

    Attributes
    ----------
    frames : int or None
        The frames of a task; None if runs are not divided.
    frames_per_event : float
    """

    frames: int | None
    frames_per_event: float = 1.0

    @classmethod
    def of(cls, settings: Settings, sample: Sample | None, frames: int | None) -> Parts:
        """Return how to divide runs: by a number of frames, or about 4 GiB a task.

        Stacks, combined frames, sidecars and pages need the whole run, and a run of
        which only some frames are chosen is one task.
        """
        if frames is None and sample is not None and sample.bytes_per_frame:
            frames = max(1, int(LARGE_TASK // sample.bytes_per_frame))
        needs_all = settings.stack or settings.sidecars or settings.report
        needs_all = needs_all or settings.frames is not None
        if needs_all or any(isinstance(s, FrameCombiner) for s in settings.steps):
            frames = None
        return cls(frames, 1.0 if sample is None else sample.frames_per_event)

    def __call__(self, task: Task, run: FoundRun) -> Iterator[Task]:
        """Yield the tasks of a run. The last one takes all frames that are left."""
        task = replace(task, uid=run.uid, address=run.address)
        expected = round((run.events or 0) * self.frames_per_event)
        if self.frames is None or expected <= self.frames:
            yield task
            return
        starts = range(0, expected, self.frames)
        for start in starts:
            stop = "" if start == starts[-1] else start + self.frames
            yield replace(task, frames=f"{start}:{stop}")


class Work:
    """Runs the tasks of a plan, and keeps the outcome of each run.

    Parameters
    ----------
    plan : BulkPlan
    manifest : BulkManifest
    progress : callable, optional
        Called with a `BulkReport` while tasks finish, at most ten times a second.
    """

    def __init__(
        self, plan: BulkPlan, manifest: BulkManifest, progress: Progress | None
    ) -> None:
        self._plan = plan
        self._manifest = manifest
        self._progress = progress
        self._began = time.monotonic()
        self._dashboard = ""
        self._due = 0.0
        self._stopping = False
        self._without_stop = {run.uid for run in plan.runs if not run.stop}
        pending = {run.uid for run in plan.pending}
        self._outcomes = {
            run.uid: self._before(run, is_pending=run.uid in pending)
            for run in plan.runs
        }
        self._left: Counter[str] = Counter()
        self._tries: Counter[tuple[str, str | None]] = Counter()
        self._written: dict[tuple[str, str | None], TaskResult] = {}

    def _before(self, run: FoundRun, *, is_pending: bool) -> RunOutcome:
        scan_id = run.start.get("scan_id")
        scan_id = scan_id if isinstance(scan_id, int) else None
        if is_pending:
            return RunOutcome(run.uid, scan_id, "pending")
        refused = self._plan.refused.get(run.uid)
        if refused is not None:
            why = TaskResult(why=str(refused))
            return RunOutcome(run.uid, scan_id, "failed", why)
        before = self._manifest.outcomes[run.uid]
        return replace(before, earlier=True)

    def report(self) -> BulkReport:
        """Return what has become of the runs so far."""
        seconds = time.monotonic() - self._began
        runs = tuple(self._outcomes.values())
        return BulkReport(
            runs, self._manifest.path, seconds, self._plan, self._dashboard
        )

    def record_plan(self) -> None:
        """Record which runs are to be done, and which can't be."""
        for uid, outcome in self._outcomes.items():
            if not outcome.earlier and self._manifest.outcomes.get(uid) != outcome:
                self._manifest.add_outcome(outcome)

    def run(self, engine: Engine, tasks: Sequence[Task]) -> None:
        """Run tasks. Only what has begun is finished if all others would fail, too.

        So it is after Ctrl-C, if the disk is full, and if the source does not answer.
        """
        self._dashboard = engine.dashboard
        self._left.update(task.uid for task in tasks)
        with CtrlC() as ctrl_c:
            for task in tasks:
                engine.submit(task)
            self._show()
            while engine.left:
                try:
                    task, result = engine.next()
                except SourceError as error:  # the engine is gone
                    logger.error("%s", error)  # noqa: TRY400 (it is no bug)
                    break
                stops = ctrl_c.pressed or result.no_room or result.unreachable
                if stops and not self._stopping:
                    self._stopping = True
                    engine.cancel()
                    if not ctrl_c.pressed:
                        logger.error("stopping: %s", result.why)
                if result.ok or not self._try_again(task, result):
                    self._finish(task, result)
                elif not self._stopping:  # else it is pending
                    engine.submit(task)
                if time.monotonic() >= self._due:
                    self._show()
        self._show()

    def _show(self) -> None:
        if self._progress is not None:
            self._progress(self.report())
            self._due = time.monotonic() + PAUSE

    def _try_again(self, task: Task, result: TaskResult) -> bool:
        """Return whether to try a task again, and keep what it has written."""
        key = task.uid, task.frames
        self._tries[key] += 1
        if not result.may_pass or self._tries[key] >= TRIES:
            return False
        written = replace(result, skipped=0, failed=0, why="")
        self._written[key] = self._written.get(key, TaskResult()).plus(written)
        return True

    def _finish(self, task: Task, result: TaskResult) -> None:
        """Add the result of a task to its run; record the run after its last task."""
        key = task.uid, task.frames
        before = self._written.pop(key, TaskResult())
        # A retry skips the files that an earlier try has written.
        skipped = max(result.skipped - before.written, 0)
        if not result.ok and self._tries[key] >= TRIES:
            result = replace(result, why=f"given up after {TRIES} tries: {result.why}")
        result = before.plus(replace(result, skipped=skipped))
        outcome = self._outcomes[task.uid]
        outcome = replace(outcome, result=outcome.result.plus(result))
        self._left[task.uid] -= 1
        if not self._left[task.uid]:
            state = "done" if outcome.result.ok else "failed"
            outcome = replace(outcome, state=state)  # type: ignore[arg-type]
            # A run without a stop document may go on: it is looked at again.
            is_open = state == "done" and task.uid in self._without_stop
            recorded = replace(outcome, state="pending") if is_open else outcome
            self._manifest.add_outcome(recorded)
            if state == "failed":
                logger.error("%s", outcome)
        self._outcomes[task.uid] = outcome


class CtrlC:
    """Notes the first Ctrl-C, and says so; a second one raises `KeyboardInterrupt`.

    Unlike `tiffin.engine.Interrupts`, it raises nothing where a task only waits: what
    is under way is finished. Does nothing in threads, and if there is another signal
    handler.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._holds = False

    def __enter__(self) -> Self:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._holds = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._holds:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, *_: object) -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logger.warning(
            "stopping: what is under way is finished first (Ctrl-C again ends it)"
        )

"""What has become of the runs of a bulk export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tiffin.bulk.task import TaskResult
from tiffin.display import count_text

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.bulk.bulk_plan import BulkPlan

__all__ = ["BulkReport", "RunOutcome"]

State = Literal["done", "failed", "pending"]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A run of a bulk export.

    Attributes
    ----------
    uid : str
    scan_id : int or None
    state : {"done", "failed", "pending"}
    result : TaskResult
        Counts of frames and bytes; ``result.why`` is why it failed.
    earlier : bool
        Whether an earlier bulk export has done it.
    """

    uid: str
    scan_id: int | None
    state: State
    result: TaskResult = field(default_factory=TaskResult)
    earlier: bool = False

    @property
    def images(self) -> int:
        """How many images were written, or were there before."""
        return self.result.written + self.result.skipped

    def __str__(self) -> str:
        name = self.uid[:8] if self.scan_id is None else f"{self.scan_id}"
        why = f": {self.result.why}" if self.result.why else ""
        return f"run {name} ({self.uid[:8]}) {self.state}{why}"


@dataclass(frozen=True, slots=True)
class BulkReport:
    """All runs of a bulk export, oldest first.

    Attributes
    ----------
    runs : tuple of RunOutcome
    manifest : Path
        The bulk manifest, in which the outcomes are recorded.
    seconds : float
        How long it took so far [s].
    plan : BulkPlan or None
    dashboard : str
        The address of a page of the engine that shows the work; ``""`` if there is
        none.

    Examples
    --------
    >>> from pathlib import Path
    >>> runs = (RunOutcome("7f3a", 7, "done", TaskResult(written=5)),)
    >>> print(BulkReport(runs, Path("x"), 1.0, plan=None))
    1 run done, 0 failed, 0 pending: 5 images written, 0 skipped
    """

    runs: tuple[RunOutcome, ...]
    manifest: Path
    seconds: float
    plan: BulkPlan | None
    dashboard: str = ""

    @property
    def done(self) -> tuple[RunOutcome, ...]:
        """The runs whose images are all on the disk."""
        return self._with("done")

    @property
    def failed(self) -> tuple[RunOutcome, ...]:
        """The runs of which something failed, each with its reason."""
        return self._with("failed")

    @property
    def pending(self) -> tuple[RunOutcome, ...]:
        """The runs that were not finished: the same call goes on with them."""
        return self._with("pending")

    @property
    def ok(self) -> bool:
        """Whether all runs are done, and the whole source could be read.

        It is not if no run has an image.
        """
        problems = self.plan.problems if self.plan else ()
        all_done = len(self.done) == len(self.runs) and not problems
        return all_done and len(self._without_images()) < max(len(self.runs), 1)

    @property
    def total(self) -> TaskResult:
        """The sum of what this call has done."""
        total = TaskResult()
        for run in self.runs:
            if not run.earlier:
                total = total.plus(run.result)
        return total

    def __str__(self) -> str:
        done, total = len(self.done), self.total
        earlier = sum(run.earlier for run in self.runs)
        before = f" ({earlier} of them before)" if earlier else ""
        empty = len(self._without_images())
        none = f" ({count_text(empty, 'run')} without images)" if empty else ""
        return (
            f"{count_text(done, 'run')} done{before}, "
            f"{len(self.failed)} failed, {len(self.pending)} pending: "
            f"{count_text(total.written, 'image')} written, "
            f"{total.skipped} skipped{none}"
        )

    def _without_images(self) -> list[RunOutcome]:
        return [run for run in self.done if not run.images]

    def _with(self, state: State) -> tuple[RunOutcome, ...]:
        return tuple(run for run in self.runs if run.state == state)

"""What became of the images that are exported one by one, in the caller's thread."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tiffin.engine import Claims, Ledger
from tiffin.errors import (
    CollisionError,
    NoImageError,
    SupersededError,
    TemplateError,
    TiffinError,
)
from tiffin.frames import FrameId
from tiffin.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from tiffin.corrections import Notes
    from tiffin.engine import Place
    from tiffin.frames import Frame
    from tiffin.records import Report

__all__ = ["Accounts"]

KEEP_REPORTS = 100
"""Of so many runs that are over the records stay, of the others there are counts."""


class Accounts:
    """Records images, and keeps the first failure of an event until it may be raised.

    Parameters
    ----------
    raising : bool
        Whether failures are raised, beside being recorded.
    dry_run : bool
        Whether nothing is written.
    """

    def __init__(self, *, raising: bool, dry_run: bool = False) -> None:
        self._raising = raising
        self._claims: Claims[tuple[Any, ...]] = Claims()
        self._ledger = Ledger(dry_run=dry_run, keep=KEEP_REPORTS)
        self._failure: Exception | None = None
        self._failed = ""
        self._takes: dict[tuple[Any, ...], list[Place]] = {}
        self._point: tuple[Any, ...] = ()

    @property
    def reports(self) -> Mapping[str, Report]:
        """Run uid → report; ``""`` for what belongs to none."""
        return self._ledger.reports

    def keep_reports(self, runs: int | None) -> None:
        """Set of how many runs that are over the records stay; None for all."""
        self._ledger.keep = runs

    def begin(self, run: str) -> None:
        """Know a run, before it has a record."""
        if self._ledger.is_over(run):
            self._ledger.forget(run)
        self._ledger.begin(run)

    def end(self, run: str) -> None:
        """End a run; of the oldest ones there are counts only."""
        self._ledger.end(run)
        self._takes = {of: at for of, at in self._takes.items() if of[0] != run}

    def take(self, frame: Frame) -> set[str]:
        """Begin a point; one that is taken again supersedes what was made of it.

        Returns
        -------
        set of str
            The files of the earlier take.
        """
        self._point = (frame.run, frame.stream, frame.seq_num, frame.source)
        paths = set()
        for place in self._takes.pop(self._point, ()):
            record = self._ledger.at(place)
            if record.status in ("written", "planned"):
                paths.add(str(record.file))
            error = SupersededError(f"superseded: event {frame.seq_num}, taken again")
            other = record._replace(status="skipped", file=None, error=error)
            self._ledger.put(place, other)
        return paths

    def is_exported(self) -> bool:
        """Whether all that was made of the present point is a file, or would be."""
        records = [self._ledger.at(place) for place in self._takes.get(self._point, ())]
        return bool(records) and all(
            r.status in ("written", "planned") for r in records
        )

    def free_names(self) -> None:
        """Forget all claims: what was claimed are files, or never will be."""
        self._claims = Claims()

    def claim(self, frame: Frame, name: str) -> bool:
        """Take a name for a frame; tell whether no other has it."""
        try:
            self._claims.take(name, (frame.run, frame.number, frame.stream))
        except CollisionError:
            return False
        return True

    def done(
        self, frame: Frame, path: Path, image: np.ndarray, notes: Notes, *, dry: bool
    ) -> None:
        """Record an image that was written, or would have been."""
        record = Record.of(
            frame,
            "planned" if dry else "written",
            file=str(path),
            image=image,
            clipped=notes.clipped,
        )
        self._put(record)

    def planned(self, frame: Frame, path: Path) -> None:
        """Record an image that nobody has looked at."""
        self._put(Record.of(frame, "planned", file=str(path)))

    def failed(
        self, frame: Frame, error: Exception | None, path: Path | None = None
    ) -> None:
        """Record why an image is not exported, and keep the failure, if it is one."""
        skip = isinstance(error, NoImageError) or getattr(error, "skip", False)
        status: Any = "skipped" if skip else "failed"
        file = None if path is None else str(path)
        self._put(Record.of(frame, status, file=file, error=error))
        if not skip and self._failure is None:
            self._failure, self._failed = error, frame.run

    def raise_failure(self) -> None:
        """Raise the first failure since the last time, if that is wanted."""
        failure, self._failure = self._failure, None
        if failure is not None and self._raising:
            if isinstance(failure, TiffinError):
                failure.report = self._ledger.report(self._failed)
            raise failure

    @contextmanager
    def our_own(self, doc: object) -> Iterator[None]:
        """Keep a failure of ours from the RunEngine, unless raising was asked for."""
        try:
            yield
        except TiffinError as error:
            if self._raising:
                raise
            run = _run_of(doc)
            if isinstance(error, TemplateError):
                self._ledger.say(run, error)  # its frames' records will tell
                return
            self._put(Record(id=FrameId(run), status="failed", error=error))

    def _put(self, record: Record) -> None:
        place = (record.run, self._ledger.new_group(), 0)
        self._ledger.put(place, record)
        if record.seq_num is not None and self._point[:1] == (record.run,):
            self._takes.setdefault(self._point, []).append(place)


def _run_of(doc: object) -> str:
    """Tell a document's run, as far as it says."""
    told = doc if isinstance(doc, Mapping) else {}
    return str(told.get("run_start") or told.get("uid") or "")

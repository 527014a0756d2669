"""The names of a replay, which the first pass makes and the second uses."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from tiffin.errors import SourceError
from tiffin.export.output_file import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.engine import Ledger, Place
    from tiffin.export.naming import Namer
    from tiffin.export.output_file import OutputFile, PageGroup
    from tiffin.frames import Frame, FrameId

    Which = tuple[FrameId, str | None]
    # A page without its frame.
    Planned = tuple[Which, tuple[Place, OutputFile | None, tuple[int, int]]]


class Plan:
    """Names in frame order, and the frames too if they are kept.

    `problem` is what has ended the second pass of a run too early.
    """

    def __init__(self, namer: Namer, ledger: Ledger) -> None:
        self._namer = namer
        self._ledger = ledger
        self._planned: deque[list[Planned]] = deque()
        self._kept: deque[PageGroup] = deque()
        self._times: Counter[str] = Counter()
        self.problem: SourceError | None = None

    def add(self, pages: PageGroup, *, keep: bool) -> None:
        """Add the names of the frames of an event, and keep the frames if asked."""
        if keep:
            self._kept.append(pages)
        else:
            self._planned.append([(_which(page.frame), page[1:]) for page in pages])

    def settle(self) -> None:
        """Fail all frames whose name another frame has too."""
        if not self._namer.any_contested:
            return
        files = {file for planned in self._planned for _, (_, file, _) in planned}
        files |= {page.file for pages in self._kept for page in pages}
        self._times.update(file.name for file in files if file is not None)
        for planned in self._planned:
            planned[:] = [
                (which, (place, self._unless_contested(place, file), key))
                for which, (place, file, key) in planned
            ]
        for pages in self._kept:
            pages[:] = [
                page._replace(file=self._unless_contested(page.place, page.file))
                for page in pages
            ]

    def kept(self) -> Iterator[PageGroup]:
        """Remove and return the kept pages."""
        while self._kept:
            yield self._kept.popleft()

    def pages_of(self, group: list[Frame]) -> PageGroup | None:
        """Return the planned pages of frames; None if these are not the next frames."""
        which = [*map(_which, group)]
        if not self._planned or [item[0] for item in self._planned[0]] != which:
            return None  # the source has changed since the first pass
        planned = self._planned.popleft()
        return [Page(f, *rest) for f, (_, rest) in zip(group, planned, strict=True)]

    def fail_rest(self) -> None:
        """Fail the planned frames that have not come in the second pass."""
        message = "the source changed during the export: this frame is missing now"
        error = self.problem or SourceError(message)
        while self._planned:
            for _, (place, _, _) in self._planned.popleft():
                if self._ledger.is_planned(place):
                    self._ledger.settle(place, "failed", error)

    def _unless_contested(
        self, place: Place, file: OutputFile | None
    ) -> OutputFile | None:
        if file is None or not self._ledger.is_planned(place):
            return None
        error = self._namer.is_contested(file.name, self._times[file.name])
        if error is None:
            return file
        self._ledger.settle(place, "failed", error)
        return None


def _which(frame: Frame) -> tuple[FrameId, str | None]:
    return frame.id, frame.kind

"""A file that the frames of several events go into."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING, NamedTuple

from tiffin.export.output_file import OutputFile

if TYPE_CHECKING:
    from tiffin.corrections import Notes
    from tiffin.engine import Place
    from tiffin.frames import Frame
    from tiffin.records import Record
    from tiffin.writers import EncodedPage, StackWriter, UnnamedFile

    PageKey = tuple[int, int]  # sorts pages as their frames were taken


class StackPage(NamedTuple):
    """A page that is in the file.

    Its record, at `place`, counts once the file has its name. The frame has no
    documents and pixels; the notes are of its corrections.
    """

    place: Place
    record: Record
    frame: Frame
    notes: Notes


class StackFile(OutputFile):
    """An `OutputFile` that is written page by page, and gets its name at the end.

    Attributes
    ----------
    refusal : Exception or None
        Why no frame may go into it.
    counted : int
        How many frames it holds; a frame that is taken again counts once.
    nbytes, each : int
        What its pages take, and one of them, at most, as declared [bytes].
    is_closed : bool
        Whether no more frames will be named for it.
    has_ended : bool
        Whether its run has ended, so that no more pages will be submitted.
    is_planned : bool
        Whether all of its frames were named before any is written.
    frames, submitted, settled : int
        How many pages were named, given to the workers, and are done.
    lock, writing : Lock
        Held while its attributes change, and while pages are written.
    waiting : int
        What the pages take that are ready, and not written [bytes].
    pages : dict
        Key → `StackPage` of what is in the file.
    axes : dict
        Name → length of the axes that the user names, which count the images of an
        event.
    group : (str, int) or None
        The run and the number of the group of its lines in the manifest.
    error : BaseException or None
        Why it can't be written any more.
    """

    def __init__(self, name: str, *, is_planned: bool) -> None:
        super().__init__(name)
        self.refusal: Exception | None = None
        self.counted = self.nbytes = self.each = 0
        self.frames = self.submitted = self.settled = 0
        self.is_closed = self.has_ended = self.is_finished = False
        self.is_planned = is_planned
        self.is_intact: bool | None = None
        self.declared: tuple[object, ...] = ()
        self.lock = threading.Lock()
        self.writing = threading.Lock()
        self.waiting = 0
        self.pages: dict[PageKey, StackPage] = {}
        self._expected: set[PageKey] = set()
        self._order: list[PageKey] = []  # a heap, with keys that are expected no more
        self._ready: dict[PageKey, EncodedPage] = {}
        self.axes: dict[str, int] = {}
        self.group: tuple[str, int] | None = None
        self.error: BaseException | None = None
        self.file: UnnamedFile | None = None
        self.writer: StackWriter | None = None

    def expect(self, key: PageKey) -> bool:
        """Reserve the place of a page among the others, unless the file is finished."""
        with self.lock:
            if self.is_finished:
                return False
            self.frames += 1
            self._expected.add(key)
            heapq.heappush(self._order, key)
            return True

    def give_up(self, key: PageKey) -> None:
        """Expect a page no more, unless it is ready. The lock is held."""
        if key not in self._ready:
            self._expected.discard(key)

    def make_ready(self, key: PageKey, page: EncodedPage) -> None:
        """Keep a page until it is its turn. The lock is held."""
        if key in self._ready:  # the point was taken again
            self.waiting -= self._ready[key].nbytes
        self._ready[key] = page
        self.waiting += page.nbytes

    def take_ready(self, most: float) -> list[tuple[PageKey, EncodedPage]]:
        """Return the pages whose turn it is, if they are ready. The lock is held.

        So the same pages always give the same bytes. Where those that wait have more
        than `most` bytes, because one before them is late, they go ahead.
        """
        taken = []
        for key in sorted(self._ready):
            while self._order and self._order[0] not in self._expected:
                heapq.heappop(self._order)
            if self._order and key > self._order[0] and self.waiting <= most:
                break
            self._expected.discard(key)
            page = self._ready.pop(key)
            self.waiting -= page.nbytes
            taken.append((key, page))
        return taken

    def submit(self) -> None:
        """Count a page that is given to the workers."""
        with self.lock:
            self.submitted += 1

    def settle(self, pages: int = 1) -> None:
        """Count pages that are done, whatever became of them."""
        with self.lock:
            self.settled += pages

    def takes_turn(self) -> bool:
        """Return True, once, when all pages are done and the file can be finished."""
        with self.lock:
            expected = self.submitted if self.has_ended else self.frames
            is_due = self.is_closed and self.settled >= expected
            first = is_due and not self.is_finished
            self.is_finished = self.is_finished or is_due
            return first

    def discard(self) -> None:
        """Close the file; one that has no name is gone."""
        file, self.file, self.writer = self.file, None, None
        self._ready.clear()
        if file is not None:
            file.close()

"""Cache the documents that others refer to, and hold frames until they arrive.

A reference may come before the document that it names, or in a later run.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from tiffin.assemble.documents import total_nbytes
from tiffin.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from tiffin.frames import Frame

    Maker = Callable[..., Iterator[Frame]]

__all__ = ["MAX_DOCUMENTS", "DocumentCache", "MissingDocument", "PendingFrames"]

MAX_DOCUMENTS = 10_000
MAX_NBYTES = 10 * 2**20
"""Limits for the documents of ended runs, by number and memory [bytes].

A detector that is staged once for many runs has its resource in the first run only. A
detector that is read without a trigger repeats a datum of the run before.
"""


class DocumentCache:
    """Documents by uid: all of open runs, and the last used ones of ended runs.

    With `single_use`, a document that was used counts as one of an ended run: a run may
    have millions of datums, and few are used twice.
    """

    def __init__(
        self, max_documents: int = MAX_DOCUMENTS, *, single_use: bool = False
    ) -> None:
        self._max_documents = max_documents
        self._single_use = single_use
        self._run_of: dict[str, str] = {}
        self._open: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._ended: OrderedDict[str, tuple[Mapping[str, Any], int]] = OrderedDict()
        self._ended_nbytes = 0

    def __len__(self) -> int:
        return len(self._run_of) + len(self._ended)

    def add(self, uid: str, document: Mapping[str, Any], run: str | None) -> None:
        """Add a document of an open run, or of no open run (None)."""
        self._remove(uid)
        if run is None:
            self._add_ended(uid, document)
        else:
            self._open.setdefault(run, {})[uid] = document
            self._run_of[uid] = run

    def get(self, uid: str) -> Mapping[str, Any] | None:
        """Return a document, or None."""
        run = self._run_of.get(uid)
        if run is not None:
            return self._open[run][uid]
        return self._ended[uid][0] if uid in self._ended else None

    def mark_used(self, uid: str) -> None:
        """Note that a document was used, and no other document is needed for that."""
        if uid in self._ended:
            self._ended.move_to_end(uid)
        elif self._single_use:
            document = self._remove(uid)
            if document is not None:
                self._add_ended(uid, document)

    def run_of(self, uid: str) -> str | None:
        """Return the open run that a document belongs to, or None."""
        return self._run_of.get(uid)

    def end_run(self, run: str) -> None:
        """Keep only the newest documents of a run."""
        for uid, document in self._open.pop(run, {}).items():
            del self._run_of[uid]
            self._add_ended(uid, document)

    def _remove(self, uid: str) -> Mapping[str, Any] | None:
        run = self._run_of.pop(uid, None)
        if run is not None:
            return self._open[run].pop(uid)
        document, nbytes = self._ended.pop(uid, (None, 0))
        self._ended_nbytes -= nbytes
        return document

    def _add_ended(self, uid: str, document: Mapping[str, Any]) -> None:
        nbytes = total_nbytes(document)
        self._ended[uid] = document, nbytes
        self._ended_nbytes += nbytes
        while len(self._ended) > self._max_documents or (
            self._ended_nbytes > MAX_NBYTES and len(self._ended) > 1
        ):  # the newest is kept whatever its size
            _, (_, nbytes) = self._ended.popitem(last=False)
            self._ended_nbytes -= nbytes


class MissingDocument(ReadError):
    """The document with this uid has not arrived yet."""

    def __init__(self, message: str, uid: str) -> None:
        super().__init__(message)
        self.uid = uid


class PendingFrames:
    """Frames that wait for a document until it arrives or their run ends."""

    def __init__(self) -> None:
        self._makers: dict[Hashable, list[tuple[str, Maker, tuple[Any, ...]]]] = {}

    def add(self, run: str, document: Hashable, maker: Maker, *args: object) -> None:
        """Call `maker` when a document (any key for it) arrives, or its run ends.

        The keyword `final` tells `maker` that the document will not arrive any more.
        """
        self._makers.setdefault(document, []).append((run, maker, args))

    def arrived(self, document: Hashable) -> Iterator[Frame]:
        """Yield the frames that waited for this document."""
        for _, maker, args in self._makers.pop(document, ()):
            yield from maker(*args, final=False)

    def end_run(self, run: str) -> Iterator[Frame]:
        """Yield the frames of a run that still wait, with what is known of them."""
        for document, makers in list(self._makers.items()):
            others = [entry for entry in makers if entry[0] != run]
            if len(others) == len(makers):
                continue
            if others:
                self._makers[document] = others
            else:
                del self._makers[document]
            for owner, maker, args in makers:
                if owner == run:
                    yield from maker(*args, final=True)

"""Cache the documents that others refer to, and hold frames until they arrive.

A reference may come before the document that it names, or in a later run.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, Any

from tiffin.assemble.document_copies import total_nbytes
from tiffin.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from tiffin.frames import Frame

    Maker = Callable[..., Iterator[Frame]]

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
        self._open: dict[str, tuple[str, Mapping[str, Any]]] = {}  # with their runs
        self._ended: OrderedDict[str, tuple[int, Mapping[str, Any]]] = OrderedDict()
        self._ended_nbytes = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    def add(self, uid: str, document: Mapping[str, Any], run: str | None) -> None:
        """Add a document of an open run, or of no open run (None)."""
        self._open.pop(uid, None)
        if run is None:
            self._add_ended(uid, document)
        else:
            self._drop_ended(uid)
            self._open[uid] = run, document

    def get(self, uid: str) -> Mapping[str, Any] | None:
        """Return a document, or None."""
        _, document = self._open.get(uid) or self._ended.get(uid) or (None, None)
        return document

    def mark_used(self, uid: str) -> None:
        """Note that a document was used, and no other document is needed for that."""
        if uid in self._ended:
            self._ended.move_to_end(uid)
        elif self._single_use and uid in self._open:
            self._add_ended(uid, self._open.pop(uid)[1])

    def run_of(self, uid: str) -> str | None:
        """Return the open run that a document belongs to, or None."""
        return self._open[uid][0] if uid in self._open else None

    def end_run(self, run: str) -> None:
        """Keep only the newest documents of a run."""
        for uid in [uid for uid, (owner, _) in self._open.items() if owner == run]:
            self._add_ended(uid, self._open.pop(uid)[1])

    def _drop_ended(self, uid: str) -> None:
        nbytes, _ = self._ended.pop(uid, (0, None))
        self._ended_nbytes -= nbytes

    def _add_ended(self, uid: str, document: Mapping[str, Any]) -> None:
        self._drop_ended(uid)
        nbytes = total_nbytes(document)
        self._ended[uid] = nbytes, document
        self._ended_nbytes += nbytes
        while len(self._ended) > self._max_documents or (
            self._ended_nbytes > MAX_NBYTES and len(self._ended) > 1
        ):  # the newest is kept whatever its size
            self._drop_ended(next(iter(self._ended)))


class MissingDocument(ReadError):
    """The document with this uid has not arrived yet."""

    def __init__(self, message: str, uid: str) -> None:
        super().__init__(message)
        self.uid = uid


class PendingFrames:
    """Frames that wait for a document until it arrives or their run ends."""

    def __init__(self) -> None:
        # Run → document that its frames wait for → how to make them.
        self._makers: dict[str, dict[Hashable, list[tuple[Maker, tuple[Any, ...]]]]]
        self._makers = defaultdict(lambda: defaultdict(list))

    def add(self, run: str, document: Hashable, maker: Maker, *args: object) -> None:
        """Call `maker` when a document (any key for it) arrives, or its run ends.

        The keyword `final` tells `maker` that the document will not arrive any more.
        """
        self._makers[run][document].append((maker, args))

    def arrived(self, document: Hashable) -> Iterator[Frame]:
        """Yield the frames that waited for this document."""
        for makers in list(self._makers.values()):
            for maker, args in makers.pop(document, ()):
                yield from maker(*args, final=False)

    def end_run(self, run: str) -> Iterator[Frame]:
        """Yield the frames of a run that still wait, with what is known of them."""
        for makers in self._makers.pop(run, {}).values():
            for maker, args in makers:
                yield from maker(*args, final=True)

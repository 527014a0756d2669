"""Frames that wait for a document: documents may come in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tiffin.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from tiffin.frames import Frame

__all__ = ["MissingDocument", "PendingFrames"]


class MissingDocument(ReadError):
    """A document that others refer to has not come (yet).

    Attributes
    ----------
    uid : str
        What it will be known by.
    """

    def __init__(self, message: str, uid: str) -> None:
        super().__init__(message)
        self.uid = uid


class Maker(Protocol):
    """Makes the frames; with `last`, as well as it can without the document."""

    def __call__(self, *, last: bool) -> Iterator[Frame]: ...


class PendingFrames:
    """Keeps what can't be made yet until its document arrives, or its run ends."""

    def __init__(self) -> None:
        self._makers: dict[Hashable, list[tuple[str, Maker]]] = {}

    def wait(self, run: str, document: Hashable, maker: Maker) -> None:
        """Wait for a document, named by what it will be known by."""
        self._makers.setdefault(document, []).append((run, maker))

    def arrived(self, document: Hashable) -> Iterator[Frame]:
        """Return the frames that waited for this document."""
        for _, maker in self._makers.pop(document, ()):
            yield from maker(last=False)

    def leave(self, run: str) -> Iterator[Frame]:
        """End a run: give what still waits as well as it can be given."""
        for document in list(self._makers):
            stay = [entry for entry in self._makers[document] if entry[0] != run]
            leaving = [maker for of, maker in self._makers[document] if of == run]
            if stay:
                self._makers[document] = stay
            else:
                del self._makers[document]
            for maker in leaving:
                yield from maker(last=True)

"""The documents that events and stream datums refer to, for as long as they may."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from tiffin.assemble.documents import taken_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_DOCUMENTS", "MAX_BYTES", "DocumentCache"]

MAX_DOCUMENTS = 10_000
"""So many are kept beyond their time. A detector that is staged once for many runs
tells its resource in the first alone, and one that is read again without a trigger
gives a datum of the run before. Both are a few documents back, a few thousand at most
in a day of nested runs; what is used again counts as new."""

MAX_BYTES = 10 * 2**20
"""So much memory they may take, but for the newest [bytes]."""


class DocumentCache:
    """Documents by their uid.

    Those of an open run are kept, however many they are. Of what is left of ended runs
    the newest stay, and what is used again is new again.

    Parameters
    ----------
    most : int
        How many stay beyond their time.
    most_bytes : int
        How much memory these may take; the newest stays whatever it takes [bytes].
    once : bool
        Whether a document's time is over when it has been used: few are twice, and a
        run may have millions.
    """

    def __init__(
        self,
        most: int = MAX_DOCUMENTS,
        most_bytes: int = MAX_BYTES,
        *,
        once: bool = False,
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._once = once
        self._own: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._run_of: dict[str, str] = {}
        self._left: OrderedDict[str, tuple[Mapping[str, Any], int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._run_of) + len(self._left)

    def add(self, uid: str, document: Mapping[str, Any], run: str | None) -> None:
        """Keep a document.

        Parameters
        ----------
        uid : str
        document : mapping
        run : str or None
            The open run whose it is; None if it is none's.
        """
        self._take(uid)
        if run is None:
            self._leave(uid, document)
        else:
            self._own.setdefault(run, {})[uid] = document
            self._run_of[uid] = run

    def get(self, uid: str) -> Mapping[str, Any] | None:
        """Return a document; None if there is none."""
        run = self._run_of.get(uid)
        if run is not None:
            return self._own[run][uid]
        return self._left[uid][0] if uid in self._left else None

    def use(self, uid: str) -> None:
        """Note that something refers to a document, and has all that it needs."""
        if uid in self._left:
            self._left.move_to_end(uid)
        elif self._once:
            document = self._take(uid)
            if document is not None:
                self._leave(uid, document)

    def run_of(self, uid: str) -> str | None:
        """Return the open run whose document it is; None if it is none's."""
        return self._run_of.get(uid)

    def end(self, run: str) -> None:
        """End a run: of its documents the newest stay."""
        for uid, document in self._own.pop(run, {}).items():
            del self._run_of[uid]
            self._leave(uid, document)

    def _take(self, uid: str) -> Mapping[str, Any] | None:
        run = self._run_of.pop(uid, None)
        if run is not None:
            return self._own[run].pop(uid)
        document, nbytes = self._left.pop(uid, (None, 0))
        self._bytes -= nbytes
        return document

    def _leave(self, uid: str, document: Mapping[str, Any]) -> None:
        nbytes = taken_bytes(document)
        self._left[uid] = document, nbytes
        self._bytes += nbytes
        while len(self._left) > self._most or (
            self._bytes > self._most_bytes and len(self._left) > 1
        ):
            _, (_, nbytes) = self._left.popitem(last=False)
            self._bytes -= nbytes

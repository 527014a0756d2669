"""The documents that events and stream datums refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Referenced"]


class Referenced:
    """Resources, stream resources and datums, until their run is over.

    Attributes
    ----------
    resources, stream_resources : dict
        uid → document.
    datums : dict
        datum_id → document.
    """

    def __init__(self) -> None:
        self.resources: dict[str, Mapping[str, Any]] = {}
        self.stream_resources: dict[str, Mapping[str, Any]] = {}
        self.datums: dict[str, Mapping[str, Any]] = {}

    def forget(self, run: str) -> None:
        """Let go of what names an ended run as its own."""
        own: set[str] = set()
        for documents in (self.resources, self.stream_resources):
            gone = {
                uid for uid, doc in documents.items() if doc.get("run_start") == run
            }
            for uid in gone:
                del documents[uid]
            own |= gone
        datums = [key for key, doc in self.datums.items() if doc.get("resource") in own]
        for datum_id in datums:
            del self.datums[datum_id]

    def clear(self) -> None:
        """Let go of everything."""
        self.resources.clear()
        self.stream_resources.clear()
        self.datums.clear()

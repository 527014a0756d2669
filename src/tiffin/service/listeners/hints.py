"""What a listener gets from the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

__all__ = ["Hints"]


@dataclass(frozen=True, slots=True)
class Hints:
    """What a listener may call, from its thread.

    Attributes
    ----------
    look : callable
        Called without arguments: look at the source now.
    document : callable or None
        Called with (name, document): spool a document. None if the source is a
        catalogue, which has the documents.
    folder : str or None
        The folder of the source, if it is one.
    stopping : threading.Event
        Set when the service stops.
    """

    look: Callable[[], object]
    document: Callable[[str, Mapping[str, Any]], object] | None
    folder: str | None
    stopping: threading.Event

    def take(self, name: str, doc: Mapping[str, Any]) -> None:
        """Spool a document if there is no catalogue; look when a run stops."""
        if self.document is not None:
            self.document(name, doc)
        if name == "stop":
            self.look()

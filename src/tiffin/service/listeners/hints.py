"""What a listener gets from the service."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

__all__ = ["NOT_TAKEN", "PAUSE", "TAKEN_AGAIN", "Hints"]

logger = logging.getLogger("tiffin")

PAUSE = 2.0
"""How long to wait for room on the disk [s]."""

NOT_TAKEN = "%s: no message is taken meanwhile"

TAKEN_AGAIN = "messages are taken again"


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
        """Spool a document if there is no catalogue; look when a run begins or stops.

        On a full disk it waits for room.

        Raises
        ------
        SourceError
            If the service stops before the document is on the disk.
        """
        said = ""
        while problem := self.offer(name, doc):
            if problem != said:
                said = problem
                logger.error(NOT_TAKEN, said)
            if self.stopping.wait(PAUSE):
                message = f"a document {name!r} is not on the disk: {said}"
                raise SourceError(message)
        if said:
            logger.warning(TAKEN_AGAIN)

    def offer(self, name: str, doc: Mapping[str, Any]) -> str:
        """Do as `take`, but don't wait: return why there is no room, or ``""``.

        A listener that must do something meanwhile offers the document again later.
        """
        if self.document is not None:
            try:
                self.document(name, doc)
            except (OSError, sqlite3.OperationalError) as error:
                return str(error) or repr(error)
        if name in ("start", "stop"):
            self.look()
        return ""

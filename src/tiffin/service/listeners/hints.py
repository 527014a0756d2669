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

__all__ = ["Hints"]

logger = logging.getLogger("tiffin")

PAUSE = 2.0
"""How long to wait for room on the disk [s]."""


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
        while self.document is not None:
            try:
                self.document(name, doc)
                break
            except (OSError, sqlite3.OperationalError) as error:
                if str(error) != said:
                    said = str(error)
                    logger.error("%s: no message is taken meanwhile", said)  # noqa: TRY400 (it is no bug)
            if self.stopping.wait(PAUSE):
                message = f"a document {name!r} is not on the disk: {said}"
                raise SourceError(message)
        if said:
            logger.warning("messages are taken again")
        if name in ("start", "stop"):
            self.look()

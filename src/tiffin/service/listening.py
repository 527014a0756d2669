"""Listen, and spool what comes, as long as this service has the lease."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.service.listeners import Hints, start_listener
from tiffin.service.spool import Spool
from tiffin.sources import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.service.config import ServiceConfig
    from tiffin.service.journal import Journal
    from tiffin.service.spool import SpooledRun

__all__ = ["Listening"]

LONGEST_GOODBYE = 5.0
"""How long to wait for a listener to end [s]."""


class Listening:
    """The listeners of a service, and the spool if its source is a folder.

    Parameters
    ----------
    config : ServiceConfig
    journal : Journal
    look : callable
        Called when it is worth to look at the source.
    """

    def __init__(
        self, config: ServiceConfig, journal: Journal, look: Callable[[], object]
    ) -> None:
        self._stopping = threading.Event()
        folder = None if is_address(config.source) else config.source
        self._spool = None if folder is None else Spool(Path(folder), journal)
        add = None if self._spool is None else self._spool.add
        hints = Hints(look, add, folder, self._stopping)
        self._threads = [
            start_listener(each.type, each.model_dump(), hints)
            for each in config.listen
        ]

    def spooled(self, uid: str) -> SpooledRun | None:
        """Return a run that is being spooled; None if it is not."""
        return None if self._spool is None else self._spool.growing(uid)

    def close(self) -> None:
        """Stop to listen. Runs that are not over are left for the next service."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(LONGEST_GOODBYE)
        if self._spool is not None:
            self._spool.close()

"""A Tiled catalogue as the source of a service."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from tiffin.bulk import FoundRun
from tiffin.errors import SourceError, optional_import
from tiffin.sources import (
    connect,
    count_entries,
    run_documents_of,
    runs_in_order,
    runs_with_uids,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.service.journal import Journal

__all__ = ["Catalogue"]

CURSOR = "cursor"

OVERLAP = 60.0
"""At each look, runs are asked for that began so long before the newest one [s]."""

LOOK_AT_ALL = 600.0
"""How often all runs are looked at, such as for a stop document that comes late [s]."""

MOST_OPEN = 100
"""For so many of the newest runs, each look asks whether they have ended."""


class Catalogue:
    """A Tiled catalogue, which is asked for runs since a cursor.

    A run may appear long after it began. So entries are counted: if there are more than
    the journal knows, all are looked at.

    Parameters
    ----------
    address : str
        The key is in the environment variable TILED_API_KEY.

    Raises
    ------
    MissingLibraryError
        If the client of Tiled is not installed.
    """

    def __init__(self, address: str) -> None:
        with optional_import("Tiled needs its client", extra="tiled"):
            import tiled.client  # noqa: F401 (at once, not at each look)
        self._address = address
        self.damaged: dict[str, str] = {}  # a catalogue is no file
        self._client: Any = None
        self._others: int | None = None  # entries of the catalogue that are no runs
        self._looked_at_all = -math.inf

    def look(self, journal: Journal) -> int:
        """Ask for the runs since the last look, and for those that were open."""
        try:
            return self._look(journal)
        except SourceError:
            self.close()  # and connect again
            raise

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.context.close()

    def _look(self, journal: Journal) -> int:
        if self._client is None:
            self._client = connect(self._address)
        entries, new = count_entries(self._client), 0
        if time.monotonic() - self._looked_at_all < LOOK_AT_ALL:
            cursor = float(journal.note(CURSOR, "0"))
            new += self._add_runs(journal, cursor - OVERLAP)
            if entries - journal.total() == self._others:
                newest = [run.uid for run in journal.open_runs()[-MOST_OPEN:]]
                named = runs_with_uids(self._client, newest)
                return new + journal.add(self._found(named))
        new += self._add_runs(journal, None)
        self._looked_at_all = time.monotonic()
        self._others = entries - journal.total()
        return new

    def _add_runs(self, journal: Journal, since: float | None) -> int:
        """Add the runs that began since, a page at a time."""
        new, cursor = 0, float(journal.note(CURSOR, "0"))
        for page in runs_in_order(self._client, since):
            found = self._found(page)
            new += journal.add(found)
            # A clock that is wrong does not move the cursor into the future.
            starts = (started(run) for run in found)
            newest = min(max(starts, default=0.0), time.time())
            if newest > cursor:
                cursor = newest
                journal.set_note(CURSOR, repr(cursor))
        return new

    def _found(self, runs: Iterable[object]) -> list[FoundRun]:
        documents = map(run_documents_of, runs)
        return [
            FoundRun(str(start["uid"]), self._address, start, stop)
            for start, stop in documents
        ]


def started(run: FoundRun) -> float:
    """Return when a run began; 0 if its start document does not tell."""
    time = run.start.get("time")
    return float(time) if isinstance(time, (int, float)) else 0.0

"""The durable source of a service: find the runs that it does not know yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tiffin.bulk import FoundRun, read_source
from tiffin.errors import SourceError
from tiffin.options import is_address
from tiffin.sources import (
    TIMEOUT,
    NoRunError,
    Selection,
    connect,
    document_files,
    find_runs,
    run_documents_of,
)

if TYPE_CHECKING:
    from tiffin.service.journal import Journal

__all__ = ["Catalogue", "DocumentFolder", "Source", "source_of"]

CURSOR = "cursor"

OVERLAP = 60.0
"""Runs may come into a catalogue later than they began, by so much [s]."""


class Source(Protocol):
    """A place where every run is found sooner or later."""

    def look(self, journal: Journal) -> int:
        """Add the runs that are new to the journal; return how many there are.

        Raises
        ------
        SourceError
            If the source does not answer.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class DocumentFolder:
    """A folder in which each file of documents has one or several runs.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def look(self, journal: Journal) -> int:
        """Read the files that are new or have grown."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not any(self._folder.iterdir()):
            return 0
        new = 0
        for file in document_files(self._folder):
            try:
                status = file.stat()
            except OSError:
                continue  # it was moved away
            if journal.has_file(str(file), status.st_size, status.st_mtime_ns):
                continue
            found = read_source(file)
            new += journal.add(found.runs)
            if found.runs and all(run.stop for run in found.runs):
                journal.add_file(found.path, found.size, found.mtime_ns)
        return new

    def close(self) -> None:
        """Do nothing: no file is open."""


class Catalogue:
    """A Tiled catalogue, which is asked for runs since a cursor.

    Parameters
    ----------
    address : str
        The key is in the environment variable TILED_API_KEY.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None

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
            self._client = connect(self._address, timeout=TIMEOUT)
        cursor = float(journal.note(CURSOR, "0"))
        selection = Selection(since=cursor - OVERLAP)
        try:
            found = find_runs(self._client, selection, every=True)
        except NoRunError:
            found = []
        runs = [self._found(run) for run in found]
        for state in journal.open_runs():
            named = Selection(runs=(state.uid,))
            runs += map(self._found, find_runs(self._client, named))
        new = journal.add(runs)
        starts = [float(run.start.get("time", 0)) for run in runs]
        if starts and max(starts) > cursor:
            journal.set_note(CURSOR, repr(max(starts)))
        return new

    def _found(self, run: object) -> FoundRun:
        start, stop = run_documents_of(run)
        return FoundRun(str(start["uid"]), self._address, start, stop)


def source_of(where: str) -> Source:
    """Return a source by its address or folder."""
    return Catalogue(where) if is_address(where) else DocumentFolder(Path(where))

"""The durable source of a service: find the runs that it does not know yet."""

from __future__ import annotations

import logging
import time
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

logger = logging.getLogger("tiffin")

CURSOR = "cursor"

REST = 20
"""A file that grows is read again after so many times as long as reading took."""

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
        self._read: dict[Path, tuple[tuple[int, int, int], float]] = {}
        self._said: set[str] = set()

    def look(self, journal: Journal) -> int:
        """Read the files that are new or have grown."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            files = document_files(self._folder)
        except SourceError:  # none yet
            return 0
        self._read = {file: self._read[file] for file in files if file in self._read}
        return sum(self._look_at(file, journal) for file in files)

    def _look_at(self, file: Path, journal: Journal) -> int:
        """Add the runs of a file; one that can't be read does not hold up others."""
        began = time.monotonic()
        try:
            status = file.stat()
            version = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            before, again = self._read.get(file, (None, 0.0))
            if version == before or began < again:
                return 0
            if journal.has_file(str(file), *version[:2]):
                return 0
            found = read_source(file)
        except OSError:
            return 0  # it was moved away
        new = journal.add(found.runs)
        if found.runs and all(run.stop for run in found.runs):
            journal.add_file(found.path, found.size, found.mtime_ns)
            self._read.pop(file, None)
            return new
        # It may grow. A large file is not read again and again while it does.
        now = time.monotonic()
        self._read[file] = (version, now + REST * (now - began))
        if found.problem and not found.runs and found.problem not in self._said:
            self._said.add(found.problem)
            logger.warning("%s: looking again when it changes", found.problem)
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

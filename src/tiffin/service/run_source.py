"""The durable source of a service: find the runs that it does not know yet."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tiffin.bulk import read_source
from tiffin.options import is_address
from tiffin.service.catalogue import Catalogue
from tiffin.sources import CATALOGUE, is_document_name

if TYPE_CHECKING:
    from tiffin.service.journal import Journal

__all__ = ["DocumentFolder", "Source", "source_of"]

logger = logging.getLogger("tiffin")

REST = 20
"""A file that grows is read again after so many times as long as reading took."""


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
        self._read: dict[str, tuple[tuple[int, int, int], float]] = {}
        self._said: set[str] = set()

    def look(self, journal: Journal) -> int:
        """Read the files that are new or have grown."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if (self._folder / CATALOGUE).is_file():  # a pack of databroker
            return self._look_at(str(self._folder), journal)
        new = 0
        with os.scandir(self._folder) as entries:  # there may be very many
            for entry in entries:
                if is_document_name(entry.name) and entry.is_file():
                    new += self._look_at(entry.path, journal)
        return new

    def _look_at(self, file: str, journal: Journal) -> int:
        """Add the runs of a file; one that can't be read does not hold up others."""
        began = time.monotonic()
        try:
            status = os.stat(file)  # noqa: PTH116 (many, so no Path)
            version = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            before, again = self._read.get(file, (None, 0.0))
            if version == before or began < again:
                return 0
            if journal.has_file(file, *version[:2]):
                return 0
            found = read_source(Path(file))
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


def source_of(where: str) -> Source:
    """Return a source by its address or folder."""
    return Catalogue(where) if is_address(where) else DocumentFolder(Path(where))

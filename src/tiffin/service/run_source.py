"""The durable source of a service: find the runs that it does not know yet."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tiffin.bulk import read_source
from tiffin.errors import SourceError
from tiffin.obstacles import obstacle
from tiffin.service.catalogue import Catalogue
from tiffin.sources import CATALOGUE, is_address, is_document_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.bulk import FoundSource
    from tiffin.service.journal import Journal

    Version = tuple[int, int, int]
    Read = tuple[FoundSource, Version, float]  # with the seconds that it took

__all__ = ["DocumentFolder", "Source", "source_of"]

logger = logging.getLogger("tiffin")

REST = 20
"""A file that grows is read again after so many times as long as reading took."""

TOGETHER = 100
"""The runs of so many files are added at once: each time waits for the disk."""


class Source(Protocol):
    """A place where every run is found sooner or later."""

    @property
    def damaged(self) -> Mapping[str, str]:
        """Path → reason of the files that can't be read to their end."""
        ...

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
        self._seen: dict[str, tuple[Version, float]] = {}
        self.damaged: dict[str, str] = {}

    def look(self, journal: Journal) -> int:
        """Read the files that are new or have grown."""
        if problem := obstacle(self._folder):
            raise SourceError(problem)
        if not self._folder.is_dir():
            logger.warning("there was no folder %s: it is made now", self._folder)
            self._folder.mkdir(parents=True, exist_ok=True)
        for file in [file for file in self.damaged if not Path(file).exists()]:
            del self.damaged[file]
        new, read = 0, self._read_new(journal)
        while part := [*islice(read, TOGETHER)]:
            new += journal.add_files([found for found, _, _ in part])
            for found, version, seconds in part:
                self._note(found, version, seconds)
        return new

    def _read_new(self, journal: Journal) -> Iterator[Read]:
        if (self._folder / CATALOGUE).is_file():  # a pack of databroker
            yield from self._read_if_new(str(self._folder), journal)
            return
        with os.scandir(self._folder) as entries:  # there may be very many
            for entry in entries:
                if is_document_name(entry.name) and entry.is_file():
                    yield from self._read_if_new(entry.path, journal)

    def _read_if_new(self, file: str, journal: Journal) -> Iterator[Read]:
        """Read a file; one that can't be read does not hold up others."""
        began = time.monotonic()
        with suppress(OSError):  # it was moved away
            status = os.stat(file)  # noqa: PTH116 (many, so no Path)
            version = status.st_size, status.st_mtime_ns, status.st_ctime_ns
            before, again = self._seen.get(file, (None, 0.0))
            if version == before or began < again:
                return
            if journal.has_file(file, *version[:2]):
                self.damaged.pop(file, None)
            else:
                found = read_source(Path(file))
                yield found, version, time.monotonic() - began

    def _note(self, found: FoundSource, version: Version, seconds: float) -> None:
        """Remember when to read a file again, and say if it is damaged."""
        if found.problem and found.problem != self.damaged.get(found.path):
            what = "what follows is not exported" if found.runs else "it has no run"
            line = "%s; %s: looking again when it changes"
            logger.warning(line, found.problem, what)
        if found.problem:
            self.damaged[found.path] = found.problem
        else:
            self.damaged.pop(found.path, None)
        if found.has_ended:  # the journal knows it
            self._seen.pop(found.path, None)
            return
        # It may grow. A large file is not read again and again while it does.
        self._seen[found.path] = (version, time.monotonic() + REST * seconds)

    def close(self) -> None:
        """Do nothing: no file is open."""


def source_of(where: str) -> Source:
    """Return a source by its address or folder."""
    return Catalogue(where) if is_address(where) else DocumentFolder(Path(where))

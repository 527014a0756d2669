"""Write documents that come as messages to the folder of the source.

A run is a hidden file until its stop document: then it is forced to the disk and gets
its name, which ends in ``.msgpack``. A run of which documents were lost ends in
``.incomplete`` and is noted as failed, with what is missing: it is never exported as
if it were whole. Where messages come again, as in Kafka, the whole run replaces it.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from tiffin.bulk import FoundRun
from tiffin.errors import SourceError
from tiffin.service.spool_counts import Counts
from tiffin.sources import open_source, pack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiffin.service.journal import Journal

__all__ = ["Spool", "SpooledRun"]

logger = logging.getLogger("tiffin")

PART, WHOLE, INCOMPLETE = ".part", ".msgpack", ".incomplete"

SILENT = 24 * 3600.0
"""A run of which no document has come for so long is over [s]."""

LONGEST_NAME = 100

FILES = ("resource", "stream_resource")


@dataclass
class SpooledRun:
    """A run that is being written.

    Attributes
    ----------
    start : mapping
    path : Path
    torn : bool
        Whether a part of a document was written and taken back: somebody who reads the
        file meanwhile may have read it.
    """

    start: Mapping[str, Any]
    path: Path
    file: IO[bytes]
    counts: Counts = field(default_factory=Counts)
    heard: float = 0.0
    size: int = 0
    torn: bool = False

    def write(self, name: str, doc: Mapping[str, Any]) -> None:
        """Write a document, or nothing of it."""
        self.heard = time.monotonic()
        try:
            data = pack([name, doc])
        except (TypeError, ValueError, OverflowError) as error:
            self.counts.add_problem(f"a document {name!r} can't be stored: {error}")
            return
        rest = memoryview(data)
        try:
            self.file.seek(self.size)
            while rest:  # a disk that is nearly full takes a part
                rest = rest[self.file.write(rest) :]
        except OSError:
            self.torn = True
            with suppress(OSError):
                self.file.truncate(self.size)
            raise
        self.size += len(data)


class Spool:
    """The files of runs whose documents come as messages. Thread-safe.

    Parameters
    ----------
    folder : Path
    journal : Journal
    """

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._lock = threading.Lock()
        self._runs: dict[str, SpooledRun] = {}
        self._run_of: dict[str, str] = {}  # by descriptor, or by resource
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".*{PART}"):
            self._end_interrupted(left)

    def add(self, name: str, doc: Mapping[str, Any]) -> None:
        """Add a document; after its stop document, a run is on the disk.

        Raises
        ------
        OSError
            If it can't be written, such as on a full disk: it can be added again.
        """
        with self._lock:
            if self._closed:
                message = "the service stops"
                raise OSError(message)
            if name == "start":
                self._start(doc)
                return
            uid = self._owner(name, doc)
            run = self._runs.get(uid)
            if run is None:  # it is over, or its start was never heard
                if uid and name in ("descriptor", "stop"):
                    self._note_lost_start(uid, doc)
                return
            run.write(name, doc)
            run.counts.add(name, doc)
            if name == "stop":
                self._finish(uid, run.counts.missing(doc), doc)

    def growing(self, uid: str) -> SpooledRun | None:
        """Return a run that is being written; None if it is not."""
        return self._runs.get(uid)

    def close(self) -> None:
        """Leave the runs that are not over; the next start notes them as failed."""
        with self._lock:
            self._closed = True
            for run in self._runs.values():
                run.file.close()
            self._runs.clear()

    def _start(self, doc: Mapping[str, Any]) -> None:
        uid = str(doc.get("uid") or "")
        if not uid or uid in self._runs or not self._is_wanted(uid):
            return
        self._end_silent()
        name = f"{doc.get('scan_id', 'run')}_{uid}"
        name = re.sub(r"[^0-9A-Za-z_-]", "_", name)[:LONGEST_NAME]
        path = self._folder / f".{name}{PART}"
        # No buffer: what could not be written must not follow later.
        run = SpooledRun(doc, path, path.open("wb", buffering=0))
        try:
            run.write("start", doc)
            self._journal.begin(FoundRun(uid, str(_named(path, WHOLE)), doc))
        except BaseException:
            run.file.close()
            raise
        self._runs[uid] = run

    def _is_wanted(self, uid: str) -> bool:
        """Return whether a run is new; one that was incomplete may come again."""
        known = self._journal.get(uid)
        return (
            known is None
            or known.state == "open"
            or (known.state == "failed" and known.is_incomplete)
        )

    def _note_lost_start(self, uid: str, doc: Mapping[str, Any]) -> None:
        if self._journal.get(uid) is None:
            start = {"uid": uid, "time": doc.get("time")}
            why = "its start document is missing"
            self._journal.add_incomplete(FoundRun(uid, "", start), why)

    def _owner(self, name: str, doc: Mapping[str, Any]) -> str:
        """Return the uid of the run of a document; ``""`` if it is not known."""
        uid = str(doc.get("run_start") or "")
        if not uid:
            keys = ("descriptor", "resource", "stream_resource")
            of = next((doc[key] for key in keys if doc.get(key)), None)
            uid = self._run_of.get(str(of), "")
        if not uid and name in (*FILES, "datum", "datum_page"):
            uid = next(reversed(self._runs), "")  # they need not name a run
        if name in ("descriptor", *FILES) and uid in self._runs:
            self._run_of[str(doc.get("uid"))] = uid
        return uid

    def _finish(self, uid: str, problems: list[str], stop: Mapping[str, Any]) -> None:
        """Give the file of a run its name; note what is missing."""
        run = self._runs[uid]
        os.fsync(run.file.fileno())
        self._name(FoundRun(uid, "", run.start, stop), run.path, problems)
        run.file.close()
        del self._runs[uid]
        self._run_of = {key: of for key, of in self._run_of.items() if of != uid}

    def _end_silent(self) -> None:
        """End the runs whose stop document was lost."""
        before = time.monotonic() - SILENT
        for uid in [uid for uid, run in self._runs.items() if run.heard < before]:
            self._finish(uid, ["its stop document is missing"], {})

    def _end_interrupted(self, left: Path) -> None:
        """End a run that an earlier service has left, perhaps just before its end."""
        starts, stop, counts = [], {}, Counts()
        try:
            for name, doc in open_source(left):
                counts.add(name, doc)
                if name == "start":
                    starts.append(doc)
                elif name == "stop":
                    stop = dict(doc)
        except SourceError as error:
            counts.add_problem(str(error))
        if not starts:  # it had only just begun
            left.unlink()
            return
        problems = counts.missing(stop)
        if not stop:
            problems = ["the service was stopped while the run went on"]
        self._name(FoundRun(str(starts[0]["uid"]), "", starts[0], stop), left, problems)

    def _name(self, run: FoundRun, part: Path, problems: list[str]) -> None:
        """Give a file its name. At each moment, a SIGKILL forgets nothing.

        If the journal has not heard of a whole file, the next look finds it; what is
        incomplete is noted before it has its name.
        """
        whole, short = _named(part, WHOLE), _named(part, f"{WHOLE}{INCOMPLETE}")
        path = short if problems else whole
        found = FoundRun(run.uid, str(path), run.start, run.stop)
        if problems:
            self._journal.add_incomplete(found, "; ".join(problems))
            part.replace(path)
            logger.error("run %s: incomplete: %s", run.uid[:8], "; ".join(problems))
        else:
            part.replace(path)
            short.unlink(missing_ok=True)
        _sync(self._folder)
        if not problems:
            self._journal.add([found])


def _named(part: Path, ending: str) -> Path:
    return part.with_name(part.name.removeprefix(".").removesuffix(PART) + ending)


def _sync(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

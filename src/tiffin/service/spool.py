"""Write documents that come as messages to the folder of the source.

A run is a file without an ending that is read, until its stop document: then it is
forced to the disk and gets its name. A run of which documents were lost is noted as
failed, with what is missing: it is never exported as if it were whole.
"""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from tiffin.bulk import FoundRun
from tiffin.sources import pack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiffin.service.journal import Journal

__all__ = ["Spool"]

PART = ".part"


@dataclass
class _Run:
    """A run that is being written."""

    start: Mapping[str, Any]
    path: Path
    file: IO[bytes]
    streams: dict[str, str] = field(default_factory=dict)  # by descriptor
    seen: defaultdict[str, set[int]] = field(
        default_factory=lambda: defaultdict(set)  # seq_nums by stream
    )


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
        self._runs: dict[str, _Run] = {}
        self._run_of: dict[str, str] = {}  # by descriptor, or by resource
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".*{PART}"):
            self._end_interrupted(left)

    def add(self, name: str, doc: Mapping[str, Any]) -> None:
        """Add a document; after its stop document, a run is on the disk."""
        with self._lock:
            if name == "start":
                self._start(doc)
                return
            run = self._runs.get(self._owner(name, doc))
            if run is None:
                return  # its start was never heard, or it is over
            run.file.write(pack([name, doc]))
            self._count(run, name, doc)
            if name == "stop":
                self._stop(run, doc)

    def close(self) -> None:
        """Leave the runs that are not over; the next start notes them as failed."""
        with self._lock:
            for run in self._runs.values():
                run.file.close()
            self._runs.clear()

    def _start(self, doc: Mapping[str, Any]) -> None:
        uid = str(doc["uid"])
        known = self._journal.get(uid)
        if uid in self._runs or (known is not None and known.state != "failed"):
            return  # a message that came twice
        name = f"{doc.get('scan_id', 'run')}_{re.sub(r'[^0-9A-Za-z-]', '_', uid)}"
        path = self._folder / f".{name}{PART}"
        run = self._runs[uid] = _Run(doc, path, path.open("wb"))
        run.file.write(pack(["start", doc]))

    def _owner(self, name: str, doc: Mapping[str, Any]) -> str:
        """Return the run of a document."""
        uid = str(doc.get("run_start") or "")
        if not uid:
            keys = ("descriptor", "resource", "stream_resource")
            of = next((doc[key] for key in keys if doc.get(key)), None)
            uid = self._run_of.get(str(of), "")
        if name in ("descriptor", "resource", "stream_resource") and uid:
            self._run_of[str(doc.get("uid"))] = uid
        if not uid and name in ("datum", "datum_page"):  # of a resource without a run
            return next(reversed(self._runs), "")
        return uid

    def _count(self, run: _Run, name: str, doc: Mapping[str, Any]) -> None:
        """Note which events have come."""
        if name == "descriptor":
            run.streams[str(doc["uid"])] = str(doc.get("name"))
        elif name in ("event", "event_page"):
            stream = run.streams.get(str(doc.get("descriptor")))
            numbers: Any = doc.get("seq_num")
            if stream is not None:
                are = numbers if isinstance(numbers, list) else [numbers]
                run.seen[stream].update(n for n in are if isinstance(n, int))

    def _stop(self, run: _Run, doc: Mapping[str, Any]) -> None:
        """Give the file of a run its name; note what is missing."""
        self._finish(run, doc, _missing(run, doc))
        uid = str(run.start["uid"])
        self._runs.pop(uid, None)
        self._run_of = {key: of for key, of in self._run_of.items() if of != uid}

    def _finish(self, run: _Run, stop: Mapping[str, Any], problems: list[str]) -> None:
        run.file.flush()
        os.fsync(run.file.fileno())
        run.file.close()
        name = run.path.name.removeprefix(".").removesuffix(PART)
        path = run.path.with_name(f"{name}.msgpack")
        if problems:  # before the file is found
            found = FoundRun(str(run.start["uid"]), str(path), run.start, stop)
            self._journal.add_incomplete(found, f"incomplete: {'; '.join(problems)}")
        run.path.rename(path)
        if not problems:
            self._journal.retry(str(run.start["uid"]))  # it has come again, whole

    def _end_interrupted(self, left: Path) -> None:
        """Note a run as failed that an earlier service has left."""
        from tiffin.bulk import read_source

        found = read_source(left)
        path = left.with_name(
            f"{left.name.removeprefix('.').removesuffix(PART)}.msgpack"
        )
        for run in found.runs:
            why = "incomplete: the service was stopped while the run went on"
            self._journal.add_incomplete(
                FoundRun(run.uid, str(path), run.start, run.stop), why
            )
        left.rename(path)


def _missing(run: _Run, stop: Mapping[str, Any]) -> list[str]:
    """Return which events have not come: they count from 1 without gaps."""
    counts = stop.get("num_events")
    counts = counts if isinstance(counts, dict) else {}
    missing = []
    for stream, seen in run.seen.items():
        last = max(counts.get(stream, 0), *seen)
        lost = sorted(set(range(1, last + 1)) - seen)
        if lost:
            shown = ", ".join(map(str, lost[:5])) + ("…" if len(lost) > 5 else "")
            missing.append(f"events {shown} of stream {stream!r} are missing")
    for stream, count in counts.items():
        if count and stream not in run.streams.values():
            missing.append(f"all {count} events of stream {stream!r} are missing")
    return missing

"""Remember which runs of a bulk export are done: ``.tiffin/bulk/<settings>.jsonl``."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from tiffin.bulk.bulk_report import RunOutcome
from tiffin.bulk.found_runs import FoundRun, FoundSource
from tiffin.bulk.task import TaskResult
from tiffin.engine import FOLDER, Manifest, read_manifest
from tiffin.errors import WriteError
from tiffin.export import settings_id, settings_of
from tiffin.json_text import json_text
from tiffin.obstacles import obstacle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tiffin.settings import Settings

__all__ = ["BulkManifest"]

BULK = f"{FOLDER}/bulk"
"""The folder of bulk manifests."""


class BulkManifest:
    """The bulk manifest of some settings in a directory. A line is never changed.

    A line of kind ``"run"`` tells what has become of a run: the last one counts. A line
    of kind ``"source"`` has the runs of a file of documents, so that it need not be
    read again.

    Parameters
    ----------
    settings : Settings
    shard : str, optional
        A share has a file of its own, because machines that append to one file on a
        network share may overwrite each other's lines. The files of all are read.
    """

    def __init__(self, settings: Settings, shard: str | None = None) -> None:
        self._settings = settings
        self._values = settings_of(settings)
        self._id = settings_id(self._values)
        head = {"kind": "settings", "schema": 1, "id": self._id}
        share = "" if shard is None else "-" + shard.strip().replace("/", "-of-")
        name = f"{self._id}{share}.jsonl"
        self._file = Manifest(
            settings.folders,
            name,
            _text({**head, "settings": self._values}),
            mode=settings.mode,
            folder=BULK,
        )
        self.path: Path = settings.directory / BULK / name
        self._lines = count()
        self.sources: dict[str, FoundSource] = {}
        self.outcomes: dict[str, RunOutcome] = {}
        self.read()

    def read(self) -> None:
        """Read the files of all shares, again if need be."""
        for path in sorted(self.path.parent.glob(f"{self._id}*.jsonl")):
            self._read(path)

    def is_done(self, run: FoundRun) -> bool:
        """Return whether a run is done, and all of its files are there still.

        A run without a stop document may go on. Looks at the run's manifest and at the
        size of each file, not at the pixels.
        """
        uid = run.uid
        before = self.outcomes.get(uid)
        if before is None or before.state != "done" or not run.stop:
            return False
        if not before.images:
            return True
        directory = self._settings.directory
        try:
            listed = read_manifest(directory / FOLDER / f"{uid}.jsonl").files
            return all(
                os.stat(directory / path).st_size == line["bytes"]  # noqa: PTH116 (many, so no Path)
                for path, line in listed.items()
            )
        except (OSError, ValueError):
            return False

    def add_source(self, source: FoundSource) -> None:
        """Record the runs of a file of documents."""
        self.sources[source.path] = source
        runs = [
            {"uid": run.uid, "start": run.start, "stop": run.stop}
            for run in source.runs
        ]
        self._append(
            {
                "kind": "source",
                "path": source.path,
                "size": source.size,
                "mtime_ns": source.mtime_ns,
                "problem": source.problem,
                "runs": runs,
            }
        )

    def add_outcome(self, outcome: RunOutcome) -> None:
        """Record what has become of a run."""
        self.outcomes[outcome.uid] = outcome
        result = outcome.result
        self._append(
            {
                "kind": "run",
                "run": outcome.uid,
                "scan_id": outcome.scan_id,
                "status": outcome.state,
                "written": result.written,
                "skipped": result.skipped,
                "failed": result.failed,
                "bytes": result.nbytes,
                "seconds": round(result.seconds, 3),
                "why": result.why,
            }
        )

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            text = _text(line)
        except (TypeError, ValueError):
            return  # a start document that JSON can't hold: its file is read again
        number = next(self._lines)
        self._file.expect(number)
        with self._errors_with_path():
            self._file.add([(number, text)])

    def close(self) -> None:
        """Close the file."""
        with self._errors_with_path():
            self._file.close()

    @contextmanager
    def _errors_with_path(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = obstacle(self.path.parent, write=True)
            parts = (f"{self.path} can't be written", error.strerror or error, problem)
            message = ": ".join(str(part) for part in parts if part)
            raise WriteError(message) from error

    def _read(self, path: Path) -> None:
        """Read the lines that can be read; what is lost is only done again."""
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            return
        for text in lines:
            try:
                line = json.loads(text)
                if line["kind"] == "run":
                    outcome = _outcome(line)
                    self.outcomes[outcome.uid] = outcome
                elif line["kind"] == "source":
                    self.sources[line["path"]] = _source(line)
            except (ValueError, LookupError, TypeError):
                continue


def _text(line: Mapping[str, Any]) -> str:
    return json_text(line).decode() + "\n"


def _outcome(line: Mapping[str, Any]) -> RunOutcome:
    result = TaskResult(
        line["written"],
        line["skipped"],
        line["failed"],
        line["bytes"],
        line["seconds"],
        line["why"],
    )
    return RunOutcome(line["run"], line["scan_id"], line["status"], result)


def _source(line: Mapping[str, Any]) -> FoundSource:
    path = line["path"]
    runs = (FoundRun(r["uid"], path, r["start"], r["stop"]) for r in line["runs"])
    return FoundSource(
        path, line["size"], line["mtime_ns"], tuple(runs), line["problem"]
    )

"""List the runs of a source, with what it takes to open each of them elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError, SourceError
from tiffin.sources import (
    ADDRESSES,
    TIMEOUT,
    Selection,
    address_of,
    connect,
    document_files,
    find_runs,
    open_source,
    run_documents_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["FoundRun", "FoundSource", "list_runs", "read_source"]


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run, and where it is.

    Attributes
    ----------
    uid : str
    address : object
        The address of a Tiled server, or the path of a file: text, which can go to
        another process. Anything else can be opened in this process only.
    start : mapping
        The start document.
    stop : mapping
        The stop document; empty if there is none yet.
    """

    uid: str
    address: Any
    start: Mapping[str, Any]
    stop: Mapping[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> int | None:
        """How many events the streams have, without a baseline; None if unknown."""
        counts = self.stop.get("num_events")
        if not isinstance(counts, dict):
            return None
        named = {name: n for name, n in counts.items() if name != "baseline"}
        return sum(n for n in named.values() if isinstance(n, int))


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A file of documents, as it was when its runs were listed.

    Attributes
    ----------
    path : str
    size, mtime_ns : int
        If these are still the same, the file need not be read again.
    runs : tuple of FoundRun
    problem : str
        Why it can't be read to its end; ``""`` if it can.
    """

    path: str
    size: int
    mtime_ns: int
    runs: tuple[FoundRun, ...]
    problem: str = ""

    def is_current(self) -> bool:
        """Return whether the file has not changed since."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 (many, so no Path)
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


def list_runs(
    source: Any,
    selection: Selection,
    *,
    known: Mapping[str, FoundSource],
    found: Callable[[FoundSource], object],
    timeout: float = TIMEOUT,
) -> list[FoundRun]:
    """Return the chosen runs of a source, oldest first.

    Parameters
    ----------
    source : object
        See `tiffin.bulk`.
    selection : Selection
        Which runs; an empty one means all.
    known : mapping of str to FoundSource
        Files that were listed before, by path.
    found : callable
        Called with each file that has been read now.
    timeout : float
        The time limit for the reply of a Tiled server [s].

    Raises
    ------
    SourceError
        If the source can't be read, or has no such run.
    """
    if isinstance(source, str) and source.startswith(ADDRESSES):
        return _of_server(connect(source, timeout=timeout), selection, source, timeout)
    if isinstance(source, (str, os.PathLike)):
        runs = _of_files(Path(source), known, found)
    elif callable(getattr(source, "search", None)) and address_of(source):
        return _of_server(source, selection, None, timeout)
    else:
        runs = _of_objects(source)
    uids = selection.choose([run.start for run in runs])
    by_uid = {run.uid: run for run in reversed(runs)}
    return [by_uid[uid] for uid in uids]


def _of_server(
    client: Any, selection: Selection, address: str | None, timeout: float
) -> list[FoundRun]:
    """Return runs by pages of their metadata, without asking for each of them."""
    found = find_runs(client, selection, timeout=timeout, every=not selection)
    where = address or address_of(client)
    runs = []
    for run in found:
        start, stop = run_documents_of(run)
        runs.append(FoundRun(str(start["uid"]), where, start, stop))
    return runs


def _of_files(
    path: Path,
    known: Mapping[str, FoundSource],
    found: Callable[[FoundSource], object],
) -> list[FoundRun]:
    """Return the runs of files; a file that has not changed is not read again."""
    runs: list[FoundRun] = []
    problems = []
    for file in document_files(path):
        listed = known.get(str(file))
        if listed is None or not listed.is_current():
            listed = read_source(file)
            found(listed)
        runs += listed.runs
        if listed.problem:
            problems.append(listed.problem)
    if problems and not runs:
        raise SourceError(problems[0])
    return runs


def read_source(file: Path) -> FoundSource:
    """Read the start and stop documents of a file."""
    status = file.stat()
    starts: dict[str, Mapping[str, Any]] = {}
    stops: dict[str, Mapping[str, Any]] = {}
    problem = ""
    try:
        for name, doc in open_source(file):
            if name == "start" and "uid" in doc:
                starts.setdefault(str(doc["uid"]), doc)
            elif name == "stop":
                stops[str(doc.get("run_start"))] = doc
    except SourceError as error:
        problem = str(error)
    path = str(file)
    runs = (FoundRun(uid, path, doc, stops.get(uid, {})) for uid, doc in starts.items())
    return FoundSource(path, status.st_size, status.st_mtime_ns, tuple(runs), problem)


def _of_objects(source: Any) -> list[FoundRun]:
    """Return the runs of a list of runs, or of other documents."""
    runs = []
    for part in _parts(source):
        address: Any = address_of(part)
        documents = open_source(part)
        starts = [doc for name, doc in documents if name == "start" and "uid" in doc]
        for start in starts:
            where = documents if address is None else address
            runs.append(FoundRun(str(start["uid"]), where, start))
    if not runs:
        message = "the source holds no run"
        raise SourceError(message)
    return runs


def _parts(source: Any) -> Iterator[Any]:
    if isinstance(source, (list, tuple)) and all(map(address_of, source)):
        yield from source
    else:
        yield from open_source(source).parts


def require_addresses(runs: Sequence[FoundRun] | Iterable[FoundRun]) -> None:
    """Raise a SettingsError if a run can't be opened by another process."""
    for run in runs:
        if not isinstance(run.address, str):
            message = (
                "must be 'serial' for this source, because only the address of a Tiled "
                "server and the path of a file can go to another process"
            )
            raise SettingsError(message, setting="engine")

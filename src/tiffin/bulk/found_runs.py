"""List the runs of a source, with what it takes to open each of them elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError, SourceError
from tiffin.sources import (
    TIMEOUT,
    Selection,
    TiledAddress,
    TruncatedError,
    address_of,
    document_files,
    is_address,
    open_catalogue,
    open_source,
    run_documents_of,
    runs_that_fit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

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
        Why it can't be read to its end; ``""`` if it can, or if it may still grow.
    """

    path: str
    size: int
    mtime_ns: int
    runs: tuple[FoundRun, ...]
    problem: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it has runs, each of them its stop document, and nothing else."""
        return bool(self.runs) and self.is_closed and not self.problem

    @property
    def is_closed(self) -> bool:
        """Whether none of its runs goes on."""
        return all(run.stop for run in self.runs)

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
) -> tuple[list[FoundRun], list[str]]:
    """Return the chosen runs of a source, and why some files may hold more.

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
    problems: list[str] = []
    if is_address(source):
        page = TiledAddress.of(source).run
        if page and not selection.runs:
            selection = replace(selection, runs=(page,))
        client = open_catalogue(str(address_of(source)), timeout)
        return _of_server(client, selection, address_of(source), timeout), problems
    if callable(getattr(source, "search", None)) and address_of(source):
        return _of_server(source, selection, address_of(source), timeout), problems
    if isinstance(source, (str, os.PathLike)):
        runs, problems = _of_files(Path(source), known, found)
    else:
        runs = _of_objects(source)
    uids = selection.choose([run.start for run in runs])
    by_uid = {run.uid: run for run in reversed(runs)}
    return [by_uid[uid] for uid in uids], problems


def _of_server(
    client: Any, selection: Selection, where: str | None, timeout: float
) -> list[FoundRun]:
    """Return runs by pages of their metadata, without asking for each of them."""
    runs = []
    for run in runs_that_fit(client, selection, timeout=timeout):
        start, stop = run_documents_of(run)
        runs.append(FoundRun(str(start["uid"]), where, start, stop))
    return runs


def _of_files(
    path: Path,
    known: Mapping[str, FoundSource],
    found: Callable[[FoundSource], object],
) -> tuple[list[FoundRun], list[str]]:
    """Return the runs of files; a file that has not changed is not read again."""
    runs: list[FoundRun] = []
    problems = []
    for file in document_files(path):
        listed = known.get(str(file))
        if listed is None or not listed.is_current():
            listed = read_source(file)
            found(listed)
        runs += listed.runs
        if listed.problem and listed.is_closed:  # else the export of its run fails
            problems.append(listed.problem)
    if problems and not runs:
        raise SourceError(problems[0])
    return runs, problems


def read_source(file: Path) -> FoundSource:
    """Read the start and stop documents of a file."""
    status = file.stat()
    path = str(file)
    runs, problem = _runs_in(open_source(file), path)
    if not runs and not problem:
        problem = f"{path} holds no start document"
    return FoundSource(path, status.st_size, status.st_mtime_ns, runs, problem)


def _runs_in(
    documents: Iterable[tuple[str, Mapping[str, Any]]], address: Any
) -> tuple[tuple[FoundRun, ...], str]:
    """Return the runs of documents, and why they break off."""
    starts: dict[str, Mapping[str, Any]] = {}
    stops: dict[str, Mapping[str, Any]] = {}
    problem = ""
    try:
        for name, doc in documents:
            if name == "start" and "uid" in doc:
                starts.setdefault(str(doc["uid"]), doc)
            elif name == "stop":
                stops[str(doc.get("run_start"))] = doc
    except SourceError as error:
        grows = isinstance(error, TruncatedError) and not starts.keys() <= stops.keys()
        problem = "" if grows else str(error)
    found = (FoundRun(uid, address, starts[uid], stops.get(uid, {})) for uid in starts)
    return tuple(found), problem


def _of_objects(source: Any) -> list[FoundRun]:
    """Return the runs of a list of runs, or of other documents."""
    runs: list[FoundRun] = []
    problem = ""
    for part in _parts(source):
        address = address_of(part)
        if address is not None:
            start, stop = run_documents_of(part)
            runs.append(FoundRun(str(start["uid"]), address, start, stop))
            continue
        documents = open_source(part)
        found, why = _runs_in(documents, documents)
        runs += found
        problem = problem or why
    if not runs:
        raise SourceError(problem or "the source holds no run")
    return runs


def _parts(source: Any) -> Iterator[Any]:
    if isinstance(source, (list, tuple)) and all(map(address_of, source)):
        yield from source
    else:
        yield from open_source(source).parts


def require_addresses(runs: Iterable[FoundRun]) -> None:
    """Raise a SettingsError if a run can't be opened by another process."""
    for run in runs:
        if not isinstance(run.address, str):
            message = (
                "must be 'serial' for this source, because only the address of a Tiled "
                "server and the path of a file can go to another process"
            )
            raise SettingsError(message, setting="engine")

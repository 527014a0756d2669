"""List the runs of a Tiled catalogue page by page, each within its own time limit.

These runs only tell their metadata, and can't be opened: what else a server could send
of each run takes it several times as long.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from tiffin.sources.selection import SHOWN
from tiffin.sources.tiled_run import is_run
from tiffin.sources.tiled_search import (
    PAGE,
    ask,
    compared,
    find_runs,
    newest_first,
    sorted_by_time,
)
from tiffin.sources.tiled_server import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tiffin.sources.selection import Selection

METADATA = {"fields": "metadata"}
"""What is asked for of each run."""

NAMED = 50
"""How many runs are asked for by their uids at once."""


def count_entries(client: Any) -> int:
    """Return how many entries a catalogue has, runs or not."""
    fresh = sorted_by_time(client, 1)  # a client keeps its length for a while
    return ask(client, lambda: len(fresh))


def runs_in_order(client: Any, since: float | None = None) -> Iterator[list[Any]]:
    """Yield pages of runs by their start time, the oldest first.

    A run that appears meanwhile may be missing, or another one come twice.
    """
    found = client if since is None else compared(client, "ge", since)
    return _pages(sorted_by_time(found, 1))


def runs_that_fit(
    client: Any, selection: Selection, *, timeout: float = TIMEOUT
) -> list[Any]:
    """Return the selected runs of a Tiled catalogue; an empty selection means all.

    Runs come oldest first, or in the order asked for. A SourceError is raised if there
    is none, or if a name is not that of one run.
    """
    if is_run(client) or selection.runs:
        return find_runs(client, selection, timeout=timeout)
    runs: dict[str, Any] = {}  # one may come twice if others appear meanwhile
    for page in _pages(newest_first(client, selection), timeout):
        runs.update((run.metadata["start"]["uid"], run) for run in page)
        if selection.limit is not None and len(runs) >= selection.limit:
            break
    if not runs:
        newest = _page(newest_first(client, type(selection)()), 0, SHOWN, timeout)
        raise selection.none_found(run.metadata["start"] for run in _runs(newest))
    return [*runs.values()][: selection.limit][::-1]


def runs_with_uids(client: Any, uids: Sequence[str]) -> list[Any]:
    """Return the runs that have these uids; those that are gone are left out."""
    from tiled.queries import In

    runs: list[Any] = []
    for first in range(0, len(uids), NAMED):
        named = client.search(In("start.uid", list(uids[first : first + NAMED])))
        runs += _runs(_page(named, 0, PAGE))
    return runs


def _pages(ordered: Any, timeout: float = TIMEOUT) -> Iterator[list[Any]]:
    for first in count(0, PAGE):
        entries = _page(ordered, first, PAGE, timeout)
        yield _runs(entries)
        if len(entries) < PAGE:
            return


def _page(client: Any, first: int, size: int, timeout: float = TIMEOUT) -> list[Any]:
    part = slice(first, first + size)
    get: Callable[[], list[Any]] = partial(client.values().__getitem__, part)
    return ask(client, get, timeout, params=METADATA)


def _runs(entries: list[Any]) -> list[Any]:
    """Return the entries that are runs: a catalogue may have others."""
    starts = ((entry, entry.metadata.get("start")) for entry in entries)
    return [entry for entry, start in starts if start and "uid" in start]

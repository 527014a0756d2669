"""List the runs of a Tiled catalogue page by page, each within its own time limit."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.errors import SourceError, TiffinError
from tiffin.sources.tiled_search import compared, sorted_by_time
from tiffin.sources.tiled_server import TIMEOUT, TiledServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["count_entries", "runs_in_order", "runs_with_uids"]

T = TypeVar("T")

PAGE = 200
"""How many runs are asked for at once."""

NAMED = 50
"""How many runs are asked for by their uids at once."""


def count_entries(client: Any) -> int:
    """Return how many entries a catalogue has, runs or not."""
    fresh = sorted_by_time(client, 1)  # a client keeps its length for a while
    return _ask(client, lambda: len(fresh))


def runs_in_order(client: Any, since: float | None = None) -> Iterator[list[Any]]:
    """Yield pages of runs by their start time, the oldest first.

    A run that appears meanwhile may be missing, or another one come twice.
    """
    found = client if since is None else compared(client, "ge", since)
    ordered = sorted_by_time(found, 1)
    for first in count(0, PAGE):
        entries = _ask(client, partial(_slice, ordered, first))
        yield _runs(entries)
        if len(entries) < PAGE:
            return


def runs_with_uids(client: Any, uids: Sequence[str]) -> list[Any]:
    """Return the runs that have these uids; those that are gone are left out."""
    from tiled.queries import In

    runs: list[Any] = []
    for first in range(0, len(uids), NAMED):
        named = client.search(In("start.uid", list(uids[first : first + NAMED])))
        runs += _runs(_ask(client, partial(_slice, named, 0)))
    return runs


def _slice(client: Any, first: int) -> list[Any]:
    return list(client.values()[first : first + PAGE])


def _runs(entries: list[Any]) -> list[Any]:
    """Return the entries that are runs: a catalogue may have others."""
    starts = ((entry, entry.metadata.get("start")) for entry in entries)
    return [entry for entry, start in starts if start and "uid" in start]


def _ask(client: Any, function: Callable[[], T]) -> T:
    try:
        return TiledServer(client.context.http_client, TIMEOUT).call(function)
    except TiffinError:
        raise
    except Exception as error:  # a border: clients and servers raise what they like
        message = f"the Tiled server can't search: {type(error).__name__}: {error}"
        raise SourceError(message) from error

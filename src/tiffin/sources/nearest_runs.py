"""Start documents of the runs near another, nearest first: a light's darks, say."""

from __future__ import annotations

import heapq
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tiffin.sources.files import TruncatedError
from tiffin.sources.open_source import Documents, guarded
from tiffin.sources.tiled_search import is_sql, with_metadata
from tiffin.sources.tiled_server import TIMEOUT, TiledServer
from tiffin.start_document import start_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.corrections import Nearest

    Start = Mapping[str, Any]

__all__ = ["starts_in", "starts_near"]

MARGIN = 1.0
"""How much more than is wanted old databrokers are asked for [s]."""


def starts_in(documents: Documents) -> Iterator[Start]:
    """Return the start documents that stand among others, of which none is kept.

    What a file that ends within a document lacks is no whole run.
    """
    for part in documents.parts:
        with suppress(TruncatedError):
            for name, doc in part:
                if name == "start" and "uid" in doc:
                    yield doc


def starts_near(
    catalog: Any, query: Nearest, light: Start, *, timeout: float = TIMEOUT
) -> Iterator[Start]:
    """Return the start documents that a query reaches from a light's, nearest first.

    Parameters
    ----------
    catalog : object
        A list of start documents, documents, a Tiled client, or a databroker.
    query : Nearest
    light : mapping
        The start document of the light's run.
    timeout : float
        How long each reply of a Tiled server may take [s].

    Raises
    ------
    SourceError
        If the catalogue can't be searched.
    """

    def starts() -> Iterable[Start]:
        if isinstance(catalog, (list, Documents)):
            among = starts_in(catalog) if isinstance(catalog, Documents) else catalog
            return _nearest_first(among, light)
        if callable(getattr(catalog, "search", None)):
            server = TiledServer(catalog.context.http_client, timeout)
            return _asked_for(_in_tiled(catalog, query, light), server)
        return _nearest_first(_in_databroker(catalog, query, light), light)

    what = f"a {type(catalog).__name__} can't be searched for {query!r}"
    for start in guarded(starts, lambda: what):
        if query.in_range(start, light) and query.matches(start):
            yield start


def _nearest_first(starts: Iterable[Start], light: Start) -> Iterable[Start]:
    return sorted(starts, key=_distance_from(light))


def _distance_from(light: Start) -> Callable[[Start], tuple[float, float, str]]:
    """Order by distance; then what came before; then by uid, so that order is one."""

    def distance(start: Start) -> tuple[float, float, str]:
        after = start_time(start) - start_time(light)
        return abs(after), after, str(start["uid"])

    return distance


def _in_databroker(broker: Any, query: Nearest, light: Start) -> Iterator[Start]:
    """Ask a databroker of version 1 or 0, which is called with keys and values."""
    times = {}
    if query.order == "before":
        times["until"] = start_time(light) + MARGIN
    elif query.within is not None:
        times["until"] = start_time(light) + query.within + MARGIN
    if query.order == "after":
        times["since"] = start_time(light) - MARGIN
    elif query.within is not None:
        times["since"] = start_time(light) - query.within - MARGIN
    for header in broker(**dict(query.metadata), **times):
        yield header.start


def _asked_for(starts: Iterator[Start], server: TiledServer) -> Iterator[Start]:
    """Go through what comes from a server, each within its time."""
    while (start := server.ask(lambda: next(starts, None))) is not None:
        yield start


def _in_tiled(client: Any, query: Nearest, light: Start) -> Iterator[Start]:
    """Ask a server for those before, and for those after, a page at a time."""
    from tiled.queries import Comparison

    found, time = with_metadata(client, dict(query.metadata)), start_time(light)
    if query.within is not None:
        found = found.search(Comparison("ge", "start.time", time - query.within))
        found = found.search(Comparison("le", "start.time", time + query.within))
    key = "start.time" if is_sql(client) else "time"
    sides = []
    if query.order != "after":
        sides.append(found.search(Comparison("le", "start.time", time)).sort((key, -1)))
    if query.order != "before":
        beyond = "ge" if query.order == "after" else "gt"
        side = found.search(Comparison(beyond, "start.time", time))
        sides.append(side.sort((key, 1)))
    order = _distance_from(light)
    starts = [(run.metadata["start"] for run in side.values()) for side in sides]
    nearest = heapq.merge(*starts, key=lambda start: order(start)[0])
    # A server does not order what began at the same time.
    for _, equals in itertools.groupby(nearest, key=lambda start: order(start)[0]):
        yield from sorted(equals, key=order)

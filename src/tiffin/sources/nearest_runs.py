"""Search catalogues for the runs nearest in time to another."""

from __future__ import annotations

import heapq
import itertools
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tiffin.sources.document_file import TruncatedError
from tiffin.sources.open_source import Documents, as_source_errors
from tiffin.sources.tiled_search import is_sql, with_metadata
from tiffin.sources.tiled_server import TIMEOUT, TiledServer
from tiffin.start_document import start_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.corrections import Nearest

    Start = Mapping[str, Any]

__all__ = ["nearest_starts", "starts_in"]

MARGIN = 1.0
"""Margin added to the time range when querying databroker v0 or v1 [s]."""


def starts_in(documents: Documents) -> Iterator[Start]:
    """Yield the start documents among others; ignore a file's truncated end."""
    for part in documents.parts:
        with suppress(TruncatedError):
            for name, doc in part:
                if name == "start" and "uid" in doc:
                    yield doc


def nearest_starts(
    catalog: Any, query: Nearest, light: Start, *, timeout: float = TIMEOUT
) -> Iterator[Start]:
    """Yield the start documents that a query allows, nearest to a light's first.

    The catalogue is a list of start documents, documents, a Tiled client or a
    databroker; if it can't be searched, a SourceError is raised.
    """
    key = _order_around(light)

    def starts() -> Iterable[Start]:
        if isinstance(catalog, Documents):
            return sorted(starts_in(catalog), key=key)
        if isinstance(catalog, list):
            return sorted(catalog, key=key)
        if callable(getattr(catalog, "search", None)):
            server = TiledServer(catalog.context.http_client, timeout)
            found = _in_tiled(catalog, query, light)
            return iter(lambda: server.call(lambda: next(found, None)), None)
        headers = catalog(**dict(query.metadata), **_time_range(query, light))
        return sorted((header.start for header in headers), key=key)

    prefix = f"a {type(catalog).__name__} can't be searched for {query!r}"
    for start in as_source_errors(starts, lambda: prefix):
        if query.in_range(start, light) and query.matches(start):
            yield start


def _order_around(light: Start) -> Callable[[Start], tuple[float, float, str]]:
    """Order by distance in time; of two equally near, the earlier; then by uid."""

    def order(start: Start) -> tuple[float, float, str]:
        after = start_time(start) - start_time(light)
        return abs(after), after, str(start["uid"])

    return order


def _time_range(query: Nearest, light: Start) -> dict[str, float]:
    """Return the time range of a query as keywords of databroker v0 and v1."""
    time = start_time(light)
    within = math.inf if query.within is None else query.within
    times = {
        "since": time - (0 if query.order == "after" else within) - MARGIN,
        "until": time + (0 if query.order == "before" else within) + MARGIN,
    }
    return {key: value for key, value in times.items() if math.isfinite(value)}


def _in_tiled(client: Any, query: Nearest, light: Start) -> Iterator[Start]:
    """Ask a server for earlier and for later runs, a page at a time."""
    from tiled.queries import Comparison

    def compared(found: Any, operator: str, time: float) -> Any:
        return found.search(Comparison(operator, "start.time", time))

    found, time = with_metadata(client, dict(query.metadata)), start_time(light)
    if query.within is not None:
        found = compared(found, "ge", time - query.within)
        found = compared(found, "le", time + query.within)
    sort_key = "start.time" if is_sql(client) else "time"
    sides = []
    if query.order != "after":
        sides.append(compared(found, "le", time).sort((sort_key, -1)))
    if query.order != "before":
        operator = "ge" if query.order == "after" else "gt"
        sides.append(compared(found, operator, time).sort((sort_key, 1)))
    order = _order_around(light)
    starts = [(run.metadata["start"] for run in side.values()) for side in sides]
    nearest = heapq.merge(*starts, key=lambda start: order(start)[0])
    # A server does not order runs that began at the same time.
    for _, equals in itertools.groupby(nearest, key=lambda start: order(start)[0]):
        yield from sorted(equals, key=order)

"""Connect to Tiled servers, and search them for runs."""

from __future__ import annotations

import heapq
import re
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.errors import SettingsError, SourceError, TiffinError, optional_import
from tiffin.sources.selection import (
    MAX_NUMBER,
    SHOWN,
    Typed,
    is_number,
    is_uid_prefix,
    not_one_run,
    place_from_last,
)
from tiffin.sources.tiled_address import (
    LONGEST_CONNECT,
    TiledAddress,
    refuse_other_scheme,
    why_silent,
)
from tiffin.sources.tiled_run import is_run
from tiffin.sources.tiled_server import (
    TIMEOUT,
    ServerError,
    TiledServer,
    UnreachableServerError,
    check_timeout,
)
from tiffin.start_document import start_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiffin.corrections import Nearest
    from tiffin.sources.selection import Selection

    Start = Mapping[str, Any]

T = TypeVar("T")

PAGE = 200
"""How many runs are asked for at once: a server refuses more than 300."""


def connect(
    address: str, *, api_key: str | None = None, timeout: float = TIMEOUT
) -> Any:
    """Return a client of a Tiled server, or raise SourceError if it does not answer.

    A key in the address, as ``?api_key=…``, is preferred to `api_key`.
    """
    with optional_import("Tiled needs its client", extra="tiled"):
        from httpx import Client, HTTPError, HTTPStatusError, Timeout
        from tiled.client import from_uri
    known = TiledAddress.of(address)
    key = None if known.has_key else api_key  # the client does not take two
    seconds = check_timeout(timeout)
    limits = Timeout(seconds + 1, connect=min(seconds, LONGEST_CONNECT))
    try:
        with Client(timeout=limits, follow_redirects=True) as client:
            server = TiledServer(client, seconds)
            # The first requests of `from_uri` have no limits: try the same one with.
            refuse_other_scheme(known, server.call(lambda: client.get(known.api)))
            return server.call(lambda: from_uri(known.catalogue, api_key=key))
    except ServerError as error:
        message = f"{known.shown}: {error}"
        raise SourceError(message) from error
    except RuntimeError as error:  # raised by the client if a key is missing
        reason = str(error).splitlines()[0]
        message = f"{known.shown}: {reason} (--api-key, or TILED_API_KEY)"
        raise SourceError(message) from error
    except (HTTPError, OSError, ValueError) as error:
        status = error.response.status_code if isinstance(error, HTTPStatusError) else 0
        if status in (401, 403):
            message = f"{known.shown}: {known.why_refused(status, api_key)}"
            raise SourceError(message) from error
        why = why_silent(error, known)
        message = f"no Tiled server answers at {known.shown}: {why}"
        raise UnreachableServerError(message) from error


def find_runs(
    client: Any, selection: Selection, *, timeout: float = TIMEOUT
) -> list[Any]:
    """Return the selected runs of a Tiled catalogue.

    An empty selection means the last run. Runs come oldest first, or in the order asked
    for. A SourceError is raised if there is none, or if a name is not that of one run.
    """
    return ask(client, lambda: _find(client, selection), check_timeout(timeout))


def ask(
    client: Any, function: Callable[[], T], timeout: float = TIMEOUT, **how: Any
) -> T:
    """Return what a function finds in a catalogue, within the limits of a reply."""
    try:
        return TiledServer(client.context.http_client, timeout).call(function, **how)
    except TiffinError:
        raise
    except Exception as error:  # a border: clients and servers raise what they like
        message = f"the Tiled server can't search: {type(error).__name__}: {error}"
        raise SourceError(message) from error


def newest_first(client: Any, selection: Selection) -> Any:
    """Narrow a Tiled catalogue to runs by metadata and time, and order it."""
    found = with_metadata(client, selection.query)
    if selection.since is not None:
        found = compared(found, "ge", selection.since)
    if selection.until is not None:
        found = compared(found, "lt", selection.until)
    return sorted_by_time(found, -1)


def _find(client: Any, selection: Selection) -> list[Any]:
    if is_run(client):
        return [client]
    newest = newest_first(client, selection)
    if selection.runs:  # a run named twice is found once
        named = [_run_named(newest, name) for name in selection.runs]
        runs = {run.metadata["start"]["uid"]: run for run in named}
        by_time = sorted(runs, key=lambda uid: -start_time(runs[uid].metadata["start"]))
        latest = by_time[: selection.limit]
        return [run for uid, run in runs.items() if uid in latest]
    limit = selection.limit if selection else 1
    found_runs = list(newest.values().page_size(PAGE)[:limit])[::-1]
    if not found_runs:
        raise selection.none_found(_newest_starts(sorted_by_time(client, -1)))
    return found_runs


def starts_near(client: Any, query: Nearest, light: Start) -> Iterator[Start]:
    """Yield start documents, nearest to a light's first; ask for a page at a time."""
    found, time = with_metadata(client, dict(query.metadata)), start_time(light)
    if query.within is not None:
        found = compared(found, "ge", time - query.within)
        found = compared(found, "le", time + query.within)
    sides = []
    if query.order != "after":
        sides.append(sorted_by_time(compared(found, "le", time), -1))
    if query.order != "before":
        operator = "ge" if query.order == "after" else "gt"
        sides.append(sorted_by_time(compared(found, operator, time), 1))
    order = distance_from(light)
    starts = [(run.metadata["start"] for run in side.values()) for side in sides]
    nearest = heapq.merge(*starts, key=lambda start: order(start)[0])
    # A server does not order runs that began at the same time.
    for _, equals in groupby(nearest, key=lambda start: order(start)[0]):
        yield from sorted(equals, key=order)


def distance_from(light: Start) -> Callable[[Start], tuple[float, float, str]]:
    """Return a sort key: distance in time; of two equally near, the earlier; uid."""

    def key(start: Start) -> tuple[float, float, str]:
        after = start_time(start) - start_time(light)
        return abs(after), after, str(start["uid"])

    return key


def compared(client: Any, operator: str, time: float) -> Any:
    """Narrow a Tiled catalogue to runs by their start time."""
    from tiled.queries import Comparison

    return client.search(Comparison(operator, "start.time", time))


def sorted_by_time(client: Any, direction: int) -> Any:
    """Order the runs of a Tiled catalogue by their start time."""
    # A catalogue in Mongo sorts start documents, one in SQL what contains them.
    return client.sort(("start.time" if _is_sql(client) else "time", direction))


def _is_sql(client: Any) -> bool:
    return bool(getattr(client, "is_sql", True))


def with_metadata(client: Any, query: Mapping[str, Any]) -> Any:
    """Narrow a Tiled catalogue to the runs whose start documents have these values."""
    from tiled.queries import In, Key

    for key, value in query.items():
        meanings = value.meanings if isinstance(value, Typed) else (value,)
        if not all(isinstance(each, (str, bool, int, float)) for each in meanings):
            message = (
                f"{key}={value}: a server searches for text, numbers, true and false; "
                f"search for lists and the like in files only"
            )
            raise SettingsError(message)
        fit = [m for m in meanings if not isinstance(m, int) or abs(m) <= MAX_NUMBER]
        field = f"start.{key}"
        client = client.search(
            Key(field) == fit[0] if len(fit) == 1 else In(field, fit)
        )
    return client


def _run_named(newest: Any, name: str) -> Any:
    from tiled.queries import Key, Like, Regex

    place = place_from_last(name)
    if place is not None:
        total = len(newest)
        if place >= total:
            message = f"there is no run {name!r}: the catalogue has {total}"
            raise SourceError(message)
        return newest.values()[place]
    if is_number(name):
        scans = newest.search(Key("start.scan_id") == int(name))
        if len(scans):
            return scans.values().first()
    if not is_uid_prefix(name):
        query: Any = Key("start.uid") == name
    elif _is_sql(newest):
        # Characters that are wildcards of LIKE match any one; they are checked below.
        query = Like("start.uid", re.sub(r"[%_\\]", "_", name) + "%")
    else:
        query = Regex("start.uid", f"^{re.escape(name)}")
    matches = (
        run
        for run in newest.search(query).values()
        if str(run.metadata["start"]["uid"]).startswith(name)
    )
    found = list(islice(matches, 2)) if name else []
    if len(found) != 1:
        raise not_one_run(name, len(found), _newest_starts(newest))
    return found[0]


def _newest_starts(newest: Any) -> list[Start]:
    return [run.metadata["start"] for run in newest.values()[:SHOWN]]

"""Tiled's servers: reached, and searched for runs."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

from tiffin.errors import MissingLibraryError, SettingsError, SourceError, TiffinError
from tiffin.sources.selection import (
    LARGEST,
    Typed,
    is_number,
    may_begin_uid,
    no_such_run,
    place_from_last,
)
from tiffin.sources.tiled_server import TIMEOUT, ServerError, TiledServer, check_timeout
from tiffin.start_document import start_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.sources.selection import Selection

__all__ = ["connect", "find_runs", "with_metadata", "is_sql"]


def connect(
    address: str, *, api_key: str | None = None, timeout: float = TIMEOUT
) -> Any:
    """Open the root of a Tiled server.

    Parameters
    ----------
    address : str
        A key that stands in it, as ``?api_key=…``, counts.
    api_key : str, optional
        Without such a one.
    timeout : float
        How long each reply may take [s].

    Raises
    ------
    MissingLibraryError
        Naming the extra to install.
    SourceError
        If the server does not answer.
    """
    try:
        from httpx import Client, HTTPError
        from tiled.client import from_uri
    except ImportError as error:
        message = f"Tiled needs its client ({error}): pip install 'tiffin[tiled]'"
        raise MissingLibraryError(message) from error
    try:
        url = urlsplit(address)
    except ValueError as error:
        message = f"{address!r} is no address: {error}"
        raise SourceError(message) from error
    if "api_key" in parse_qs(url.query):
        api_key = None  # the client takes no two
    shown = urlunsplit(url._replace(query=""))  # a key is nobody else's
    seconds = check_timeout(timeout)
    try:
        with Client(timeout=seconds + 1, follow_redirects=True) as client:
            server = TiledServer(client, seconds)
            # The client's own first requests have no bound: they are made once before.
            server.ask(lambda: client.get(_api(url)))
            return server.ask(lambda: from_uri(address, api_key=api_key))
    except ServerError as error:
        message = f"{shown}: {error}"
        raise SourceError(message) from error
    except RuntimeError as error:  # what the client raises where a key is wanted
        reason = str(error).splitlines()[0]
        message = f"{shown}: {reason} (--api-key, or TILED_API_KEY)"
        raise SourceError(message) from error
    except (HTTPError, OSError, ValueError) as error:
        message = f"no Tiled server answers at {shown} as it should: {error}"
        raise SourceError(message) from error


def _api(url: SplitResult) -> str:
    """Return where a server tells of itself, from the address of anything on it."""
    base = re.split(r"/api(?=/|$)", url.path, maxsplit=1)[0].rstrip("/")
    return urlunsplit((url.scheme, url.netloc, f"{base}/api/v1/", "", ""))


def find_runs(
    client: Any, selection: Selection, *, timeout: float = TIMEOUT
) -> list[Any]:
    """Find runs in a catalogue.

    Parameters
    ----------
    client : object
        A Tiled container of runs.
    selection : Selection
        With nothing asked for: the last run.
    timeout : float
        How long that may take [s].

    Returns
    -------
    list of runs
        Oldest first, or in the order asked for.

    Raises
    ------
    SourceError
        If there is no such run, or several.
    """
    try:
        server = TiledServer(client.context.http_client, check_timeout(timeout))
        return server.ask(lambda: _found(client, selection))
    except TiffinError:
        raise
    except Exception as error:  # a border: clients and servers raise what they like
        message = f"the Tiled server can't search so: {type(error).__name__}: {error}"
        raise SourceError(message) from error


def with_metadata(client: Any, query: Mapping[str, Any]) -> Any:
    """Narrow a catalogue to the runs whose start documents hold these values.

    Parameters
    ----------
    client : object
        A Tiled container of runs.
    query : mapping
        Key of the start document → value; a `Typed` one may be any of its readings.

    Raises
    ------
    SettingsError
        If a server can't look for such a value.
    """
    for key, value in query.items():
        client = client.search(_holds(key, value))
    return client


def _found(client: Any, selection: Selection) -> list[Any]:
    from tiled.queries import Comparison

    found = with_metadata(client, selection.query)
    if selection.since is not None:
        found = found.search(Comparison("ge", "start.time", selection.since))
    if selection.until is not None:
        found = found.search(Comparison("lt", "start.time", selection.until))
    # A catalogue in Mongo sorts start documents, one in SQL what holds them.
    newest = found.sort(("start.time" if is_sql(client) else "time", -1))
    if selection.runs:  # each once, by however many names
        found_runs = [_find_run(newest, name) for name in selection.runs]
        named = {run.metadata["start"]["uid"]: run for run in found_runs}
        by_time = sorted(
            named, key=lambda uid: -start_time(named[uid].metadata["start"])
        )
        latest = by_time[: selection.limit]
        return [run for uid, run in named.items() if uid in latest]
    limit = selection.limit if selection else 1
    runs = list(newest.values()[:limit])[::-1]
    if not runs:
        raise selection.none_found()
    return runs


def is_sql(client: Any) -> bool:
    """Whether a catalogue is one in SQL, which sorts by what holds start documents."""
    return bool(getattr(client, "is_sql", True))


def _holds(key: str, value: Any) -> Any:
    """Make a query of a key and a value, in any of the readings of what was typed."""
    from tiled.queries import In, Key

    readings = value.readings if isinstance(value, Typed) else (value,)
    for reading in readings:
        if not isinstance(reading, (str, bool, int, float)):
            message = (
                f"{key}={value}: a server looks for text, numbers, true and false; "
                f"lists and the like can be looked for in files only"
            )
            raise SettingsError(message)
    fit = [r for r in readings if isinstance(r, (str, float)) or abs(r) <= LARGEST]
    return Key(f"start.{key}") == fit[0] if len(fit) == 1 else In(f"start.{key}", fit)


def _find_run(newest: Any, name: str) -> Any:
    from tiled.queries import Key

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
    found = list(islice(_beginning(newest, name), 2)) if name else []
    if len(found) != 1:
        raise no_such_run(name, "several" if found else 0)
    return found[0]


def _beginning(newest: Any, name: str) -> Any:
    """Return the runs whose uids begin so, or are so where that is too little."""
    from tiled.queries import Key, Like, Regex

    if not may_begin_uid(name):
        query: Any = Key("start.uid") == name
    elif is_sql(newest):
        # What LIKE takes for a wildcard, or an escape, is looked at here.
        query = Like("start.uid", re.sub(r"[%_\\]", "_", name) + "%")
    else:
        query = Regex("start.uid", f"^{re.escape(name)}")
    for run in newest.search(query).values():
        if str(run.metadata["start"]["uid"]).startswith(name):
            yield run

"""The options that choose runs, and how these are opened."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

from tiffin.errors import SettingsError, did_you_mean
from tiffin.obstacles import is_there, obstacle
from tiffin.settings import SERVER, WHAT, Option
from tiffin.sources import (
    TIMEOUT,
    Documents,
    Selection,
    TiledAddress,
    connect,
    find_runs,
    is_address,
    open_source,
    select_runs,
)


class RunOptions(BaseModel, frozen=True, use_attribute_docstrings=True):
    """Which runs of a source, and how a server is asked for them."""

    run: Annotated[list[str] | None, Option(short="-r", panel=WHAT)] = None
    """The run: -1 (the last), a scan_id, or (the beginning of) a uid; may be
    repeated."""

    query: Annotated[list[str] | None, Option(metavar="KEY=VALUE", panel=WHAT)] = None
    """Runs with this value in their start document, such as plan_name=count; may be
    repeated."""

    since: Annotated[str | None, Option(metavar="TIME", panel=WHAT)] = None
    """Runs that began then or later: 2026-11-22, 2026-11-22T08:30, today, yesterday, or
    how long ago, such as 2d or 6h."""

    until: Annotated[str | None, Option(metavar="TIME", panel=WHAT)] = None
    """Runs that began earlier than this."""

    limit: Annotated[int | None, Option(panel=WHAT)] = None
    """At most this many runs: the newest."""

    timeout: Annotated[float, Option(metavar="SECONDS", panel=SERVER)] = TIMEOUT
    """How long a server's whole reply may take."""

    api_key: Annotated[
        str | None, Option(metavar="KEY", envvar="TILED_API_KEY", panel=SERVER)
    ] = None
    """The key of the Tiled server; a key in its address takes precedence."""

    def selection(self, source: str) -> Selection:
        """Return which runs of a source are chosen; a run's page chooses that run."""
        page = TiledAddress.of(source).run if is_address(source) else ""
        return Selection.of(
            runs=self.run or filter(None, [page]),
            query=self.query or (),
            since=self.since,
            until=self.until,
            limit=self.limit,
        )

    def open(self, source: str) -> Any:
        """Open a source; return the chosen runs."""
        selection, opened = self.selection(source), self.catalog(source)
        if is_address(source):
            return find_runs(opened, selection, timeout=self.timeout)
        return select_runs(opened, selection) if selection else opened

    def catalog(self, source: str) -> Any:
        """Open a source in which runs are looked up: a server, or a file."""
        if is_address(source):
            return _client(source, self.api_key, self.timeout)
        if source.strip() and is_there(source):
            return _documents(source)
        raise SettingsError(_no_source(source))


def _no_source(source: str) -> str:
    """Return why a source can't be opened, and what may be meant."""
    if not source.strip():
        return (
            "the source is empty, perhaps as a variable of the shell is: give a file "
            "of documents, a folder of such files, or the address of a server"
        )
    message = f"{source!r} is neither a file nor an address"
    meant = "/dev/stdin" if source == "-" else meant_address(source)
    if meant:
        return f"{message}: did you mean {meant} ?"
    path = Path(source)
    problem = obstacle(path)
    if problem:
        message += f": {problem}"
    elif is_there(path.parent):
        files = [each.name for each in path.parent.iterdir()]
        hint = did_you_mean(path.name, files, list_all=False)
        if hint:
            return f"{message}{hint}"
        message += f" (in {path.parent.absolute()})"
    else:
        message += f": there is no folder {path.parent}"
    return f"{message}; an address begins with http:// or https://"


def meant_address(source: str) -> str:
    """Return the address that a text is likely to mean, or ``""``."""
    scheme = re.match(r"(?:(https?):/?|\w+://)(?=[^/])", source)
    if scheme:
        return f"{scheme[1] or 'http'}://{source[scheme.end() :]}"
    host = re.fullmatch(r"[\w.-]+(?P<port>:\d+)?(?:/.*)?", source)
    is_local = source.partition("/")[0] in ("localhost", "127.0.0.1")
    return f"http://{source}" if host and (host["port"] or is_local) else ""


@lru_cache(maxsize=4)
def _client(address: str, api_key: str | None, timeout: float) -> Any:
    """Connect to a server, once for runs and for their darks."""
    return connect(address, api_key=api_key, timeout=timeout)


@lru_cache(maxsize=4)
def _documents(path: str) -> Documents:
    """Open a file, once for runs and for their darks: a pipe can be read only once."""
    return open_source(path)

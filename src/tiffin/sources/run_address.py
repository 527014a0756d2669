"""Addresses of runs, by which other processes and machines can open them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tiffin.errors import SourceError
from tiffin.sources.files import CATALOGUE, files_in
from tiffin.sources.selection import documents_of_runs
from tiffin.sources.source_types import Documents, open_source
from tiffin.sources.tiled_address import is_address
from tiffin.sources.tiled_run import Via, is_run
from tiffin.sources.tiled_search import connect
from tiffin.sources.tiled_server import TIMEOUT, TiledServer, UnreachableServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.readers import RootMap

KEY = "TILED_API_KEY"


def address_of(source: Any) -> str | None:
    """Return an address without its key: of a Tiled client, or of an address.

    None of anything else.
    """
    if is_address(source):
        address = source
    elif getattr(getattr(source, "context", None), "http_client", None) is not None:
        address = str(source.uri)
    else:
        return None
    return urlunsplit(urlsplit(address)._replace(query=""))


def key_of(source: Any) -> str | None:
    """Return the key that a Tiled client or an address holds; None if there is none."""
    if is_address(source):
        return next(iter(parse_qs(urlsplit(source).query).get("api_key", ())), None)
    return getattr(getattr(source, "context", None), "api_key", None)


@contextmanager
def key_in_environment(key: str | None) -> Iterator[None]:
    """Set TILED_API_KEY for a while: processes that are started inherit it."""
    before = os.environ.get(KEY)
    if key:
        os.environ[KEY] = key
    try:
        yield
    finally:
        if key and before is None:
            del os.environ[KEY]
        elif key and before is not None:
            os.environ[KEY] = before


def run_documents_of(run: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return start and stop document of a Tiled run; stop is empty if it is open."""
    metadata = run.metadata
    return dict(metadata["start"]), dict(metadata.get("stop") or {})


def document_files(path: Path) -> list[Path]:
    """Return the files of documents in a folder; a pack of databroker is one."""
    if not path.exists():
        message = f"{path} does not exist"
        raise SourceError(message)
    if not path.is_dir() or (path / CATALOGUE).is_file():
        return [path]
    return files_in(path)


def open_run(
    address: str,
    uid: str,
    *,
    via: Via = "auto",
    roots: RootMap | None = None,
    timeout: float = TIMEOUT,
) -> Documents:
    """Return the documents of a run, or raise SourceError if it is not there.

    The address is that of a Tiled catalogue or run, whose key is in the environment
    (TILED_API_KEY); or the path of a file of documents. The keywords are those of
    `open_source`.
    """
    if not is_address(address):
        if not Path(address).exists():
            message = f"{address} is gone: it was there when its runs were listed"
            raise SourceError(message)
        documents = open_source(Path(address))
        return Documents(partial(documents_of_runs, documents, [uid]))
    client = open_catalogue(address, timeout)
    if is_run(client):
        run = client
    else:
        server = TiledServer(client.context.http_client, timeout)
        try:
            run = server.call(lambda: client[uid])
        except KeyError as error:
            message = f"{address} has no run {uid!r}"
            raise SourceError(message) from error
        except SourceError:
            raise
        except Exception as error:  # a border: clients raise what they like
            why = f"{type(error).__name__}: {error}"
            message = f"the Tiled server at {address} does not answer: {why}"
            raise UnreachableServerError(message) from error
    return open_source(run, keep=True, via=via, roots=roots, timeout=timeout)


@lru_cache(maxsize=4)
def open_catalogue(address: str, timeout: float = TIMEOUT) -> Any:
    """Return what corrections find runs in: a client, or the path of documents.

    Connects to a server once.
    """
    if is_address(address):
        return connect(address, timeout=timeout)
    return address

"""Addresses of runs, by which other processes and machines can open them."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tiffin.errors import SourceError
from tiffin.sources.files import CATALOGUE, files_in
from tiffin.sources.selection import documents_of_runs
from tiffin.sources.source_types import ADDRESSES, Documents, open_source
from tiffin.sources.tiled_run import Via, is_run
from tiffin.sources.tiled_search import connect
from tiffin.sources.tiled_server import TIMEOUT, TiledServer

if TYPE_CHECKING:
    from tiffin.readers import RootMap

__all__ = ["address_of", "document_files", "open_catalogue", "open_run"]


def address_of(client: Any) -> str | None:
    """Return the address of a Tiled client, without its key; None of anything else."""
    if getattr(getattr(client, "context", None), "http_client", None) is None:
        return None
    return urlunsplit(urlsplit(str(client.uri))._replace(query=""))


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
    """Return the documents of a run.

    Parameters
    ----------
    address : str
        The address of a Tiled catalogue or run, whose key is in the environment
        (TILED_API_KEY); or the path of a file of documents.
    uid : str
    via, roots, timeout
        As for `open_source`.

    Raises
    ------
    SourceError
        If there is no such run, or no such server.
    """
    if not address.startswith(ADDRESSES):
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
    return open_source(run, via=via, roots=roots, timeout=timeout)


@lru_cache(maxsize=4)
def open_catalogue(address: str, timeout: float = TIMEOUT) -> Any:
    """Return what corrections find runs in: a client, or the path of documents.

    Connects to a server once.
    """
    if address.startswith(ADDRESSES):
        return connect(address, timeout=timeout)
    return address

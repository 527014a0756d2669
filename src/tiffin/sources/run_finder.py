"""Find runs that corrections refer to: by uid, or by metadata and time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError, TiffinError
from tiffin.sources.document_file import TruncatedError
from tiffin.sources.run_address import open_catalogue
from tiffin.sources.selection import documents_of_runs
from tiffin.sources.source_types import Documents, as_source_errors, open_source
from tiffin.sources.tiled_search import distance_from, starts_near
from tiffin.sources.tiled_server import TIMEOUT, TiledServer
from tiffin.start_document import start_time

if TYPE_CHECKING:
    from tiffin.corrections import Nearest
    from tiffin.sources.document_file import Document

    Start = Mapping[str, Any]

MARGIN = 1.0
"""Margin added to the time range when querying databroker v0 or v1 [s]."""


class RunFinder:
    """Finds the runs that corrections ask for.

    A catalogue is anything with ``catalog[uid]`` (a databroker, a Tiled client, a
    mapping), the address of a Tiled server, a callable that takes the uid, a file of
    documents, or a list of documents or of runs. `catalog` is used unless a correction
    names another, and `fallback` (the export's own source) if there is none.
    """

    def __init__(
        self,
        catalog: Any = None,
        *,
        fallback: Iterable[Document] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._catalog = catalog
        self._fallback = fallback
        self._timeout = timeout
        self._starts: list[Start] | None = None

    def __call__(self, catalog: Any, uid: str) -> Iterable[Document]:
        """Return the documents of a run, or raise SourceError if there is none."""
        catalog = self._chosen(catalog, f"run {uid[:8]}")
        if not isinstance(catalog, Mapping):
            documents = self._as_documents(catalog)
            if documents is not None:
                return _one_run(documents, uid)
        get: Callable[[str], Any] = getattr(catalog, "__getitem__", catalog)
        client = getattr(getattr(catalog, "context", None), "http_client", None)
        try:
            if client is None:
                run = get(uid)
            else:
                run = TiledServer(client, self._timeout).call(lambda: get(uid))
        except TiffinError:
            raise
        except (Exception, SystemExit) as error:  # a border: a store's own code
            why = f"{type(error).__name__}: {error}"
            message = f"the catalogue has no run {uid!r}: {why}"
            raise SourceError(message) from error
        return open_source(run, timeout=self._timeout)

    def nearest_runs(
        self, catalog: Any, query: Nearest, light: Start
    ) -> Iterator[Start]:
        """Yield the start documents that a query allows, nearest to a light's first."""
        catalog = self._chosen(catalog, repr(query))
        if catalog is self._fallback:
            searched: Any = self._own_starts()
        else:
            searched = self._as_documents(catalog) or catalog
        prefix = f"a {type(searched).__name__} can't be searched for {query!r}"
        for start in as_source_errors(
            lambda: self._search(searched, query, light), lambda: prefix
        ):
            if query.in_range(start, light) and query.matches(start):
                yield start

    def _search(self, searched: Any, query: Nearest, light: Start) -> Iterable[Start]:
        key = distance_from(light)
        if isinstance(searched, Documents):
            return sorted(_starts_in(searched), key=key)
        if isinstance(searched, list):
            return sorted(searched, key=key)
        if callable(getattr(searched, "search", None)):
            server = TiledServer(searched.context.http_client, self._timeout)
            found = starts_near(searched, query, light)
            return iter(lambda: server.call(lambda: next(found, None)), None)
        headers = searched(**dict(query.metadata), **_time_range(query, light))
        return sorted((header.start for header in headers), key=key)

    def _chosen(self, catalog: Any, wanted: str) -> Any:
        for chosen in (catalog, self._catalog, self._fallback):
            if isinstance(chosen, str):
                return open_catalogue(chosen, self._timeout)
            if chosen is not None:
                return chosen
        message = f"{wanted} can't be looked up: give a catalogue (catalog=)"
        raise SourceError(message)

    def _own_starts(self) -> list[Start]:
        """Return the start documents of the export's own source; read it once."""
        if self._starts is None:
            self._starts = []
            for part in open_source(self._fallback).parts:
                with suppress(SourceError):  # the export reports it
                    self._starts.extend(_starts_in(part))
        return self._starts

    def _as_documents(self, catalog: Any) -> Documents | None:
        """Return a catalogue's documents if it is nothing but documents; else None."""
        if isinstance(catalog, Iterator):
            message = (
                "an iterator can't be a catalogue, which is read more than once: "
                "give a list"
            )
            raise SourceError(message)
        if isinstance(catalog, Mapping) and not hasattr(catalog, "search"):
            catalog = list(catalog.values())
        if isinstance(catalog, (list, tuple)) and not catalog:
            return Documents(lambda: iter(()))
        if isinstance(catalog, (str, os.PathLike, list, tuple, Documents)):
            return open_source(catalog, timeout=self._timeout)
        return None


def _one_run(documents: Documents, uid: str) -> Iterator[Document]:
    """Yield the documents of one run; skip a source that fails without it."""
    found = False
    for part in documents.parts:
        is_here = False
        try:
            for name, doc in documents_of_runs(part, [uid]):
                is_here = is_here or name == "start"
                yield name, doc
        except SourceError:
            if is_here:
                raise
        found = found or is_here
    if not found:
        message = f"there is no run {uid!r} among the documents"
        raise SourceError(message)


def _starts_in(documents: Documents) -> Iterator[Start]:
    """Yield the start documents among others; ignore a file's truncated end."""
    for part in documents.parts:
        with suppress(TruncatedError):
            for name, doc in part:
                if name == "start" and "uid" in doc:
                    yield doc


def _time_range(query: Nearest, light: Start) -> dict[str, float]:
    """Return the time range of a query as keywords of databroker v0 and v1."""
    time = start_time(light)
    within = math.inf if query.within is None else query.within
    times = {
        "since": time - (0 if query.order == "after" else within) - MARGIN,
        "until": time + (0 if query.order == "before" else within) + MARGIN,
    }
    return {key: value for key, value in times.items() if math.isfinite(value)}

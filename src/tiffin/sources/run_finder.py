"""Find runs that corrections refer to: by uid, or by metadata and time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError, TiffinError
from tiffin.sources.nearest_runs import nearest_starts, starts_in
from tiffin.sources.open_source import Documents, open_source
from tiffin.sources.selection import documents_of_runs
from tiffin.sources.tiled_server import TIMEOUT, TiledServer

if TYPE_CHECKING:
    from tiffin.corrections import Nearest

__all__ = ["RunFinder"]

Document = tuple[str, Mapping[str, Any]]


class RunFinder:
    """Finds the runs that corrections ask for.

    A catalogue is anything with ``catalog[uid]`` (a databroker, a Tiled client, a
    mapping), a callable that takes the uid, a file of documents, or a list of documents
    or of runs. `catalog` is used unless a correction names another, and `also` (the
    export's own source) if there is none.
    """

    def __init__(
        self,
        catalog: Any = None,
        *,
        also: Iterable[Document] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._catalog = catalog
        self._also = also
        self._timeout = timeout
        self._starts: list[Mapping[str, Any]] | None = None

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

    def near(
        self, catalog: Any, query: Nearest, light: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the start documents that a query allows, nearest to a light's first."""
        catalog = self._chosen(catalog, repr(query))
        if catalog is self._also:
            catalog = self._starts_of_also()
        else:
            catalog = self._as_documents(catalog) or catalog
        return nearest_starts(catalog, query, light, timeout=self._timeout)

    def _chosen(self, catalog: Any, wanted: str) -> Any:
        for chosen in (catalog, self._catalog, self._also):
            if chosen is not None:
                return chosen
        message = f"{wanted} can't be looked up: give a catalogue (catalog=)"
        raise SourceError(message)

    def _starts_of_also(self) -> list[Mapping[str, Any]]:
        """Return the start documents of the export's own source; read it once."""
        if self._starts is None:
            self._starts = []
            for part in open_source(self._also).parts:
                with suppress(SourceError):  # the export reports it
                    self._starts.extend(starts_in(part))
        return self._starts

    def _as_documents(self, catalog: Any) -> Documents | None:
        """Return a catalogue's documents if it is nothing but documents; else None."""
        if isinstance(catalog, Iterator):
            message = (
                "an iterator can't be a catalogue, which is read more than once: "
                "give a list"
            )
            raise SourceError(message)
        opened = partial(open_source, timeout=self._timeout)
        if isinstance(catalog, (list, tuple)) and not catalog:
            return Documents(lambda: iter(()))
        if isinstance(catalog, (str, os.PathLike, list, tuple, Documents)):
            return opened(catalog)
        if isinstance(catalog, Mapping) and not hasattr(catalog, "search"):
            return Documents(lambda: chain.from_iterable(map(opened, catalog.values())))
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

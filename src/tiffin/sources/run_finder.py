"""Find runs wherever the user keeps them: by uid, or by what they are, as a dark's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError, TiffinError
from tiffin.sources.nearest_runs import starts_in, starts_near
from tiffin.sources.open_source import Documents, open_source
from tiffin.sources.selection import documents_of_runs
from tiffin.sources.tiled_server import TIMEOUT, TiledServer

if TYPE_CHECKING:
    from tiffin.corrections import Nearest

__all__ = ["RunFinder", "run_documents"]

Pair = tuple[str, Mapping[str, Any]]


class RunFinder:
    """Finds the runs that corrections ask for.

    Parameters
    ----------
    catalog : object, optional
        Where to look unless a correction names another catalogue.
    also : iterable of (name, document), optional
        Where to look without any.
    timeout : float
        How long each reply of a Tiled server may take [s].
    """

    def __init__(
        self,
        catalog: Any = None,
        *,
        also: Iterable[Pair] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._timeout = timeout
        self._catalog = catalog
        self._also = also
        self._starts: list[Mapping[str, Any]] | None = None

    def __call__(self, catalog: Any, uid: str) -> Iterable[Pair]:
        """Return the documents of a run; see `run_documents`."""
        place = self._chosen(catalog)
        return run_documents(place, uid, also=self._also, timeout=self._timeout)

    def near(
        self, catalog: Any, query: Nearest, light: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Any]]:
        """Give the start documents that a query reaches from a light's, nearest first.

        Raises
        ------
        SourceError
            If there is no catalogue, or it can't be searched.
        """
        place = self._chosen(catalog)
        if place is None and self._also is None:
            message = f"{query!r} can't be looked up: give a catalogue (catalog=)"
            raise SourceError(message)
        documents = None if place is None else _documents(place, self._timeout)
        if place is None:
            place = self._known_starts()
        found = place if documents is None else documents
        return starts_near(found, query, light, timeout=self._timeout)

    def _known_starts(self) -> list[Mapping[str, Any]]:
        """Give the start documents of what is exported; gone through once for them."""
        if self._starts is None:
            self._starts = []
            for part in open_source(self._also).parts:
                with suppress(SourceError):  # where it breaks is told with its frames
                    self._starts.extend(starts_in(part))
        return self._starts

    def _chosen(self, catalog: Any) -> Any:
        return self._catalog if catalog is None else catalog


def run_documents(
    catalog: Any,
    uid: str,
    *,
    also: Iterable[Pair] | None = None,
    timeout: float = TIMEOUT,
) -> Iterable[Pair]:
    """Return the documents of a run.

    Parameters
    ----------
    catalog : object
        ``catalog[uid]`` is looked up: a databroker, a Tiled client, a mapping. Or a
        callable that is asked for the uid; or a file of documents that holds the run,
        or a list of documents or of runs.
    uid : str
    also : iterable of (name, document), optional
        Where to look without a catalogue.
    timeout : float
        How long each reply of a Tiled server may take [s].

    Raises
    ------
    SourceError
        If there is no such run.
    """
    if catalog is None and also is None:
        message = f"run {uid[:8]} can't be looked up: give a catalogue (catalog=)"
        raise SourceError(message)
    if not isinstance(catalog, Mapping):
        documents = (
            open_source(also) if catalog is None else _documents(catalog, timeout)
        )
        if documents is not None:
            return _one_of(documents, uid)
    try:
        look_up: Callable[[str], Any] = getattr(catalog, "__getitem__", catalog)
        found = _asked(catalog, lambda: look_up(uid), timeout)
    except TiffinError:
        raise
    except (Exception, SystemExit) as error:
        message = f"the catalogue has no run {uid!r}: {type(error).__name__}: {error}"
        raise SourceError(message) from error
    return open_source(found, timeout=timeout)


def _asked(catalog: Any, look_up: Callable[[], Any], timeout: float) -> Any:
    """Look something up, on a server within a time."""
    client = getattr(getattr(catalog, "context", None), "http_client", None)
    return look_up() if client is None else TiledServer(client, timeout).ask(look_up)


def _documents(catalog: Any, timeout: float) -> Documents | None:
    """See a catalogue as documents, where that is all it is; else None."""
    if isinstance(catalog, Iterator):
        message = "a catalogue is asked more than once: give a list, not what runs dry"
        raise SourceError(message)
    if isinstance(catalog, (list, tuple)) and not catalog:
        return Documents(lambda: iter(()))
    if isinstance(catalog, (str, os.PathLike, list, tuple, Documents)):
        return open_source(catalog, timeout=timeout)
    if isinstance(catalog, Mapping) and not hasattr(catalog, "search"):
        one = partial(open_source, timeout=timeout)
        return Documents(lambda: chain.from_iterable(map(one, catalog.values())))
    return None


def _one_of(documents: Documents, uid: str) -> Iterator[Pair]:
    """Give the documents of one run; a source that breaks off without it is passed."""
    started = False
    for part in documents.parts:
        here = False
        try:
            for name, doc in documents_of_runs(part, [uid]):
                here = here or name == "start"
                yield name, doc
        except SourceError:
            if here:
                raise
        started = started or here
    if not started:
        message = f"there is no run {uid!r} among the documents"
        raise SourceError(message)

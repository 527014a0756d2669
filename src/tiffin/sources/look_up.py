"""Find a run by its uid, wherever the user keeps runs: that of a dark frame, say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tiffin.errors import SourceError, TiffinError
from tiffin.sources.kinds import open_source
from tiffin.sources.select import only

__all__ = ["run_documents"]

Pair = tuple[str, Mapping[str, Any]]


def run_documents(
    catalog: Any, uid: str, *, also: Iterable[Pair] | None = None
) -> Iterable[Pair]:
    """Give the documents of a run.

    Parameters
    ----------
    catalog : object
        ``catalog[uid]`` is looked up: a databroker, a Tiled client, a mapping. Or a
        callable that is asked for the uid; or a file of documents that holds the run.
    uid : str
    also : iterable of (name, document), optional
        Where to look without a catalogue.

    Raises
    ------
    SourceError
        If there is no such run.
    """
    if catalog is None and also is None:
        message = f"run {uid[:8]} can't be looked up: give a catalogue (catalog=)"
        raise SourceError(message)
    if catalog is None or isinstance(catalog, (str, os.PathLike)):
        place = open_source(catalog) if catalog is not None else also
        return _checked(only(place or (), [uid]), uid)
    try:
        look_up: Callable[[str], Any] = getattr(catalog, "__getitem__", catalog)
        found = look_up(uid)
    except TiffinError:
        raise
    except Exception as error:
        message = f"the catalogue has no run {uid!r}: {type(error).__name__}: {error}"
        raise SourceError(message) from error
    return open_source(found)


def _checked(pairs: Iterable[Pair], uid: str) -> Iterator[Pair]:
    started = False
    for name, doc in pairs:
        started = started or name == "start"
        yield name, doc
    if not started:
        message = f"there is no run {uid!r} among the documents"
        raise SourceError(message)

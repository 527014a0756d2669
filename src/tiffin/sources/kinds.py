"""Tell what a source is, without importing what made it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError
from tiffin.sources import files, tiled

if TYPE_CHECKING:
    from tiffin.readers import RootMap

__all__ = ["Documents", "open_source"]

Pair = tuple[str, Mapping[str, Any]]

WANTED = (
    "a databroker header, a Tiled run (client[uid]), a list of those, a path to a "
    ".jsonl, .json or .msgpack file of documents or a folder of databroker-pack's, or "
    "an iterable of (name, document)"
)


class Documents:
    """Documents that can be gone through any number of times.

    Parameters
    ----------
    begin : callable
        Gives a new iterator of (name, document) at each call.
    """

    def __init__(self, begin: Callable[[], Iterator[Pair]]) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[Pair]:
        return self._begin()


def open_source(
    source: Any,
    *,
    twice: bool = True,
    via: tiled.Via = "auto",
    roots: RootMap | None = None,
) -> Iterable[Pair]:
    """See a user's source as documents.

    Parameters
    ----------
    source : object
        A databroker header, a Tiled run, a list of those, a path to a file, or an
        iterable of (name, document).
    twice : bool
        Whether it must be possible to go through the documents again. An iterator is
        kept in memory then: it can be gone through only once.
    via : {"auto", "http", "files"}
        How Tiled's external images are read.
    roots : RootMap, optional
        For files recorded on another mount.

    Returns
    -------
    iterable of (name, document)

    Raises
    ------
    SourceError
        Saying what was got and what is wanted.
    """
    if isinstance(source, Documents):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Documents(_file(Path(source)))
    if tiled.is_run(source):
        return Documents(lambda: tiled.documents(source, via=via, roots=roots))
    if callable(getattr(source, "documents", None)):
        return Documents(lambda: iter(source.documents()))
    if isinstance(source, Mapping):
        keys = ", ".join(map(str, list(source)[:3]))
        message = f"a {type(source).__name__} ({keys}, …) is no source; wanted {WANTED}"
        raise SourceError(message)
    if not isinstance(source, Iterable):
        message = f"a {type(source).__name__} is no source; wanted {WANTED}"
        raise SourceError(message)
    return _several(source, twice=twice, via=via, roots=roots)


def _file(path: Path) -> Callable[[], Iterator[Pair]]:
    if not path.is_file() and not files.is_pack(path):
        what = "is a folder without catalog.yml" if path.is_dir() else "does not exist"
        message = f"{os.fspath(path)!r} {what}; wanted {WANTED}"
        raise SourceError(message)
    return lambda: files.documents(path)


def _several(source: Iterable[Any], *, twice: bool, **how: Any) -> Iterable[Pair]:
    """See an iterable as documents, or as sources one after the other."""
    iterator = iter(source)
    first = next(iterator, None)
    one_shot = iterator is source
    if first is None:
        return Documents(lambda: iter(()))
    if not _is_pair(first):
        items = chain([first], iterator)
        opened = [open_source(item, twice=twice, **how) for item in items]
        return Documents(lambda: chain.from_iterable(opened))
    if not one_shot:
        return Documents(lambda: map(_pair, source))
    rest = map(_pair, chain([first], iterator))
    if not twice:
        return rest
    kept = list(rest)
    return Documents(lambda: iter(kept))


def _is_pair(item: Any) -> bool:
    return (
        isinstance(item, (tuple, list))
        and len(item) == 2
        and isinstance(item[0], str)
        and isinstance(item[1], Mapping)
    )


def _pair(item: Any) -> Pair:
    if not _is_pair(item):
        message = f"{type(item).__name__} among documents: wanted (name, document)"
        raise SourceError(message)
    return str(item[0]), item[1]

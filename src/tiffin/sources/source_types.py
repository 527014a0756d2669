"""Recognize what a user gives as a source, without importing what made it."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from tiffin.errors import SettingsError, SourceError, TiffinError
from tiffin.obstacles import may_not_be_read
from tiffin.sources import databroker, files, tiled_run
from tiffin.sources.tiled_address import is_address
from tiffin.sources.tiled_server import TIMEOUT, check_timeout

if TYPE_CHECKING:
    from tiffin.readers import RootMap
    from tiffin.sources.document_file import Document

logger = logging.getLogger("tiffin")

WANTED = (
    "a databroker header, a Tiled run (client[uid]), a list of those, a path to a "
    ".jsonl, .json or .msgpack file of documents (or .gz of one), a folder of such "
    "files or of databroker-pack's, or an iterable of (name, document)"
)


class Documents:
    """Documents that can be iterated over any number of times.

    `begin` returns a new iterator of (name, document) at each call. `parts` are the
    sources that these come from, one after the other. `in_memory` tells whether the
    documents stay in memory anyway.
    """

    def __init__(
        self,
        begin: Callable[[], Iterator[Document]],
        parts: Sequence[Documents] = (),
        *,
        in_memory: bool = False,
    ) -> None:
        self._begin = begin
        self._parts = tuple(parts)
        all_parts = bool(parts) and all(part.in_memory for part in parts)
        self.in_memory: bool = in_memory or all_parts

    @classmethod
    def of(cls, sources: Iterable[Documents]) -> Documents:
        """Chain sources."""
        parts = [part for source in sources for part in source.parts]
        return cls(lambda: chain.from_iterable(parts), parts)

    @property
    def parts(self) -> tuple[Documents, ...]:
        """Each source alone: if one fails, the others can still be read."""
        return self._parts or (self,)

    def __iter__(self) -> Iterator[Document]:
        return self._begin()


def open_source(
    source: Any,
    *,
    twice: bool = True,
    keep: bool = False,
    via: tiled_run.Via = "auto",
    roots: RootMap | None = None,
    timeout: float = TIMEOUT,
) -> Documents:
    """Return the documents of a user's source.

    `WANTED` says what a source can be. What a store's own code raises during iteration
    becomes a SourceError. If the documents are needed `twice`, those of an iterator or
    a pipe are kept in memory. With `keep`, a Tiled server is asked only once for what a
    run has, except for its images; several runs could have too much. `via`, `roots` and
    `timeout` are the settings of an export.
    """
    if via not in get_args(tiled_run.Via):
        choices = ", ".join(map(repr, get_args(tiled_run.Via)))
        message = f"via must be one of {choices}, not {via!r}"
        raise SettingsError(message)
    timeout = check_timeout(timeout)
    if isinstance(source, Documents):
        return source
    if is_address(source):
        message = (
            f"{source!r} is an address, which only the shell takes: give a run, as "
            f"in tiled.client.from_uri({source!r})[uid]"
        )
        raise SourceError(message)
    if isinstance(source, (str, os.PathLike)):
        return _of_path(Path(source), twice=twice)
    if tiled_run.is_run(source):
        begin = partial(
            tiled_run.documents,
            source,
            via=via,
            roots=roots,
            warn=cache(logger.warning),  # once, however often the run is read
            timeout=timeout,
            streams=[] if keep else None,
        )
        return _of_store(source, begin)
    if callable(getattr(source, "documents", None)):
        return _of_store(source, lambda: databroker.documents(source))
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        how: dict[str, Any] = {"via": via, "roots": roots, "timeout": timeout}
        how["keep"] = keep and isinstance(source, list) and len(source) == 1
        return _of_iterable(source, twice, **how)
    keys = ", ".join(map(str, list(source)[:3])) if isinstance(source, Mapping) else ""
    kind = f"{type(source).__name__} ({keys}, …)" if keys else type(source).__name__
    message = f"{kind} is not a source: give {WANTED}"
    if isinstance(source, Mapping) and not isinstance(source, dict):  # a catalogue
        message += "; source[uid] is one of its runs, source.values() are all"
    raise SourceError(message)


def _of_path(path: Path, *, twice: bool) -> Documents:
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return Documents.of(map(Documents, files.parts(path)))
    except SourceError as error:
        return _failing(error)
    except PermissionError as error:
        raise SourceError(may_not_be_read(path)) from error
    except (OSError, ValueError) as error:  # such as a name that is too long
        why = getattr(error, "strerror", None) or str(error)
        why = "does not exist" if isinstance(error, FileNotFoundError) else why
        message = f"{os.fspath(path)!r:.300} {why}: give {WANTED}"
        raise SourceError(message) from error
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):  # such as /dev/stdin
        return _of_iterator(_errors_as_items(files.documents(path)), twice)
    message = f"{os.fspath(path)!r} is not a file: give {WANTED}"
    raise SourceError(message)


def _of_store(source: Any, begin: Callable[[], Iterator[Document]]) -> Documents:
    """Return the documents of a run in a store; an error names the run."""

    def prefix() -> str:
        return f"run {_uid_of(source)}: its store breaks off"

    return Documents(lambda: as_source_errors(begin, prefix))


def _uid_of(source: Any) -> str:
    with suppress(Exception):  # a store's own code, which is failing already
        return str(source.metadata["start"]["uid"])
    with suppress(Exception):
        return str(source.start["uid"])
    return f"of a {type(source).__name__}"


def as_source_errors(
    begin: Callable[[], Iterable[Any]], prefix: Callable[[], str]
) -> Iterator[Any]:
    """Iterate over what foreign code gives; what that raises becomes a SourceError."""
    try:
        yield from begin()
    except TiffinError:
        raise
    except (Exception, SystemExit) as error:  # a border: a store's own code
        message = f"{prefix()}: {type(error).__name__}: {error}"
        raise SourceError(message) from error


def _of_iterable(source: Iterable[Any], twice: bool, **how: Any) -> Documents:
    """Return the documents of an iterable of documents, or of sources."""
    kind = type(source).__name__

    def begin() -> Iterator[Any]:
        return as_source_errors(lambda: source, lambda: f"a {kind} breaks off")

    items = _errors_as_items(begin())
    first = next(items, SourceError("the source holds no run"))
    if isinstance(first, TiffinError):
        return _failing(first)
    items = chain([first], items)
    if not _is_document(first):
        return Documents.of(
            _failing(item)
            if isinstance(item, TiffinError)
            else open_source(item, twice=twice, **how)
            for item in items
        )
    if isinstance(source, Iterator):
        return _of_iterator(items, twice)
    is_list = isinstance(source, (list, tuple))
    return Documents(lambda: map(_checked, begin()), in_memory=is_list)


def _of_iterator(items: Iterator[Any], twice: bool) -> Documents:
    """Return documents that come only once; keep them if they are needed twice."""
    if not twice:
        return Documents(lambda: map(_checked, items))
    beginning, _ = tee(items)  # never advanced, so it keeps what its copies read
    return Documents(lambda: map(_checked, tee(beginning)[1]), in_memory=True)


def _errors_as_items(items: Iterator[Any]) -> Iterator[Any]:
    """Iterate; an error that ends the iteration is its last item."""
    try:
        yield from items
    except TiffinError as error:
        yield error


def _failing(error: TiffinError) -> Documents:
    def begin() -> NoReturn:
        raise error

    return Documents(begin)


def _is_document(item: Any) -> bool:
    return (
        isinstance(item, (tuple, list))
        and len(item) == 2
        and isinstance(item[0], str)
        and isinstance(item[1], Mapping)
    )


def _checked(item: Any) -> Document:
    if isinstance(item, TiffinError):
        raise item
    if not _is_document(item):
        message = f"every item must be (name, document), not {type(item).__name__}"
        raise SourceError(message)
    return str(item[0]), item[1]

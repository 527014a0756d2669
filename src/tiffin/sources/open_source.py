"""Return what a source is, without importing what made it."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from tiffin.errors import SettingsError, SourceError, TiffinError
from tiffin.sources import databroker, files
from tiffin.sources import tiled_run as tiled
from tiffin.sources.tiled_server import TIMEOUT, check_timeout

if TYPE_CHECKING:
    from tiffin.readers import RootMap

__all__ = ["ADDRESSES", "Documents", "guarded", "open_source"]

Pair = tuple[str, Mapping[str, Any]]

WANTED = (
    "a databroker header, a Tiled run (client[uid]), a list of those, a path to a "
    ".jsonl, .json or .msgpack file of documents (or .gz of one), a folder of such "
    "files or of databroker-pack's, or an iterable of (name, document)"
)

LONGEST_PATH = 300
"""How much of what can't be a path a message tells."""

ADDRESSES = ("http://", "https://")
"""What a server's address begins with."""


class Documents:
    """Documents that can be gone through any number of times.

    Parameters
    ----------
    begin : callable
        Gives a new iterator of (name, document) at each call.
    parts : sequence of Documents, optional
        The sources that these come from, one after the other; itself alone, if not.
    held : bool
        Whether the documents stand in memory anyway, with what is in them.
    """

    def __init__(
        self,
        begin: Callable[[], Iterator[Pair]],
        parts: Sequence[Documents] = (),
        *,
        held: bool = False,
    ) -> None:
        self._begin = begin
        self._parts = tuple(parts)
        self.held: bool = held or (bool(parts) and all(p.held for p in parts))

    @classmethod
    def of(cls, sources: Iterable[Documents]) -> Documents:
        """Put sources one after the other.

        Examples
        --------
        >>> one = Documents(lambda: iter([("start", {"uid": "a"})]))
        >>> both = Documents.of([one, one])
        >>> len(list(both)), len(both.parts), one.parts == (one,)
        (2, 2, True)
        """
        parts = [part for source in sources for part in source.parts]
        return cls(lambda: chain.from_iterable(parts), parts)

    @property
    def parts(self) -> tuple[Documents, ...]:
        """Each source alone: where one breaks off, the others need not."""
        return self._parts or (self,)

    def __iter__(self) -> Iterator[Pair]:
        return self._begin()


def open_source(
    source: Any,
    *,
    twice: bool = True,
    via: tiled.Via = "auto",
    roots: RootMap | None = None,
    timeout: float = TIMEOUT,
) -> Documents:
    """See a user's source as documents.

    Parameters
    ----------
    source : object
        A databroker header, a Tiled run, a list of those, a path to a file, or an
        iterable of (name, document).
    twice : bool
        Whether it must be possible to go through the documents again. Those of an
        iterator or a pipe are kept in memory then: they come only once.
    via : {"auto", "http", "files"}
        How Tiled's external images are read.
    roots : RootMap, optional
        For files recorded on another mount.
    timeout : float
        How long each reply of a Tiled server may take [s].

    Returns
    -------
    Documents
        Of (name, document). What fails while they are gone through is a SourceError,
        too, whatever a store's own code raises.

    Raises
    ------
    SettingsError
        If there is no such `via` or `timeout`.
    SourceError
        Saying what was got and what is wanted.
    """
    if via not in get_args(tiled.Via):
        choices = ", ".join(map(repr, get_args(tiled.Via)))
        message = f"via must be one of {choices}, not {via!r}"
        raise SettingsError(message)
    timeout = check_timeout(timeout)
    if isinstance(source, Documents):
        return source
    if isinstance(source, str) and source.startswith(ADDRESSES):
        message = (
            f"{source!r} is an address, which the shell takes: give a run, as "
            f"in tiled.client.from_uri({source!r})[uid]"
        )
        raise SourceError(message)
    if isinstance(source, (str, os.PathLike)):
        return _file(Path(source), twice=twice)
    if tiled.is_run(source):
        said: set[str] = set()  # warnings, each once, however often it is gone through
        return _stored(
            source,
            lambda: tiled.documents(
                source, via=via, roots=roots, said=said, timeout=timeout
            ),
        )
    if callable(getattr(source, "documents", None)):
        return _stored(source, lambda: databroker.documents(source))
    if isinstance(source, Mapping):
        keys = ", ".join(map(str, list(source)[:3]))
        message = f"a {type(source).__name__} ({keys}, …) is no source; wanted {WANTED}"
        if not isinstance(source, dict):  # a catalogue, or what a search in it found
            message += "; source[uid] is one of its runs, source.values() are all"
        raise SourceError(message)
    if not isinstance(source, Iterable):
        message = f"a {type(source).__name__} is no source; wanted {WANTED}"
        raise SourceError(message)
    return _several(source, twice=twice, via=via, roots=roots, timeout=timeout)


def _file(path: Path, *, twice: bool) -> Documents:
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return Documents.of(map(Documents, files.parts(path)))
    except SourceError as error:
        return _failing(error)
    except (OSError, ValueError) as error:  # such as a name with a NUL, or too long
        why = getattr(error, "strerror", None) or str(error)
        why = "does not exist" if isinstance(error, FileNotFoundError) else why
        name = repr(os.fspath(path))
        name = name if len(name) <= LONGEST_PATH else f"{name[:LONGEST_PATH]}…"
        message = f"{name} {why}; wanted {WANTED}"
        raise SourceError(message) from error
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):  # as /dev/stdin is
        return _once(files.documents(path), twice=twice)
    message = f"{os.fspath(path)!r} is no file; wanted {WANTED}"
    raise SourceError(message)


def _stored(source: Any, begin: Callable[[], Iterator[Pair]]) -> Documents:
    """See a run in a store as documents; what its documents raise names the run."""

    def where() -> str:
        return f"run {_uid_of(source)}: its store breaks off"

    return Documents(lambda: guarded(begin, where))


def _uid_of(source: Any) -> str:
    with suppress(Exception):  # foreign, and broken: a name is all that is wanted
        return str(source.metadata["start"]["uid"])
    with suppress(Exception):
        return str(source.start["uid"])
    return f"of a {type(source).__name__}"


def guarded(
    begin: Callable[[], Iterable[Any]], where: Callable[[], str]
) -> Iterator[Any]:
    """Go through foreign things; whatever their code raises becomes a SourceError.

    Parameters
    ----------
    begin : callable
        Gives them.
    where : callable
        Gives the beginning of the message.

    Raises
    ------
    SourceError
    """
    try:
        yield from begin()
    except TiffinError:
        raise
    except (Exception, SystemExit) as error:  # a border: a store's own code
        message = f"{where()}: {type(error).__name__}: {error}"
        raise SourceError(message) from error


def _several(source: Iterable[Any], *, twice: bool, **how: Any) -> Documents:
    """See an iterable as documents, or as sources one after the other."""
    kind = type(source).__name__

    def begin() -> Iterator[Any]:
        return guarded(lambda: source, lambda: f"a {kind} breaks off")

    items = begin()
    try:
        first = next(items)
    except StopIteration:
        return _failing(SourceError("the source holds no run"))
    except SourceError as error:
        return _failing(error)
    items = chain([first], items)
    if not _is_pair(first):
        return _each(items, twice=twice, **how)
    if isinstance(source, Iterator):
        return _once(map(_pair, items), twice=twice)
    held = isinstance(source, (list, tuple))
    return Documents(lambda: map(_pair, begin()), held=held)


def _each(items: Iterator[Any], *, twice: bool, **how: Any) -> Documents:
    """Open sources one by one; where their list breaks off, that is the last one."""
    opened: list[Documents] = []
    while True:
        try:
            item = next(items)
        except StopIteration:
            return Documents.of(opened)
        except SourceError as error:
            return Documents.of([*opened, _failing(error)])
        opened.append(open_source(item, twice=twice, **how))


def _failing(error: SourceError) -> Documents:
    def begin() -> NoReturn:
        raise error

    return Documents(begin)


def _once(pairs: Iterator[Pair], *, twice: bool) -> Documents:
    """See what comes only once as documents, kept in memory if wanted twice."""
    if not twice:
        return Documents(lambda: pairs)
    memory = _Memory(pairs)
    return Documents(lambda: iter(memory), held=True)


class _Memory:
    """Keeps what comes only once, and how it ended, as it is gone through."""

    def __init__(self, pairs: Iterator[Pair]) -> None:
        self._pairs = pairs
        self._kept: list[Pair] = []
        self._error: TiffinError | None = None

    def __iter__(self) -> Iterator[Pair]:
        for k in itertools.count():
            if k == len(self._kept) and not self._take():
                break
            yield self._kept[k]
        if self._error is not None:
            raise self._error

    def _take(self) -> bool:
        if self._error is not None:
            return False
        try:
            self._kept.append(next(self._pairs))
        except StopIteration:
            return False
        except TiffinError as error:
            self._error = error
            return False
        return True


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

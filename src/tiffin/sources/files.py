"""Files of documents: JSON, msgpack, and folders that databroker-pack made."""

from __future__ import annotations

import logging
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingLibraryError, ReadError, SourceError
from tiffin.readers import RootMap
from tiffin.sources.document_file import (
    ACCEPTED,
    SUFFIXES,
    DocumentFile,
    TruncatedError,
)
from tiffin.sources.json_file import JsonFile
from tiffin.sources.msgpack_file import is_msgpack, msgpack_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Pair = tuple[str, Mapping[str, Any]]

__all__ = ["TruncatedError", "documents", "is_pack", "parts"]

logger = logging.getLogger("tiffin")

CATALOGUE = "catalog.yml"
"""What databroker-pack calls the file that describes a folder of its."""


def documents(path: Path, *, said: set[str] | None = None) -> Iterator[Pair]:
    """Go through the documents of a file.

    Parameters
    ----------
    path : pathlib.Path
        JSON: documents are ``{"name": …, "doc": …}`` or ``["name", {…}]``, one a line,
        one after the other, or in an array. Or msgpack, as suitcase-msgpack writes it.
        Either may be gzipped.
    said : set of str, optional
        Warnings that have been given, and are not given again.

    Raises
    ------
    SourceError
        With the line's number. What a file that ends within a document lacks may have
        been a frame: it is an error, behind all that can be read. Where all runs have
        had their stop documents, nothing of them is missing: that is only said.
    """
    going: dict[str, bool] = {}
    empty = True
    try:
        for found, where in _found_in(path):
            name, doc = _pair(found, path, where)
            empty = False
            if name == "start":
                going[str(doc.get("uid"))] = True
            elif name == "stop":
                going[str(doc.get("run_start"))] = False
            yield name, doc
    except TruncatedError as error:
        if any(going.values()) or not going:
            message = f"{error}: what is torn may have been a frame"
            raise TruncatedError(message) from None
        _warn(f"{error}, behind the end of its runs", set() if said is None else said)
    if empty:
        message = f"{path} holds no run; wanted {ACCEPTED}"
        raise SourceError(message)


def parts(path: Path) -> list[Callable[[], Iterator[Pair]]]:
    """Return what goes through each file: of a packed folder, or the file that it is.

    Parameters
    ----------
    path : pathlib.Path
        A file, a folder as databroker-pack writes it, or one of such files.

    Raises
    ------
    SourceError
        If a folder does not say what is in it.
    """
    said: set[str] = set()
    if not path.is_dir():
        return [partial(documents, path, said=said)]
    if not is_pack(path):
        return [partial(documents, file, said=said) for file in files_in(path)]
    folder = path.absolute()  # a relative one would end in no file URI
    packed = [(file, roots) for files, roots in _catalogue(folder) for file in files]
    if not packed:
        message = f"{folder / CATALOGUE} names no file of documents"
        raise SourceError(message)
    return [partial(_relocated, file, roots, said) for file, roots in packed]


def files_in(folder: Path) -> list[Path]:
    """Return the files of documents in a folder, by name.

    Raises
    ------
    SourceError
        If there is none.
    """
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.name.lower().removesuffix(".gz").endswith(SUFFIXES)
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not found:
        message = (
            f"{folder} is a folder without catalog.yml, and without a file of "
            f"documents; wanted {ACCEPTED}"
        )
        raise SourceError(message)
    return found


def is_pack(path: Path) -> bool:
    """Whether a folder was written by databroker-pack."""
    return (path / CATALOGUE).is_file()


def _pair(found: Any, path: Path, where: str) -> Pair:
    name, doc = None, None
    if isinstance(found, dict) and "name" in found and "doc" in found:
        name, doc = found["name"], found["doc"]
    elif isinstance(found, (list, tuple)) and len(found) == 2:
        name, doc = found
    if not isinstance(name, str) or not isinstance(doc, dict):
        message = (
            f'{path}, {where}: no document; wanted {{"name": …, "doc": {{…}}}} or '
            f'["name", {{…}}]'
        )
        raise SourceError(message)
    return name, doc


def _found_in(path: Path) -> Iterator[tuple[Any, str]]:
    """Return what stands in a file, with its place."""
    try:
        with DocumentFile(path) as contents:
            if contents.kind is not None:
                message = f"{path} is {contents.kind}; wanted {ACCEPTED}"
                raise SourceError(message)
            read = msgpack_documents if is_msgpack(contents) else JsonFile
            yield from read(contents)
            if contents.torn:
                message = f"{path} breaks off: its gzip data have no end"
                raise TruncatedError(message)
    except (OSError, zlib.error) as error:
        message = f"{path} can't be read: {error}"
        raise SourceError(message) from error


def _catalogue(folder: Path) -> list[tuple[list[Path], RootMap]]:
    """Read where a pack's documents are, and its external files."""
    try:
        import yaml
    except ImportError as error:
        message = f"a pack needs PyYAML ({error}): pip install 'tiffin[files]'"
        raise MissingLibraryError(message) from error
    try:
        catalogue = yaml.safe_load((folder / CATALOGUE).read_text(encoding="utf-8"))
        return [_parts(folder, part) for part in catalogue["sources"].values()]
    except (
        *(OSError, yaml.YAMLError, RecursionError, ValueError),
        *(LookupError, TypeError, AttributeError),
    ) as error:
        what = f"{type(error).__name__}: {error}"
        message = f"{folder / CATALOGUE} is no catalogue of a pack ({what})"
        raise SourceError(message) from error


def _parts(folder: Path, source: dict[str, Any]) -> tuple[list[Path], RootMap]:
    arguments = source.get("args") or {}
    # A pack may have been moved: its relative paths hold, the others may not.
    relative = (source.get("metadata") or {}).get("relative_paths")
    patterns = relative or arguments["paths"]
    if not isinstance(patterns, list) or not all(type(p) is str for p in patterns):
        message = "its paths are no list of texts"
        raise ValueError(message)
    roots = {
        str(old): str(folder / new)
        for old, new in (arguments.get("root_map") or {}).items()
    }
    return [path for each in patterns for path in _found(folder, each)], RootMap(roots)


def _found(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern; itself where there are none, to be missed."""
    path = Path(pattern)
    if path.is_absolute():  # pathlib's glob wants none
        path, pattern = Path(path.anchor), str(path.relative_to(path.anchor))
        return sorted(path.glob(pattern)) or [path / pattern]
    return sorted(folder.glob(pattern)) or [folder / pattern]


def _relocated(path: Path, roots: RootMap, said: set[str]) -> Iterator[Pair]:
    """Go through a file of a pack, and say where the files of its resources are."""
    if path.exists() and not path.is_file():  # opening a pipe may wait for ever
        message = f"{path} is named by {CATALOGUE}, and is no regular file"
        raise SourceError(message)
    for name, doc in documents(path, said=said):
        if name == "resource" or (name == "stream_resource" and "root" in doc):
            yield name, {**doc, "root": str(roots.path(str(doc.get("root", ""))))}
        elif name == "stream_resource" and "uri" in doc:
            yield name, {**doc, "uri": _relocated_uri(str(doc["uri"]), roots)}
        else:
            yield name, doc


def _relocated_uri(uri: str, roots: RootMap) -> str:
    try:
        path = roots.locate(uri)
    except ReadError:  # of no file
        return uri
    slash = "/" if uri.endswith("/") else ""  # a template goes on where the URI ends
    return f"file://localhost{path}{slash}" if path.is_absolute() else uri


def _warn(message: str, said: set[str]) -> None:
    if message not in said:
        said.add(message)
        logger.warning("%s", message)

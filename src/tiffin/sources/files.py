"""Files of documents: JSON, msgpack, and folders that databroker-pack made."""

from __future__ import annotations

import logging
import zlib
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import ReadError, SourceError, optional_import
from tiffin.obstacles import may_not_be_read
from tiffin.readers import RootMap
from tiffin.sources.document_file import (
    ACCEPTED,
    SUFFIXES,
    DocumentFile,
    TruncatedError,
)
from tiffin.sources.json_file import JsonReader
from tiffin.sources.msgpack_file import is_msgpack, msgpack_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiffin.sources.document_file import Document

logger = logging.getLogger("tiffin")

CATALOGUE = "catalog.yml"
"""The file in which databroker-pack describes a folder."""


def documents(
    path: Path,
    *,
    warn: Callable[[str], object] = logger.warning,
    wait_for_more: Callable[[], bool] | None = None,
) -> Iterator[Document]:
    """Yield the documents of a file.

    In JSON, a document is ``{"name": …, "doc": …}`` or ``["name", {…}]``; in msgpack it
    is as suitcase-msgpack writes it. If the file ends within a document, that may have
    been a frame: it is an error, after all documents that can be read. If all runs
    have their stop documents, nothing of them is missing: it is a warning.

    Of a file that is still being written, documents are yielded as they come: at the
    end of what is there, `wait_for_more` waits, and returns whether to look for more.
    """
    unfinished: dict[str, bool] = {}
    name = None
    try:
        for item, where in _items(path, wait_for_more):
            name, doc = _document(item, path, where)
            if name == "start":
                unfinished[str(doc.get("uid"))] = True
            elif name == "stop":
                unfinished[str(doc.get("run_start"))] = False
            yield name, doc
    except TruncatedError as error:
        if any(unfinished.values()) or not unfinished:
            message = f"{error}: what is missing may have been a frame"
            raise TruncatedError(message) from None
        warn(f"{error}, after the end of its runs")
    if name is None:
        message = f"{path} holds no run; expected {ACCEPTED}"
        raise SourceError(message)


def parts(path: Path) -> list[Callable[[], Iterator[Document]]]:
    """Return a function for each file (of a folder) that yields its documents."""
    warn = cache(logger.warning)  # once, however often the files are read
    if not path.is_dir():
        return [partial(documents, path, warn=warn)]
    if not (path / CATALOGUE).is_file():
        return [partial(documents, file, warn=warn) for file in files_in(path)]
    folder = path.absolute()  # a file URI needs one
    packed = [(file, roots) for files, roots in _catalogue(folder) for file in files]
    if not packed:
        message = f"{folder / CATALOGUE} names no file of documents"
        raise SourceError(message)
    return [partial(_relocated, file, roots, warn) for file, roots in packed]


def is_document_name(name: str) -> bool:
    """Return whether a file of documents has such a name."""
    return not name.startswith(".") and name.lower().removesuffix(".gz").endswith(
        SUFFIXES
    )


def files_in(folder: Path) -> list[Path]:
    """Return the files of documents in a folder, or raise SourceError if none is."""
    files = [
        path
        for path in sorted(folder.iterdir())
        if is_document_name(path.name) and path.is_file()
    ]
    if not files:
        message = (
            f"{folder} is a folder without {CATALOGUE}, and without a file of "
            f"documents; expected {ACCEPTED}"
        )
        raise SourceError(message)
    return files


def _items(
    path: Path, wait_for_more: Callable[[], bool] | None
) -> Iterator[tuple[Any, str]]:
    """Yield the values in a file, each with its place."""
    try:
        with DocumentFile(path, wait_for_more) as file:
            if file.other_format is not None:
                message = (
                    f"{path} is {file.other_format}, which holds no run: give the "
                    f"address of a Tiled server, or a file of documents: {ACCEPTED}"
                )
                raise SourceError(message)
            yield from (msgpack_documents if is_msgpack(file) else JsonReader)(file)
            if file.truncated:
                message = f"{path} breaks off: the end of its gzip data is missing"
                raise TruncatedError(message)
    except PermissionError as error:
        raise SourceError(may_not_be_read(path)) from error
    except (OSError, zlib.error) as error:
        message = f"{path} can't be read: {error}"
        raise SourceError(message) from error


def _document(item: Any, path: Path, where: str) -> Document:
    name, doc = None, None
    if isinstance(item, dict) and "name" in item and "doc" in item:
        name, doc = item["name"], item["doc"]
    elif isinstance(item, (list, tuple)) and len(item) == 2:
        name, doc = item
    if not isinstance(name, str) or not isinstance(doc, dict):
        message = (
            f'{path}, {where}: not a document of Bluesky, which is {{"name": …, "doc": '
            f'{{…}}}} or ["name", {{…}}]. Is this the file of a run, as suitcase or '
            f"databroker-pack write it?"
        )
        raise SourceError(message)
    return name, doc


def _catalogue(folder: Path) -> list[tuple[list[Path], RootMap]]:
    """Return a pack's files of documents, and where their external files are."""
    with optional_import("a pack needs PyYAML", extra="files"):
        import yaml
    try:
        catalogue = yaml.safe_load((folder / CATALOGUE).read_text(encoding="utf-8"))
        return [_packed(folder, source) for source in catalogue["sources"].values()]
    except (
        *(OSError, yaml.YAMLError, RecursionError, ValueError),
        *(LookupError, TypeError, AttributeError),
    ) as error:
        what = f"{type(error).__name__}: {error}"
        message = f"{folder / CATALOGUE} is not a catalogue of databroker-pack ({what})"
        raise SourceError(message) from error


def _packed(folder: Path, source: dict[str, Any]) -> tuple[list[Path], RootMap]:
    arguments = source.get("args") or {}
    # If a pack was moved, only its relative paths are right.
    relative = (source.get("metadata") or {}).get("relative_paths")
    patterns = relative or arguments["paths"]
    if not isinstance(patterns, list) or not all(type(p) is str for p in patterns):
        message = "its paths must be a list of text"
        raise ValueError(message)
    root_map = arguments.get("root_map") or {}
    roots = {str(old): str(folder / new) for old, new in root_map.items()}
    return [path for each in patterns for path in _matches(folder, each)], RootMap(
        roots
    )


def _matches(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern; or the pattern, so that reading it fails."""
    path = Path(pattern)
    if path.is_absolute():  # pathlib's glob takes relative ones only
        folder, pattern = Path(path.anchor), str(path.relative_to(path.anchor))
    return sorted(folder.glob(pattern)) or [folder / pattern]


def _relocated(
    path: Path, roots: RootMap, warn: Callable[[str], object]
) -> Iterator[Document]:
    """Yield the documents of a pack's file, with the paths of their external files."""
    if path.exists() and not path.is_file():  # a pipe may block for ever
        message = f"{path} is named by {CATALOGUE}, but is not a regular file"
        raise SourceError(message)
    for name, doc in documents(path, warn=warn):
        if name == "resource" or (name == "stream_resource" and "root" in doc):
            yield name, {**doc, "root": str(roots.path(str(doc.get("root", ""))))}
        elif name == "stream_resource" and "uri" in doc:
            yield name, {**doc, "uri": _relocated_uri(str(doc["uri"]), roots)}
        else:
            yield name, doc


def _relocated_uri(uri: str, roots: RootMap) -> str:
    try:
        path = roots.locate(uri)
    except ReadError:  # not a file's
        return uri
    slash = "/" if uri.endswith("/") else ""  # a folder's, to which a template is added
    return f"file://localhost{path}{slash}" if path.is_absolute() else uri

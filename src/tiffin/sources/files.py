"""Files of documents: JSON, msgpack, and folders that databroker-pack made."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingLibraryError, ReadError, SourceError
from tiffin.readers import RootMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Pair = tuple[str, Mapping[str, Any]]

__all__ = ["TornError", "documents", "is_pack", "parts"]

logger = logging.getLogger("tiffin")

CATALOGUE = "catalog.yml"
"""What databroker-pack calls the file that describes a folder of its."""


class TornError(SourceError):
    """A file that ends within a document."""


def documents(path: Path, *, said: set[str] | None = None) -> Iterator[Pair]:
    """Go through the documents of a file.

    Parameters
    ----------
    path : pathlib.Path
        ``.jsonl``: a line is ``{"name": …, "doc": …}`` or ``["name", {…}]``; a JSON
        array with one of these a line, as bluesky's JSONWriter writes it, is read as
        well. ``.msgpack``: as suitcase-msgpack writes it.
    said : set of str, optional
        Warnings that have been given, and are not given again.

    Raises
    ------
    SourceError
        With the line's number. What a file that ends within a document lacks may have
        been a frame: it is an error, behind all that can be read. Where all runs have
        had their stop documents, nothing of them is missing: that is only said.
    """
    read = _msgpack if path.suffix == ".msgpack" else _json_lines
    going: dict[str, bool] = {}
    empty = True
    try:
        for name, doc in read(path):
            empty = False
            if name == "start":
                going[str(doc.get("uid"))] = True
            elif name == "stop":
                going[str(doc.get("run_start"))] = False
            yield name, doc
    except TornError as error:
        if any(going.values()) or not going:
            message = f"{error}: what is torn may have been a frame"
            raise TornError(message) from None
        _warn(f"{error}, behind the end of its runs", set() if said is None else said)
    if empty:
        message = f"{path} holds no run"
        raise SourceError(message)


def parts(path: Path) -> list[Callable[[], Iterator[Pair]]]:
    """Give what goes through each file: of a packed folder, or the file that it is.

    Parameters
    ----------
    path : pathlib.Path
        A file, or a folder as databroker-pack writes it.

    Raises
    ------
    SourceError
        If a folder does not say what is in it.
    """
    said: set[str] = set()
    if not path.is_dir():
        return [partial(documents, path, said=said)]
    folder = path.absolute()  # a relative one would end in no file URI
    packed = [(file, roots) for files, roots in _catalogue(folder) for file in files]
    if not packed:
        message = f"{folder / CATALOGUE} names no file of documents"
        raise SourceError(message)
    return [partial(_relocated, file, roots, said) for file, roots in packed]


def is_pack(path: Path) -> bool:
    """Whether a folder was written by databroker-pack."""
    return (path / CATALOGUE).is_file()


def _json_lines(path: Path) -> Iterator[Pair]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if len(line) < 4 and _is_bracket(line):
                    continue
                yield _document(line, number, path)
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} can't be read: {error}"
        raise SourceError(message) from error


def _is_bracket(line: str) -> bool:
    """Whether a line holds nothing, or begins or ends an array; not half a pair."""
    inner = line.strip()
    return inner in ("", "]") or (inner == "[" and line.endswith("\n"))


def _document(line: str, number: int, path: Path) -> Pair:
    try:
        # A line of a JSON array ends in a comma; most lines are of no array.
        whole = line.endswith(("}\n", "]\n"))
        found = json.loads(line if whole else line.rstrip().removesuffix(","))
    except (ValueError, RecursionError) as error:
        if not line.endswith("\n"):
            message = f"{path} breaks off in line {number}"
            raise TornError(message) from None
        message = f"{path}, line {number}: no JSON ({error})"
        raise SourceError(message) from None
    return _pair(found, path, f"line {number}")


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


def _msgpack(path: Path) -> Iterator[Pair]:
    try:
        import msgpack
        import msgpack_numpy
    except ImportError as error:
        message = f"msgpack needs its libraries ({error}): pip install 'tiffin[files]'"
        raise MissingLibraryError(message) from error
    try:
        with path.open("rb") as file:
            unpacker = msgpack.Unpacker(
                file, object_hook=msgpack_numpy.decode, max_buffer_size=0
            )
            number = end = 0
            for number, found in enumerate(unpacker, 1):
                end = unpacker.tell()  # of what is whole; later, what is torn counts
                yield _pair(found, path, f"document {number}")
            if end < file.tell():
                message = f"{path} breaks off in document {number + 1}"
                raise TornError(message)
    except SourceError:  # which is a ValueError, too
        raise
    except (OSError, ValueError, msgpack.exceptions.UnpackException) as error:
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
    patterns = [str(path) for path in relative or arguments["paths"]]
    roots = {
        str(old): str(folder / new)
        for old, new in (arguments.get("root_map") or {}).items()
    }
    return [path for each in patterns for path in _found(folder, each)], RootMap(roots)


def _found(folder: Path, pattern: str) -> list[Path]:
    """Give the files of a pattern; itself where there are none, to be missed."""
    path = Path(pattern)
    if path.is_absolute():  # pathlib's glob wants none
        path, pattern = Path(path.anchor), str(path.relative_to(path.anchor))
        return sorted(path.glob(pattern)) or [path / pattern]
    return sorted(folder.glob(pattern)) or [folder / pattern]


def _relocated(path: Path, roots: RootMap, said: set[str]) -> Iterator[Pair]:
    """Go through a file of a pack, and say where the files of its resources are."""
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

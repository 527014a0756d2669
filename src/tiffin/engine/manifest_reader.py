"""Read manifests, which anybody may have changed.

Invalid lines are refused with their number and the reason; the others are used. Unknown
kinds of lines are ignored, because a later version may have written them.

Version 2 has a line for each file, with its frames; version 1 had one for each frame.
"""

from __future__ import annotations

import json
import os
import reprlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.folders import Folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

FOLDER = ".tiffin"
"""The folder at the root that holds the manifests."""

LONGEST = 2**22
"""The longest line that is read [bytes]."""

LONGEST_PATH = 4096
"""Paths must be shorter than this [characters]."""

LARGEST = 2**63
"""Files must be smaller than this [bytes]."""

_FILE: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "status": (str,),
    "bytes": (int, type(None)),
    "checksum": (str, type(None)),
    "error": (str, type(None)),
    "frames": (list,),
}
_SIDECAR = {key: _FILE[key] for key in ("path", "bytes", "checksum")}
_SETTINGS: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "run": (str, type(None)),
    "settings": (dict,),
}


class RefusedLine(NamedTuple):
    """An invalid line: its number, and what is wrong."""

    number: int
    reason: str


@dataclass(slots=True)
class ManifestFile:
    """The content of a manifest.

    Attributes
    ----------
    run : str
        The uid of the run.
    settings : mapping
        Id → settings of an export.
    files : mapping
        Path relative to the root → the last line with status ``written``. Its
        ``frames`` are lists of seq_num, index in the event, and page; a sidecar has
        none.
    failed : list of mapping
        The lines of frames that failed or were skipped.
    refused : list of RefusedLine
        The invalid lines.
    """

    run: str
    settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: list[Mapping[str, Any]] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line, or raise a ValueError with the reason."""
        kind = line.get("kind")
        if kind == "settings":
            _check_types(line, _SETTINGS)
            self.settings[line["id"]] = line["settings"]
            self.run = line.get("run") or self.run
        elif kind == "sidecar":
            _check_types(line, _SIDECAR)
            _check_written(line)
            self.files[line["path"]] = {**line, "frames": []}
        elif kind in ("file", "frame"):
            line = _as_version_2(line)
            _check_types(line, _FILE)
            _check_frames(line["frames"])
            if line["status"] == "written":
                _check_written(line)
                sidecar = _sidecar_of(line)
                self.files[line["path"]] = self._with_earlier_pages(line)
                if sidecar is not None:
                    self.files[sidecar["path"]] = sidecar
            else:
                if line.get("superseded") is True:
                    gone = self.files.pop(line["path"], {}).get("sidecar")
                    if gone is not None:
                        self.files.pop(gone["path"], None)
                self.failed.append(line)

    def _with_earlier_pages(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the line of a stack with all pages so far: it has a line a page."""
        before = self.files.get(line["path"])
        first = line["frames"][0][2]
        if (
            not first
            or before is None
            or before.get("checksum") != line.get("checksum")
        ):
            return line
        before["frames"].extend(line["frames"])
        return before


def read_manifest(path: Path) -> ManifestFile:
    """Read ``ROOT/.tiffin/NAME.jsonl``; ignore an incomplete last line.

    An OSError is raised if it can't be read, is not a regular file, or if the file or
    its folder is a link.
    """
    found = ManifestFile(path.stem)
    folders = Folders(os.fspath(path.parent.parent))
    descriptor = folders.open_file(f"{path.parent.name}/{path.name}")
    with open(descriptor, "rb") as file:  # noqa: PTH123 (it is open already)
        for number, text in lines_of(file, LONGEST):
            try:
                found.add(_parsed(text))
            except ValueError as error:
                found.refused.append(RefusedLine(number, str(error)))
    return found


def lines_of(file: BinaryIO, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, from 1.

    A line with more than `longest` bytes is cut to `longest` + 1.
    """
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        yield number, line
        while len(line) > longest and not line.endswith(b"\n"):
            line = file.readline(longest + 1)


def _parsed(text: bytes) -> Mapping[str, Any]:
    if len(text) > LONGEST:
        message = f"it has more than {LONGEST} bytes"
        raise ValueError(message)
    try:
        line = json.loads(text.decode()) if text.strip() else {}
    except RecursionError:
        message = "it is nested too deeply"
        raise ValueError(message) from None
    except ValueError:
        if not text.endswith(b"\n"):
            return {}  # incomplete after a crash
        message = "it is not JSON"
        raise ValueError(message) from None
    if not isinstance(line, dict):
        message = "it is not a mapping"
        raise ValueError(message)  # noqa: TRY004 (of the line, not of an argument)
    return line


def _as_version_2(line: Mapping[str, Any]) -> Mapping[str, Any]:
    if line["kind"] == "file":
        return line
    return {**line, "frames": [[line.get("seq_num"), line.get("i"), 0]]}


def _sidecar_of(line: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the file beside an image as a line of its own."""
    sidecar = line.get("sidecar")
    if sidecar is None:
        return None
    if not isinstance(sidecar, dict):
        message = f"its 'sidecar' is {reprlib.repr(sidecar)}"
        raise ValueError(message)  # noqa: TRY004 (of the line, not of an argument)
    _check_types(sidecar, _SIDECAR)
    _check_written(sidecar)
    common = {"kind": "sidecar", "settings": line.get("settings"), "status": "written"}
    return {**common, **sidecar, "frames": []}


def _check_frames(frames: list[Any]) -> None:
    for frame in frames or [None]:
        is_list = isinstance(frame, list) and len(frame) == 3
        if not is_list or any(type(n) not in (int, type(None)) for n in frame):
            message = f"its 'frames' is {reprlib.repr(frames)}"
            raise ValueError(message)


def _check_types(line: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, types in wanted.items():
        value = line.get(key)
        if not isinstance(value, types) or isinstance(value, bool):
            message = f"its {key!r} is {reprlib.repr(value)}"
            raise ValueError(message)  # noqa: TRY004 (of the line, not of an argument)


def _check_written(line: Mapping[str, Any]) -> None:
    size = line.get("bytes")
    if size is None or not 0 <= size < LARGEST:
        message = f"its 'bytes' is {reprlib.repr(size)}"
        raise ValueError(message)
    path = line["path"]
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        message = f"its path {reprlib.repr(path)} is not below the folder"
        raise ValueError(message)
    try:
        is_name = b"\0" not in path.encode() and len(path) < LONGEST_PATH
    except UnicodeEncodeError:  # half of a surrogate pair
        is_name = False
    if not is_name:
        message = f"its path {reprlib.repr(path)} is not the name of a file"
        raise ValueError(message)

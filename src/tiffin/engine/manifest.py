"""What was written, a line a frame, beside the files: ``.tiffin/<run uid>.jsonl``.

Lines are appended after their file was published, and never changed. They come in frame
order, so that the same export gives the same manifest; a line that was torn by a crash
is cut off when the next one is appended.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tiffin.engine.forks import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["FOLDER", "Manifest", "ManifestFile", "manifests_in", "read_manifest"]

FOLDER = ".tiffin"
"""The folder at the root that holds the manifests."""

SCHEMA = 1
"""Of the lines. A reader leaves out kinds of lines that it does not know."""

WINDOW = 512
"""So many groups that are done may wait for one before them, then they go ahead."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """What a manifest tells.

    Attributes
    ----------
    run : str
        The run's uid.
    settings : mapping
        Id → the settings of an export that wrote lines.
    frames : mapping
        Path, relative to the root → the last line that says it was written.
    failed : tuple of mapping
        The lines of frames that failed or were skipped.
    """

    run: str
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    frames: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: tuple[Mapping[str, Any], ...] = ()


class Manifest:
    """Appends to the manifest of one run. Safe in threads, and beside other processes.

    Parameters
    ----------
    path : pathlib.Path
        Of the file. It is made, with its folder, when there is a first line.
    head : str
        The line of the settings, to stand before the first line that refers to it,
        unless the file has it already.
    sync : bool
        Whether each append is forced to the disk.
    """

    def __init__(self, path: Path, head: str, *, sync: bool = False) -> None:
        self._path = path
        self._head = head
        self._sync = sync
        self._groups: OrderedDict[Hashable, str | None] = OrderedDict()
        self.renew_in_child()
        renew_in_child(self)
        self._descriptor: int | None = None
        self._wanted = False
        self._done = 0
        self._unwritten = ""

    def renew_in_child(self) -> None:
        """Make a new lock: a thread of a forked process's parent may have held it."""
        self._lock = threading.Lock()

    def expect(self, group: Hashable, *, writes: bool = True) -> None:
        """Keep a place for the lines of a group, behind those expected before.

        Until a group is expected that `writes` there is no file: of what was refused
        before anything was to be written, no folder need tell.
        """
        with self._lock:
            self._wanted = self._wanted or writes
            self._groups[group] = None

    def add(self, lines: Iterable[tuple[Hashable, str]]) -> None:
        """Give the lines of groups, which are appended when it is their turn.

        Parameters
        ----------
        lines : iterable of (group, str)
            A group's lines, each with its end of line; ``""`` for none.
        """
        with self._lock:
            for group, text in lines:
                self._groups[group] = text
                self._done += 1
            if self._wanted:
                self._append(self._ready())

    def close(self) -> None:
        """Append what is there, in whatever order, and close the file."""
        with self._lock:
            text = "".join(text for text in self._groups.values() if text)
            self._groups.clear()
            try:
                if self._wanted:
                    self._append(text)
            finally:
                self._close_file()

    def _ready(self) -> str:
        """Take the lines whose turn it is."""
        ready: list[str] = []
        while self._groups:
            group, text = next(iter(self._groups.items()))
            if text is None:
                break
            del self._groups[group]
            self._done -= 1
            ready.append(text)
        if self._done > WINDOW:
            ahead = [group for group, text in self._groups.items() if text is not None]
            ready += [str(self._groups.pop(group)) for group in ahead]
            self._done = 0
        return "".join(ready)

    def _append(self, text: str) -> None:
        """Append lines, and those that could not be appended before."""
        self._unwritten += text
        if not self._unwritten:
            return
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            write_whole(self._descriptor, self._unwritten.encode())
        except OSError:
            with suppress(OSError):
                self._close_file()  # whoever opens it cuts off a torn line
            raise
        self._unwritten = ""
        if self._sync:
            os.fsync(self._descriptor)

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, flags, 0o666)
        except ValueError as error:  # a name that no system call takes
            raise OSError(errno.EINVAL, str(error), repr(self._path)) from error
        try:
            with _locked(descriptor):
                torn = _torn_bytes(descriptor)
                if torn:
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - torn)
                if not _has_line(self._path, self._head):
                    write_whole(descriptor, self._head.encode())
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def write_whole(descriptor: int, data: bytes) -> None:
    """Append bytes, all or none, in one call where the system takes them so."""
    with _locked(descriptor):
        before = os.fstat(descriptor).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise


def read_manifest(path: Path) -> ManifestFile:
    """Read a manifest; a torn last line, and what is none of its lines, is left out.

    Raises
    ------
    OSError
        If it can't be read.
    """
    run = path.stem
    settings: dict[str, Mapping[str, Any]] = {}
    frames: dict[str, Mapping[str, Any]] = {}
    failed = []
    for line in _lines(path):
        kind = line.get("kind")
        if kind == "settings":
            run = str(line.get("run", run))
            settings[str(line.get("id"))] = line.get("settings") or {}
        elif kind == "frame" and line.get("status") == "written":
            frames[str(line.get("path"))] = line
        elif kind == "frame":
            failed.append(line)
    return ManifestFile(run, settings, frames, tuple(failed))


def manifests_in(root: Path) -> list[Path]:
    """Give the manifests of a root, in order."""
    return sorted((root / FOLDER).glob("*.jsonl"))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found


def _has_line(path: Path, line: str) -> bool:
    wanted = line.encode()
    with path.open("rb") as file:
        return any(found == wanted for found in file)


def _torn_bytes(descriptor: int) -> int:
    """Tell how many bytes stand behind the last end of line."""
    at = size = os.fstat(descriptor).st_size
    while at > 0:
        begin = max(at - 4096, 0)
        found = os.pread(descriptor, at - begin, begin).rfind(b"\n")
        if found >= 0:
            return size - (begin + found + 1)
        at = begin
    return size


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Keep other processes from appending meanwhile, where the file system can."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)

"""Write manifests, with one line for each file: ``.tiffin/<run uid>.jsonl``.

A line is appended after its file is published, and never changed. Lines are in frame
order, so the same export gives the same manifest. If a crash leaves an incomplete line,
the next export removes it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tiffin.engine.forks import renew_in_child
from tiffin.engine.manifest_reader import FOLDER, lines_of
from tiffin.folders import Folders, require_regular_file

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

logger = logging.getLogger("tiffin")

SCHEMA = 2
"""The version of the format. Readers ignore unknown kinds of lines."""

WINDOW = 512
"""How many finished groups may wait for an earlier one before they are written."""


class Manifest:
    """Appends to the manifest of one run. Safe with threads and other processes.

    Parameters
    ----------
    folders : Folders
        The folders below the root. The manifest and its folder must not be links.
    name : str
        The name of the file. The first line creates it and its folder.
    head : str
        The line of the settings. It is written before the first line that refers to it,
        unless the file has it already.
    sync : bool
        Whether to force each line to the disk.
    mode : int, optional
        The permissions of the file. Its owner can always append.
    folder : str
        The folder of the file, below the root.
    """

    def __init__(
        self,
        folders: Folders,
        name: str,
        head: str,
        *,
        sync: bool = False,
        mode: int | None = None,
        folder: str = FOLDER,
    ) -> None:
        self._folders = Folders(folders.root, mode=folders.mode)
        self._folder = folder
        self._name = name
        self._mode = None if mode is None else mode | 0o600
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
        """Make a new lock: a thread of the parent process may hold the old one."""
        self._lock = threading.Lock()

    def expect(self, group: Hashable, *, writes: bool = True) -> None:
        """Reserve the place of the lines of a group, after those of earlier groups.

        The file is created only if a group `writes`, so that an export that fails
        before it writes anything leaves no manifest.
        """
        with self._lock:
            self._wanted = self._wanted or writes
            self._groups[group] = None

    def add(self, lines: Iterable[tuple[Hashable, str]]) -> None:
        """Add the lines of groups, and append those whose turn it is.

        Each is a group, and its lines with their ends of line; ``""`` for none.
        """
        with self._lock:
            for group, text in lines:
                self._groups[group] = text
                self._done += 1
            if self._wanted:
                self._append(self._ready())

    def release(self) -> None:
        """Close the file; the next line opens it again."""
        with self._lock:
            self._close_file()

    def close(self) -> None:
        """Append all remaining lines, and close the file."""
        with self._lock:
            text = "".join(text for text in self._groups.values() if text)
            self._groups.clear()
            try:
                if self._wanted:
                    self._append(text)
            finally:
                self._close_file()

    def _ready(self) -> str:
        """Remove and return the lines whose turn it is."""
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
        """Append lines, and earlier lines that could not be appended."""
        self._unwritten += text
        if not self._unwritten:
            return
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            write_whole(self._descriptor, as_bytes(self._unwritten))
        except OSError:
            with suppress(OSError):
                self._close_file()  # opening it again removes an incomplete line
            raise
        self._unwritten = ""
        if self._sync:
            os.fsync(self._descriptor)

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        """Open the file; rename a link that has its name or that of its folder."""
        try:
            return self._open_regular()
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            for name in (self._folder, f"{self._folder}/{self._name}"):
                aside = self._folders.rename_link(name)
                if aside is not None:
                    message = (
                        "a manifest is never written through a link: renamed to %s"
                    )
                    logger.warning(message, aside)
                    break
        return self._open_regular()

    def _open_regular(self) -> int:
        try:
            self._folders.make(self._folder)
            with self._folders.open(self._folder) as folder:
                descriptor = self._open_in(folder)
        except ValueError as error:  # a name that no system call takes
            raise OSError(errno.EINVAL, str(error), repr(self._name)) from error
        require_regular_file(
            descriptor, f"{self._folders.root}/{self._folder}/{self._name}"
        )
        try:
            _refuse_hard_link(descriptor, self._name)
            with _locked(descriptor):
                torn = _torn_bytes(descriptor)
                if torn:
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - torn)
                if not _has_line(descriptor, self._head):
                    write_whole(descriptor, as_bytes(self._head))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _open_in(self, folder: int) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        flags |= getattr(os, "O_CLOEXEC", 0)
        try:
            return os.open(self._name, flags, dir_fd=folder)
        except FileNotFoundError:
            flags |= os.O_CREAT
        descriptor = os.open(self._name, flags, 0o666, dir_fd=folder)
        # Another process may have made it just now.
        made_now = os.fstat(descriptor).st_uid == os.geteuid()
        if self._mode is not None and made_now:
            os.fchmod(descriptor, self._mode)
        return descriptor


def write_whole(descriptor: int, data: bytes) -> None:
    """Append all bytes or none, in one call if possible."""
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


def _refuse_hard_link(descriptor: int, name: str) -> None:
    if os.fstat(descriptor).st_nlink > 1:
        message = "it is a hard link, so another file would change: make a copy"
        raise OSError(errno.EMLINK, message, name)


def _has_line(descriptor: int, line: str) -> bool:
    wanted = as_bytes(line)
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 (it is open already)
        file.seek(0)
        return any(found == wanted for _, found in lines_of(file, len(wanted)))


def _torn_bytes(descriptor: int) -> int:
    """Return the number of bytes after the last end of line."""
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
    """Lock a file against other processes, if the file system supports it."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def as_bytes(line: str) -> bytes:
    """Encode JSON; escape lone surrogates, which UTF-8 can't encode."""
    return line.encode("utf-8", "backslashreplace")

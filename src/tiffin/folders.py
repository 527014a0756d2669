"""Open and create folders below a root without following symbolic links.

The user chooses the root, and it may be a link. The folders below it may be named by
metadata, or replaced by somebody else during a run: a link there could lead files
outside of the root.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = os.O_DIRECTORY | getattr(os, "O_PATH", 0)
_LISTED = os.O_RDONLY | os.O_DIRECTORY  # O_PATH allows no listing or fsync
_READ = os.O_RDONLY | os.O_NONBLOCK


class IrregularError(OSError):
    """A path is not a regular file, but a link, a folder, a pipe or a device."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Opens and creates folders below a root. Its methods are thread-safe.

    All paths are relative to the root, with ``/`` between their parts. All methods
    raise `OSError` for what the system refuses, and for a link below the root.
    """

    root: str
    """An absolute path. It may be a link."""
    follow_links: bool = False
    """Whether folders and files below the root may be links."""
    mode: int | None = None
    """The permissions of new folders, which inherit the setgid bit in any case."""

    @contextmanager
    def open(self, folder: str = "") -> Iterator[int]:
        """Open a folder for system calls with a ``dir_fd``, and close it afterwards."""
        descriptor = self.descriptor(folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def descriptor(self, folder: str) -> int:
        """Open a folder. The caller closes the descriptor."""
        if not folder:
            return os.open(self.root or "/", _FOLDER)
        parts = _parts(folder)
        if self.follow_links:
            return os.open(f"{self.root}/{folder}", _FOLDER)
        # O_NOFOLLOW looks at the last part of a path only, so the root may be a link.
        descriptor = self._open_below(f"{self.root}/{parts[0]}", None, parts[0])
        for n, part in enumerate(parts[1:], 2):
            try:
                below = self._open_below(part, descriptor, "/".join(parts[:n]))
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor

    def make(self, folder: str = "", *, sync: bool = False) -> None:
        """Create the root, a folder below it, and all folders between, if missing.

        With `sync`, each folder that got a new one is forced to the disk.
        """
        self._make_root(self.root, sync)
        above = os.open(self.root, _FOLDER)
        parts = _parts(folder)
        try:
            for n, part in enumerate(parts, 1):
                self._make_one(part, above, sync)
                below = self._open_below(part, above, "/".join(parts[:n]))
                os.close(above)
                above = below
        finally:
            os.close(above)

    def rename_link(self, path: str) -> str | None:
        """Make the name of a link free by adding ``.link``, and return the new path.

        Return None if the path is no link.
        """
        folder, _, name = path.rpartition("/")
        new_name = f"{name}.link"
        with self.open(folder) as above:
            if not _is_link(name, above):
                return None
            with suppress(FileNotFoundError):
                os.stat(new_name, dir_fd=above, follow_symlinks=False)
                code = errno.EEXIST
                raise FileExistsError(code, os.strerror(code), new_name)
            os.rename(name, new_name, src_dir_fd=above, dst_dir_fd=above)
        return f"{self.root}/{path}.link"

    def open_file(self, path: str) -> int:
        """Open a regular file for reading. The caller closes the descriptor.

        A pipe is not waited for: what is not a regular file is an `IrregularError`.
        """
        folder, _, name = path.rpartition("/")
        _parts(name)
        flags = _READ if self.follow_links else _READ | os.O_NOFOLLOW
        with self.open(folder) as above:
            try:
                descriptor = os.open(name, flags, dir_fd=above)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
                    raise _irregular(f"{self.root}/{path}") from error
                raise
        return require_regular_file(descriptor, f"{self.root}/{path}")

    def _open_below(self, part: str, above: int | None, path: str) -> int:
        flags = _FOLDER if self.follow_links else _FOLDER | os.O_NOFOLLOW
        try:
            return os.open(part, flags, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(part, above):
                message = link_message(f"{self.root}/{path}")
                raise OSError(errno.ELOOP, message) from error
            raise

    def _make_one(self, part: str, above: int | None, sync: bool) -> None:
        try:
            os.mkdir(part, dir_fd=above)
        except FileExistsError as error:
            # Usually another thread has just created it. A link may lead nowhere.
            if not _is_folder(part, above):
                code = errno.ENOTDIR
                raise NotADirectoryError(code, os.strerror(code), part) from error
            return
        if self.mode is not None:
            descriptor = os.open(part, _LISTED | os.O_NOFOLLOW, dir_fd=above)
            try:
                inherited = os.fstat(descriptor).st_mode & stat.S_ISGID
                os.fchmod(descriptor, self.mode | inherited)
            finally:
                os.close(descriptor)
        if sync and above is not None:
            sync_folder(".", above)
        elif sync:
            sync_folder(part.rpartition("/")[0] or ("/" if part[0] == "/" else "."))

    def _make_root(self, folder: str, sync: bool) -> None:
        if os.path.isdir(folder):  # noqa: PTH112 (a Path takes as long again)
            return
        above = folder.rpartition("/")[0]
        if above:
            self._make_root(above, sync)
        self._make_one(folder, None, sync)


def link_message(path: str) -> str:
    """Return why a link is not followed, and what to do."""
    return (
        f"{path} is a link, and links below the folder of an export are not followed: "
        f"use another template, or follow_links=True"
    )


def require_regular_file(descriptor: int, path: str) -> int:
    """Return the descriptor of a regular file. Close any other, and raise."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _irregular(path)


def list_folder(folder: int) -> list[str]:
    """Return the names in an open folder, in any order."""
    descriptor = os.open(".", _LISTED, dir_fd=folder)
    try:
        return os.listdir(descriptor)  # noqa: PTH208 (a Path takes no descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: str, above: int | None = None) -> None:
    """Force a folder to the disk."""
    descriptor = os.open(folder, _LISTED, dir_fd=above)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _irregular(path: str) -> IrregularError:
    message = f"{path} is not a regular file, but a link, a folder, a pipe or a device"
    return IrregularError(errno.EINVAL, message)


def _is_folder(part: str, above: int | None) -> bool:
    """Return whether a path is a folder. Unlike `os.path.isdir`, raise other errors."""
    try:
        return stat.S_ISDIR(os.stat(part, dir_fd=above).st_mode)
    except FileNotFoundError:  # a link that leads nowhere
        return False


def _is_link(part: str, above: int | None) -> bool:
    return stat.S_ISLNK(os.stat(part, dir_fd=above, follow_symlinks=False).st_mode)


def _parts(folder: str) -> list[str]:
    """Split a relative path. Refuse one that could leave the root."""
    parts = folder.split("/") if folder else []
    if not {"", ".", ".."}.isdisjoint(parts):
        raise OSError(errno.EINVAL, f"{folder!r} is not a path below a folder")
    return parts

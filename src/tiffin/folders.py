"""Folders below a root, opened one after another without following links.

The root is the user's word and may be a link. What lies below it may be named by
metadata, or swapped by others in mid-run: a link there would lead files outside.
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

__all__ = [
    "Folders",
    "IrregularError",
    "check_regular",
    "link_refused",
    "names_in",
    "sync_folder",
]

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_STEPS = frozenset(("", ".", ".."))
_FOLDER = os.O_DIRECTORY | _CLOEXEC | getattr(os, "O_PATH", 0)
_READ = os.O_RDONLY | os.O_NONBLOCK | _CLOEXEC


class IrregularError(OSError):
    """What a name stands for is a link, a folder, a pipe or a device: no plain file."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Opens and makes folders below a root. Safe in threads.

    Attributes
    ----------
    root : str
        Given by the user: it may be a link.
    follow_links : bool
        Whether folders and files below the root may be links.
    mode : int or None
        The permissions of folders that are made; None for what the umask leaves. The
        s bit that a folder has from the one above it stays.
    """

    root: str
    follow_links: bool = False
    mode: int | None = None

    @contextmanager
    def open(self, folder: str = "") -> Iterator[int]:
        """Open a folder for the calls that take a ``dir_fd``.

        Parameters
        ----------
        folder : str
            Relative to the root, with ``/`` between its parts.

        Raises
        ------
        OSError
            If it is not there, no folder, or reached through a link.
        """
        descriptor = self.descriptor(folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def descriptor(self, folder: str) -> int:
        """Open a folder as `open` does; the descriptor is the caller's to close."""
        if not folder:
            return os.open(self.root or "/", _FOLDER)
        parts = _parts(folder)
        if self.follow_links:
            return os.open(f"{self.root}/{folder}", _FOLDER)
        # Only the last part of a path is looked at by O_NOFOLLOW: the root may be a
        # link, the folder in it not.
        descriptor = self._step(f"{self.root}/{parts[0]}", None, parts[0])
        for n, part in enumerate(parts[1:], 2):
            try:
                below = self._step(part, descriptor, "/".join(parts[:n]))
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor

    def make(self, folder: str = "", *, sync: bool = False) -> None:
        """Make the root, a folder below it, and those between, where they are missing.

        Parameters
        ----------
        folder : str
            Relative to the root.
        sync : bool
            Whether to force each folder that got a new one to the disk.

        Raises
        ------
        OSError
        """
        self._make_root(self.root, sync)
        above = os.open(self.root, _FOLDER)
        parts = _parts(folder)
        try:
            for n, part in enumerate(parts, 1):
                self._make_one(part, above, sync)
                below = self._step(part, above, "/".join(parts[:n]))
                os.close(above)
                above = below
        finally:
            os.close(above)

    def set_aside(self, name: str) -> str | None:
        """Rename a link, so that its own name is free.

        Parameters
        ----------
        name : str
            Relative to the root.

        Returns
        -------
        str or None
            Its new path; None if it is no link.

        Raises
        ------
        OSError
        """
        folder, _, last = name.rpartition("/")
        aside = f"{last}.link"
        with self.open(folder) as above:
            if not _is_link(last, above):
                return None
            with suppress(FileNotFoundError):
                os.stat(aside, dir_fd=above, follow_symlinks=False)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), aside)
            os.rename(last, aside, src_dir_fd=above, dst_dir_fd=above)
        return f"{self.root}/{name}.link"

    def open_file(self, name: str) -> int:
        """Open a plain file to read it; the descriptor is the caller's to close.

        Parameters
        ----------
        name : str
            Relative to the root.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        IrregularError
            If something else has its name: it is not read, nor waited for.
        OSError
        """
        folder, _, last = name.rpartition("/")
        _parts(last)
        flags = _READ if self.follow_links else _READ | os.O_NOFOLLOW
        with self.open(folder) as above:
            try:
                descriptor = os.open(last, flags, dir_fd=above)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
                    raise _irregular(f"{self.root}/{name}") from error
                raise
        return check_regular(descriptor, f"{self.root}/{name}")

    def _step(self, part: str, above: int | None, done: str) -> int:
        flags = _FOLDER if self.follow_links else _FOLDER | os.O_NOFOLLOW
        try:
            return os.open(part, flags, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(part, above):
                raise OSError(
                    errno.ELOOP, link_refused(f"{self.root}/{done}")
                ) from error
            raise

    def _make_one(self, part: str, above: int | None, sync: bool) -> None:
        try:
            os.mkdir(part, dir_fd=above)
        except FileExistsError as error:
            # Made by another thread meanwhile, as a rule; a link may lead nowhere.
            if not _is_folder(part, above):
                code = errno.ENOTDIR
                raise NotADirectoryError(code, os.strerror(code), part) from error
            return
        if self.mode is not None:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | _CLOEXEC
            descriptor = os.open(part, flags, dir_fd=above)
            try:
                kept = os.fstat(descriptor).st_mode & stat.S_ISGID
                os.fchmod(descriptor, self.mode | kept)
            finally:
                os.close(descriptor)
        if sync:
            if above is None:
                sync_folder(part.rpartition("/")[0] or ("/" if part[0] == "/" else "."))
            else:
                sync_folder(".", above)

    def _make_root(self, folder: str, sync: bool) -> None:
        if os.path.isdir(folder):  # noqa: PTH112 (a Path costs as much)
            return
        above = folder.rpartition("/")[0]
        if above:
            self._make_root(above, sync)
        self._make_one(folder, None, sync)


def link_refused(path: str) -> str:
    """Say why a link is not followed, and what to do."""
    return (
        f"{path} is a link, and links below the folder of an export are not followed: "
        f"take another template, or follow_links=True"
    )


def check_regular(descriptor: int, path: str) -> int:
    """Return an open descriptor back if it is that of a plain file; else close it.

    Raises
    ------
    IrregularError
    """
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _irregular(path)


def names_in(folder: int) -> list[str]:
    """List an open folder, in whatever order."""
    # A descriptor of O_PATH lists nothing.
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | _CLOEXEC, dir_fd=folder)
    try:
        return os.listdir(descriptor)  # noqa: PTH208 (a Path takes no descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: str, above: int | None = None) -> None:
    """Force a folder to the disk."""
    flags = os.O_RDONLY | os.O_DIRECTORY | _CLOEXEC
    descriptor = os.open(folder, flags, dir_fd=above)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _irregular(path: str) -> IrregularError:
    message = f"{path} is no regular file: it is a link, a folder, a pipe or a device"
    return IrregularError(errno.EINVAL, message)


def _is_folder(part: str, above: int | None) -> bool:
    """Tell, or raise what keeps the system from telling (`os.path.isdir` says no)."""
    try:
        return stat.S_ISDIR(os.stat(part, dir_fd=above).st_mode)
    except FileNotFoundError:  # a link that leads nowhere
        return False


def _is_link(part: str, above: int | None) -> bool:
    return stat.S_ISLNK(os.stat(part, dir_fd=above, follow_symlinks=False).st_mode)


def _parts(folder: str) -> list[str]:
    """Split a relative path, and refuse one that could leave the root."""
    parts = folder.split("/") if folder else []
    if not _STEPS.isdisjoint(parts):
        raise OSError(errno.EINVAL, f"{folder!r} is no path below a folder")
    return parts

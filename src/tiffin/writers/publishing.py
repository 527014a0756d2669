"""Write a file, and name it when it is complete.

The bytes go to a file without a name (on Linux) or with a temporary name, in the folder
of the target. It is then linked to its name, which never replaces a file, or renamed,
which does. If a process is killed, a file without a name disappears.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tiffin.errors import ExistsError, TiffinError, WriteError
from tiffin.folders import Folders, sync_folder
from tiffin.writers.leftovers import temporary_name
from tiffin.writers.link import (
    link_descriptor,
    name_temporary,
    replace_by_temporary,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NewFile", "dated", "publish", "write_error"]

T = TypeVar("T")

SPARE = 100
"""How many descriptors a file that stays open leaves to others."""

_SHORT = 250
"""Every system allows paths of this length [characters]."""

_LONGEST = os.pathconf("/", "PC_PATH_MAX")
_TOO_LONG = os.strerror(errno.ENAMETOOLONG)

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NAMELESS = getattr(os, "O_TMPFILE", 0) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112 (a Path costs as much)
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
"""Errors of file systems (NFS, FAT) and kernels without ``O_TMPFILE``."""

_NEXT = {
    errno.ENOSPC: "make room, then export again",
    errno.EDQUOT: "make room, then export again",
    errno.EFBIG: "the system does not allow files of this size, see `ulimit -f`",
    errno.EIO: "the disk failed: check it, then export again",
    errno.EACCES: "ask for write access, or choose another folder",
    errno.EPERM: "choose another folder",
    errno.EROFS: "choose another folder",
    errno.ENAMETOOLONG: "shorten the template",
    errno.ENOTDIR: "a file has the name of the folder",
    errno.EISDIR: "a folder has that name",
    errno.ENOENT: "its folder was removed, export again",
    errno.EMFILE: "raise the limit, see `ulimit -n`",
}
"""Advice after the message of the system."""


def publish(
    target: str | os.PathLike[str],
    write: Callable[[int], T],
    *,
    replace: bool,
    mode: int | None = None,
    sync: bool = False,
    folders: Folders | None = None,
) -> T:
    """Write a complete file, and give it its name.

    Parameters
    ----------
    target : str or path-like
        An absolute path. Missing folders are created.
    write : callable
        Gets the descriptor of an empty file, and writes all bytes to it. Called again
        with another file if the first can't be named.
    replace : bool
        Whether to replace a file with that name.
    mode : int, optional
        The permissions of the file, such as ``0o640``; by default those of the umask.
        The owner and the group are not changed.
    sync : bool
        Whether to wait until file and folder are on the disk (``fsync``).
    folders : Folders, optional
        The folders below the root of the target, which are opened without following
        links. By default the folder of the target is the root.

    Returns
    -------
    object
        The result of `write`.

    Raises
    ------
    ExistsError
        If there is a file with that name and `replace` is False. The file stays.
    WriteError
        If the system refuses; `errno` is that of the system. No file is left, except if
        only the folder could not be synced: then the file is complete.
    """
    path = os.fspath(target)
    # A Path object for each file would take as long as naming the file.
    if folders is None:
        folders, relative = Folders(_folder_of(path)), path.rpartition("/")[2]
    else:
        relative = path.removeprefix(folders.root).lstrip("/")
    folder, _, name = relative.rpartition("/")
    _check_length(path)
    attempt = partial(_attempt, folders, folder, name, write, replace, mode, sync)
    try:
        try:
            return attempt()
        except FileNotFoundError:
            folders.make(folder, sync=sync)
            return attempt()
    except TiffinError:
        raise
    except FileExistsError:
        raise ExistsError.at(path) from None
    except OSError as error:
        raise write_error(path, error) from error
    except ValueError as error:  # a name with a null byte, say
        message = f"{path!r} can't be written: {error}"
        raise WriteError(message) from error


class NewFile:
    """An open file without a name, which gets its name when it is complete.

    Parameters
    ----------
    target : str
        Absolute, below the root of `folders`. Its folders are made.
    mode : int, optional
        The permissions of the file; without it, the umask decides.
    sync : bool
        Whether to wait until the file and its folders are on the disk (``fsync``).
    folders : Folders

    Attributes
    ----------
    descriptor : int
        Opened for reading and writing.

    Raises
    ------
    WriteError
        If the system refuses; also if it would soon have no descriptors left.
    """

    def __init__(
        self,
        target: str,
        *,
        mode: int | None = None,
        sync: bool = False,
        folders: Folders,
    ) -> None:
        _check_length(target)
        self._path, self._sync = target, sync
        self._above = self.descriptor = -1
        folder, _, self._name = (
            target.removeprefix(folders.root).lstrip("/").rpartition("/")
        )
        self._temporary: str | None = None
        self._is_named = False
        try:
            folders.make(folder, sync=sync)
            self._above = folders.descriptor(folder)
            nameless = _open_nameless(".", self._above, os.O_RDWR)
            if nameless is None:
                self._temporary, nameless = _open_temporary(self._above, os.O_RDWR)
            self.descriptor = nameless
            _check_descriptors(nameless)
            if mode is not None:
                os.fchmod(nameless, mode)
        except OSError as error:
            self.close()
            raise write_error(target, error) from error
        except ValueError as error:  # a name that no system call takes
            self.close()
            message = f"{target!r} can't be written: {error}"
            raise WriteError(message) from error

    def publish(self, *, replace: bool, seconds: float | None = None) -> None:
        """Give the file its name, and close it.

        Parameters
        ----------
        replace : bool
            Whether to replace a file with that name.
        seconds : float, optional
            The modification time of the file, as for `dated`.

        Raises
        ------
        ExistsError
            If there is a file of that name and `replace` is false.
        WriteError
            If the system refuses. Publish it again, or close it.
        """
        try:
            if seconds is not None:
                _set_time(self.descriptor, seconds)
            if self._sync:
                os.fsync(self.descriptor)
            self._give_name(replace=replace)
            if self._sync:
                sync_folder(".", self._above)
        except FileExistsError:
            self.close()
            raise ExistsError.at(self._path) from None
        except OSError as error:
            raise write_error(self._path, error) from error
        self.close()

    def _give_name(self, *, replace: bool) -> None:
        if self._is_named:
            return  # then only the folder could not be synced
        if self._temporary is None:
            link = partial(link_descriptor, self.descriptor, folder=self._above)
            if not replace and link(self._name):
                self._is_named = True
                return
            temporary = temporary_name()
            if link(temporary):
                self._temporary = temporary
            else:
                self._copy()
        assert self._temporary is not None  # noqa: S101 (linked or copied)
        give_name = replace_by_temporary if replace else name_temporary
        give_name(self._temporary, self._name, self._above)
        self._temporary, self._is_named = None, True

    def _copy(self) -> None:
        """Copy the file to a temporary one, on a file system without hard links."""
        temporary, copy = _open_temporary(self._above)
        try:
            with (
                open(copy, "wb") as to,  # noqa: PTH123 (both are open)
                open(self.descriptor, "rb", closefd=False) as file,
            ):
                file.seek(0)
                shutil.copyfileobj(file, to)
                to.flush()
                told = os.fstat(self.descriptor)
                os.fchmod(copy, told.st_mode & 0o7777)
                os.utime(copy, ns=(told.st_atime_ns, told.st_mtime_ns))
                if self._sync:
                    os.fsync(copy)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._above)
            raise
        self._temporary = temporary

    def close(self) -> None:
        """Close the file; one that was not published is gone."""
        if self._temporary is not None:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._above)
            self._temporary = None
        for descriptor in (self.descriptor, self._above):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._above = -1


def dated(write: Callable[[int], T], seconds: float) -> Callable[[int], T]:
    """Return a function that also sets the modification time of a file.

    Parameters
    ----------
    write : callable
        A function for `publish`.
    seconds : float
        Since 1970, UTC, rounded to the microsecond [s].

    Returns
    -------
    callable
        The function for `publish` in place of `write`.
    """

    def write_dated(descriptor: int) -> T:
        result = write(descriptor)
        _set_time(descriptor, seconds)
        return result

    return write_dated


def _set_time(descriptor: int, seconds: float) -> None:
    stamp = round(seconds * 10**6) * 1000
    os.utime(descriptor, ns=(stamp, stamp))


def write_error(path: str, error: OSError) -> WriteError:
    """Return an error that says why a file can't be written, and what to do."""
    why = error.strerror or str(error)
    if error.errno in _NEXT:
        why += f": {_NEXT[error.errno]}"
    refused = WriteError(f"{path} can't be written: {why}")
    refused.errno = error.errno
    return refused


def _check_length(path: str) -> None:
    """Refuse a path that could be written, relative to an open folder, but not read."""
    if len(path) > _SHORT and len(os.fsencode(path)) >= _LONGEST:
        raise write_error(path, OSError(errno.ENAMETOOLONG, _TOO_LONG))


def _check_descriptors(descriptor: int) -> None:
    """Refuse a descriptor that leaves too few for manifests and images."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and descriptor >= most - min(SPARE, most // 2):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _attempt(
    folders: Folders,
    folder: str,
    name: str,
    write: Callable[[int], T],
    replace: bool,
    mode: int | None,
    sync: bool,
) -> T:
    fill = write
    if sync or mode is not None:
        fill = partial(_fill, write=write, mode=mode, sync=sync)
    root = folders.root
    # The root itself may be a link, so its path can be used, which is faster.
    by_path = not (folder or replace or sync) and root.startswith("/")
    linked = _linked(f"{root}/{name}", root, None, fill) if by_path else None
    if linked is not None:
        return linked[0]
    above = folders.descriptor(folder)
    try:
        if not (replace or by_path):
            linked = _linked(name, ".", above, fill)
        if linked is None:
            give_name = replace_by_temporary if replace else name_temporary
            linked = (_by_temporary(name, above, fill, give_name),)
        if sync:
            sync_folder(".", above)
    finally:
        os.close(above)
    return linked[0]


def _linked(
    name: str, folder: str, above: int | None, fill: Callable[[int], T]
) -> tuple[T] | None:
    """Write a file without a name, then link it; None if that is not supported."""
    descriptor = _open_nameless(folder, above)
    if descriptor is None:
        return None
    try:
        result = fill(descriptor)
        return (result,) if link_descriptor(descriptor, name, above) else None
    finally:
        os.close(descriptor)


def _by_temporary(
    name: str,
    above: int,
    fill: Callable[[int], T],
    give_name: Callable[[str, str, int], None],
) -> T:
    temporary, descriptor = _open_temporary(above)
    try:
        try:
            result = fill(descriptor)
        finally:
            os.close(descriptor)
        give_name(temporary, name, above)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=above)
        raise
    return result


def _fill(
    descriptor: int, write: Callable[[int], T], mode: int | None, sync: bool
) -> T:
    if mode is not None:
        os.fchmod(descriptor, mode)
    result = write(descriptor)
    if sync:
        os.fsync(descriptor)
    return result


def _open_nameless(
    folder: str, above: int | None, access: int = os.O_WRONLY
) -> int | None:
    """Open a file without a name, or give None where the system has no such thing."""
    if not _NAMELESS:
        return None
    try:
        return os.open(folder, access | _NAMELESS | _CLOEXEC, 0o666, dir_fd=above)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
        return None


def _open_temporary(above: int, access: int = os.O_WRONLY) -> tuple[str, int]:
    flags = access | os.O_CREAT | os.O_EXCL | _CLOEXEC
    while True:
        temporary = temporary_name()
        # A killed process with the same id may have left the name: try the next.
        with suppress(FileExistsError):
            return temporary, os.open(temporary, flags, 0o666, dir_fd=above)


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")

"""Return a file its name only when it is whole.

The bytes go to a file in the target's own folder that has no name at all (Linux), or a
temporary one, and that is then linked (never over another file) or renamed (over it)
into place. Of a process that is killed, a file without a name leaves nothing.
"""

from __future__ import annotations

import errno
import os
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

__all__ = ["dated", "publish", "write_error"]

T = TypeVar("T")

_SHORT = 250
"""Paths of so many characters are shorter than any system allows."""

_LONGEST = os.pathconf("/", "PC_PATH_MAX")
_TOO_LONG = os.strerror(errno.ENAMETOOLONG)

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NAMELESS = getattr(os, "O_TMPFILE", 0) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112 (a Path costs as much)
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
"""What file systems (NFS, FAT) and kernels without ``O_TMPFILE`` answer to it."""

_NEXT = {
    errno.ENOSPC: "make room, then export again",
    errno.EDQUOT: "make room, then export again",
    errno.EFBIG: "the system allows no file of this size, see `ulimit -f`",
    errno.EIO: "the disk failed, see to it, then export again",
    errno.EACCES: "ask for write access, or take another folder",
    errno.EPERM: "take another folder",
    errno.EROFS: "take another folder",
    errno.ENAMETOOLONG: "shorten the template",
    errno.ENOTDIR: "a file stands where a folder must be",
    errno.EISDIR: "a folder has that name",
    errno.ENOENT: "its folder vanished meanwhile, export again",
    errno.EMFILE: "raise the limit, see `ulimit -n`",
}
"""What to do, or to know, behind the system's own words."""


def publish(
    target: str | os.PathLike[str],
    write: Callable[[int], T],
    *,
    replace: bool,
    mode: int | None = None,
    sync: bool = False,
    folders: Folders | None = None,
) -> T:
    """Write a file and give it its name, whole.

    Parameters
    ----------
    target : str or path-like
        Absolute. Its folders are made, once more if they vanish meanwhile.
    write : callable
        Gets the descriptor of an empty file and writes all bytes to it. Called once
        more, with another file, where the first could not be given its name.
    replace : bool
        Whether a file of that name may be replaced.
    mode : int, optional
        The file's permissions, as in ``0o640``; without, the umask decides. The owner
        is never changed, nor the group that a setgid folder gives.
    sync : bool
        Whether to wait until file and folder are on the disk (``fsync``).
    folders : Folders, optional
        Of the root that the target lies below: what lies between is opened as they
        say. Without, the target's own folder is the root.

    Returns
    -------
    object
        What `write` returned.

    Raises
    ------
    ExistsError
        If there is a file of that name and `replace` is false. It is left as it is.
    WriteError
        If the system refuses; its `errno` is the system's. Nothing is left behind, save
        where only the folder could not be synced: then the whole file is there.
    """
    path = os.fspath(target)
    # A Path object for each file would cost as much again as naming the file.
    if folders is None:
        folders, relative = Folders(_folder_of(path)), path.rpartition("/")[2]
    else:
        relative = path.removeprefix(folders.root).lstrip("/")
    folder, _, name = relative.rpartition("/")
    if len(path) > _SHORT and len(os.fsencode(path)) >= _LONGEST:
        # It could be written, for a folder's descriptor shortens it, but not opened.
        raise write_error(path, OSError(errno.ENAMETOOLONG, _TOO_LONG))
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
    except ValueError as error:  # a name that no system call takes
        message = f"{path!r} can't be written: {error}"
        raise WriteError(message) from error


def dated(write: Callable[[int], T], seconds: float) -> Callable[[int], T]:
    """Set the time of modification of a file.

    Parameters
    ----------
    write : callable
        As `publish` takes it.
    seconds : float
        Since 1970, UTC [s]. Kept to the microsecond, which is what a float64 tells.

    Returns
    -------
    callable
        To be given to `publish` in place of `write`.
    """
    stamp = round(seconds * 10**6) * 1000

    def write_dated(descriptor: int) -> T:
        result = write(descriptor)
        os.utime(descriptor, ns=(stamp, stamp))
        return result

    return write_dated


def write_error(path: str, error: OSError) -> WriteError:
    """Say why a file can't be written, and what to do; `errno` is kept."""
    why = error.strerror or str(error)
    if error.errno in _NEXT:
        why += f": {_NEXT[error.errno]}"
    refused = WriteError(f"{path} can't be written: {why}")
    refused.errno = error.errno
    return refused


def _attempt(
    folders: Folders,
    folder: str,
    name: str,
    write: Callable[[int], T],
    replace: bool,
    mode: int | None,
    sync: bool,
) -> T:
    fill = partial(_fill, write=write, mode=mode, sync=sync)
    root = folders.root
    # The root is the user's word: its path may be followed, which is faster.
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
    """Write a file without a name, then link it; None where the system can't."""
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


def _open_nameless(folder: str, above: int | None) -> int | None:
    """Open a file without a name, or give None where the system has no such thing."""
    if not _NAMELESS:
        return None
    try:
        return os.open(folder, os.O_WRONLY | _NAMELESS | _CLOEXEC, 0o666, dir_fd=above)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
        return None


def _open_temporary(above: int) -> tuple[str, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOEXEC
    while True:
        temporary = temporary_name()
        # A process of the same number may have died here: the next name is free.
        with suppress(FileExistsError):
            return temporary, os.open(temporary, flags, 0o666, dir_fd=above)


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")

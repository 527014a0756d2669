"""Write a file, and name it when it is complete.

The bytes go to a file without a name (on Linux) or with a temporary name, in the folder
of the target. It is then linked to its name, which never replaces a file, or renamed,
which does. If a process is killed, a file without a name disappears.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tiffin.errors import ExistsError, TiffinError, WriteError
from tiffin.folders import Folders, sync_folder
from tiffin.obstacles import obstacle
from tiffin.writers.leftovers import temporary_name
from tiffin.writers.link import link_descriptor, name_temporary, replace_by_temporary

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

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
    errno.ENAMETOOLONG: "shorten it",
    errno.ENOTDIR: "choose another folder",
    errno.ELOOP: "choose another folder",
    errno.EISDIR: "a folder has that name",
    errno.ENOENT: "was its folder removed? Choose another, or export again",
    errno.EMFILE: "raise the limit, see `ulimit -n`",
}
"""Advice after the message of the system."""

_BLOCKED = frozenset(
    (
        *(errno.EACCES, errno.EPERM, errno.ENOENT),
        *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP),
    )
)
"""Errors that may be those of the folder, and not of the file."""


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
    if len(path) > _SHORT:
        check_length(path)
    given = folders, folder, name, write, replace, mode, sync
    try:
        try:
            return _attempt(*given)
        except FileNotFoundError:
            folders.make(folder, sync=sync)
            return _attempt(*given)
    except TiffinError:
        raise
    except FileExistsError:
        raise ExistsError.at(path) from None
    except OSError as error:
        raise write_error(path, error) from error
    except ValueError as error:  # a name with a null byte, say
        message = f"{path!r} can't be written: {error}"
        raise WriteError(message) from error


def dated(write: Callable[[int], T], seconds: float) -> Callable[[int], T]:
    """Return a function for `publish` that also sets the modification time of a file.

    `seconds` since 1970, UTC, are rounded to the microsecond [s].
    """

    def write_dated(descriptor: int) -> T:
        result = write(descriptor)
        set_time(descriptor, seconds)
        return result

    return write_dated


def set_time(descriptor: int, seconds: float) -> None:
    """Set the modification time of an open file."""
    stamp = round(seconds * 10**6) * 1000
    os.utime(descriptor, ns=(stamp, stamp))


def write_error(path: str, error: OSError) -> WriteError:
    """Return an error that says why a file can't be written, and what to do."""
    why = error.strerror or str(error)
    code = error.errno or 0
    blocked = obstacle(Path(path).parent, write=True) if code in _BLOCKED else ""
    if blocked and code == errno.ENOENT:  # its folder has never been there
        code = errno.EPERM
    parts = [f"{path} can't be written", why, blocked, _NEXT.get(code)]
    refused = WriteError(": ".join(filter(None, parts)))
    refused.errno = error.errno
    return refused


def check_length(path: str) -> None:
    """Refuse a path that could be written, relative to an open folder, but not read."""
    if len(path) > _SHORT and len(os.fsencode(path)) >= _LONGEST:
        raise write_error(path, OSError(errno.ENAMETOOLONG, _TOO_LONG))


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
    descriptor = open_nameless(folder, above)
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
    temporary, descriptor = open_temporary(above)
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


def open_nameless(
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


def open_temporary(above: int, access: int = os.O_WRONLY) -> tuple[str, int]:
    """Open a file with a temporary name; return the name and the descriptor."""
    flags = access | os.O_CREAT | os.O_EXCL | _CLOEXEC
    while True:
        temporary = temporary_name()
        # A killed process with the same id may have left the name: try the next.
        with suppress(FileExistsError):
            return temporary, os.open(temporary, flags, 0o666, dir_fd=above)


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")

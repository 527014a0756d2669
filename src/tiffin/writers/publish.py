"""Give a file its name only when it is whole.

The bytes go to a file in the target's own folder that has no name at all (Linux), or a
temporary one, and that is then linked (never over another file) or renamed (over it)
into place. Of a process that is killed, a file without a name leaves nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from tiffin.errors import ExistsError, TiffinError, WriteError
from tiffin.writers.leftovers import temporary_name
from tiffin.writers.naming import link_descriptor, name_temporary

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["dated", "publish", "write_error"]

T = TypeVar("T")

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
    folder = _folder_of(path)
    attempt = _replacing if replace else _adding
    try:
        try:
            result = attempt(path, folder, write, mode, sync)
        except FileNotFoundError:
            _make_folders(folder, sync)
            result = attempt(path, folder, write, mode, sync)
        if sync:
            _sync_folder(folder)
    except TiffinError:
        raise
    except FileExistsError:
        raise ExistsError.at(path) from None
    except OSError as error:
        raise write_error(path, error) from error
    except ValueError as error:  # a name that no system call takes
        message = f"{path!r} can't be written: {error}"
        raise WriteError(message) from error
    return result


def dated(write: Callable[[int], T], seconds: float) -> Callable[[int], T]:
    """Give a file another time of modification than now.

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


def _adding(
    path: str, folder: str, write: Callable[[int], T], mode: int | None, sync: bool
) -> T:
    descriptor = _open_nameless(folder)
    if descriptor is None:
        return _by_temporary(path, folder, write, mode, sync, name_temporary)
    try:
        result = _fill(descriptor, write, mode, sync)
        if link_descriptor(descriptor, path):
            return result
    finally:
        os.close(descriptor)
    return _by_temporary(path, folder, write, mode, sync, name_temporary)


def _replacing(
    path: str, folder: str, write: Callable[[int], T], mode: int | None, sync: bool
) -> T:
    return _by_temporary(path, folder, write, mode, sync, os.replace)


def _by_temporary(
    path: str,
    folder: str,
    write: Callable[[int], T],
    mode: int | None,
    sync: bool,
    name: Callable[[str, str], None],
) -> T:
    temporary, descriptor = _open_temporary(folder)
    try:
        try:
            result = _fill(descriptor, write, mode, sync)
        finally:
            os.close(descriptor)
        name(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 (a Path costs as much)
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


def _open_nameless(folder: str) -> int | None:
    """Open a file without a name, or give None where the system has no such thing."""
    if not _NAMELESS:
        return None
    try:
        return os.open(folder, os.O_WRONLY | _NAMELESS | _CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
        return None


def _open_temporary(folder: str) -> tuple[str, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOEXEC
    while True:
        temporary = f"{folder}/{temporary_name()}"
        # A process of the same number may have died here: the next name is free.
        with suppress(FileExistsError):
            return temporary, os.open(temporary, flags, 0o666)


def _make_folders(folder: str, sync: bool) -> None:
    """Make a folder and those above it; `sync` each that got a new one."""
    missing = []
    above = folder
    while above not in ("/", ".") and not os.path.lexists(above):
        missing.append(above)
        above = _folder_of(above)
    for path in missing[::-1] or [folder]:
        try:
            os.mkdir(path)  # noqa: PTH102 (a Path costs as much)
        except FileExistsError as error:
            # Made by another thread meanwhile, as a rule.
            if not _is_folder(path):
                raise NotADirectoryError(errno.ENOTDIR, "Not a directory") from error
    if sync:
        for made in missing:
            _sync_folder(_folder_of(made))


def _is_folder(path: str) -> bool:
    """Tell, or raise what keeps the system from telling (`os.path.isdir` says no)."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 (a Path costs as much)
    except FileNotFoundError:  # a link that leads nowhere
        return False


def _folder_of(path: str) -> str:
    # A Path object for each file would cost as much again as naming the file.
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | _CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Give a written file its name without ever replacing another.

A hard link is the one step that every POSIX system takes whole or not at all. File
systems without hard links (FAT, some network shares) have ``renameat2`` with
``RENAME_NOREPLACE`` on Linux; where that is missing too, a look and a rename remain.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["link_descriptor", "name_temporary", "replace_by_temporary"]

_NO_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
)
"""What a file system without hard links answers to ``link``."""

_NO_FLAGS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a system or file system without ``RENAME_NOREPLACE`` answers to it."""

_RENAME_NOREPLACE = 1  # linux/fs.h


def link_descriptor(descriptor: int, target: str, folder: int | None) -> bool:
    """Name an open file that has no name yet (``O_TMPFILE``).

    Parameters
    ----------
    descriptor : int
    target : str
        In the folder; absolute without one.
    folder : int or None
        Its descriptor.

    Returns
    -------
    bool
        False if the file system has no hard links.

    Raises
    ------
    FileExistsError
        If there is a file of that name.
    OSError
        If the system refuses.
    """
    try:
        # With a descriptor Python calls linkat, which follows the link in /proc
        # (open(2)); with an absolute path the descriptor itself is of no account.
        above = descriptor if folder is None else folder
        os.link(f"/proc/self/fd/{descriptor}", target, dst_dir_fd=above)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def name_temporary(temporary: str, target: str, folder: int) -> None:
    """Move a file to its name in the same folder, if no file has it.

    Raises
    ------
    FileExistsError
        If there is a file of that name.
    OSError
        If the system refuses. The temporary file is then still there.
    """
    try:
        os.link(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        # NFS may have made the link and lost the answer: a second name tells, see
        # O_EXCL in open(2).
        if os.stat(temporary, dir_fd=folder).st_nlink != 2:
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename(temporary, target, folder)
        return
    with suppress(OSError):  # the file has its name; the next export clears the other
        os.unlink(temporary, dir_fd=folder)


def replace_by_temporary(temporary: str, target: str, folder: int) -> None:
    """Move a file to its name in the same folder, over one that has it."""
    os.replace(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)


def _rename(temporary: str, target: str, folder: int) -> None:
    try:
        _rename_no_replace(temporary, target, folder)
    except OSError as error:
        if error.errno not in _NO_FLAGS:
            raise
        _rename_after_look(temporary, target, folder)


def _rename_after_look(temporary: str, target: str, folder: int) -> None:
    """Rename where nothing better is there.

    A file that another program makes between the look and the rename, microseconds
    apart, is lost: the system offers no way to do both at once.
    """
    with suppress(FileNotFoundError):
        os.stat(target, dir_fd=folder, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)


def _rename_no_replace(temporary: str, target: str, folder: int) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    old, new = os.fsencode(temporary), os.fsencode(target)
    if _renameat2(folder, old, folder, new, _RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _find_renameat2() -> Callable[..., int] | None:
    """Find the C library's function (glibc 2.28, musl 1.2.6), or None."""
    function: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_uint,
        ]
        function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]


_renameat2 = _find_renameat2()

"""Give a written file its name without replacing another file.

A hard link is atomic on every POSIX system. For file systems without hard links (FAT,
some network shares), Linux has ``renameat2`` with ``RENAME_NOREPLACE``. Without that
too, the only way is to look whether a file exists and then to rename.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
)
"""Errors of ``link`` on file systems without hard links."""

_NO_FLAGS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of ``renameat2`` without support for ``RENAME_NOREPLACE``."""

_RENAME_NOREPLACE = 1  # linux/fs.h


def link_descriptor(descriptor: int, target: str, folder: int | None) -> bool:
    """Give a name to an open file without one (``O_TMPFILE``).

    The target is a name in the folder, given by its descriptor, or an absolute path.
    Return False if the file system has no hard links. A FileExistsError is raised if
    there is a file of that name.
    """
    try:
        # With a descriptor Python calls linkat, which follows the link in /proc
        # (open(2)). With an absolute path, the value of the descriptor is ignored.
        above = descriptor if folder is None else folder
        os.link(f"/proc/self/fd/{descriptor}", target, dst_dir_fd=above)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def name_temporary(temporary: str, target: str, folder: int) -> None:
    """Rename a file in a folder, if no file has the new name.

    A FileExistsError is raised if one has. After an error, the temporary file still
    exists.
    """
    try:
        os.link(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        # NFS may have made the link and lost the reply. Then the file has two names,
        # see O_EXCL in open(2).
        if os.stat(temporary, dir_fd=folder).st_nlink != 2:
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename(temporary, target, folder)
        return
    with suppress(OSError):  # the next export removes the temporary name
        os.unlink(temporary, dir_fd=folder)


def replace_by_temporary(temporary: str, target: str, folder: int) -> None:
    """Rename a file in a folder, and replace a file with the new name."""
    os.replace(temporary, target, src_dir_fd=folder, dst_dir_fd=folder)


def _rename(temporary: str, target: str, folder: int) -> None:
    try:
        _rename_no_replace(temporary, target, folder)
    except OSError as error:
        if error.errno not in _NO_FLAGS:
            raise
        _rename_after_look(temporary, target, folder)


def _rename_after_look(temporary: str, target: str, folder: int) -> None:
    """Rename a file if no file has the new name.

    If another program creates one between the two calls, within microseconds, it is
    lost. The system has no way to do both at once.
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

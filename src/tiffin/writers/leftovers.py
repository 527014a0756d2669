"""Temporary names, and what processes that died left under them."""

from __future__ import annotations

import itertools
import os
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from tiffin.folders import list_folder

if TYPE_CHECKING:
    from tiffin.folders import Folders

__all__ = ["clear_leftovers", "is_leftover", "temporary_name"]

_PREFIX = ".tiffin-"
_SUFFIX = ".part"
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]
_LEFTOVER = re.compile(
    re.escape(_PREFIX) + r"(?P<host>.+)-(?P<pid>\d+)-\d+" + re.escape(_SUFFIX)
)
_numbers = itertools.count()


def temporary_name() -> str:
    """Return a name that no other write of this process has, and that no TIFF has."""
    return f"{_PREFIX}{_HOST}-{os.getpid()}-{next(_numbers)}{_SUFFIX}"


def is_leftover(name: str) -> bool:
    """Whether a file's name is one that it had before it was whole."""
    return _LEFTOVER.fullmatch(name) is not None


def clear_leftovers(folders: Folders, folder: str = "") -> int:
    """Remove what processes that died left under temporary names.

    Parameters
    ----------
    folders : Folders
        Of a root.
    folder : str
        Relative to the root. Only this folder, not those in it. It need not exist.

    Returns
    -------
    int
        How many files were removed. Those of living processes, and of other hosts,
        are left alone.
    """
    removed = 0
    # Tidying is a courtesy: whatever hinders it is told by the write, if it matters.
    with suppress(OSError, ValueError), folders.open(folder) as above:
        for name in list_folder(above):
            found = _LEFTOVER.fullmatch(name)
            if found and found["host"] == _HOST and not _alive(int(found["pid"])):
                with suppress(OSError):
                    os.unlink(name, dir_fd=above)
                    removed += 1
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # a number that no process has
        return False
    except PermissionError:
        return True
    return True

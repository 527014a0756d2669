"""Temporary names, and files that killed processes have left under them."""

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

_PREFIX = ".tiffin-"
_SUFFIX = ".part"
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]
_LEFTOVER = re.compile(
    re.escape(_PREFIX) + r"(?P<host>.+)-(?P<pid>\d+)-\d+" + re.escape(_SUFFIX)
)
_numbers = itertools.count()


def temporary_name() -> str:
    """Return a new temporary name, which does not end like a TIFF."""
    return f"{_PREFIX}{_HOST}-{os.getpid()}-{next(_numbers)}{_SUFFIX}"


def is_leftover(name: str) -> bool:
    """Return whether a name is that of an incomplete file."""
    return _LEFTOVER.fullmatch(name) is not None


def clear_leftovers(folders: Folders, folder: str = "") -> int:
    """Remove temporary files of killed processes; return how many.

    The folder is cleared without its subfolders, and need not exist. Files of running
    processes and of other hosts stay.
    """
    removed = 0
    # Ignore errors here: if they matter, writing the file will raise them.
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
    except (ProcessLookupError, OverflowError):  # no such process
        return False
    except PermissionError:
        return True
    return True

"""Temporary names, and what processes that died left under them."""

from __future__ import annotations

import itertools
import os
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["clear_leftovers", "is_leftover", "temporary_name"]

_PREFIX = ".tiffin-"
_SUFFIX = ".part"
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]
_LEFTOVER = re.compile(
    re.escape(_PREFIX) + r"(?P<host>.+)-(?P<pid>\d+)-\d+" + re.escape(_SUFFIX)
)
_numbers = itertools.count()


def temporary_name() -> str:
    """Give a name that no other write of this process has, and that no TIFF has."""
    return f"{_PREFIX}{_HOST}-{os.getpid()}-{next(_numbers)}{_SUFFIX}"


def is_leftover(name: str) -> bool:
    """Whether a file's name is one that it had before it was whole."""
    return _LEFTOVER.fullmatch(name) is not None


def clear_leftovers(folder: str | Path) -> int:
    """Remove what processes that died left under temporary names.

    Parameters
    ----------
    folder : str or pathlib.Path
        Only this folder, not those in it. It need not exist.

    Returns
    -------
    int
        How many files were removed. Those of living processes, and of other hosts,
        are left alone.
    """
    removed = 0
    # Tidying is a courtesy: whatever hinders it is told by the write, if it matters.
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _LEFTOVER.fullmatch(entry.name)
            if found and found["host"] == _HOST and not _alive(int(found["pid"])):
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108 (a Path costs as much)
                    removed += 1
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

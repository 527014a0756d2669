"""Give a file its name only when it is whole.

The bytes go to a temporary name in the target's own folder, which is then linked (never
over another file) or renamed (over it) into place.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from tiffin.errors import ExistsError, TiffinError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["clear_leftovers", "publish"]

_PREFIX = ".tiffin-"
_SUFFIX = ".part"
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]
_LEFTOVER = re.compile(
    re.escape(_PREFIX) + r"(?P<host>.+)-(?P<pid>\d+)-\d+" + re.escape(_SUFFIX)
)
_numbers = itertools.count()


def publish(target: Path, write: Callable[[int], object], *, replace: bool) -> None:
    """Write a file and give it its name, whole.

    Parameters
    ----------
    target : pathlib.Path
        Absolute. Its folders are made.
    write : callable
        Gets an open file descriptor and writes all bytes to it.
    replace : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    ExistsError
        If there is a file of that name and `replace` is false. It is left as it is.
    WriteError
        If the system refuses; nothing is left behind.
    """
    number = next(_numbers)
    temporary = target.parent / f"{_PREFIX}{_HOST}-{os.getpid()}-{number}{_SUFFIX}"
    try:
        descriptor = _create(temporary)
        try:
            write(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            os.replace(temporary, target)  # noqa: PTH105 (the same call, unwrapped)
        else:
            os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except TiffinError:
        raise
    except OSError as error:
        message = f"{target} can't be written: {error.strerror or error}"
        raise WriteError(message) from error
    except ValueError as error:  # a name that no system call takes
        message = f"{str(target)!r} can't be written: {error}"
        raise WriteError(message) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def clear_leftovers(folder: Path) -> int:
    """Remove what processes that died left under temporary names.

    Parameters
    ----------
    folder : pathlib.Path
        Only this folder, not those in it. It need not exist.

    Returns
    -------
    int
        How many files were removed. Those of living processes, and of other hosts,
        are left alone.
    """
    removed = 0
    with (
        suppress(FileNotFoundError, NotADirectoryError, PermissionError),
        os.scandir(folder) as entries,
    ):
        for entry in entries:
            found = _LEFTOVER.fullmatch(entry.name)
            if found and found["host"] == _HOST and not _alive(int(found["pid"])):
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108
                    removed += 1
    return removed


def _create(temporary: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(temporary, flags, 0o666)
    except FileNotFoundError:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        return os.open(temporary, flags, 0o666)


def _exists(target: Path) -> TiffinError:
    if target.exists() or target.is_symlink():
        return ExistsError.at(target)
    return WriteError(
        f"{target} can't be written: a file stands where a folder must be"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Open regular files only: a pipe, a socket or a device may block for ever.

Where a library opens a path by itself, `check_regular` looks at it first.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from tiffin.errors import ReadError
from tiffin.readers.places import not_there

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_regular", "open_regular"]

FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
"""Without the first, opening a pipe waits for its other end."""

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path, *, why: str = "") -> BinaryIO:
    """Open a regular file to be read, without waiting; links to one are followed.

    Parameters
    ----------
    path : pathlib.Path
    why : str, optional
        Added to the message where the file is not there.

    Returns
    -------
    file
        The caller closes it.

    Raises
    ------
    NotYetError
        If it is not there.
    ReadError
        If it is something else than a file.
    """
    check_regular(path, why=why)
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (opener=)
    except FileNotFoundError as error:
        raise not_there(path, why) from error
    try:
        # What is open is looked at again: it may be another by now.
        _refuse_special(os.fstat(file.fileno()).st_mode, path)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | FLAGS)


def check_regular(path: Path, *, why: str = "") -> None:
    """Refuse what is no regular file. Parameters and errors are `open_regular`'s."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise not_there(path, why) from error
    _refuse_special(mode, path)


def _refuse_special(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "no regular file")
        message = f"{path} is {kind}: only regular files are read"
        raise ReadError(message)

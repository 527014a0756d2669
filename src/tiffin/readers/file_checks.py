"""Checks before a file is opened or decoded.

A pipe, a socket or a device may block for ever, and a header of a few bytes may claim
gigabytes of pixels.
"""

from __future__ import annotations

import math
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from tiffin.errors import NotYetError, ReadError
from tiffin.obstacles import may_not_be_read
from tiffin.readers.root_map import missing_file_error

if TYPE_CHECKING:
    from pathlib import Path

# Without O_NONBLOCK, opening a pipe waits for its other end.
FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

LARGEST_IMAGE = 2**32
"""A classic TIFF holds less than this [bytes]."""

ALWAYS_ALLOWED = 2**26
DEFLATE_RATIO = 1032
"""Deflate never expands more than this; other codecs do, but only blank images."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without blocking; links are followed.

    A file that does not exist, or may not be read, raises `NotYetError`; anything else
    `ReadError`.
    """
    check_regular(path)
    try:
        file = open(path, "rb", opener=_open_nonblocking)  # noqa: SIM115 (opener=)
    except FileNotFoundError as error:
        raise missing_file_error(path) from error
    except PermissionError as error:
        raise _refused(path) from error
    try:
        # Check what was opened as well: the path may lead elsewhere by now.
        _refuse_special(os.fstat(file.fileno()).st_mode, path)
    except BaseException:
        file.close()
        raise
    return file


def check_regular(path: Path, *, hint: str = "") -> None:
    """Raise the errors of `open_regular`, without opening the file."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_file_error(path, hint) from error
    except PermissionError as error:
        raise _refused(path) from error
    _refuse_special(mode, path)
    if not os.access(path, os.R_OK):
        raise _refused(path)


def _refused(path: Path) -> NotYetError:
    """Return the error for a file that is there, and may not be read."""
    return NotYetError(may_not_be_read(path))


def check_image_size(
    path: Path, shape: tuple[int, ...], itemsize: int, stored: int, declared: int = 0
) -> None:
    """Refuse an implausibly large image before memory is allocated for it.

    That is one larger than a TIFF can be; or one that is large, larger than the
    `declared` number of pixels, and larger than its `stored` bytes can expand to.
    """
    pixels = math.prod(shape)
    size = pixels * itemsize
    if size >= LARGEST_IMAGE:
        message = f"{path}: an image of shape {[*shape]} has {size} bytes, over 4 GiB"
        raise ReadError(message)
    if size > max(ALWAYS_ALLOWED, DEFLATE_RATIO * stored) and pixels > declared:
        message = (
            f"{path}: its header claims an image of shape {[*shape]}, {size} bytes; "
            f"the file stores {stored} bytes for it, and the descriptor declares "
            f"{declared or 'no'} pixels: it is not expanded"
        )
        raise ReadError(message)


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | FLAGS)


def _refuse_special(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "not a regular file")
        message = f"{path} is {kind}: only regular files are read"
        raise ReadError(message)

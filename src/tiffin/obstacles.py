"""What stands in the way of a folder: a file, a dead link, a name, permissions."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

KERNEL = (("/", "proc"), ("/", "sys"))
"""Where Linux shows its state as files."""

LONGEST_NAME = 255
"""How long a name may be on usual file systems [bytes]."""


def is_there(path: str | os.PathLike[str]) -> bool:
    """Return whether there is a file or a folder, as far as this user can know."""
    with suppress(OSError, ValueError):
        Path(path).stat()
        return True
    return False


def may_not_be_read(path: object) -> str:
    """Return what to say of a file that is there, and that this user may not read."""
    return (
        f"{path} may not be read (permission denied): ask its owner, or run tiffin as "
        f"a user who may"
    )


def obstacle(folder: str | os.PathLike[str], *, write: bool = False) -> str:
    """Return why a path can't be a folder, in a sentence; "" if nothing is known.

    With `write`, also if this user may not write into it, or make it.

    Examples
    --------
    >>> obstacle("/dev/null/out")
    '/dev/null is a file, not a folder'
    >>> obstacle("/" + 300 * "x")
    "the name 'xxxxxxxxxxxxxxxxxxxx'… has 300 bytes, and 255 are allowed"
    >>> obstacle("/tmp/not there yet")
    ''
    """
    path = Path(folder).absolute()
    for name in path.parts:
        if len(os.fsencode(name)) > LONGEST_NAME:
            size, start = len(os.fsencode(name)), name[:20]
            return (
                f"the name {start!r}… has {size} bytes, and {LONGEST_NAME} are allowed"
            )
    top = Path(os.path.realpath(path)).parts[:2]
    if write and top in KERNEL:
        return f"{Path(*top)} shows the state of the system, and takes no files"
    for place in (*reversed(path.parents), path):
        try:
            mode = place.stat().st_mode
        except FileNotFoundError:
            if place.is_symlink():
                return f"{place} is a link to {place.readlink()}, which does not exist"
            return _refusal(place.parent) if write else ""
        except PermissionError:
            return f"you may not enter {place.parent}{_rights(place.parent)}"
        except OSError as error:
            in_a_circle = error.errno == errno.ELOOP
            return f"{place} is a link that leads in a circle" if in_a_circle else ""
        if not stat.S_ISDIR(mode):
            return f"{place} is a file, not a folder"
    return _refusal(path) if write else ""


def _refusal(folder: Path) -> str:
    if os.access(folder, os.W_OK | os.X_OK):
        return ""
    with suppress(OSError):
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return f"{folder} is on a read-only file system"
    return f"you may not write to {folder}{_rights(folder)}"


def _rights(folder: Path) -> str:
    with suppress(OSError, KeyError):
        return f" ({stat.filemode(folder.stat().st_mode)}, of {folder.owner()})"
    return ""

"""Check the free space of the disk before anything is written."""

from __future__ import annotations

import os
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from tiffin.corrections import Cast
from tiffin.display import size_text
from tiffin.errors import NoRoomError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

    from tiffin.records import Record
    from tiffin.settings import Settings


def check_room(settings: Settings, planned: Iterable[Record]) -> NoRoomError | None:
    """Compare the size of the planned files with the free space of the disk.

    Frames of unknown size count as empty. With corrections, there is no check.
    """
    if any(not isinstance(step, Cast) for step in settings.steps):
        return None
    size = lru_cache(64)(partial(_size, settings))
    needed = sum(
        size(record.shape, record.dtype) - _taken(settings, str(record.file))
        for record in planned
    )
    free = _free(settings.directory)
    if free is None or needed <= free:
        return None
    return NoRoomError(
        f"{settings.directory} has room for {size_text(free)}, but the files need "
        f"{size_text(needed)}: make room, or choose another directory or compression"
    )


def _size(
    settings: Settings, shape: tuple[int, ...] | None, declared: np.dtype | None
) -> int:
    """Return the size of a file, or 0 if it is not known [bytes]."""
    dtype = settings.dtype or declared
    if shape is None or dtype is None:
        return 0
    return settings.writer.size(shape, dtype) or 0


def _taken(settings: Settings, path: str) -> int:
    """Return the size of the file that will be replaced, if any [bytes]."""
    if settings.existing not in ("replace", "resume"):
        return 0
    try:
        return os.stat(path).st_size  # noqa: PTH116 (many, so no Path)
    except OSError:
        return 0


def _free(folder: Path) -> int | None:
    """Return the free space for a folder, which need not exist [bytes]."""
    for place in (folder, *folder.parents):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        if not found.f_blocks:  # no disk, such as /proc: writing says why not
            return None
        return found.f_bavail * found.f_frsize
    return None

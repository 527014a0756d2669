"""Whether the disk has room for an export, asked before anything is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tiffin.corrections import Cast
from tiffin.errors import NoRoomError
from tiffin.writers import file_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tiffin.export.settings import Export
    from tiffin.records import Record

__all__ = ["check_room"]


def check_room(settings: Export, planned: Iterable[Record]) -> NoRoomError | None:
    """Compare what is planned with what is free.

    Parameters
    ----------
    settings : Export
    planned : iterable of Record
        Of the frames that are to be written. Those of unknown size don't count, nor do
        corrections that change it, or compression.

    Returns
    -------
    NoRoomError or None
    """
    if settings.writer.compression is not None:
        return None
    if any(not isinstance(step, Cast) for step in settings.corrections):
        return None
    needed = sum(_needs(settings, record) for record in planned)
    free = _free(settings.root)
    if free is None or needed <= free:
        return None
    return NoRoomError(
        f"{settings.root} has room for {free / 1e6:.1f} MB, and the files would take "
        f"{needed / 1e6:.1f} MB: make room, or choose another directory or compression"
    )


def _needs(settings: Export, record: Record) -> int:
    """Tell what a file will take more than is taken already [bytes]."""
    dtype = settings.dtype or record.dtype
    if record.shape is None or dtype is None or record.path is None:
        return 0
    size = file_size(record.shape, dtype)
    if settings.existing in ("replace", "resume"):
        try:
            return size - record.path.stat().st_size
        except OSError:
            return size
    return size


def _free(folder: Path) -> int | None:
    """Tell what is free where a folder is, or will be [bytes]."""
    for place in (folder, *folder.parents):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return found.f_bavail * found.f_frsize
    return None

"""Force files to the disk, with the folders that name them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["sync_files"]


def sync_files(paths: Iterable[Path]) -> None:
    """Force files, and then their folders, to the disk. What is gone is left out."""
    folders = set()
    for path in paths:
        folders.add(path.parent)
        _sync(path)
    for folder in folders:
        _sync(folder)


def _sync(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Force files and their folders to the disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tiffin.errors import WriteError
from tiffin.export.publisher import caused_by
from tiffin.folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tiffin.folders import Folders


def sync_files(folders: Folders, paths: Iterable[Path]) -> list[WriteError]:
    """Force files, and then their folders, to the disk. Ignore missing files.

    Return an error for each file or folder that could not be forced to the disk.
    """
    files = list(paths)
    above = dict.fromkeys(path.parent for path in files)
    todo = [
        *((file, _sync_file) for file in files),
        *((f, _sync_folder) for f in above),
    ]
    errors = []
    for path, sync in todo:
        is_root = str(path) == folders.root
        try:
            sync(folders, "" if is_root else str(path.relative_to(folders.root)))
        except FileNotFoundError:
            continue
        except OSError as error:
            refused = WriteError(f"{path} can't be forced to the disk: {error}")
            errors.append(caused_by(refused, error))
    return errors


def _sync_file(folders: Folders, name: str) -> None:
    descriptor = folders.open_file(name)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folders: Folders, name: str) -> None:
    with folders.open(name) as folder:
        sync_folder(".", folder)

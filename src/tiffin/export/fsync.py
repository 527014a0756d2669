"""Force files and their folders to the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from tiffin.errors import WriteError
from tiffin.folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tiffin.folders import Folders


def sync_files(folders: Folders, paths: Iterable[Path]) -> list[WriteError]:
    """Force files, and then their folders, to the disk. Ignore missing files.

    Parameters
    ----------
    folders : Folders
        Of the root that the files lie below.
    paths : iterable of pathlib.Path

    Returns
    -------
    list of WriteError
        One for each file or folder that could not be forced to the disk.
    """
    files = list(paths)
    errors = []
    for path in files:
        try:
            _sync_file(folders, _name(folders, path))
        except OSError as error:
            errors.append(_refused(path, error))
    for path in dict.fromkeys(path.parent for path in files):
        try:
            _sync_folder(folders, _name(folders, path))
        except OSError as error:
            errors.append(_refused(path, error))
    return errors


def _name(folders: Folders, path: Path) -> str:
    """Return a path relative to the root, ``""`` for the root itself."""
    return "" if str(path) == folders.root else str(path.relative_to(folders.root))


def _refused(path: Path, error: OSError) -> WriteError:
    refused = WriteError(f"{path} can't be forced to the disk: {error}")
    refused.errno = error.errno
    return refused


def _sync_file(folders: Folders, name: str) -> None:
    with suppress(FileNotFoundError):
        descriptor = folders.open_file(name)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync_folder(folders: Folders, name: str) -> None:
    with suppress(FileNotFoundError), folders.open(name) as folder:
        sync_folder(".", folder)

"""Force files to the disk, with the folders that name them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from tiffin.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["sync_files"]


def sync_files(paths: Iterable[Path]) -> list[WriteError]:
    """Force files, and then their folders, to the disk. What is gone is left out.

    Returns
    -------
    list of WriteError
        Of what may not be there after a power cut.
    """
    files = list(paths)
    errors = []
    for path in (*files, *dict.fromkeys(path.parent for path in files)):
        try:
            _sync(path)
        except OSError as error:
            message = f"{path} can't be forced to the disk: {error}"
            errors.append(WriteError(message))
            errors[-1].errno = error.errno
    return errors


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

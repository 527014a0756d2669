"""Find the manifests of an exported folder."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from tiffin.engine.manifest_reader import FOLDER
from tiffin.errors import SourceError
from tiffin.folders import Folders, list_folder
from tiffin.obstacles import is_there, obstacle

if TYPE_CHECKING:
    from pathlib import Path


def manifests_in(root: Path) -> list[Path]:
    """Return the manifests of a root, sorted by name.

    A SourceError is raised if there is none, or if their folder can't be read or is a
    link.
    """
    names: list[str] = []
    try:
        with Folders(os.fspath(root)).open(FOLDER) as folder:
            names = list_folder(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        message = f"{root / FOLDER} can't be read: {error.strerror or error}"
        if obstacle(root):
            message = f"{obstacle(root)}: give the folder that an export wrote to"
        raise SourceError(message) from error
    if not is_there(root):
        raise SourceError(obstacle(root) or f"there is no folder {root}")
    found = [root / FOLDER / name for name in sorted(names) if name.endswith(".jsonl")]
    if not found:
        message = (
            f"{root} has no manifest ({FOLDER}/*.jsonl): no export has listed a file "
            f"here{_nearest(root)}"
        )
        raise SourceError(message)
    return found


def _nearest(root: Path) -> str:
    """Return the end of a message that names folders with a manifest near by."""
    near = [each for each in root.parents if is_there(each / FOLDER)][:1]
    with suppress(OSError):
        below = (path.parent for n in (1, 2) for path in root.glob("*/" * n + FOLDER))
        near += islice(below, 3)
    return f": did you mean {' or '.join(map(str, near))}?" if near else ""

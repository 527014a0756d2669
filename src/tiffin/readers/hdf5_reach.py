"""What an HDF5 file reaches for: looked at before code of others opens it."""

from __future__ import annotations

import itertools
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import NotYetError
from tiffin.readers.hdf5_files import Hdf5File, linked, raw_files
from tiffin.readers.regular import check_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_reach", "is_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def check_reach(path: Path, allowed: tuple[Path, ...]) -> None:
    """Refuse an HDF5 file that reaches for what it may not.

    That is a raw file outside the folders allowed, or, by links and virtual datasets,
    what is no regular file. Files of other formats, and folders, are left alone.

    Parameters
    ----------
    path : pathlib.Path
    allowed : tuple of pathlib.Path
        The folders in which raw files may lie.

    Raises
    ------
    ReadError
        If it does, or is no regular file itself.
    NotYetError
        If it can't be opened.
    """
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        path = waiting.pop().resolve()
        if path in seen or not path.exists() or path.is_dir():
            continue
        seen.add(path)
        check_regular(path)
        if is_hdf5(path):
            with closing(Hdf5File(path)) as file:
                waiting.extend(_named_in(file.root, allowed))


def is_hdf5(path: Path) -> bool:
    """Look for the signature: at the beginning, or behind a user block."""
    size, begin = path.stat().st_size, 0
    with path.open("rb") as file:
        while begin < size:
            file.seek(begin)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
            begin = 2 * begin or 512
    return False


def _named_in(root: Any, allowed: tuple[Path, ...]) -> Iterator[Path]:
    """Return the files that links and virtual datasets name; check raw files."""
    import h5py

    holder = Path(root.filename)
    groups, seen = [root["/"]], set()
    while groups:
        group = groups.pop()
        links = group.id.links
        for key in group.id:
            kind = links.get_info(key).type
            if kind == h5py.h5l.TYPE_EXTERNAL:
                name = os.fsdecode(links.get_val(key)[0])
                yield from _found(holder, name, "HDF5_EXT_PREFIX")
            if kind != h5py.h5l.TYPE_HARD or links.get_info(key).u in seen:
                continue
            seen.add(links.get_info(key).u)  # its address
            node = group[key]
            if isinstance(node, h5py.Group):
                groups.append(node)
            elif isinstance(node, h5py.Dataset):
                raw_files(node, allowed)
                sources = node.virtual_sources() if node.is_virtual else ()
                for name in {source.file_name for source in sources}:
                    yield from _found(holder, name, "HDF5_VDS_PREFIX")


def _found(holder: Path, name: str, prefixes: str) -> Iterator[Path]:
    """Return the files that a name means, as far as they are there."""
    numbers = itertools.count() if "%b" in name else range(1)
    with suppress(NotYetError):
        for number in numbers:
            yield linked(holder, name.replace("%b", str(number)), prefixes)

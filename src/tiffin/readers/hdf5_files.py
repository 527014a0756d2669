"""HDF5 files and what lies in them, found without letting HDF5 open what it likes.

HDF5 follows links into other files, and takes numbers from raw files, wherever a file
says so. Here each link is followed by hand: only regular HDF5 files are opened, and raw
files only where a user allows it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingLibraryError, NotYetError, ReadError
from tiffin.readers.regular import check_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Hdf5File", "linked", "open_hdf5", "raw_files"]

MOST_LINKS = 16
"""As many as HDF5 itself follows one after another."""

LOCKED = (errno.EAGAIN, errno.EACCES, errno.ENOLCK)


class Hdf5File:
    """An HDF5 file, and the files that its links lead to. They are closed together.

    Parameters
    ----------
    file : pathlib.Path or h5py.File
        To be opened; or open already, and left open by `close`.

    Attributes
    ----------
    root : h5py.File

    Raises
    ------
    NotYetError
        If it is not there, or not whole.
    ReadError
        If it is no regular file.
    """

    def __init__(self, file: Any) -> None:
        self._own: list[Any] = []
        self.root = self._opened(file) if isinstance(file, Path) else file
        self._path = Path(self.root.filename)

    def dataset(self, name: str) -> Any:
        """Find a dataset, through links of all kinds.

        Raises
        ------
        NotYetError
            If it is not there. A file to which a link leads is named.
        ReadError
            If it is something else, or links lead in a circle.
        """
        node, rest, links = self.root, _parts(name), 0
        while rest:
            node, more = self._next(node, rest.pop(0), name)
            rest = more + rest
            links += bool(more)
            if links > MOST_LINKS:
                message = f"{self._path}: the links to {name!r} lead in a circle"
                raise ReadError(message)
        if not hasattr(node, "dtype") or not hasattr(node, "chunks"):
            message = f"{self._path}: {name!r} is a group, not a dataset"
            raise ReadError(message)
        return node

    def close(self) -> None:
        """Close what was opened here."""
        while self._own:
            with suppress(Exception):  # nothing more is read from it
                self._own.pop().close()

    def _next(self, node: Any, part: str, name: str) -> tuple[Any, list[str]]:
        """Take one step; give where it leads, and the steps that a link adds."""
        import h5py

        key = os.fsencode(part)
        links = node.id.links if isinstance(node, h5py.Group) else None
        if links is None or not links.exists(key):
            where = node.file.filename
            message = f"{where} has no dataset {name!r} (yet): {part!r} is not there"
            raise NotYetError(message)
        kind = links.get_info(key).type
        if kind == h5py.h5l.TYPE_HARD:
            return node[key], []
        if kind == h5py.h5l.TYPE_SOFT:
            target = os.fsdecode(links.get_val(key))
            return node.file if target.startswith("/") else node, _parts(target)
        if kind == h5py.h5l.TYPE_EXTERNAL:
            other, target = map(os.fsdecode, links.get_val(key))
            path = linked(Path(node.file.filename), other, "HDF5_EXT_PREFIX")
            return self._opened(path), _parts(target)
        message = f"{self._path}: {part!r} is a link of a kind that is not supported"
        raise ReadError(message)

    def _opened(self, path: Path) -> Any:
        file = open_hdf5(path)
        self._own.append(file)
        return file


def open_hdf5(path: Path) -> Any:
    """Open an HDF5 file for reading, also while it is written to.

    Raises
    ------
    NotYetError
        If it is not there, or not whole.
    ReadError
        If it is no regular file.
    """
    try:
        import h5py

        with suppress(ImportError):
            import hdf5plugin  # noqa: F401 (registers the filters of detectors)
    except ImportError as error:
        message = f"HDF5 needs h5py: pip install 'tiffin[hdf5]' ({error})"
        raise MissingLibraryError(message) from error
    check_regular(path)
    # Without SWMR first: only so is a truncated file refused. A file that another
    # process writes to opens with SWMR only.
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:  # the second of a head half written
        refusal = error
    try:
        if "truncated" not in str(refusal):
            return h5py.File(path, "r", swmr=True)
    except (OSError, RuntimeError):
        pass
    message = f"{path} can't be opened (yet): {_reason(refusal)}"
    raise NotYetError(message) from refusal


def linked(holder: Path, name: str, prefixes: str) -> Path:
    """Find the file that another one names, where HDF5 looks for it.

    Parameters
    ----------
    holder : pathlib.Path
        The file that names it.
    name : str
    prefixes : str
        The environment variable with folders to look in.

    Raises
    ------
    NotYetError
        If it is nowhere.
    """
    found = next((p for p in _candidates(holder, name, prefixes) if p.exists()), None)
    if found is None:
        message = (
            f"{holder} leads to the HDF5 file {name}, which is not there (yet): it "
            f"belongs beside {holder.name}"
        )
        raise NotYetError(message)
    return found


def raw_files(dataset: Any, allowed: tuple[Path, ...]) -> list[tuple[Path, int]]:
    """Return the raw files that a dataset takes its numbers from, if that is allowed.

    Parameters
    ----------
    dataset : h5py.Dataset
    allowed : tuple of pathlib.Path
        The folders where such files may lie; absolute, without links.

    Returns
    -------
    list of (pathlib.Path, int)
        Each with the number of bytes that it must have, as far as that is known.

    Raises
    ------
    ReadError
        If one lies elsewhere, or is no regular file.
    NotYetError
        If one is not there.
    """
    import h5py

    return [
        (path, offset + size if size != h5py.h5f.UNLIMITED else offset)
        for name, offset, size in dataset.external or ()
        for path in _raw_file(dataset, os.fsdecode(name), allowed)
    ]


def _raw_file(dataset: Any, name: str, allowed: tuple[Path, ...]) -> list[Path]:
    holder = Path(dataset.file.filename)
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace(
        "${ORIGIN}", str(holder.resolve().parent)
    )
    # Whether HDF5 has seen the variable can't be known, so both places count.
    places = {Path(name), Path(prefix, name)}
    found = [path for path in places if path.exists()] or [Path(prefix, name)]
    for path in found:
        real = path.resolve()
        if not any(real.is_relative_to(folder) for folder in allowed):
            message = (
                f"{holder}: {dataset.name!r} takes its numbers from another file, "
                f"{real} (HDF5 external raw storage): allow_external= names the "
                f"folders where such files may lie"
            )
            raise ReadError(message)
        check_regular(path)
    return found


def _candidates(holder: Path, name: str, prefixes: str) -> Iterator[Path]:
    beside = Path(name).name if Path(name).is_absolute() else name
    folder = holder.parent
    if Path(name).is_absolute():
        yield Path(name)
    for prefix in os.environ.get(prefixes, "").split(":"):
        if prefix:
            yield Path(prefix.replace("${ORIGIN}", str(folder))) / beside
    yield folder / beside
    yield Path(name)
    yield holder.resolve().parent / beside


def _reason(refusal: OSError | RuntimeError) -> str:
    """Say why HDF5 does not open a file, and what helps."""
    text = str(refusal)
    number = getattr(refusal, "errno", None)
    if number in LOCKED and "lock" in text:
        return (
            f"it is locked (errno {number}): a process has it open for writing, "
            f"without SWMR, or its file system has no locks; HDF5_USE_FILE_LOCKING="
            f"FALSE in the environment, before Python starts, reads it all the same "
            f"({text})"
        )
    if "truncated" in text:
        return f"it is truncated, or still being written ({text})"
    if "signature" in text:
        return f"it is not HDF5 ({text})"
    return text


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]

"""Open HDF5 files, and find datasets in them without HDF5 opening other files itself.

HDF5 follows links into other files, and reads raw files, wherever a file says so. Here
every link is followed by hand: only regular HDF5 files are opened, and raw files only
where the user allows it.
"""

from __future__ import annotations

import errno
import itertools
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import NotYetError, ReadError, optional_import
from tiffin.readers.file_checks import check_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINKS = 16
"""HDF5 itself follows no more, one after another."""

LOCKED = (errno.EAGAIN, errno.EACCES, errno.ENOLCK)


class Hdf5File:
    """An HDF5 file and the files that its links lead to, closed together.

    A file that is given open stays open.
    """

    def __init__(self, file: Any) -> None:
        self._own: list[Any] = []
        self.root = self._opened(file) if isinstance(file, Path) else file
        self._path = Path(self.root.filename)

    def dataset(self, name: str) -> Any:
        """Find a dataset, through links of all kinds."""
        node, rest, links = self.root, _parts(name), 0
        while rest:
            node, added = self._step(node, rest.pop(0), name)
            rest = added + rest
            links += bool(added)
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

    def _step(self, node: Any, part: str, name: str) -> tuple[Any, list[str]]:
        """Return where one part of a path leads, and the parts that a link adds."""
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
            path = find_linked(Path(node.file.filename), other, "HDF5_EXT_PREFIX")
            return self._opened(path), _parts(target)
        message = f"{self._path}: {part!r} is a link of a kind that is not supported"
        raise ReadError(message)

    def _opened(self, path: Path) -> Any:
        file = _open(path)
        self._own.append(file)
        return file


def _open(path: Path) -> Any:
    """Open a file for reading, even while another process writes to it."""
    with optional_import("HDF5 needs h5py", extra="hdf5"):
        import h5py
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401 (registers the filters of detectors)
    check_regular(path)
    # Without SWMR first, because only this refuses a truncated file. A file that
    # another process writes to opens with SWMR only.
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:  # the latter for half-written metadata
        refusal = error
    with suppress(OSError, RuntimeError):
        if "truncated" not in str(refusal):
            return h5py.File(path, "r", swmr=True)
    message = f"{path} can't be opened (yet): {_reason(refusal)}"
    raise NotYetError(message) from refusal


def find_linked(holder: Path, name: str, variable: str) -> Path:
    """Find the file that another one names, where HDF5 would look for it.

    The environment variable has folders to look in.
    """
    beside = Path(name).name if Path(name).is_absolute() else name
    prefixes = filter(None, os.environ.get(variable, "").split(":"))
    candidates = [
        *([Path(name)] if Path(name).is_absolute() else []),
        *(Path(p.replace("${ORIGIN}", str(holder.parent))) / beside for p in prefixes),
        holder.parent / beside,
        Path(name),
        holder.resolve().parent / beside,
    ]
    for path in candidates:
        if path.exists():
            return path
    message = (
        f"{holder} leads to the HDF5 file {name}, which is not there (yet): it "
        f"belongs beside {holder.name}"
    )
    raise NotYetError(message)


def raw_files(dataset: Any, allowed: tuple[Path, ...]) -> list[tuple[Path, int]]:
    """Return the external raw files of a dataset, if they lie in folders allowed.

    Each comes with the number of bytes that it must have, as far as that is known.
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
    # It is unknown whether HDF5 has seen the variable, so both places are checked.
    places = {Path(name), Path(prefix, name)}
    paths = [path for path in places if path.exists()] or [Path(prefix, name)]
    for path in paths:
        real = path.resolve()
        if not any(real.is_relative_to(folder) for folder in allowed):
            message = (
                f"{holder}: {dataset.name!r} takes its numbers from another file, "
                f"{real} (HDF5 external raw storage): allow_external= names the "
                f"folders where such files may lie"
            )
            raise ReadError(message)
        check_regular(path)
    return paths


def check_references(path: Path, allowed: tuple[Path, ...]) -> None:
    """Check the files that an HDF5 file refers to, before someone else's code opens it.

    Raw files must lie in the folders allowed, and links and virtual datasets must lead
    to regular files. Folders, and files of other formats, are left alone.
    """
    checked: set[Path] = set()
    waiting = [path]
    while waiting:
        path = waiting.pop().resolve()
        if path in checked or not path.exists() or path.is_dir():
            continue
        checked.add(path)
        check_regular(path)
        if is_hdf5(path):
            with closing(Hdf5File(path)) as file:
                waiting.extend(_referenced_files(file.root, allowed))


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5; False without h5py, which a handler would need too."""
    try:
        import h5py
    except ImportError:
        return False
    return bool(h5py.is_hdf5(path))


def _referenced_files(root: Any, allowed: tuple[Path, ...]) -> Iterator[Path]:
    """Return the files of links and virtual datasets; check raw files."""
    import h5py

    holder = Path(root.filename)
    groups, seen = [root["/"]], set()
    while groups:
        group = groups.pop()
        links = group.id.links
        for key in group.id:
            info = links.get_info(key)
            if info.type == h5py.h5l.TYPE_EXTERNAL:
                name = os.fsdecode(links.get_val(key)[0])
                yield from _existing(holder, name, "HDF5_EXT_PREFIX")
            if info.type != h5py.h5l.TYPE_HARD or info.u in seen:
                continue
            seen.add(info.u)  # the address of the object
            node = group[key]
            if isinstance(node, h5py.Group):
                groups.append(node)
            elif isinstance(node, h5py.Dataset):
                raw_files(node, allowed)
                sources = node.virtual_sources() if node.is_virtual else ()
                for name in {source.file_name for source in sources}:
                    yield from _existing(holder, name, "HDF5_VDS_PREFIX")


def _existing(holder: Path, name: str, variable: str) -> Iterator[Path]:
    """Return the files that a name means, numbered ones (``%b``) up to a gap."""
    numbers = itertools.count() if "%b" in name else range(1)
    with suppress(NotYetError):
        for number in numbers:
            yield find_linked(holder, name.replace("%b", str(number)), variable)


def _reason(refusal: OSError | RuntimeError) -> str:
    """Return why HDF5 does not open a file, and what to do about it."""
    text = str(refusal)
    number = getattr(refusal, "errno", None)
    if number in LOCKED and "lock" in text:
        return (
            f"it is locked (errno {number}): a process has it open for writing "
            f"without SWMR, or its file system has no locks; to read it anyway, set "
            f"HDF5_USE_FILE_LOCKING=FALSE in the environment before Python starts "
            f"({text})"
        )
    if "truncated" in text:
        return f"it is truncated, or still being written ({text})"
    if "signature" in text:
        return f"it is not HDF5 ({text})"
    return text


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]

"""Find files on this machine by the paths and URIs that documents record."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tiffin.errors import NotYetError, ReadError, SettingsError

_FILE_URI = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/.*)", re.I | re.DOTALL)
_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[\\/]")
_DRIVE = re.compile(r"^/?[A-Za-z]:")


class RootMap:
    r"""Replace the beginning of recorded paths, for files from another mount.

    It also carries the other settings that say how external files are read.

    Parameters
    ----------
    roots : mapping of str to str, optional
        Recorded beginning → beginning here, as paths or as file URIs. Windows paths
        may be written with either slash, in either case.
    allow_external : iterable of path, optional
        Folders in which HDF5 external raw storage may lie.
    handlers : mapping of str to callable, optional
        Handlers for Resource documents by spec; they override registered ones.

    Raises
    ------
    SettingsError
        If a parameter is of another type.

    Examples
    --------
    >>> roots = RootMap({"C:\\data": "/mnt/xf28", "/nsls2": "/mnt"})
    >>> str(roots.path("c:/Data/2026/a.h5")), str(roots.path("/nsls2/b.h5"))
    ('/mnt/xf28/2026/a.h5', '/mnt/b.h5')
    >>> str(roots.locate("file://localhost/C:/data/scan%201.h5"))
    '/mnt/xf28/scan 1.h5'
    """

    def __init__(
        self,
        roots: Mapping[str, str] | None = None,
        allow_external: Iterable[str | os.PathLike[str]] = (),
        handlers: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.allow_external = _folders(allow_external)
        self.handlers = _handlers(handlers)
        given: object = {} if roots is None else roots
        if not isinstance(given, Mapping):
            message = (
                f"must be a mapping of recorded beginnings of paths to those here, not "
                f"{roots!r}"
            )
            raise SettingsError(message, setting="root_map")
        pairs = [_pair(old, new) for old, new in given.items()]
        self._roots = sorted(pairs, key=lambda pair: -len(pair[0]))  # longest first

    def path(self, recorded: str) -> Path:
        """Return the path here of a recorded path."""
        path = _with_slashes(recorded)
        return self._mapped(path) or Path(path)

    def locate(self, uri: str) -> Path:
        """Return the path here of a file URI, or of an absolute path.

        The raw path is tried first, its percent-decoded form only if the raw one does
        not exist: some writers encode it, and some don't.
        """
        match = _FILE_URI.fullmatch(uri)
        if match is None and _ABSOLUTE.match(uri):
            return self.path(uri)
        if match is None:
            message = f"{uri!r} is not a file URI: only files can be read"
            raise ReadError(message)
        host, path = match["host"] or "", match["path"]
        raw = self._first_mapped(_candidate_paths(host, path))
        if "%" not in path or raw.exists():
            return raw
        decoded = self._first_mapped(_candidate_paths(host, unquote(path)))
        return decoded if decoded.exists() or not raw.parent.exists() else raw

    def _first_mapped(self, candidates: list[str]) -> Path:
        mapped = map(self._mapped, candidates)
        return next((path for path in mapped if path), Path(candidates[-1]))

    def _mapped(self, path: str) -> Path | None:
        for old, new in self._roots:
            if _starts_with(path, old):
                return Path(new) / path[len(old) :].lstrip("/")
        return None


def missing_file_error(path: Path, hint: str = "") -> NotYetError:
    """Return the error for a file that does not exist (yet)."""
    return NotYetError(
        f"{path} is not there (yet){hint}: if files were recorded on another mount, "
        f"use root_map="
    )


def _folders(given: Any) -> tuple[Path, ...]:
    folders = (given,) if isinstance(given, str | os.PathLike) else given
    try:
        return tuple(Path(folder).resolve() for folder in folders)
    except (TypeError, ValueError) as error:
        message = f"must be a list of folders, not {given!r}"
        raise SettingsError(message, setting="allow_external") from error


def _handlers(given: Any) -> dict[str, Callable[..., Any]]:
    handlers: dict[Any, Any] = {}
    if given is not None:
        handlers = dict(given) if isinstance(given, Mapping) else {"": given}
    for spec, handler in handlers.items():
        if not isinstance(spec, str) or not spec or not callable(handler):
            message = (
                f"must map specs to handler classes, as in "
                f"handlers={{'AD_TIFF': AreaDetectorTiffHandler}}, not {spec!r} to "
                f"{handler!r}"
            )
            raise SettingsError(message, setting="handlers")
    return handlers


def _pair(old: object, new: object) -> tuple[str, str]:
    """Check an entry of the map, and return both beginnings as paths."""
    for root in (old, new):
        if not isinstance(root, str | os.PathLike) or not str(root):
            message = (
                f"must give the beginning of paths here for a recorded one, not "
                f"{new!r} for {old!r}"
            )
            raise SettingsError(message, setting="root_map")
    return _root_paths(str(old))[0].rstrip("/"), _root_paths(str(new))[-1]


def _root_paths(root: str) -> list[str]:
    match = _FILE_URI.fullmatch(root)
    if match is None:
        return [_with_slashes(root)]
    return _candidate_paths(match["host"] or "", unquote(match["path"]))


def _candidate_paths(host: str, path: str) -> list[str]:
    r"""Return the paths that a URI can mean; the first is looked up first.

    The host is a Windows server whose share the path begins with; or the machine that
    wrote the file, which does not matter; or the drive, if a slash is missing.

    Examples
    --------
    >>> _candidate_paths("localhost", "/nsls2/a.h5"), _candidate_paths("C:", "/d/a.h5")
    (['/nsls2/a.h5'], ['C:/d/a.h5'])
    >>> _candidate_paths("srv", "/share/a.h5"), _candidate_paths("", "/c:\\data\\a.h5")
    (['//srv/share/a.h5', '/share/a.h5'], ['c:/data/a.h5'])
    """
    plain = re.sub(r"^/{2,}", "/", path)
    if host and _DRIVE.match(host):
        return [_with_slashes(host + path)]
    if _DRIVE.match(plain):
        return [_with_slashes(plain[1:])]
    if path != plain:
        return [path, plain]
    if host.casefold() not in ("", "localhost"):
        return [f"//{host}{path}", path]
    return [path]


def _with_slashes(path: str) -> str:
    is_windows = _DRIVE.match(path) or path.startswith("\\\\")
    return path.replace("\\", "/") if is_windows else path


def _starts_with(path: str, root: str) -> bool:
    is_windows = _DRIVE.match(root) or root.startswith("//")
    start = path[: len(root)]
    same = start.casefold() == root.casefold() if is_windows else start == root
    if not root and path.startswith("//"):  # "/" is not the root of a share
        return False
    return same and (len(path) == len(root) or path[len(root)] == "/")

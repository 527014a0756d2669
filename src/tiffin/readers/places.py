"""Find on this machine what a document calls by the name it had on another."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tiffin.errors import NotYetError, ReadError, SettingsError

__all__ = ["RootMap", "not_there"]

_FILE_URI = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/.*)", re.I | re.DOTALL)
_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[\\/]")
_DRIVE = re.compile(r"^/?[A-Za-z]:")


class RootMap:
    r"""Replaces the beginnings of paths, for files recorded on another mount.

    Parameters
    ----------
    roots : mapping of str to str, optional
        Recorded beginning → beginning here, as paths or as file URIs. Windows' paths
        may be written with either slash, in either case.
    allow_external : iterable of path, optional
        The folders in which raw files may lie that an HDF5 file names as its pixels.
    handlers : mapping of str to callable, optional
        Handlers for Resource documents by spec; they go before registered ones.

    Raises
    ------
    SettingsError
        If one of them is not that.

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
        said: object = {} if roots is None else roots
        if not isinstance(said, Mapping):
            message = f"root_map is a mapping of old beginnings to new, not {roots!r}"
            raise SettingsError(message)
        self._roots = [_pair(old, new) for old, new in said.items()]
        # The longest beginning that fits is meant.
        self._roots.sort(key=lambda pair: -len(pair[0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RootMap) and other._all() == self._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def _all(self) -> tuple[object, ...]:
        return tuple(self._roots), self.allow_external, tuple(self.handlers.items())

    def path(self, recorded: str) -> Path:
        """Return the path here of a recorded path."""
        path = _slashes(recorded)
        mapped = self._mapped(path)
        return Path(path) if mapped is None else mapped

    def locate(self, uri: str) -> Path:
        """Return the path here of a file URI, or of an absolute path in its place.

        A URI's raw path is tried first and its percent-decoded form only if that is
        absent: some writers encode, and some don't.

        Raises
        ------
        ReadError
            If the URI is none of a file.
        """
        found = _FILE_URI.fullmatch(uri)
        if found is None and _ABSOLUTE.match(uri):
            return self.path(uri)
        if found is None:
            message = f"{uri!r} is no file URI: only files can be read"
            raise ReadError(message)
        host, path = found["host"] or "", found["path"]
        raw = self._first_mapped(_readings(host, path))
        if "%" not in path or raw.exists():
            return raw
        decoded = self._first_mapped(_readings(host, unquote(path)))
        return decoded if decoded.exists() or not raw.parent.exists() else raw

    def _first_mapped(self, readings: list[str]) -> Path:
        mapped = (self._mapped(reading) for reading in readings)
        return next((path for path in mapped if path), Path(readings[-1]))

    def _mapped(self, path: str) -> Path | None:
        for old, new in self._roots:
            if _begins(path, old):
                return Path(new) / path[len(old) :].lstrip("/")
        return None


def not_there(path: Path, why: str = "") -> NotYetError:
    """Return the error that says where a file was looked for, and what may help."""
    return NotYetError(
        f"{path} is not there (yet){why}: root_map= can tell where files of another "
        f"mount lie here"
    )


def _folders(said: Any) -> tuple[Path, ...]:
    folders = (said,) if isinstance(said, str | os.PathLike) else said
    try:
        return tuple(Path(folder).resolve() for folder in folders)
    except (TypeError, ValueError) as error:
        message = f"allow_external is a list of folders, not {said!r}"
        raise SettingsError(message) from error


def _handlers(said: Any) -> dict[str, Callable[..., Any]]:
    """Check a mapping from specs to handlers; give a copy."""
    found: dict[Any, Any] = {}
    if said is not None:
        found = dict(said) if isinstance(said, Mapping) else {"": said}
    for spec, handler in found.items():
        if not isinstance(spec, str) or not spec or not callable(handler):
            message = (
                f"handlers maps specs to handler classes, as in "
                f"handlers={{'AD_TIFF': AreaDetectorTiffHandler}}, not {spec!r} to "
                f"{handler!r}"
            )
            raise SettingsError(message)
    return found


def _pair(old: object, new: object) -> tuple[str, str]:
    """Check an entry of a map; give old and new beginning as paths."""
    for said in (old, new):
        if not isinstance(said, str | os.PathLike) or not str(said):
            message = (
                f"root_map gives the beginning of paths here for one recorded, not "
                f"{new!r} for {old!r}"
            )
            raise SettingsError(message)
    return _readings_of(str(old))[0].rstrip("/"), _readings_of(str(new))[-1]


def _readings_of(said: str) -> list[str]:
    """Read a path, or a file URI."""
    uri = _FILE_URI.fullmatch(said)
    return (
        [_slashes(said)]
        if uri is None
        else _readings(uri["host"] or "", unquote(uri["path"]))
    )


def _readings(host: str, path: str) -> list[str]:
    r"""Return the paths that a URI can mean, the one to look up in a map first.

    A host is a Windows server whose share the path begins with, or the machine that
    wrote the file, which is nothing to a path; or the drive, if a slash is missing.

    Examples
    --------
    >>> _readings("localhost", "/nsls2/a.h5"), _readings("C:", "/data/a.h5")
    (['/nsls2/a.h5'], ['C:/data/a.h5'])
    >>> _readings("srv", "/share/a.h5"), _readings("", "/c:\\data\\a.h5")
    (['//srv/share/a.h5', '/share/a.h5'], ['c:/data/a.h5'])
    """
    plain = re.sub(r"^/{2,}", "/", path)
    if _DRIVE.match(host) and host:
        return [_slashes(host + path)]
    if _DRIVE.match(plain):
        return [_slashes(plain[1:])]
    if path != plain:
        return [path, plain]
    if host.casefold() not in ("", "localhost"):
        return [f"//{host}{path}", path]
    return [path]


def _slashes(path: str) -> str:
    windows = _DRIVE.match(path) or path.startswith("\\\\")
    return path.replace("\\", "/") if windows else path


def _begins(path: str, old: str) -> bool:
    windows = _DRIVE.match(old) or old.startswith("//")
    begin = path[: len(old)]
    same = begin.casefold() == old.casefold() if windows else begin == old
    if not old and path.startswith("//"):  # "/" is the beginning of no share
        return False
    return same and (len(path) == len(old) or path[len(old)] == "/")

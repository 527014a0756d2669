"""Find on this machine what a document calls by the name it had on another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tiffin.errors import ReadError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RootMap"]

_FILE_URI = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/.*)", re.DOTALL)
_DRIVE = re.compile(r"^/?[A-Za-z]:")


class RootMap:
    r"""Replaces the beginnings of paths, for files recorded on another mount.

    Parameters
    ----------
    roots : mapping of str to str, optional
        Recorded beginning → beginning here. Windows' paths may be written with either
        slash, in either case.

    Examples
    --------
    >>> roots = RootMap({"C:\\data": "/mnt/xf28", "/nsls2": "/mnt"})
    >>> str(roots.path("c:/Data/2026/a.h5")), str(roots.path("/nsls2/b.h5"))
    ('/mnt/xf28/2026/a.h5', '/mnt/b.h5')
    >>> str(roots.locate("file://localhost/C:/data/scan%201.h5"))
    '/mnt/xf28/scan 1.h5'
    """

    def __init__(self, roots: Mapping[str, str] | None = None) -> None:
        self._roots: list[tuple[str, str]] = []
        for old, new in (roots or {}).items():
            if not str(old) or not str(new):
                message = f"root_map gives a new beginning for an old one, not {old!r}"
                raise SettingsError(message)
            self._roots.append((_slashes(str(old)).rstrip("/"), str(new)))
        # The longest beginning that fits is meant.
        self._roots.sort(key=lambda pair: -len(pair[0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RootMap) and other._roots == self._roots

    def __hash__(self) -> int:
        return hash(tuple(self._roots))

    def path(self, recorded: str) -> Path:
        """Give the path here of a recorded path."""
        path = _slashes(recorded)
        for old, new in self._roots:
            if _begins(path, old):
                return Path(new) / path[len(old) :].lstrip("/")
        return Path(path)

    def locate(self, uri: str) -> Path:
        """Give the path here of a file URI.

        The raw path is tried first and its percent-decoded form only if that is
        absent: some writers encode, and some don't.

        Raises
        ------
        ReadError
            If the URI is none of a file.
        """
        found = _FILE_URI.fullmatch(uri)
        if found is None:
            message = f"{uri!r} is no file URI: only files can be read"
            raise ReadError(message)
        path = _uri_path(found["path"])
        raw = self.path(path)
        if "%" not in path or raw.exists():
            return raw
        decoded = self.path(unquote(path))
        return decoded if decoded.exists() or not raw.parent.exists() else raw


def _uri_path(path: str) -> str:
    path = re.sub(r"^/{2,}", "/", path)
    return path[1:] if _DRIVE.match(path) else path


def _slashes(path: str) -> str:
    windows = _DRIVE.match(path) or path.startswith("\\\\")
    return path.replace("\\", "/") if windows else path


def _begins(path: str, old: str) -> bool:
    begin = path[: len(old)]
    same = begin.casefold() == old.casefold() if _DRIVE.match(old) else begin == old
    return same and (len(path) == len(old) or path[len(old)] == "/")

"""Find names that are the same on disks that ignore case."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tiffin.engine import folded

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CaseConflicts"]


class _Listed(NamedTuple):
    """The names in a folder, and those that are the same on some systems."""

    names: set[str]
    folded: Mapping[str, set[str]]


class CaseConflicts:
    """Finds existing files and folders whose names are the same on some systems.

    Each folder is listed once, and again after `forget`, when only new
    names are folded: that takes most of the time.

    Parameters
    ----------
    root : str
        The folder that names are relative to.
    follow_links : bool
        Whether folders may be links.
    """

    def __init__(self, root: str, *, follow_links: bool = False) -> None:
        self._root = root
        self._links: dict[str, str | None] = {}
        self._follow_links = follow_links
        self._listed: dict[str, _Listed] = {}
        self._before: dict[str, _Listed] = {}

    def twin(self, name: str) -> str | None:
        """Return an existing path that differs from a name only in case or composition.

        Parameters
        ----------
        name : str
            Relative to the root.

        Returns
        -------
        str or None
            A path relative to the root: a file, or one of its folders. None if there is
            none, or if the name itself exists.
        """
        folder = ""
        for part in name.split("/"):
            there = self._there(folder).get(folded(part))
            if not there:
                return None
            if part not in there:
                return folder + min(there)
            folder += part + "/"
        return None

    def is_listed(self, name: str) -> bool:
        """Return whether something had a name when its folder was listed."""
        folder, slash, last = name.rpartition("/")
        return last in self._there(folder + slash).get(folded(last), ())

    def link(self, folder: str) -> str | None:
        """Return the first link on the way to a folder, unless links are allowed.

        Parameters
        ----------
        folder : str
            Relative to the root.
        """
        if not folder or self._follow_links:
            return None
        if folder not in self._links:
            found = self.link(folder.rpartition("/")[0])
            path = f"{self._root}/{folder}"
            is_link = os.path.islink(path)  # noqa: PTH114 (a Path costs as much)
            self._links[folder] = found or (path if is_link else None)
        return self._links[folder]

    def forget(self) -> None:
        """List the folders again, because others may have written there."""
        self._links.clear()
        self._before, self._listed = self._listed, {}

    def _there(self, folder: str) -> Mapping[str, set[str]]:
        listed = self._listed.get(folder)
        if listed is None:  # another thread may call `forget`
            listed = self._listed[folder] = self._list(folder)
        return listed.folded

    def _list(self, folder: str) -> _Listed:
        before = self._before.get(folder) or _Listed(set(), {})
        names: set[str] = set()
        with suppress(OSError):  # missing, or not a folder: writing raises the error
            names.update(os.listdir(f"{self._root}/{folder}"))  # noqa: PTH208 (names are all that is wanted)
        there = dict(before.folded)  # another thread may use the old one
        for name in before.names - names:
            there[folded(name)] = there[folded(name)] - {name}
        for name in names - before.names:
            there[folded(name)] = there.get(folded(name), set()) | {name}
        return _Listed(names, there)

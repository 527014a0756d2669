"""Find names that are the same on disks that ignore case."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from tiffin.engine import folded


class _Listed(NamedTuple):
    """The names in a folder, and one of them for each name as some systems see it."""

    names: set[str]
    folded: dict[str, str]


class CaseConflicts:
    """Finds existing files and folders whose names are the same on some systems.

    All names are relative to the root. Each folder is listed once, and again after
    `forget`.
    """

    def __init__(self, root: str, *, follow_links: bool = False) -> None:
        self._root = root
        self._links: dict[str, str | None] = {}
        self._follow_links = follow_links
        self._listed: dict[str, _Listed] = {}

    def twin(self, name: str) -> str | None:
        """Return an existing path that differs from a name only in case or composition.

        It is a file, or one of its folders. None if there is none, or if the name
        itself exists.
        """
        folder = ""
        for part in name.split("/"):
            there = self._there(folder)
            if part not in there.names:
                other = there.folded.get(folded(part))
                return None if other is None else folder + other
            folder += part + "/"
        return None

    def is_listed(self, name: str) -> bool:
        """Return whether something had a name when its folder was listed."""
        folder, slash, last = name.rpartition("/")
        return last in self._there(folder + slash).names

    def link(self, folder: str) -> str | None:
        """Return the first link on the way to a folder, unless links are allowed."""
        if not folder or self._follow_links:
            return None
        if folder not in self._links:
            found = self.link(folder.rpartition("/")[0])
            path = f"{self._root}/{folder}"
            is_link = os.path.islink(path)  # noqa: PTH114 (a Path costs as much)
            self._links[folder] = found or (path if is_link else None)
        return self._links[folder]

    def forget(self) -> None:
        """List the folders again when needed, because others may write there."""
        self._links.clear()
        self._listed.clear()

    def _there(self, folder: str) -> _Listed:
        listed = self._listed.get(folder)
        if listed is None:  # another thread may call `forget`
            listed = self._listed[folder] = self._list(folder)
        return listed

    def _list(self, folder: str) -> _Listed:
        names: set[str] = set()
        with suppress(OSError):  # missing, or not a folder: writing raises the error
            names.update(os.listdir(f"{self._root}/{folder}"))  # noqa: PTH208 (names are all that is wanted)
        # Folded together: there may be very many, and no name has a slash.
        keys = folded("/".join(names)).split("/")
        return _Listed(names, dict(zip(keys, names, strict=False)))

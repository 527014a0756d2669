"""Find files that are the same name as another on disks that ignore case."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

from tiffin.engine import folded

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CaseConflicts"]


class CaseConflicts:
    """Finds files and folders that some systems would take for others.

    Folders are listed once, and again after `forget`.

    Parameters
    ----------
    root : str
        What names are relative to.
    follow_links : bool
        Whether folders may be links.
    """

    def __init__(self, root: str, *, follow_links: bool = False) -> None:
        self._root = root
        self._links: dict[str, str | None] = {}
        self._follow_links = follow_links
        self._listed: dict[str, Mapping[str, set[str]]] = {}

    def twin(self, name: str) -> str | None:
        """Return what is there and differs from a name in case or composition only.

        Parameters
        ----------
        name : str
            Relative to the root.

        Returns
        -------
        str or None
            A path relative to the root: of the file, or of a folder that it lies in.
            None where there is none, or the very same name is there.
        """
        folder = ""
        for part in name.split("/"):
            there = self._there(folder).get(folded(part))
            if there is None:
                return None
            if part not in there:
                return folder + min(there)
            folder += part + "/"
        return None

    def link(self, folder: str) -> str | None:
        """Return the link that a folder is reached through, if it may not be.

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
        """Look again: others may have written meanwhile."""
        self._links.clear()
        self._listed.clear()

    def _there(self, folder: str) -> Mapping[str, set[str]]:
        listed = self._listed.get(folder)
        if listed is None:  # others may forget it meanwhile
            names = defaultdict(set)
            try:
                for name in os.listdir(f"{self._root}/{folder}"):  # noqa: PTH208 (names are all that is wanted)
                    names[folded(name)].add(name)
            except OSError:
                pass  # not there, or no folder: the write will say what is wrong
            listed = self._listed[folder] = dict(names)
        return listed

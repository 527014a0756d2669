"""What is there already: listed in a manifest and whole, or the very same bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tiffin.errors import ExistsError, VerifyError
from tiffin.writers import Written, checksum_of, same_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.export.content import Content
    from tiffin.export.journal import Journal
    from tiffin.export.settings import Export

__all__ = ["Presence"]

State = Literal["absent", "damaged", "held"]


class Presence:
    """Looks at files of earlier exports, for an export that is resumed or compared.

    Parameters
    ----------
    settings : Export
    journal : Journal
    """

    def __init__(self, settings: Export, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._root = str(settings.root)
        self.looks = settings.existing == "resume" or settings.compare
        """Whether `state` need be asked: else the write will find out."""

    def listed(self, run: str, name: str) -> bool:
        """Whether the manifest lists a name, and its file has that size and checksum.

        Raises
        ------
        OSError
            If the file can't be read.
        """
        entry = self._entry(run, name)
        if entry is None:
            return False
        path = f"{self._root}/{name}"
        try:
            if Path(path).stat().st_size != entry.get("bytes"):
                return False
        except FileNotFoundError:
            return False
        wanted = str(entry.get("checksum") or "")
        kind = wanted.partition(":")[0] or "none"
        return checksum_of(path, kind).checksum == wanted

    def state(self, run: str, name: str, content: Content) -> State:
        """Tell what stands under the name of a file that is to be written.

        Returns
        -------
        {"absent", "damaged", "held"}
            Nothing; a file that the manifest lists, and that is no longer whole; or a
            file that is byte for byte what would be written.

        Raises
        ------
        ExistsError
            If a file that no manifest lists is another.
        VerifyError
            Comparing: if the file is another, or not there.
        """
        settings, path = self._settings, f"{self._root}/{name}"
        if not os.path.lexists(path):
            if settings.compare:
                message = f"{path} is missing"
                raise VerifyError(message)
            return "absent"
        if same_bytes(path, content.buffers()):
            return "held"
        if settings.compare:
            message = f"{path} is not what the run gives"
            raise VerifyError(message)
        if self._entry(run, name) is not None:
            return "damaged"
        message = (
            f"there is already a file at {path}, which no manifest lists and which is "
            f"not what would be written: move it away; existing='replace' replaces it"
        )
        raise ExistsError(message)

    def sum_of(self, name: str) -> Written:
        """Give size and checksum of a file."""
        return checksum_of(f"{self._root}/{name}", self._settings.writer.checksum)

    def _entry(self, run: str, name: str) -> Mapping[str, Any] | None:
        known = self._journal.known(run)
        return None if known is None else known.frames.get(name)

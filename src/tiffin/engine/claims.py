"""One name, one frame: a name is claimed before any pixel is read."""

from __future__ import annotations

import threading
import unicodedata
from typing import TYPE_CHECKING

from tiffin.errors import CollisionError

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Claims"]


class Claims:
    """Which frame has which name.

    Names that differ only in case or in the composition of their letters are the same
    name, as they are on the disks of Windows and macOS.

    Examples
    --------
    >>> claims = Claims()
    >>> claims.take("a_1.tif", "frame 1")
    >>> claims.take("A_1.tif", "frame 2")
    Traceback (most recent call last):
      ...
    tiffin.errors.CollisionError: 'A_1.tif' is also the name of frame 1: ...
    >>> claims.is_contested("a_1.tif")
    True
    """

    def __init__(self) -> None:
        self._owners: dict[str, Hashable] = {}
        self._contested: set[str] = set()
        self._stands_for: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, name: str, owner: Hashable) -> None:
        """Claim a name; claiming one's own again is allowed.

        Raises
        ------
        CollisionError
            If another has it.
        """
        key = _same(name)
        with self._lock:
            holder = self._owners.setdefault(key, owner)
            if holder != owner:
                self._contested.add(key)
        if holder != owner:
            message = (
                f"{name!r} is also the name of {holder}: tell them apart in the "
                f"template, as with {{event.seq_num}}, {{stream}}, {{field}} or {{i}}"
            )
            raise CollisionError(message)

    def take_instead(self, other: str, name: str, owner: Hashable) -> bool:
        """Claim another name beside a frame's own, for what stands there already.

        Returns
        -------
        bool
            Whether it was free. It is contested where `name` is.
        """
        key = _same(other)
        with self._lock:
            if self._owners.setdefault(key, owner) != owner:
                return False
            self._stands_for[key] = _same(name)
        return True

    @property
    def any_contested(self) -> bool:
        """Whether more than one frame wanted any name."""
        return bool(self._contested)

    def is_contested(self, name: str) -> bool:
        """Whether more than one frame wanted this name."""
        if not self._contested:
            return False
        key = _same(name)
        return self._stands_for.get(key, key) in self._contested


def _same(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())

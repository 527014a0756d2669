"""Make sure that every name belongs to one frame."""

from __future__ import annotations

import threading
import unicodedata
from typing import TYPE_CHECKING, Generic, TypeVar

from tiffin.errors import CollisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Owner = TypeVar("Owner")


class Claims(Generic[Owner]):
    """The owner of each name.

    Names that differ only in case, or in how an accented letter is composed, are the
    same, as on Windows and macOS. The name of a file can't also be that of a folder.
    `apart` returns the fields of a template that tell a holder and an owner apart, for
    messages.

    Examples
    --------
    >>> claims = Claims(lambda holder, owner: ["{i}"])
    >>> claims.take("a_1.tif", "frame 1")
    >>> claims.take("A_1.tif", "frame 2")
    Traceback (most recent call last):
      ...
    tiffin.errors.CollisionError: 'A_1.tif' is also the name of frame 1: ...
    >>> claims.contested("a_1.tif")
    'add {i} to the template'
    """

    def __init__(self, apart: Callable[[Owner, Owner], list[str]]) -> None:
        self._apart = apart
        self._owners: dict[str, Owner] = {}
        self._folders: dict[str, Owner] = {}
        self._contested: dict[str, dict[str, None]] = {}
        """Name → the fields that tell its claimants apart."""
        self._stands_for: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, name: str, owner: Owner) -> None:
        """Claim a name. An owner can claim its name again.

        A CollisionError is raised if another owner has the name, or one is a file and
        the other its folder.
        """
        key = folded(name)
        with self._lock:
            self._take_folders(name, key, owner)
            if key in self._folders:
                self._contested.setdefault(key, {})
                message = (
                    f"{name!r} is also the name of a folder for {self._folders[key]}"
                )
                raise CollisionError(message)
            holder = self._owners.setdefault(key, owner)
            if holder == owner:
                return
            fields = self._apart(holder, owner)
            self._contested.setdefault(key, {}).update(dict.fromkeys(fields))
        message = f"{name!r} is also the name of {holder}: {_advice(fields)}"
        raise CollisionError(message)

    def take_instead(self, other: str, name: str, owner: Owner) -> bool:
        """Claim another name for an owner, because a file has its name.

        Return whether the other name was free. It is contested if `name` is.
        """
        key = folded(other)
        with self._lock:
            if key in self._folders or self._owners.setdefault(key, owner) != owner:
                return False
            self._stands_for[key] = folded(name)
        return True

    def release(self, is_over: Callable[[Owner], bool]) -> None:
        """Release the claims of those owners for which `is_over` returns True."""
        with self._lock:
            left = {key: who for key, who in self._owners.items() if not is_over(who)}
            self._owners = left
            self._folders = {
                folder: who for key, who in left.items() for folder in _above(key)
            }
            self._contested = {
                key: fields for key, fields in self._contested.items() if key in left
            }
            self._stands_for = {
                key: name for key, name in self._stands_for.items() if key in left
            }

    def is_shared(self, name: str) -> bool:
        """Whether a name has several claimants that fields could tell apart."""
        if not self._contested:
            return False
        key = folded(name)
        return bool(self._contested.get(self._stands_for.get(key, key)))

    @property
    def any_contested(self) -> bool:
        """Whether any name has several claimants."""
        return bool(self._contested)

    def contested(self, name: str) -> str | None:
        """Return what to do if a name, or one of its folders, has several claimants."""
        if not self._contested:
            return None
        key = folded(name)
        key = self._stands_for.get(key, key)
        for each in (key, *_above(key)):
            if each in self._contested:
                return _advice(self._contested[each])
        return None

    def _take_folders(self, name: str, key: str, owner: Owner) -> None:
        parent = key.rpartition("/")[0]
        if not parent or parent in self._folders:
            return  # the usual case; its parent folders are there too
        for folder in _above(key):
            if folder in self._owners:
                self._contested.setdefault(folder, {})
                message = (
                    f"{name!r} is in a folder with the same name as the file of "
                    f"{self._owners[folder]}"
                )
                raise CollisionError(message)
            self._folders.setdefault(folder, owner)


def _advice(fields: Iterable[str]) -> str:
    """Return how to give claimants names of their own."""
    *most, last = [*fields] or [""]
    if not last:
        return "put text such as '_' between the fields of the template"
    return f"add {', '.join(most)}{' and ' if most else ''}{last} to the template"


def folded(name: str) -> str:
    """Return a text that is equal for all names that are one name on some disks.

    This is canonical caseless matching (Unicode 16.0, 3.13.5, D145) after a change to
    capitals, because several small letters can have the same one (as the dotless i).

    Examples
    --------
    >>> folded("Straße/É.tif") == folded("STRASSE/E\N{COMBINING ACUTE ACCENT}.TIF")
    True
    """
    if name.isascii():
        return name.lower()
    for change in (str.upper, str.casefold, str):
        name = unicodedata.normalize("NFD", change(unicodedata.normalize("NFD", name)))
    return name


def _above(key: str) -> Iterator[str]:
    """Yield the folders of a name, the nearest first."""
    folder = key.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]

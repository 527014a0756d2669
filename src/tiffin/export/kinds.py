"""Which kinds of images come of an event: light, dark, or what is left of both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiffin.errors import TiffinError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiffin.export.correcting import Correcting
    from tiffin.export.settings import Export
    from tiffin.frames import Frame

__all__ = ["Kinds"]


class Kinds:
    """Tells of each frame what is to come of it, before it has a name.

    A name can't claim a subtraction that does not happen: where there is no dark, that
    is known here.

    Parameters
    ----------
    correcting : Correcting
    settings : Export
    """

    def __init__(self, correcting: Correcting, settings: Export) -> None:
        self._correcting = correcting
        self._save = settings.save
        self._saved: set[tuple[object, ...]] = set()

    def of(self, groups: Iterable[list[Frame]]) -> Iterator[list[Frame]]:
        """Give the groups of frames that come of each event and field."""
        if not self._correcting.subtracts:
            yield from groups
            return
        for group in groups:
            yield from self._of_group(group)

    def forget(self) -> None:
        """Begin anew: darks that were saved are saved again."""
        self._saved.clear()

    def _of_group(self, group: list[Frame]) -> Iterator[list[Frame]]:
        first = group[0]
        if first.problem is not None or first.pixels is None:
            yield group
            return
        try:
            kind = self._correcting.kind(first)
        except TiffinError as error:
            yield [replace(frame, pixels=None, problem=error) for frame in group]
            return
        if kind == "dark":
            if self._is_new(first):
                yield [replace(frame, kind=kind) for frame in group]
            return
        if kind == "light":
            yield [replace(frame, kind=kind) for frame in group]
            return
        if "dark" in self._save:
            yield from self._darks(first)
        for wanted in ("light", "sub"):
            if wanted in self._save:
                yield [replace(frame, kind=wanted) for frame in group]

    def _darks(self, light: Frame) -> Iterator[list[Frame]]:
        """Give the darks that a light is corrected with, each once."""
        for dark in self._correcting.darks(light):
            if self._is_new(dark):
                yield [replace(dark, kind="dark")]

    def _is_new(self, dark: Frame) -> bool:
        """Whether a dark has not been given yet: lights share it, its run has it."""
        who = (dark.run, dark.stream, dark.field, dark.seq_num)
        if who in self._saved:
            return False
        self._saved.add(who)
        return True

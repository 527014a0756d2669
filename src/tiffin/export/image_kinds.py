"""Choose the images of an event: light, dark or subtracted; combined or not."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from tiffin.errors import CorrectionError, TiffinError
from tiffin.export.frame_groups import FrameGroups, is_never_combined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiffin.export.run_corrections import RunCorrections
    from tiffin.frames import Frame
    from tiffin.settings import Settings

MOST_DARKS = 10_000
"""How many darks are remembered, so that each is written once."""


class ImageKinds:
    """Chooses the images of each event before they are named.

    A light without a dark is found here, because its name must not say that a dark was
    subtracted.
    """

    def __init__(self, corrections: RunCorrections, settings: Settings) -> None:
        self._corrections = corrections
        self._save = settings.save
        self._saved_darks: dict[tuple[object, ...], None] = {}
        self._groups = FrameGroups(corrections, settings)
        if settings.dry_run:
            self._groups.restart(keep_bytes=0)
        self.counts_retakes = self._groups.counts_retakes
        self.count_retakes = self._groups.count_retakes

    def of(self, groups: Iterable[list[Frame]]) -> Iterator[list[Frame]]:
        """Return the groups of frames to export for each event and field."""
        if not self._corrections.subtracts and not self._groups.combines:
            return iter(groups)
        return chain.from_iterable(map(self._of_group, groups))

    def end(self, run: str | None = None) -> Iterator[list[Frame]]:
        """End a run, or all; return incomplete groups of combined frames."""
        for kind, group in self._groups.end(run):
            if not self._is_written_as_light(kind, group):
                yield group

    def plan(self, *, keep: bool) -> None:
        """Begin a plan, with names only or with frames that are kept for writing."""
        self._groups.restart(keep_bytes=math.inf if keep else 0)

    def forget(self) -> None:
        """Start again; darks are written again."""
        self._saved_darks.clear()
        self._groups.restart()

    def forget_darks(self, run: str) -> None:
        """Let the darks of a run be written again."""
        darks = [which for which in self._saved_darks if which[0] == run]
        for which in darks:
            del self._saved_darks[which]

    def _of_group(self, group: list[Frame]) -> Iterator[list[Frame]]:
        if self._corrections.subtracts:
            group = self._with_kind(group)
        first = group[0]
        if first.kind == "dark":
            if self._is_new(first):
                yield group
            return
        if first.kind == "sub" and "dark" in self._save:
            yield from self._darks(first)
        for kind in self._wanted(first):
            frames = group
            if kind == "light" and first.kind == "sub":
                frames = [replace(frame, kind=kind) for frame in group]
            for complete in self._groups.of(kind, frames):
                if not self._is_written_as_light(kind, complete):
                    yield complete

    def _with_kind(self, group: list[Frame]) -> list[Frame]:
        """Return the frames of an event with their kind, or with an error."""
        first = group[0]
        if first.problem is not None or first.pixels is None:
            return group
        problem: TiffinError
        try:
            kind = self._corrections.kind(first)
        except TiffinError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 (recorded)
            problem = CorrectionError(f"{first}: {type(error).__name__}: {error}")
            problem.__cause__ = error
        else:
            return [replace(frame, kind=kind) for frame in group]
        return [replace(frame, pixels=None, problem=problem) for frame in group]

    def _wanted(self, first: Frame) -> list[str]:
        """Return the kinds to write for an event; report a failure only once."""
        wanted: list[str] = [kind for kind in ("light", "sub") if kind in self._save]
        if first.kind == "sub":
            return wanted
        combined = self._groups.combines and not is_never_combined(first)
        if first.problem is not None and not combined:
            return ["light"]
        return wanted or ["light"]

    def _is_written_as_light(self, kind: str, group: list[Frame]) -> bool:
        """Return whether a group without a dark is exported as light already."""
        first = group[0]
        among_lights = first.kind == "light" and "light" in self._save
        return kind == "sub" and among_lights and first.problem is None

    def _darks(self, light: Frame) -> Iterator[list[Frame]]:
        for dark in self._corrections.darks(light):
            if self._is_new(dark):
                yield [replace(dark, kind="dark")]

    def _is_new(self, dark: Frame) -> bool:
        which = (*dark.id[:4], dark.event.get("uid"))
        if which in self._saved_darks:
            return False
        if len(self._saved_darks) >= MOST_DARKS:
            del self._saved_darks[next(iter(self._saved_darks))]
        self._saved_darks[which] = None
        return True

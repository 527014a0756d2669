"""Which images come of an event: light, dark, what is left of both; joined or not."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from tiffin.errors import CorrectionError, TiffinError
from tiffin.export.gathering import Gathering, announced_after, is_left_alone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiffin.assemble import DeclaredImages
    from tiffin.export.correcting import Correcting
    from tiffin.frames import Frame
    from tiffin.settings import Settings

__all__ = ["Kinds"]

MOST_SAVED = 10_000
"""Darks of which it is known that they were given."""


class Kinds:
    """Tells of each frame what is to come of it, before it has a name.

    A name can't claim a subtraction that does not happen: where there is no dark, that
    is known here.

    Parameters
    ----------
    correcting : Correcting
    settings : Settings
    """

    def __init__(self, correcting: Correcting, settings: Settings) -> None:
        self._correcting = correcting
        self._save = settings.save
        self._saved: dict[tuple[object, ...], None] = {}
        self._gathering = Gathering(correcting, settings)
        if settings.dry_run:
            self._gathering.keep(0)

    def of(self, groups: Iterable[list[Frame]]) -> Iterator[list[Frame]]:
        """Return the groups of frames that come of each event and field."""
        if not self._correcting.subtracts and not self._gathering.is_on:
            return iter(groups)
        return chain.from_iterable(map(self._of_group, groups))

    @property
    def tells_retakes(self) -> bool:
        """Whether a replay's takes are to be counted before any is joined."""
        return self._gathering.tells_retakes

    def foresee(self, groups: Iterable[list[Frame]]) -> None:
        """Count the takes of each point of a replay."""
        self._gathering.foresee(groups)

    def end(self, run: str | None = None) -> Iterator[list[Frame]]:
        """End a run, or all: give what is left of frames that are joined."""
        for lane, group in self._gathering.end(run):
            if not self._is_other_lane_s(lane, group):
                yield group

    def announced(self, announced: DeclaredImages) -> DeclaredImages:
        """Return what a descriptor promises of the frames that will come."""
        if not self._gathering.is_on:
            return announced
        return announced_after(self._correcting.joins, announced)

    def plan(self, *, keep: bool) -> None:
        """Begin a plan, of names alone; or of frames that are kept, to be written."""
        self._gathering.keep(math.inf if keep else 0)

    def forget(self) -> None:
        """Begin anew: darks that were saved are saved again."""
        self._saved.clear()
        self._gathering.keep()

    def _of_group(self, group: list[Frame]) -> Iterator[list[Frame]]:
        if self._correcting.subtracts:
            group = self._judged(group)
        first = group[0]
        if first.kind == "dark":
            if self._is_new(first):
                yield group
            return
        if first.kind == "sub" and "dark" in self._save:
            yield from self._darks(first)
        for lane in self._lanes(first):
            for given in self._gathering.of(lane, _as_lane(lane, group)):
                if not self._is_other_lane_s(lane, given):
                    yield given

    def _judged(self, group: list[Frame]) -> list[Frame]:
        """Return what will come of the frames of an event, or why nothing can."""
        first = group[0]
        if first.problem is not None or first.pixels is None:
            return group
        problem: TiffinError
        try:
            kind = self._correcting.kind(first)
        except TiffinError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 (documents are what they are; recorded)
            problem = CorrectionError(f"{first}: {type(error).__name__}: {error}")
            problem.__cause__ = error
        else:
            return [replace(frame, kind=kind) for frame in group]
        return [replace(frame, pixels=None, problem=problem) for frame in group]

    def _lanes(self, first: Frame) -> list[str]:
        """Tell as which kinds an event is wanted; what fails is told once."""
        wanted: list[str] = [kind for kind in ("light", "sub") if kind in self._save]
        if first.kind == "sub":
            return wanted
        joins = self._gathering.is_on and not is_left_alone(first)
        if first.problem is not None and not joins:
            return ["light"]
        return wanted or ["light"]

    def _is_other_lane_s(self, lane: str, group: list[Frame]) -> bool:
        """Tell of lights without a dark, which the lane of lights gives already."""
        first = group[0]
        is_told = first.kind == "light" and "light" in self._save
        return lane == "sub" and is_told and first.problem is None

    def _darks(self, light: Frame) -> Iterator[list[Frame]]:
        """Return the darks that a light is corrected with, each once."""
        for dark in self._correcting.darks(light):
            if self._is_new(dark):
                yield [replace(dark, kind="dark")]

    def _is_new(self, dark: Frame) -> bool:
        """Whether a dark has not been given yet: lights share it, its run has it."""
        event = dark.event.get("uid")
        who = (dark.run, dark.stream, dark.field, dark.seq_num, event)
        if who in self._saved:
            return False
        if len(self._saved) >= MOST_SAVED:
            del self._saved[next(iter(self._saved))]
        self._saved[who] = None
        return True


def _as_lane(lane: str, group: list[Frame]) -> list[Frame]:
    if lane == "light" and group[0].kind == "sub":
        return [replace(frame, kind=lane) for frame in group]
    return group

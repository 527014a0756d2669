"""Points that are taken again: a plan that was paused and resumed repeats its seq_num.

The latest event of a seq_num is the frame, the earlier one is superseded. Live its file
may have been written already: then the retake replaces it.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from tiffin.errors import SupersededError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from tiffin.engine import Ledger
    from tiffin.engine.ledger import Place
    from tiffin.frames import Frame
    from tiffin.settings import Repeats

__all__ = ["Retakes"]

LOCKS = 64
"""Names share this many locks: no two workers write one file at a time."""


class _Take(NamedTuple):
    """Which group took a point, and of which event."""

    group: int
    event: object


class _Retake(NamedTuple):
    """What is known of a group that takes points again."""

    first: int
    paths: frozenset[str]


class Retakes:
    """Knows which group of frames took which point, and supersedes the earlier one.

    Safe in threads, as far as it is used in several.

    Parameters
    ----------
    ledger : Ledger
    repeats : {"last", "first", "all"}
    """

    def __init__(self, ledger: Ledger, repeats: Repeats) -> None:
        self._ledger = ledger
        self._repeats = repeats
        self._points: defaultdict[str, dict[Hashable, _Take]] = defaultdict(dict)
        self._retakes: defaultdict[str, dict[int, _Retake]] = defaultdict(dict)
        self._locks = [threading.RLock() for _ in range(LOCKS)]

    def lock(self, path: str) -> threading.RLock:
        """Give the lock to hold while a file is written and its record is changed."""
        return self._locks[hash(path) % LOCKS]

    def take(self, frame: Frame, group: int) -> SupersededError | None:
        """Note which group takes a point.

        Returns
        -------
        SupersededError or None
            Why the group is not to be written: the point was taken before.
        """
        told = isinstance(frame.problem, SupersededError)
        if self._repeats == "all" or frame.seq_num is None or told:
            return None
        points = self._points[frame.run]
        point = (
            str(frame.stream),  # whatever it is
            frame.field,
            frame.seq_num,
            frame.i,
            frame.kind,
            frame.source,
        )
        before = points.get(point)
        take = _Take(group, frame.event.get("uid"))
        if before is None:
            points[point] = take
            return None
        if take.event == before.event and frame.source is None:
            return None  # two joined frames of one event
        if self._repeats == "first":
            message = (
                f"superseded: event {frame.seq_num} was taken before, and "
                f"repeats='first' keeps the first"
            )
            return SupersededError(message)
        points[point] = take
        earlier = before.group
        known = self._retakes[frame.run].get(earlier)
        paths = frozenset(self._supersede(frame, earlier))
        if known is not None:
            paths |= known.paths
        first = earlier if known is None else known.first
        self._retakes[frame.run][group] = _Retake(first, paths)
        return None

    def owner(self, place: Place) -> Place:
        """Give the place that owns the names of a frame: that of its point's first."""
        retake = self._retakes[place[0]].get(place[1]) if self._retakes else None
        return place if retake is None else (place[0], retake.first, place[2])

    def paths(self, place: Place) -> frozenset[str]:
        """Give the files of the earlier takes, which this one may replace."""
        retake = self._retakes[place[0]].get(place[1]) if self._retakes else None
        return frozenset() if retake is None else retake.paths

    def forget(self, run: str) -> None:
        """Let go of a run."""
        self._points.pop(run, None)
        self._retakes.pop(run, None)

    def _supersede(self, frame: Frame, group: int) -> Iterator[str]:
        """Skip the frames of an earlier take; give the files that were written."""
        for i in itertools.count():
            place = (frame.run, group, i)
            if not self._ledger.has(place):
                return
            path = str(self._ledger.at(place).path)
            with self.lock(path):
                record = self._ledger.at(place)
                told = f"superseded: event {frame.seq_num} was taken again"
                if record.path is not None:
                    told += f" ({record.path} was the name of the earlier take)"
                error = SupersededError(told)
                skipped = replace(record, status="skipped", path=None, error=error)
                self._ledger.put(place, skipped)
            if record.status == "written":
                yield path

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

LOCKS = 256
"""Files share this many locks: no two workers write one of them at a time."""


class _Take(NamedTuple):
    """Which group took a point, of which event, and how many images were announced."""

    group: int
    event: object
    images: int


class _Retake(NamedTuple):
    """The first group that took a point, and the files of all earlier takes.

    They may be on the disk, or are being written.
    """

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
        self._later: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def lock(self, path: str) -> threading.Lock:
        """Return the lock that a worker holds while it writes a file.

        Who takes documents never waits for it: a write may take long, or hang.
        """
        return self._locks[hash(path) % LOCKS]

    def take(self, frame: Frame, group: int, images: int) -> SupersededError | None:
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
        take = _Take(group, frame.event.get("uid"), images)
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
        paths = frozenset(self._supersede(frame, before))
        known = self._retakes[frame.run].get(before.group)
        first = before.group
        if known is not None:
            first, paths = known.first, paths | known.paths
        self._later[frame.run][before.group] = group
        self._retakes[frame.run][group] = _Retake(first, paths)
        return None

    def owner(self, place: Place) -> Place:
        """Give the place that owns the names of a frame: that of its point's first."""
        retake = self._known(place)
        return place if retake is None else (place[0], retake.first, place[2])

    def paths(self, place: Place) -> frozenset[str]:
        """Return the files of the earlier takes, which this one may replace."""
        retake = self._known(place)
        return frozenset() if retake is None else retake.paths

    def files(self, place: Place) -> set[str]:
        """Return those of the earlier takes' files that have been written."""
        return self._files.get(place[0], set()).intersection(self.paths(place))

    def _known(self, place: Place) -> _Retake | None:
        of_run = self._retakes.get(place[0])
        return None if of_run is None else of_run.get(place[1])

    def wrote(self, place: Place, path: str) -> bool:
        """Note a file that was written while its point was taken again.

        Returns
        -------
        bool
            Whether it stays: the retake replaces it, or removes it.
        """
        run, group, _ = place
        self._files[run].add(path)
        while group in self._later[run]:
            group = self._later[run][group]
        places = itertools.takewhile(
            self._ledger.has, ((run, group, i) for i in itertools.count())
        )
        records = [self._ledger.at(of) for of in places]
        # One that failed did not know of this file.
        return any(
            record.status in ("planned", "written") and str(record.path) == path
            for record in records
        )

    def forget(self, run: str) -> None:
        """Let go of a run."""
        for known in (self._points, self._retakes, self._later, self._files):
            known.pop(run, None)

    def _supersede(self, frame: Frame, earlier: _Take) -> Iterator[str]:
        """Skip the frames of an earlier take; give the files that are or will be."""
        for i in itertools.count():
            place = (frame.run, earlier.group, i)
            if self._ledger.has(place):
                try:
                    record = self._ledger.at(place)
                except KeyError:  # withdrawn meanwhile
                    continue
                told = f"superseded: event {frame.seq_num} was taken again"
                if record.path is not None:
                    told += f" ({record.path} was the name of the earlier take)"
                skipped = replace(
                    record, status="skipped", path=None, error=SupersededError(told)
                )
                if not self._ledger.put(place, skipped, if_planned=True):
                    record = self._ledger.at(place)  # by now it is not planned
                    self._ledger.put(place, skipped)
                if record.status == "written":
                    self._files[frame.run].add(str(record.path))
                if record.status in ("written", "planned"):
                    yield str(record.path)
            elif i >= earlier.images:
                return

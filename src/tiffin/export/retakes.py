"""Handle points that are taken again: a resumed plan repeats a seq_num.

By default the last event of a seq_num is exported, and earlier ones are superseded. If
the file of an earlier one is written already, the retake replaces it.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from tiffin.errors import SupersededError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from tiffin.engine import Ledger, Place
    from tiffin.frames import Frame
    from tiffin.settings import Repeats

NO_FILES: frozenset[str] = frozenset()

LOCKS = 256
"""How many locks the files share, so that two workers never write the same file."""


class _Take(NamedTuple):
    """The group and the event of a point, and its declared number of images."""

    group: int
    event: object
    images: int


class _Retake(NamedTuple):
    """The first group of a point, and the files of all earlier takes.

    These are written already, or are being written.
    """

    first: int
    paths: frozenset[str]


class Retakes:
    """Finds points that are taken again, and supersedes other takes.

    The methods that workers call are thread-safe.
    """

    def __init__(self, ledger: Ledger, repeats: Repeats) -> None:
        self._ledger = ledger
        self._repeats = repeats
        self._points: defaultdict[str, dict[Hashable, _Take]] = defaultdict(dict)
        # By run, and the group of the take.
        self._retakes: dict[tuple[str, int], _Retake] = {}
        self._later: dict[tuple[str, int], int] = {}
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def lock(self, path: str) -> threading.Lock:
        """Return the lock that a worker holds while it writes a file.

        The thread that feeds documents never waits for it, because a write can hang.
        """
        return self._locks[hash(path) % LOCKS]

    def take(self, frame: Frame, group: int, images: int) -> SupersededError | None:
        """Register the group of a point; return an error if an earlier take is used."""
        if self._repeats == "all" or frame.seq_num is None:
            return None
        if isinstance(frame.problem, SupersededError):
            return None
        points = self._points[frame.run]
        point = (frame.id, frame.kind, frame.source)
        before = points.get(point)
        take = _Take(group, frame.event.get("uid"), images)
        if before is None:
            points[point] = take
            return None
        if take.event == before.event and frame.source is None:
            return None  # two combined frames of one event
        if self._repeats == "first":
            message = (
                f"superseded: event {frame.seq_num} was taken before, and "
                f"repeats='first' keeps the first"
            )
            return SupersededError(message)
        points[point] = take
        paths = frozenset(self._supersede(frame, before))
        known = self._retakes.get((frame.run, before.group))
        first = before.group
        if known is not None:
            first, paths = known.first, paths | known.paths
        self._later[frame.run, before.group] = group
        self._retakes[frame.run, group] = _Retake(first, paths)
        return None

    def owner(self, place: Place) -> Place:
        """Return the place that owns the names of a frame: that of its first take."""
        if not self._retakes:
            return place
        retake = self._retakes.get(place[:2])
        return place if retake is None else (place[0], retake.first, place[2])

    def paths(self, place: Place) -> frozenset[str]:
        """Return the files of the earlier takes, which this one may replace."""
        if not self._retakes:
            return NO_FILES
        retake = self._retakes.get(place[:2])
        return NO_FILES if retake is None else retake.paths

    def files(self, place: Place) -> frozenset[str]:
        """Return the files of the earlier takes that are written already."""
        if not self._retakes:
            return NO_FILES
        retake = self._retakes.get(place[:2])
        if retake is None:
            return NO_FILES
        return retake.paths.intersection(self._files.get(place[0], ()))

    def wrote(self, place: Place, path: str) -> bool:
        """Register a file that was written while its point was taken again.

        Return whether the file stays, because the retake will replace or remove it.
        """
        run, group, _ = place
        self._files[run].add(path)
        while (run, group) in self._later:
            group = self._later[run, group]
        places = itertools.takewhile(
            self._ledger.has, ((run, group, i) for i in itertools.count())
        )
        records = [self._ledger.at(of) for of in places]
        # A retake that has failed will not remove this file.
        return any(
            record.status in ("planned", "written") and str(record.file) == path
            for record in records
        )

    def forget(self, run: str) -> None:
        """Forget a run."""
        self._points.pop(run, None)
        self._files.pop(run, None)
        if self._retakes:
            self._retakes = {k: v for k, v in self._retakes.items() if k[0] != run}
            self._later = {k: v for k, v in self._later.items() if k[0] != run}

    def _supersede(self, frame: Frame, earlier: _Take) -> Iterator[str]:
        """Skip the frames of an earlier take; return its files, also future ones."""
        for i in itertools.count():
            place = (frame.run, earlier.group, i)
            if self._ledger.has(place):
                try:
                    record = self._ledger.at(place)
                except KeyError:  # withdrawn meanwhile
                    continue
                reason = f"superseded: event {frame.seq_num} was taken again"
                if record.file is not None:
                    reason += f" ({record.file} was the name of the earlier take)"
                skipped = record._replace(
                    status="skipped", file=None, error=SupersededError(reason)
                )
                if not self._ledger.put(place, skipped, if_planned=True):
                    record = self._ledger.at(place)  # by now it is not planned
                    self._ledger.put(place, skipped)
                if record.status == "written":
                    self._files[frame.run].add(str(record.file))
                if record.status in ("written", "planned"):
                    yield str(record.file)
            elif i >= earlier.images:
                return

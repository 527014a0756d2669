"""The names of a replay's frames, kept from the first time its documents are seen."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from tiffin.engine.ledger import Place
from tiffin.errors import SourceError
from tiffin.export.outcome import Named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.export.naming import Namer
    from tiffin.frames import Frame

__all__ = ["Plan"]

T = TypeVar("T")
Who = tuple[str, str | None, str | None, int | None, int | None, str | None]
Planned = tuple[Who, Place, str | None]
"""Which frame has which place in the ledger, and which name, if any."""


class Plan:
    """Names in the order of their frames: with the frames, or in their place.

    Parameters
    ----------
    namer : Namer
        Who gave the names.
    """

    def __init__(self, namer: Namer) -> None:
        self._namer = namer
        self._ledger = namer.ledger
        self._named: deque[list[Planned]] = deque()
        self._kept: deque[list[Named]] = deque()

    def __bool__(self) -> bool:
        """Whether names wait for their frames to be seen again."""
        return bool(self._named)

    def add(self, named: list[Named], *, keep: bool) -> None:
        """Take the names of an event's frames; the frames too, if they are to stay."""
        if keep:
            self._kept.append(named)
        else:
            self._named.append([self._without_images(item) for item in named])

    def settle(self) -> None:
        """Take the name from every frame whose name another wanted too."""
        if not self._namer.any_contested:
            return
        for planned in self._named:
            planned[:] = [self._unless_contested(*item) for item in planned]
        for named in self._kept:
            named[:] = [
                Named(item.frame, *self._unless_contested(*item)[1:]) for item in named
            ]

    def kept(self) -> Iterator[list[Named]]:
        """Return the frames that were kept, once."""
        while self._kept:
            yield self._kept.popleft()

    def names_of(self, group: list[Frame]) -> list[Named] | None:
        """Name frames as they were planned; None if these are not the next."""
        if not self._named or [p[0] for p in self._named[0]] != [*map(_who, group)]:
            return None  # live, or the source has grown since it was planned
        pairs = zip(group, self._named.popleft(), strict=True)
        return [
            Named(frame, place, name if self._ledger.is_planned(place) else None)
            for frame, (_, place, name) in pairs
        ]

    def fail_rest(self) -> None:
        """Record the frames that were not seen again."""
        message = "the source changed while it was exported: this frame is gone"
        while self._named:
            for _, place, name in self._named.popleft():
                if name is not None and self._ledger.is_planned(place):
                    self._ledger.settle(place, "failed", SourceError(message))

    def _without_images(self, item: Named) -> Planned:
        """Keep the name only: a plan of a whole run must not hold the run's images."""
        if item.name is not None:
            self._ledger.put(item.place, self._namer.record(item))
        return _who(item.frame), item.place, item.name

    def _unless_contested(
        self, who: T, place: Place, name: str | None
    ) -> tuple[T, Place, str | None]:
        """Take the name from a frame if another wanted it too."""
        if not self._ledger.is_planned(place):
            return who, place, None
        error = self._namer.is_contested(name) if name is not None else None
        if error is None:
            return who, place, name
        self._ledger.settle(place, "failed", error)
        return who, place, None


def _who(frame: Frame) -> Who:
    who = (frame.run, frame.stream, frame.field, frame.seq_num, frame.i)
    return *who, frame.kind

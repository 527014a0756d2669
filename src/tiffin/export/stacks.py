"""Choose which stack a frame goes into."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from tiffin.export.scan_axes import axes_in_event
from tiffin.export.stack_file import StackFile
from tiffin.writers import LARGEST_CLASSIC, file_size

if TYPE_CHECKING:
    from tiffin.engine import Place
    from tiffin.frames import Frame
    from tiffin.settings import Settings

    Lane = tuple[str, str | None, str | None, str | None]  # run, stream, field, kind

PER_PAGE = 4096
"""What the directory and the metadata of a page take, at most, as a rule [bytes]."""


class Stacks:
    """The stacks of an export, as ``stack=`` groups frames."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.is_on = settings.stack is not None
        """Whether frames go into stacks."""
        self._most = settings.stack if isinstance(settings.stack, int) else None
        self.each = "stack" if self.is_on else "frame"
        """What has a file of its own."""
        self.next_field = "{event.seq_num}" if self._most is None else "{frame}"
        """What tells a file apart from the next of its stream and field."""
        self._open: dict[Lane, StackFile] = {}
        self._parts: dict[Lane, tuple[str, int]] = {}
        self._of_group: dict[tuple[str, int, str | None], StackFile] = {}
        self._closed: list[StackFile] = []
        self._ended: list[StackFile] = []
        self.lock = threading.RLock()
        """Held while a frame gets its stack; workers name images, too."""
        self._size = lru_cache(64)(file_size)

    def current(self, frame: Frame) -> StackFile | None:
        """Return the stack that a frame continues, if there is one."""
        lane = _lane(frame)
        stack = self._open.get(lane)
        if stack is None:
            return None
        if self._fits(stack, frame):
            return stack
        self._close(lane)  # the next one has the same name with a number
        return None

    def end_event(self, frame: Frame) -> None:
        """Close the stack of an event, all of whose frames have been named."""
        lane = _lane(frame)
        if self._settings.stack == "event" and lane in self._open:
            self._end(lane)

    def earlier(self, frame: Frame, owner: Place) -> StackFile | None:
        """Return the stack that an earlier take of a frame went into."""
        return self._of_group.get((owner[0], owner[1], frame.kind))

    def part(self, frame: Frame, name: str) -> tuple[str, int]:
        """Return name and number of the next stack, if an earlier one was too full."""
        base, number = self._parts.get(_lane(frame), (name, -1))
        self._parts[_lane(frame)] = base, number + 1
        return base, number + 1

    def begin(self, frame: Frame, name: str, *, planned: bool) -> StackFile:
        """Begin a stack."""
        stack = StackFile(name, is_planned=planned)
        stack.declared = (frame.shape, frame.dtype)
        stack.each = self._nbytes(frame)
        stack.axes = axes_in_event(frame)
        self._open[_lane(frame)] = stack
        return stack

    def add(self, stack: StackFile, frame: Frame, place: Place, owner: Place) -> bool:
        """Count a frame that goes into a stack; return False if it is complete."""
        if not stack.expect((owner[1], owner[2])):
            return False
        if owner == place:
            stack.counted += 1
            stack.nbytes += stack.each
            if stack.counted == self._most:
                self._end(_lane(frame))
        self._of_group[place[0], owner[1], frame.kind] = stack
        return True

    def end(self, run: str | None = None) -> list[StackFile]:
        """End the stacks of a run, or of all; return those that may be complete."""
        with self.lock:
            for lane in [lane for lane in self._open if run in (None, lane[0])]:
                self._end(lane)
            ended = {
                stack for (of, *_), stack in self._of_group.items() if run in (None, of)
            }
            self._of_group = {
                key: stack
                for key, stack in self._of_group.items()
                if stack not in ended
            }
            closed = [stack for stack in self._closed if stack not in ended]
            self._closed = closed
            for stack in ended:
                stack.has_ended = True
            under_way = [stack for stack in self._ended if not stack.is_finished]
            self._ended = [*under_way, *ended]
        return sorted(ended, key=lambda stack: stack.name)

    def left(self) -> list[StackFile]:
        """Return the stacks that are not finished."""
        with self.lock:
            known = {*self._ended, *self._of_group.values()}
        return [stack for stack in known if not stack.is_finished]

    def close(self) -> None:
        """Close all stacks: only undeclared frames will still be named."""
        with self.lock:
            for lane in [*self._open]:
                self._end(lane)

    def closed(self) -> list[StackFile]:
        """Return the stacks that were closed since the last time."""
        if not self._closed:  # the usual case
            return []
        with self.lock:
            closed, self._closed = self._closed, []
            return closed

    def _end(self, lane: Lane) -> None:
        """Close a stack that does not go on in another file."""
        self._close(lane)
        self._parts.pop(lane, None)

    def _close(self, lane: Lane) -> None:
        stack = self._open.pop(lane)
        stack.is_closed = True
        self._closed.append(stack)

    def _fits(self, stack: StackFile, frame: Frame) -> bool:
        if stack.declared != (frame.shape, frame.dtype):
            return False
        fits = stack.nbytes + stack.each < LARGEST_CLASSIC
        return fits or self._settings.bigtiff

    def _nbytes(self, frame: Frame) -> int:
        dtype = self._settings.dtype or frame.dtype
        if frame.shape is None or dtype is None:
            return PER_PAGE
        return self._size(frame.shape, dtype, self._settings.compression) + PER_PAGE


def _lane(frame: Frame) -> Lane:
    return frame.run, frame.stream, frame.field, frame.kind

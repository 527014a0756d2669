"""What a worker does with the frames of events: read, correct, write, record."""

from __future__ import annotations

import errno
import logging
import math
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from tiffin.corrections import Notes
from tiffin.errors import (
    CorrectionError,
    ExistsError,
    NoImageError,
    NotYetError,
    ReadError,
    TiffinError,
    WriteError,
)
from tiffin.export.content import Content, of_image, of_strip
from tiffin.export.naming import Named, record_of
from tiffin.export.presence import Presence
from tiffin.frames import Frame, Images, images_in
from tiffin.writers import Written, clear_leftovers, publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.engine import Later, Ledger
    from tiffin.engine.ledger import Place
    from tiffin.export.correcting import Correcting
    from tiffin.export.journal import Journal
    from tiffin.export.naming import Namer
    from tiffin.export.settings import Export
    from tiffin.records import Status

__all__ = ["Group", "Worker"]

logger = logging.getLogger("tiffin")

FULL = (errno.ENOSPC, errno.EDQUOT)
E = TypeVar("E", bound=OSError)

LOOK_AGAIN = 1.0
"""How often a full disk is looked at, where it is waited for [s]."""


class Group(NamedTuple):
    """The frames of one event and field.

    Attributes
    ----------
    number : int
        The first half of their places in the ledger.
    named : list of Named
        All that were announced, those without a name too; they share their pixels.
    """

    number: int
    named: list[Named]

    @property
    def run(self) -> str:
        """Whose frames these are."""
        return self.named[0].frame.run


class Worker:
    """Exports images; safe in threads. Every frame it is given gets its record.

    The array is the truth about how many images an event has: what it holds beyond the
    announced is named and written too, what it does not hold is withdrawn.

    Parameters
    ----------
    settings : Export
    namer : Namer
        For images of which the descriptor did not know.
    ledger : Ledger
    journal : Journal
    correcting : Correcting
    later : Later, optional
        Where what is not there yet is postponed; without it, that fails.
    """

    def __init__(
        self,
        settings: Export,
        namer: Namer,
        ledger: Ledger,
        journal: Journal,
        correcting: Correcting,
        later: Later | None = None,
    ) -> None:
        self._later = later
        self._settings = settings
        self._namer = namer
        self._ledger = ledger
        self._journal = journal
        self._correcting = correcting
        self._notes: dict[Place, Notes] = {}
        self._presence = Presence(settings, journal)
        self._writer = settings.writer
        self._root = str(settings.root)
        self._cleared: set[str] = set()
        self._surprised: set[tuple[str, str | None, str | None]] = set()
        self._stopped: TiffinError | None = None
        self._cancelled = threading.Event()

    def export(self, batch: list[Group]) -> None:
        """Write the images of events, and tell the manifests of them."""
        told: dict[str, list[tuple[int, str]]] = {}
        for group in batch:
            lines = self._export(group)
            if lines is not None:
                told.setdefault(group.run, []).append((group.number, lines))
        for run, lines_of_run in told.items():
            self._tell(run, lines_of_run)

    def stop_waiting(self) -> None:
        """Wait no longer for room on a full disk."""
        self._cancelled.set()

    def _tell(self, run: str, lines: list[tuple[int, str]]) -> None:
        while True:
            try:
                self._journal.add(run, lines)
            except OSError as error:  # the lines are kept, and written with the next
                message = f"the manifest of run {run[:8]} can't be written: {error}"
                refused = _caused(WriteError(message), error)
                full = error.errno in FULL and self._settings.on_full == "wait"
                if full and self._wait_for_room(refused):
                    lines = []
                    continue
                self._ledger.say(run, refused)
            return

    def _export(self, group: Group) -> str | None:
        """Write one event's images; give the lines of it, None if it is late."""
        written: dict[int, Written] = {}
        ready = [item for item in group.named if item.name is not None]
        missing = self._try(group, ready, written) if ready else []
        if missing and self._later is not None:
            self._postpone(group, missing, written)
            return None
        self._give_up(missing)
        return self._lines(group, written)

    def _postpone(
        self,
        group: Group,
        missing: list[tuple[Named, NotYetError]],
        written: dict[int, Written],
    ) -> None:
        state = [missing]

        def again(last: bool) -> bool:
            state[0] = self._try(group, [item for item, _ in state[0]], written)
            if last:
                self._give_up(state[0])
            done = last or not state[0]
            if done:
                self._tell(group.run, [(group.number, self._lines(group, written))])
            return done

        assert self._later is not None  # noqa: S101 (asked by the caller)
        self._later.postpone(group.run, again)

    def _give_up(self, missing: list[tuple[Named, NotYetError]]) -> None:
        for item, error in missing:
            self._fail(item, error)

    def _try(
        self, group: Group, items: list[Named], written: dict[int, Written]
    ) -> list[tuple[Named, NotYetError]]:
        """Write what can be written; give what is not there yet."""
        if self._stopped is not None:
            for item in items:
                self._fail(item, self._stopped)
            return []
        if self._settings.existing == "resume":
            items = [item for item in items if not self._is_intact(item)]
            if not items:
                return []
        try:
            images = _open(items[0].frame)
        except NotYetError as error:
            return [(item, error) for item in items]
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            for item in items:
                self._fail(item, error)
            return []
        announced = len(group.named)
        found = images.shape[0] if math.prod(images.shape) else 0
        if found != announced:
            self._settle_surprise(group, items, found, images, written)
        missing = []
        for item in items:
            late = None
            if item.place[1] < found:
                late = self._write(item, images, written)
            if late is not None:
                missing.append((item, late))
        return missing

    def _is_intact(self, item: Named) -> bool:
        """Whether the manifest lists a frame and its file is whole; then settle it."""
        try:
            found = self._presence.listed(item.frame.run, str(item.name))
        except OSError as error:
            message = f"{self._path(item)} can't be read: {error}"
            self._fail(item, _caused(ReadError(message), error))
            return True
        if found:
            self._clear(str(item.name))
            there = ExistsError(f"{self._path(item)} is there already, and whole")
            self._ledger.settle(item.place, "skipped", there)
        return found

    def _settle_surprise(
        self,
        group: Group,
        items: list[Named],
        found: int,
        images: Images,
        written: dict[int, Written],
    ) -> None:
        """Account for images that were announced and are not there, and the reverse."""
        first, announced = items[0], len(group.named)
        self._say_surprise(first.frame, announced, found)
        for item in items:
            if item.place[1] >= found:
                self._ledger.withdraw(item.place)
        if not found:
            self._put_empty(first)
        for i in range(announced, found):
            place = (group.number, i)
            if not self._ledger.has(place):  # on a second try it has
                named = self._namer.name_one(first.frame.with_index(i), place)
                if named.name is None:
                    continue
                late = self._write(named, images, written)
                if late is not None:
                    self._fail(named, late)

    def _write(
        self, item: Named, images: Images, written: dict[int, Written]
    ) -> NotYetError | None:
        """Write one image and record it; give the error if it is not there yet."""
        try:
            self._put(item, images, written)
        except NotYetError as error:
            return error
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self._fail(item, error)
        return None

    def _put(self, item: Named, images: Images, written: dict[int, Written]) -> None:
        frame, name, notes = item.frame, str(item.name), Notes()
        content = self._content(frame, images, notes)
        status: Status = "written"
        error: ExistsError | None = None
        state = self._presence.state(frame.run, name, content)
        if state == "held":  # adopted: byte for byte what would be written
            done = self._presence.sum_of(name)
            status = "skipped"
            error = ExistsError(f"{self._path(item)} is there already")
        else:
            done = self._publish(name, content.write, damaged=state == "damaged")
        written[item.place[1]] = done
        if notes.used or notes.clipped:
            self._notes[item.place] = notes
        path = self._namer.path(name)
        record = record_of(
            frame,
            status,
            path=path,
            error=error,
            written=content,
            clipped=notes.clipped,
        )
        self._ledger.put(item.place, record)

    def _content(self, frame: Frame, images: Images, notes: Notes) -> Content:
        """Read an image and correct it; or take it as it is stored, if that may be."""
        i = frame.i or 0
        if not self._settings.corrections:
            encoded = getattr(images, "encoded", None)
            strip = encoded(i, self._writer.takes) if encoded else None
            if strip is not None:
                return of_strip(self._writer, strip)
            return of_image(self._writer, np.asarray(images[i]))
        image = self._correcting(np.asarray(images[i]), frame, notes)
        if not image.size:
            message = f"{frame}: the corrections leave no pixel, shape {image.shape}"
            raise CorrectionError(message)
        return of_image(self._writer, image)

    def _publish(
        self, name: str, write: Callable[[int], Written], *, damaged: bool
    ) -> Written:
        self._clear(name)
        settings = self._settings
        while True:
            try:
                return publish(
                    f"{self._root}/{name}",
                    write,
                    replace=damaged or settings.existing == "replace",
                    mode=settings.mode,
                    sync=settings.fsync == "file",
                )
            except WriteError as error:
                if error.errno not in FULL or not self._wait_for_room(error):
                    raise

    def _clear(self, name: str) -> None:
        """Remove, once, what exports that died left beside a file."""
        folder = name.rpartition("/")[0]
        if folder not in self._cleared:
            self._cleared.add(folder)
            clear_leftovers(self._settings.root / folder)

    def _wait_for_room(self, error: WriteError) -> bool:
        """Wait while the disk is full, if that was asked for; else stop the export."""
        if self._settings.on_full == "wait":
            if self._stopped is None and not self._cancelled.is_set():
                self._ledger.say("", WriteError(f"{error}: the export waits for room"))
                return not self._cancelled.wait(LOOK_AGAIN)
            return False
        stopped = WriteError(f"stopped, because the disk is full: {error}")
        self._stopped = self._stopped or _caused(stopped, error)
        return False

    def _fail(self, item: Named, error: BaseException) -> None:
        skip = self._settings.existing == "skip" and isinstance(error, ExistsError)
        if not isinstance(error, TiffinError):
            message = f"{item.frame}: {type(error).__name__}: {error}"
            error = _caused(ReadError(message), error)
        self._ledger.settle(item.place, "skipped" if skip else "failed", error)

    def _lines(self, group: Group, written: dict[int, Written]) -> str:
        """Make a group's lines: of what was written, and of what failed."""
        if not self._journal.on:
            return ""
        if len(group.named) == len(written) == 1:  # as most are
            item = group.named[0]
            record = self._ledger.at(item.place)
            notes = self._notes.pop(item.place, None)
            name = str(item.name)
            return self._journal.line(item.frame, record, name, written[0], notes)
        lines = []
        first = group.named[0].frame
        count = max(len(group.named), 1 + max(written, default=0))
        for i in range(count):
            place = (group.number, i)
            if not self._ledger.has(place):
                continue
            record = self._ledger.at(place)
            if i not in written and isinstance(record.error, ExistsError):
                continue  # the manifest has the line of who wrote it
            frame = (
                group.named[i].frame if i < len(group.named) else first.with_index(i)
            )
            name = "" if record.path is None else self._relative(record.path)
            notes, done = self._notes.pop(place, None), written.get(i)
            lines.append(self._journal.line(frame, record, name, done, notes))
        return "".join(lines)

    def _relative(self, path: Any) -> str:
        return str(path)[len(self._root) :].lstrip("/")

    def _path(self, item: Named) -> str:
        return f"{self._root}/{item.name}"

    def _put_empty(self, item: Named) -> None:
        frame = item.frame
        error = NoImageError(f"event {frame.seq_num} holds no image of {frame.field!r}")
        record = record_of(replace(frame, i=None), "skipped", error=error)
        self._ledger.put(item.place, record)

    def _say_surprise(self, frame: Frame, announced: int, found: int) -> None:
        key = (frame.run, frame.stream, frame.field)
        if key not in self._surprised:
            self._surprised.add(key)
            logger.warning(
                "run %s: the descriptor announces %d image(s) of %r an event, event %s "
                "holds %d: the event is right",
                frame.run[:8],
                announced,
                frame.field,
                frame.seq_num,
                found,
            )


def _caused(error: E, cause: BaseException) -> E:
    """Say what caused an error, with the system's number where there is one."""
    error.errno = getattr(cause, "errno", None)
    error.__cause__ = cause
    return error


def _open(frame: Frame) -> Images:
    assert frame.pixels is not None  # noqa: S101 (such frames have no name)
    array = frame.pixels.open()
    if len(array.shape) < 2:
        message = f"{frame} is no image: its shape is {list(array.shape)}"
        raise ReadError(message)
    return images_in(array, frame.pixels)

"""What a worker does with the frames of events: read, correct, write, record."""

from __future__ import annotations

import errno
import logging
import math
import os
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from tiffin.corrections import Notes
from tiffin.engine import lean
from tiffin.errors import (
    CorrectionError,
    ExistsError,
    NoImageError,
    NotYetError,
    ReadError,
    SupersededError,
    TiffinError,
    WriteError,
)
from tiffin.export.content import Content, ImageContent, StripContent
from tiffin.export.outcome import Named, Outcome, record_of
from tiffin.export.presence import Presence
from tiffin.export.provenance import provenance
from tiffin.writers import Written, clear_leftovers, dated, publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.engine import Later, Ledger
    from tiffin.export.correcting import Correcting
    from tiffin.export.journal import Journal
    from tiffin.export.naming import Namer
    from tiffin.frames import Frame, Images
    from tiffin.records import Status
    from tiffin.settings import Settings

__all__ = ["Group", "Worker"]

logger = logging.getLogger("tiffin")

FULL = (errno.ENOSPC, errno.EDQUOT)
E = TypeVar("E", bound=OSError)

LATEST = 2.0**33
"""In 2242, well inside what file systems take as a file's time [s]."""

LONGEST = 10_000
"""Of what an error tells, which may be an array's bytes [characters]."""

MOST_FOLDERS = 10_000
"""Folders that are known to be without leftovers."""

LOOK_AGAIN = 1.0
"""How often a full disk is looked at, where it is waited for [s]."""


class Group(NamedTuple):
    """The frames of one event and field.

    Attributes
    ----------
    number : int
        What their places in the ledger have in common, beside the run.
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
    settings : Settings
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
        settings: Settings,
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
        self._presence = Presence(settings, journal)
        self._writer = settings.writer
        self._root = str(settings.directory)
        self._folders = settings.folders
        self._corrected = bool(settings.steps)
        self._replaces = settings.existing == "replace"
        self._cleared: set[str] = set()
        self._surprised: set[tuple[str, str | None, str | None]] = set()
        self._stopped: TiffinError | None = None
        self._cancelled = threading.Event()
        self.looked = 0
        """How often a full disk was looked at again, which it was asked to be."""

    def export(self, batch: list[Group]) -> None:
        """Write the images of events, and tell the manifests of them."""
        told: dict[str, list[tuple[int, str]]] = {}
        for group in batch:
            lines = self._export(group)
            if lines is not None:
                told.setdefault(group.run, []).append((group.number, lines))
        for run, lines_of_run in told.items():
            self._tell(run, lines_of_run)

    def fail(self, group: Group, error: BaseException) -> None:
        """Fail what is still planned of a group."""
        for item in group.named:
            if item.name is not None and self._ledger.is_planned(item.place):
                self._fail(item, error)

    def end_run(self, run: str) -> None:
        """Let go of what was said of a run."""
        self._surprised = {key for key in self._surprised if key[0] != run}

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
            except Exception as error:  # noqa: BLE001 (the border of a job; recorded)
                message = f"the manifest of run {run[:8]} can't be written: {error!r}"
                self._ledger.say(run, WriteError(message))
            return

    def _export(self, group: Group) -> str | None:
        """Write one event's images; give the lines of it, None if it is late."""
        lines: dict[int, str] = {}  # of what was written, by index
        ready = [item for item in group.named if item.name is not None]
        try:
            missing = self._try(group, ready, lines) if ready else []
            if missing and self._later is not None:
                self._postpone(group, missing, lines)
                return None
            self._give_up(missing)
            return self._lines(group, lines)
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self.fail(group, error)
            return "".join(lines.values())

    def _postpone(
        self,
        group: Group,
        missing: list[tuple[Named, NotYetError]],
        lines: dict[int, str],
    ) -> None:
        state = [missing]

        def again(last: bool) -> bool:
            try:
                state[0] = self._try(group, [item for item, _ in state[0]], lines)
                if last:
                    self._give_up(state[0])
                done = last or not state[0]
            except BaseException as error:  # noqa: BLE001 (as above)
                self.fail(group, error)
                done = True
            if done:
                self._tell(group.run, [(group.number, self._lines(group, lines))])
            return done

        assert self._later is not None  # noqa: S101 (asked by the caller)
        self._later.postpone(group.run, again)

    def _give_up(self, missing: list[tuple[Named, NotYetError]]) -> None:
        for item, error in missing:
            self._fail(item, error)

    def _try(
        self, group: Group, items: list[Named], lines: dict[int, str]
    ) -> list[tuple[Named, NotYetError]]:
        """Write what can be written; give what is not there yet."""
        if self._stopped is not None:
            for item in items:
                self._fail(item, self._stopped)
            return []
        items = [item for item in items if self._ledger.is_planned(item.place)]
        if not items:
            return []  # taken again meanwhile
        if self._settings.existing == "resume":
            items = [item for item in items if not self._is_intact(item)]
            if not items:
                return []
        try:
            images = items[0].frame.images()
        except NotYetError as error:
            lean(error)  # it is kept, and would keep files open
            return [(item, error) for item in items]
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            for item in items:
                self._fail(item, error)
            return []
        announced = len(group.named)
        found = images.shape[0] if math.prod(images.shape) else 0
        if found != announced:
            self._settle_surprise(group, items, found, images, lines)
        missing = []
        for item in items:
            late = None
            if item.place[2] < found:
                late = self._write(item, images, lines)
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
            self._ledger.settle(item.place, "skipped", there, if_planned=True)
        return found

    def _settle_surprise(
        self,
        group: Group,
        items: list[Named],
        found: int,
        images: Images,
        lines: dict[int, str],
    ) -> None:
        """Account for images that were announced and are not there, and the reverse."""
        first, announced = items[0], len(group.named)
        self._say_surprise(first.frame, announced, found)
        for item in items:
            if item.place[2] >= found and self._ledger.is_planned(item.place):
                self._ledger.withdraw(item.place)
        if not found:
            self._put_empty(first)
        for i in range(announced, found):
            place = (group.run, group.number, i)
            if not self._ledger.has(place):  # on a second try it has
                named = self._namer.name_one(first.frame.with_index(i), place)
                if named.name is None:
                    continue
                late = self._write(named, images, lines)
                if late is not None:
                    self._fail(named, late)

    def _write(
        self, item: Named, images: Images, lines: dict[int, str]
    ) -> NotYetError | None:
        """Write one image and record it; give the error if it is not there yet."""
        try:
            self._put(item, images, lines)
        except NotYetError as error:
            lean(error)
            return error
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self._fail(item, error)
        return None

    def _put(self, item: Named, images: Images, lines: dict[int, str]) -> None:
        frame, name = item.frame, str(item.name)
        path = f"{self._root}/{name}"
        notes = Notes() if self._corrected else None
        content = self._content(frame, images, notes)
        clipped = 0 if notes is None else notes.clipped
        outcome = Outcome.of(frame, path, content, clipped)
        left: Named | None = item
        while left is not None:
            with self._namer.retakes.lock(outcome.path):
                if not self._ledger.is_planned(item.place):
                    return  # it was taken again
                left = self._put_one(left, lines, content, outcome, notes)
            if left is not None:
                outcome = outcome._replace(path=self._path(left))

    def _put_one(
        self,
        item: Named,
        lines: dict[int, str],
        content: Content,
        outcome: Outcome,
        notes: Notes | None,
    ) -> Named | None:
        """Publish a file, or adopt it, and record it; or give it another name."""
        frame, name, path = item.frame, str(item.name), outcome.path
        is_retake = path in self._namer.retakes.files(item.place)
        looks = self._presence.looks and not is_retake
        state = self._presence.state(frame.run, name, content) if looks else "absent"
        if state == "held":  # adopted: byte for byte what would be written
            done = self._presence.sum_of(name)
            there = ExistsError(f"{path} is there already")
            outcome = outcome._replace(status="skipped", error=there)
        else:
            self._clear(name)
            replaced = state == "damaged" or self._replaces or is_retake
            write = self._write_of(frame, content)
            try:
                done = self._publish(path, write, replace=replaced)
            except ExistsError:
                if self._settings.existing != "unique":
                    raise
                renamed = self._namer.another(item)
                if renamed.name == item.name:
                    raise
                return renamed
        if not self._ledger.put(item.place, outcome, if_planned=True):
            if state != "held" and not self._namer.retakes.wrote(item.place, path):
                self._remove(name)
        elif self._journal.on:
            lines[item.place[2]] = self._journal.line(frame, outcome, name, done, notes)
        return None

    def _remove(self, name: str) -> None:
        """Remove a file of a take that another one supersedes."""
        folder, _, last = name.rpartition("/")
        with suppress(OSError), self._folders.open(folder) as above:
            os.unlink(last, dir_fd=above)

    def _content(self, frame: Frame, images: Images, notes: Notes | None) -> Content:
        """Read an image and correct it; or take it as it is stored, if that may be."""
        i = frame.i or 0
        if notes is None:
            encoded = getattr(images, "encoded", None)
            strip = encoded(i, self._writer.takes) if encoded else None
            if strip is not None:
                return StripContent(self._writer, strip)
            return ImageContent(self._writer, np.asarray(images[i]))
        image = self._correcting(np.asarray(images[i]), frame, notes)
        if not image.size:
            message = f"{frame}: the corrections leave no pixel, shape {image.shape}"
            raise CorrectionError(message)
        return ImageContent(self._writer, image, provenance(notes))

    def _write_of(self, frame: Frame, content: Content) -> Callable[[int], Written]:
        """Return what writes a file, and dates it if that was asked for."""
        time, _ = frame.taken() if self._settings.file_time == "event" else (0.0, False)
        return dated(content.write, time) if 0 < time < LATEST else content.write

    def _publish(
        self, path: str, write: Callable[[int], Written], *, replace: bool
    ) -> Written:
        mode, sync = self._settings.mode, self._settings.fsync == "file"
        while True:
            try:
                return publish(
                    path,
                    write,
                    replace=replace,
                    mode=mode,
                    sync=sync,
                    folders=self._folders,
                )
            except WriteError as error:
                if error.errno not in FULL or not self._wait_for_room(error):
                    raise

    def _clear(self, name: str) -> None:
        """Remove, once, what exports that died left beside a file."""
        folder = name.rpartition("/")[0]
        if folder not in self._cleared:
            if len(self._cleared) >= MOST_FOLDERS:
                self._cleared.clear()
            self._cleared.add(folder)
            clear_leftovers(self._folders, folder)

    def _wait_for_room(self, error: WriteError) -> bool:
        """Wait while the disk is full, if that was asked for; else stop the export."""
        if self._settings.on_full == "wait":
            if self._stopped is None and not self._cancelled.is_set():
                self._ledger.say("", WriteError(f"{error}: the export waits for room"))
                self.looked += 1
                return not self._cancelled.wait(LOOK_AGAIN)
            return False
        stopped = WriteError(f"stopped, because the disk is full: {error}")
        self._stopped = self._stopped or _caused(stopped, error)
        return False

    def _fail(self, item: Named, error: BaseException) -> None:
        skip = self._settings.existing == "skip" and isinstance(error, ExistsError)
        # What turns out to be no image is missed only where it was asked for by name.
        skip |= self._settings.fields is None and isinstance(error, NoImageError)
        if not isinstance(error, TiffinError):
            message = f"{item.frame}: {type(error).__name__}: {error}"
            error = _caused(ReadError(message[:LONGEST]), error)
        path, retakes = self._path(item), self._namer.retakes
        if path in retakes.paths(item.place):
            with retakes.lock(path):  # it may be under way
                holds = path in retakes.files(item.place)
            if holds:
                message = f"{error}; {path} holds an earlier take, not this one"
                error = _caused(ReadError(message), error)
        status: Status = "skipped" if skip else "failed"
        self._ledger.settle(item.place, status, error, if_planned=True)

    def _lines(self, group: Group, lines: dict[int, str]) -> str:
        """Return a group's lines: of what was written, and of what failed."""
        if not self._journal.on:
            return ""
        count = max(len(group.named), 1 + max(lines, default=0))
        retired = self._retire(group, count)
        if count == len(lines) == 1:  # as most are
            return retired + lines[0]
        return retired + "".join(
            [lines[i] if i in lines else self._line(group, i) for i in range(count)]
        )

    def _retire(self, group: Group, count: int) -> str:
        """Remove earlier takes' files that have other names; give lines that say so."""
        first = group.named[0]
        earlier = self._namer.retakes.files(first.place)
        if not earlier:
            return ""
        places = ((group.run, group.number, i) for i in range(count))
        records = [self._ledger.at(of) for of in places if self._ledger.has(of)]
        if all(record.status in ("written", "skipped") for record in records):
            for path in earlier - {str(record.path) for record in records}:
                self._remove(self._relative(path))
        error = SupersededError(
            f"superseded: event {first.frame.seq_num} was taken again"
        )
        record = record_of(first.frame, "skipped", error=error)
        return "".join(
            self._journal.line(first.frame, record, self._relative(path), None)
            for path in sorted(earlier)
        )

    def _line(self, group: Group, i: int) -> str:
        """Make the line of a frame that was not written."""
        place = (group.run, group.number, i)
        if not self._ledger.has(place):
            return ""
        record = self._ledger.at(place)
        if isinstance(record.error, ExistsError):
            return ""  # the manifest has the line of who wrote it
        named = group.named
        frame = named[i].frame if i < len(named) else named[0].frame.with_index(i)
        name = "" if record.path is None else self._relative(record.path)
        return self._journal.line(frame, record, name, None)

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

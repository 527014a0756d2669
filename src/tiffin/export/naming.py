"""Give frames their names, and claim these, before any pixel is read."""

from __future__ import annotations

import itertools
import os
import stat
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from tiffin.engine import Claims
from tiffin.errors import (
    CollisionError,
    ExistsError,
    NoImageError,
    SettingsError,
    SupersededError,
    TemplateError,
    TiffinError,
    WriteError,
)
from tiffin.export.case_conflicts import CaseConflicts
from tiffin.export.claimants import Claimant, fields_apart
from tiffin.export.name_checks import NameChecks
from tiffin.export.name_order import NameOrder
from tiffin.export.output_file import OutputFile, Page
from tiffin.export.retakes import Retakes
from tiffin.export.stacks import Stacks
from tiffin.folders import link_message
from tiffin.frames import FrameId
from tiffin.records import Record
from tiffin.settings import format_frames
from tiffin.template import with_number

if TYPE_CHECKING:
    from tiffin.engine import Ledger, Place
    from tiffin.export.output_file import PageGroup
    from tiffin.export.stack_file import StackFile
    from tiffin.frames import Frame
    from tiffin.settings import Settings


class Namer:
    """Names frames, claims the names, and adds a record for each frame."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._root = os.fspath(settings.directory)
        self.stacks = Stacks(settings)
        self._claims: Claims[Claimant] = Claims(
            partial(fields_apart, settings.template.text, self.stacks.next_field)
        )
        self._conflicts = CaseConflicts(self._root, follow_links=settings.follow_links)
        self._order = NameOrder(settings.template, settings.first)
        self._not_chosen: Counter[str] = Counter()
        sidecar = settings.sidecar
        self._suffixes = ("",) if sidecar is None else ("", sidecar.suffix)
        self.checks = NameChecks(settings, ledger)
        self.retakes = Retakes(ledger, settings.repeats)
        self.planning = False
        """Whether names are made without writing files."""

    def begin_run(self, run: str) -> None:
        """Forget a run, and look at the folders again."""
        self._forget(run)
        self._conflicts.forget()

    def _forget(self, run: str) -> None:
        self.checks.forget(run)
        self.retakes.forget(run)
        self._order.forget(run)
        self._not_chosen.pop(run, None)

    def release(self, run: str, *, again: bool = False) -> None:
        """Release the names of a run. From now on, `existing` decides about its files.

        A dry run writes no files, so it keeps its claims, unless the run comes `again`
        or a later run can replace the files.
        """
        self._forget(run)
        self._conflicts.forget()  # there may be very many names
        replaces = self._settings.existing == "replace"
        if not self._settings.dry_run or again or replaces:
            self._claims.release(lambda owner: owner.frame.run == run)

    def name(self, group: list[Frame]) -> PageGroup:
        """Name the frames of one event and field, and claim their names."""
        number = self._ledger.new_group()
        places = [(group[0].run, number, n) for n in range(len(group))]
        superseded = self.retakes.take(group[0], number, len(group))
        if superseded is not None:
            return [
                self._failed(frame, place, "", superseded)
                for frame, place in zip(group, places, strict=True)
            ]
        if self.stacks.is_on:
            with self.stacks.lock:
                pages = [*map(self._stack_page, group, places)]
                self.stacks.end_event(group[0])
                return pages
        if len(group) == 1:
            name = self._name_of(group[0])
            return [self._page(group[0], places[0], name, shared=False)]
        names = [self._name_of(frame) for frame in group]
        times = Counter(name for name in names if isinstance(name, str))
        return [
            self._page(frame, place, name, shared=times[name] > 1)  # type: ignore[index]
            for frame, place, name in zip(group, places, names, strict=True)
        ]

    def name_one(self, frame: Frame, place: Place) -> Page:
        """Name a frame that the descriptor of its event does not declare."""
        if self.stacks.is_on:
            with self.stacks.lock:
                own = self.stacks.earlier(frame, self.retakes.owner(place))
                return self._stack_page(frame, place, own)
        return self._page(frame, place, self._name_of(frame), shared=False)

    def _stack_page(
        self, frame: Frame, place: Place, own: StackFile | None = None
    ) -> Page:
        """Choose the stack of a frame; the name of a stack is that of its first one."""
        if frame.problem is not None or frame.seq_num is None:
            return self._page(frame, place, self._name_of(frame), shared=False)
        if not self._is_chosen(frame):
            return Page(frame, place, None)
        owner = self.retakes.owner(place)
        stack = self.stacks.earlier(frame, owner) if owner != place else None
        if own is not None:
            stack = own  # that of the other images of its event
        elif stack is None or self._settings.stack == "event":
            stack = self.stacks.current(frame)
        if stack is None:
            stack = self._new_stack(frame, place)
        if stack.refusal is not None:
            return self._failed(frame, place, stack.name, stack.refusal)
        if not self.stacks.add(stack, frame, place, owner):
            message = (
                f"event {frame.seq_num} was taken again, when the stack of its earlier "
                f"take was complete: export the run again, with existing='replace'"
            )
            return self._failed(frame, place, stack.name, SupersededError(message))
        record = Record.of(frame, "planned", file=f"{self._root}/{stack.name}")
        if self._settings.dry_run:  # else the file tells
            of_take = self._ledger.at(owner).page if owner != place else None
            page = stack.counted - 1 if of_take is None else of_take
            record = record._replace(page=page)
        self._ledger.put(place, record)
        return Page(frame, place, stack, owner[1:])

    def _new_stack(self, frame: Frame, place: Place) -> StackFile:
        name = self._rendered(frame)
        if isinstance(name, str):
            name, number = self.stacks.part(frame, name)
            name = with_number(name, number, "_{:03d}") if number else name
            self._order.see(frame, name)
        name, refusal = self._claimed(frame, place, name, shared=False)
        text = name if isinstance(name, str) else ""
        stack = self.stacks.begin(frame, text, planned=self.planning)
        stack.refusal = refusal
        return stack

    def another(self, page: Page) -> Page | None:
        """Give a frame another name, because its name is taken now."""
        if page.file is None or self._settings.existing != "unique":
            return None
        self._conflicts.forget()  # its file came after its folder was listed
        free = self._free(page.file.name, page.frame, page.place)
        if free == page.file.name or isinstance(free, TiffinError):
            return None
        return page._replace(file=OutputFile(free))

    def claim_sidecar(self, name: str, frame: Frame, place: Place) -> str | TiffinError:
        """Claim the name of a sidecar, after those of the frames.

        Return the name, which has a number with ``existing="unique"``; or why the
        sidecar can't have it. A frame that has the name keeps it.
        """
        if not self._claims.take_instead(name, name, Claimant(frame.id, place)):
            message = f"{name!r} is also the name of another file of this export"
            return CollisionError(message)
        if self._settings.existing == "unique":
            return self._free(name, frame, place)
        return self._on_disk(name) or name

    def _is_chosen(self, frame: Frame) -> bool:
        """Return whether `frames=` includes a frame; count the others."""
        chosen = self._settings.frames
        if chosen is None or frame.number is None or frame.number in chosen:
            return True
        self._not_chosen[frame.run] += 1
        return False

    def account(self, run: str | None = None) -> None:
        """Add a record for runs of which `frames=` includes no frame."""
        for uid in [u for u in self._not_chosen if run in (None, u)]:
            count = self._not_chosen.pop(uid)
            if not self._ledger.has_any(uid):
                chosen = format_frames(self._settings.frames)
                message = (
                    f"frames={chosen!r} includes none of the {count} frames of the run"
                )
                error = SettingsError(message)
                record = Record(id=FrameId(uid), status="skipped", error=error)
                self._ledger.put((uid, self._ledger.new_group(), 0), record)
                self._ledger.say(uid, error)

    @property
    def any_contested(self) -> bool:
        """Whether any name has several claimants."""
        return self._claims.any_contested

    def is_contested(self, name: str, count: int) -> CollisionError | None:
        """Return an error if a name has several claimants; `count` is how many."""
        for end in self._suffixes:
            advice = self._claims.contested(name + end)
            if advice is not None:
                many = f"{count if count > 1 else 'several'} {self.stacks.each}s"
                return CollisionError(f"{name!r} is the name of {many}: {advice}")
        return None

    def _name_of(self, frame: Frame) -> str | TiffinError | None:
        """Return the name of a frame, or an error; None if `frames=` excludes it."""
        return self._rendered(frame) if self._is_chosen(frame) else None

    def _rendered(self, frame: Frame) -> str | TiffinError:
        refused = self.checks.refusal(frame)
        if refused is not None:
            return refused
        try:
            return self._settings.template.render(frame.names(self._settings.first))
        except TemplateError as error:
            return error
        except (Exception, SystemExit) as error:  # noqa: BLE001 (any value of a document)
            return _unexpected(frame, error)

    def _page(
        self,
        frame: Frame,
        place: Place,
        name: str | TiffinError | None,
        *,
        shared: bool,
    ) -> Page:
        """Claim a name for a frame, and add its record: planned, or with an error."""
        if name is None:  # `frames=` excludes it
            return Page(frame, place, None)
        if isinstance(name, str):
            self._order.see(frame, name)
        error = frame.problem
        try:
            if error is None:
                name, error = self._claimed(frame, place, name, shared=shared)
        except (Exception, SystemExit) as unexpected:  # noqa: BLE001 (recorded)
            error = _unexpected(frame, unexpected)
        if frame.seq_num is None:  # a run without images: it may have been refused
            error = self.checks.first_refusal(frame.run, frame.field) or error
        if error is None:
            file = f"{self._root}/{name}"
            self._ledger.put(place, Record.of(frame, "planned", file=file))
            return Page(frame, place, OutputFile(str(name)))
        return self._failed(frame, place, name, error)

    def _failed(
        self, frame: Frame, place: Place, name: str | TiffinError, error: Exception
    ) -> Page:
        """Add the record of a frame that gets no file."""
        exists = isinstance(error, ExistsError) and self._settings.existing == "skip"
        nothing = isinstance(error, NoImageError) or getattr(error, "skip", False)
        has_name = isinstance(name, str) and name and frame.seq_num is not None
        record = Record.of(
            frame,
            "skipped" if nothing or exists else "failed",
            file=f"{self._root}/{name}" if has_name and not nothing else None,
            error=error,
        )
        self._ledger.put(place, record)
        return Page(frame, place, None)

    def _claimed(
        self, frame: Frame, place: Place, name: str | TiffinError, *, shared: bool
    ) -> tuple[str | TiffinError, Exception | None]:
        """Claim a name; return it, or a free one, and why the frame can't have it."""
        if isinstance(name, TiffinError):
            return name, name
        if shared and not self.planning:
            message = (
                f"event {frame.seq_num} has several images of {frame.field!r}, all "
                f"named {name!r}: add {{i}} to the template"
            )
            return name, CollisionError(message)
        owner = Claimant(frame.id, self.retakes.owner(place))
        try:
            for suffix in self._suffixes:
                self._claims.take(name + suffix, owner)
        except CollisionError as error:
            # After a plan, all claimants of the name fail, with one message.
            is_planned = self.planning and self._claims.is_shared(name)
            return name, None if is_planned else error
        if self._settings.existing != "unique":
            return name, self._in_the_way(name, place)
        if self._claims.is_shared(name):
            return name, None
        free = self._free(name, frame, place)
        return (name, free) if isinstance(free, TiffinError) else (free, None)

    def _free(self, name: str, frame: Frame, place: Place) -> str | TiffinError:
        """Return a name, or if the file exists, the name with the next free number.

        A number does not help if a folder of the name is in conflict.
        """
        in_the_way = self._in_the_way(name, place)
        if in_the_way is None:
            return name
        folder = name.rpartition("/")[0]
        if self._conflicts.twin(folder) or self._conflicts.link(folder):
            return in_the_way
        owner = Claimant(frame.id, self.retakes.owner(place))
        for n in itertools.count(2):
            other = with_number(name, n)
            in_the_way = self._in_the_way(other, place)
            if not in_the_way and all(
                self._claims.take_instead(other + end, name + end, owner)
                for end in self._suffixes
            ):
                break
        return other

    def _in_the_way(self, name: str, place: Place) -> TiffinError | None:
        """Return an error if something on the disk has the name, or the sidecar's."""
        if f"{self._root}/{name}" in self.retakes.paths(place):
            return None  # the file of an earlier take, which is replaced
        for suffix in self._suffixes:
            error = self._on_disk(name + suffix)
            skips = isinstance(error, ExistsError) and self._settings.existing == "skip"
            if suffix and skips:  # the image must not be skipped
                message = (
                    f"there is already a file at {self._root}/{name}{suffix}, but no "
                    f"image {name!r} beside it: existing='replace' writes both"
                )
                return WriteError(message)
            if error is not None:
                return error
        return None

    def _on_disk(self, name: str) -> TiffinError | None:
        path = f"{self._root}/{name}"
        link = self._conflicts.link(name.rpartition("/")[0]) if "/" in name else None
        if link is not None:
            return WriteError(f"{path} can't be written: {link_message(link)}")
        twin = self._conflicts.twin(name)
        if twin is not None:
            message = (
                f"{path} and {twin!r}, which exists already, are the same name on "
                f"Windows and macOS: tell them apart in the template"
            )
            return CollisionError(message)
        if not self._conflicts.is_listed(name):
            return None  # if it comes later, writing it will raise the error
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError):
            return None  # no file, or writing it will raise the error
        if stat.S_ISDIR(mode) or (stat.S_ISLNK(mode) and os.path.isdir(path)):  # noqa: PTH112 (a Path costs as much)
            return WriteError(f"{path} is a folder, so no file can have that name")
        if self._settings.existing in ("replace", "resume") or self._settings.compare:
            return None  # checked when the file is written
        return ExistsError.at(path)


def _unexpected(frame: Frame, error: BaseException) -> TiffinError:
    unexpected = TiffinError(f"{frame} has no name: {type(error).__name__}: {error}")
    unexpected.__cause__ = error
    return unexpected

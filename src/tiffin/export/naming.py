"""Give frames their names, and claim these, before any pixel is read."""

from __future__ import annotations

import itertools
import os
import stat
from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.engine import Claims, Ledger
from tiffin.errors import (
    CollisionError,
    ExistsError,
    NoImageError,
    SettingsError,
    TemplateError,
    TiffinError,
    WriteError,
)
from tiffin.export.outcome import Named, Outcome, record_of
from tiffin.export.retakes import Retakes
from tiffin.export.siblings import Siblings
from tiffin.export.sorting import Sorting
from tiffin.folders import link_message
from tiffin.records import Record
from tiffin.settings import format_frames
from tiffin.template import field_to_add, with_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from tiffin.assemble import DeclaredImages
    from tiffin.engine.ledger import Place
    from tiffin.frames import Frame
    from tiffin.records import Status
    from tiffin.settings import Settings

__all__ = ["Namer"]


class Namer:
    """Names frames, and puts a record for each: planned, or already ended.

    Parameters
    ----------
    settings : Settings
    progress : callable, optional
        Called with (frames finished, frames known).
    """

    def __init__(
        self, settings: Settings, progress: Callable[[int, int], object] | None = None
    ) -> None:
        self._settings = settings
        self.ledger = Ledger(
            progress,
            self.record,
            dry_run=settings.dry_run,
            keep=settings.keep_reports,
        )
        """Where every frame has its record."""
        self.retakes = Retakes(self.ledger, settings.repeats)
        """Which points were taken again."""
        self._claims: Claims[_Owner] = Claims()
        self._root = os.fspath(settings.directory)
        self._siblings = Siblings(self._root, follow_links=settings.follow_links)
        self.planning = False
        """Whether nothing is written meanwhile: a folder that is not there stays so."""
        self._is_there = lru_cache(256)(os.path.isdir)
        self._folder = lru_cache(1024)(settings.directory.joinpath)
        # By the uid of a run; or of a descriptor, and the field.
        self._refused: dict[tuple[str, str | None], TiffinError] = {}
        self._refused_of: defaultdict[str, list[str]] = defaultdict(list)
        self._first_refusals: dict[tuple[str, str | None], TiffinError] = {}
        self._streams: defaultdict[str, set[str]] = defaultdict(set)
        self._passed: Counter[str] = Counter()
        self._sorting = Sorting(settings.template, settings.first)

    def check_start(self, start: Mapping[str, Any]) -> TemplateError | None:
        """Tell at its start document what every name of a run would fail with."""
        try:
            self._settings.template.check_start(start)
        except TemplateError as error:
            self.refuse_run(str(start["uid"]), error)
            return error
        return None

    def begin_run(self, run: str) -> None:
        """Know nothing yet of a run, and look at the folders anew."""
        self._forget(run)
        self._siblings.forget()

    def _forget(self, run: str) -> None:
        uids = {run, *self._refused_of.pop(run, ())}
        if self._refused:
            for key in [key for key in self._refused if key[0] in uids]:
                del self._refused[key]
        for refused in [key for key in self._first_refusals if key[0] == run]:
            del self._first_refusals[refused]
        self._streams.pop(run, None)
        self._passed.pop(run, None)
        self._sorting.forget(run)
        self.retakes.forget(run)

    def release(self, run: str, *, again: bool = False) -> None:
        """Release the names of a run: for files on the disk, `existing` decides.

        A dry run puts nothing there, and so keeps its claims, unless the run comes
        `again`.
        """
        self._forget(run)
        if self._settings.dry_run and not again:
            return
        self._claims.release(lambda owner: owner.run == run)

    def refuse_run(self, run: str, error: TiffinError) -> None:
        """Give no name to any frame of a run."""
        self._refused[run, None] = error
        self._first_refusals.setdefault((run, None), error)
        self.ledger.say(run, error)

    def check_descriptor(
        self, announced: DeclaredImages, *, live: bool
    ) -> TemplateError | None:
        """Tell at its descriptor what every name of a stream would fail with.

        Live, names that can't tell the announced frames apart are refused as well; a
        replay knows the frames themselves.
        """
        descriptor, start = announced.descriptor, announced.start
        if announced.images:
            self._streams[str(start["uid"])].add(str(descriptor["name"]))
        found: TemplateError | None = None
        for field, images in announced.images.items():
            try:
                self._settings.template.check_descriptor(descriptor, start, field)
                if live:
                    self._check_distinct(announced, images)
            except TemplateError as error:
                self._refused[str(descriptor["uid"]), field] = error
                self._refused_of[str(start["uid"])].append(str(descriptor["uid"]))
                self._first_refusals.setdefault((str(start["uid"]), field), error)
                self.ledger.say(str(start["uid"]), error, field)
                found = found or error
        return found

    def _check_distinct(self, announced: DeclaredImages, images: int) -> None:
        template, start = self._settings.template, announced.start
        streams = self._streams[str(start["uid"])]
        mend = field_to_add(
            template.fields,
            num_points=start.get("num_points"),
            images=images,
            image_fields=len(announced.images),
            streams=len(streams),
        )
        if mend is not None:
            many = {
                "{i}": f"the {images} images of an event",
                "{field}": f"the images of {len(announced.images)} fields",
                "{stream}": f"the images of streams {' and '.join(sorted(streams))}",
            }
            message = (
                f"template {template.text!r} gives one name to "
                f"{many.get(mend, 'all events of a run')}: add {mend}"
            )
            raise TemplateError(message)

    def name(self, group: list[Frame]) -> list[Named]:
        """Name the frames of one event and field."""
        run, first = group[0].run, self.ledger.new_group()
        error = self.retakes.take(group[0], first, len(group))
        if error is not None:
            for n, frame in enumerate(group):
                record = record_of(frame, "skipped", error=error)
                self.ledger.put((run, first, n), record)
            return [
                Named(frame, (run, first, n), None) for n, frame in enumerate(group)
            ]
        if len(group) == 1:
            return [self.name_one(group[0], (run, first, 0))]
        rendered = [
            self._render(frame) if self._is_chosen(frame) else None for frame in group
        ]
        times = Counter(name for name in rendered if isinstance(name, str))
        shared = {name for name, count in times.items() if count > 1}
        return [
            Named(frame, (run, first, n), None)
            if name is None
            else self._settle(frame, (run, first, n), name, shared=name in shared)
            for n, (frame, name) in enumerate(zip(group, rendered, strict=True))
        ]

    def name_one(self, frame: Frame, place: Place) -> Named:
        """Name a frame that stands alone, or turned up beside those of its event."""
        if not self._is_chosen(frame):
            return Named(frame, place, None)
        return self._settle(frame, place, self._render(frame), shared=False)

    def _is_chosen(self, frame: Frame) -> bool:
        """Whether a frame is to be exported; count those that are not."""
        chosen = self._settings.frames
        if chosen is None or frame.number is None or frame.number in chosen:
            return True
        self._passed[frame.run] += 1
        return False

    def account(self, run: str | None = None) -> None:
        """Record of a run, or of all, that none of its frames was chosen."""
        for uid in [u for u in self._passed if run in (None, u)]:
            count = self._passed.pop(uid)
            if not self.ledger.has_any(uid):
                told = format_frames(self._settings.frames)
                message = f"frames={told!r} chooses none of the run's {count} frames"
                error = SettingsError(message)
                record = Record(status="skipped", path=None, run=uid, error=error)
                self.ledger.put((uid, self.ledger.new_group(), 0), record)
                self.ledger.say(uid, error)

    def record(self, kept: Named | Outcome) -> Record:
        """Make the record of a frame that is still to be written, or was."""
        if isinstance(kept, Outcome):
            return kept.record()
        path = None if kept.name is None else self.path(kept.name)
        return record_of(kept.frame, kept.status, path=path)

    def sizes(self) -> Iterator[tuple[tuple[int, ...] | None, np.dtype | None, str]]:
        """Return (shape, dtype, path) of all that is still to be written."""
        for _, thing in self.ledger.waiting():
            if isinstance(thing, Named):
                frame = thing.frame
                yield frame.shape, frame.dtype, f"{self._root}/{thing.name}"
            elif isinstance(thing, Record):
                yield thing.shape, thing.dtype, str(thing.path)

    def path(self, name: str) -> Path:
        """Return the absolute path of a name."""
        head, _, tail = name.rpartition("/")
        return self._folder(head) / tail

    @property
    def any_contested(self) -> bool:
        """Whether more than one frame wanted any name."""
        return self._claims.any_contested

    def is_contested(self, name: str) -> CollisionError | None:
        """Say so if more than one frame wanted a name."""
        if not self._claims.is_contested(name):
            return None
        return CollisionError(
            f"{name!r} is the name of several frames: tell them apart in the template, "
            f"as with {{event.seq_num}}, {{stream}}, {{field}} or {{i}}"
        )

    def _render(self, frame: Frame) -> str | TiffinError:
        if self._refused:
            of_stream = (str(frame.descriptor.get("uid")), frame.field)
            for whole in ((frame.run, None), of_stream):
                if whole in self._refused:
                    return self._refused[whole]
        try:
            return self._settings.template.render(frame.names(self._settings.first))
        except TemplateError as error:
            return error
        except (Exception, SystemExit) as error:  # noqa: BLE001 (what documents bring)
            return _unexpected(frame, error)

    def another(self, item: Named) -> Named:
        """Give a frame another name, because something has taken its own by now."""
        free = self._free(str(item.name), item.frame, item.place)
        return item if isinstance(free, TiffinError) else item._replace(name=free)

    def _refusal_of(self, run: str, field: str | None) -> TiffinError | None:
        """Return what was refused of a run; of another field's it says nothing."""
        for (of, refused), error in self._first_refusals.items():
            if of == run and (None in (refused, field) or refused == field):
                return error
        return None

    def _settle(
        self, frame: Frame, place: Place, name: str | TiffinError, *, shared: bool
    ) -> Named:
        if isinstance(name, str):
            self._sorting.see(frame, name)
        try:
            error = frame.problem or self._refusal(frame, place, name, shared=shared)
        except (Exception, SystemExit) as unexpected:  # noqa: BLE001 (recorded)
            error = _unexpected(frame, unexpected)
        if frame.seq_num is None:  # a run without images: it may have been refused
            error = self._refusal_of(frame.run, frame.field) or error
        if error is None and self._settings.existing == "unique":
            free = self._free(str(name), frame, place)
            name, error = (
                (name, free) if isinstance(free, TiffinError) else (free, None)
            )
        if error is None:
            named = Named(frame, place, str(name))
            self.ledger.put(place, named)
            return named
        path = None if isinstance(name, TiffinError) else self.path(name)
        status: Status = "failed"
        if isinstance(error, NoImageError) or getattr(error, "skip", False):
            status, path = "skipped", None
        elif isinstance(error, ExistsError) and self._settings.existing == "skip":
            status = "skipped"
        if frame.seq_num is None:
            path = None
        self.ledger.put(place, record_of(frame, status, path=path, error=error))
        return Named(frame, place, None)

    def _refusal(
        self, frame: Frame, place: Place, name: str | TiffinError, *, shared: bool
    ) -> Exception | None:
        """Say why a frame may not have its name; None, and it has it."""
        if isinstance(name, TiffinError):
            return name
        if shared:
            message = (
                f"event {frame.seq_num} holds several images of {frame.field!r}, all "
                f"named {name!r}: add {{i}} to the template"
            )
            return CollisionError(message)
        try:
            self._claims.take(name, _Owner.of(frame, self.retakes.owner(place)))
        except CollisionError as error:
            return error
        unique = self._settings.existing == "unique"
        return None if unique else self._in_the_way(name, place)

    def _free(self, name: str, frame: Frame, place: Place) -> str | TiffinError:
        """Return a name, or where something is there already, the next that is free.

        A number tells files apart, not the folders that they lie in.
        """
        in_the_way = self._in_the_way(name, place)
        if in_the_way is None:
            return name
        folder = name.rpartition("/")[0]
        if self._siblings.twin(folder) or self._siblings.link(folder):
            return in_the_way
        owner = _Owner.of(frame, self.retakes.owner(place))
        for n in itertools.count(2):
            other = with_number(name, n)
            in_the_way = self._in_the_way(other, place)
            if not in_the_way and self._claims.take_instead(other, name, owner):
                break
        return other

    def _in_the_way(self, name: str, place: Place) -> TiffinError | None:
        """Look at the disk, once, for something of that name."""
        path = f"{self._root}/{name}"
        if path in self.retakes.paths(place):
            return None  # of an earlier take, which this one replaces
        link = self._siblings.link(name.rpartition("/")[0])
        if link is not None:
            return WriteError(f"{path} can't be written: {link_message(link)}")
        twin = self._siblings.twin(name)
        if twin is not None:
            message = (
                f"{path} and {twin!r}, which is there already, are one name on the "
                f"disks of Windows and macOS: tell them apart in the template"
            )
            return CollisionError(message)
        if self.planning and not self._is_there(path.rpartition("/")[0]):
            return None
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError):
            return None  # nothing there; or the write will say what is wrong
        if stat.S_ISDIR(mode) or (stat.S_ISLNK(mode) and os.path.isdir(path)):  # noqa: PTH112 (a Path costs as much)
            return WriteError(f"{path} is a folder: no file can have that name")
        if self._settings.existing in ("replace", "resume") or self._settings.compare:
            return None  # looked at when it is written
        return ExistsError.at(path)


def _unexpected(frame: Frame, error: BaseException) -> TiffinError:
    told = TiffinError(f"{frame} has no name: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


class _Owner(NamedTuple):
    """Who claims a name, and says so in a collision's message."""

    run: str
    stream: str | None
    field: str | None
    seq_num: int | None
    place: Place  # a run that is given twice owns none of its names

    @classmethod
    def of(cls, frame: Frame, place: Place) -> _Owner:
        return cls(frame.run, frame.stream, frame.field, frame.seq_num, place)

    def __str__(self) -> str:
        return (
            f"event {self.seq_num} of field {self.field!r}, stream {self.stream!r}, "
            f"run {self.run[:8]}"
        )

"""What an export is to do: checked once, before any document."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from tiffin.axes import Axes, AxesSetting
from tiffin.corrections import Cast, Correction, DarkSubtract, Kind, Step
from tiffin.engine import FOLDER
from tiffin.errors import SettingsError, TemplateError, did_you_mean
from tiffin.export.chosen import Chosen, chosen_frames, first_number
from tiffin.folders import Folders
from tiffin.readers import RootMap
from tiffin.template import Style, Template
from tiffin.writers import WRITABLE, SeriesWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Existing", "Export", "FileTime", "Fsync", "OnError", "OnFull"]

Existing = Literal["error", "skip", "replace", "unique", "resume"]
FileTime = Literal["written", "event"]
Fsync = Literal["none", "file", "run"]
OnFull = Literal["stop", "wait"]
OnError = Literal["raise", "report"]

LARGEST_BUDGET = 2**30
"""How much may wait for the workers at most, unless it is asked for [bytes]."""

LONGEST = 366 * 86400
"""What may be waited for a file at most [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """The settings of an export, ready to use and to send to another process.

    Attributes
    ----------
    template : Template
        Of paths relative to `root`.
    root : pathlib.Path
        Absolute.
    fields, streams : tuple of str or None
        None means all.
    existing : {"error", "skip", "replace", "unique", "resume"}
    dry_run : bool
    on_error : {"raise", "report"}
    dtype : numpy.dtype or None
    corrections : tuple of callable
        In the order in which they act; the cast to `dtype` comes last.
    workers : int
    axes : Axes
        Fields whose images have samples, and the names of arrays' axes.
    roots : RootMap
        For files recorded on another mount, and the folders that HDF5 may reach into.
    asset_timeout : float
        How long a live export looks for a file that is not there yet: 0 to a year [s].
    stop_timeout : float or None
        How long a live export waits where nothing happens: at a run's end, and while
        the budget is full; None for no limit [s].
    keep_reports : int or None
        Of how many runs that are over the records stay; None for all.
    budget : int
        How much may wait for the workers, or be in work [bytes].
    writer : SeriesWriter
        How images become files: compression and checksum.
    fsync : {"none", "file", "run"}
        What is forced to the disk: nothing, each file, or the files of a run at its
        end.
    mode : int or None
        The permissions of files and manifests; None for what the umask leaves.
    directory_mode : int or None
        The permissions of folders that are made; None for what the umask leaves.
    follow_links : bool
        Whether folders below `root` may be links.
    file_time : {"written", "event"}
        Whether a file's time is that of its writing or of its event.
    on_full : {"stop", "wait"}
        What to do when the disk is full.
    compare : bool
        Whether nothing is written, and each file compared with what would be.
    catalog : object
        Where corrections look runs up.
    save : tuple of {"sub", "light", "dark"}
        Which kinds of images are written, where a dark is subtracted.
    frames : range, frozenset of int, or None
        The running numbers of the frames that are exported; None for all.
    first : int
        With which number `{frame}` and `{i}` begin in names.
    """

    template: Template
    root: Path
    fields: tuple[str, ...] | None
    streams: tuple[str, ...] | None
    existing: Existing
    dry_run: bool
    on_error: OnError
    dtype: np.dtype | None
    corrections: tuple[Correction, ...]
    workers: int
    axes: Axes = dataclasses.field(default_factory=Axes)
    roots: RootMap = dataclasses.field(default_factory=RootMap)
    asset_timeout: float = 0
    stop_timeout: float | None = None
    keep_reports: int | None = None
    budget: int = LARGEST_BUDGET
    writer: SeriesWriter = dataclasses.field(default_factory=SeriesWriter)
    fsync: Fsync = "none"
    mode: int | None = None
    directory_mode: int | None = None
    follow_links: bool = False
    file_time: FileTime = "written"
    on_full: OnFull = "stop"
    compare: bool = False
    catalog: Any = None
    save: tuple[str, ...] = ("sub",)
    frames: Chosen | None = None
    first: int = 0

    @classmethod
    def of(
        cls,
        template: str | Template,
        *,
        directory: str | os.PathLike[str] | None = None,
        fields: str | Iterable[str] | None = None,
        streams: str | Iterable[str] | None = ("primary",),
        existing: Existing = "error",
        dry_run: bool = False,
        on_error: OnError = "raise",
        dtype: Any = None,
        corrections: Iterable[Correction] = (),
        workers: int | None = None,
        colour: str | Iterable[str] = (),
        axes: AxesSetting = None,
        root_map: Mapping[str, str] | None = None,
        allow_external: Iterable[str | os.PathLike[str]] = (),
        asset_timeout: float = 0,
        stop_timeout: float | None = None,
        keep_reports: int | None = None,
        timezone: str | None = None,
        name_policy: str | None = None,
        replacements: Mapping[str, str] | None = None,
        compression: str | None = None,
        level: int | None = None,
        checksum: str = "crc32",
        fsync: Fsync = "none",
        mode: int | str | None = None,
        directory_mode: int | str | None = None,
        follow_links: bool = False,
        file_time: FileTime = "written",
        on_full: OnFull = "stop",
        memory: int | None = None,
        compare: bool = False,
        catalog: Any = None,
        save: str | Iterable[str] = ("sub",),
        frames: Any = None,
        first: int = 0,
    ) -> Export:
        """Check what a user wrote, and settle what was left open.

        Raises
        ------
        SettingsError, TemplateError
            Saying what was got and what is wanted.
        """
        styled = _styled(template, timezone, name_policy, replacements)
        root, relative = _rooted(styled, directory)
        cast_to = _dtype(dtype)
        steps = tuple(_corrections(corrections))
        if cast_to is not None:
            steps += (Cast(cast_to, rounding="none"),)
        return cls(
            template=relative,
            root=root,
            fields=_names("fields", fields),
            streams=_names("streams", streams),
            existing=_choice("existing", existing, get_args(Existing)),
            dry_run=_flag("dry_run", dry_run),
            on_error=_choice("on_error", on_error, get_args(OnError)),
            dtype=cast_to,
            corrections=steps,
            workers=_workers(workers),
            axes=Axes.of(_names("colour", colour) or () if colour else (), axes),
            roots=RootMap(root_map, allow_external),
            asset_timeout=_seconds("asset_timeout", asset_timeout),
            stop_timeout=(
                None if stop_timeout is None else _seconds("stop_timeout", stop_timeout)
            ),
            keep_reports=_keep(keep_reports),
            budget=_budget(memory),
            writer=SeriesWriter(
                compression=compression,  # type: ignore[arg-type]
                level=level,
                checksum=checksum,  # type: ignore[arg-type]
            ),
            fsync=_choice("fsync", fsync, get_args(Fsync)),
            mode=_mode("mode", mode),
            directory_mode=_mode("directory_mode", directory_mode, like=mode),
            follow_links=_flag("follow_links", follow_links),
            file_time=_choice("file_time", file_time, get_args(FileTime)),
            on_full=_choice("on_full", on_full, get_args(OnFull)),
            compare=compare,
            catalog=catalog,
            save=_kinds(save, relative, steps),
            frames=chosen_frames(frames),
            first=first_number(first),
        )

    @property
    def folders(self) -> Folders:
        """How folders below the root are opened and made."""
        return Folders(os.fspath(self.root), self.follow_links, self.directory_mode)

    def refuse_later_roots(self) -> None:
        """Refuse a template that asks for what is not known before a run has ended.

        Raises
        ------
        TemplateError
        """
        for field in self.template.fields:
            if any(reference.root == "stop" for reference in field.references):
                message = (
                    f"template field '{field}': the stop document comes after the "
                    f"images, so that only a replay can name with it"
                )
                raise TemplateError(message, column=field.column)

    @property
    def needs_events(self) -> bool:
        """Whether more is asked for than an event's number.

        By a name, a correction, or the time of a file.
        """
        if self.file_time == "event":
            return True
        asks = any(
            reference.root in ("time", "motors")
            or (reference.root == "event" and reference.keys[0] != "seq_num")
            for field in self.template.fields
            for reference in field.references
        )
        return asks or any(not isinstance(step, Cast) for step in self.corrections)


def _styled(
    template: str | Template,
    timezone: str | None,
    policy: str | None,
    replacements: Mapping[str, str] | None,
) -> Template:
    """Make the template, in the style asked for; its own where nothing is."""
    if not isinstance(template, Template):
        return Template(
            template,
            timezone=timezone,
            policy=policy or "portable",
            replacements=replacements,
        )
    if timezone is None and policy is None and replacements is None:
        return template
    old = template.style
    given = dict(old.replacements) if replacements is None else replacements
    style = Style.of(policy or old.policy, given, timezone or old.timezone)
    return template.with_style(style)


def _rooted(
    template: Template, directory: str | os.PathLike[str] | None
) -> tuple[Path, Template]:
    """Find the folder that the names are relative to, and make it absolute now."""
    if directory is None:
        lead, relative = template.split_root()
        return _absolute(lead), relative
    if template.is_absolute:
        message = (
            f"template {template.text!r} is an absolute path, and directory="
            f"{directory!r} is given too: leave one of them out"
        )
        raise TemplateError(message, column=1)
    lead, _ = template.split_root()
    if lead.split("/")[0] == FOLDER:
        message = f"{FOLDER!r} is the folder of the manifests: choose another"
        raise TemplateError(message)
    if ".." in lead.split("/"):
        message = f"template {template.text!r} leaves directory={directory!r}"
        raise TemplateError(message, column=1)
    return _absolute(directory), template


def _absolute(directory: str | os.PathLike[str]) -> Path:
    try:
        path = Path(directory).expanduser().absolute()
        if b"\0" not in os.fsencode(path):
            return path
        message = f"{os.fspath(directory)!r} is no folder's name: it holds a NUL"
    except TypeError:
        message = f"directory is a path, not {type(directory).__name__}"
    except UnicodeEncodeError:  # half of a surrogate pair
        message = f"{os.fspath(directory)!r} is no folder's name"
    except RuntimeError:
        message = f"{os.fspath(directory)!r} begins in the home of a user unknown here"
    except OSError as error:  # the working directory is gone
        message = f"{os.fspath(directory)!r} can't be made absolute: {error}"
    raise SettingsError(message) from None


def _names(setting: str, names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    given: tuple[Any, ...] = ()
    if isinstance(names, str):
        given = (names,)
    elif isinstance(names, Iterable):
        given = tuple(names)
    if not given or not all(isinstance(name, str) and name for name in given):
        message = (
            f"{setting} is a list of names, or None for all of them, not {names!r}"
        )
        raise SettingsError(message)
    return tuple(dict.fromkeys(given))


def _choice(setting: str, value: Any, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        message = f"{setting}={value!r} is none of {', '.join(map(repr, choices))}"
        near = did_you_mean(str(value), choices)
        raise SettingsError(message + (near if near.startswith(":") else ""))
    return value


def _flag(setting: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        message = f"{setting} is True or False, not {value!r}"
        raise SettingsError(message)
    return bool(value)


def _dtype(dtype: Any) -> np.dtype | None:
    if dtype is None:
        return None
    try:
        wanted: np.dtype | None = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # numpy parses some texts as Python
        wanted = None
    if wanted is None or wanted.name not in WRITABLE:
        message = f"dtype={dtype!r} is none that a TIFF holds: {', '.join(WRITABLE)}"
        raise SettingsError(message)
    return wanted


def _corrections(corrections: Any) -> list[Correction]:
    steps = [corrections]
    if isinstance(corrections, Iterable) and not callable(corrections):
        steps = list(corrections)
    for step in steps:
        if isinstance(step, type):
            message = f"corrections have settings: {step.__name__}(...), not the class"
            raise SettingsError(message)
        if not callable(step) and not isinstance(step, Step):
            message = (
                f"corrections are those of tiffin.corrections, or callables "
                f"(image, frame) -> image, not {step!r}"
            )
            raise SettingsError(message)
    if sum(isinstance(step, DarkSubtract) for step in steps) > 1:
        message = "a dark is subtracted once: there are several DarkSubtract"
        raise SettingsError(message)
    return steps


def _kinds(
    save: Any, template: Template, steps: tuple[Correction, ...]
) -> tuple[str, ...]:
    """Check which kinds of images are wanted, and that names can tell them apart."""
    kinds = _names("save", save) or ("sub",)
    for kind in kinds:
        _choice("save", kind, get_args(Kind))
    if kinds == ("sub",):
        return kinds
    if not any(isinstance(step, DarkSubtract) for step in steps):
        message = f"save={kinds!r} is for where a dark is subtracted: add DarkSubtract"
        raise SettingsError(message)
    if len(kinds) > 1 and not template.names("kind"):
        message = (
            f"template {template.text!r} gives light, dark and subtracted images one "
            f"name: add {{kind}}"
        )
        raise TemplateError(message)
    return kinds


def _workers(workers: Any) -> int:
    if workers is None:
        return max(1, min(4, os.cpu_count() or 1))
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        message = f"workers is a number of threads from 1, not {workers!r}"
        raise SettingsError(message)
    return int(workers)


def _budget(memory: Any) -> int:
    """Settle how much may wait: the smaller of 1 GiB and a quarter of what is free."""
    if memory is None:
        return max(min(LARGEST_BUDGET, available_memory() // 4), 2**20)
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        message = f"memory is a number of bytes from 1, not {memory!r}"
        raise SettingsError(message)
    return memory


def _keep(keep: Any) -> int | None:
    if keep is not None and (
        isinstance(keep, bool) or not isinstance(keep, int) or keep < 1
    ):
        message = f"keep_reports is a number of runs from 1, or None, not {keep!r}"
        raise SettingsError(message)
    return keep


def available_memory() -> int:
    """Tell how much memory is there to be taken [bytes]."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return LARGEST_BUDGET


def _mode(setting: str, mode: Any, *, like: Any = None) -> int | None:
    """Read permissions: a number, or text as chmod takes it, such as ``"640"``.

    A folder's are `like` those of files where they are not given: whoever reads the
    files may enter it.
    """
    if mode is None and like is not None:
        files = _mode("mode", like) or 0
        return files & 0o777 | 0o700 | (files & 0o444) >> 2
    given = mode
    if isinstance(mode, str):
        try:
            mode = int(mode, 8)
        except ValueError:
            mode = -1
    if mode is None or (
        isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o7777
    ):
        return mode
    of, example = ("a file", "640") if setting == "mode" else ("a folder", "750")
    message = (
        f"{setting} is {of}'s permissions, such as 0o{example} or '{example}', "
        f"not {given!r}"
    )
    raise SettingsError(message)


def _seconds(setting: str, seconds: Any) -> float:
    """Check a time: infinity is none, for what never comes would be waited for."""
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 <= seconds <= LONGEST:
        message = (
            f"{setting} is a number of seconds from 0 to {LONGEST} (a year), "
            f"not {seconds!r}"
        )
        raise SettingsError(message)
    return float(seconds)

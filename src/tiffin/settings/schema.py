"""One schema: every setting of an export is stated here, once.

A field of `Settings` is a keyword of `tiffin.export` and `tiffin.ImageExporter`, an
option of the shell, a key of the configuration file and a row of the manual.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic import model_validator as check_model

from tiffin.axes import Axes
from tiffin.corrections import Cast, Correction, DarkSubtract
from tiffin.errors import SettingsError, TemplateError
from tiffin.folders import Folders
from tiffin.readers import RootMap
from tiffin.settings import validators as read
from tiffin.settings.chosen import chosen_frames, first_number
from tiffin.settings.marks import INTERNAL, LIVE, RESUME, Option, Type
from tiffin.settings.names import rooted, styled
from tiffin.settings.problems import in_our_words
from tiffin.template import Template
from tiffin.writers import SeriesWriter

__all__ = [
    "Checksum",
    "Compression",
    "Existing",
    "FileTime",
    "Fsync",
    "NamePolicy",
    "OnError",
    "OnFull",
    "Repeats",
    "Settings",
]

Existing = Literal["error", "skip", "replace", "unique", "resume"]
FileTime = Literal["written", "event"]
Fsync = Literal["none", "file", "run"]
OnFull = Literal["stop", "wait"]
OnError = Literal["raise", "report"]
Repeats = Literal["last", "first", "all"]
Compression = Literal["zlib", "zstd", "lzw"]
Checksum = Literal["crc32", "sha256", "none"]
NamePolicy = Literal["portable", "strict"]

Names = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(read.names),
    Type("str or iterable of str, optional"),
]
Flag = Annotated[bool, BeforeValidator(read.flag)]


class Settings(BaseModel):
    """The settings of an export: checked once, frozen, ready for another process.

    `Settings.of` takes what a user writes. Afterwards `template` is relative to
    `directory`, which is absolute.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )

    template: Annotated[Template, Type("str or Template")] = Field(
        description="File names, such as ``'{start.scan_id}_{event.seq_num:03d}.tif'``."
    )
    directory: Annotated[
        Path, Type("path, optional"), Option(short="-d", kind=Path)
    ] = Field(
        default=None,  # type: ignore[assignment]
        description="The folder that the names are relative to; by default the leading "
        "folders that the template names.",
    )
    fields: Annotated[Names, RESUME, Option("field", "-f", kind=list[str])] = Field(
        default=None, description="The fields to export; by default all images."
    )
    streams: Annotated[Names, RESUME, Option("stream", "-s", kind=list[str])] = Field(
        default=("primary",),
        description="The streams to export; None (in the shell --all-streams) means "
        "all.",
    )
    existing: Annotated[Existing, Option()] = Field(
        default="error",
        description="What to do where a file exists already. ``unique`` adds a number "
        "to the new file's name, as in ``7_001-2.tif``. ``resume`` keeps what the "
        "manifest lists and is whole, and writes what is missing or damaged.",
    )
    dry_run: Annotated[Flag, Option(short="-n", kind=bool)] = Field(
        default=False, description="Make names only: read no pixel, write nothing."
    )
    on_error: OnError = Field(
        default="raise",
        description="``raise``: wrong names and fields raise before any file is "
        "written, anything else raises when all that can be written has been. "
        "``report``: only wrong arguments raise; failures are in the report and are "
        "logged once a run and cause. Live the default is ``report``, because an "
        "exception would abort the plan.",
    )
    dtype: Annotated[
        Any, BeforeValidator(read.dtype), Type("dtype-like, optional"), RESUME, Option()
    ] = Field(
        default=None,
        description="Convert to this dtype; a frame with a value that it can't hold "
        "fails.",
    )
    corrections: Annotated[
        Any, BeforeValidator(read.corrections), Type("iterable of corrections"), RESUME
    ] = Field(
        default=(),
        description="Those of `tiffin.corrections`, or functions ``(image, frame) -> "
        "image``, in the order in which they act.",
    )
    save: Annotated[
        Any,
        BeforeValidator(read.kinds),
        Type('str or iterable of {"sub", "light", "dark"}'),
        Option(metavar="KINDS", kind=list[str]),
    ] = Field(
        default=("sub",),
        description="Which images are written where a dark is subtracted: the "
        "subtracted one (``sub``), ``light``, ``dark``; ``{kind}`` in the template "
        "keeps their names apart.",
    )
    catalog: Annotated[Any, Type("object, optional"), Option(metavar="SOURCE")] = Field(
        default=None,
        description="Where corrections find other runs, such as that of a dark: a "
        "catalogue (``catalog[uid]``), a file or a list of documents. By default the "
        "source itself.",
    )
    frames: Annotated[
        Any,
        BeforeValidator(chosen_frames),
        Type("str, slice or iterable of int, optional"),
        Option(metavar="SLICE"),
    ] = Field(
        default=None,
        description="The frames of each run, stream and field to export, by the number "
        "of ``{frame}`` from 0: ``::10`` is every tenth, ``100:200`` the hundred from "
        "number 100. Others are not read, and not in the report.",
    )
    first: Annotated[int, BeforeValidator(first_number), RESUME, Option(kind=int)] = (
        Field(default=0, description="The first number of ``{frame}`` and ``{i}``.")
    )
    repeats: Annotated[Repeats, RESUME, Option()] = Field(
        default="last",
        description="Which take of a point to export, where a paused plan took it "
        "again with the same ``seq_num``: the ``last``, the ``first``, or ``all``, for "
        "which the template needs ``{frame}`` or ``{event.uid}``.",
    )
    workers: Annotated[
        int, BeforeValidator(read.workers), Type("int, optional"), Option(kind=int)
    ] = Field(
        default=None,  # type: ignore[assignment]
        description="How many threads read, correct and write.",
    )
    memory: Annotated[
        int,
        BeforeValidator(read.memory),
        Type("int, optional"),
        Option(metavar="MB", kind=int),
    ] = Field(
        default=None,  # type: ignore[assignment]
        description="How much memory waiting images may take; by default 1 GiB or a "
        "quarter of what is free, whichever is less [bytes; in the shell MB].",
    )
    colour: Annotated[
        tuple[str, ...],
        BeforeValidator(read.none_or_names),
        Type("str or iterable of str"),
        RESUME,
        Option(kind=list[str]),
    ] = Field(
        default=(),
        description="Fields of colour images, which have 3 or 4 samples a pixel.",
    )
    axes: Annotated[
        Any,
        Type("str, sequence of str or mapping, optional"),
        RESUME,
        Option(metavar="[FIELD=]NAMES", kind=list[str]),
    ] = Field(
        default=None,
        description="The names of an array's last axes, where its shape alone does not "
        "show rows and columns: ``yxc``, ``cyx``, ``tyx``, or a mapping of fields to "
        "such names. ``y`` are rows, ``x`` columns, ``c`` samples of a colour; all "
        "others count images.",
    )
    root_map: Annotated[
        Any,
        Type("mapping of str to str, optional"),
        Option(metavar="OLD=NEW", kind=dict[str, str]),
    ] = Field(
        default=None,
        description="Where files recorded on another mount lie here: recorded "
        "beginning of a path → beginning here.",
    )
    allow_external: Annotated[
        Any, Type("iterable of path"), Option(metavar="FOLDER", kind=list[Path])
    ] = Field(
        default=(),
        description="Folders that may hold raw files from which an HDF5 file takes its "
        "pixels (external raw storage). Elsewhere these are refused.",
    )
    handlers: Annotated[Any, Type("mapping of str to class, optional")] = Field(
        default=None,
        description="Handlers for Resource documents, by spec: classes as databroker "
        "takes them. They go before those that packages register.",
    )
    timezone: Annotated[str | None, RESUME, Option()] = Field(
        default=None,
        description="The IANA name of the time zone of times in names, such as "
        "``Europe/Zurich``; by default the machine's own.",
    )
    name_policy: Annotated[NamePolicy | None, RESUME, Option("names")] = Field(
        default=None,
        description="What values may bring into a name: ``portable``, what Linux, "
        "macOS and Windows take (the default), or ``strict``, ASCII letters, digits "
        "and ``-_.=+`` only.",
    )
    replacements: Annotated[
        Any,
        Type("mapping of str to str, optional"),
        RESUME,
        Option("replace", metavar="OLD=NEW", kind=dict[str, str]),
    ] = Field(
        default=None,
        description="What to replace in the values of names, such as ``{'.': ','}``.",
    )
    compression: Annotated[Compression | None, RESUME, Option()] = Field(
        default=None,
        description="Of the pixels. Every reader takes zlib and LZW, few take zstd.",
    )
    level: Annotated[int | None, Option(kind=int)] = Field(
        default=None,
        description="The compression level: 1 (fast) to 9 (small), to 22 for zstd.",
    )
    checksum: Annotated[Checksum, Option()] = Field(
        default="crc32", description="The checksum of each file in the manifest."
    )
    fsync: Annotated[Fsync, Option()] = Field(
        default="none",
        description="What is forced to the disk before it counts as written: nothing, "
        "each ``file``, or all files of a ``run`` at its end.",
    )
    mode: Annotated[
        int | None, BeforeValidator(read.mode), Type("int or str, optional"), Option()
    ] = Field(
        default=None,
        description="The permissions of files and manifests, such as ``0o640``; by "
        "default what the umask leaves.",
    )
    directory_mode: Annotated[
        int | None, BeforeValidator(read.mode), Type("int or str, optional"), Option()
    ] = Field(
        default=None,
        description="The permissions of new folders, such as ``0o2770``. By default "
        "they follow from ``mode``: whoever can read the files can enter their folder.",
    )
    follow_links: Annotated[Flag, Option(kind=bool)] = Field(
        default=False,
        description="Enter folders below the directory that are links. By default they "
        "are refused, because a link leads files elsewhere. The directory itself may "
        "be a link, a manifest never.",
    )
    file_time: Annotated[FileTime, Option()] = Field(
        default="written",
        description="The modification time of files: when they were ``written``, or "
        "when their ``event`` was taken.",
    )
    on_full: Annotated[OnFull, Option()] = Field(
        default="stop",
        description="When the disk is full: fail what is left, or wait for room.",
    )
    asset_timeout: Annotated[float, BeforeValidator(read.seconds), LIVE] = Field(
        default=0,
        description="Live: how long to look for a file that is not there yet, in the "
        "background, after the end of its run [s].",
    )
    stop_timeout: Annotated[
        float | None, BeforeValidator(read.optional_seconds), LIVE
    ] = Field(
        default=None,
        description="Live: how long a stop document may wait for the run's files, and "
        "an event for memory. Then the plan goes on, and the export in the background; "
        "``wait`` waits for it. None: without limit [s].",
    )
    keep_reports: Annotated[int | None, BeforeValidator(read.reports), LIVE] = Field(
        default=None,
        description="Live: how many reports of ended runs keep their records; older "
        "ones have counts only. None: all.",
    )
    compare: Annotated[Flag, INTERNAL] = Field(
        default=False,
        description="Write nothing; compare each file with what would be written.",
    )

    @classmethod
    def of(cls, template: str | Template, **keywords: Any) -> Self:
        """Check what a user writes, and settle what is left open.

        Raises
        ------
        SettingsError, TemplateError
            Naming the setting, what was got and what is allowed.
        """
        try:
            return cls.model_validate({"template": template, **keywords})
        except ValidationError as error:
            hints = {name: info.annotation for name, info in cls.model_fields.items()}
            raise in_our_words(error, hints) from None

    @check_model(mode="before")
    @classmethod
    def _settle_template(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Style the template, and split it from the absolute folder of its names."""
        template = styled(
            given["template"],
            given.get("timezone"),
            given.get("name_policy"),
            given.get("replacements"),
        )
        directory, relative = rooted(template, given.get("directory"))
        return {**given, "template": relative, "directory": directory}

    @check_model(mode="after")
    def _check_together(self) -> Self:
        _ = self.writer, self.image_axes, self.roots  # which check what they take
        if self.repeats == "all" and not self._names_takes:
            message = (
                f"repeats='all' gives all takes of a point one name in template "
                f"{self.template.text!r}: add {{frame}} or {{event.uid}}"
            )
            raise SettingsError(message)
        if self.save == ("sub",):
            return self
        if not any(isinstance(step, DarkSubtract) for step in self.corrections):
            message = f"save={self.save!r} needs a dark to subtract: add DarkSubtract"
            raise SettingsError(message)
        if len(self.save) > 1 and not self.template.names("kind"):
            message = (
                f"template {self.template.text!r} gives light, dark and subtracted "
                f"images the same name: add {{kind}}"
            )
            raise TemplateError(message)
        return self

    @property
    def _names_takes(self) -> bool:
        """Whether several takes of a point have names of their own."""
        return self.template.names("frame") or any(
            reference.root == "event" and reference.keys[0] == "uid"
            for field in self.template.fields
            for reference in field.references
        )

    @cached_property
    def writer(self) -> SeriesWriter:
        """What makes a file of an image."""
        return SeriesWriter(
            compression=self.compression, level=self.level, checksum=self.checksum
        )

    @cached_property
    def image_axes(self) -> Axes:
        """What a user says of the axes of arrays."""
        return Axes.of(self.colour, self.axes)

    @cached_property
    def roots(self) -> RootMap:
        """Where recorded files lie here, what HDF5 may reach, and handlers."""
        return RootMap(self.root_map, self.allow_external, self.handlers)

    @property
    def folders(self) -> Folders:
        """How folders below the directory are opened and made."""
        mode = self.directory_mode
        if mode is None and self.mode is not None:
            mode = self.mode & 0o777 | 0o700 | (self.mode & 0o444) >> 2
        return Folders(os.fspath(self.directory), self.follow_links, mode)

    @cached_property
    def steps(self) -> tuple[Correction, ...]:
        """The corrections, and behind them the cast to `dtype`."""
        cast = () if self.dtype is None else (Cast(self.dtype, rounding="none"),)
        return (*self.corrections, *cast)

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
                    f"images, so only a replay can use it in names"
                )
                raise TemplateError(message, column=field.column)

    @property
    def needs_events(self) -> bool:
        """Whether a name, a correction or a file's time needs the event's data."""
        if self.file_time == "event":
            return True
        asks = any(
            reference.root in ("time", "motors")
            or (reference.root == "event" and reference.keys[0] != "seq_num")
            for field in self.template.fields
            for reference in field.references
        )
        return asks or bool(self.corrections)

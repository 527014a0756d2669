"""One schema: every setting of an export is stated here, once.

A field of `Settings` is a keyword of `tiffin.export` and `tiffin.ImageExporter`, an
option of the shell, a key of the configuration file and a row of the manual. The text
under a field describes it in all of these places.
"""

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from tiffin.axes import Axes
from tiffin.corrections import Cast, Correction, DarkSubtract
from tiffin.errors import SettingsError, TemplateError
from tiffin.folders import Folders
from tiffin.readers import RootMap
from tiffin.settings import setting_types as types
from tiffin.settings.format_checks import check_format, odd_names
from tiffin.settings.root_folder import split_root, with_style
from tiffin.settings.setting_types import INTERNAL, LIVE, RESUME, Option
from tiffin.settings.validation import check_model
from tiffin.template import Reference, Template
from tiffin.writers import Sidecar, Writer, WriterOptions, make_writer

logger = logging.getLogger("tiffin")


class Settings(BaseModel):
    """The settings of an export: checked once, frozen, ready for another process.

    `Settings.of` takes what a user writes. Afterwards `template` is relative to
    `directory`, which is absolute.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    template: Annotated[Template, Option(short="-t", kind=str, panel=types.NAMES)]
    """File names, such as ``'{start.scan_id}_{event.seq_num:03d}.tif'``. ``tiffin
    export`` and ``tiffin names`` have a default, which tells the images apart."""

    directory: Annotated[Path, Option(short="-d", panel=types.WHERE)] = None  # type: ignore[assignment]
    """The root folder of the names; by default the leading folders of the template."""

    fields: Annotated[
        types.Names, RESUME, Option("field", "-f", kind=list[str], panel=types.WHAT)
    ] = None
    """The fields to export; by default all images."""

    streams: Annotated[
        types.Names, RESUME, Option("stream", "-s", kind=list[str], panel=types.WHAT)
    ] = ("primary",)
    """The streams to export; None (in the shell --all-streams) means all."""

    existing: Annotated[types.Existing, Option(panel=types.WHERE)] = "error"
    """What to do if a file already exists. ``unique`` adds a number to the new file's
    name, as in ``7_001-2.tif``. ``resume`` keeps the files that the manifest
    lists and that are intact, and writes those that are missing or damaged."""

    dry_run: Annotated[types.Flag, Option(short="-n", panel=types.WHERE)] = False
    """Make names only: read no pixels and write no files."""

    on_error: types.OnError = "raise"
    """``raise``: wrong names and fields raise before any file is written; other errors
    raise at the end, when all other files are written. ``report``: only wrong
    arguments raise; failures are in the report and the log. The live default is
    ``report``, because an exception aborts the plan."""

    dtype: Annotated[types.Dtype, RESUME, Option(panel=types.PIXELS)] = None
    """Convert to this dtype; a frame with a value that it can't hold fails."""

    corrections: Annotated[types.Corrections, RESUME] = ()
    """Corrections of `tiffin.corrections`, or functions ``(image, frame) -> image``, in
    the order in which they act."""

    save: Annotated[
        types.Kinds, Option(metavar="KINDS", kind=list[str], panel=types.WHAT)
    ] = ("sub",)
    """Which images to write if a dark is subtracted: the difference (``sub``),
    ``light``, ``dark``. ``{kind}`` in the template gives them different names."""

    catalog: Annotated[Any, Option(metavar="SOURCE", panel=types.PIXELS)] = None
    """Where corrections look up other runs, such as dark runs: a catalogue
    (``catalog[uid]``), or a file or list of documents. By default the source."""

    frames: Annotated[types.Frames, Option(metavar="SLICE", panel=types.WHAT)] = None
    """The frames of each run, stream and field to export, by the number in ``{frame}``
    from 0: ``::10`` is every tenth, ``100:200`` a hundred from number 100. Other
    frames are not read and not in the report."""

    first: Annotated[types.First, RESUME, Option(panel=types.NAMES)] = 0
    """The first number of ``{frame}`` and ``{i}``."""

    repeats: Annotated[types.Repeats, RESUME, Option(panel=types.WHAT)] = "last"
    """Which take of a point to export, if a paused plan took it again with the same
    ``seq_num``: the ``last``, the ``first``, or ``all``, for which the template needs
    ``{frame}`` or ``{event.uid}``."""

    workers: Annotated[types.Workers, Option(panel=types.SERVER)] = None  # type: ignore[assignment]
    """The number of threads that read, correct and write; by default one for each core,
    at most 4."""

    memory: Annotated[types.Memory, Option(metavar="MB", panel=types.SERVER)] = None  # type: ignore[assignment]
    """The memory limit for images that wait to be written; by default 1 GiB or a
    quarter of the free memory, whichever is less [bytes; in the shell MB]."""

    colour: Annotated[
        types.SomeNames, RESUME, Option(kind=list[str], panel=types.PIXELS)
    ] = ()
    """Fields with colour images, which have 3 or 4 samples per pixel."""

    axes: Annotated[
        Any,
        RESUME,
        Option(metavar="[FIELD=]NAMES", kind=list[str], panel=types.PIXELS),
    ] = None
    """The names of an array's last axes, if its shape does not show which are rows and
    columns: ``yxc``, ``cyx``, ``tyx``, or a mapping of fields to such names. ``y`` is
    rows, ``x`` columns, ``c`` samples of a colour; any other axis counts images."""

    root_map: Annotated[
        Any, Option(metavar="OLD=NEW", kind=dict[str, str], panel=types.SERVER)
    ] = None
    """For files that have moved: recorded prefix of a path → prefix on this machine."""

    allow_external: Annotated[
        Any, Option(metavar="FOLDER", kind=list[Path], panel=types.SERVER)
    ] = ()
    """Folders of raw files that HDF5 files may refer to (external raw storage). By
    default none."""

    handlers: Any = None
    """Handlers for Resource documents, by spec, as in databroker. They override
    registered ones."""

    timezone: Annotated[str | None, RESUME, Option(panel=types.NAMES)] = None
    """The time zone of times in names, an IANA name such as ``Europe/Zurich``; by
    default the local zone."""

    name_policy: Annotated[
        types.NamePolicy | None, RESUME, Option("names", panel=types.NAMES)
    ] = None
    """Which characters of values may appear in names: ``portable``, those allowed on
    Linux, macOS and Windows (the default), or ``strict``, only ASCII letters, digits
    and ``-_.=+``."""

    replacements: Annotated[
        Any,
        RESUME,
        Option("replace", metavar="OLD=NEW", kind=dict[str, str], panel=types.NAMES),
    ] = None
    """Text to replace in values before they go into names, such as ``{'.': ','}``."""

    stack: Annotated[
        types.Stack, RESUME, Option(metavar="event|run|N", kind=str, panel=types.FILES)
    ] = None
    """Several images in one file, a page each: those of each ``event``, those of each
    ``run`` (and stream and field), or every so many. By default each image has a file
    of its own."""

    bigtiff: Annotated[types.Flag, RESUME, Option(panel=types.FILES)] = False
    """Write BigTIFF, which may be larger than 4 GiB and which few programs read.
    Otherwise a stack goes on in a new file before that."""

    format: Annotated[str, RESUME, Option(panel=types.FILES)] = "tiff"
    """The format of the files: ``tiff``, ``png``, ``npy``, or that of a plug-in."""

    profile: Annotated[str, RESUME, Option(panel=types.FILES)] = "plain"
    """The program that the TIFF files are for: ``plain`` is read by most; ``imagej``,
    ``ome``, ``gsas2``, ``pilatus`` (fabio) and ``areadetector`` are for one each."""

    metadata: Annotated[
        types.Metadata,
        RESUME,
        Option(metavar="NAME=REFERENCE", kind=dict[str, str], panel=types.FILES),
    ] = {}
    """What to add to the metadata in each file, by references as in the template:
    ``{"temperature": "event.data.T"}``. None as a reference leaves an entry out. None
    (in the shell ``none``) writes only what was done to the pixels."""

    sidecars: Annotated[
        types.Sidecars, Option("sidecar", kind=list[str], panel=types.WHERE)
    ] = ()
    """Files to write beside the images of each run: ``run.json``, its start, descriptor
    and stop documents; ``frames.csv``, a table of the frames of each stream and field,
    with all numbers of their events."""

    report: Annotated[types.Flag, Option(panel=types.WHERE)] = False
    """Write a page to look at the images of each run, at its end: one HTML file in the
    directory, ``report_<scan_id>_<uid>.html``."""

    compression: Annotated[
        types.Compression | None, RESUME, Option(panel=types.FILES)
    ] = None
    """The compression of the pixels. Most programs read zlib and LZW, few read zstd."""

    level: Annotated[types.Whole | None, RESUME, Option(panel=types.FILES)] = None
    """The compression level: 1 (fast) to 9 (small), to 22 for zstd."""

    stretch: Annotated[types.Stretch | None, RESUME, Option(panel=types.PIXELS)] = None
    """How to show any values in the 8 bits of a PNG: from the smallest to the largest
    (``linear``), without the outermost 0.1 % at either end (``percentile``), or
    logarithmically (``log``). The file says how."""

    checksum: Annotated[types.Checksum, Option(panel=types.FILES)] = "crc32"
    """The checksum of each file in the manifest."""

    fsync: Annotated[types.Fsync, Option(panel=types.FILES)] = "none"
    """When to force files to the disk: never, after each ``file``, or at the end of
    each ``run``."""

    mode: Annotated[types.Mode, Option(kind=str, panel=types.FILES)] = None
    """The permissions of files and manifests, such as ``0o640``; by default those of
    the umask."""

    directory_mode: Annotated[types.Mode, Option(kind=str, panel=types.FILES)] = None
    """The permissions of new folders, such as ``0o2770``. By default they follow from
    ``mode``: whoever can read the files can enter their folder."""

    follow_links: Annotated[types.Flag, Option(panel=types.FILES)] = False
    """Allow folders below the directory that are links. By default they are refused.
    The directory itself may always be a link, a manifest never."""

    file_time: Annotated[types.FileTime, Option(panel=types.FILES)] = "written"
    """The modification time of files: the time of writing, or of the ``event``."""

    on_full: Annotated[types.OnFull, Option(panel=types.WHERE)] = "stop"
    """If the disk is full: fail the remaining frames (``stop``), or ``wait`` for
    space."""

    asset_timeout: Annotated[types.Seconds, LIVE] = 0
    """Live: how long to retry late files in the background after the end of a run
    [s]."""

    stop_timeout: Annotated[types.Seconds | None, LIVE] = None
    """Live: how long a stop document waits for the run's files, and an event for
    memory. Then the plan continues, and the export continues in the background. None
    means no limit [s]."""

    keep_reports: Annotated[types.Count | None, LIVE] = None
    """Live: how many finished runs keep their records; older runs have only counts.
    None means all."""

    compare: Annotated[types.Flag, INTERNAL] = False
    """Write nothing; compare each file with what would be written."""

    hooks: Annotated[types.Flag, INTERNAL] = False
    """Events and images go through hooks of the caller, which may change them: no
    manifest is written, and names are not checked before there are images."""

    @classmethod
    def of(cls, template: str | Template, **keywords: Any) -> Self:
        """Check what a user writes, and fill in defaults.

        Raises
        ------
        SettingsError, TemplateError
            The message has the setting, what was got and what is allowed.
        """
        return check_model(cls, {"template": template, **keywords})

    @model_validator(mode="before")
    @classmethod
    def _settle_template(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Apply the style to the template, and split off its root folder."""
        template = with_style(
            given["template"],
            given.get("timezone"),
            given.get("name_policy"),
            given.get("replacements"),
        )
        directory, relative = split_root(template, given.get("directory"))
        return {**given, "template": relative, "directory": directory}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        _ = self.writer, self.image_axes, self.roots  # which check what they take
        check_format(self.writer, self.template.text, self.dtype, self.profile)
        by_uid = Reference("event", ("uid",)) in self.template.references
        takes_differ = by_uid or "frame" in self.template.roots
        if self.repeats == "all" and not takes_differ:
            message = (
                f"can't be 'all', because template {self.template.text!r} gives all "
                f"takes of a point the same name: add {{frame}} or {{event.uid}}"
            )
            raise SettingsError(message, setting="repeats")
        if self.stack is not None and self.writer.most_frames == 1:
            is_tiff = self.format == "tiff"
            what, other = ("profile", "plain") if is_tiff else ("format", "tiff")
            message = (
                f"stack={self.stack!r} can't be written with "
                f"{what}={getattr(self, what)!r}, whose files hold one image: leave "
                f"stack= out, or choose {what}={other!r}"
            )
            raise SettingsError(message)
        if self.bigtiff and self.stack is None:
            message = (
                "bigtiff=True needs stack=, because files of one image are always "
                "classic TIFF: add stack=, or leave bigtiff= out"
            )
            raise SettingsError(message)
        if self.save == ("sub",):
            return self
        if not any(isinstance(step, DarkSubtract) for step in self.corrections):
            message = f"must be 'sub' if no dark is subtracted, not {self.save!r}"
            raise SettingsError(message, setting="save")
        if len(self.save) > 1 and "kind" not in self.template.roots:
            message = (
                f"template {self.template.text!r} gives light, dark and subtracted "
                f"images the same name: add {{kind}}"
            )
            raise TemplateError(message)
        return self

    @cached_property
    def writer(self) -> Writer:
        """The writer of the files."""
        options = WriterOptions(
            self.compression,
            self.level,
            self.profile,
            self.bigtiff,
            self.stretch,
        )
        return make_writer(self.format, options)

    def warn_of_names(self) -> None:
        """Log what is odd about the names, such as that they have no extension."""
        suffix = self.writer.suffixes[0]
        for text in odd_names(self.template, suffix, self.directory):
            logger.warning(text)

    @property
    def sidecar(self) -> Sidecar | None:
        """The file beside each image, which some profiles have."""
        return getattr(self.writer, "sidecar", None)

    @cached_property
    def image_axes(self) -> Axes:
        """What the user says about the axes of arrays."""
        return Axes.of(self.colour, self.axes)

    @cached_property
    def roots(self) -> RootMap:
        """Where recorded files are here, what HDF5 may read, and handlers."""
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
        """The corrections, followed by the cast to `dtype`."""
        cast = () if self.dtype is None else (Cast(self.dtype, rounding="none"),)
        return (*self.corrections, *cast)

    def refuse_later_roots(self) -> None:
        """Refuse names and metadata that are not known before a run has ended."""
        later = "the stop document comes after the images, so only a replay can use it"
        for name, entry in (self.metadata or {}).items():
            if entry is not None and entry.root == "stop":
                raise TemplateError(f"metadata[{name!r}]: {later}")
        for field in self.template.fields:
            if any(reference.root == "stop" for reference in field.references):
                message = f"template field '{field}': {later} in names"
                raise TemplateError(message, column=field.column)

    @property
    def references(self) -> tuple[Reference, ...]:
        """What the template and the metadata look up."""
        entries = (self.metadata or {}).values()
        return (*self.template.references, *(entry for entry in entries if entry))

    @property
    def roots_in_use(self) -> frozenset[str]:
        """The roots that the template and the metadata look up."""
        return frozenset(reference.root for reference in self.references)

    @property
    def needs_events(self) -> bool:
        """Whether a name, metadata, a correction or a time needs the event's data."""
        keys = {r.keys[0] for r in self.references if r.root == "event"} - {"seq_num"}
        in_names = keys or self.roots_in_use & {"time", "motors"}
        uses = bool(in_names) or bool(self.corrections) or self.hooks
        return uses or self.file_time == "event"

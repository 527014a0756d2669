"""Export afterwards: in one call, or through a callback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tiffin.engine import Interrupts
from tiffin.errors import SettingsError, SourceError
from tiffin.export import Export, replay
from tiffin.sources import TIMEOUT, RunFinder, Via, open_source

if TYPE_CHECKING:
    import os

    from tiffin.axes import AxesSetting
    from tiffin.corrections import Correction
    from tiffin.export import Existing, FileTime, Fsync, OnError, OnFull
    from tiffin.records import Report
    from tiffin.template import Template

__all__ = ["export", "process"]


def export(
    source: Any,
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
    catalog: Any = None,
    save: str | Iterable[str] = ("sub",),
    frames: str | slice | Iterable[int] | None = None,
    first: int = 0,
    workers: int | None = None,
    colour: str | Iterable[str] = (),
    axes: AxesSetting = None,
    root_map: Mapping[str, str] | None = None,
    allow_external: Iterable[str | os.PathLike[str]] = (),
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
    via: Via = "auto",
    timeout: float = TIMEOUT,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Export the images of runs as TIFF files.

    Every name is made, and checked against the others and the disk, before the first
    pixel is read.

    Parameters
    ----------
    source : object
        A databroker header, a Tiled run (``client[uid]``), a list of those, a path to a
        file of documents (``.jsonl``, ``.json`` or ``.msgpack``, or ``.gz`` of one) or
        to a folder of such files, or an iterable of (name, document). A generator's
        documents are kept in memory.
    template : str or Template
        Of the files' names, such as ``"{start.scan_id}_step{event.seq_num}.tif"``.
    directory : path, optional
        Where the names begin; without it, at the template's literal leading folders.
    fields : str or iterable of str, optional
        Which fields; all that hold images by default.
    streams : str or iterable of str, optional
        Which streams; None means all.
    existing : {"error", "skip", "replace", "unique", "resume"}
        What to do where a file is there already. With ``"unique"`` the new file gets a
        number behind its name, as in ``7_001-2.tif``. With ``"resume"``, what the
        manifest lists and is whole stays, and only what is missing or damaged is
        written.
    dry_run : bool
        Make names, write nothing, read no pixel.
    on_error : {"raise", "report"}
        With ``"raise"``, what is wrong with names and fields is raised before any file
        is written, and anything else when all that can be written has been. With
        ``"report"`` only wrong arguments raise.
    dtype : dtype-like, optional
        Cast to it, where it holds every value.
    corrections : iterable
        Those of `tiffin.corrections`, or functions ``(image, frame) -> image``, in the
        order in which they act.
    catalog : object, optional
        Where corrections look runs up, a dark's say: ``catalog[uid]``, or a file or
        list of documents. By default it is looked for in the source itself.
    save : str or iterable of {"sub", "light", "dark"}
        Which images are written where a dark is subtracted; `{kind}` tells their names
        apart.
    frames : str, slice or iterable of int, optional
        Which frames of each run, stream and field, by the number that `{frame}` has,
        from 0: ``"::10"`` is every tenth, ``"100:200"`` the hundred from number 100.
        Others are not read, and not in the report.
    first : int
        With which number `{frame}` and `{i}` begin in names: 0, or 1.
    workers : int, optional
        How many threads write.
    colour : str or iterable of str
        Fields of colour images: 3 or 4 samples a pixel.
    axes : str, sequence of str or mapping, optional
        The names of an array's last axes, where its shape alone does not tell rows
        from columns: ``"yxc"``, ``"cyx"``, ``"tyx"``, ``("t", "y", "x")``, or those by
        field. `y` are rows, `x` columns, `c` samples of a colour; all others count
        images.
    root_map : mapping of str to str, optional
        Recorded beginning of paths → beginning here, for files of another mount.
    allow_external : list of path, optional
        Folders in which raw files may lie that an HDF5 file takes its pixels from
        (external raw storage). It is refused elsewhere, and without this setting.
    timezone : str, optional
        The IANA name of the zone of times in names; the machine's own by default.
    name_policy : {"portable", "strict"}
        What values may bring into a name: what Linux, macOS and Windows take, or ASCII
        letters, digits and ``-_.=+`` only.
    replacements : mapping of str to str, optional
        What is replaced by what in the values of names, such as ``{".": ","}``.
    compression : {"zlib", "zstd", "lzw"}, optional
        Of the pixels; none by default. Every reader takes zlib and LZW, not zstd.
    level : int, optional
        How much the compression tries.
    checksum : {"crc32", "sha256", "none"}
        Of each file, in the manifest.
    fsync : {"none", "file", "run"}
        What is forced to the disk before it counts: nothing, each file, or all files
        of a run at its end.
    mode : int or str, optional
        The permissions of files and manifests, such as ``0o640``; else what the umask
        leaves.
    directory_mode : int or str, optional
        The permissions of folders that are made, such as ``0o2770``. By default they
        follow from `mode`: whoever may read the files may enter their folder.
    follow_links : bool
        Whether folders below the root may be links. By default a link there is refused:
        values name these folders, and a link leads files elsewhere. The root itself may
        always be a link, a manifest never.
    file_time : {"written", "event"}
        The files' time of modification: when they were written, or when their event
        was taken.
    on_full : {"stop", "wait"}
        When the disk is full: fail what is left, or wait for room.
    memory : int, optional
        How much may wait for the workers; by default the smaller of 1 GiB and a quarter
        of what is free [bytes].
    via : {"auto", "http", "files"}
        How a Tiled run's external images are read: from their files where these can be
        read here, always through the server, or from the files alone.
    timeout : float
        How long each reply of a Tiled server may take, whole [s].
    progress : callable, optional
        Called with (frames finished, frames known), from any thread.

    Returns
    -------
    Report

    Raises
    ------
    TiffinError
        See ``on_error``; with a ``.report`` of what has been done.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from tiffin.testing import run_of
    >>> run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=7)
    >>> with tempfile.TemporaryDirectory() as out:
    ...     print(export(run, "{start.scan_id}_{event.seq_num:03d}.tif", directory=out))
    2 written, 0 skipped, 0 failed
    """
    if progress is not None:
        _check_callable("progress", progress, "(frames finished, frames known)")
    settings = Export.of(
        template,
        directory=directory,
        fields=fields,
        streams=streams,
        existing=existing,
        dry_run=dry_run,
        on_error=on_error,
        dtype=dtype,
        corrections=corrections,
        catalog=catalog,
        save=save,
        frames=frames,
        first=first,
        workers=workers,
        colour=colour,
        axes=axes,
        root_map=root_map,
        allow_external=allow_external,
        timezone=timezone,
        name_policy=name_policy,
        replacements=replacements,
        compression=compression,
        level=level,
        checksum=checksum,
        fsync=fsync,
        mode=mode,
        directory_mode=directory_mode,
        follow_links=follow_links,
        file_time=file_time,
        on_full=on_full,
        memory=memory,
    )
    documents = open_source(source, via=via, roots=settings.roots, timeout=timeout)
    find_run = RunFinder(settings.catalog, also=documents, timeout=timeout)
    return replay(settings, documents, progress=progress, find_run=find_run)


def _check_callable(name: str, given: object, arguments: str) -> None:
    if not callable(given):
        message = f"{name} is called with {arguments}; {given!r} can't be called"
        raise SettingsError(message)


def process(
    headers: Any,
    exporter: Callable[[str, Mapping[str, Any]], object],
    *,
    timeout: float = TIMEOUT,
) -> dict[str, Report] | None:
    """Feed the documents of runs to a callback.

    Parameters
    ----------
    headers : object
        Whatever `export` takes as its source.
    exporter : callable
        Called with (name, document): an exporter of tiffin's, or any callback made for
        a RunEngine. Nothing is filled for the latter. The files of a Tiled run are
        looked for with the `root_map` of an `ImageExporter`.
    timeout : float
        How long each reply of a Tiled server may take, whole [s].

    Returns
    -------
    dict or None
        Run uid → `Report`, from an exporter of tiffin's.

    Raises
    ------
    SourceError
        If the source can't be read, or breaks off; then what came before is exported,
        and stands in the exporter's reports.

    Examples
    --------
    >>> from tiffin.testing import run_of
    >>> process(run_of({"x": [1]}), lambda name, doc: print(name))
    start
    descriptor
    event
    stop
    """
    _check_callable("exporter", exporter, "(name, document)")
    prepare = getattr(exporter, "prepare", None)
    ours = getattr(exporter, "settings", None)
    roots = ours.roots if isinstance(ours, Export) else None
    source = open_source(headers, twice=callable(prepare), roots=roots, timeout=timeout)
    if callable(prepare):
        prepare(getattr(source, "parts", (source,)))
    finish = getattr(exporter, "finish", None)
    runs = [""]  # what belongs to no run that is known
    try:
        with Interrupts() as interrupts:
            for name, doc in interrupts.between(source):
                if name == "start":
                    runs.append(str(doc.get("uid")))
                exporter(name, doc)
    except SourceError:  # it breaks off: what came before is exported
        if callable(finish):
            finish()
        raise
    if callable(finish):
        finish()
    reports = getattr(exporter, "reports", None)
    if not isinstance(reports, Mapping):
        return None
    return {run: reports[run] for run in runs if run in reports}

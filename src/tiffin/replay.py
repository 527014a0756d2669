"""Export stored runs: in one call, or through a callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isclass
from typing import TYPE_CHECKING, Any, Unpack

from tiffin.display import shortened, shown_progress
from tiffin.engine import Interrupts
from tiffin.errors import SettingsError, SourceError
from tiffin.export import replay
from tiffin.report import PageOfRun
from tiffin.settings import Keywords, Settings, document_settings, refuse_unknown
from tiffin.sources import TIMEOUT, RunFinder, Via, open_source

if TYPE_CHECKING:
    import os

    from tiffin.records import Report
    from tiffin.template import Template

__all__ = ["export", "process"]


@document_settings(live=False)
def export(
    source: Any,
    template: str | Template,
    directory: str | os.PathLike[str] | None = None,
    *,
    via: Via = "auto",
    timeout: float = TIMEOUT,
    progress: Callable[[int, int], object] | None = None,
    **settings: Unpack[Keywords],
) -> Report:
    """Export the images of runs as TIFF files.

    All names are made, and checked against each other and the disk, before any pixel is
    read.

    Parameters
    ----------
    source : object
        A databroker header, a Tiled run (``client[uid]``), a list of these, the path of
        a file of documents (``.jsonl``, ``.json`` or ``.msgpack``, also gzipped) or of
        a folder of such files, or an iterable of (name, document). Documents of a
        generator are kept in memory.
    template : str or Template
        The file names, such as ``"{start.scan_id}_step{event.seq_num}.tif"``.
    directory
        See `tiffin.settings`.
    via : {"auto", "http", "files"}
        How to read the external images of a Tiled run: from their files if possible,
        always through the server, or always from the files.
    timeout : float
        The time limit for each reply of a Tiled server [s].
    progress : callable, optional
        A function of (frames finished, frames known). Any thread may call it.
    **settings
        See `tiffin.settings`.

    Returns
    -------
    Report

    Raises
    ------
    TiffinError
        If a setting is wrong; or, with ``on_error="raise"``, if a frame fails. In that
        case, its ``.report`` lists all frames.

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
    refuse_unknown(settings, "via", "timeout", "progress")
    chosen = Settings.of(template, directory=directory, **settings)
    chosen.warn_of_names()
    documents = open_source(source, via=via, roots=chosen.roots, timeout=timeout)
    find_run = RunFinder(chosen.catalog, fallback=documents, timeout=timeout)
    with shown_progress(progress) as shown:
        return replay(
            chosen,
            documents,
            progress=shown,
            find_run=find_run,
            observers=[PageOfRun()] if chosen.report else (),
        )


def _check_callable(name: str, given: object, arguments: str) -> None:
    if isclass(given):
        message = f"must be one that the class makes: {given.__name__}(...)"
        raise SettingsError(message, setting=name)
    if not callable(given):
        shown = shortened(repr(given))
        message = f"must be a function of {arguments}, not {shown}"
        raise SettingsError(message, setting=name)


def process(
    headers: Any,
    exporter: Callable[[str, Mapping[str, Any]], object],
    *,
    timeout: float = TIMEOUT,
) -> dict[str, Report] | None:
    """Pass the documents of runs to a callback.

    Parameters
    ----------
    headers : object
        Any source that `export` takes.
    exporter : callable
        An exporter of tiffin, or any other callback for a RunEngine, called with (name,
        document). Events are not filled for other callbacks. The `root_map` of an
        `ImageExporter` is used to find the files of a Tiled run.
    timeout : float
        The time limit for each reply of a Tiled server [s].

    Returns
    -------
    dict or None
        The reports by run uid; None for other callbacks.

    Raises
    ------
    SourceError
        If the source can't be read or breaks off. The documents before the break are
        exported, and are in the exporter's reports.

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
    roots = ours.roots if isinstance(ours, Settings) else None
    source = open_source(headers, twice=callable(prepare), roots=roots, timeout=timeout)
    if callable(prepare):
        prepare(getattr(source, "parts", (source,)))
    finish = getattr(exporter, "finish", None)
    runs = [""]  # failures that belong to no known run
    try:
        with Interrupts() as interrupts:
            for name, doc in interrupts.between(source):
                if name == "start":
                    runs.append(str(doc.get("uid")))
                exporter(name, doc)
    except SourceError:  # the source breaks off: finish the documents before it
        if callable(finish):
            finish()
        raise
    if callable(finish):
        finish()
    reports = getattr(exporter, "reports", None)
    if not isinstance(reports, Mapping):
        return None
    return {run: reports[run] for run in runs if run in reports}

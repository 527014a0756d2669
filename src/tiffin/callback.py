"""Export images live, as a callback of the RunEngine.

The RunEngine's thread copies each document and passes the copy on. One thread of the
exporter names the frames, others write the files. At the end of a run, the stop
document waits for the files.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from tiffin.assemble import copy_document, estimate_nbytes, replace_images
from tiffin.display import size_text
from tiffin.engine import Patience, Pool
from tiffin.errors import SourceError, TiffinError
from tiffin.export import Exporter, Pipeline, ScanLines, class_error, raise_first
from tiffin.report import PageOfRun
from tiffin.settings import (
    LIVE_DEFAULTS,
    AllKeywords,
    LiveKeywords,
    Settings,
    document_settings,
)
from tiffin.sources import RunFinder

if TYPE_CHECKING:
    import os

    from tiffin.template import Template

__all__ = ["ImageExporter"]

logger = logging.getLogger("tiffin")

GRACE = 5.0
"""How long running work may continue after Ctrl-C [s]."""

MARGIN = 0.5
"""Extra time when waiting for a thread that itself waits [s]."""

LAST_WAIT = 60.0
"""The interpreter exits with unfinished frames after this time without progress [s]."""


@document_settings(live=True)
class ImageExporter(Exporter):
    """A callback that exports images, for a RunEngine or a replay.

    Parameters
    ----------
    template : str or Template
        The file names, such as ``"{start.scan_id}_step{event.seq_num}.tif"``.
    directory
        See `tiffin.settings`.
    **settings
        See `tiffin.settings`.

    Raises
    ------
    SettingsError, TemplateError
        If a setting or the template is wrong. The constructor raises these also with
        ``on_error="report"``.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from tiffin.testing import run_of
    >>> with tempfile.TemporaryDirectory() as out:
    ...     with ImageExporter("{field}_{event.seq_num}.tif", directory=out) as save:
    ...         for name, doc in run_of({"img": np.ones((2, 6, 9), "u2")}):
    ...             save(name, doc)
    ...     (report,) = save.reports.values()
    ...     [record.path.name for record in report.written]
    ['img_1.tif', 'img_2.tif']
    """

    def __init__(
        self,
        template: str | Template,
        directory: str | os.PathLike[str] | None = None,
        **settings: Unpack[LiveKeywords],
    ) -> None:
        if isinstance(directory, Mapping):
            raise class_error(type(self), "'{start.scan_id}_{event.seq_num}.tif'")
        keywords = LIVE_DEFAULTS | settings
        self.settings = Settings.of(template, directory=directory, **keywords)
        self.settings.warn_of_names()
        self.settings.refuse_later_roots()
        self._start()

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str] | None = None,
        export: str | None = None,
        **settings: Unpack[AllKeywords],
    ) -> Self:
        """Return an exporter with the settings of a configuration file.

        It is the file of ``tiffin export --config``. Options that choose stored runs
        are not used.

        Parameters
        ----------
        path : path, optional
            The file; by default that of the environment variable ``TIFFIN_CONFIG``, or
            ``tiffin.toml`` in the working directory.
        export : str, optional
            The name of the export, if the file has several.
        **settings
            They override those of the file.

        Raises
        ------
        SettingsError, TemplateError
            If the file, or anything in it, is wrong.
        SourceError
            If corrections look up runs on a server that does not answer.
        """
        from tiffin.options import load_config

        given: Any = load_config(path, export).keywords() | settings
        return cls(**given)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings only, not the runs."""
        return _made_anew, (type(self), self.settings)

    def __repr__(self) -> str:
        settings = self.settings
        where = f"{settings.template.text!r} in {settings.directory}"
        return f"<{type(self).__name__}: {where}, {self.reports!r}>"

    def _start(self) -> None:
        """Create the pipeline and the thread that feeds it."""
        settings = self.settings
        self._lines = ScanLines(settings)
        pages = [PageOfRun()] if settings.report else []
        self._pipeline = Pipeline(
            settings,
            find_run=RunFinder(settings.catalog),
            observers=[*pages, self._lines],
        )
        self._pipeline.ledger.says_no_image = False
        self._mailbox = Pool(workers=1, budget=settings.memory, name="tiffin-exporter")
        ends = self._pipeline.ends
        ends.call_after_late(partial(self._mailbox.submit, 0, ends.close_late))
        self._progress = partial(_progress, self._mailbox, self._pipeline)
        self._crowded = (
            f"{size_text(settings.memory)} of images (memory=) wait for the disk"
        )
        self._crowd = Patience(
            stalls=settings.stop_timeout,
            progress=self._progress,
            say=partial(logger.warning, "an event waits: %s", self._crowded),
        )
        self._errors: dict[str, Exception] = {}
        # With on_error="raise": runs whose first failure may still be raised.
        self._not_raised: set[str] = set()
        # Pending frames are written when the exporter is deleted or Python exits.
        self._finalizer = weakref.finalize(self, _let_go, self._mailbox, self._pipeline)

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Process one document.

        Parameters
        ----------
        name : str
            ``"start"``, ``"descriptor"``, ``"event"``…
        doc : mapping
            The document. It is copied with its arrays, so later changes to it do not
            affect the files.
        """
        given: object = doc
        if not isinstance(given, Mapping):
            message = f"{name} document: must be a mapping, not {type(given).__name__}"
            self._fail(name, doc, SourceError(message))
            return
        raising = self.settings.on_error == "raise"
        checked = raising and name in ("start", "descriptor", "stop")
        try:
            copy = copy_document(doc)
            if name == "stop":
                self._stop(copy)
            elif checked:
                self._hand_over_and_wait(name, copy)
            else:
                self._hand_over(name, copy)
        except Exception as error:  # noqa: BLE001 (the RunEngine's border; recorded)
            self._fail(name, doc, error)
            return
        if checked:
            self._raise(name, copy)

    def _stop(self, doc: Mapping[str, Any]) -> None:
        """End a run, and say how it went in this thread, as other callbacks do."""
        run = str(doc.get("run_start"))
        self._lines.hold(run)
        try:
            self._hand_over_and_wait("stop", doc)
        finally:
            self._lines.release(run, partial(self._pipeline.report, run))

    def _hand_over(self, name: str, doc: Mapping[str, Any]) -> None:
        """Pass a document on; drop its images if the memory stays full."""
        nbytes = estimate_nbytes(doc.get("data", ()))
        job = partial(self._take, name, doc)
        if not self._mailbox.submit(nbytes, job, self._crowd):
            limit = self.settings.stop_timeout
            reason = f"the image was dropped: {self._crowded} for {limit:g} s"
            lost = replace_images(name, doc, reason)
            self._mailbox.submit(0, partial(self._take, name, lost))

    def _hand_over_and_wait(self, name: str, doc: Mapping[str, Any]) -> None:
        run = self._pipeline.open_runs.run_of(name, doc)
        limit = self.settings.stop_timeout
        most = None if limit is None else limit + MARGIN
        self._mailbox.submit(0, partial(self._take, name, doc, Patience.of(limit)))
        patience = Patience.of(most, partial(self._say, run))
        done = self._mailbox.drain(patience, all_jobs=False)
        if name == "stop" and (not done or self._pipeline.hangs(run)):
            logger.error(
                "%s: the plan continues, and the export continues in the background; "
                "exporter.wait() waits for it",
                self._pipeline.ledger.describe_left(run),
            )

    def _say(self, run: str | None = None) -> None:
        """Log which frames of one run, or of all runs, are pending."""
        limit = self.settings.stop_timeout
        most = ""
        if run is not None and limit is not None:
            most = f" for {limit:g} s at most (stop_timeout=)"
        logger.warning("waiting%s: %s", most, self._pipeline.ledger.describe_left(run))

    def finish(self) -> None:
        """End runs without a stop document, and stop waiting for late files.

        Call it at the end of a replay.
        """
        self._mailbox.submit(0, partial(self._pipeline.finish, patient=False))
        self._mailbox.drain(self._patience())
        self._pipeline.ledger.keep = self.settings.keep_reports
        self._raise_late()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every frame so far is written, skipped or failed.

        Parameters
        ----------
        timeout : float, optional
            The longest time to wait; by default without a limit [s]. Ctrl-C ends the
            wait, but not the export.

        Returns
        -------
        bool
            False if the time ran out.
        """
        patience = Patience.of(timeout, self._say)
        if not self._mailbox.drain(patience) or not self._pipeline.wait(patience):
            return False
        self._mailbox.submit(0, self._pipeline.ends.close_late)
        done = self._mailbox.drain(patience)
        self._raise_late(ended_only=True)
        return done

    def close(self) -> None:
        """Finish all frames, end runs without a stop document, and free the threads.

        If no frame is finished for `stop_timeout`, for example because a disk hangs,
        `close` logs an error and returns. The exporter can be used again afterwards.
        """
        self._close(self._patience())
        self._raise_late()

    def _close(self, patience: Patience) -> None:
        self._mailbox.submit(0, self._pipeline.finish)
        if not _close(self._mailbox, self._pipeline, patience):
            logger.error(
                "%s: the exporter is closed anyway",
                self._pipeline.ledger.describe_left(),
            )

    def _patience(self) -> Patience:
        """Return a limit that ends a wait without progress."""
        patience = self._pipeline.patience()
        return replace(patience, progress=self._progress, say=self._say)

    def __enter__(self) -> ImageExporter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, Exception):  # must not be hidden by another exception
            self._close(self._patience())
        else:  # Ctrl-C
            self._close(Patience.of(GRACE))

    # ---- in the exporter's own thread

    def _take(
        self, name: str, doc: Mapping[str, Any], patience: Patience | None = None
    ) -> None:
        try:
            error = self._pipeline.feed(name, doc)
            if name == "start":
                self._lines.begin(doc)
            if error is not None and self.settings.on_error == "raise":
                self._errors[str(doc["uid"])] = error
            if name == "stop":
                self._pipeline.end_run(str(doc["run_start"]), patience)
        except BaseException as error:  # noqa: BLE001 (the RunEngine's border; recorded)
            self._fail(name, doc, error)

    def _fail(self, name: str, doc: object, error: BaseException) -> None:
        """Record the failure of a whole document."""
        if not isinstance(error, SourceError):
            logger.error("%s document failed", name, exc_info=error)
            error = SourceError(f"this {name} document was not exported: {error!r}")
        run = (
            self._pipeline.open_runs.run_of(name, doc)
            if isinstance(doc, Mapping)
            else ""
        )
        self._pipeline.ledger.record_failure(error, run)

    def _raise(self, name: str, doc: Mapping[str, Any]) -> None:
        """Raise the error that ends a run, once."""
        run = str(doc["uid"] if name == "start" else doc["run_start"])
        if name == "start":
            self._not_raised.add(run)
        error = self._errors.pop(str(doc["uid"]), None) if name != "stop" else None
        if error is not None:
            self._not_raised.discard(run)
            if isinstance(error, TiffinError):
                error.report = self._pipeline.report(run)
            raise error
        if name == "stop" and run in self._not_raised:
            self._raise_of(run)

    def _raise_of(self, run: str) -> None:
        """Raise the first failure of a run; ask again later if frames are pending."""
        report = self._pipeline.report(run)
        if not report.planned or report.failed or self.settings.dry_run:
            self._not_raised.discard(run)
        raise_first(report)

    def _raise_late(self, *, ended_only: bool = False) -> None:
        """Raise failures after the end of a run, such as files that never arrived."""
        for run in sorted(self._not_raised):
            if not (ended_only and self._pipeline.is_open(run)):
                self._raise_of(run)


def _made_anew(kind: type[ImageExporter], settings: Settings) -> ImageExporter:
    exporter = kind.__new__(kind)
    exporter.settings = settings
    exporter._start()  # noqa: SLF001 (its own)
    return exporter


def _progress(mailbox: Pool, pipeline: Pipeline) -> object:
    return mailbox.done, pipeline.progress()


def _let_go(mailbox: Pool, pipeline: Pipeline) -> None:
    """Finish pending frames when the exporter is deleted or Python exits.

    Do not wait for a full disk, and give up after `LAST_WAIT` without progress.
    """
    pipeline.publisher.stop_waiting()
    patience = pipeline.patience()
    if patience.stalls is None:
        patience = replace(patience, stalls=LAST_WAIT)
    _close(mailbox, pipeline, patience)


def _close(mailbox: Pool, pipeline: Pipeline, patience: Patience) -> bool:
    """Close in the exporter's own thread, so that a disk that hangs blocks only it."""
    if mailbox.is_here:
        pipeline.close()
    else:
        mailbox.submit(0, pipeline.close)
    return mailbox.close(patience)

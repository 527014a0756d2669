"""Act at the end of a run: the place for sidecar files, reports and catalogues."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tiffin.errors import NoImageError, did_you_mean
from tiffin.export.fsync import sync_files

if TYPE_CHECKING:
    from tiffin.engine import Ledger
    from tiffin.export.run_documents import DocumentsOfRun
    from tiffin.records import Report
    from tiffin.settings import Settings

logger = logging.getLogger("tiffin")


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended.

    Attributes
    ----------
    run : str
        Its uid.
    settings : Settings
        The settings of the export.
    ledger : Ledger
        The ledger with the records of the run.
    documents : DocumentsOfRun
        Its start, descriptor and stop documents, if an observer wants them.
    """

    run: str
    settings: Settings
    ledger: Ledger
    documents: DocumentsOfRun

    @property
    def report(self) -> Report:
        """The report of the run."""
        return self.ledger.report(self.run)


class RunObserver(Protocol):
    """Is called at the end of each run, after its last file is written."""

    def run_ended(self, summary: EndedRun) -> None:
        """Act at the end of a run."""
        ...


class SayEmpty:
    """Logs runs without an image."""

    def run_ended(self, summary: EndedRun) -> None:
        """Log it once."""
        if summary.ledger.is_empty(summary.run):
            message = "no image was exported: no event of the run has one"
            summary.ledger.say(summary.run, NoImageError(message))


class SayFloat64:
    """Warns of TIFF files that many programs can't open, unless they are asked for."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def run_ended(self, summary: EndedRun) -> None:
        """Warn once a field, whatever the number of runs."""
        settings = summary.settings
        if (settings.format, settings.profile) != ("tiff", "plain") or settings.dtype:
            return
        found = summary.ledger.written_fields(summary.run, "float64")
        for field in sorted(found - self._said):
            logger.warning(
                "run %s: the files of field %r are float64, which ImageJ and Pillow "
                "can't open: set dtype='uint16', or the dtype that the detector has, "
                "for counts; dtype='float32' for other values",
                summary.run[:8],
                field,
            )
        self._said |= found


class SayUnknownFields:
    """Warns of names in `colour` and `axes` that are those of no field."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def run_ended(self, summary: EndedRun) -> None:
        """Warn once a name, whatever the number of runs of this exporter."""
        axes = summary.settings.image_axes
        settings = [(name, "colour") for name in axes.colour]
        settings += [(name, "axes") for name in axes.named if name]
        declared = [d.get("data_keys") for d in summary.documents.descriptors.values()]
        tables = [keys for keys in declared if isinstance(keys, Mapping)]
        fields = {str(name) for keys in tables for name in keys}
        unknown = [(n, s) for n, s in settings if n not in fields | self._said]
        if not unknown or not fields:
            return
        # An event may have fields that no descriptor declares.
        fields |= {record.field for record in summary.report if record.field}
        for name, setting in unknown:
            if name not in fields:
                self._said.add(name)
                logger.warning(
                    "run %s: %s= names %r, which is no field of the run%s",
                    summary.run[:8],
                    setting,
                    name,
                    did_you_mean(name, fields),
                )


class FsyncAtEnd:
    """Forces the files of a run to the disk, for ``fsync="run"``."""

    def run_ended(self, summary: EndedRun) -> None:
        """Force all written files to the disk, and their sidecars."""
        paths = [record.path for record in summary.report.written if record.path]
        sidecar = summary.settings.sidecar
        if sidecar is not None:
            paths += [path.with_name(path.name + sidecar.suffix) for path in paths]
        for error in sync_files(summary.settings.folders, paths):
            summary.ledger.record_failure(error, summary.run)

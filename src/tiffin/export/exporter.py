"""What the callbacks for a RunEngine have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.display import exporter_html, shortened
from tiffin.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.export.pipeline import Pipeline
    from tiffin.export.scan_lines import ScanLines
    from tiffin.records import Report
    from tiffin.template import NameCheck


class Exporter:
    """A callback with a pipeline, which says and shows how its runs went."""

    _pipeline: Pipeline
    _lines: ScanLines

    def check(
        self, metadata: Mapping[str, Any] | None = None, /, **more: Any
    ) -> NameCheck:
        """Say how the files of a run would be named, before the beam is used.

        Parameters
        ----------
        metadata, **more
            What ``RE.md`` and the plan add to the start document, as in
            ``exporter.check(RE.md, sample_name="Ni foil")``.

        Returns
        -------
        NameCheck
            Shows the names, with fields that only the run knows in brackets; or which
            keys are missing or do not fit their format. It is true if there are names.

        Raises
        ------
        SettingsError
            If the metadata are not a mapping.
        """
        given: Any = {} if metadata is None else metadata
        if not isinstance(given, Mapping):
            problem = f"must be a mapping, such as RE.md, not {shortened(repr(given))}"
            raise SettingsError(problem, setting="metadata")
        settings = self._lines.settings
        check = settings.template.preview({**given, **more})
        return check._replace(names=str(settings.directory / check.names))

    @property
    def last(self) -> Report | None:
        """The report of the newest run that has ended, or None."""
        run = self._lines.last
        return None if run is None else self._pipeline.report(run)

    @property
    def reports(self) -> Mapping[str, Report]:
        """The reports of all runs by run uid, including runs in progress.

        Only the newest finished runs have records (`keep_reports`; 100 in a
        `LiveTiffExporter`); older ones have counts. Failures that belong to no known
        run, such as documents without a start document, are under ``""``.
        """
        return self._pipeline.ledger.reports

    def prepare(self, parts: Iterable[Iterable[tuple[str, Mapping[str, Any]]]]) -> None:
        """Read the documents of a replay in advance.

        Names can then use a baseline that comes late, and fields of lists without a
        dtype get a dtype that fits all of their frames.

        Parameters
        ----------
        parts : iterable of iterables of (name, document)
            Read once.
        """
        self._pipeline.ledger.keep = None  # `process` returns the reports of all runs
        self._pipeline.source.look_ahead(parts)
        self._pipeline.source.survey(parts)

    def _repr_html_(self) -> str:
        return exporter_html(repr(self), self.reports)


def class_error(kind: type, arguments: str) -> SettingsError:
    """Return the error of a class that is called with a document."""
    return SettingsError(
        f"{kind.__name__} is a class, and got a document: subscribe an exporter that "
        f"it makes, as in RE.subscribe({kind.__name__}({arguments}))"
    )

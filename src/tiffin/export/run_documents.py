"""Keep the start, descriptor and stop documents of runs that go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class DocumentsOfRun:
    """The documents of a run without its events.

    Descriptors are by uid, in the order in which they came. `stop` is None if the run
    has not stopped.
    """

    start: Mapping[str, Any] = field(default_factory=dict)
    descriptors: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    stop: Mapping[str, Any] | None = None


class DocumentsOfRuns:
    """The documents of all runs that are not forgotten yet.

    None are kept unless this is `on`, because somebody wants them.
    """

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._runs: dict[str, DocumentsOfRun] = {}

    def note(self, name: str, doc: Mapping[str, Any]) -> None:
        """Keep a document, if it is of a kind that is kept."""
        if not self._on:
            return
        if name == "start":
            self._runs[str(doc.get("uid"))] = DocumentsOfRun(doc)
        of = self._runs.get(str(doc.get("run_start")))
        if of is not None and name == "descriptor":
            of.descriptors[str(doc.get("uid"))] = doc
        elif of is not None and name == "stop":
            of.stop = doc

    def of(self, run: str) -> DocumentsOfRun:
        """Return the documents of a run."""
        return self._runs.get(run) or DocumentsOfRun()

    def forget(self, run: str) -> None:
        """Forget a run."""
        self._runs.pop(run, None)

"""What a name may ask for that a replay's documents tell only later."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from event_model import unpack_event_page

from tiffin.assemble.malformed import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["BASELINE", "LateDocuments", "events_in"]

BASELINE = "baseline"
"""The stream that bluesky's SupplementalData reads before and after a plan."""


@dataclass(frozen=True, slots=True)
class LateDocuments:
    """The stop documents and baselines of runs, by the run's uid.

    Attributes
    ----------
    stops : mapping
        Run uid → stop document.
    baselines : mapping
        Run uid → data of the first baseline event.
    """

    stops: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def scan(cls, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> LateDocuments:
        """Go through documents, and keep what is told late."""
        stops: dict[str, Mapping[str, Any]] = {}
        baselines: dict[str, Mapping[str, Any]] = {}
        runs: dict[str, str] = {}
        for name, doc in documents:
            with suppress(*MALFORMED):  # the assembler says so when it comes to it
                if name == "stop" and "run_start" in doc:
                    stops[doc["run_start"]] = doc
                elif name == "descriptor" and doc.get("name") == BASELINE:
                    runs[str(doc.get("uid"))] = str(doc.get("run_start"))
                elif name in ("event", "event_page", "bulk_events"):
                    for event in events_in(name, doc):
                        run = runs.get(str(event.get("descriptor")))
                        if run is not None:
                            baselines.setdefault(run, event["data"])
        return cls(stops, baselines)


def events_in(name: str, doc: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the events that a document holds: one, or a page of them."""
    if name == "event":
        yield doc
    elif name == "event_page":
        yield from unpack_event_page(cast(Any, doc))
    else:
        for events in doc.values():
            yield from events

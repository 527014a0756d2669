"""Look through the documents of a replay before they are exported."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tiffin.assemble.legacy_documents import unpack
from tiffin.assemble.malformed import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Documents = Iterable[tuple[str, Mapping[str, Any]]]

BASELINE = "baseline"
"""The stream that bluesky's SupplementalData reads before and after a plan."""


@dataclass(frozen=True, slots=True)
class LateDocuments:
    """Documents that a name may use, and that come after the frames, by run uid.

    A baseline is the data of the first baseline event.
    """

    stops: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def scan(cls, documents: Documents) -> LateDocuments:
        """Collect the stop documents and baselines of all runs."""
        stops: dict[str, Mapping[str, Any]] = {}
        baselines: dict[str, Mapping[str, Any]] = {}
        runs: dict[str, str] = {}
        for name, doc in documents:
            with suppress(*MALFORMED):  # the assembler reports it
                if name == "stop" and "run_start" in doc:
                    stops[doc["run_start"]] = doc
                elif name == "descriptor" and doc.get("name") == BASELINE:
                    runs[str(doc.get("uid"))] = str(doc.get("run_start"))
                elif name in ("event", "event_page", "bulk_events"):
                    for event in unpack(name, doc):
                        run = runs.get(str(event.get("descriptor")))
                        if run is not None:
                            baselines.setdefault(run, event["data"])
        return cls(stops, baselines)


def skip_repeated_runs(parts: Iterable[Documents]) -> Iterator[Documents]:
    """Yield the parts of a source without runs that have already ended in it.

    The same run may be in two files, or twice in one.

    Examples
    --------
    >>> run = [("start", {"uid": "a"}), ("stop", {"run_start": "a"})]
    >>> [name for part in skip_repeated_runs([run, run]) for name, doc in part]
    ['start', 'stop']
    """
    ended: set[str] = set()
    return (_new_runs(part, ended) for part in parts)


def _new_runs(documents: Documents, ended: set[str]) -> Iterator[Any]:
    repeated: set[str] = set()  # uids of runs, and of their descriptors
    for name, doc in documents:
        if not repeated and name not in ("start", "stop"):
            yield name, doc
            continue
        uid, run, descriptor = (
            _text(doc, key) for key in ("uid", "run_start", "descriptor")
        )
        if uid and ((name == "start" and uid in ended) or run in repeated):
            repeated.add(uid)
        if not repeated.isdisjoint((uid, run, descriptor)):
            if name == "stop":
                repeated.discard(run)
        elif name != "stop" or run not in ended:
            if name == "stop" and run:
                ended.add(run)
            yield name, doc


def _text(doc: Any, key: str) -> str:
    value = doc.get(key) if hasattr(doc, "get") else None
    return value if isinstance(value, str) else ""

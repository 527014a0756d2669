"""Keep track of open runs, and of the run of each document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_OPEN_RUNS = 1_000
"""How many runs may be open. With more, the oldest one is ended."""


class OpenRuns:
    """The open runs of an export. Not thread-safe."""

    def __init__(self) -> None:
        self._open: dict[str, None] = {}
        self._run_of: dict[str, str] = {}  # by the uid of a descriptor
        self._closed: dict[str, str] = {}  # as `_run_of`, of runs that `close` ended

    def note(self, name: str, doc: Mapping[str, Any]) -> None:
        """Remember which run a descriptor belongs to."""
        if name == "descriptor" and "uid" in doc:
            self._run_of[str(doc["uid"])] = str(doc.get("run_start"))

    def begin(self, run: str) -> str | None:
        """Add a run; return the oldest run if too many are open."""
        self._open[run] = None
        return next(iter(self._open)) if len(self._open) > MOST_OPEN_RUNS else None

    def stop(self, run: str) -> None:
        """Remove a run that has a stop document."""
        self._open.pop(run, None)

    def forget(self, run: str) -> None:
        """Forget the descriptors of a run."""
        self._run_of = {d: of for d, of in self._run_of.items() if of != run}

    def close(self) -> None:
        """End all runs; refuse later documents of them."""
        self._closed, self._run_of = self._run_of, {}
        self._open.clear()

    def run_of(self, name: str, doc: Mapping[str, Any]) -> str:
        """Return the run of any document, or ``""`` if it is not known."""
        run = doc.get("uid" if name == "start" else "run_start")
        if not isinstance(run, str):
            descriptor = str(doc.get("descriptor"))
            run = self._run_of.get(descriptor) or self._closed.get(descriptor)
        return run or ""

    def refuse_closed(self, name: str, doc: Mapping[str, Any]) -> None:
        """Raise a SourceError for a document of a run that `close` has ended."""
        if not self._closed:
            return
        if name == "stop":
            run = doc.get("run_start")
            self._closed = {d: of for d, of in self._closed.items() if of != run}
        elif name == "descriptor":
            self._closed.pop(str(doc.get("uid")), None)
        elif str(doc.get("descriptor")) in self._closed:
            message = (
                f"{name} {doc.get('seq_num', doc.get('uid'))} came after the exporter "
                f"was closed: close it when its runs are over"
            )
            raise SourceError(message)

"""The runs that are open: they may be interleaved, or one inside another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.assemble.malformed import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.assemble.run import OpenRun

__all__ = ["Runs"]


class Runs:
    """Knows which run a document belongs to."""

    def __init__(self) -> None:
        self._runs: dict[str, OpenRun] = {}
        self._of_descriptor: dict[str, OpenRun] = {}

    def __iter__(self) -> Iterator[OpenRun]:
        return iter([*self._runs.values()])

    def begin(self, run: OpenRun) -> None:
        """Open a run."""
        self._runs[_text(run.start["uid"])] = run

    def get(self, uid: str) -> OpenRun | None:
        """Return an open run; None if there is none of that uid."""
        return self._runs.get(uid)

    def describe(self, descriptor: Mapping[str, Any]) -> bool:
        """Take a descriptor; tell whether its run is open."""
        for data_key in descriptor["data_keys"].values():
            data_key.get("shape")  # what is no descriptor is refused here
        if descriptor.get("name") is None:  # event-model does not require it
            descriptor = {**descriptor, "name": UNNAMED}
        _text(descriptor["name"])
        run = self._runs.get(descriptor["run_start"])
        if run is None:
            return False
        run.descriptors[_text(descriptor["uid"])] = descriptor
        self._of_descriptor[descriptor["uid"]] = run
        return True

    def find(self, descriptor: str) -> tuple[OpenRun, Mapping[str, Any]] | None:
        """Find run and descriptor by the descriptor's uid; None if it never came."""
        run = self._of_descriptor.get(descriptor)
        return None if run is None else (run, run.descriptors[descriptor])

    def owner(self, doc: Mapping[str, Any]) -> str | None:
        """Return the open run whose a resource or datum is; None if it is none's.

        Not every resource names its run, and a datum never does: the newest is meant.
        """
        named = doc.get("run_start")
        if named:
            return named if named in self._runs else None
        return next(reversed(self._runs), None)

    def uid_for(self, event: Any) -> str:
        """Return the run of an event of which nothing is certain; "" if unknown."""
        try:
            run = self._of_descriptor.get(event["descriptor"])
        except MALFORMED:
            return ""
        return "" if run is None else run.uid

    def end(self, run: OpenRun) -> None:
        """Close a run."""
        self._runs.pop(run.uid, None)
        for uid in run.descriptors:
            self._of_descriptor.pop(uid, None)


UNNAMED = "primary"
"""The stream of a descriptor without a name: older runs had one stream only."""


def _text(uid: Any) -> str:
    """Refuse what is no text where a name or a uid should be."""
    if not isinstance(uid, str):
        message = f"{uid!r} is no text"
        raise TypeError(message)
    return uid

"""Runs of a databroker, with the events that it leaves out where a run never stopped.

databroker 2.0.2 gives events in pages of up to 25, and the last page only in front of
another document. Of a run without a stop document, the last events of a stream may so
be missing; they are made anew from the arrays that the same run has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.sources.prefetch import PrefetchedArray
from tiffin.sources.tiled_arrays import EventImages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["documents"]

Pair = tuple[str, Mapping[str, Any]]


def documents(source: Any) -> Iterator[Pair]:
    """Return the documents of a header, a run, or whatever has a method for them.

    Parameters
    ----------
    source : object
        With a method ``documents``.
    """
    if _never_stopped(source):
        yield from _with_last_events(getattr(source, "v2", source))
    else:
        yield from source.documents()


def _never_stopped(source: Any) -> bool:
    """Whether this is a databroker's run without a stop document."""
    names = {f"{cls.__module__}.{cls.__name__}" for cls in type(source).__mro__}
    if "databroker.v1.Header" in names:
        return not source.v2.metadata["stop"]
    if any(name.endswith(".BlueskyRunV2Mongo") for name in names):
        return not source.metadata["stop"]
    return False


def _with_last_events(run: Any) -> Iterator[Pair]:
    streams: dict[str, _Stream] = {}
    of_descriptor: dict[str, _Stream] = {}
    for name, doc in run.documents():
        if name == "descriptor":
            stream_name = str(doc.get("name") or "primary")
            stream = streams.setdefault(stream_name, _Stream(stream_name))
            stream.descriptors.append(doc)
            of_descriptor[doc["uid"]] = stream
        elif name == "event_page":
            of_descriptor[doc["descriptor"]].note(doc)
        yield name, doc
    for stream in streams.values():
        yield from stream.last_events(run)


class _Stream:
    """What a stream's documents have told, and the rest of it as documents."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.descriptors: list[Mapping[str, Any]] = []
        self._seen: set[int] = set()
        self._whole: set[str] = set()

    def note(self, page: Mapping[str, Any]) -> None:
        """Note which events a page has, and which of its numbers are whole ones."""
        self._seen.update(page["seq_num"])
        self._whole.update(
            key for key, values in page["data"].items() if type(values[-1]) is int
        )

    def last_events(self, run: Any) -> Iterator[Pair]:
        """Make the events that no page had."""
        data = run[self._name]["data"]
        times = data["time"].read()
        missing = [k for k in range(len(times)) if k + 1 not in self._seen]
        if not missing:
            return
        data_keys = self.descriptors[-1]["data_keys"]
        columns = {
            key: self._column(data[key], missing[0], key)
            for key in data
            if key in data_keys
        }
        for k in missing:
            yield "event", self._event(k, float(times[k]), columns)

    def _event(
        self, k: int, time: float, columns: Mapping[str, Callable[[int], Any]]
    ) -> Mapping[str, Any]:
        begun = [d for d in self.descriptors if d["time"] <= time]
        descriptor = (begun or self.descriptors[:1])[-1]
        keys = [key for key in descriptor["data_keys"] if key in columns]
        return {
            "uid": f"{descriptor['uid']}/{k + 1}",
            "descriptor": descriptor["uid"],
            "seq_num": k + 1,
            "time": time,
            "data": {key: columns[key](k) for key in keys},
            "timestamps": dict.fromkeys(keys, time),
            "filled": dict.fromkeys(keys, True),
        }

    def _column(self, node: Any, first: int, key: str) -> Callable[[int], Any]:
        """Return what gives an event's value: an image when it is read, others at once.

        What nobody has declared the dtype of comes as in JSON, as in the other events.
        """
        data_key = self.descriptors[-1]["data_keys"][key]
        declared = data_key.get("dtype_numpy") or data_key.get("external")
        if len(node.shape) > 2:
            rows = PrefetchedArray(node)
            if declared:
                return lambda k: EventImages(rows, k, k + 1, whole=True)
            return lambda k: _listed(rows.row(k))
        values = np.asarray(node[first:])
        if key in self._whole or data_key.get("dtype") == "integer":
            return lambda k: _listed(values[k - first])
        return lambda k: values[k - first].tolist()


def _listed(array: np.ndarray) -> Any:
    """Return numbers as JSON had them: whole ones without a point."""
    whole = array.dtype.kind == "f" and np.array_equal(array, np.trunc(array))
    if whole and np.abs(array).max(initial=0) < 2**53:
        return array.astype("i8").tolist()
    return array.tolist()

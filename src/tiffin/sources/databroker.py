"""Documents of databroker's runs, with the events that it omits from unstopped runs.

databroker 2.0.2 gives events in pages of up to 25, each when the next document comes.
If a run has no stop document, the last page of a stream may be missing: its events are
rebuilt from the arrays of the same run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.sources.prefetch import PrefetchedArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiffin.sources.document_file import Document


def documents(run: Any) -> Iterator[Document]:
    """Yield the documents of anything that has a method ``documents``."""
    if not _never_stopped(run):
        yield from run.documents()
        return
    run = getattr(run, "v2", run)
    streams: dict[str, _Stream] = {}
    of_descriptor: dict[str, _Stream] = {}
    for name, doc in run.documents():
        if name == "descriptor":
            stream = str(doc.get("name") or "primary")
            of_descriptor[doc["uid"]] = streams.setdefault(stream, _Stream())
            streams[stream].descriptors.append(doc)
        elif name == "event_page":
            of_descriptor[doc["descriptor"]].note(doc)
        yield name, doc
    for name, each in streams.items():
        yield from each.missing_events(run[name]["data"])


def _never_stopped(run: Any) -> bool:
    """Whether this is a databroker's run without a stop document."""
    names = {f"{cls.__module__}.{cls.__name__}" for cls in type(run).__mro__}
    if "databroker.v1.Header" in names:
        return not run.v2.metadata["stop"]
    if any(name.endswith(".BlueskyRunV2Mongo") for name in names):
        return not run.metadata["stop"]
    return False


class _Stream:
    """What the documents of a stream contain, to find and rebuild missing events."""

    def __init__(self) -> None:
        self.descriptors: list[Mapping[str, Any]] = []
        self._seq_nums: set[int] = set()
        self._integers: set[str] = set()

    def note(self, page: Mapping[str, Any]) -> None:
        """Note a page's events, and which of its fields are integers."""
        self._seq_nums.update(page["seq_num"])
        self._integers.update(
            key for key, values in page["data"].items() if type(values[-1]) is int
        )

    def missing_events(self, data: Any) -> Iterator[Document]:
        """Yield the events that no page had, from the stream's arrays."""
        times = data["time"].read()
        missing = [k for k in range(len(times)) if k + 1 not in self._seq_nums]
        if not missing:
            return
        data_keys = self.descriptors[-1]["data_keys"]
        columns = {
            key: self._column(key, data_keys[key], data[key], missing[0])
            for key in data
            if key in data_keys
        }
        for k in missing:
            time = float(times[k])
            earlier = [d for d in self.descriptors if d["time"] <= time]
            descriptor = (earlier or self.descriptors[:1])[-1]
            keys = [key for key in descriptor["data_keys"] if key in columns]
            event = {
                "uid": f"{descriptor['uid']}/{k + 1}",
                "descriptor": descriptor["uid"],
                "seq_num": k + 1,
                "time": time,
                "data": {key: columns[key](k) for key in keys},
                "timestamps": dict.fromkeys(keys, time),
                "filled": dict.fromkeys(keys, True),
            }
            yield "event", event

    def _column(
        self, key: str, data_key: Mapping[str, Any], node: Any, first: int
    ) -> Callable[[int], Any]:
        """Return a function that gives the value of an event; images lazily.

        Without a declared dtype, values are lists, as in databroker's own events.
        """
        if len(node.shape) > 2:
            rows = PrefetchedArray(node)
            if data_key.get("dtype_numpy") or data_key.get("external"):
                return rows.event
            return lambda k: _as_json(rows.row(k))
        values = np.asarray(node[first:])
        if key in self._integers or data_key.get("dtype") == "integer":
            return lambda k: _as_json(values[k - first])
        return lambda k: values[k - first].tolist()


def _as_json(array: np.ndarray) -> Any:
    """Return an array as lists; whole numbers become integers, as in JSON."""
    whole = array.dtype.kind == "f" and np.array_equal(array, np.trunc(array))
    if whole and np.abs(array).max(initial=0) < 2**53:
        return array.astype("i8").tolist()
    return array.tolist()

"""Runs of a databroker, with the events that it leaves out where a run never stopped.

databroker 2.0.2 gives events in pages of up to 25, and the last page only in front of
another document. Of a run without a stop document, the last events of a stream may so
be missing; they are made anew from the arrays that the same run has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.sources.ahead import AheadArray
from tiffin.sources.remote import TiledImages

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["documents"]

Pair = tuple[str, Mapping[str, Any]]


def documents(source: Any) -> Iterator[Pair]:
    """Give the documents of a header, a run, or whatever has a method for them.

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
    seen: dict[str, set[int]] = defaultdict(set)
    descriptors: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    streams: dict[str, str] = {}
    for name, doc in run.documents():
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
            descriptors[doc["name"]].append(doc)
        elif name == "event_page":
            seen[streams[doc["descriptor"]]] |= set(doc["seq_num"])
        elif name == "event":
            seen[streams[doc["descriptor"]]].add(doc["seq_num"])
        yield name, doc
    for stream, of_stream in descriptors.items():
        yield from _last_events(run, stream, of_stream, seen[stream])


def _last_events(
    run: Any, stream: str, descriptors: list[Mapping[str, Any]], seen: set[int]
) -> Iterator[Pair]:
    """Give the events of a stream that were not seen, scalars and images as arrays."""
    data = run[stream]["data"]
    times = data["time"].read()
    missing = [k for k in range(len(times)) if k + 1 not in seen]
    if not missing:
        return
    data_keys = descriptors[-1]["data_keys"]
    columns = {
        key: _column(data[key], missing[0], data_keys[key])
        for key in data
        if key in data_keys
    }
    for k in missing:
        time = float(times[k])
        begun = [d for d in descriptors if d["time"] <= time] or descriptors[:1]
        keys = [key for key in begun[-1]["data_keys"] if key in columns]
        yield (
            "event",
            {
                "uid": f"{begun[-1]['uid']}/{k + 1}",
                "descriptor": begun[-1]["uid"],
                "seq_num": k + 1,
                "time": time,
                "data": {key: columns[key](k) for key in keys},
                "timestamps": dict.fromkeys(keys, time),
                "filled": dict.fromkeys(keys, True),
            },
        )


def _column(node: Any, first: int, data_key: Mapping[str, Any]) -> Any:
    """Give what gives an event's value: an image when it is read, the rest at once.

    In-line images whose dtype nobody has declared are lists, as in the other events.
    """
    if len(node.shape) < 3:
        values = node[first:]
        return lambda k: values[k - first].tolist()
    rows = AheadArray(node)
    if data_key.get("dtype_numpy") or data_key.get("external"):
        return lambda k: TiledImages(rows, k, k + 1, whole=True)
    return lambda k: _listed(rows.row(k))


def _listed(array: np.ndarray) -> Any:
    """Give numbers as JSON had them: whole ones came without a point."""
    whole = array.dtype.kind == "f" and np.array_equal(array, np.trunc(array))
    if whole and np.abs(array).max(initial=0) < 2**53:
        return array.astype("i8").tolist()
    return array.tolist()

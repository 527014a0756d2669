"""Tiled: runs that TiledWriter stored, read by slicing their arrays.

``run.documents()`` is not used (a server answers 406 unless configured for it), nor
``run.v1`` or ``run.v2`` (touching them changes the layout of the user's whole client).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["TiledImages", "connect", "documents", "find_run", "is_run"]


class TiledImages:
    """The images of one event, still on the server.

    Parameters
    ----------
    node : object
        A Tiled array, shape (events, ...) or (frames, rows, columns).
    first, stop : int
        Which of its rows are the event's.
    whole : bool
        Whether the rows are frames; if not, the event is one row.
    """

    def __init__(self, node: Any, first: int, stop: int, *, whole: bool) -> None:
        self._node = node
        self._first = first
        self._whole = whole
        lead = (stop - first,) if whole else ()
        self.shape = (*lead, *(int(n) for n in node.shape[1:]))
        self.dtype = np.dtype(node.dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Fetch a part, as numpy slices it."""
        keys = key if isinstance(key, tuple) else (key,)
        if not self._whole:
            return np.asarray(self._node[(self._first, *keys)])
        if isinstance(keys[0], int):
            return np.asarray(self._node[(self._first + keys[0], *keys[1:])])
        part: np.ndarray = np.asarray(self)[key]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Fetch all of it."""
        if self._whole:
            array = np.asarray(self._node[self._first : self._first + self.shape[0]])
        else:
            array = np.asarray(self._node[self._first])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)


def is_run(source: object) -> bool:
    """Whether this is a run of a Tiled server, stored by TiledWriter."""
    return any(cls.__name__ == "_BlueskyRunSQL" for cls in type(source).__mro__)


def documents(run: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Make a run's documents anew; the images in its events are `TiledImages`.

    Parameters
    ----------
    run : object
        ``client[uid]``.

    Raises
    ------
    SourceError
        If the server fails.
    """
    from httpx import HTTPError

    try:
        yield "start", dict(run.metadata["start"])
        streams = [_Stream(run, name) for name in run]
        for stream in streams:
            for descriptor in stream.descriptors:
                yield "descriptor", descriptor
        events = heapq.merge(*(s.events() for s in streams), key=lambda e: e["time"])
        for event in events:
            yield "event", event
        if run.metadata.get("stop"):
            yield "stop", dict(run.metadata["stop"])
    except HTTPError as error:
        message = f"the Tiled server fails: {error}"
        raise SourceError(message) from error


class _Stream:
    """One stream of a run, as events."""

    def __init__(self, run: Any, name: str) -> None:
        self._node = run[name]
        self.name = name
        self._keys = list(self._node)
        uid = run.metadata["start"]["uid"]
        # Each configure() in the midst of a run gave a further descriptor.
        self.descriptors = [
            {**descriptor, "name": name, "run_start": uid}
            for descriptor in self._node.descriptors
        ]
        self._data_keys: Mapping[str, Any] = self.descriptors[0]["data_keys"]

    def events(self) -> Iterator[dict[str, Any]]:
        """Give the events in order, images unfetched."""
        columns = self._columns()
        arrays = {name: self._node[name] for name in self._image_keys()}
        counts = [self._count(name, node) for name, node in arrays.items()]
        count = (
            len(columns["seq_num"]) if "seq_num" in columns else max(counts, default=0)
        )
        times = [descriptor["time"] for descriptor in self.descriptors]
        for k in range(count):
            time = float(columns["time"][k]) if "time" in columns else times[0]
            descriptor = self.descriptors[max(bisect_right(times, time) - 1, 0)]
            seq_num = int(columns["seq_num"][k]) if "seq_num" in columns else k + 1
            data = {
                name: column[k]
                for name, column in columns.items()
                if name in self._data_keys
            }
            data |= {
                name: images
                for name, node in arrays.items()
                if (images := self._images(name, node, k)) is not None
            }
            yield {
                "uid": f"{descriptor['uid']}/{seq_num}",
                "descriptor": descriptor["uid"],
                "seq_num": seq_num,
                "time": time,
                "data": data,
                "timestamps": dict.fromkeys(data, time),
                "filled": {},
            }

    def _columns(self) -> dict[str, Sequence[Any]]:
        """Fetch seq_num, time and all scalars, in one request."""
        wanted = [name for name in ("seq_num", "time") if name in self._keys]
        wanted += [
            name
            for name, data_key in self._data_keys.items()
            if name in self._keys
            and not data_key.get("shape")
            and not data_key.get("external")
        ]
        if "seq_num" not in wanted:
            return {}
        table = self._node.read(wanted)
        return {name: table[name].values for name in wanted if name in table}

    def _image_keys(self) -> list[str]:
        return [
            name
            for name, data_key in self._data_keys.items()
            if name in self._keys and len(data_key.get("shape") or ()) >= 2
        ]

    def _rows(self, name: str, node: Any) -> int:
        """Tell how many rows of the array are one event's; 0 if a row is an event."""
        shape = self._data_keys[name]["shape"]
        return int(shape[0] or 1) if len(node.shape) == len(shape) else 0

    def _count(self, name: str, node: Any) -> int:
        return int(node.shape[0]) // (self._rows(name, node) or 1)

    def _images(self, name: str, node: Any, k: int) -> TiledImages | None:
        rows = self._rows(name, node)
        first, stop = k * (rows or 1), (k + 1) * (rows or 1)
        if stop > node.shape[0]:
            return None
        return TiledImages(node, first, stop, whole=bool(rows))


def connect(address: str, *, api_key: str | None = None) -> Any:
    """Open the root of a Tiled server.

    Raises
    ------
    MissingLibraryError
        Naming the extra to install.
    SourceError
        If the server does not answer.
    """
    try:
        from httpx import HTTPError
        from tiled.client import from_uri
    except ImportError as error:
        message = f"Tiled needs its client ({error}): pip install 'tiffin[tiled]'"
        raise MissingLibraryError(message) from error
    try:
        return from_uri(address, api_key=api_key)
    except (HTTPError, OSError, ValueError) as error:
        message = f"no Tiled server answers at {address}: {error}"
        raise SourceError(message) from error


def find_run(client: Any, which: str) -> Any:
    """Find one run in a catalogue.

    Parameters
    ----------
    client : object
        A Tiled container of runs.
    which : str
        ``"-1"`` (the last), ``"-2"``…, a scan_id, or a uid or its beginning.

    Raises
    ------
    SourceError
        If there is no such run, or several.
    """
    from httpx import HTTPError
    from tiled.queries import Key, Like

    newest_first = client.sort(("start.time", -1))
    try:
        if which.startswith("-") and which[1:].isdigit():
            return newest_first.values()[int(which[1:]) - 1]
        found = newest_first.search(Like("start.uid", which.replace("%", "") + "%"))
        if which.isdigit():
            scans = newest_first.search(Key("start.scan_id") == int(which))
            if len(scans):
                return scans.values().first()
        if len(found) == 1:
            return found.values().first()
    except (IndexError, KeyError, HTTPError) as error:
        message = f"run {which!r} can't be had: {type(error).__name__}: {error}"
        raise SourceError(message) from error
    message = (
        f"{len(found)} runs match {which!r}; wanted -1 (the last), a scan_id, or as "
        f"much of a uid as tells it apart"
    )
    raise SourceError(message)

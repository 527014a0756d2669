"""Tiled: runs that TiledWriter stored, sliced, or read from the files behind them.

``run.documents()`` is not used (a server answers 406 unless configured for it), nor
``run.v1`` or ``run.v2`` (touching them changes the layout of the user's whole client).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Literal

from tiffin.errors import MissingLibraryError, SourceError, TiffinError
from tiffin.readers import RootMap
from tiffin.sources.ahead import AheadArray
from tiffin.sources.remote import PlainSlices, TiledImages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tiffin.sources.select import Selection

__all__ = ["Via", "connect", "documents", "find_runs", "is_run"]

Via = Literal["auto", "http", "files"]


def is_run(source: object) -> bool:
    """Whether this is a run of a Tiled server, stored by TiledWriter."""
    return any(cls.__name__ == "_BlueskyRunSQL" for cls in type(source).__mro__)


def documents(
    run: Any, *, via: Via = "auto", roots: RootMap | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Make a run's documents anew.

    Images that the server holds stand in the events, as `TiledImages`. Those in files
    that can be read here are stream resources.

    Parameters
    ----------
    run : object
        ``client[uid]``.
    via : {"auto", "http", "files"}
        How external images are read: from their files where these are readable here,
        always through the server, or never.
    roots : RootMap, optional
        For files recorded on another mount.

    Raises
    ------
    SourceError
        If the server fails.
    """
    from httpx import HTTPError

    run = _in_todays_layout(run)
    try:
        yield "start", dict(run.metadata["start"])
        streams = [Stream(run, name, via, roots or RootMap()) for name in run]
        for stream in streams:
            for descriptor in stream.descriptors:
                yield "descriptor", descriptor
            yield from stream.stream_resources()
        merged = heapq.merge(*(s.events() for s in streams), key=lambda e: e[0])
        for _, name, doc in merged:
            yield name, doc
        if run.metadata.get("stop"):
            yield "stop", dict(run.metadata["stop"])
    except HTTPError as error:
        message = f"the Tiled server fails: {error}"
        raise SourceError(message) from error


def _in_todays_layout(run: Any) -> Any:
    """See a run in the layout of version 3, whatever the user's client shows.

    Who has touched ``run.v2`` once gets every run in the older layout. ``run.v3`` would
    change that client again, so the class is called directly.
    """
    names = [cls.__name__ for cls in type(run).__mro__]
    if "BlueskyRunV2SQL" not in names:
        return run
    from bluesky_tiled_plugins.clients.bluesky_run import BlueskyRunV3

    return BlueskyRunV3(
        run.context, item=run.item, structure_clients=run.structure_clients
    )


class Stream:
    """One stream of a run, as documents."""

    def __init__(self, run: Any, name: str, via: Via, roots: RootMap) -> None:
        self._node = run[name]
        self._via = via
        self._roots = roots
        self._keys = list(self._node)
        uid = run.metadata["start"]["uid"]
        # Each configure() in the midst of a run gave a further descriptor.
        self.descriptors = [
            {**descriptor, "name": name, "run_start": uid}
            for descriptor in self._node.descriptors
        ]
        self._data_keys: Mapping[str, Any] = self.descriptors[0]["data_keys"]
        self._nodes = {key: self._node[key] for key in self._image_keys()}
        self._resources = self._find_resources()
        self._arrays = {
            key: AheadArray(PlainSlices(node))
            for key, node in self._nodes.items()
            if key not in self._resources
        }
        for descriptor in self.descriptors:
            descriptor["data_keys"] = {
                key: {**value, "external": "STREAM:"}
                if key in self._resources
                else value
                for key, value in descriptor["data_keys"].items()
            }

    def stream_resources(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give the resources of the fields that are read from files."""
        for resource in self._resources.values():
            yield "stream_resource", resource

    def events(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        """Give (time, name, document): events, and stream datums of their files."""
        columns = self._columns()
        counts = [self._count(key) for key in self._nodes]
        count = (
            len(columns["seq_num"]) if "seq_num" in columns else max(counts, default=0)
        )
        times = [descriptor["time"] for descriptor in self.descriptors]
        for k in range(count):
            time = float(columns["time"][k]) if "time" in columns else times[0]
            descriptor = self.descriptors[max(bisect_right(times, time) - 1, 0)]
            seq_num = int(columns["seq_num"][k]) if "seq_num" in columns else k + 1
            for key in self._resources:
                if k < self._count(key):
                    yield time, "stream_datum", self._datum(key, k, seq_num, descriptor)
            data = {
                key: column[k]
                for key, column in columns.items()
                if key in self._data_keys
            }
            images = {key: self._images(key, k) for key in self._arrays}
            data |= {key: value for key, value in images.items() if value is not None}
            event = {
                "uid": f"{descriptor['uid']}/{seq_num}",
                "descriptor": descriptor["uid"],
                "seq_num": seq_num,
                "time": time,
                "data": data,
                "timestamps": dict.fromkeys(data, time),
                "filled": {},
            }
            yield time, "event", event

    def _columns(self) -> dict[str, Sequence[Any]]:
        """Fetch seq_num, time and all scalars, in one request."""
        if "seq_num" not in self._keys:
            return {}
        scalars = [
            key
            for key, data_key in self._data_keys.items()
            if not data_key.get("shape") and not data_key.get("external")
        ]
        wanted = [key for key in ("seq_num", "time", *scalars) if key in self._keys]
        table = self._node.read(wanted)
        return {key: table[key].values for key in wanted if key in table}

    def _image_keys(self) -> list[str]:
        return [
            key
            for key, data_key in self._data_keys.items()
            if key in self._keys and len(data_key.get("shape") or ()) >= 2
        ]

    def _rows(self, key: str) -> int:
        """Tell how many rows of the array are one event's; 0 if a row is an event."""
        shape = self._data_keys[key]["shape"]
        node = self._nodes[key]
        return int(shape[0] or 1) if len(node.shape) == len(shape) else 0

    def _count(self, key: str) -> int:
        return int(self._nodes[key].shape[0]) // (self._rows(key) or 1)

    def _images(self, key: str, k: int) -> TiledImages | None:
        array, rows = self._arrays[key], self._rows(key)
        first, stop = k * (rows or 1), (k + 1) * (rows or 1)
        if stop > array.shape[0]:
            return None
        return TiledImages(array, first, stop, whole=not rows)

    # ---- files

    def _find_resources(self) -> dict[str, dict[str, Any]]:
        if self._via == "http":
            return {}
        found = {key: self._resource(key, node) for key, node in self._nodes.items()}
        return {
            key: resource for key, resource in found.items() if resource is not None
        }

    def _resource(self, key: str, node: Any) -> dict[str, Any] | None:
        """Make a stream resource of the files behind an array, if they can be read."""
        if not self._data_keys[key].get("external"):
            return None
        (source, *_) = node.data_sources() or [None]
        if source is None or not source.assets:
            return None
        assets = sorted(source.assets, key=lambda asset: asset.num or 0)
        uris = [self._mended(asset.data_uri) for asset in assets]
        one_file = "multipart" not in source.mimetype
        readable = self._is_here(uris[0]) and not (one_file and len(uris) > 1)
        # A colour TIFF is scrambled by the server; its file, or nothing.
        colour = (
            "image/tiff" in source.mimetype and len(self._data_keys[key]["shape"]) > 3
        )
        if not readable and self._via != "files" and not colour:
            return None
        parameters = {**(source.parameters or {}), "uris": uris}
        return {
            "uid": f"{self.descriptors[0]['uid']}/{key}",
            "data_key": key,
            "mimetype": source.mimetype,
            "uri": uris[0],
            "parameters": {**parameters, "chunk_shape": self._pages(key, len(uris))},
        }

    def _pages(self, key: str, files: int) -> list[int]:
        """Tell how a datum is spread over files, as ``chunk_shape`` does."""
        shape = [int(n or 1) for n in self._data_keys[key]["shape"]]
        if len(shape) < 3:
            return shape
        images = self._count(key) * shape[0]
        return [max(images // max(files, 1), 1), *shape[1:]]

    def _is_here(self, uri: str) -> bool:
        try:
            return self._roots.locate(uri).exists()
        except TiffinError:
            return False

    def _mended(self, uri: str) -> str:
        """Put the '/' back that is lost where a resource path had none at its end."""
        if self._is_here(uri):
            return uri
        head, _, name = uri.rpartition("/")
        for cut in range(1, len(name)):
            mended = f"{head}/{name[:cut]}/{name[cut:]}"
            if self._is_here(mended):
                return mended
        return uri

    def _datum(
        self, key: str, k: int, seq_num: int, descriptor: Mapping[str, Any]
    ) -> dict[str, Any]:
        uid = self._resources[key]["uid"]
        return {
            "uid": f"{uid}/{k}",
            "stream_resource": uid,
            "descriptor": descriptor["uid"],
            "indices": {"start": k, "stop": k + 1},
            "seq_nums": {"start": seq_num, "stop": seq_num + 1},
        }


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
    except RuntimeError as error:  # what the client raises where a key is wanted
        reason = str(error).splitlines()[0]
        message = f"{address}: {reason} (--api-key, or TILED_API_KEY)"
        raise SourceError(message) from error
    except (HTTPError, OSError, ValueError) as error:
        message = f"no Tiled server answers at {address} as it should: {error}"
        raise SourceError(message) from error


def find_runs(client: Any, selection: Selection) -> list[Any]:
    """Find runs in a catalogue.

    Parameters
    ----------
    client : object
        A Tiled container of runs.
    selection : Selection
        With nothing asked for: the last run.

    Returns
    -------
    list of runs
        Oldest first, or in the order asked for.

    Raises
    ------
    SourceError
        If there is no such run, or several.
    """
    from httpx import HTTPError
    from tiled.queries import Key

    try:
        found = client
        for key, value in selection.query.items():
            found = found.search(Key(f"start.{key}") == value)
        if selection.since is not None:
            found = found.search(Key("start.time") >= selection.since)
        if selection.until is not None:
            found = found.search(Key("start.time") < selection.until)
        newest = found.sort(("start.time", -1))
        if selection.runs:
            return [_find_run(newest, name) for name in selection.runs]
        limit = selection.limit if selection else 1
        return list(newest.values()[:limit])[::-1]
    except HTTPError as error:
        message = f"the Tiled server can't search so: {error}"
        raise SourceError(message) from error


def _find_run(newest: Any, which: str) -> Any:
    from tiled.queries import Key, Like

    if which.startswith("-") and which[1:].isdigit():
        try:
            return newest.values()[int(which[1:]) - 1]
        except IndexError:
            message = f"there is no run {which!r}: the catalogue has {len(newest)}"
            raise SourceError(message) from None
    if which.isdigit():
        scans = newest.search(Key("start.scan_id") == int(which))
        if len(scans):
            return scans.values().first()
    found = newest.search(Like("start.uid", which.replace("%", "") + "%"))
    if len(found) == 1:
        return found.values().first()
    message = (
        f"{len(found)} runs match {which!r}; wanted -1 (the last), a scan_id, or as "
        f"much of a uid as tells it apart"
    )
    raise SourceError(message)

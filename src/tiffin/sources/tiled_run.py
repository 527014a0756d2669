"""Runs that TiledWriter stored, as documents made anew.

``run.documents()`` is not used (a server answers 406 unless configured for it), nor
``run.v1`` or ``run.v2`` (touching them changes the layout of the user's whole client).
"""

from __future__ import annotations

import heapq
import logging
import threading
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiffin.assemble import axis_hints
from tiffin.axes import Axes
from tiffin.errors import ReadError, SourceError
from tiffin.readers import RootMap
from tiffin.sources.prefetch import PrefetchedArray
from tiffin.sources.tiled_arrays import EventImages, UncompressedArray, UnreadableImages
from tiffin.sources.tiled_files import FileField, external_files
from tiffin.sources.tiled_server import TIMEOUT, ServerError, TiledServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Via", "documents", "is_run"]

logger = logging.getLogger("tiffin")

Via = Literal["auto", "http", "files"]


def is_run(source: object) -> bool:
    """Whether this is a run of a Tiled server, stored by TiledWriter."""
    return any(cls.__name__ == "_BlueskyRunSQL" for cls in type(source).__mro__)


def documents(
    run: Any,
    *,
    via: Via = "auto",
    roots: RootMap | None = None,
    said: set[str] | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Make a run's documents anew.

    Images that the server holds stand in the events, as `EventImages`. Those in files
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
    said : set of str, optional
        Warnings that have been given, and are not given again.
    timeout : float
        How long each reply of the server may take [s].

    Raises
    ------
    SourceError
        If the server fails.
    """
    from httpx import HTTPError

    run = _in_todays_layout(run)
    server = TiledServer(run.context.http_client, timeout)
    said = set() if said is None else said
    try:
        yield "start", dict(run.metadata["start"])
        streams = [
            Stream(run, name, via, roots or RootMap(), said, server)
            for name in server.ask(lambda: [*run])
        ]
        for stream in streams:
            for descriptor in stream.descriptors:
                yield "descriptor", descriptor
            yield from stream.stream_resources()
        merged = heapq.merge(*(s.events() for s in streams), key=lambda e: e[0])
        for _, name, doc in merged:
            yield name, doc
        if run.metadata.get("stop"):
            yield "stop", dict(run.metadata["stop"])
    except ServerError as error:
        message = f"run {run.item['id']}: {error}"
        raise SourceError(message) from error
    except HTTPError as error:
        message = f"run {run.item['id']}: the Tiled server fails: {error}"
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

    def __init__(
        self,
        run: Any,
        name: str,
        via: Via,
        roots: RootMap,
        said: set[str],
        server: TiledServer,
    ) -> None:
        self._server = server
        self._node = server.ask(lambda: run[name])
        self._run, self._name = str(run.metadata["start"]["uid"]), name
        self._via, self._roots, self._said = via, roots, said
        self._keys = server.ask(lambda: [*self._node])
        # Each configure() in the midst of a run gave a further descriptor.
        self.descriptors = [
            {**descriptor, "name": name, "run_start": self._run}
            for descriptor in server.ask(lambda: self._node.descriptors)
        ]
        self._data_keys: dict[str, Any] = dict(self.descriptors[0]["data_keys"])
        self._columns = self._fetch_columns()
        self._counts: dict[str, int] = {}
        self._fields = {key: self._field(key) for key in self._image_keys()}
        for descriptor in self.descriptors:
            descriptor["data_keys"] = {
                key: self._data_keys[key] if key in self._fields else value
                for key, value in descriptor["data_keys"].items()
            }

    def stream_resources(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return the resources of the fields that are read from files."""
        for field in self._fields.values():
            if isinstance(field, FileField):
                for resource in field.resources:
                    yield "stream_resource", resource

    def events(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        """Return (time, name, document): events, and stream datums of their files."""
        times = [descriptor["time"] for descriptor in self.descriptors]
        for k in range(self._length(max(self._counts.values(), default=0))):
            columns = self._columns
            time = float(columns["time"][k]) if "time" in columns else times[0]
            descriptor = self.descriptors[max(bisect_right(times, time) - 1, 0)]
            seq_num = int(columns["seq_num"][k]) if "seq_num" in columns else k + 1
            for field in self._fields.values():
                if isinstance(field, FileField):
                    datum = field.datum(k, seq_num, descriptor)
                    if datum is not None:
                        yield time, "stream_datum", datum
            yield time, "event", self._event(k, seq_num, time, descriptor)

    def _event(
        self, k: int, seq_num: int, time: float, descriptor: Mapping[str, Any]
    ) -> dict[str, Any]:
        data = {
            key: column[k]
            for key, column in self._columns.items()
            if key in self._data_keys and key not in self._fields
        }
        for key, field in self._fields.items():
            if isinstance(field, ServedField) and k < field.events:
                data[key] = field.images(k)
            elif isinstance(field, UnreadableImages):
                data[key] = field
        return {
            "uid": f"{descriptor['uid']}/{k + 1}",  # a point may be taken again
            "descriptor": descriptor["uid"],
            "seq_num": seq_num,
            "time": time,
            "data": data,
            "timestamps": dict.fromkeys(data, time),
            "filled": {},
        }

    def _fetch_columns(self) -> dict[str, Sequence[Any]]:
        """Fetch seq_num, time and all scalars, in one request."""
        if "seq_num" not in self._keys:
            return {}
        scalars = [
            key
            for key, data_key in self._data_keys.items()
            if not data_key.get("shape") and not data_key.get("external")
        ]
        wanted = [key for key in ("seq_num", "time", *scalars) if key in self._keys]
        table = self._server.ask(lambda: self._node.read(wanted))
        return {key: table[key].values for key in wanted if key in table}

    def _length(self, otherwise: int) -> int:
        """Tell how many events there are; a stream of no table has as many as rows."""
        seq_nums = self._columns.get("seq_num")
        return otherwise if seq_nums is None else len(seq_nums)

    def _image_keys(self) -> list[str]:
        return [
            key
            for key, data_key in self._data_keys.items()
            if key in self._keys and len(data_key.get("shape") or ()) >= 2
        ]

    # ---- fields of images

    def _field(self, key: str) -> FileField | ServedField | UnreadableImages:
        announced = tuple(int(n or 1) for n in self._data_keys[key]["shape"])
        node = self._server.ask(lambda: self._node[key])
        shape: tuple[Any, ...] = getattr(node, "shape", None) or ()
        if len(shape) < 3 or None in shape or not hasattr(node, "dtype"):
            kind = type(node).__name__
            message = f"Tiled holds {key!r} as a {kind}, which is not understood"
            return self._unreadable(message, announced)
        external = "external" in self._data_keys[key]
        # Older writers put the frames of all events on one axis, in external arrays.
        joined = external and len(shape) == len(announced)
        rows = announced[0] if joined else 1
        events, rest = divmod(int(shape[0]), rows)
        told = self._length(events)
        self._counts[key] = events
        if rest or events != told:
            message = (
                f"Tiled holds {events} event(s) of {key!r} for {told} of the stream, "
                f"and does not keep which: only the run's documents tell"
            )
            return self._unreadable(message, announced)
        if not joined:
            announced = tuple(int(n) for n in shape[1:])
        served = ServedField(node, rows if joined else 0, self._server)
        if not external:
            return self._watched(key, served)
        return self._external(key, announced, served)

    def _external(
        self, key: str, shape: tuple[int, ...], served: ServedField
    ) -> FileField | ServedField | UnreadableImages:
        """Choose between an array's files and the server."""
        data_key = self._data_keys[key]
        sources = self._server.ask(served.node.data_sources)
        files = external_files(sources, shape, served.events, self._roots)
        if files is None:
            return served
        if self._via == "files" or (self._via == "auto" and files.seen is not None):
            try:
                field = files.field(f"{self.descriptors[0]['uid']}/{key}", key)
            except ReadError as error:
                # Of a sequence the server has the same files, and knows no better.
                if self._via == "files" or files.is_sequence:
                    return self._unreadable(str(error), shape)
            else:
                if files.seen is not None and files.seen.more:
                    self._say(
                        f"the file of {key!r} holds more than the {served.events} "
                        f"event(s) that Tiled tells of: if some were skipped, Tiled "
                        f"does not keep which"
                    )
                self._data_keys[key] = {**data_key, **files.told_by_file}
                return field
        # The server gives what is announced: samples last, if dims say so.
        as_told = axis_hints(Axes(), key, {**data_key, "external": ""})
        if files.may_be_colour and as_told.at[2:] != (-1,):
            message = (
                f"{key!r} is colour, or may be, which Tiled gives scrambled: read it "
                f"from its files ({files.uris[0]}, …; via='files', root_map=)"
            )
            return self._unreadable(message, shape)
        return served

    def _unreadable(self, why: str, shape: tuple[int, ...]) -> UnreadableImages:
        return UnreadableImages(
            f"run {self._run[:8]}, stream {self._name!r}: {why}", shape
        )

    def _watched(self, key: str, served: ServedField) -> ServedField:
        """Say once if counts come back as floats."""
        if served.node.dtype != np.float64:
            return served

        def look(block: np.ndarray) -> None:
            if np.array_equal(block[:1], np.rint(block[:1])):
                self._say(
                    f"Tiled gives {key!r} as float64, though its values are whole: it "
                    f"keeps the dtype only of what declares dtype_numpy; "
                    f"dtype='uint16', or whatever the detector has, gives counts back"
                )

        served.look = look
        return served

    def _say(self, what: str) -> None:
        message = f"run {self._run[:8]}, stream {self._name!r}: {what}"
        with _SAYING:  # pixels are fetched by several threads
            if message in self._said:
                return
            self._said.add(message)
        logger.warning("%s", message)


_SAYING = threading.Lock()


class ServedField:
    """One field of a stream, fetched from the server.

    Parameters
    ----------
    node : object
        A Tiled array.
    rows : int
        How many of its rows are one event's; 0 if a row is an event.
    server : TiledServer
    """

    def __init__(self, node: Any, rows: int, server: TiledServer) -> None:
        self.node = node
        self._server = server
        self._rows = rows
        self.events = int(node.shape[0]) // (rows or 1)
        self._array: PrefetchedArray | None = None
        self.look: Any = None

    def images(self, k: int) -> EventImages:
        """Return the images of event k, from 0; they are fetched when they are read."""
        if self._array is None:
            self._array = PrefetchedArray(
                UncompressedArray(self.node, self._server, look=self.look)
            )
        first, count = k * (self._rows or 1), self._rows or 1
        return EventImages(self._array, first, first + count, whole=not self._rows)

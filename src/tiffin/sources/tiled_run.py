"""Rebuild the documents of a run that TiledWriter stored.

``run.documents()`` is not used (a server answers 406 unless configured for it), nor
``run.v1`` or ``run.v2`` (touching them changes the layout of the user's whole client).
"""

from __future__ import annotations

import heapq
import logging
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Literal

from tiffin.assemble import axis_hints
from tiffin.axes import Axes
from tiffin.display import count_text
from tiffin.errors import ReadError, SourceError
from tiffin.readers import RootMap
from tiffin.sources.prefetch import PrefetchedArray, UnreadableImages
from tiffin.sources.tiled_arrays import UncompressedSlices
from tiffin.sources.tiled_files import FileField, external_files
from tiffin.sources.tiled_server import TIMEOUT, ServerError, TiledServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
    warn: Callable[[str], object] = logger.warning,
    timeout: float = TIMEOUT,
    streams: list[Stream] | None = None,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rebuild the documents of ``client[uid]``.

    Images that the server holds are in the events, as `PrefetchedImages`. Those in
    files are stream resources: if the files can be read here ("auto"), never ("http")
    or always ("files"). A list as `streams` is filled: with it, the server is not asked
    again.
    """
    from httpx import HTTPError

    run = _as_version_3(run)
    server = TiledServer(run.context.http_client, timeout)
    try:
        yield "start", dict(run.metadata["start"])
        streams = [] if streams is None else streams
        if not streams:
            streams += [
                Stream(run, name, via, roots or RootMap(), warn, server)
                for name in server.call(lambda: [*run])
            ]
        for stream in streams:
            for descriptor in stream.descriptors:
                yield "descriptor", descriptor
            for field in stream.fields.values():
                if isinstance(field, FileField):
                    for resource in field.resources:
                        yield "stream_resource", resource
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


def _as_version_3(run: Any) -> Any:
    """Return a run in the layout of version 3, whatever the user's client shows.

    Once ``run.v2`` was used, a client shows every run in the older layout. ``run.v3``
    would change that client again, so the class is called directly.
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
        warn: Callable[[str], object],
        server: TiledServer,
    ) -> None:
        self._server = server
        self._node = server.call(lambda: run[name])
        self._run, self._name = str(run.metadata["start"]["uid"]), name
        self._via, self._roots, self._log = via, roots, warn
        self._keys = server.call(lambda: [*self._node])
        # Each configure() during the run made another descriptor.
        self.descriptors = [
            {**descriptor, "name": name, "run_start": self._run}
            for descriptor in server.call(lambda: self._node.descriptors)
        ]
        self._data_keys: dict[str, Any] = dict(self.descriptors[0]["data_keys"])
        self._columns = self._fetch_columns()
        self._counts: dict[str, int] = {}
        self.fields = {
            key: self._field(key)
            for key, data_key in self._data_keys.items()
            if key in self._keys and len(data_key.get("shape") or ()) >= 2
        }
        for descriptor in self.descriptors:
            descriptor["data_keys"] = {
                key: self._data_keys[key] if key in self.fields else value
                for key, value in descriptor["data_keys"].items()
            }

    def events(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        """Yield (time, name, document): events, and stream datums of their files."""
        times = [descriptor["time"] for descriptor in self.descriptors]
        columns = self._columns
        for k in range(self._event_count(max(self._counts.values(), default=0))):
            time = float(columns["time"][k]) if "time" in columns else times[0]
            descriptor = self.descriptors[max(bisect_right(times, time) - 1, 0)]
            seq_num = int(columns["seq_num"][k]) if "seq_num" in columns else k + 1
            data = {
                key: column[k]
                for key, column in columns.items()
                if key in self._data_keys and key not in self.fields
            }
            for key, field in self.fields.items():
                if isinstance(field, FileField):
                    datum = field.datum(k, seq_num, descriptor["uid"])
                    if datum is not None:
                        yield time, "stream_datum", datum
                elif isinstance(field, UnreadableImages):
                    data[key] = field
                elif k < self._counts[key]:
                    data[key] = field.event(k)
            event = {
                "uid": f"{descriptor['uid']}/{k + 1}",  # seq_nums may repeat
                "descriptor": descriptor["uid"],
                "seq_num": seq_num,
                "time": time,
                "data": data,
                "timestamps": dict.fromkeys(data, time),
                "filled": {},
            }
            yield time, "event", event

    def _fetch_columns(self) -> dict[str, Sequence[Any]]:
        """Fetch seq_num, time and all scalars, in one request."""
        if "seq_num" not in self._keys:
            return {}
        scalars = [
            key
            for key, data_key in self._data_keys.items()
            if not data_key.get("shape") and not data_key.get("external")
        ]
        names = [key for key in ("seq_num", "time", *scalars) if key in self._keys]
        table = self._server.call(lambda: self._node.read(names))
        return {key: table[key].values for key in names if key in table}

    def _event_count(self, otherwise: int) -> int:
        seq_nums = self._columns.get("seq_num")
        return otherwise if seq_nums is None else len(seq_nums)

    # ---- fields of images

    def _field(self, key: str) -> FileField | PrefetchedArray | UnreadableImages:
        """Choose where a field's images are read."""
        declared = tuple(int(n or 1) for n in self._data_keys[key]["shape"])
        node = self._server.call(lambda: self._node[key])
        shape: tuple[Any, ...] = getattr(node, "shape", None) or ()
        if len(shape) < 3 or None in shape or not hasattr(node, "dtype"):
            kind = type(node).__name__
            return self._unreadable(
                f"Tiled has {key!r} as a {kind}, which is not supported", declared
            )
        external = "external" in self._data_keys[key]
        # Older writers put the frames of all events on one axis, in external arrays.
        frames_on_one_axis = external and len(shape) == len(declared)
        rows = declared[0] if frames_on_one_axis else None
        events, rest = divmod(int(shape[0]), rows or 1)
        self._counts[key] = events
        expected = self._event_count(events)
        if rest or events != expected:
            return self._unreadable(
                f"Tiled has {count_text(events, 'event')} of {key!r} for {expected} of "
                f"the stream, and does not store which: export the run's documents",
                declared,
            )
        slices = UncompressedSlices(node, self._server)
        served = PrefetchedArray(slices, rows)
        if external:
            sources = self._server.call(node.data_sources)
            event_shape = declared if rows else tuple(int(n) for n in shape[1:])
            return self._external(key, sources, event_shape, served, slices)
        return served

    def _external(
        self,
        key: str,
        sources: Any,
        shape: tuple[int, ...],
        served: PrefetchedArray,
        slices: UncompressedSlices,
    ) -> FileField | PrefetchedArray | UnreadableImages:
        """Choose between an array's files and the server."""
        data_key, events = self._data_keys[key], self._counts[key]
        files = external_files(sources, shape, events, self._roots)
        if files is None:
            return served
        if self._via == "files" or (self._via == "auto" and files.seen is not None):
            try:
                field = files.field(f"{self.descriptors[0]['uid']}/{key}", key)
            except ReadError as error:
                # The server has the same files of a sequence, and knows no better.
                if self._via == "files" or files.is_sequence:
                    return self._unreadable(str(error), shape)
            else:
                if files.seen is not None and files.seen.has_more:
                    self._warn(
                        f"the file of {key!r} holds more than the "
                        f"{count_text(events, 'event')} that Tiled lists: if some "
                        f"were skipped, Tiled does not store which"
                    )
                self._data_keys[key] = {**data_key, **files.data_key}
                return field
        # The server gives the declared shape: samples last, if dims say so.
        hints = axis_hints(Axes(), key, {**data_key, "external": ""})
        if files.may_be_colour and hints.image_axes[2:] != (-1,):
            return self._unreadable(
                f"{key!r} is, or may be, in colour, and Tiled scrambles its pixels: "
                f"read it from its files ({files.uris[0]}, …; via='files', root_map=)",
                shape,
            )
        slices.files_problem = files.problem if self._via == "auto" else ""
        return served

    def _unreadable(self, why: str, shape: tuple[int, ...]) -> UnreadableImages:
        return UnreadableImages(
            f"run {self._run[:8]}, stream {self._name!r}: {why}", shape
        )

    def _warn(self, what: str) -> None:
        self._log(f"run {self._run[:8]}, stream {self._name!r}: {what}")

"""Read the files behind an external Tiled array directly, as stream resources.

Tiled keeps which files these are, and their order, but not with which event each
begins: the files are opened to find out.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tiffin.axes import COLOURS
from tiffin.display import count_text
from tiffin.errors import ReadError, TiffinError
from tiffin.readers import Asset, RootMap, Rows, find_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class FirstFile:
    """What the first file shows."""

    colour: bool
    rows_an_event: int
    """0 if the file does not show that."""
    has_more: bool
    """Whether the file holds more events than Tiled knows of."""


@dataclass(frozen=True, kw_only=True)
class ExternalFiles:
    """The files of one field."""

    mimetype: str
    uris: list[str]
    parameters: Mapping[str, Any]
    shape: tuple[int, ...]
    """Of an event: (rows, columns), or with leading axes."""
    events: int
    """How many Tiled knows of."""
    roots: RootMap

    @property
    def is_sequence(self) -> bool:
        """Whether each file is an image, or a few pages of a series."""
        return "multipart" in self.mimetype.lower()

    @property
    def seen(self) -> FirstFile | None:
        """What the first file shows; None if it can't be read here."""
        return self._look if isinstance(self._look, FirstFile) else None

    @property
    def problem(self) -> str:
        """Why the first file can't be read here, or ``""``."""
        return "" if isinstance(self._look, FirstFile) else str(self._look)

    @cached_property
    def _look(self) -> FirstFile | BaseException:
        try:
            with self._open(self.uris[0]) as rows:
                images = math.prod(rows.row_shape(0)[: -3 if rows.colour else -2])
                rows_an_event, rest = divmod(math.prod(self.shape[:-2]), images)
                count = 0 if rest else rows_an_event
                more = count and not self.is_sequence
                has_more = bool(more and _has(rows, self.events * count))
                return FirstFile(bool(rows.colour), count, has_more)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (perhaps of a plug-in)
            return error

    @property
    def may_be_colour(self) -> bool:
        """Whether the images may be in colour, which the server gives scrambled.

        Colour files have their samples last, whatever the descriptor says, but the
        server only reshapes what it reads. If the file can't be opened, three or four
        planes an event are taken for colour.
        """
        if "image/" not in self.mimetype or len(self.shape) < 3:
            return False
        if self.seen is not None:
            return self.seen.colour
        planes = math.prod(self.shape[:-2]) * self.events
        several = planes > len(self.uris)
        return self.shape[-1] in COLOURS or (several and self.shape[-3] in COLOURS)

    @property
    def data_key(self) -> dict[str, Any]:
        """What the files show of an event, in the terms of a descriptor's data key."""
        shape, dims = [*self.shape], {}
        if self.seen is not None and self.seen.colour and len(shape) > 2:
            if shape[-1] not in COLOURS:  # declared first, but stored last
                shape = [*shape[:-3], *shape[-2:], shape[-3]]
            leading = [f"axis_{n}" for n in range(len(shape) - 3)]
            dims = {"dims": [*leading, "y", "x", "rgb"]}
        return {"shape": shape, "external": "STREAM:", **dims}

    def field(self, uid: str, key: str) -> FileField:
        """Return stream resources, or raise ReadError if their events are unclear."""
        bounds, parameters = [0, self.events], {**self.parameters}
        uris = self.uris
        if self.is_sequence:
            files_per_datum, rest = divmod(len(uris), max(self.events, 1))
            if rest or not files_per_datum:
                message = (
                    f"Tiled lists {count_text(len(uris), 'file')} of {key!r} for "
                    f"{count_text(self.events, 'event')}, and does not store which"
                )
                raise ReadError(message)
            parameters |= {"uris": uris, "files_per_datum": files_per_datum}
            uris = uris[:1]
        elif len(uris) > 1:
            counts = [self._count_events(uri) for uri in uris]
            if sum(counts) != self.events:
                message = (
                    f"the files of {key!r} hold {' + '.join(map(str, counts))} events, "
                    f"but Tiled lists {self.events}"
                )
                raise ReadError(message)
            bounds = [0, *accumulate(counts)]
        resources = [
            {
                "uid": uid if len(uris) == 1 else f"{uid}/{n}",
                "data_key": key,
                "mimetype": self.mimetype,
                "uri": uri,
                "parameters": parameters,
            }
            for n, uri in enumerate(uris)
        ]
        return FileField(resources, bounds)

    def _count_events(self, uri: str) -> int:
        rows_an_event = self.seen.rows_an_event if self.seen else 0
        if not rows_an_event:
            message = f"{self.uris[0]} does not show how many of its rows are an event"
            raise ReadError(message)
        limit = self.events * rows_an_event + 1
        with self._open(uri) as rows:
            count = bisect_left(range(limit), 1, key=lambda row: not _has(rows, row))
        events, rest = divmod(count, rows_an_event)
        return events + bool(rest)  # one too many, which is then noticed

    @contextmanager
    def _open(self, uri: str) -> Iterator[Rows]:
        parameters = {**self.parameters, "uris": [uri]} if self.is_sequence else None
        asset = Asset(
            mimetype=self.mimetype,
            uri=uri,
            path=self.roots.locate(uri),
            parameters=parameters or self.parameters,
            datum_shape=self.shape,
            locate=self.roots.locate,
            allow_external=self.roots.allow_external,
        )
        rows = find_reader(self.mimetype)(asset)
        try:
            yield rows
        finally:
            rows.close()


class FileField:
    """One field of a stream, in files.

    Each stream resource counts its events from its own start; `bounds` are the events
    that they begin with, and the end.
    """

    def __init__(self, resources: list[dict[str, Any]], bounds: list[int]) -> None:
        self.resources = resources
        self._bounds = bounds

    def datum(self, k: int, seq_num: int, descriptor: str) -> dict[str, Any] | None:
        """Return the stream datum of event k, from 0; None after the last one."""
        n = bisect_right(self._bounds, k) - 1
        if n == len(self.resources):
            return None
        uid, index = self.resources[n]["uid"], k - self._bounds[n]
        return {
            "uid": f"{uid}/{index}",
            "stream_resource": uid,
            "descriptor": descriptor,
            "indices": {"start": index, "stop": index + 1},
            "seq_nums": {"start": seq_num, "stop": seq_num + 1},
        }


def external_files(
    sources: Any, shape: tuple[int, ...], events: int, roots: RootMap
) -> ExternalFiles | None:
    """Return the files behind an array; None if the server holds it itself."""
    (source, *_) = sources or [None]
    if source is None or not source.assets or source.management != "external":
        return None
    assets = sorted(source.assets, key=lambda asset: asset.num or 0)
    return ExternalFiles(
        mimetype=source.mimetype,
        uris=[_existing(asset.data_uri, roots) for asset in assets],
        parameters=dict(source.parameters or {}),
        shape=shape,
        events=events,
        roots=roots,
    )


def _has(rows: Rows, row: int) -> bool:
    try:
        rows.row_shape(row)
    except TiffinError:
        return False
    return True


def _existing(uri: str, roots: RootMap) -> str:
    """Insert the '/' that is lost if a resource path did not end with one."""
    head, _, name = uri.rpartition("/")
    cuts = (f"{head}/{name[:n]}/{name[n:]}" for n in range(1, len(name)))
    for candidate in (uri, *cuts):
        with suppress(TiffinError):
            if roots.locate(candidate).exists():
                return candidate
    return uri

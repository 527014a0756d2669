"""Stream resources: opened by the reader of their mimetype, a few kept open.

Indices count events: event k of a detector that takes n images an event has the rows
n·k to n·(k+1)-1 of its dataset, or of its sequence of files.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import ReadError, TiffinError, UnknownFormatError, did_you_mean
from tiffin.readers.layout import Span, datum_shape, span_of_event
from tiffin.readers.places import RootMap
from tiffin.readers.recent import Recent
from tiffin.readers.rows import Asset, Spanning, Storing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiffin.frames import Encoded
    from tiffin.readers.rows import Opener, Rows, Stored

__all__ = ["AssetPixels", "Assets", "opener"]

GROUP = "tiffin.readers"

OWN = {
    "application/x-hdf5": "tiffin.readers.hdf5:hdf5_rows",
    "image/tiff": "tiffin.readers.sequences:tiff_rows",
    "image/jpeg": "tiffin.readers.sequences:jpeg_rows",
    "application/x-npy": "tiffin.readers.sequences:npy_rows",
    "application/x-zarr": "tiffin.readers.zarr:ZarrRows",
    "application/zarr": "tiffin.readers.zarr:ZarrRows",
}
"""Mimetype, without ``multipart/related;type=`` → reader."""


class Assets:
    """Opens stream resources, and keeps the last few open.

    Rows are asked by one thread at a time; what tells where its bytes lie is read and
    decoded by several at once.

    Parameters
    ----------
    roots : RootMap, optional
        For files recorded on another mount.
    """

    def __init__(self, roots: RootMap | None = None) -> None:
        self._roots = roots or RootMap()
        self._open: Recent[_Opened] = Recent()
        self._lock = threading.RLock()

    def event(
        self, resource: Mapping[str, Any], index: int, announced: tuple[int, ...]
    ) -> EventRows | EventPart:
        """Give the images of one event.

        Raises
        ------
        NotYetError
            If none is there (yet). What was open is closed, to be opened anew.
        ReadError
            If they can't be read.
        """
        with self._lock:
            opened = self._opened(resource, announced)
            datum = datum_shape(announced, resource.get("parameters", {}))
            try:
                span, row_shape = opened.span(datum, index)
            except TiffinError:
                self.forget(resource)
                raise
            colour = opened.rows.colour
        source = _Source(self, resource, announced)
        if span.part is not None:
            return EventPart(source, span, row_shape)
        return EventRows(source, span.first, (span.rows, *row_shape), colour=colour)

    def read(
        self,
        resource: Mapping[str, Any],
        announced: tuple[int, ...],
        where: tuple[int, ...],
    ) -> np.ndarray:
        """Read one row, or a part of one."""
        with self._closing(resource):
            stored = self._stored(resource, announced, where)
            image = stored.read() if stored is not None else None
            if image is not None:
                return image
            with self._lock:
                row = self._opened(resource, announced).rows.read(where[0])
                part: np.ndarray = row[where[1:]]
                return part

    def encoded(
        self,
        resource: Mapping[str, Any],
        announced: tuple[int, ...],
        where: tuple[int, ...],
        takes: Callable[[str | None], bool],
    ) -> Encoded | None:
        """Give a row, or a part of one, as it is stored; None if it must be read."""
        with self._closing(resource):
            stored = self._stored(resource, announced, where, takes)
            return stored.encoded() if stored is not None else None

    def forget(self, resource: Mapping[str, Any]) -> None:
        """Close a resource; it is opened anew when it is asked for."""
        with self._lock:
            self._open.forget(resource["uid"])

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._open.close()

    @contextmanager
    def _closing(self, resource: Mapping[str, Any]) -> Iterator[None]:
        """Close what could not be read, and say which resource that was."""
        try:
            yield
        except TiffinError:
            self.forget(resource)
            raise
        except Exception as error:
            self.forget(resource)
            message = f"{resource['uri']}: {type(error).__name__}: {error}"
            raise ReadError(message) from error

    def _stored(
        self,
        resource: Mapping[str, Any],
        announced: tuple[int, ...],
        where: tuple[int, ...],
        takes: Callable[[str | None], bool] | None = None,
    ) -> Stored | None:
        with self._lock:
            storing = self._opened(resource, announced).storing
            return storing.stored(where, takes) if storing is not None else None

    def _opened(
        self, resource: Mapping[str, Any], announced: tuple[int, ...]
    ) -> _Opened:
        def open_anew() -> _Opened:
            open_asset = opener(resource["mimetype"])
            return _Opened(open_asset(self._asset(resource, announced)))

        return self._open.get(resource["uid"], open_anew)

    def _asset(self, resource: Mapping[str, Any], announced: tuple[int, ...]) -> Asset:
        parameters = resource.get("parameters", {})
        return Asset(
            mimetype=resource["mimetype"],
            uri=resource["uri"],
            path=self._roots.locate(resource["uri"]),
            parameters=parameters,
            datum_shape=datum_shape(announced, parameters),
            locate=self._roots.locate,
        )


class _Opened:
    """Rows, and what they can do: found out once, not for each event."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.storing = rows if isinstance(rows, Storing) else None
        self._spanning = rows if isinstance(rows, Spanning) else None

    def span(self, datum: tuple[int, ...], index: int) -> tuple[Span, tuple[int, ...]]:
        """Find an event's rows, and the shape of one. The first must be there."""
        if self._spanning is not None:
            first, count = self._spanning.span(index)
            return Span(first=first, rows=count), self.rows.row_shape(first)
        looked_at, shape = self._look_at(index)
        span = span_of_event(datum, shape, index)
        if span.first != looked_at:
            shape = self.rows.row_shape(span.first)
        return span, shape

    def close(self) -> None:
        """Close the rows."""
        self.rows.close()

    def _look_at(self, index: int) -> tuple[int, tuple[int, ...]]:
        try:
            return index, self.rows.row_shape(index)
        except TiffinError:
            return 0, self.rows.row_shape(0)


@dataclass(frozen=True, slots=True)
class _Source:
    """A stream resource, from which images are read by row and place in the row."""

    assets: Assets
    resource: Mapping[str, Any]
    announced: tuple[int, ...]

    def read(self, where: tuple[int, ...]) -> np.ndarray:
        return self.assets.read(self.resource, self.announced, where)

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        return self.assets.encoded(self.resource, self.announced, where, takes)


class EventRows:
    """The images of one event, each read when asked for."""

    def __init__(
        self, source: _Source, first: int, shape: tuple[int, ...], *, colour: bool
    ) -> None:
        self._source = source
        self._first = first
        self.shape = shape
        self.colour = colour

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part; the first index chooses the row."""
        keys = key if isinstance(key, tuple) else (key,)
        if not isinstance(keys[0], int):
            part: np.ndarray = np.asarray(self)[key]
            return part
        numbers = tuple(takewhile(lambda k: isinstance(k, int), keys))
        numbers = numbers[: max(len(self.shape) - 2, 1)]
        return self._source.read(self._where(numbers))[keys[len(numbers) :]]

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        """Give an image as it is stored, where that is in a codec that is taken."""
        return self._source.encoded(self._where(where), takes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        array = np.stack([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)

    def _where(self, where: tuple[int, ...]) -> tuple[int, ...]:
        return (self._first + where[0], *where[1:])


class EventPart:
    """The images of one event, in rows that hold other events' images too."""

    def __init__(self, source: _Source, span: Span, row_shape: tuple[int, ...]) -> None:
        self._source = source
        self._first = span.first
        self._before, images = span.part or (0, span.rows)
        self._lead = row_shape[: -span.image_axes]
        self.shape = (images, *row_shape[-span.image_axes :])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part; the first index chooses the image."""
        keys = key if isinstance(key, tuple) else (key,)
        if not isinstance(keys[0], int):
            part: np.ndarray = np.asarray(self)[key]
            return part
        return self._source.read(self._where(keys[0]))[keys[1:]]

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        """Give an image as it is stored, where that is in a codec that is taken."""
        return self._source.encoded((*self._where(where[0]), *where[1:]), takes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        array = np.stack([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)

    def _where(self, image: int) -> tuple[int, ...]:
        """Find the row that an image is in, and its place there."""
        row, inside = divmod(self._before + image, math.prod(self._lead))
        places = np.unravel_index(inside, self._lead) if self._lead else ()
        return (self._first + row, *map(int, places))


@dataclass(slots=True, eq=False)
class AssetPixels:
    """The images that one index of a stream datum points at."""

    assets: Assets
    resource: Mapping[str, Any]
    index: int
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    datum_shape: tuple[int, ...]
    colour: bool = False
    held: int = field(default=0, init=False)

    def open(self) -> EventRows | EventPart:
        """Find the rows; they are read one by one."""
        return self.assets.event(self.resource, self.index, self.datum_shape)


def opener(mimetype: str) -> Opener:
    """Find the reader of a mimetype: a plug-in's, or our own.

    Raises
    ------
    UnknownFormatError
        Naming the mimetype and the entry-point group.
    """
    plain = mimetype.removeprefix("multipart/related;").strip().removeprefix("type=")
    for wanted in (mimetype, plain):
        plug_in = _plug_ins().get(wanted)
        if plug_in is not None:
            return _loaded(plug_in, mimetype)
        if wanted in OWN:
            module, _, name = OWN[wanted].partition(":")
            own: Opener = getattr(import_module(module), name)
            return own
    message = (
        f"no reader for mimetype {mimetype!r}: register one in the entry-point group "
        f"{GROUP!r}"
    )
    near = did_you_mean(plain, [*OWN, *_plug_ins()])
    raise UnknownFormatError(message + near)


def _loaded(plug_in: Any, mimetype: str) -> Opener:
    try:
        loaded: Opener = plug_in.load()
    except Exception as error:
        message = (
            f"the reader for {mimetype!r} ({plug_in.value}) can't be loaded: {error}"
        )
        raise UnknownFormatError(message) from error
    return loaded


@cache
def _plug_ins() -> dict[str, Any]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}

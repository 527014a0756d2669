"""Stream resources: opened by the reader of their mimetype, a few kept open.

Indices count events: event k of a detector that takes n images an event has the rows
n·k to n·(k+1)-1 of its dataset, or of its sequence of files.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import ReadError, TiffinError, UnknownFormatError, did_you_mean
from tiffin.readers.layout import Span, datum_shape, span_of_event
from tiffin.readers.places import RootMap
from tiffin.readers.recent import Recent
from tiffin.readers.rows import Asset, Spanning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.readers.rows import Opener, Rows

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

    Parameters
    ----------
    roots : RootMap, optional
        For files recorded on another mount.
    """

    def __init__(self, roots: RootMap | None = None) -> None:
        self._roots = roots or RootMap()
        self._open: Recent[Rows] = Recent()
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
            rows = self._rows(resource, announced)
            datum = datum_shape(announced, resource.get("parameters", {}))
            try:
                span, row_shape = _span(rows, datum, index)
            except TiffinError:
                self.forget(resource)
                raise
            colour = rows.colour
        read = partial(self.read, resource, announced)
        if span.part is not None:
            return EventPart(read, span, row_shape[-span.image_axes :])
        return EventRows(read, span.first, (span.rows, *row_shape), colour=colour)

    def read(
        self, resource: Mapping[str, Any], announced: tuple[int, ...], row: int
    ) -> np.ndarray:
        """Read one row, one thread at a time."""
        with self._lock:
            try:
                return self._rows(resource, announced).read(row)
            except TiffinError:
                self.forget(resource)
                raise
            except Exception as error:
                self.forget(resource)
                message = f"{resource['uri']}: {type(error).__name__}: {error}"
                raise ReadError(message) from error

    def forget(self, resource: Mapping[str, Any]) -> None:
        """Close a resource; it is opened anew when it is asked for."""
        with self._lock:
            self._open.forget(resource["uid"])

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._open.close()

    def _rows(self, resource: Mapping[str, Any], announced: tuple[int, ...]) -> Rows:
        def open_anew() -> Rows:
            return opener(resource["mimetype"])(self._asset(resource, announced))

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


class EventRows:
    """The images of one event, each read when asked for."""

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        first: int,
        shape: tuple[int, ...],
        *,
        colour: bool,
    ) -> None:
        self._read = read
        self._first = first
        self.shape = shape
        self.colour = colour

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part; the first index chooses the row."""
        keys = key if isinstance(key, tuple) else (key,)
        if not isinstance(keys[0], int):
            part: np.ndarray = np.asarray(self)[key]
            return part
        return self._read(self._first + keys[0])[keys[1:]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        array = np.stack([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)


class EventPart:
    """The images of one event, in rows that hold other events' images too."""

    def __init__(
        self, read: Callable[[int], np.ndarray], span: Span, image: tuple[int, ...]
    ) -> None:
        self._read = read
        self._first = span.first
        self._rows = span.rows
        self._before, images = span.part or (0, span.rows)
        self._image = image
        self.shape = (images, *image)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part."""
        part: np.ndarray = np.asarray(self)[key]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        rows = [self._read(self._first + k) for k in range(self._rows)]
        flat = np.concatenate([row.reshape(-1, *self._image) for row in rows])
        array = flat[self._before : self._before + self.shape[0]]
        return np.array(array, dtype=dtype or array.dtype, copy=copy)


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


def _span(
    rows: Rows, datum: tuple[int, ...], index: int
) -> tuple[Span, tuple[int, ...]]:
    """Find an event's rows, and the shape of a row. The first must be there."""
    if isinstance(rows, Spanning):
        first, count = rows.span(index)
        span = Span(first=first, rows=count)
    else:
        span = span_of_event(datum, rows.row_shape(_look_at(rows, index)), index)
    return span, rows.row_shape(span.first)


def _look_at(rows: Rows, index: int) -> int:
    try:
        rows.row_shape(index)
    except TiffinError:
        return 0
    return index

"""Stream resources: opened by the reader of their mimetype, a few kept open.

Indices count events: event k of a detector that takes n images an event has the rows
n·k to n·(k+1)-1 of its dataset, or of its sequence of files.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import ReadError, TiffinError, UnknownFormatError, did_you_mean
from tiffin.readers.places import RootMap
from tiffin.readers.recent import Recent
from tiffin.readers.rows import Asset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.readers.rows import Opener, Rows

__all__ = ["AssetPixels", "Assets", "opener"]

GROUP = "tiffin.readers"

OWN = {
    "application/x-hdf5": "tiffin.readers.hdf5:Hdf5Rows",
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
        self, resource: Mapping[str, Any], index: int, datum_shape: tuple[int, ...]
    ) -> EventRows:
        """Give the images of one event.

        Raises
        ------
        NotYetError
            If they are not there (yet). What was open is closed, to be opened anew.
        ReadError
            If they can't be read.
        """
        with self._lock:
            rows = self._rows(resource, datum_shape)
            try:
                datum = _datum_shape(datum_shape, resource.get("parameters", {}))
                first, row_shape = _first_row(rows, datum, index)
                count = _rows_an_event(datum, row_shape)
                rows.row_shape(first + count - 1)  # the last is there, too
            except TiffinError:
                self.forget(resource)
                raise
            shape = (count, *row_shape)
            return EventRows(self, resource, datum_shape, first, shape, rows.colour)

    def read(
        self, resource: Mapping[str, Any], datum_shape: tuple[int, ...], row: int
    ) -> np.ndarray:
        """Read one row, one thread at a time."""
        with self._lock:
            try:
                return self._rows(resource, datum_shape).read(row)
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

    def _rows(self, resource: Mapping[str, Any], datum_shape: tuple[int, ...]) -> Rows:
        def open_anew() -> Rows:
            return opener(resource["mimetype"])(self._asset(resource, datum_shape))

        return self._open.get(resource["uid"], open_anew)

    def _asset(
        self, resource: Mapping[str, Any], datum_shape: tuple[int, ...]
    ) -> Asset:
        return Asset(
            mimetype=resource["mimetype"],
            uri=resource["uri"],
            path=self._roots.locate(resource["uri"]),
            parameters=resource.get("parameters", {}),
            datum_shape=_datum_shape(datum_shape, resource.get("parameters", {})),
            locate=self._roots.locate,
        )


class EventRows:
    """The images of one event, each read when asked for."""

    def __init__(
        self,
        assets: Assets,
        resource: Mapping[str, Any],
        datum_shape: tuple[int, ...],
        first: int,
        shape: tuple[int, ...],
        colour: bool,
    ) -> None:
        self._assets = assets
        self._resource = resource
        self._datum_shape = datum_shape
        self._first = first
        self.shape = shape
        self.colour = colour

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part; the first index chooses the row."""
        keys = key if isinstance(key, tuple) else (key,)
        if not isinstance(keys[0], int):
            part: np.ndarray = np.asarray(self)[key]
            return part
        number = self._first + keys[0]
        row = self._assets.read(self._resource, self._datum_shape, number)
        return row[keys[1:]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        array = np.stack([self[k] for k in range(self.shape[0])])
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

    def open(self) -> EventRows:
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


def _datum_shape(
    shape: tuple[int, ...], parameters: Mapping[str, Any]
) -> tuple[int, ...]:
    """Tell the shape of an event, images a point included."""
    images = parameters.get("multiplier") or parameters.get("frame_per_point") or 1
    if images == 1 or not shape:
        return shape
    if len(shape) == 2:
        return (int(images), *shape)
    return (int(images), *shape[1:]) if shape[0] == 1 else shape


def _first_row(
    rows: Rows, datum: tuple[int, ...], index: int
) -> tuple[int, tuple[int, ...]]:
    """Find an event's first row, and the shape of a row.

    How many rows an event has follows from their shape; that of a sequence is known
    from its files only, so the announced number leads to the first look.
    """
    guess = _rows_an_event(datum, datum[-2:])
    shape = rows.row_shape(0 if index == 0 else _look_at(rows, index * guess))
    return index * _rows_an_event(datum, shape), shape


def _look_at(rows: Rows, row: int) -> int:
    try:
        rows.row_shape(row)
    except TiffinError:
        return 0
    return row


def _rows_an_event(datum: tuple[int, ...], row_shape: tuple[int, ...]) -> int:
    lead = len(datum) - len(row_shape)
    return math.prod(datum[:lead]) if lead > 0 else 1

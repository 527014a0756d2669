"""Read stream resources, with the reader of their mimetype.

Indices count events: if a detector takes n images an event, event k has rows n·k to
n·(k+1)-1 of its dataset, or of its sequence of files.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sized
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tiffin.errors import NotYetError, ReadError, TiffinError
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.event_index import EventRows, rows_of_event
from tiffin.readers.registry import find_reader
from tiffin.readers.root_map import RootMap
from tiffin.readers.rows import Asset, stack_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.array_images import Encoded
    from tiffin.axes import ArrayHints
    from tiffin.readers.rows import HasRawImages, RawImage, Rows

    Resource = Mapping[str, Any]

logger = logging.getLogger("tiffin")

T = TypeVar("T")

MOST_ROWS = 10**7
"""No event has more: a detector at 10 kHz takes a quarter of an hour for these."""


class Assets:
    """Reads stream resources, and keeps the last few open.

    One thread at a time calls a reader, with the `lock`; raw images are decoded outside
    it. `roots` are for files recorded on another mount.
    """

    def __init__(self, roots: RootMap | None = None) -> None:
        self.lock = threading.RLock()
        self._roots = roots or RootMap()
        self._open: OpenFileCache[_OpenAsset] = OpenFileCache()
        self._warned: set[str] = set()

    def event(
        self,
        resource: Resource,
        index: int,
        hints: ArrayHints,
        events: Callable[[], int] = int,
    ) -> EventImages:
        """Return the images of one event; they are read later.

        `events` returns how many events of the resource are known. `NotYetError` is
        raised if no image is there (yet), `ReadError` if they can't be read.
        """
        if index < 0:
            message = f"{resource.get('uri')}: no event has the index {index}"
            raise ReadError(message)

        def find() -> EventImages:
            with self.lock:
                asset = self.opened(resource, hints)
                rows, row_shape = asset.event_rows(hints, index, events)
                return EventImages(self, resource, hints, rows, row_shape, asset.colour)

        return self.attempt(resource, find)

    def opened(self, resource: Resource, hints: ArrayHints) -> _OpenAsset:
        """Return the reader of a resource."""
        asset = self._open.get(resource["uid"], lambda: self._new(resource, hints))
        asset.uses += 1
        return asset

    def attempt(self, resource: Resource, action: Callable[[], T]) -> T:
        """Run an action; if something is missing, reopen the file and try once more.

        After any error the file is closed.
        """
        try:
            try:
                return action()
            except NotYetError:
                if not self.forget(resource):
                    raise
                return action()
        except TiffinError:
            self.forget(resource)
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # even a reader that exits fails only its frames
            self.forget(resource)
            message = f"{resource.get('uri')}: {type(error).__name__}: {error}"
            raise ReadError(message) from error

    def forget(self, resource: Resource) -> bool:
        """Close a resource, and return whether opening it again may find more."""
        with self.lock:
            asset = self._open.discard(resource["uid"])
            return asset is not None and asset.uses > 1

    def close(self) -> None:
        """Close all files."""
        with self.lock:
            self._open.close()
            self._warned.clear()

    def warn_of_shape(
        self, resource: Resource, shape: tuple[int, ...], declared: tuple[int, ...]
    ) -> None:
        """Warn once that images of a resource have other sizes than declared."""
        with self.lock:
            is_new = resource["uid"] not in self._warned
            self._warned.add(resource["uid"])
        if is_new:
            logger.warning(
                "%s: its reader returned an image of shape %s, but its row_shape is "
                "%s; the image is used",
                resource["uri"],
                [*shape],
                [*declared],
            )

    def _new(self, resource: Resource, hints: ArrayHints) -> _OpenAsset:
        reader = find_reader(resource["mimetype"])
        parameters: Mapping[str, Any] = resource.get("parameters") or {}
        parameters.keys()  # raises if it is not a mapping
        asset = Asset(
            mimetype=resource["mimetype"],
            uri=resource["uri"],
            path=self._roots.locate(resource["uri"]),
            parameters=parameters,
            datum_shape=hints.sizes if len(hints.sizes) > 1 else (),
            hints=hints,
            locate=self._roots.locate,
            allow_external=self._roots.allow_external,
        )
        return _OpenAsset(reader(asset))


class _OpenAsset:
    """An open reader, and its optional methods."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.uses = 0
        raw_images: Any = rows if hasattr(rows, "stored") else None
        self.raw_images: HasRawImages | None = raw_images
        self._span: Any = getattr(rows, "span", None)

    @property
    def colour(self) -> bool:
        return bool(getattr(self.rows, "colour", False))

    def event_rows(
        self, hints: ArrayHints, index: int, events: Callable[[], int]
    ) -> tuple[EventRows, tuple[int, ...]]:
        """Find an event's rows, and the shape of one; the first row must be there."""
        if self._span is not None:
            first, count = self._span(index)
            return EventRows(first=first, count=count), self._row_shape(first)
        try:
            row, shape = index, self._row_shape(index)
        except TiffinError:
            row, shape = 0, self._row_shape(0)
        rows = rows_of_event(
            hints, shape, index, colour=self.colour, rows=self._count, events=events
        )
        if rows.first != row:
            shape = self._row_shape(rows.first)
        return rows, shape

    def close(self) -> None:
        self.rows.close()

    def _count(self) -> int:
        return len(self.rows) if isinstance(self.rows, Sized) else 0

    def _row_shape(self, row: int) -> tuple[int, ...]:
        return tuple(map(int, self.rows.row_shape(row)))


class EventImages:
    """The images of one event, each read when it is asked for."""

    def __init__(
        self,
        assets: Assets,
        resource: Resource,
        hints: ArrayHints,
        rows: EventRows,
        row_shape: tuple[int, ...],
        colour: bool,
    ) -> None:
        if rows.count > MOST_ROWS:
            message = (
                f"{resource['uri']}: its parameters give an event {rows.count} rows, "
                f"which is impossible"
            )
            raise ReadError(message)
        self._assets, self._resource, self._hints = assets, resource, hints
        self.colour = colour
        self._first = rows.first
        # Axes of a row that count images, where events share rows.
        axes = len(row_shape) if rows.part is None else rows.image_axes
        self._before, images = rows.part or (0, rows.count)
        self._lead = row_shape[: len(row_shape) - axes]
        self.shape = (images, *row_shape[len(row_shape) - axes :])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part; integers at the beginning of the key choose what is read."""
        keys = key if isinstance(key, tuple) else (key,)
        where = tuple(takewhile(lambda k: isinstance(k, int), keys))
        where = where[: max(len(self.shape) - 2, 1)]
        if not where:
            part: np.ndarray = np.asarray(self)[key]
            return part
        place, shape = self._place(where), self.shape[len(where) :]
        image = self._assets.attempt(self._resource, lambda: self._read(place, shape))
        return image[keys[len(where) :]]

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        """Return an image as it is stored, if `takes` accepts its codec."""
        place = self._place(where)

        def find() -> Encoded | None:
            stored = self._stored(place, takes)
            return stored.encoded() if stored is not None else None

        return self._assets.attempt(self._resource, find)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        array = stack_images([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)

    def _stored(
        self,
        place: tuple[int, ...],
        takes: Callable[[str | None], bool] | None = None,
    ) -> RawImage | None:
        with self._assets.lock:
            raw = self._assets.opened(self._resource, self._hints).raw_images
            return raw.stored(place, takes) if raw is not None else None

    def _read(self, place: tuple[int, ...], declared: tuple[int, ...]) -> np.ndarray:
        stored = self._stored(place)
        image = stored.read() if stored is not None else None
        if image is None:
            with self._assets.lock:
                asset = self._assets.opened(self._resource, self._hints)
                image = np.asarray(asset.rows.read(place[0]))[place[1:]]
        image = np.asarray(image)
        if image.ndim != len(declared):
            message = (
                f"{self._resource['uri']}: its reader returned an array of shape "
                f"{[*image.shape]}, but its row_shape says that images have shape "
                f"{[*declared]}"
            )
            raise ReadError(message)
        if image.shape != declared:
            self._assets.warn_of_shape(self._resource, image.shape, declared)
        return image

    def _place(self, where: tuple[int, ...]) -> tuple[int, ...]:
        """Return the row that an image is in, and its index there."""
        image, *rest = map(_checked_index, where, self.shape)
        row, inside = divmod(self._before + image, math.prod(self._lead))
        lead = np.unravel_index(inside, self._lead) if self._lead else ()
        return (self._first + row, *map(int, lead), *rest)


def _checked_index(index: int, size: int) -> int:
    """Return an index from 0; beyond the end are the images of another event."""
    if not -size <= index < size:
        message = f"index {index} is out of bounds for {size} images of an event"
        raise IndexError(message)
    return index + size if index < 0 else index


@dataclass(slots=True, eq=False)
class AssetPixels:
    """The images that one index of a stream datum refers to."""

    assets: Assets
    resource: Resource
    index: int
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    hints: ArrayHints
    events: Callable[[], int] = int
    memory: int = field(default=0, init=False)

    def open(self) -> EventImages:
        """Find the images; they are read later."""
        return self.assets.event(self.resource, self.index, self.hints, self.events)

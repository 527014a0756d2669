"""Stream resources: opened by the reader of their mimetype, a few kept open.

Indices count events: event k of a detector that takes n images an event has the rows
n·k to n·(k+1)-1 of its dataset, or of its sequence of files.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sized
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tiffin.errors import NotYetError, ReadError, TiffinError
from tiffin.readers.event_rows import EventPart, EventRows
from tiffin.readers.formats import opener
from tiffin.readers.layout import Span, span_of_event
from tiffin.readers.places import RootMap
from tiffin.readers.recent import Recent
from tiffin.readers.rows import Asset, Spanning, Storing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tiffin.axes import Hints
    from tiffin.frames import Encoded
    from tiffin.readers.rows import Rows, Stored

__all__ = ["AssetPixels", "Assets", "opener"]

logger = logging.getLogger("tiffin")

T = TypeVar("T")

MOST_ROWS = 10**7
"""A detector at 10 kHz takes as many in a quarter of an hour; no event has more."""


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
        self._said: set[str] = set()

    def event(
        self,
        resource: Mapping[str, Any],
        index: int,
        announced: Hints,
    ) -> EventRows | EventPart:
        """Return the images of one event.

        Raises
        ------
        NotYetError
            If none is there (yet). What was open is closed, to be opened anew.
        ReadError
            If they can't be read.
        """
        if index < 0:
            message = f"{resource.get('uri')}: no event has the index {index}"
            raise ReadError(message)
        with self._closing(resource):
            return self._looking_again(
                resource, lambda: self._event(resource, index, announced)
            )

    def read(
        self,
        resource: Mapping[str, Any],
        announced: Hints,
        where: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> np.ndarray:
        """Read one row, or a part of one.

        Parameters
        ----------
        resource : mapping
        announced : Hints
            What is known of an event's array.
        where : tuple of int
            The row, and what is meant within it.
        shape : tuple of int
            That its reader has said it has.
        """
        with self._closing(resource):
            image = self._looking_again(
                resource, lambda: np.asarray(self._read(resource, announced, where))
            )
            if image.shape != shape:
                self._note_shape(resource, image.shape, shape)
            return image

    def encoded(
        self,
        resource: Mapping[str, Any],
        announced: Hints,
        where: tuple[int, ...],
        takes: Callable[[str | None], bool],
    ) -> Encoded | None:
        """Return a row, or a part of one, as it is stored; None if it must be read."""
        with self._closing(resource):
            stored = self._stored(resource, announced, where, takes)
            return stored.encoded() if stored is not None else None

    def forget(self, resource: Mapping[str, Any]) -> bool:
        """Close a resource; it is opened anew when it is asked for.

        Returns
        -------
        bool
            Whether it had been asked before, so that it may have grown by now.
        """
        with self._lock:
            opened = self._open.forget(resource["uid"])
            return opened is not None and opened.asked > 1

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._open.close()
            self._said.clear()

    def _event(
        self,
        resource: Mapping[str, Any],
        index: int,
        announced: Hints,
    ) -> EventRows | EventPart:
        with self._lock:
            opened = self._opened(resource, announced)
            span, row_shape = opened.span(announced, index)
            # Some know it only once they have looked into a file.
            colour = bool(getattr(opened.rows, "colour", False))
        if span.rows > MOST_ROWS:
            message = (
                f"{resource['uri']}: an event of {span.rows} rows, as its parameters "
                f"have it, is none"
            )
            raise ReadError(message)
        source = _Source(self, resource, announced)
        if span.part is not None:
            return EventPart(source, span, row_shape, colour=colour)
        shape = (span.rows, *row_shape)
        return EventRows(source, span.first, shape, colour=colour)

    def _read(
        self,
        resource: Mapping[str, Any],
        announced: Hints,
        where: tuple[int, ...],
    ) -> Any:
        stored = self._stored(resource, announced, where)
        image = stored.read() if stored is not None else None
        if image is not None:
            return image
        with self._lock:
            row = self._opened(resource, announced).rows.read(where[0])
            return np.asarray(row)[where[1:]]

    def _looking_again(self, resource: Mapping[str, Any], look: Callable[[], T]) -> T:
        """Look; what is not there in what was open, look for in what is there now."""
        try:
            return look()
        except NotYetError:
            if not self.forget(resource):
                raise
            return look()

    def _note_shape(
        self, resource: Mapping[str, Any], found: tuple[int, ...], said: tuple[int, ...]
    ) -> None:
        """Refuse what is no image; say once where sizes are others than a reader said.

        The array is right: files of a sequence may differ.
        """
        if len(found) != len(said):
            message = (
                f"{resource['uri']}: where an image of shape {[*said]} should be, its "
                f"reader gives something of shape {[*found]}"
            )
            raise ReadError(message)
        with self._lock:
            is_new = resource["uid"] not in self._said
            self._said.add(resource["uid"])
        if is_new:
            logger.warning(
                "%s: an image has shape %s, where its reader said %s: the image is "
                "right",
                resource["uri"],
                [*found],
                [*said],
            )

    @contextmanager
    def _closing(self, resource: Mapping[str, Any]) -> Iterator[None]:
        """Close what could not be read, and say which resource that was."""
        try:
            yield
        except TiffinError:
            self.forget(resource)
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in's SystemExit ends no more than this
            self.forget(resource)
            message = f"{resource.get('uri')}: {type(error).__name__}: {error}"
            raise ReadError(message) from error

    def _stored(
        self,
        resource: Mapping[str, Any],
        announced: Hints,
        where: tuple[int, ...],
        takes: Callable[[str | None], bool] | None = None,
    ) -> Stored | None:
        with self._lock:
            storing = self._opened(resource, announced).storing
            return storing.stored(where, takes) if storing is not None else None

    def _opened(self, resource: Mapping[str, Any], announced: Hints) -> _Opened:
        def open_anew() -> _Opened:
            open_asset = opener(resource["mimetype"])
            return _Opened(open_asset(self._asset(resource, announced)))

        opened = self._open.get(resource["uid"], open_anew)
        opened.asked += 1
        return opened

    def _asset(self, resource: Mapping[str, Any], announced: Hints) -> Asset:
        parameters = _parameters(resource)
        return Asset(
            mimetype=resource["mimetype"],
            uri=resource["uri"],
            path=self._roots.locate(resource["uri"]),
            parameters=parameters,
            datum_shape=announced.sizes if len(announced.sizes) > 1 else (),
            hints=announced,
            locate=self._roots.locate,
            allow_external=self._roots.allow_external,
        )


class _Opened:
    """Rows, and what they can do: found out once, not for each event."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.asked = 0
        self.storing = rows if isinstance(rows, Storing) else None
        self._spanning = rows if isinstance(rows, Spanning) else None

    def span(self, hints: Hints, index: int) -> tuple[Span, tuple[int, ...]]:
        """Find an event's rows, and the shape of one. The first must be there."""
        if self._spanning is not None:
            first, count = self._spanning.span(index)
            return Span(first=first, rows=count), self._row_shape(first)
        looked_at, shape = self._look_at(index)
        colour = bool(getattr(self.rows, "colour", False))
        rows = len(self.rows) if isinstance(self.rows, Sized) else 0
        span = span_of_event(hints, shape, index, colour=colour, rows=rows)
        if span.first != looked_at:
            shape = self._row_shape(span.first)
        return span, shape

    def close(self) -> None:
        """Close the rows."""
        self.rows.close()

    def _look_at(self, index: int) -> tuple[int, tuple[int, ...]]:
        try:
            return index, self._row_shape(index)
        except TiffinError:
            return 0, self._row_shape(0)

    def _row_shape(self, row: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.rows.row_shape(row))


@dataclass(frozen=True, slots=True)
class _Source:
    """A stream resource, from which images are read by row and place in the row."""

    assets: Assets
    resource: Mapping[str, Any]
    announced: Hints

    def read(self, where: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        return self.assets.read(self.resource, self.announced, where, shape)

    def encoded(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool]
    ) -> Encoded | None:
        return self.assets.encoded(self.resource, self.announced, where, takes)


@dataclass(slots=True, eq=False)
class AssetPixels:
    """The images that one index of a stream datum points at."""

    assets: Assets
    resource: Mapping[str, Any]
    index: int
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    hints: Hints
    events: Callable[[], int] = int
    held: int = field(default=0, init=False)

    def open(self) -> EventRows | EventPart:
        """Find the rows; they are read one by one."""
        hints = replace(self.hints, events=self.events())
        return self.assets.event(self.resource, self.index, hints)


def _parameters(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read what is said besides; raise what tells that it is no mapping."""
    parameters: Mapping[str, Any] = resource.get("parameters") or {}
    parameters.keys()
    return parameters

"""Images that are still on a Tiled server."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs, urlparse

import numpy as np

from tiffin.errors import ReadError
from tiffin.sources.tiled_server import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.sources.prefetch import PrefetchedArray
    from tiffin.sources.tiled_server import TiledServer

__all__ = ["UncompressedArray", "EventImages", "UnreadableImages"]


WAITS = (0.5, 2.0, 0.0)
"""Before a server that is busy is asked again; the last answer counts [s]."""

BUSY = (429, 502, 503, 504)
"""What one answers that may do better soon."""

LONGEST_DETAIL = 300
"""How much of a server's reason is told."""


class UncompressedArray:
    """A Tiled array whose slices are asked for uncompressed.

    By default the server compresses what it sends, at some 50 ms for 2 MB of counts;
    on a facility's network, and the more so on this machine, that is the longest part.

    Parameters
    ----------
    node : object
        A Tiled array client.
    server : TiledServer
        Asks for them.
    look : callable, optional
        Given the first block that has been fetched.
    """

    def __init__(
        self,
        node: Any,
        server: TiledServer,
        *,
        look: Callable[[np.ndarray], object] | None = None,
    ) -> None:
        self._node = node
        self._server = server
        self._look = look
        self.shape = node.shape
        self.dtype = np.dtype(node.dtype)
        self.chunks = node.chunks

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Fetch rows `start` to `stop`."""
        block = self._fetch(rows)
        look, self._look = self._look, None
        if look is not None:
            look(block)
        return block

    def _fetch(self, rows: slice) -> np.ndarray:
        shape = (rows.stop - rows.start, *self.shape[1:])
        wanted = math.prod(shape) * self.dtype.itemsize
        for wait in WAITS:
            response = self._server.ask(lambda: self._ask(rows, shape), most=wanted)
            if response.status_code not in BUSY:
                break
            time.sleep(wait)
        if not response.is_success:
            raise ServerError(f"the Tiled server refuses: {_reason(response)}")
        if len(response.content) != wanted:
            message = (
                f"the Tiled server sends {len(response.content)} bytes, where "
                f"{self.dtype}{list(shape)} takes {wanted}"
            )
            raise ServerError(message)
        return np.frombuffer(response.content, self.dtype).reshape(shape)

    def _ask(self, rows: slice, shape: tuple[int, ...]) -> Any:
        address = self._node.item["links"]["full"]
        return self._server.client.get(
            address,
            headers={"Accept": "application/octet-stream"},
            params={
                **parse_qs(urlparse(address).query),
                "slice": f"{rows.start}:{rows.stop}",
                "expected_shape": ",".join(map(str, shape)),
            },
        )


def _reason(response: Any) -> str:
    """Return a refusal's status, and what the server says of it."""
    said = f"{response.status_code} {response.reason_phrase}"
    with suppress(ValueError, AttributeError):
        detail = str(response.json().get("detail") or "")
        said += f" ({detail[:LONGEST_DETAIL]})" if detail else ""
    return said


class EventImages:
    """The images of one event, still on the server.

    Parameters
    ----------
    rows : PrefetchedArray
        A Tiled array, shape (events, ...) or (frames, rows, columns).
    first, stop : int
        Which of its rows are the event's.
    whole : bool
        Whether the event is one row; if not, its rows are frames.
    """

    def __init__(
        self, rows: PrefetchedArray, first: int, stop: int, *, whole: bool
    ) -> None:
        self._rows = rows
        self._first = first
        self._whole = whole
        lead = () if whole else (stop - first,)
        self.shape = (*lead, *rows.shape[1:])
        self.dtype = rows.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Fetch a part, as numpy slices it."""
        keys = key if isinstance(key, tuple) else (key,)
        part: np.ndarray
        if self._whole:
            part = self._rows.row(self._first)[keys]
        elif isinstance(keys[0], int):
            part = self._rows.row(self._first + keys[0])[keys[1:]]
        else:
            part = np.asarray(self)[keys]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Fetch all of it."""
        if self._whole:
            array = self._rows.row(self._first)
        else:
            array = np.stack([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)


class UnreadableImages:
    """Images that are there, and that can't be had rightly: asking says why.

    Parameters
    ----------
    reason : str
    shape : tuple of int
        As announced for an event.
    """

    def __init__(self, reason: str, shape: tuple[int, ...]) -> None:
        self._reason = reason
        self.shape = shape
        self.ndim = len(shape)

    def __str__(self) -> str:
        return self._reason

    @property
    def dtype(self) -> NoReturn:
        """Raise `ReadError`: so an export knows before any pixel is read."""
        raise ReadError(self._reason)

    def __getitem__(self, key: Any) -> NoReturn:
        """Raise `ReadError`."""
        raise ReadError(self._reason)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        """Raise `ReadError`."""
        raise ReadError(self._reason)

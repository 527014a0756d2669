"""Images that are fetched from a store when they are read, a few blocks ahead."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NoReturn

import numpy as np

from tiffin.errors import ReadError
from tiffin.sources.tiled_server import SlowServerError

BLOCK = 32 * 2**20
"""About how much one request asks for [bytes].

A server takes some 30 ms for any request, as much as for several images: with frames
of 2 MB, loopback gave 16 a second one by one, 33 in blocks of 8 MB, and 90 to 145 in
blocks of 16 to 64 MB.
"""

AHEAD = 2
"""Blocks fetched while one is read."""

CACHED = AHEAD + 2
"""Blocks in memory: the one that is read, those ahead, and one for a late thread."""

MAX_TIMEOUTS = 3
"""After this many timeouts in a row the server is not asked again."""


class PrefetchedArray:
    """Rows of a remote array, fetched in blocks of whole chunks.

    The array has ``shape``, ``dtype`` and perhaps ``chunks``; several threads slice its
    first axis. An event has several rows, or one row if `rows_per_event` is None.
    """

    def __init__(self, node: Any, rows_per_event: int | None = None) -> None:
        self._node = node
        self._rows_per_event = rows_per_event
        self.shape = tuple(int(n) for n in node.shape)
        self.dtype = np.dtype(node.dtype)
        self._block_rows = _rows_in_a_block(node)
        self._blocks: OrderedDict[tuple[int, int], Future[np.ndarray]] = OrderedDict()
        self._errors: dict[tuple[int, int], Exception] = {}
        self._timeouts = 0
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def event(self, k: int) -> PrefetchedImages:
        """Return the images of event k, from 0."""
        count = self._rows_per_event
        return PrefetchedImages(self, k * (count or 1), count)

    def row(self, k: int) -> np.ndarray:
        """Return one row, shape `shape[1:]`; fetch its block and the next ones.

        If a block fails, its rows are fetched one by one. A row that failed alone is
        not fetched again; nor is anything once the server was too slow several times.
        """
        first = k - k % self._block_rows
        try:
            row: np.ndarray = self._rows(first, self._block_rows)[k - first]
        except SlowServerError:
            raise
        except Exception:
            if self._block_rows == 1:
                raise
            row = self._rows(k, 1)[0]
        return row

    def _rows(self, first: int, count: int) -> np.ndarray:
        with self._lock:
            block = self._start(first, count)
            if count == self._block_rows:
                end = min(first + (AHEAD + 1) * count, self.shape[0])
                for ahead in range(first + count, end, count):
                    self._start(ahead, count)
            while len(self._blocks) > CACHED:
                self._blocks.popitem(last=False)
        if isinstance(block, Exception):
            raise block.with_traceback(None)
        return block.result()

    def _start(self, first: int, count: int) -> Future[np.ndarray] | Exception:
        """Start to fetch rows, unless that is done already, or has failed."""
        key = first, min(first + count, self.shape[0])
        if key in self._errors:
            return self._errors[key]
        if key not in self._blocks:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AHEAD + 1, "tiffin-prefetch")
            self._blocks[key] = self._pool.submit(self._fetch, *key)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _fetch(self, first: int, stop: int) -> np.ndarray:
        if self._timeouts >= MAX_TIMEOUTS:
            message = (
                f"the Tiled server was too slow {MAX_TIMEOUTS} times, and is not asked "
                f"again"
            )
            raise SlowServerError(message)
        try:
            rows = np.asarray(self._node[first:stop])
        except Exception as error:
            self._timeouts += isinstance(error, SlowServerError)
            self._errors[first, stop] = error
            raise
        self._timeouts = 0
        return rows


def _rows_in_a_block(node: Any) -> int:
    """Choose how many rows to ask for: whole chunks, about `BLOCK` bytes."""
    row = math.prod(node.shape[1:]) * np.dtype(node.dtype).itemsize
    rows = max(BLOCK // max(row, 1), 1)
    chunks = getattr(node, "chunks", None)
    chunk = int(chunks[0][0]) if chunks and chunks[0] else 1
    return rows // chunk * chunk if chunk <= rows else int(rows)


class PrefetchedImages:
    """The images of one event, fetched when they are read.

    They are `count` rows of an array, or one row if that is None.
    """

    def __init__(
        self, rows: PrefetchedArray, first: int, count: int | None = None
    ) -> None:
        self._rows = rows
        self._first = first
        self._is_row = count is None
        self.shape = (*(() if count is None else (count,)), *rows.shape[1:])
        self.dtype = rows.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Fetch a part, as numpy slices it."""
        keys = key if isinstance(key, tuple) else (key,)
        part: np.ndarray
        if self._is_row:
            part = self._rows.row(self._first)[keys]
        elif isinstance(keys[0], int):
            part = self._rows.row(self._first + keys[0])[keys[1:]]
        else:
            part = np.asarray(self)[keys]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Fetch everything."""
        if self._is_row:
            array = self._rows.row(self._first)
        else:
            array = np.stack([self[k] for k in range(self.shape[0])])
        return np.array(array, dtype=dtype or array.dtype, copy=copy)


class UnreadableImages:
    """Images that exist but can't be read correctly: every access raises the reason."""

    def __init__(self, reason: str, shape: tuple[int, ...]) -> None:
        self._reason = reason
        self.shape = shape
        self.ndim = len(shape)

    def __str__(self) -> str:
        return self._reason

    def _fail(self, *_: object, **__: object) -> NoReturn:
        raise ReadError(self._reason)

    __getitem__ = __array__ = _fail
    dtype = property(_fail)  # so a dry run fails, too

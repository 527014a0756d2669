"""Fetch blocks of a remote array ahead of who reads them, several at a time."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from tiffin.sources.tiled_server import SlowServerError

__all__ = ["PrefetchedArray"]

BLOCK = 32 * 2**20
"""About how much one request asks for [bytes].

A server takes some 30 ms for any request, as much as for several images: with frames
of 2 MB, loopback gave 16 a second one by one, 33 in blocks of 8 MB, and 90 to 145 in
blocks of 16 to 64 MB.
"""

AHEAD = 2
"""Blocks fetched while one is read."""

KEPT = AHEAD + 2
"""Blocks in memory: that which is read, those ahead, and one that some thread is late
with."""


PATIENCE = 3
"""How often running a server may be too slow, before it is given up."""


class PrefetchedArray:
    """A remote array's rows, in blocks that keep to its chunks.

    Parameters
    ----------
    node : object
        An array with ``shape``, ``dtype`` and perhaps ``chunks``, which gives a numpy
        array when sliced along its first axis. It is asked from several threads.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self.shape = tuple(int(n) for n in node.shape)
        self.dtype = np.dtype(node.dtype)
        self._step = _rows_a_block(node)
        self._blocks: OrderedDict[tuple[int, int], Future[np.ndarray]] = OrderedDict()
        self._failed: dict[tuple[int, int], Exception] = {}
        self._slow = 0
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def row(self, k: int) -> np.ndarray:
        """Return one row, shape `shape[1:]`; fetch its block and the next ones.

        Where a block can't be had, its rows are asked for one by one. What fails alone
        is not asked for again, and nothing is of a server that is too slow for several.
        """
        first = k // self._step * self._step
        try:
            row: np.ndarray = self._rows(first)[k - first]
        except SlowServerError:
            raise
        except Exception:
            if self._step == 1:
                raise
            row = self._rows(k, 1)[0]
        return row

    def _rows(self, first: int, count: int | None = None) -> np.ndarray:
        """Return some rows from a place on: a block's, unless their number is given."""
        key = self._key(first, count)
        with self._lock:
            error = self._failed.get(key)
            if error is None:
                wanted = self._fetch(key)
                if count is None:
                    self._fetch_ahead(first)
                while len(self._blocks) > KEPT:
                    self._blocks.popitem(last=False)
        if error is not None:
            raise error.with_traceback(None)
        try:
            rows = wanted.result()
        except Exception as failure:
            with self._lock:
                self._failed[key] = failure
                self._blocks.pop(key, None)
            raise
        return rows

    def _key(self, first: int, count: int | None = None) -> tuple[int, int]:
        return first, min(first + (count or self._step), self.shape[0])

    def _fetch_ahead(self, first: int) -> None:
        for place in range(
            first + self._step, first + (AHEAD + 1) * self._step, self._step
        ):
            key = self._key(place)
            if place < self.shape[0] and key not in self._failed:
                self._fetch(key)

    def _fetch(self, key: tuple[int, int]) -> Future[np.ndarray]:
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                AHEAD + 1, thread_name_prefix="tiffin-ahead"
            )
        self._blocks[key] = self._pool.submit(self._slice, *key)
        return self._blocks[key]

    def _slice(self, first: int, stop: int) -> np.ndarray:
        if self._slow >= PATIENCE:
            message = (
                f"the Tiled server was too slow {PATIENCE} times, and is not asked"
            )
            raise SlowServerError(message)
        try:
            rows = np.asarray(self._node[first:stop])
        except SlowServerError:
            self._slow += 1
            raise
        self._slow = 0
        return rows


def _rows_a_block(node: Any) -> int:
    """Choose how many rows to ask for: whole chunks, about `BLOCK` bytes."""
    row = math.prod(node.shape[1:]) * np.dtype(node.dtype).itemsize
    rows = max(BLOCK // max(row, 1), 1)
    chunks = getattr(node, "chunks", None)
    chunk = int(chunks[0][0]) if chunks and chunks[0] else 1
    return rows // chunk * chunk if chunk <= rows else int(rows)

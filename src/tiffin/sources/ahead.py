"""Fetch blocks of a remote array ahead of who reads them, several at a time."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

__all__ = ["AheadArray"]

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


class AheadArray:
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
        self._blocks: OrderedDict[int, Future[np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def row(self, k: int) -> np.ndarray:
        """Give one row, shape `shape[1:]`; fetch its block and the next ones."""
        number = k // self._step
        with self._lock:
            wanted = self._fetch(number)
            for ahead in range(number + 1, number + 1 + AHEAD):
                if ahead * self._step < self.shape[0]:
                    self._fetch(ahead)
            while len(self._blocks) > KEPT:
                self._blocks.popitem(last=False)
        try:
            block = wanted.result()
        except Exception:
            with self._lock:  # asked for anew when it is wanted again
                self._blocks.pop(number, None)
            raise
        row: np.ndarray = block[k - number * self._step]
        return row

    def _fetch(self, number: int) -> Future[np.ndarray]:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                AHEAD + 1, thread_name_prefix="tiffin-ahead"
            )
        first = number * self._step
        stop = min(first + self._step, self.shape[0])
        self._blocks[number] = self._pool.submit(self._slice, first, stop)
        return self._blocks[number]

    def _slice(self, first: int, stop: int) -> np.ndarray:
        return np.asarray(self._node[first:stop])


def _rows_a_block(node: Any) -> int:
    """Choose how many rows to ask for: whole chunks, about `BLOCK` bytes."""
    row = math.prod(node.shape[1:]) * np.dtype(node.dtype).itemsize
    rows = max(BLOCK // max(row, 1), 1)
    chunks = getattr(node, "chunks", None)
    chunk = int(chunks[0][0]) if chunks and chunks[0] else 1
    return rows // chunk * chunk if chunk <= rows else int(rows)

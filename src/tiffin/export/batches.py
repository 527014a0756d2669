"""Hand frames to the workers a few at a time: one by one costs more than it gains."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiffin.engine import Pool
    from tiffin.export.worker import Group, Worker

__all__ = ["Batches"]

MOST = 32
"""Groups in a batch: between 16 and 64 made no difference that could be measured."""

ENOUGH = 4 * 2**20
"""So much is worth a hand-over of its own [bytes]."""


class Batches:
    """Collects groups until there are enough for a job of the pool.

    Parameters
    ----------
    pool : Pool
    worker : Worker
    """

    def __init__(self, pool: Pool, worker: Worker) -> None:
        self._pool = pool
        self._worker = worker
        self._groups: list[Group] = []
        self._bytes = 0

    def add(self, group: Group, nbytes: int) -> None:
        """Take a group that holds so many bytes, or will; hand over what is enough."""
        self._groups.append(group)
        self._bytes += nbytes
        if len(self._groups) >= MOST or self._bytes >= ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Hand over what there is."""
        if self._groups:
            job = partial(self._worker.export, self._groups)
            nbytes, self._groups, self._bytes = self._bytes, [], 0
            self._pool.submit(nbytes, job)

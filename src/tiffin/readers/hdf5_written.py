"""Which rows of an HDF5 dataset were written, and which HDF5 makes up.

HDF5 gives the fill value for chunks never written, for rows of virtual datasets whose
source file is missing, and zeros behind the end of a file that is being written.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import ReadError
from tiffin.readers.hdf5_files import raw_files
from tiffin.readers.hdf5_filters import Filters

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Written"]

PATIENCE = 32
"""So many chunks are looked up singly before all are counted: HDF5 searches a list for
each, and a list that grows is counted ever more seldom."""

FEW_TILES = 4

DEEPEST = 8
"""So many virtual datasets may lie in each other."""


class Written:
    """Knows which rows of a dataset were written.

    Chunks are counted once; only what was not there then is looked up again. A dataset
    without chunks says no more than whether anything was written to it.

    Parameters
    ----------
    dataset : h5py.Dataset
    allowed : tuple of pathlib.Path, optional
        The folders in which raw files may lie that it takes its numbers from.
    depth : int, optional
        How many virtual datasets it lies in.

    Raises
    ------
    ReadError
        If it takes numbers from elsewhere, or its chunks are out of proportion.
    """

    def __init__(
        self, dataset: Any, allowed: tuple[Path, ...] = (), depth: int = 0
    ) -> None:
        if depth > DEEPEST:
            message = f"{dataset.file.filename}: virtual datasets lie in a circle"
            raise ReadError(message)
        self._raw_files = raw_files(dataset, allowed)
        self._dataset = dataset
        # A link may lead to another file than the one that was opened.
        self._path = Path(dataset.file.filename)
        self._growing = bool(dataset.file.swmr_mode)
        self._sources = None
        if dataset.is_virtual:
            from tiffin.readers.hdf5_virtual import Sources

            self._sources = Sources(dataset, allowed, depth)
        self.filters = None if dataset.chunks is None else Filters(dataset)
        self._filtered = self.filters is not None and bool(self.filters.ids)
        self._until = 0
        self._tiles: Counter[int] = Counter()
        self._counted = False
        self._lookups, self._patience = 0, PATIENCE

    def lacking(self, first: int, stop: int) -> str | None:
        """Say why rows `first` to `stop` - 1 are not all there; None if they are.

        Rows behind the end of the dataset are left out of account.
        """
        if stop <= self._until:
            return None
        stop = min(stop, int(self._dataset.shape[0]))
        if self._sources is not None:
            return self._sources.lacking(first, stop)
        if stop <= self._until:
            return None
        if self._dataset.chunks is None:
            return self._lacking_contiguous()
        if not self._counted:
            self._count()
        step, tiles = int(self._dataset.chunks[0]), self._tiles_a_chunk_row()
        for number in range(first // step, -(-stop // step)):
            if number * step < self._until or self._tiles[number] >= tiles:
                continue
            if not self._is_there(number, tiles):
                return "never written"
        return None

    def lacking_at_all(self) -> str | None:
        """Say why the whole dataset is not there; else check all of it."""
        rows = int(self._dataset.shape[0]) if self._dataset.shape else 0
        reason = self.lacking(0, rows)
        if reason is None:
            self.check(0, rows)
        return reason

    def check(self, first: int, stop: int) -> None:
        """Make sure that HDF5 gets of rows what their shape says, no more or less.

        Raises
        ------
        MissingLibraryError
            If a filter is not installed.
        ReadError
            If a chunk would give other bytes.
        """
        if self._sources is not None:
            self._sources.check(first, stop)
        elif self.filters is not None and self._filtered:
            step, stop = int(self._dataset.chunks[0]), min(stop, self._dataset.shape[0])
            for number in range(first // step, -(-stop // step)):
                for corner in self._corners(number):
                    self.filters.check(corner)

    def close(self) -> None:
        """Close the files of a virtual dataset."""
        if self._sources is not None:
            self._sources.close()

    def _lacking_contiguous(self) -> str | None:
        stored = self._dataset.id.get_storage_size()
        if not stored and math.prod(self._dataset.shape):
            return "never written"
        offset = self._dataset.id.get_offset()
        if offset is not None and offset + stored > self._end():
            return "behind the end of the file"
        for path, size in self._raw_files:
            if path.stat().st_size < min(size, stored):
                return f"{path} is not whole"
        self._until = self._dataset.shape[0]
        return None

    def _count(self) -> None:
        """Count the chunks: if all are there, no row need ever be looked at."""
        self._counted = True
        step, rows = int(self._dataset.chunks[0]), int(self._dataset.shape[0])
        total = -(-rows // step) * self._tiles_a_chunk_row()
        some = self._growing or self._dataset.id.get_num_chunks() != total
        if some or not self._filtered:  # what is not filtered has its full size
            self._survey()
        else:
            self._until = rows

    def _survey(self) -> None:
        step = int(self._dataset.chunks[0])
        end = self._end()
        tiles: Counter[int] = Counter()

        def note(info: Any) -> None:
            if self._is_whole(info, end):
                tiles[info.chunk_offset[0] // step] += 1

        self._dataset.id.chunk_iter(note)
        self._tiles = tiles
        self._lookups, self._patience = 0, 2 * self._patience

    def _is_there(self, number: int, tiles: int) -> bool:
        """Look again at chunks that were not there when all were counted."""
        self._lookups += 1
        if tiles > FEW_TILES or self._lookups > self._patience:
            self._survey()
            return self._tiles[number] >= tiles
        end = self._end()
        for corner in self._corners(number):
            info = self._dataset.id.get_chunk_info_by_coord(corner)
            if info.byte_offset is None or not self._is_whole(info, end):
                return False
        self._tiles[number] = tiles
        return True

    def _is_whole(self, info: Any, end: float) -> bool:
        full = self.filters is None or info.size == self.filters.chunk_bytes
        return (full or self._filtered) and info.byte_offset + info.size <= end

    def _corners(self, number: int) -> Iterator[tuple[int, ...]]:
        shape, chunks = self._dataset.shape[1:], self._dataset.chunks
        rest = (range(0, n, c) for n, c in zip(shape, chunks[1:], strict=True))
        return itertools.product((number * int(chunks[0]),), *rest)

    def _tiles_a_chunk_row(self) -> int:
        shape, chunks = self._dataset.shape[1:], self._dataset.chunks[1:]
        return math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))

    def _end(self) -> float:
        """Return where the file ends; a writer in this process may not be there yet."""
        written_here = self._dataset.file.mode != "r"
        return math.inf if written_here else self._path.stat().st_size

"""Which rows of an HDF5 dataset were written, and which HDF5 would make up.

HDF5 returns the fill value for chunks never written and for rows of virtual datasets
whose source file is missing, and zeros after the end of a file that is being written.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import NotYetError, ReadError
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.hdf5_files import Hdf5File, find_linked, raw_files
from tiffin.readers.hdf5_filters import Filters
from tiffin.readers.hdf5_virtual import VirtualMapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiffin.readers.hdf5_virtual import SourcePlace

FIRST_LOOKUPS = 32
"""How many chunks are looked up one by one before all are counted again: each lookup
may search a list. The number doubles whenever chunks are counted."""

FEW_TILES = 4

MOST_NESTED = 8
"""How many virtual datasets may lie in each other."""


class WrittenRows:
    """Knows which rows of a dataset were written.

    Chunks are counted once; later only those are looked up that were missing then. Of a
    dataset without chunks it is only known whether anything was written to it.
    """

    def __init__(
        self, dataset: Any, allowed: tuple[Path, ...] = (), depth: int = 0
    ) -> None:
        if depth > MOST_NESTED:
            message = f"{dataset.file.filename}: virtual datasets lie in a circle"
            raise ReadError(message)
        self._raw_files = raw_files(dataset, allowed)
        self._dataset = dataset
        # A link may lead to another file than the one that was opened.
        self._path = Path(dataset.file.filename)
        self._growing = bool(dataset.file.swmr_mode)
        self._sources = None
        if dataset.is_virtual:
            self._sources = VirtualSources(dataset, allowed, depth)
        self.filters = None if dataset.chunks is None else Filters(dataset)
        self._filtered = self.filters is not None and bool(self.filters.ids)
        self._chunks: tuple[int, ...] = dataset.chunks or ()  # asking h5py takes long
        self._complete_rows = 0
        self._tiles: Counter[int] = Counter()
        self._counted = False
        self._lookups, self._most_lookups = 0, FIRST_LOOKUPS

    def why_missing(self, first: int, stop: int) -> str | None:
        """Return why rows `first` to `stop` - 1 are not all there; None if they are.

        Rows after the end of the dataset are ignored.
        """
        if stop <= self._complete_rows:
            return None
        stop = min(stop, int(self._dataset.shape[0]))
        if self._sources is not None:
            return self._sources.why_missing(first, stop)
        if not self._chunks:
            return self._why_contiguous_missing()
        if not self._counted:
            self._count()
        step, tiles = self._chunks[0], self._tiles_per_chunk_row()
        for number in range(first // step, -(-stop // step)):
            if number * step < self._complete_rows or self._tiles[number] >= tiles:
                continue
            if not self._is_there(number, tiles):
                return "never written"
        return None

    def check_all(self) -> str | None:
        """Return why any row is missing; if none is, check all of them."""
        rows = int(self._dataset.shape[0]) if self._dataset.shape else 0
        reason = self.why_missing(0, rows)
        if reason is None:
            self.check(0, rows)
        return reason

    def check(self, first: int, stop: int) -> None:
        """Check that the chunks of rows give exactly the bytes of their shape."""
        if self._sources is not None:
            self._sources.check(first, stop)
        elif self.filters is not None and self._filtered:
            step, stop = self._chunks[0], min(stop, self._dataset.shape[0])
            for number in range(first // step, -(-stop // step)):
                for corner in self._corners(number):
                    self.filters.check(corner)

    def close(self) -> None:
        """Close the source files of a virtual dataset."""
        if self._sources is not None:
            self._sources.close()

    def _why_contiguous_missing(self) -> str | None:
        stored = self._dataset.id.get_storage_size()
        if not stored and math.prod(self._dataset.shape):
            return "never written"
        offset = self._dataset.id.get_offset()
        if offset is not None and offset + stored > self._file_end():
            return "after the end of the file"
        for path, size in self._raw_files:
            if path.stat().st_size < min(size, stored):
                return f"{path} is incomplete"
        self._complete_rows = self._dataset.shape[0]
        return None

    def _count(self) -> None:
        """Count the chunks; if all are there, no row has to be looked up."""
        self._counted = True
        step, rows = self._chunks[0], int(self._dataset.shape[0])
        total = -(-rows // step) * self._tiles_per_chunk_row()
        complete = not self._growing and self._dataset.id.get_num_chunks() == total
        if not complete or not self._filtered:  # unfiltered chunks may be cut off
            self._count_tiles()
            complete &= self._tiles.total() == total
        if complete:
            self._complete_rows = rows

    def _count_tiles(self) -> None:
        step, end = self._chunks[0], self._file_end()
        tiles: Counter[int] = Counter()

        def add(info: Any) -> None:
            if self._is_complete(info, end):
                tiles[info.chunk_offset[0] // step] += 1

        self._dataset.id.chunk_iter(add)
        self._tiles = tiles
        self._lookups, self._most_lookups = 0, 2 * self._most_lookups

    def _is_there(self, number: int, tiles: int) -> bool:
        """Look again at chunks that were missing when all were counted."""
        self._lookups += 1
        if tiles > FEW_TILES or self._lookups > self._most_lookups:
            self._count_tiles()
            return self._tiles[number] >= tiles
        end = self._file_end()
        for corner in self._corners(number):
            info = self._dataset.id.get_chunk_info_by_coord(corner)
            if info.byte_offset is None or not self._is_complete(info, end):
                return False
        self._tiles[number] = tiles
        return True

    def _is_complete(self, info: Any, end: float) -> bool:
        full = self.filters is None or info.size == self.filters.chunk_bytes
        return (full or self._filtered) and info.byte_offset + info.size <= end

    def _corners(self, number: int) -> Iterator[tuple[int, ...]]:
        shape, chunks = self._dataset.shape[1:], self._chunks
        rest = (range(0, n, c) for n, c in zip(shape, chunks[1:], strict=True))
        return itertools.product((number * chunks[0],), *rest)

    def _tiles_per_chunk_row(self) -> int:
        shape, chunks = self._dataset.shape[1:], self._chunks[1:]
        return math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))

    def _file_end(self) -> float:
        """Return the size of the file; a writer in this process may still buffer."""
        written_here = self._dataset.file.mode != "r"
        return math.inf if written_here else self._path.stat().st_size


class VirtualSources:
    """The source files of a virtual dataset."""

    def __init__(self, dataset: Any, allowed: tuple[Path, ...], depth: int) -> None:
        self._file = dataset.file
        self._path = Path(dataset.file.filename)
        self._allowed, self._depth = allowed, depth
        self._open: OpenFileCache[_Source] = OpenFileCache()
        self._mappings: list[VirtualMapping] = []
        self._by_row: dict[int, list[VirtualMapping]] = defaultdict(list)
        for mapping in map(VirtualMapping, dataset.virtual_sources()):
            if mapping.here.size == 1:  # there may be thousands
                self._by_row[mapping.here.start].append(mapping)
            else:
                self._mappings.append(mapping)
        try:
            # HDF5 opens the sources of unlimited datasets when it is asked for a shape.
            for mapping in self._mappings:
                if None in (mapping.here.size, mapping.there.size):
                    with suppress(NotYetError):
                        for place in mapping.files():
                            self._source(place)
            self._axes = int(dataset.ndim)
        except BaseException:
            self.close()
            raise

    def why_missing(self, first: int, stop: int) -> str | None:
        """Return why rows are not all there; None if they are."""
        for places in self._places(first, stop):
            if not places:
                return "in no file"
            for place in places:
                reason = self._why_place_missing(place)
                if reason is not None:
                    return reason
        return None

    def check(self, first: int, stop: int) -> None:
        """Check that HDF5 gets the bytes of the rows' shape from all sources."""
        for place in itertools.chain.from_iterable(self._places(first, stop)):
            source = self._source(place)
            source.written.check(*source.rows(place, self._axes))

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def _places(self, first: int, stop: int) -> Iterable[list[SourcePlace]]:
        """Return where each row lies; for a single image, where all of it lies."""
        if self._axes < 3:  # rows are lines, with gaps between their sources perhaps
            lines = itertools.chain(self._mappings, *self._by_row.values())
            return [[m.place(None) for m in lines]]
        return (
            [
                place
                for mapping in (*self._mappings, *self._by_row.get(row, ()))
                if (place := mapping.find(row)) is not None
            ]
            for row in range(first, stop)
        )

    def _why_place_missing(self, place: SourcePlace) -> str | None:
        try:
            source = self._source(place)
            first, stop = source.rows(place, self._axes)
            reason = source.written.why_missing(first, stop)
        except NotYetError as error:
            return str(error)
        name = source.dataset.file.filename
        if stop > source.length:
            return f"its source {name} holds {source.length} rows only (yet)"
        return reason and f"its source {name}: {reason}"

    def _source(self, place: SourcePlace) -> _Source:
        def open_source() -> _Source:
            file = self._file
            if place.file != ".":  # which means this file
                file = find_linked(self._path, place.file, "HDF5_VDS_PREFIX")
            return _Source(
                Hdf5File(file), place.dataset, self._allowed, self._depth + 1
            )

        return self._open.get((place.file, place.dataset), open_source)


class _Source:
    def __init__(
        self, file: Hdf5File, name: str, allowed: tuple[Path, ...], depth: int
    ) -> None:
        self._file = file
        try:
            self.dataset = file.dataset(name)
            self.written = WrittenRows(self.dataset, allowed, depth)
            self._axes = int(self.dataset.ndim)
        except BaseException:
            file.close()
            raise

    @property
    def length(self) -> int:
        return int(self.dataset.shape[0]) if self._axes else 1

    def rows(self, place: SourcePlace, axes: int) -> tuple[int, int]:
        """Return the first row that a place needs, and the one after the last."""
        if place.row is not None and axes == self._axes:
            return place.row, place.row + 1
        return place.span or (0, self.length)

    def close(self) -> None:
        self.written.close()
        self._file.close()

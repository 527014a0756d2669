"""Virtual HDF5 datasets: rows that lie in other files, and whether they are there."""

from __future__ import annotations

import itertools
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import NotYetError
from tiffin.readers.hdf5_files import Hdf5File, linked
from tiffin.readers.hdf5_written import Written
from tiffin.readers.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Sources"]


@dataclass(frozen=True, slots=True)
class _Axis:
    """The rows of a selection: `count` blocks of `block` rows, `stride` apart.

    `count` is None where there is no end.
    """

    start: int
    stride: int
    count: int | None
    block: int

    @property
    def size(self) -> int | None:
        return None if self.count is None else self.count * self.block

    @property
    def span(self) -> tuple[int, int] | None:
        return None if not self.size else (self.start, self.row(self.size - 1) + 1)

    def position(self, row: int) -> int | None:
        """Return how many selected rows are before this one; None if it is not one."""
        number, inside = divmod(row - self.start, self.stride)
        if row < self.start or inside >= self.block:
            return None
        if self.count is not None and number >= self.count:
            return None
        return number * self.block + inside

    def row(self, position: int) -> int:
        number, inside = divmod(position, self.block)
        return self.start + number * self.stride + inside


@dataclass(frozen=True, slots=True)
class _Place:
    """A row of a source; any of `span`, where it is None, or of all, without."""

    file: str
    dataset: str
    row: int | None = None
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Map:
    """Where some rows of the virtual dataset lie."""

    file: str
    dataset: str
    here: _Axis
    there: _Axis

    def place(self, row: int) -> _Place | None:
        """Return where a row lies; None if it is not one of these."""
        position, size = self.here.position(row), self.here.size
        if position is None:
            return None
        number = 0
        if self._is_numbered:  # one file a block
            number, position = divmod(position, self.here.block)
            size = self.here.block
        same = self.there.size in (None, size)
        return self._block(number, self.there.row(position) if same else None)

    def blocks(self) -> Iterator[_Place]:
        """Return all sources: one, or numbered ones without end."""
        numbers = itertools.count() if self._is_numbered else range(1)
        return map(self._block, numbers)

    def _block(self, number: int, row: int | None = None) -> _Place:
        both = (self.file, self.dataset)
        file, dataset = (text.replace("%b", str(number)) for text in both)
        return _Place(file, dataset, row, self.there.span)

    @property
    def _is_numbered(self) -> bool:
        return "%b" in self.file + self.dataset


class Sources:
    """The files that a virtual dataset is put together from.

    Parameters
    ----------
    dataset : h5py.Dataset
    allowed : tuple of pathlib.Path
        The folders in which raw files may lie.
    depth : int
        How many virtual datasets it lies in.
    """

    def __init__(self, dataset: Any, allowed: tuple[Path, ...], depth: int) -> None:
        self._file = dataset.file
        self._path = Path(dataset.file.filename)
        self._allowed, self._depth = allowed, depth
        self._open: Recent[_Source] = Recent()
        self._long: list[_Map] = []
        self._single: dict[int, list[_Map]] = defaultdict(list)
        for source in dataset.virtual_sources():
            found = _map(source)
            if found.here.size == 1:  # there may be thousands
                self._single[found.here.start].append(found)
            else:
                self._long.append(found)
        try:
            self._look_ahead()
            self._axes = int(dataset.ndim)
        except BaseException:
            self.close()
            raise

    def lacking(self, first: int, stop: int) -> str | None:
        """Say why rows are not all there; None if they are."""
        if self._axes < 3:  # between the parts of one image there may be gaps
            return self._first_lack(self._every())
        for row in range(first, stop):
            reason = self._first_lack(self._places(row))
            if reason is not None:
                return reason
        return None

    def check(self, first: int, stop: int) -> None:
        """Make sure that HDF5 gets of rows what their shape says."""
        several = range(first, stop) if self._axes >= 3 else ()
        places = [place for row in several for place in self._places(row)]
        for place in places or self._every():
            source = self._source(place)
            same = source.axes == self._axes
            source.check(place.row if same else None, place.span)

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def _look_ahead(self) -> None:
        """Look at what HDF5 opens as soon as it is asked for the shape: no end."""
        for found in self._long:
            if found.here.size is None or found.there.size is None:
                with suppress(NotYetError):
                    for place in found.blocks():
                        self._source(place)

    def _every(self) -> list[_Place]:
        every = [*self._long, *(m for maps in self._single.values() for m in maps)]
        return [_Place(m.file, m.dataset, span=m.there.span) for m in every]

    def _places(self, row: int) -> list[_Place]:
        maps = [*self._long, *self._single.get(row, ())]
        return [place for m in maps if (place := m.place(row)) is not None]

    def _first_lack(self, places: Iterable[_Place]) -> str | None:
        if not places:
            return "in no file"
        lacks = map(self._lack, places)
        return next((lack for lack in lacks if lack is not None), None)

    def _lack(self, place: _Place) -> str | None:
        try:
            source = self._source(place)
            # With other axes than here, rows do not lie in rows.
            return source.lacking(place.row if source.axes == self._axes else None)
        except NotYetError as error:
            return str(error)

    def _source(self, place: _Place) -> _Source:
        key = (place.file, place.dataset)
        return self._open.get(key, lambda: self._opened(*key))

    def _opened(self, name: str, dataset: str) -> _Source:
        own = name == "."
        file = self._file if own else linked(self._path, name, "HDF5_VDS_PREFIX")
        return _Source(Hdf5File(file), dataset, self._allowed, self._depth + 1)


class _Source:
    def __init__(
        self, file: Hdf5File, name: str, allowed: tuple[Path, ...], depth: int
    ) -> None:
        self._file = file
        try:
            self._dataset = file.dataset(name)
            self._written = Written(self._dataset, allowed, depth)
            self.axes = int(self._dataset.ndim)
        except BaseException:
            file.close()
            raise

    def lacking(self, row: int | None) -> str | None:
        first, stop = self._rows(row)
        if stop > self._count():
            return f"its source {self._name()} holds {self._count()} rows only (yet)"
        reason = self._written.lacking(first, stop)
        return reason and f"its source {self._name()}: {reason}"

    def check(self, row: int | None, span: tuple[int, int] | None) -> None:
        rows = self._rows(row) if row is not None or span is None else span
        self._written.check(*rows)

    def close(self) -> None:
        self._written.close()
        self._file.close()

    def _rows(self, row: int | None) -> tuple[int, int]:
        return (0, self._count()) if row is None else (row, row + 1)

    def _count(self) -> int:
        return int(self._dataset.shape[0]) if self.axes else 1

    def _name(self) -> str:
        return str(self._dataset.file.filename)


def _map(source: Any) -> _Map:
    here, there = _axis(source.vspace), _axis(source.src_space)
    return _Map(source.file_name, source.dset_name, here, there)


def _axis(space: Any) -> _Axis:
    """See a selection along its first axis."""
    import h5py

    if space.get_select_type() == h5py.h5s.SEL_ALL:
        # Of a source, all may mean a size that is nowhere told.
        size = next(iter(space.get_simple_extent_dims()), None)
        return _Axis(0, 1, size, 1)
    if space.is_regular_hyperslab():
        start, stride, count, block = (int(n[0]) for n in space.get_regular_hyperslab())
        if block == h5py.h5s.UNLIMITED:
            return _Axis(start, 1, None, 1)
        if count == 1:
            return _Axis(start, block, 1, block)
        endless = count == h5py.h5s.UNLIMITED
        return _Axis(start, stride, None if endless else count, block)
    low, high = (int(n[0]) for n in space.get_select_bounds())
    return _Axis(low, 1, high - low + 1, 1)

"""Virtual HDF5 datasets: rows that lie in other files, and whether they are there."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import NotYetError
from tiffin.readers.hdf5_written import Written, open_hdf5
from tiffin.readers.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def position(self, row: int) -> int | None:
        """Tell how many selected rows are before this one; None if it is not one."""
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
    """A row of a source; any, where it is None."""

    file: str
    dataset: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class _Map:
    """Where some rows of the virtual dataset lie."""

    file: str
    dataset: str
    here: _Axis
    there: _Axis

    def place(self, row: int) -> _Place | None:
        """Give where a row lies; None if it is not one of these."""
        position, size = self.here.position(row), self.here.size
        if position is None:
            return None
        file, dataset = self.file, self.dataset
        if "%b" in file + dataset:  # one file a block, numbered
            number, position = divmod(position, self.here.block)
            size = self.here.block
            file, dataset = (
                text.replace("%b", str(number)) for text in (file, dataset)
            )
        same = self.there.size in (None, size)
        return _Place(file, dataset, self.there.row(position) if same else None)


class Sources:
    """The files that a virtual dataset is put together from.

    Parameters
    ----------
    dataset : h5py.Dataset
    """

    def __init__(self, dataset: Any) -> None:
        self._file = dataset.file
        self._path = Path(dataset.file.filename)
        self._axes = int(dataset.ndim)
        self._open: Recent[_Source] = Recent()
        self._long: list[_Map] = []
        self._single: dict[int, list[_Map]] = defaultdict(list)
        for source in dataset.virtual_sources():
            found = _map(source)
            if found.here.size == 1:  # there may be thousands
                self._single[found.here.start].append(found)
            else:
                self._long.append(found)

    def lacking(self, first: int, stop: int) -> str | None:
        """Say why rows are not all there; None if they are."""
        if self._axes < 3:  # between the parts of one image there may be gaps
            every = [*self._long, *(m for maps in self._single.values() for m in maps)]
            return self._first_lack([_Place(m.file, m.dataset) for m in every])
        for row in range(first, stop):
            maps = [*self._long, *self._single.get(row, ())]
            found = [place for m in maps if (place := m.place(row)) is not None]
            reason = self._first_lack(found)
            if reason is not None:
                return reason
        return None

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def _first_lack(self, places: list[_Place]) -> str | None:
        if not places:
            return "in no file"
        lacks = map(self._lack, places)
        return next((lack for lack in lacks if lack is not None), None)

    def _lack(self, place: _Place) -> str | None:
        key = (place.file, place.dataset)
        try:
            source = self._open.get(key, lambda: self._opened(*key))
            # With other axes than here, rows do not lie in rows.
            return source.lacking(place.row if source.axes == self._axes else None)
        except NotYetError as error:
            return str(error)

    def _opened(self, name: str, dataset: str) -> _Source:
        if name == ".":
            return _Source(self._file, dataset, own=False)
        path = next((p for p in self._candidates(name) if p.is_file()), None)
        if path is None:
            message = f"its source {name} is not there (yet)"
            raise NotYetError(message)
        return _Source(open_hdf5(path), dataset)

    def _candidates(self, name: str) -> Iterator[Path]:
        """Give the places where HDF5 looks for a source."""
        beside = Path(name).name if Path(name).is_absolute() else name
        folder = self._path.parent
        prefix = os.environ.get("HDF5_VDS_PREFIX", "")
        if Path(name).is_absolute():
            yield Path(name)
        if prefix:
            yield Path(prefix.replace("${ORIGIN}", str(folder))) / beside
        yield folder / beside
        yield Path(name)
        yield self._path.resolve().parent / beside


class _Source:
    def __init__(self, file: Any, name: str, *, own: bool = True) -> None:
        self._file = file if own else None
        self._dataset = file.get(name)
        if self._dataset is None:
            self.close()
            message = f"its source {file.filename} has no dataset {name!r} (yet)"
            raise NotYetError(message)
        self.axes = int(self._dataset.ndim)
        self._written = Written(self._dataset)

    def lacking(self, row: int | None) -> str | None:
        rows = int(self._dataset.shape[0]) if self.axes else 1
        first, stop = (0, rows) if row is None else (row, row + 1)
        if stop > rows:
            return f"its source {self._name()} holds {rows} rows only (yet)"
        reason = self._written.lacking(first, stop)
        return reason and f"its source {self._name()}: {reason}"

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

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

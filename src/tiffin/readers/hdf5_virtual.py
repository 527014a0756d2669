"""Where the rows of a virtual HDF5 dataset lie in its source files."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class SourcePlace(NamedTuple):
    """A row of a source; without `row`, any of `span`, or else of all rows."""

    file: str
    dataset: str
    row: int | None = None
    span: tuple[int, int] | None = None


class _Selection(NamedTuple):
    """Selected rows: so many `blocks`, of `block` rows each, `stride` apart.

    `blocks` is None if there is no end.
    """

    start: int
    stride: int
    blocks: int | None
    block: int

    @property
    def size(self) -> int | None:
        return None if self.blocks is None else self.blocks * self.block

    @property
    def span(self) -> tuple[int, int] | None:
        return None if not self.size else (self.start, self.row(self.size - 1) + 1)

    def position(self, row: int) -> int | None:
        """Return how many selected rows come before this one; None if it is not one."""
        number, inside = divmod(row - self.start, self.stride)
        if row < self.start or inside >= self.block:
            return None
        if self.blocks is not None and number >= self.blocks:
            return None
        return number * self.block + inside

    def row(self, position: int) -> int:
        number, inside = divmod(position, self.block)
        return self.start + number * self.stride + inside


class VirtualMapping:
    """Where some rows of a virtual dataset lie, as h5py gives it."""

    def __init__(self, source: Any) -> None:
        self._file, self._dataset = source.file_name, source.dset_name
        self.here, self.there = _selection(source.vspace), _selection(source.src_space)
        # Whether each block lies in a file of its own.
        self._is_numbered = "%b" in self._file + self._dataset

    def find(self, row: int) -> SourcePlace | None:
        """Return where a row lies; None if this mapping does not have it."""
        position, size = self.here.position(row), self.here.size
        if position is None:
            return None
        number = 0
        if self._is_numbered:
            number, position = divmod(position, self.here.block)
            size = self.here.block
        same = self.there.size in (None, size)
        return self.place(self.there.row(position) if same else None, number)

    def files(self) -> Iterator[SourcePlace]:
        """Return all sources: one, or numbered ones without end."""
        numbers = itertools.count() if self._is_numbered else range(1)
        return (self.place(None, number) for number in numbers)

    def place(self, row: int | None, number: int | None = None) -> SourcePlace:
        """Return the place of a row, in the numbered file of a block."""
        file, dataset = self._file, self._dataset
        if number is not None:
            file = file.replace("%b", str(number))
            dataset = dataset.replace("%b", str(number))
        return SourcePlace(file, dataset, row, self.there.span)


def _selection(space: Any) -> _Selection:
    """Return which rows a dataspace selects, along its first axis."""
    import h5py

    if space.get_select_type() == h5py.h5s.SEL_ALL:
        # For a source, the size may be recorded nowhere.
        size = next(iter(space.get_simple_extent_dims()), None)
        return _Selection(0, 1, size, 1)
    if space.is_regular_hyperslab():
        start, stride, count, block = (int(n[0]) for n in space.get_regular_hyperslab())
        if block == h5py.h5s.UNLIMITED:
            return _Selection(start, 1, None, 1)
        if count == 1:
            return _Selection(start, block, 1, block)
        endless = count == h5py.h5s.UNLIMITED
        return _Selection(start, stride, None if endless else count, block)
    low, high = (int(n[0]) for n in space.get_select_bounds())
    return _Selection(low, 1, high - low + 1, 1)

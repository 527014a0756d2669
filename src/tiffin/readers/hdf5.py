"""Stream resources in HDF5 files: chunked, compressed, or still being written."""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import NotYetError, ReadError
from tiffin.readers.hdf5_files import Hdf5File
from tiffin.readers.hdf5_raw import LARGEST_BLOCK, raw_rows
from tiffin.readers.hdf5_written import Written
from tiffin.readers.rows import refuse_negative
from tiffin.readers.sequences import FileSequence
from tiffin.readers.slices import parsed_slice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiffin.readers.rows import Asset, Rows, Stored

__all__ = ["Hdf5Rows", "hdf5_rows"]

BLOCKS_KEPT = 2


def hdf5_rows(asset: Asset) -> Rows:
    """Open a dataset; with a ``template``, one spread over numbered files."""
    # ophyd-async once called it so.
    name = str(asset.parameters.get("dataset") or asset.parameters.get("path") or "")
    said = asset.parameters.get("slice")
    if not asset.parameters.get("template"):
        return Hdf5Rows(asset.path, name, parsed_slice(said), asset.allow_external)
    if said:
        message = (
            f"{asset.uri}: a 'slice' of a dataset in several files is not understood"
        )
        raise ReadError(message)
    allowed = asset.allow_external
    return FileSequence(asset, lambda path: Hdf5Pages(path, name, (), allowed))


class Hdf5Rows:
    """The rows of one HDF5 dataset.

    Rows that lie in one chunk are decoded together, once. A row that nothing has been
    written to is not there yet: HDF5 alone would give its fill value.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        Of the dataset.
    part : tuple of int, slice or Ellipsis, optional
        The part of the dataset that is meant, its rows first.
    allowed : tuple of pathlib.Path, optional
        The folders in which raw files may lie that it takes its numbers from.
    """

    colour = False

    def __init__(
        self,
        path: Path,
        name: str,
        part: tuple[Any, ...] = (),
        allowed: tuple[Path, ...] = (),
    ) -> None:
        self._path = path
        self._name = name
        self._blocks: OrderedDict[int, np.ndarray] = OrderedDict()
        with ExitStack() as failing:
            file = Hdf5File(path)
            failing.callback(file.close)
            self._dataset = file.dataset(name)
            self._written = Written(self._dataset, allowed)
            failing.callback(self._written.close)
            self._look_at(part)
            self._closing = failing.pop_all()

    def _look_at(self, part: tuple[Any, ...]) -> None:
        if not self._dataset.shape:
            message = f"{self._path}: {self._name!r} holds no image, but a single value"
            raise ReadError(message)
        self._raw = raw_rows(self._dataset, self._written.filters)
        self._rows_a_block = _rows_a_block(self._dataset)
        self._one_image = self._dataset.ndim == 2
        of_rows = not self._one_image and isinstance(next(iter(part), ...), slice)
        self._chosen: slice = part[0] if of_rows else slice(None)
        self._part = part[1:] if of_rows else part
        self._measure()

    def __len__(self) -> int:
        return len(self._range)

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one row."""
        self._need(row)
        shape = self._shape[1:]
        if not self._part:
            return shape
        return self._within(np.broadcast_to(np.uint8(0), shape)).shape

    def read(self, row: int) -> np.ndarray:
        """Read one row."""
        self._need(row)
        stored = self.stored((row,))
        image = stored.read() if stored is not None else None
        return self._read_by_hdf5(row) if image is None else image

    def stored(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool] | None = None
    ) -> Stored | None:
        """Find where an image lies, to be read beside HDF5."""
        if self._raw is None or self._part:
            return None
        if takes is not None and not self._raw.passes(takes):
            return None
        self._need(where[0])
        row = self._range[where[0]]
        if self._lacking(row, row + 1) is not None:
            return None
        return self._raw.stored((row, *where[1:]), whole=takes is not None)

    def _read_by_hdf5(self, row: int) -> np.ndarray:
        row = self._range[row]
        first = row - row % self._rows_a_block
        if first not in self._blocks:
            self._keep(first, self._read_block(first))
        block = self._blocks[first]
        if row - first >= len(block):  # written since the block was read
            block = self._read_block(first)
            self._keep(first, block)
        return self._within(block[row - first])

    def close(self) -> None:
        """Close the file."""
        self._blocks.clear()
        with suppress(Exception):  # it is only let go
            self._closing.close()

    def _within(self, row: np.ndarray) -> np.ndarray:
        if not self._part:
            return row
        try:
            part: np.ndarray = row[self._part]
        except IndexError as error:
            message = f"{self._path}: 'slice' does not fit {self._name!r}: {error}"
            raise ReadError(message) from error
        return part

    def _measure(self) -> None:
        """Note the shape: asking HDF5 for each row would wait for other threads."""
        shape = tuple(int(n) for n in self._dataset.shape)
        self._shape = (1, *shape) if self._one_image else shape
        # The rows of the dataset that are meant.
        self._range = range(self._shape[0])[self._chosen]

    def _need(self, row: int) -> None:
        """Make sure that a row is in the dataset, looking again if it has grown."""
        if 0 <= row < len(self._range):
            return
        refuse_negative(row, self._path)
        with suppress(Exception):  # a dataset that can't be refreshed is as it was
            self._dataset.refresh()
        self._measure()
        if row >= len(self):
            message = (
                f"{self._path} holds {len(self)} rows in {self._name!r}, "
                f"number {row + 1} is not there (yet)"
            )
            raise NotYetError(message)

    def _read_block(self, first: int) -> np.ndarray:
        stop = min(first + self._rows_a_block, self._shape[0])
        # Asked before reading: what comes in between is read, or asked for again.
        reason = self._lacking(first, stop)
        if reason is not None:
            message = (
                f"{self._path}: rows {first} to {stop - 1} of {self._name!r} are not "
                f"there (yet): {reason}"
            )
            raise NotYetError(message)
        self._written.check(*self._whole(first, stop))
        try:
            return _read(self._dataset, first, stop)
        except OSError as error:
            message = f"{self._path} can't be read (yet): {error}"
            raise NotYetError(message) from error

    def _lacking(self, first: int, stop: int) -> str | None:
        """Say why rows are not all there; None if they are."""
        return self._written.lacking(*self._whole(first, stop))

    def _whole(self, first: int, stop: int) -> tuple[int, int]:
        """Return rows of the dataset: those of a single image are its own."""
        return (0, self._shape[1]) if self._one_image else (first, stop)

    def _keep(self, first: int, block: np.ndarray) -> None:
        self._blocks[first] = block
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)


class Hdf5Pages(Hdf5Rows):
    """The rows of a dataset that is one of many, each in a file of its own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row."""
        return self._shape[1:]


def _read(dataset: Any, first: int, stop: int) -> np.ndarray:
    """Let HDF5 read rows, into memory that nobody has filled before."""
    one_image = dataset.ndim == 2
    if dataset.dtype.kind not in "uif":
        read = np.asarray(dataset[()] if one_image else dataset[first:stop])
        return read[np.newaxis] if one_image else read
    shape = dataset.shape if one_image else (stop - first, *dataset.shape[1:])
    block = np.empty(shape, dataset.dtype)
    if block.size:
        dataset.read_direct(block, None if one_image else np.s_[first:stop])
    return block[np.newaxis] if one_image else block


def _rows_a_block(dataset: Any) -> int:
    if dataset.chunks is None or dataset.ndim < 3:
        return 1
    rows = int(dataset.chunks[0])
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    return rows if rows * row_bytes <= LARGEST_BLOCK else 1

"""Stream resources in HDF5 files: chunked, compressed, or still being written."""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, NotYetError, ReadError

if TYPE_CHECKING:
    from tiffin.readers.rows import Asset

__all__ = ["Hdf5Rows"]

LARGEST_BLOCK = 64 * 2**20
"""Chunks of several frames are decoded once, if not larger than this [bytes]."""

BLOCKS_KEPT = 2


class Hdf5Rows:
    """The rows of one HDF5 dataset.

    Rows that lie in one chunk are decoded together, once. A row that nothing has been
    written to is not there yet: HDF5 alone would give zeros.
    """

    colour = False

    def __init__(self, asset: Asset) -> None:
        self._path = asset.path
        self._name = str(asset.parameters.get("dataset") or "")
        if asset.parameters.get("slice") or asset.parameters.get("template"):
            message = f"{self._path}: 'slice' and 'template' of HDF5 are not understood"
            raise ReadError(message)
        self._blocks: OrderedDict[int, np.ndarray] = OrderedDict()
        self._file = _open_file(self._path)
        self._dataset = self._find()
        self._rows_a_block = _rows_a_block(self._dataset)

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Tell the shape of one row."""
        self._need(row)
        return self._shape()[1:]

    def read(self, row: int) -> np.ndarray:
        """Read one row."""
        self._need(row)
        first = row - row % self._rows_a_block
        if first not in self._blocks:
            self._keep(first, self._read_block(first))
        block = self._blocks[first]
        if row - first >= len(block):  # written since the block was read
            block = self._read_block(first)
            self._keep(first, block)
        image: np.ndarray = block[row - first]
        return image

    def close(self) -> None:
        """Close the file."""
        self._blocks.clear()
        with suppress(Exception):  # it is only let go
            self._file.close()

    def _find(self) -> Any:
        dataset = self._file.get(self._name or "/")
        if dataset is None:
            self.close()
            message = f"{self._path} has no dataset {self._name!r} (yet)"
            raise NotYetError(message)
        if not hasattr(dataset, "dtype"):
            self.close()
            message = f"{self._path}: {self._name!r} is a group, not a dataset"
            raise ReadError(message)
        return dataset

    def _shape(self) -> tuple[int, ...]:
        shape = tuple(int(n) for n in self._dataset.shape)
        return (1, *shape) if len(shape) == 2 else shape

    def _need(self, row: int) -> None:
        """Make sure that a row is in the dataset, looking again if it has grown."""
        if row < self._shape()[0]:
            return
        with suppress(Exception):  # a dataset that can't be refreshed is as it was
            self._dataset.id.refresh()
        if row >= self._shape()[0]:
            message = (
                f"{self._path} holds {self._shape()[0]} rows in {self._name!r}, "
                f"number {row + 1} is not there (yet)"
            )
            raise NotYetError(message)

    def _read_block(self, first: int) -> np.ndarray:
        stop = min(first + self._rows_a_block, self._shape()[0])
        try:
            if self._dataset.ndim == 2:
                block = np.asarray(self._dataset[()])[np.newaxis]
            else:
                block = np.asarray(self._dataset[first:stop])
        except OSError as error:
            message = f"{self._path} can't be read (yet): {error}"
            raise NotYetError(message) from error
        # While a file is written to, HDF5 gives zeros for what is not there yet.
        if (self._file.swmr_mode or not block.any()) and self._is_unwritten(
            first, stop
        ):
            message = (
                f"{self._path}: rows {first} to {stop - 1} of {self._name!r} have not "
                f"been written (yet)"
            )
            raise NotYetError(message)
        return block

    def _is_unwritten(self, first: int, stop: int) -> bool:
        """Whether HDF5 makes the zeros up: chunks never written, or behind the end."""
        size = self._path.stat().st_size
        if self._dataset.chunks is None:
            stored = self._dataset.id.get_storage_size()
            offset = self._dataset.id.get_offset()
            return not stored or (offset is not None and offset + stored > size)
        step = self._dataset.chunks[0]
        rest = (0,) * (self._dataset.ndim - 1)
        for row in range(first - first % step, stop, step):
            info = self._dataset.id.get_chunk_info_by_coord((row, *rest))
            if info.byte_offset is None or info.byte_offset + info.size > size:
                return True
        return False

    def _keep(self, first: int, block: np.ndarray) -> None:
        self._blocks[first] = block
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)


def _open_file(path: Any) -> Any:
    try:
        import h5py

        with suppress(ImportError):
            import hdf5plugin  # noqa: F401 (registers the codecs of detectors)
    except ImportError as error:
        message = f"HDF5 needs h5py: pip install 'tiffin[hdf5]' ({error})"
        raise MissingLibraryError(message) from error
    # Plainly first: only so is a truncated file refused. One that another process is
    # writing to opens as SWMR only.
    try:
        return h5py.File(path, "r")
    except OSError as error:
        refusal = error
    try:
        if "truncated" not in str(refusal):
            return h5py.File(path, "r", swmr=True)
    except OSError:
        pass
    message = f"{path} can't be opened (yet): {refusal}"
    raise NotYetError(message) from refusal


def _rows_a_block(dataset: Any) -> int:
    if dataset.chunks is None or dataset.ndim < 3:
        return 1
    rows = int(dataset.chunks[0])
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    return rows if rows * row_bytes <= LARGEST_BLOCK else 1

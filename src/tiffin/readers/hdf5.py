"""Stream resources in HDF5 files: chunked, compressed, or still being written."""

from __future__ import annotations

import math
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import NotYetError, ReadError
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.file_sequences import FileSequence
from tiffin.readers.hdf5_chunks import LARGEST_CHUNK, find_chunks
from tiffin.readers.hdf5_completeness import WrittenRows
from tiffin.readers.hdf5_files import Hdf5File
from tiffin.readers.rows import refuse_negative

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import EllipsisType

    from tiffin.readers.hdf5_chunks import ChunkImage
    from tiffin.readers.rows import Asset, Rows

    SliceItem = int | slice | EllipsisType

CACHED_BLOCKS = 2


def hdf5_rows(asset: Asset) -> Rows:
    """Open a dataset; with a ``template``, one spread over numbered files."""
    # Early versions of ophyd-async called it "path".
    name = str(asset.parameters.get("dataset") or asset.parameters.get("path") or "")
    part, allowed = asset.parameters.get("slice"), asset.allow_external
    if not asset.parameters.get("template"):
        return Hdf5Rows(asset.path, name, parse_slice(part), allowed)
    if part:
        message = (
            f"{asset.uri}: a 'slice' of a dataset in several files is not understood"
        )
        raise ReadError(message)
    return FileSequence(asset, lambda path: Hdf5Rows(path, name, (), allowed))


class Hdf5Rows:
    """The rows of one HDF5 dataset.

    Rows in one chunk are decoded together, once. A row that was never written is not
    there yet, although HDF5 would return its fill value. `part` is the part of the
    dataset to read, its rows first; `allowed` are the folders in which external raw
    storage may lie.
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
        self._blocks: OpenFileCache[np.ndarray] = OpenFileCache(CACHED_BLOCKS)
        with ExitStack() as files:
            file = Hdf5File(path)
            files.callback(file.close)
            self._dataset = file.dataset(name)
            self._written = WrittenRows(self._dataset, allowed)
            files.callback(self._written.close)
            self._set_up(part)
            self._files = files.pop_all()

    def _set_up(self, part: tuple[Any, ...]) -> None:
        if not self._dataset.shape:
            message = f"{self._path}: {self._name!r} holds no image, but a single value"
            raise ReadError(message)
        self._chunks = find_chunks(self._dataset, self._written.filters)
        self._rows_per_block = _rows_per_block(self._dataset)
        self.has_images = self._dataset.ndim > 1
        self._is_one_image = self._dataset.ndim == 2
        has_rows = not self._is_one_image and isinstance(next(iter(part), ...), slice)
        self._row_slice: slice = part[0] if has_rows else slice(None)
        self._part = part[1:] if has_rows else part
        self._measure()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row of the dataset."""
        return self._shape[1:]

    def __len__(self) -> int:
        return len(self._range)

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one row."""
        self._require(row)
        if not self._part:
            return self.shape
        return self._cut(np.broadcast_to(np.uint8(0), self.shape)).shape

    def read(self, row: int) -> np.ndarray:
        """Read one row."""
        self._require(row)
        stored = self.stored((row,))
        return self._read_by_hdf5(row) if stored is None else stored.read()

    def stored(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool] | None = None
    ) -> ChunkImage | None:
        """Find an image in its chunk."""
        if self._chunks is None or self._part:
            return None
        if takes is not None and not self._chunks.can_skip_decoding(takes):
            return None
        self._require(where[0])
        row = self._range[where[0]]
        if self._why_missing(row, row + 1) is not None:
            return None
        return self._chunks.find((row, *where[1:]), undecoded=takes is not None)

    def close(self) -> None:
        """Close the file."""
        self._blocks.close()
        with suppress(Exception):  # nothing more is read from it
            self._files.close()

    def _read_by_hdf5(self, row: int) -> np.ndarray:
        row = self._range[row]
        first = row - row % self._rows_per_block
        block = self._blocks.get(first, lambda: self._read_block(first))
        if row - first >= len(block):  # written since it was read
            self._blocks.discard(first)
            block = self._blocks.get(first, lambda: self._read_block(first))
        return self._cut(block[row - first])

    def _cut(self, row: np.ndarray) -> np.ndarray:
        if not self._part:
            return row
        try:
            part: np.ndarray = row[self._part]
        except IndexError as error:
            message = f"{self._path}: 'slice' does not fit {self._name!r}: {error}"
            raise ReadError(message) from error
        return part

    def _measure(self) -> None:
        """Store the shape: asking HDF5 for each row would wait for other threads."""
        shape = tuple(int(n) for n in self._dataset.shape)
        self._shape = (1, *shape) if self._is_one_image else shape
        self._range = range(self._shape[0])[self._row_slice]

    def _require(self, row: int) -> None:
        """Raise if a row is not in the dataset, even if that has grown."""
        if 0 <= row < len(self._range):
            return
        refuse_negative(row, self._path)
        with suppress(Exception):  # a dataset that can't be refreshed stays as it was
            self._dataset.refresh()
        self._measure()
        if row >= len(self):
            message = (
                f"{self._path} holds {len(self)} rows in {self._name!r}, "
                f"number {row + 1} is not there (yet)"
            )
            raise NotYetError(message)

    def _read_block(self, first: int) -> np.ndarray:
        stop = min(first + self._rows_per_block, self._shape[0])
        # Checked before reading: a row that is written in between is read again later.
        reason = self._why_missing(first, stop)
        if reason is not None:
            message = (
                f"{self._path}: rows {first} to {stop - 1} of {self._name!r} are not "
                f"there (yet): {reason}"
            )
            raise NotYetError(message)
        self._written.check(*self._dataset_rows(first, stop))
        rows = () if self._is_one_image else np.s_[first:stop]
        try:
            block = np.asarray(self._dataset[rows])
        except OSError as error:
            message = f"{self._path} can't be read (yet): {error}"
            raise NotYetError(message) from error
        return block[np.newaxis] if self._is_one_image else block

    def _why_missing(self, first: int, stop: int) -> str | None:
        return self._written.why_missing(*self._dataset_rows(first, stop))

    def _dataset_rows(self, first: int, stop: int) -> tuple[int, int]:
        """Return rows of the dataset: those of a single image are its lines."""
        return (0, self._shape[1]) if self._is_one_image else (first, stop)


def parse_slice(given: Any) -> tuple[SliceItem, ...]:
    """Parse the parameter ``slice``: text as numpy writes it, or a list of such.

    Examples
    --------
    >>> parse_slice("2:, 0, ...")
    (slice(2, None, None), 0, Ellipsis)
    >>> parse_slice(None), parse_slice(("5:20", ":"))
    ((), (slice(5, 20, None), slice(None, None, None)))
    """
    if not given:
        return ()
    text = given if isinstance(given, str) else ",".join(map(str, given))
    parts = text.strip().strip("[]()").rstrip(",").split(",")
    try:
        items = tuple(_slice_item(part.strip()) for part in parts)
    except ValueError as error:
        message = f"the slice {given!r} is not understood: {error}"
        raise ReadError(message) from error
    rows = items[0]
    forwards = isinstance(rows, slice) and (rows.step or 1) > 0
    if not forwards and rows is not Ellipsis:
        message = (
            f"the slice {given!r} is not understood: its first axis must go forward"
        )
        raise ReadError(message)
    return items


def _slice_item(text: str) -> SliceItem:
    if text == "...":
        return Ellipsis
    if ":" not in text:
        return int(text)
    return slice(*(int(part) if part.strip() else None for part in text.split(":")))


def _rows_per_block(dataset: Any) -> int:
    if dataset.chunks is None or dataset.ndim < 3:
        return 1
    rows = int(dataset.chunks[0])
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    return rows if rows * row_bytes <= LARGEST_CHUNK else 1

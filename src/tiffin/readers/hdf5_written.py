"""Which rows of an HDF5 dataset were written, and which HDF5 makes up.

HDF5 gives the fill value for chunks never written, for rows of virtual datasets whose
source file is missing, and zeros behind the end of a file that is being written.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingLibraryError, NotYetError
from tiffin.readers.places import not_there

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Written", "open_hdf5"]

PATIENCE = 32
"""So many chunks are looked up singly before all are counted: HDF5 searches a list for
each, and a list that grows is counted ever more seldom."""

FEW_TILES = 4


def open_hdf5(path: Path) -> Any:
    """Open an HDF5 file to be read, also while it is written to.

    Raises
    ------
    NotYetError
        If it is not there, or not whole.
    """
    try:
        import h5py

        with suppress(ImportError):
            import hdf5plugin  # noqa: F401 (registers the codecs of detectors)
    except ImportError as error:
        message = f"HDF5 needs h5py: pip install 'tiffin[hdf5]' ({error})"
        raise MissingLibraryError(message) from error
    if not path.exists():
        raise not_there(path)
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


class Written:
    """Knows which rows of a dataset were written.

    Chunks are counted once; only what was not there then is looked up again. A dataset
    without chunks says no more than whether anything was written to it.

    Parameters
    ----------
    dataset : h5py.Dataset
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        # A link may lead to another file than the one that was opened.
        self._path = Path(dataset.file.filename)
        self._growing = bool(dataset.file.swmr_mode)
        self._sources = None
        if dataset.is_virtual:
            from tiffin.readers.hdf5_virtual import Sources

            self._sources = Sources(dataset)
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

    def close(self) -> None:
        """Close the files of a virtual dataset."""
        if self._sources is not None:
            self._sources.close()

    def _lacking_contiguous(self) -> str | None:
        stored = self._dataset.id.get_storage_size()
        if not stored and math.prod(self._dataset.shape):
            return "never written"
        offset = self._dataset.id.get_offset()
        if self._growing and offset is not None and offset + stored > self._size():
            return "behind the end of the file"
        for name, start, size in self._dataset.external or ():
            if self._is_short(name, start + min(size, stored)):
                return f"{name} is not whole"
        self._until = self._dataset.shape[0]
        return None

    def _is_short(self, name: str, size: int) -> bool:
        """Whether a file of raw numbers is too short; a missing one HDF5 refuses."""
        places = (self._path.parent / name, Path(name))
        sizes = [path.stat().st_size for path in places if path.is_file()]
        return bool(sizes) and max(sizes) < size

    def _count(self) -> None:
        """Count the chunks: if all are there, no row need ever be looked at."""
        self._counted = True
        step, rows = int(self._dataset.chunks[0]), int(self._dataset.shape[0])
        total = -(-rows // step) * self._tiles_a_chunk_row()
        if self._growing or self._dataset.id.get_num_chunks() != total:
            self._survey()
        else:
            self._until = rows

    def _survey(self) -> None:
        step = int(self._dataset.chunks[0])
        size = self._size() if self._growing else math.inf
        tiles: Counter[int] = Counter()

        def note(info: Any) -> None:
            if info.byte_offset + info.size <= size:
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
        size = self._size() if self._growing else math.inf
        for corner in self._corners(number):
            info = self._dataset.id.get_chunk_info_by_coord(corner)
            if info.byte_offset is None or info.byte_offset + info.size > size:
                return False
        self._tiles[number] = tiles
        return True

    def _corners(self, number: int) -> Iterator[tuple[int, ...]]:
        shape, chunks = self._dataset.shape[1:], self._dataset.chunks
        rest = (range(0, n, c) for n, c in zip(shape, chunks[1:], strict=True))
        return itertools.product((number * int(chunks[0]),), *rest)

    def _tiles_a_chunk_row(self) -> int:
        shape, chunks = self._dataset.shape[1:], self._dataset.chunks[1:]
        return math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))

    def _size(self) -> int:
        return self._path.stat().st_size

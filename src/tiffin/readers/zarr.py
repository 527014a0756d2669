"""Stream resources in Zarr arrays, version 2 or 3."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, NotYetError, ReadError
from tiffin.readers.places import not_there
from tiffin.readers.regular import check_regular
from tiffin.readers.room import check_room
from tiffin.readers.rows import refuse_negative
from tiffin.readers.zarr_chunks import check_chunks, check_codecs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiffin.readers.rows import Asset

__all__ = ["ZarrRows"]

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class ZarrRows:
    """The rows of one Zarr array."""

    colour = False

    def __init__(self, asset: Asset) -> None:
        try:
            import zarr
        except ImportError as error:
            message = f"Zarr needs its library: pip install 'tiffin[all]' ({error})"
            raise MissingLibraryError(message) from error
        self._path = asset.path
        if not asset.path.exists():
            raise not_there(asset.path)
        name = str(
            asset.parameters.get("dataset") or asset.parameters.get("path") or ""
        )
        _check_files(asset.path, name)
        try:
            found = zarr.open(str(asset.path), mode="r")
            node: Any = found
            if name.strip("/"):
                node = node[name.strip("/")]
        except (OSError, KeyError, ValueError) as error:
            message = f"{asset.path} is no Zarr array with {name!r} (yet): {error}"
            raise NotYetError(message) from error
        if not isinstance(node, zarr.Array):
            message = f"{asset.path} is a Zarr group: 'dataset' must name an array"
            raise ReadError(message)
        check_codecs(asset.path, node)
        self._array = node
        self._announced = math.prod(asset.datum_shape) if asset.datum_shape else 0

    def __len__(self) -> int:
        return self._shape()[0]

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one row."""
        self._need(row)
        return self._shape()[1:]

    def read(self, row: int) -> np.ndarray:
        """Read one row."""
        self._need(row)
        absent = next(
            (key for key in self._keys(row) if not self._is_stored(key)), None
        )
        if absent is not None:
            message = (
                f"{self._path}: chunk {absent!r} of row {row} is not there (yet); if "
                f"Zarr left it out because it is empty, it must be written with "
                f"write_empty_chunks=True"
            )
            raise NotYetError(message)
        self._check_room(row)
        return np.asarray(
            self._array[()] if self._array.ndim == 2 else self._array[row]
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _shape(self) -> tuple[int, ...]:
        shape = tuple(int(n) for n in self._array.shape)
        return (1, *shape) if len(shape) == 2 else shape

    def _need(self, row: int) -> None:
        refuse_negative(row, self._path)
        if row >= self._shape()[0]:
            message = (
                f"{self._path} holds {self._shape()[0]} rows, number {row + 1} is not "
                f"there (yet)"
            )
            raise NotYetError(message)

    def _keys(self, row: int) -> Iterator[str]:
        """Return the names of the chunks that a row is in; of shards, if there are."""
        array = self._array
        sizes = [
            -(-int(n) // int(c))
            for n, c in zip(array.shape, array.shards or array.chunks, strict=True)
        ]
        ranges = [range(n) for n in sizes]
        if array.ndim > 2:
            first = row // int((array.shards or array.chunks)[0])
            ranges[0] = range(first, first + 1)
        return map(array.metadata.encode_chunk_key, itertools.product(*ranges))

    def _check_room(self, row: int) -> None:
        """Refuse a row, or a chunk, too large for what is stored of it."""
        array = self._array
        if not self._path.is_dir():
            return
        folder = self._path / array.path
        keys = list(self._keys(row))
        sizes = [(folder / key).stat().st_size for key in keys]
        itemsize = int(array.dtype.itemsize)
        shape = self._shape()[1:]
        check_room(self._path, shape, itemsize, sum(sizes), self._announced)
        check_room(self._path, array.chunks, itemsize, max(sizes), self._announced)
        for key in keys:
            check_chunks(folder / key, array, row)

    def _is_stored(self, key: str) -> bool:
        from zarr.core.sync import sync
        from zarr.storage import LocalStore

        place = self._array.store_path / key
        if isinstance(place.store, LocalStore):  # many times faster so
            return (place.store.root / place.path).is_file()
        return bool(sync(place.exists()))


def _check_files(path: Path, name: str) -> None:
    """Refuse what is neither folder nor file, and metadata that are no files."""
    if not path.is_dir():
        check_regular(path)
        return
    folders = [path]
    for part in name.strip("/").split("/"):
        folders.append(folders[-1] / part)
    for folder, file in itertools.product(folders, METADATA):
        if (folder / file).exists():
            check_regular(folder / file)

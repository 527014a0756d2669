"""Stream resources in Zarr arrays, version 2 or 3."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import NotYetError, ReadError, optional_import
from tiffin.readers.file_checks import check_image_size, check_regular
from tiffin.readers.root_map import missing_file_error
from tiffin.readers.rows import FixedRows
from tiffin.readers.zarr_chunks import check_chunks, check_codecs

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.readers.rows import Asset

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class ZarrRows(FixedRows):
    """The rows of one Zarr array."""

    def __init__(self, asset: Asset) -> None:
        with optional_import("Zarr needs its library", extra="all"):
            import zarr
        if not asset.path.exists():
            raise missing_file_error(asset.path)
        name = str(
            asset.parameters.get("dataset") or asset.parameters.get("path") or ""
        )
        _check_files(asset.path, name)
        try:
            node: Any = zarr.open(str(asset.path), mode="r")
            if name.strip("/"):
                node = node[name.strip("/")]
        except (OSError, KeyError, ValueError) as error:
            message = f"{asset.path} is no Zarr array with {name!r} (yet): {error}"
            raise NotYetError(message) from error
        if not isinstance(node, zarr.Array):
            message = f"{asset.path} is a Zarr group: 'dataset' must name an array"
            raise ReadError(message)
        check_codecs(asset.path, node)
        shape = tuple(int(n) for n in node.shape)
        self._is_one_image = len(shape) == 2
        count, *rest = (1, *shape) if self._is_one_image else shape
        super().__init__(asset.path, count, tuple(rest))
        self._array: Any = node
        # Chunks are in files of their own; with shards, several in a file.
        self._per_file = tuple(map(int, node.shards or node.chunks))
        self._declared = math.prod(asset.datum_shape) if asset.datum_shape else 0

    def _read(self, row: int) -> np.ndarray:
        keys = self._keys(row)
        for key in keys:
            if not self._is_stored(key):
                message = (
                    f"{self._path}: chunk {key!r} of row {row} is not there (yet); if "
                    f"Zarr left it out because it is empty, it must be written with "
                    f"write_empty_chunks=True"
                )
                raise NotYetError(message)
        if self._path.is_dir():
            self._check_sizes(row, keys)
        return np.asarray(self._array[()] if self._is_one_image else self._array[row])

    def _keys(self, row: int) -> list[str]:
        """Return the names of the chunks, or shards, that a row is in."""
        array = self._array
        counts = zip(array.shape, self._per_file, strict=True)
        ranges = [range(-(-int(n) // size)) for n, size in counts]
        if array.ndim > 2:
            first = row // self._per_file[0]
            ranges[0] = range(first, first + 1)
        return [*map(array.metadata.encode_chunk_key, itertools.product(*ranges))]

    def _check_sizes(self, row: int, keys: list[str]) -> None:
        """Refuse a row, or a chunk, too large for what is stored of it."""
        array, path, declared = self._array, self._path, self._declared
        files = [path / array.path / key for key in keys]
        stored = [file.stat().st_size for file in files]
        itemsize = int(array.dtype.itemsize)
        check_image_size(path, self.shape, itemsize, sum(stored), declared)
        check_image_size(path, array.chunks, itemsize, max(stored), declared)
        for file in files:
            check_chunks(file, array, row)

    def _is_stored(self, key: str) -> bool:
        from zarr.core.sync import sync
        from zarr.storage import LocalStore

        place = self._array.store_path / key
        if isinstance(place.store, LocalStore):  # many times faster
            return bool((place.store.root / place.path).is_file())
        return bool(sync(place.exists()))


def _check_files(path: Path, name: str) -> None:
    """Refuse an array that is neither folder nor file, and special files in it."""
    if not path.is_dir():
        check_regular(path)
        return
    folders = [path]
    for part in name.strip("/").split("/"):
        folders.append(folders[-1] / part)
    for folder, file in itertools.product(folders, METADATA):
        if (folder / file).exists():
            check_regular(folder / file)

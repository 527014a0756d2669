"""Stream resources in Zarr arrays, version 2 or 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingLibraryError, NotYetError, ReadError

if TYPE_CHECKING:
    from tiffin.readers.rows import Asset

__all__ = ["ZarrRows"]


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
        name = str(
            asset.parameters.get("dataset") or asset.parameters.get("path") or ""
        )
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
        self._array = node

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Tell the shape of one row."""
        self._need(row)
        return self._shape()[1:]

    def read(self, row: int) -> np.ndarray:
        """Read one row."""
        self._need(row)
        image = self._array[()] if self._array.ndim == 2 else self._array[row]
        array = np.asarray(image)
        if not array.any() and not self._array.nchunks_initialized:
            message = f"{self._path}: no chunk has been written (yet)"
            raise NotYetError(message)
        return array

    def close(self) -> None:
        """Nothing is held open."""

    def _shape(self) -> tuple[int, ...]:
        shape = tuple(int(n) for n in self._array.shape)
        return (1, *shape) if len(shape) == 2 else shape

    def _need(self, row: int) -> None:
        if row >= self._shape()[0]:
            message = (
                f"{self._path} holds {self._shape()[0]} rows, number {row + 1} is not "
                f"there (yet)"
            )
            raise NotYetError(message)

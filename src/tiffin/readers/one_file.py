"""The images of a file that a user names: a dark, a flat field, a mask."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiffin.errors import ReadError
from tiffin.readers.event_rows import stacked
from tiffin.readers.hdf5_files import Hdf5File
from tiffin.readers.hdf5_written import Written
from tiffin.readers.image_files import read_npy, read_tiff

if TYPE_CHECKING:
    from tiffin.readers.sequences import Pages

__all__ = ["read_images"]

HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


def read_images(path: str) -> np.ndarray:
    """Read all images of a file.

    Parameters
    ----------
    path : str
        A TIFF or NPY file, or ``file.h5:/path/of/dataset``.

    Returns
    -------
    ndarray, shape (images, rows, columns) [counts]
        In its own dtype.

    Raises
    ------
    ReadError
        If it can't be read, or holds no images.
    """
    file, _, dataset = path.partition(":")
    suffix = Path(file).suffix.lower()
    if suffix in HDF5:
        return _read_hdf5(Path(file), dataset)
    if suffix == ".npy":
        return _whole(read_npy(Path(path)))
    if suffix in (".tif", ".tiff"):
        return _whole(read_tiff(Path(path)))
    message = f"{path!r} must be a .tif or .npy file, or file.h5:/path/of/dataset"
    raise ReadError(message)


def _whole(pages: Pages) -> np.ndarray:
    with closing(pages):
        return stacked([pages.read(k) for k in range(len(pages))])


def _read_hdf5(path: Path, dataset: str) -> np.ndarray:
    if not dataset:
        message = f"{path} is HDF5: name the dataset, as in '{path}:/entry/data'"
        raise ReadError(message)
    with closing(Hdf5File(path)) as file:
        found = file.dataset(dataset)
        written = Written(found)
        with closing(written):
            if found.ndim < 2:
                message = f"{path} holds no images in {dataset!r}"
                raise ReadError(message)
            rows = int(found.shape[0])
            lacking = written.lacking(0, rows)
            if lacking is not None:
                message = f"{path}: images of {dataset!r} are not there: {lacking}"
                raise ReadError(message)
            written.check(0, rows)
            array = np.asarray(found[()])
    return array.reshape(-1, *array.shape[-2:])

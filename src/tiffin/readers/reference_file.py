"""Read a file that a user names: a dark, a flat field, a mask."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from tiffin.errors import NotYetError, ReadError, did_you_mean
from tiffin.readers.hdf5 import Hdf5Rows
from tiffin.readers.image_files import read_npy, read_tiff
from tiffin.readers.rows import stack_images

HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


def read_images(path: str) -> np.ndarray:
    """Read all images of a TIFF or NPY file, or ``file.h5:/path/of/dataset``.

    The shape is (images, rows, columns). `ReadError` is raised if there are none.
    """
    file, _, dataset = path.partition(":")
    suffix = Path(file).suffix.lower()
    if suffix in HDF5:
        return _read_hdf5(Path(file), dataset)
    if suffix not in (".npy", ".tif", ".tiff"):
        message = f"{path!r} must be a .tif or .npy file, or file.h5:/path/of/dataset"
        raise ReadError(message)
    _check_there(Path(path))
    pages = read_npy(Path(path)) if suffix == ".npy" else read_tiff(Path(path))
    with closing(pages):
        return stack_images([pages.read(k) for k in range(len(pages))])


def _read_hdf5(path: Path, dataset: str) -> np.ndarray:
    if not dataset:
        message = f"{path} is HDF5: name the dataset, as in '{path}:/entry/data'"
        raise ReadError(message)
    _check_there(path)
    with closing(Hdf5Rows(path, dataset)) as rows:
        if not rows.has_images or not len(rows):
            message = f"{path} holds no images in {dataset!r}"
            raise ReadError(message)
        try:
            array = np.stack([rows.read(k) for k in range(len(rows))])
        except NotYetError as error:
            message = f"{path}: images of {dataset!r} are not there: {error}"
            raise ReadError(message) from error
    return array.reshape(-1, *array.shape[-2:])


def _check_there(path: Path) -> None:
    if path.exists():
        return
    folder = path.absolute().parent
    hint = ""
    if folder.is_dir():
        names = [each.name for each in folder.iterdir()]
        hint = did_you_mean(path.name, names, list_all=False)
    raise ReadError(f"there is no file {path.name} in {folder}{hint}")

"""A handler of a resource, and the checks of what it returns."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.dtypes import refuse_masked
from tiffin.errors import NotYetError, ReadError
from tiffin.readers.eiger import EigerHandler
from tiffin.readers.file_checks import LARGEST_IMAGE, check_regular
from tiffin.readers.hdf5_completeness import WrittenRows
from tiffin.readers.hdf5_files import Hdf5File, check_references, is_hdf5
from tiffin.readers.image_files import tiff_samples
from tiffin.readers.lazy_arrays import LazyReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.readers.eiger import EigerSeries

MOST_SAMPLES = 5
"""A last axis up to this long may hold the samples of a pixel: CMYK with alpha."""

TRUSTED = "area_detector_handlers."
"""Its handlers slice one dataset in a known way, but slowly: they make dask arrays of
each event. Those of other packages may do anything."""


class ColourArray(np.ndarray):
    """An array whose last axis holds the samples of a colour."""

    colour = True


class OpenHandler:
    """A handler, and which rows of its HDF5 file were never written."""

    def __init__(self, handler: Any, allowed: tuple[Path, ...] = ()) -> None:
        self.handler = handler
        self._allowed = allowed
        self.uses = 0
        self._lazy = LazyReader(allowed)
        self._checked_files: set[Path] = set()
        self._dataset: Any = None

    def read(
        self, datum_kwargs: Mapping[str, Any]
    ) -> tuple[np.ndarray | EigerSeries, dict[int, str]]:
        """Return the images of a datum, and why rows of them are missing."""
        self.uses += 1
        self._lazy.checked.clear()
        if isinstance(self.handler, EigerHandler):
            series = self.handler(**datum_kwargs)
            return series, getattr(series, "missing", {})
        files = self._files(datum_kwargs)
        sliced = self._sliced(datum_kwargs)
        missing = self._missing_rows(sliced, files)
        try:
            given = _single_image(sliced)
            trusted = type(self.handler).__module__.startswith(TRUSTED)
            if given is None and sliced and trusted and not missing:
                given = _slice(*sliced)
            if given is None:
                given = self.handler(**datum_kwargs)
            refuse_masked(given)
            _check_size(given)
            array, never_written = self._lazy.read(given)
        except OSError as error:
            if not missing:
                raise
            raise NotYetError(next(iter(missing.values()))) from error
        return _marked_colour(array, files), never_written | missing

    def close(self) -> None:
        """Close the handler, if it can be closed."""
        self._lazy.close()
        close = getattr(self.handler, "close", None)
        if callable(close):
            close()

    def _files(self, datum_kwargs: Mapping[str, Any]) -> list[Path]:
        """Return the files that a handler says it reads, after checking them."""
        get_file_list = getattr(self.handler, "get_file_list", None)
        if not callable(get_file_list):
            return []
        files = [Path(str(name)) for name in get_file_list([datum_kwargs])]
        for path in files:
            if path.exists():
                check_regular(path)
                if path not in self._checked_files:
                    check_references(path, self._allowed)
                    self._checked_files.add(path)
        return files

    def _sliced(self, datum_kwargs: Mapping[str, Any]) -> tuple[Any, int, int] | None:
        """Return dataset, first row and number of rows of a datum.

        This works only for handlers with `_file`, `_key` and `_fpp`, as those of
        area-detector-handlers that slice one dataset.
        """
        file: Any = getattr(self.handler, "_file", None)
        key: Any = getattr(self.handler, "_key", None)
        number: Any = getattr(self.handler, "_fpp", None)
        point: Any = datum_kwargs.get("point_number")
        known = isinstance(number, int) and isinstance(point, int)
        if not known or not isinstance(key, str) or not hasattr(file, "swmr_mode"):
            return None
        if not self._dataset:  # or if the handler has closed its file
            with closing(Hdf5File(file)) as checked:  # names a file that a link lacks
                if not checked.dataset(key).shape:
                    message = f"{file.filename}: {key!r} holds no image"
                    raise ReadError(message)
            self._dataset = file[key]
        return self._dataset, number * point, number

    def _missing_rows(
        self, sliced: tuple[Any, int, int] | None, files: list[Path]
    ) -> dict[int, str]:
        """Return why rows of a datum were never written: HDF5 would make them up."""
        if sliced is None:
            reasons = self._missing_files(files)
        else:
            dataset, first, number = sliced
            if dataset.ndim == 2:
                reasons = {0: self._lazy.written(dataset).check_all()}
            else:
                reasons = {
                    k: self._lazy.why_missing(dataset, first + k, first + k + 1)
                    for k in range(number)
                }
        return {k: reason for k, reason in reasons.items() if reason is not None}

    def _missing_files(self, files: list[Path]) -> dict[int, str | None]:
        """Return which of several files, each with one image, lack theirs."""
        key: Any = getattr(self.handler, "_key", None)
        reasons: dict[int, str | None] = {}
        if isinstance(key, str) and not hasattr(self.handler, "_file"):
            for k, path in enumerate(files):
                if path.exists() and is_hdf5(path):
                    with closing(Hdf5File(path)) as file:
                        written = WrittenRows(file.dataset(key), self._allowed)
                        with closing(written):
                            reasons[k] = written.check_all()
        return reasons


def _single_image(sliced: tuple[Any, int, int] | None) -> np.ndarray | None:
    """Return the image of a dataset without an axis to slice; None if it has one."""
    dataset, first, number = sliced or (None, 0, 1)
    if dataset is None or dataset.ndim != 2:
        return None
    if (first, number) != (0, 1):
        message = (
            f"{dataset.file.filename} holds a single image, of shape "
            f"{[*dataset.shape]}: images {first} to {first + number - 1} are not "
            f"there (yet)"
        )
        raise NotYetError(message)
    return np.asarray(dataset[()])[np.newaxis]


def _slice(dataset: Any, first: int, number: int) -> np.ndarray | None:
    """Return rows of a dataset, if all are there."""
    if first + number > dataset.shape[0]:
        return None
    _check_size(dataset)
    return np.asarray(dataset[first : first + number])


def _marked_colour(array: np.ndarray, files: list[Path]) -> np.ndarray:
    """Put samples last, and mark the array, if the handler's file is a colour TIFF."""
    may_be = array.ndim > 3 or (array.ndim == 3 and array.shape[-1] <= MOST_SAMPLES)
    if not may_be or not files or files[0].suffix.lower() not in (".tif", ".tiff"):
        return array
    samples = tiff_samples(files[0])
    if samples is None:
        return array
    last = np.moveaxis(array, -3, -1) if samples == "first" else array
    return last.view(ColourArray)


def _check_size(given: Any) -> None:
    """Refuse lazy images over 4 GiB before they are computed."""
    shape, dtype = getattr(given, "shape", ()), getattr(given, "dtype", None)
    if len(shape) >= 2 and isinstance(dtype, np.dtype):
        size = math.prod(shape[-2:]) * dtype.itemsize
        if size >= LARGEST_IMAGE:
            message = f"an image of shape {[*shape[-2:]]} has {size} bytes, over 4 GiB"
            raise ReadError(message)

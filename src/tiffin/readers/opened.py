"""A handler that was made for a resource, and what is checked of what it gives."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.dtypes import refuse_masked
from tiffin.errors import NotYetError, ReadError
from tiffin.readers.eiger import EigerHandler
from tiffin.readers.hdf5_files import Hdf5File
from tiffin.readers.hdf5_reach import check_reach, is_hdf5
from tiffin.readers.hdf5_written import Written
from tiffin.readers.image_files import tiff_samples
from tiffin.readers.regular import check_regular
from tiffin.readers.room import LARGEST
from tiffin.readers.watched import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.readers.eiger import EigerSeries

__all__ = ["Coloured", "Opened"]

MOST_SAMPLES = 5
"""So many numbers a pixel are looked into: CMYK with alpha."""


KNOWN = "area_detector_handlers."
"""Whose handlers slice one dataset in the way that is known; others may differ."""


class Coloured(np.ndarray):
    """An array whose last axis holds the samples of a colour."""

    colour = True


class Opened:
    """A handler, and what its file tells of rows never written, if it is HDF5.

    Parameters
    ----------
    handler : object
    allowed : tuple of pathlib.Path, optional
        The folders in which raw files may lie that an HDF5 file names as its pixels.
    """

    def __init__(self, handler: Any, allowed: tuple[Path, ...] = ()) -> None:
        self.handler = handler
        self._allowed = allowed
        self.asked = 0
        self._watch = Watch(allowed)
        self._looked_at: set[Path] = set()

    def read(
        self, datum_kwargs: Mapping[str, Any]
    ) -> tuple[np.ndarray | EigerSeries, dict[int, str]]:
        """Return what the handler gives for a datum, and which rows the file lacks."""
        self.asked += 1
        if isinstance(self.handler, EigerHandler):
            images = self.handler(**datum_kwargs)
            return images, getattr(images, "lacking", {})
        files = self._files(datum_kwargs)
        lacking = self._lacking(datum_kwargs, files)
        try:
            given = self._single(datum_kwargs)
            if given is None:
                given = self.handler(**datum_kwargs)
            refuse_masked(given)
            _check_size(given)
            if not lacking and self._is_known(datum_kwargs):  # and so looked at
                return self._coloured(np.asarray(given), files), {}
            array, unwritten = self._watch.read(given)
        except OSError as error:
            if not lacking:
                raise
            raise NotYetError(next(iter(lacking.values()))) from error
        return self._coloured(array, files), unwritten | lacking

    def _is_known(self, datum_kwargs: Mapping[str, Any]) -> bool:
        """Whether a handler is sure to read the rows that `_sliced` tells."""
        known = type(self.handler).__module__.startswith(KNOWN)
        return known and self._sliced(datum_kwargs) is not None

    def _coloured(self, array: np.ndarray, files: list[Path]) -> np.ndarray:
        """See samples last, where the handler's file is a TIFF that has some."""
        may_be = array.ndim > 3 or (array.ndim == 3 and array.shape[-1] <= MOST_SAMPLES)
        if not may_be or not files or files[0].suffix.lower() not in (".tif", ".tiff"):
            return array
        samples = tiff_samples(files[0])
        if samples is None:
            return array
        last = np.moveaxis(array, -3, -1) if samples == "first" else array
        return last.view(Coloured)

    def _files(self, datum_kwargs: Mapping[str, Any]) -> list[Path]:
        """Return the files that a handler says it reads.

        A pipe or a device among them is refused, and HDF5 that reaches outside.
        """
        names = getattr(self.handler, "get_file_list", None)
        if not callable(names):
            return []
        files = [Path(str(name)) for name in names([datum_kwargs])]
        for path in files:
            if path.exists():
                check_regular(path)
                if path not in self._looked_at:
                    check_reach(path, self._allowed)
                    self._looked_at.add(path)
        return files

    def _sliced(self, datum_kwargs: Mapping[str, Any]) -> tuple[Any, int, int] | None:
        """Return dataset, first row and number of rows of a datum.

        Only handlers that slice one dataset are known, by what all of them have.
        """
        file: Any = getattr(self.handler, "_file", None)
        key: Any = getattr(self.handler, "_key", None)
        number: Any = getattr(self.handler, "_fpp", None)
        point: Any = datum_kwargs.get("point_number")
        known = isinstance(number, int) and isinstance(point, int)
        if not known or not isinstance(key, str) or not hasattr(file, "swmr_mode"):
            return None
        if self.asked == 1:
            with closing(Hdf5File(file)) as looked:  # which says what a link lacks
                if not looked.dataset(key).shape:
                    message = f"{file.filename}: {key!r} holds no image"
                    raise ReadError(message)
        return file[key], number * point, number

    def _single(self, datum_kwargs: Mapping[str, Any]) -> np.ndarray | None:
        """Return the image of a dataset without an axis to slice; None if it has one.

        Raises
        ------
        NotYetError
            If more is asked for.
        """
        dataset, first, number = self._sliced(datum_kwargs) or (None, 0, 1)
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

    def _lacking(
        self, datum_kwargs: Mapping[str, Any], files: list[Path]
    ) -> dict[int, str]:
        """Say which rows of a datum were never written: HDF5 would make them up."""
        sliced = self._sliced(datum_kwargs)
        if sliced is None:
            return self._lacking_among(files)
        dataset, first, number = sliced
        written = self._watch.written(dataset)
        if dataset.ndim == 2:
            reason = written.lacking_at_all()
            return {} if reason is None else {0: reason}
        reasons = (
            self._watch.lacking(written, first + k, first + k + 1)
            for k in range(number)
        )
        return {k: reason for k, reason in enumerate(reasons) if reason is not None}

    def _lacking_among(self, files: list[Path]) -> dict[int, str]:
        """Say which of several files has no image, where each is to have one."""
        key: Any = getattr(self.handler, "_key", None)
        if not isinstance(key, str) or hasattr(self.handler, "_file"):
            return {}
        found = {
            k: self._lacking_in(path, key)
            for k, path in enumerate(files)
            if path.exists() and is_hdf5(path)
        }
        return {k: why for k, why in found.items() if why is not None}

    def _lacking_in(self, path: Path, key: str) -> str | None:
        """Say why a dataset that is read as a whole is not all there."""
        with closing(Hdf5File(path)) as file:
            written = Written(file.dataset(key), self._allowed)
            with closing(written):
                return written.lacking_at_all()

    def close(self) -> None:
        """Close the handler, if it can be closed."""
        self._watch.close()
        close = getattr(self.handler, "close", None)
        if callable(close):
            close()


def _check_size(given: Any) -> None:
    """Refuse images over 4 GiB before they are calculated, where they are lazy."""
    shape, dtype = getattr(given, "shape", ()), getattr(given, "dtype", None)
    if len(shape) >= 2 and isinstance(dtype, np.dtype):
        size = math.prod(shape[-2:]) * dtype.itemsize
        if size >= LARGEST:
            message = f"an image of shape {[*shape[-2:]]} has {size} bytes, over 4 GiB"
            raise ReadError(message)

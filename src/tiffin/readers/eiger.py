"""Series of an Eiger detector: a master file, and data files of many images each.

The master file's links ``entry/data/data_000001`` and so on lead to the data files. How
many images each holds is looked up: what documents say about it is often wrong.
"""

from __future__ import annotations

import re
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tiffin.errors import NotYetError, ReadError
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.hdf5 import Hdf5Rows
from tiffin.readers.hdf5_files import Hdf5File

SPECS = ("AD_EIGER", "AD_EIGER2", "AD_EIGER_SLICE", "AD_EIGER_MX")

GROUPS = ("entry/data", "entry")
"""Where the links are: the second with firmware before 1.3."""

COUNTS = "entry/instrument/detector/detectorSpecific"


class EigerHandler:
    """Opens the series of a resource: ``<path>_<sequence>_master.h5``.

    The numbers of images are guesses, for data files that do not exist.
    """

    def __init__(
        self,
        path: str,
        images_per_file: int | None = None,
        frame_per_point: int | None = None,
        seq_id: int | None = None,
        *,
        allowed: tuple[Path, ...] = (),
    ) -> None:
        self._path, self._seq_id, self._allowed = path, seq_id, allowed
        self._images_per_file = int(images_per_file or frame_per_point or 1)
        self._series: OpenFileCache[EigerSeries] = OpenFileCache(2)

    def __call__(
        self,
        seq_id: int | None = None,
        frame_num: int | None = None,
        data_key: str = "data",
    ) -> Any:
        """Return the images of a series; or one of them."""
        if data_key != "data":
            message = f"{self._path}: data_key must be 'data', not {data_key!r}"
            raise ReadError(message)
        path = self._master(self._seq_id if seq_id is None else seq_id)
        series = self._series.get(
            path, lambda: EigerSeries(path, self._images_per_file, self._allowed)
        )
        if frame_num is None:
            return series
        if series.shape[0] == self._images_per_file:  # it counts over several series
            frame_num %= self._images_per_file
        return series[frame_num]

    def close(self) -> None:
        """Close all files."""
        self._series.close()

    def _master(self, seq_id: int | None) -> Path:
        path = Path(self._path)
        if seq_id is None or path.name.endswith("_master.h5"):
            return path
        return path.with_name(f"{path.name}_{seq_id}_master.h5")


class EigerSeries:
    """The images of one series, in the order of its data files; read when asked for.

    `missing` tells why images are missing; `expected` is how many the detector was to
    take, or 0 if the master file does not say.
    """

    ndim = 3

    def __init__(
        self, path: Path, images_per_file: int, allowed: tuple[Path, ...] = ()
    ) -> None:
        self._path, self._allowed = path, allowed
        self._lock = threading.RLock()
        self._open: OpenFileCache[Hdf5Rows] = OpenFileCache(2)
        with closing(Hdf5File(path)) as file:
            self._names = _data_files(file.root)
            self.expected = _expected_images(file)
        if not self._names:
            message = f"{path} leads to no data file 'entry/data/data_000001' (yet)"
            raise NotYetError(message)
        self._measure(images_per_file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read an image; or several, chosen by a slice."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, slice):
            chosen = range(len(self))[first]
            return np.stack([self._image(k)[tuple(rest)] for k in chosen])
        return np.asarray(self._image(range(len(self))[first])[tuple(rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all images."""
        return np.array(self[:], dtype=dtype, copy=copy)

    def close(self) -> None:
        """Close the data files; the next read opens them again."""
        with self._lock:
            self._open.close()

    def _measure(self, images_per_file: int) -> None:
        """Count the images of each data file, and guess for those that are missing."""
        counts: list[int | str] = []
        image: tuple[int, ...] = ()
        for name in self._names:
            try:
                with closing(self._rows(name)) as rows:
                    counts.append(len(rows))
                    image = image or rows.row_shape(0)
            except NotYetError as error:
                counts.append(str(error))
        counted = [count for count in counts if isinstance(count, int)]
        if not image:
            raise NotYetError(str(counts[0]))
        usual = max(counted) if len(counted) > 1 else max(*counted, images_per_file)
        left = self.expected - sum(counted) or usual
        self.missing: dict[int, str] = {}
        self._starts = [0]
        for k, count in enumerate(counts):
            start, number = self._starts[-1], count
            if not isinstance(number, int):
                is_last = k == len(counts) - 1
                number = min(usual, max(left, 1)) if is_last else usual
                self.missing |= dict.fromkeys(range(start, start + number), str(count))
            self._starts.append(start + number)
        self.shape = (self._starts[-1], *image)
        self.size = int(np.prod(self.shape, dtype=object))

    def _image(self, number: int) -> np.ndarray:
        file = int(np.searchsorted(self._starts, number, side="right")) - 1
        with self._lock:
            rows = self._open.get(file, lambda: self._rows(self._names[file]))
            return rows.read(number - self._starts[file])

    def _rows(self, name: str) -> Hdf5Rows:
        return Hdf5Rows(self._path, name, (), self._allowed)


def _data_files(root: Any) -> list[str]:
    """Return the paths of the links to data files, in order."""
    for group in GROUPS:
        names = [name for name in _members(root, group) if re.match(r"data_\d+$", name)]
        if names:
            names.sort(key=lambda name: int(name.partition("_")[2]))
            return [f"{group}/{name}" for name in names]
    return []


def _members(root: Any, path: str) -> list[str]:
    """Return the names in a group of this file, following no link."""
    import h5py

    group = root
    for part in path.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            return []
        group = group[part]
        if not isinstance(group, h5py.Group):
            return []
    return list(group)


def _expected_images(file: Hdf5File) -> int:
    """Return the number of images per trigger times that of triggers, or 0."""
    try:
        counts = [file.dataset(f"{COUNTS}/{name}") for name in ("nimages", "ntrigger")]
        return int(counts[0][()]) * int(counts[1][()])
    except (ReadError, TypeError, ValueError):
        return 0

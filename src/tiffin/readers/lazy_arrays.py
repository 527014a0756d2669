"""Read the lazy arrays of handlers, and notice rows that HDF5 would make up.

A handler may return an HDF5 dataset, a dask array of some, or an object that holds one.
Each dataset is replaced by a `GuardedDataset`, which checks rows before they are read.
"""

from __future__ import annotations

import copy
import math
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tiffin.errors import NotYetError
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.hdf5_completeness import WrittenRows

if TYPE_CHECKING:
    from pathlib import Path

TASK_PARTS = ("args", "kwargs", "value")
"""Where the tasks of newer versions of dask hold their arguments."""


_Part: TypeAlias = tuple[int, list[str | None], np.ndarray]
"""The first of some rows, why each is missing, and their numbers."""


class NeverWrittenError(NotYetError):
    """A row of a dataset is read that was never written."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class LazyReader:
    """Reads what a handler returns, and knows which rows were never written.

    `checked` are the rows whose chunks were checked; clear it before each reading.
    """

    def __init__(self, allowed: tuple[Path, ...] = ()) -> None:
        self._allowed = allowed
        self._written: OpenFileCache[WrittenRows] = OpenFileCache()
        self.checked: set[tuple[int, int]] = set()
        self._parts: list[_Part] | None = None
        self._lock = threading.RLock()  # dask reads in threads

    def read(self, given: Any) -> tuple[np.ndarray, dict[int, str]]:
        """Read an array; return it, and why rows of it are missing."""
        array = self._guarded(given)
        try:
            return np.asarray(array), {}
        except NeverWrittenError:
            if len(getattr(array, "shape", ())) < 3 or not hasattr(array, "dtype"):
                raise
            return self._read_stored(array) or self._read_by_row(given, array)

    def _read_stored(self, array: Any) -> tuple[np.ndarray, dict[int, str]] | None:
        """Read an array with zeros in missing rows.

        Return None if the array is not just the rows of datasets: then it is not known
        which of its rows depend on the missing ones.
        """
        parts: list[_Part] = []
        self._parts = parts
        try:
            images = np.asarray(array)
        finally:
            self._parts = None
        parts.sort(key=lambda part: part[0])
        reasons = [reason for _, reasons, _ in parts for reason in reasons]
        blocks = [block for _, _, block in parts]
        if len({(block.shape[1:], block.dtype) for block in blocks}) != 1:
            return None
        stored = np.concatenate(blocks)
        same_rows = images.dtype == stored.dtype and len(images) == len(stored)
        if not same_rows or images.tobytes() != stored.tobytes():
            return None
        return images, {k: why for k, why in enumerate(reasons) if why}

    def _read_by_row(self, given: Any, array: Any) -> tuple[np.ndarray, dict[int, str]]:
        rows = given if _is_dask(given) else array
        images = np.zeros(array.shape, array.dtype)
        missing: dict[int, str] = {}
        for k in range(len(images)):
            try:
                images[k] = np.asarray(self._guarded(rows[k]))
            except NeverWrittenError as error:
                missing[k] = error.reason
        return images, missing

    def written(self, dataset: Any) -> WrittenRows:
        """Return which rows of a dataset were written."""
        key = dataset.file.id.id, dataset.name
        with self._lock:
            return self._written.get(key, lambda: WrittenRows(dataset, self._allowed))

    def why_missing(self, dataset: Any, first: int, stop: int) -> str | None:
        """Return why rows are missing; if they are not, check them, once a reading."""
        with self._lock:
            written = self.written(dataset)
            reason = written.why_missing(first, stop)
            rows = {(id(written), row) for row in range(first, stop)}
            if reason is None and not rows <= self.checked:
                written.check(first, stop)
                self.checked |= rows
        return reason

    def read_part(self, dataset: Any, key: Any) -> Any:
        """Read a part of a dataset; raise if rows are missing, or put zeros there."""
        rows = _rows(dataset.shape, key).tolist()
        if not rows:
            return dataset[key]
        first, stop = min(rows), max(rows) + 1
        reasons: list[str | None] = [None] * len(rows)
        if stop - first > len(rows) or self.why_missing(dataset, first, stop):
            reasons = [self.why_missing(dataset, row, row + 1) for row in rows]
        reason = next(filter(None, reasons), None)
        if self._parts is None:
            if reason is not None:
                name = f"{dataset.file.filename}: {dataset.name!r}"
                message = f"{name} is not all there (yet): {reason}"
                raise NeverWrittenError(message, reason)
            return dataset[key]
        keys = key if isinstance(key, tuple) and key else (key,)
        rest = keys if keys[0] is Ellipsis else keys[1:]
        there = zip(rows, reasons, strict=True)
        images = [None if why else dataset[(row, *rest)] for row, why in there]
        shape = next((i.shape for i in images if i is not None), dataset.shape[1:])
        block = np.zeros((len(rows), *shape), dataset.dtype)
        for k, image in enumerate(images):
            if image is not None:
                block[k] = image
        with self._lock:
            self._parts.append((rows[0], reasons, block))
        return block[0] if isinstance(keys[0], (int, np.integer)) else block

    def close(self) -> None:
        """Close the source files of virtual datasets."""
        self._written.close()

    def _guarded(self, given: Any) -> Any:
        """Replace each dataset that an array is read from."""
        if isinstance(given, (list, tuple)):
            return [each if _is_plain(each) else self._guarded(each) for each in given]
        if _is_plain(given):
            return given
        if _is_dask(given):
            return self._guarded_dask(_dask_array_in(given))
        if _is_hdf5(given):
            return GuardedDataset(given, self)
        for name, value in [*getattr(given, "__dict__", {}).items()]:
            if _is_hdf5(value):
                setattr(given, name, GuardedDataset(value, self))
        return given

    def _guarded_dask(self, array: Any) -> Any:
        """Replace datasets in the tasks of a dask array, as far as they are needed."""
        keys = array.__dask_keys__()
        graph = dict(array.__dask_optimize__(array.__dask_graph__(), keys))
        tasks = {key: self._guarded_task(task) for key, task in graph.items()}
        return type(array)(
            tasks,
            array.name,
            array.chunks,
            dtype=array.dtype,
            meta=array._meta,  # noqa: SLF001
        )

    def _guarded_task(self, task: Any) -> Any:
        """Replace datasets in a task; return the same object if there are none."""
        if _is_hdf5(task):
            return GuardedDataset(task, self)
        if type(task) in (tuple, list):
            inside = [*map(self._guarded_task, task)]
            same = all(new is old for new, old in zip(inside, task, strict=True))
            return task if same else type(task)(inside)
        if type(task) is dict:
            values = self._guarded_task([*task.values()])
            return dict(zip(task, values, strict=True))
        changed = task
        parts = TASK_PARTS if type(task).__module__.startswith("dask.") else ()
        for name in parts:
            before = getattr(task, name, None)
            after = self._guarded_task(before)
            if after is not before:
                changed = copy.copy(task) if changed is task else changed
                setattr(changed, name, after)
        return changed


class GuardedDataset:
    """A dataset, or a group of them, whose rows are checked before they are read."""

    def __init__(self, node: Any, reader: LazyReader) -> None:
        self._node, self._reader = node, reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def __len__(self) -> int:
        return len(self._node)

    def __bool__(self) -> bool:
        return bool(self._node)

    def __getitem__(self, key: Any) -> Any:
        """Read a part of a dataset; or return a member of a group."""
        if not hasattr(self._node, "chunks"):
            member = self._node[key]
            return GuardedDataset(member, self._reader) if _is_hdf5(member) else member
        return self._reader.read_part(self._node, key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all of it."""
        return np.array(self[()], dtype=dtype, copy=copy)


def _rows(shape: tuple[int, ...], key: Any) -> np.ndarray:
    """Return which rows of a dataset a key asks for."""
    first = key[0] if isinstance(key, tuple) and key else key
    rows = np.arange(shape[0] if math.prod(shape) and shape else 0)
    if isinstance(first, (int, np.integer, slice, list, np.ndarray)):
        return np.atleast_1d(rows[first])
    return rows


def _is_hdf5(value: Any) -> bool:
    """Whether this is a dataset or a group of h5py."""
    names = {cls.__name__ for cls in type(value).__mro__}
    return type(value).__module__.startswith("h5py") and "HLObject" in names


def _is_plain(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, list, tuple, int, float))


def _is_dask(value: Any) -> bool:
    return hasattr(value, "__dask_graph__")


def _dask_array_in(value: Any) -> Any:
    """Return the dask array that another library's array holds, as xarray's do."""
    inside = getattr(value, "data", None)
    return inside if _is_dask(inside) else value

"""HDF5 datasets behind arrays that are read later: whether their rows are there.

A handler may give a dataset, a dask array over some, or an object that holds one. What
reads of them is handed a `Watched` in the dataset's place.
"""

from __future__ import annotations

import copy
import math
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tiffin.errors import NotYetError
from tiffin.readers.hdf5_written import Written
from tiffin.readers.recent import Recent

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Watch"]

TASK_PARTS = ("args", "kwargs", "value")
"""Where the tasks of newer versions of dask hold things."""


_Part: TypeAlias = tuple[int, list[str | None], np.ndarray]
"""The first row of some, why each is not there, and their numbers."""


class NeverWrittenError(NotYetError):
    """Rows of a dataset are asked for that HDF5 would make up."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Watch:
    """Reads what handlers give, and notices rows that were never written.

    Parameters
    ----------
    allowed : tuple of pathlib.Path
        The folders in which raw files may lie that a dataset takes numbers from.
    """

    def __init__(self, allowed: tuple[Path, ...] = ()) -> None:
        self._allowed = allowed
        self._known: Recent[Written] = Recent()
        self._checked: set[tuple[int, int]] = set()
        self._noted: list[_Part] | None = None
        self._lock = threading.RLock()  # dask reads in threads

    def read(self, given: Any) -> tuple[np.ndarray, dict[int, str]]:
        """Read an array.

        Parameters
        ----------
        given : array-like

        Returns
        -------
        array : ndarray
            With zeros in the rows that are not there.
        lacking : dict of int to str
            Those rows, and why they are not there.

        Raises
        ------
        NotYetError
            If no row is there.
        ReadError
            If HDF5 may not read one.
        """
        array = self._watched(given)
        try:
            return np.asarray(array), {}
        except NeverWrittenError:
            if len(getattr(array, "shape", ())) < 3 or not hasattr(array, "dtype"):
                raise
            return self._as_stored(array) or self._by_row(given, array)
        finally:
            self._checked.clear()

    def _as_stored(self, array: Any) -> tuple[np.ndarray, dict[int, str]] | None:
        """Read rows as they are stored, with zeros for those that are not there.

        That the array is nothing but these rows is seen by their numbers; None if not.
        """
        noted: list[_Part] = []
        self._noted = noted
        try:
            whole = np.asarray(array)
        except NeverWrittenError:
            return None
        finally:
            self._noted = None
        noted.sort(key=lambda part: part[0])
        lacking = [reason for _, reasons, _ in noted for reason in reasons]
        blocks = [block for _, _, block in noted]
        if len({block.shape[1:] for block in blocks}) != 1:
            return None
        stored = np.concatenate(blocks)
        if whole.dtype != stored.dtype or whole.tobytes() != stored.tobytes():
            return None
        if len(lacking) != len(whole):
            return None
        return whole, {k: why for k, why in enumerate(lacking) if why is not None}

    def _by_row(self, given: Any, array: Any) -> tuple[np.ndarray, dict[int, str]]:
        """Read row by row, and see which of them can be read."""
        each = given if _is_dask(given) else array
        whole = np.zeros(array.shape, array.dtype)
        lacking: dict[int, str] = {}
        for k in range(len(whole)):
            try:
                whole[k] = np.asarray(self._watched(each[k]))
            except NeverWrittenError as error:
                lacking[k] = error.reason
        return whole, lacking

    def written(self, dataset: Any) -> Written:
        """Return what is known of a dataset; it is found out once."""

        def make() -> Written:
            return Written(dataset, self._allowed)

        with self._lock:
            return self._known.get((dataset.file.id.id, dataset.name), make)

    def lacking(self, written: Written, first: int, stop: int) -> str | None:
        """Say why rows are not all there; else check them, once a reading."""
        with self._lock:
            reason = written.lacking(first, stop)
            rows = {(id(written), row) for row in range(first, stop)}
            if reason is None and not rows <= self._checked:
                written.check(first, stop)
                self._checked |= rows
        return reason

    def read_rows(self, dataset: Any, key: Any) -> Any:
        """Read a part of a dataset.

        Raises
        ------
        NeverWrittenError
            If a row of it is not there, and such rows are not noted.
        """
        rows = _rows(dataset.shape, key)
        if not rows.size:
            return dataset[key]
        written = self.written(dataset)
        begin, stop = int(rows.min()), int(rows.max()) + 1
        keys = key if isinstance(key, tuple) and key else (key,)
        if self._noted is not None and isinstance(keys[0], slice):
            return self._note(dataset, written, rows, keys[1:])
        together = [(begin, stop)] if stop - begin == rows.size else None
        for first, end in together or [(int(k), int(k) + 1) for k in rows]:
            reason = self.lacking(written, first, end)
            if reason is not None:
                what = f"{dataset.file.filename}: {dataset.name!r}"
                message = f"{what} is not all there (yet): {reason}"
                raise NeverWrittenError(message, reason)
        return dataset[key]

    def _note(
        self, dataset: Any, written: Written, rows: np.ndarray, rest: tuple[Any, ...]
    ) -> np.ndarray:
        """Read the rows that are there, and note which are not."""
        reasons = [self.lacking(written, int(k), int(k) + 1) for k in rows]
        there = {
            k: dataset[(int(row), *rest)]
            for k, row in enumerate(rows)
            if reasons[k] is None
        }
        shape = next((row.shape for row in there.values()), dataset.shape[1:])
        block = np.zeros((len(rows), *shape), dataset.dtype)
        for k, row in there.items():
            block[k] = row
        with self._lock:
            if self._noted is not None:
                self._noted.append((int(rows[0]), reasons, block))
        return block

    def close(self) -> None:
        """Close the files of virtual datasets."""
        self._known.close()

    def _watched(self, given: Any) -> Any:
        """Put `Watched` in the place of each dataset that an array is read from."""
        if isinstance(given, (list, tuple)):
            return [each if _is_plain(each) else self._watched(each) for each in given]
        if _is_plain(given):
            return given
        if _is_dask(given):
            return self._in_graph(_dask_array_in(given))
        if _is_hdf5(given):
            return Watched(given, self)
        for name, value in [*getattr(given, "__dict__", {}).items()]:
            if _is_hdf5(value):
                setattr(given, name, Watched(value, self))
        return given

    def _in_graph(self, array: Any) -> Any:
        """Look for datasets in a dask array's tasks, as far as they are needed."""
        keys = array.__dask_keys__()
        graph = dict(array.__dask_optimize__(array.__dask_graph__(), keys))
        tasks = {key: self._in_task(task) for key, task in graph.items()}
        return type(array)(
            tasks,
            array.name,
            array.chunks,
            dtype=array.dtype,
            meta=array._meta,  # noqa: SLF001
        )

    def _in_task(self, task: Any) -> Any:
        """Look for datasets in a task, of whatever version of dask.

        What holds none stays the same object.
        """
        if _is_hdf5(task):
            return Watched(task, self)
        if type(task) in (tuple, list):
            inside = [*map(self._in_task, task)]
            same = all(new is old for new, old in zip(inside, task, strict=True))
            return task if same else type(task)(inside)
        if type(task) is dict:
            values = self._in_task([*task.values()])
            return dict(zip(task, values, strict=True))
        changed = task
        parts = TASK_PARTS if type(task).__module__.startswith("dask.") else ()
        for name in parts:
            before = getattr(task, name, None)
            after = self._in_task(before)
            if after is not before:
                changed = copy.copy(task) if changed is task else changed
                setattr(changed, name, after)
        return changed


class Watched:
    """A dataset, or a group of them, whose rows are looked at before they are read.

    Parameters
    ----------
    node : h5py.Dataset or h5py.Group
    watch : Watch
    """

    def __init__(self, node: Any, watch: Watch) -> None:
        self._node, self._watch = node, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    def __len__(self) -> int:
        return len(self._node)

    def __bool__(self) -> bool:
        return bool(self._node)

    def __getitem__(self, key: Any) -> Any:
        """Read a part of a dataset; or go into a group."""
        if not hasattr(self._node, "chunks"):
            inside = self._node[key]
            return Watched(inside, self._watch) if _is_hdf5(inside) else inside
        return self._watch.read_rows(self._node, key)

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


def _is_hdf5(thing: Any) -> bool:
    """Whether this is a dataset or a group of h5py."""
    names = {cls.__name__ for cls in type(thing).__mro__}
    return type(thing).__module__.startswith("h5py") and "HLObject" in names


def _is_plain(given: Any) -> bool:
    return isinstance(given, (np.ndarray, np.generic, list, tuple, int, float))


def _is_dask(given: Any) -> bool:
    return hasattr(given, "__dask_graph__")


def _dask_array_in(given: Any) -> Any:
    """Return the dask array that another library's array holds, as xarray's do."""
    inside = getattr(given, "data", None)
    return inside if _is_dask(inside) else given

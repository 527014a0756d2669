"""Handlers given by hand; and HDF5 that is read later, behind what a handler gives."""

import dask.array
import h5py
import numpy as np
import pytest

from tests.integration.test_resources import DATASET, check_whole, datum_run, export
from tests.integration.test_streams import FRAMES
from tiffin.errors import SettingsError
from tiffin.readers import Handlers, RootMap


class Lazy:
    """Gives rows of a dataset, which `how` makes something lazy of."""

    def __init__(self, path, how, frame_per_point):
        self.file, self.number = h5py.File(path), frame_per_point
        self.how = how

    def __call__(self, point_number):
        first = point_number * self.number
        rows = slice(first, first + self.number)
        return self.how(self.file, rows)

    def close(self):
        self.file.close()


def by_dask(file, rows):
    return dask.array.from_array(file[DATASET])[rows]


def by_dask_inline(file, rows):
    return dask.array.from_array(file[DATASET], inline_array=True)[rows]


def by_dask_of_frames(file, rows):
    array = dask.array.from_array(file[DATASET], chunks=(1, 6, 9))
    return dask.array.stack([array[k] for k in range(rows.start, rows.stop)])


def by_calculating_dask(file, rows):
    array = dask.array.from_array(file[DATASET], chunks=(2, 3, 9), asarray=False)
    return (array[rows].astype("i4") * 1).rechunk((3, 6, 3)).astype("u2")


def by_mapping_dask(file, rows):
    array = dask.array.from_array(file[DATASET], lock=True, fancy=False)
    return array.map_blocks(lambda block: block + 0)[rows]


def by_blocks(file, rows):
    data = file[DATASET]

    def block(source, block_info=None):
        first = rows.start + block_info[None]["chunk-location"][0]
        return source[first : first + 1]

    return dask.array.map_blocks(
        block, data, chunks=((1, 1, 1), (6,), (9,)), dtype="u2",
        meta=np.empty((0, 0, 0), "u2"),
    )  # fmt: skip


class Sliced:
    """An object that reads when numpy asks for it."""

    shape, dtype, ndim = (3, 6, 9), np.dtype("u2"), 3

    def __init__(self, dataset, rows):
        self._dataset, self._rows = dataset, rows

    def __len__(self):
        return 3

    def __getitem__(self, key):
        return self._dataset[self._rows][key]

    def __array__(self, dtype=None, copy=None):
        return self._dataset[self._rows.start : self._rows.stop]


class InFile(Sliced):
    """Finds the dataset only then."""

    def __getitem__(self, key):
        return self._dataset["entry"]["data/data"][self._rows.start + key]

    def __array__(self, dtype=None, copy=None):
        return np.stack([self[k] for k in range(3)])


LAZY = {
    "dask": by_dask,
    "dask_inline": by_dask_inline,
    "dask_of_frames": by_dask_of_frames,
    "dask_calculating": by_calculating_dask,
    "dask_mapping": by_mapping_dask,
    "dask_blocks": by_blocks,
    "object": lambda file, rows: InFile(file, rows),
}


def given(how):
    """Make the mapping of a handler given by hand."""

    def make(path, frame_per_point):
        return Lazy(path, how, frame_per_point)

    return {"LAZY": make}


def partly(path, unwritten):
    with h5py.File(path, "w") as file:
        data = file.create_dataset(DATASET, (12, 6, 9), "u2", chunks=(1, 6, 9))
        for k in set(range(12)) - set(unwritten):
            data[k] = FRAMES[k]


@pytest.mark.parametrize("unwritten", [[], [4], [9, 10, 11]])
@pytest.mark.parametrize("way", LAZY)
def test_chunks_never_written_are_no_images_behind_lazy_arrays(
    tmp_path, read, way, unwritten
):
    """HDF5 makes zeros up when dask, or numpy, asks for them."""
    partly(tmp_path / "a.h5", unwritten)
    run = datum_run(tmp_path / "a.h5", spec="LAZY")

    report = export(run, tmp_path / "out", handlers=given(LAZY[way]))

    check_whole(report, FRAMES, read, 3, unwritten)
    assert all("never written" in str(record.error) for record in report.failed)

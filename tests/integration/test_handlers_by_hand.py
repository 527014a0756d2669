"""Handlers given by hand; and HDF5 that is read later, behind what a handler gives."""

import dask.array
import h5py
import numpy as np
import pytest

import tiffin
from tests.documents import DATASET, FRAMES, datum_run
from tests.helpers import NAME, check, check_whole, feed
from tests.integration.test_resources import export
from tiffin.compat import LiveTiffExporter
from tiffin.errors import SettingsError


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


def by_widening_dask(file, rows):
    return dask.array.from_array(file[DATASET], chunks=(1, 6, 9))[rows].astype("u4")


def by_calculating_dask(file, rows):
    array = dask.array.from_array(file[DATASET], chunks=(2, 3, 9), asarray=False)
    return (array[rows].astype("i4") * 1).rechunk((3, 6, 3)).astype("u2")


def by_mapping_dask(file, rows):
    array = dask.array.from_array(file[DATASET], lock=True, fancy=False)
    return array.map_blocks(lambda block: block + 0)[rows]


def by_reshaping_dask(file, rows):
    return dask.array.from_array(file[DATASET])[rows].reshape(1, 3, 6, 9)


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


def by_xarray(file, rows):
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(dask.array.from_array(file[DATASET])[rows]) + 0


LAZY = {
    "dask": by_dask,
    "dask_inline": by_dask_inline,
    "dask_of_frames": by_dask_of_frames,
    "dask_of_wider_numbers": by_widening_dask,
    "dask_blocks": by_blocks,
    "xarray": by_xarray,
    "object_of_a_file": InFile,
    "object_of_a_dataset": lambda file, rows: Sliced(file[DATASET], rows),
}


def given(how):
    """Make the mapping of a handler given by hand."""

    def make(path, frame_per_point):
        return Lazy(path, how, frame_per_point)

    return {"LAZY": make}


def partly(path, unwritten, **options):
    with h5py.File(path, "w") as file:
        options = {"chunks": (1, 6, 9), **options}
        data = file.create_dataset(DATASET, (12, 6, 9), "u2", **options)
        for k in set(range(12)) - set(unwritten):
            data[k] = FRAMES[k]


@pytest.mark.parametrize("unwritten", [[], [4], [9, 10, 11]])
@pytest.mark.parametrize("way", LAZY)
def test_chunks_never_written_are_no_images_behind_lazy_arrays(
    tmp_path, read, way, unwritten
):
    """HDF5 would return zeros when dask or numpy read them."""
    partly(tmp_path / "a.h5", unwritten)
    run = datum_run(tmp_path / "a.h5", spec="LAZY")

    report = export(run, tmp_path / "out", handlers=given(LAZY[way]))

    check_whole(report, FRAMES, read, 3, unwritten)
    assert all("never written" in str(record.error) for record in report.failed)


def by_list(file, rows):
    array = dask.array.from_array(file[DATASET])
    return [array[k] for k in range(rows.start, rows.stop)]


@pytest.mark.parametrize(
    "how", [by_calculating_dask, by_mapping_dask, by_reshaping_dask, by_list]
)
def test_what_is_calculated_of_rows_never_written_fails_with_them(tmp_path, read, how):
    """Which images depend on them is not known, so all of the event fail."""
    partly(tmp_path / "a.h5", [4])
    run = list(datum_run(tmp_path / "a.h5", spec="LAZY"))

    report = export(run, tmp_path / "out", handlers=given(how))
    partly(tmp_path / "a.h5", [])
    whole = export(run, tmp_path / "whole", handlers=given(how))

    assert {3, 4, 5} <= {3 * (r.seq_num - 1) + r.i for r in report.failed}
    check(whole, FRAMES, read)


def test_a_dataset_that_a_handler_gives_is_looked_at(tmp_path, read):
    """One image an event, where the handler returns the dataset itself."""
    partly(tmp_path / "a.h5", [4])
    run = datum_run(tmp_path / "a.h5", spec="LAZY", shape=(12, 6, 9), events=1)

    report = export(
        run, tmp_path / "out", handlers=given(lambda file, rows: file[DATASET])
    )

    check_whole(report, FRAMES, read, 12, [4])


def test_a_lazy_image_that_was_never_written_is_told_with_its_file(tmp_path):
    """The error names the file, the dataset and the reason."""
    partly(tmp_path / "a.h5", range(12))
    run = datum_run(tmp_path / "a.h5", spec="LAZY", shape=(6, 9), events=1)
    one = given(lambda file, rows: dask.array.from_array(file[DATASET])[0])

    report = export(run, tmp_path / "out", handlers=one)

    said = str(report.failed[0].error)
    assert f"a.h5: '{DATASET}' is not all there (yet): never written" in said


def test_a_lazy_stream_that_gives_more_is_a_failed_frame(tmp_path, read):
    """It is checked before HDF5 decodes it, for dask too."""
    path = tmp_path / "a.h5"
    partly(path, [], compression="gzip")
    with h5py.File(path, "a") as file:
        bomb = __import__("zlib").compress(bytes(10**6))
        file[DATASET].id.write_direct_chunk((4, 0, 0), bomb)
    run = datum_run(path, spec="LAZY")

    report = export(run, tmp_path / "out", handlers=given(by_dask_of_frames))

    check_whole(report, FRAMES, read, 3, [3, 4, 5])
    assert "bytes" in str(report.failed[0].error)


def test_a_lazy_image_over_4_gib_is_not_calculated(tmp_path):
    """No TIFF could hold it."""
    partly(tmp_path / "a.h5", [])
    run = datum_run(tmp_path / "a.h5", spec="LAZY")

    report = export(
        run,
        tmp_path / "out",
        handlers=given(lambda file, rows: dask.array.zeros((3, 70000, 70000), "u2")),
    )

    assert not report.written
    assert "over 4 GiB" in str(report.failed[0].error)


@pytest.mark.parametrize("template", ["%s%s_%0999999999d.tif", "{:0999999999d}.tif"])
def test_a_template_of_megabytes_is_refused(tmp_path, template):
    """A handler would format the number of a file with it."""
    run = list(datum_run(tmp_path / "a", spec="WIDE"))
    resource = next(doc for name, doc in run if name == "resource")
    resource["resource_kwargs"]["template"] = template

    report = export(run, tmp_path / "out", handlers={"WIDE": lambda path, **kw: None})

    assert "too wide" in str(report.failed[0].error)


@pytest.mark.parametrize("lack", ["never written", "cut", "raw"])
def test_one_file_an_image_is_looked_at(tmp_path, read, lack):
    """AD_HDF5_SINGLE: rows never written and external data are found."""
    (tmp_path / "secret").write_bytes(bytes(200))
    for k in range(12):
        with h5py.File(tmp_path / f"a_{k}.h5", "w") as file:
            if k != 4:
                file[DATASET] = FRAMES[k]
            elif lack == "raw":
                where = [(str(tmp_path / "secret"), 0, 108)]
                file.create_dataset(DATASET, (6, 9), "u2", external=where)
            else:
                file.create_dataset(DATASET, (6, 9), "u2", chunks=(3, 9))[:3] = 1
    options = {"template": "%s%s_%d.h5", "filename": "a", "frame_per_point": 3}
    run = datum_run(tmp_path, spec="AD_HDF5_SINGLE", options=options)

    report = export(run, tmp_path / "out")

    check_whole(report, FRAMES, read, 3, [3, 4, 5] if lack == "raw" else [4])
    said = "raw storage" if lack == "raw" else "never written"
    assert said in str(report.failed[0].error)


@pytest.mark.parametrize("door", ["export", "live", "images", "process", "compat"])
def test_every_door_takes_handlers(tmp_path, read, door):
    """For a spec that nobody registers, and for one that is registered already."""
    for spec, first in (("MINE", 0), ("AD_HDF5", 100)):
        made = FRAMES[0] + first
        handlers = {spec: lambda path, **_: lambda point_number: made[np.newaxis]}  # noqa: B023
        run = list(datum_run("x", spec=spec, shape=(1, 6, 9), events=2))
        out = tmp_path / spec
        reports = []
        if door == "export":
            reports = [tiffin.export(run, NAME, directory=out, handlers=handlers)]
        elif door == "images":
            images = tiffin.get_images(run, "img", handlers=handlers)
            np.testing.assert_array_equal(images[1][0], made)
        elif door == "compat":
            template = f"{out}/{{event.seq_num}}.tif"
            exporter = LiveTiffExporter("img", template, handlers=handlers)
            feed(exporter, run)
            assert len(exporter.filenames) == 2
            np.testing.assert_array_equal(read(exporter.filenames[1]), made)
        else:
            with tiffin.ImageExporter(
                NAME, directory=out, handlers=handlers
            ) as exporter:
                if door == "process":
                    tiffin.process(run, exporter)
                else:
                    feed(exporter, run)
            reports = [exporter.reports["run-1"]]
        for report in reports:
            check(report, [made, made], read)


@pytest.mark.parametrize(
    "said", [3, ["AD_TIFF"], {"AD_TIFF": "module:Class"}, {3: dict}, {"": dict}]
)
def test_what_are_no_handlers_is_refused(tmp_path, said):
    """Settings are checked before there is a run."""
    with pytest.raises(SettingsError, match="handlers"):
        tiffin.ImageExporter(NAME, directory=tmp_path, handlers=said)

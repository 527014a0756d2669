"""How events lie in files: bluesky-tiled-plugins' consolidators are the oracle."""

import copy
import warnings

import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import FRAMES, HDF5, hdf5, stream_run
from tests.helpers import NAME
from tiffin.readers.file_sequences import file_name

TIFF = "multipart/related;type=image/tiff"
NPY = "multipart/related;type=application/x-npy"
DATASET = {"dataset": "/entry/data/data"}


def oracle(run, events):
    """Return shape (events, images, rows, columns), or None if it can't be read."""
    from bluesky_tiled_plugins.writing.consolidators import consolidator_factory

    documents = copy.deepcopy(run)
    descriptor = next(doc for name, doc in documents if name == "descriptor")
    consolidator = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name, doc in documents:
                if name == "stream_resource":
                    consolidator = consolidator_factory(doc, descriptor)
                elif name == "stream_datum":
                    consolidator.consume_stream_datum(doc)
            array = np.asarray(consolidator.init_adapter().read())
        except Exception:  # noqa: BLE001 (whatever it is, the oracle does not know)
            return None
    return array.reshape(events, -1, *FRAMES.shape[1:])


def compare(run, events, folder, read):
    """Check every frame against the oracle; without its word, none may be wrong."""
    said = oracle(run, events)

    report = tiffin.export(run, NAME, directory=folder, on_error="report")

    each = len(FRAMES) // events if said is None else said.shape[1]
    truth = FRAMES.reshape(events, -1, 6, 9) if said is None else said
    for record in report.written:
        image = truth[record.seq_num - 1, record.i]
        np.testing.assert_array_equal(read(record.path), image)
    assert len(report.written) + len(report.failed) >= events
    assert len(report.written) in (
        (0, each * events) if said is None else (said.size // 54,)
    )
    return said is not None


def files_of(folder, kind, pages):
    """Write the frames to files of so many."""
    folder.mkdir()
    for n, part in enumerate(FRAMES.reshape(-1, pages, 6, 9)):
        part = part if pages > 1 else part[0]
        if kind == TIFF:
            tifffile.imwrite(folder / f"a_{n}.tif", part, photometric="minisblack")
        else:
            np.save(folder / f"a_{n}.npy", part)
    return f"file://localhost{folder}/"


LAYOUTS = [
    {},
    {"chunk_shape": [1]},
    {"chunk_shape": [3]},
    {"chunk_shape": [1, 6, 9]},
    {"chunk_shape": [3, 6, 9]},
    {"chunk_shape": [1, 3, 6, 9]},
    {"chunk_shape": [1], "join_method": "concat"},
    {"chunk_shape": [3], "join_method": "concat"},
    {"chunk_shape": [1, 6, 9], "multiplier": 3},
    {"files_per_datum": 1},
    {"files_per_datum": 3},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("shape", [(6, 9), (1, 6, 9), (3, 6, 9)], ids=str)
@pytest.mark.parametrize("pages", [1, 3])
def test_tiff_sequences(tmp_path, read, pages, shape, layout):
    """Every event has the images that the oracle reads; what it can't read is never
    wrong.
    """
    uri = files_of(tmp_path / "files", TIFF, pages)
    events = 4 if pages == 3 or "multiplier" in layout or shape[0] == 3 else 12
    parameters = {"template": "a_{:d}.tif", **layout}
    run = stream_run(uri, TIFF, parameters, events=events, shape=shape)

    compare(run, events, tmp_path / "out", read)


@pytest.mark.parametrize(
    "layout",
    [{}, *LAYOUTS[1:3], LAYOUTS[4], LAYOUTS[5], LAYOUTS[7], {"files_per_datum": 1}],
    ids=str,
)
def test_files_that_hold_an_event_each(tmp_path, read, layout):
    """Three pages a file, three images an event: the oracle reads all of these."""
    uri = files_of(tmp_path / "files", TIFF, 3)
    run = stream_run(uri, TIFF, {"template": "a_{:d}.tif", **layout}, shape=(3, 6, 9))

    assert compare(run, 4, tmp_path / "out", read)


@pytest.mark.parametrize(
    "layout",
    [{"chunk_shape": [1, 3, 6, 9]}, {"files_per_datum": 2, "chunk_shape": [1]}],
    ids=str,
)
def test_four_axes_over_files(tmp_path, read, layout):
    """An event of (2, 3, Y, X) lies in two files of three pages."""
    uri = files_of(tmp_path / "files", TIFF, 3)
    parameters = {"template": "a_{:d}.tif", **layout}
    run = stream_run(uri, TIFF, parameters, events=2, shape=(2, 3, 6, 9))

    assert compare(run, 2, tmp_path / "out", read)


@pytest.mark.parametrize(
    ("pages", "shape"), [(1, (6, 9)), (3, (3, 6, 9)), (1, (1, 6, 9))]
)
@pytest.mark.parametrize("told", ["template", "filename", "nothing"])
def test_npy_sequences(tmp_path, read, pages, shape, told):
    """A file holds a whole event; without a template the usual name is used."""
    uri = files_of(tmp_path / "files", NPY, pages)
    parameters = {
        "template": {
            "filename": "a",
            "template": "%s_%d.npy",
            "chunk_shape": [1, *shape],
        },
        "filename": {"filename": "a"},
        "nothing": {},
    }[told]
    uri += "a" if told == "nothing" else ""
    events = 12 // pages
    run = stream_run(uri, NPY, parameters, events=events, shape=shape)

    assert compare(run, events, tmp_path / "out", read)


@pytest.mark.parametrize("layout", [{}, {"join_method": "concat"}, {"multiplier": 0}])
@pytest.mark.parametrize(
    "stored", [(12, 6, 9), (12, 1, 6, 9), (4, 3, 6, 9), (6, 2, 6, 9)], ids=str
)
@pytest.mark.parametrize("shape", [(6, 9), (1, 6, 9), (3, 6, 9)], ids=str)
def test_hdf5_datasets(tmp_path, read, shape, stored, layout):
    """However a dataset groups its images, an event of n takes the next n."""
    images = shape[0] if len(shape) == 3 else 1
    if "multiplier" in layout:
        layout = {"multiplier": images}
    if len(shape) == 2:
        layout = {}  # the oracle takes the rows of an image for frames
    uri = hdf5(tmp_path / "a.h5", FRAMES.reshape(stored))
    parameters = {**DATASET, "chunk_shape": [1], **layout}
    run = stream_run(uri, HDF5, parameters, events=12 // images, shape=shape)

    assert compare(run, 12 // images, tmp_path / "out", read)


@pytest.mark.parametrize(
    ("shape", "events"), [((6, 9), 4), ((1, 6, 9), 4), ((3, 6, 9), 4), ((2, 6, 9), 2)]
)
def test_a_multiplier_of_flat_frames(tmp_path, read, shape, events):
    """Three frames a point, also where (2, Y, X) is declared."""
    uri = hdf5(tmp_path / "a.h5")
    parameters = {**DATASET, "multiplier": 3, "chunk_shape": [1]}
    run = stream_run(uri, HDF5, parameters, events=events, shape=shape)

    assert compare(run, events, tmp_path / "out", read)


@pytest.mark.parametrize(
    ("stored", "shape"),
    [((6, 9), (6, 9)), ((1, 6, 9), (1, 6, 9)), ((3, 6, 9), (3, 6, 9))],
)
def test_a_dataset_over_numbered_files(tmp_path, read, stored, shape):
    """HDF5 with a template: the datasets of the files follow each other."""
    images = 3 if stored[0] == 3 else 1
    for n in range(12 // images):
        part = FRAMES[n * images : (n + 1) * images].reshape(stored)
        hdf5(tmp_path / f"a_{n:03d}.h5", part)
    parameters = {**DATASET, "template": "a_{:03d}.h5", "chunk_shape": [1]}
    run = stream_run(
        f"file://localhost{tmp_path}/", HDF5, parameters, events=12 // images,
        shape=shape,
    )  # fmt: skip

    assert compare(run, 12 // images, tmp_path / "out", read)


@pytest.mark.parametrize("said", [":", ":, 1", "..., 2:8, :", "2:"])
def test_a_slice_of_a_dataset(tmp_path, read, said):
    """Only the part that the document names is exported."""
    stored = np.stack([FRAMES, FRAMES + 1000], axis=1)
    whole = stored if ", 1" in said else FRAMES
    part = whole[:, 1] if ", 1" in said else whole
    part = part[..., 2:8, :] if "8" in said else part[2:] if said == "2:" else part
    uri = hdf5(tmp_path / "a.h5", whole, chunks=(5, *whole.shape[1:]))
    run = stream_run(
        uri, HDF5, {**DATASET, "slice": said}, events=len(part), shape=part.shape[1:]
    )

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    assert len(report.written) == len(part)
    for record, image in zip(report.written, part, strict=True):
        np.testing.assert_array_equal(read(record.path), image)


def test_a_file_unlike_the_others_is_refused(tmp_path, read):
    """A file with one page too many or too few fails; no other images take its
    place.
    """
    uri = files_of(tmp_path / "files", TIFF, 3)
    odd = np.concatenate([FRAMES[3:6], FRAMES[:1]])
    tifffile.imwrite(tmp_path / "files/a_1.tif", odd, photometric="minisblack")
    parameters = {"template": "a_{:d}.tif", "chunk_shape": [3, 6, 9]}
    run = stream_run(uri, TIFF, parameters, shape=(3, 6, 9))

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert {record.seq_num for record in report.failed} == {2}
    assert "a_1.tif holds 4" in str(report.failed[0].error)
    for record in report.written:
        image = FRAMES[3 * (record.seq_num - 1) + record.i]
        np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize(
    "template",
    [
        "%s%s_%6.6d.tiff", "{0:06d}.tiff", "img_{:>06d}.tif", "img_%-5d.tif",
        "img_% 5d.tif", "img_%+d.tif", "img_{:06}.tif", "a%%_%05d.tif",
        "img_{{a}}_{:d}.tif", "{:s}_{:04d}.tif", "%3.3d.tif", "img_{:_<4d}.tif",
    ],
)  # fmt: skip
@pytest.mark.parametrize("number", [0, 7, 12345])
def test_templates_number_files_as_the_oracle_does(template, number):
    """Both kinds of template, with signs, fill characters and literal braces."""
    from bluesky_tiled_plugins.utils import compile_template

    expected = compile_template(template, "scan").format(number)

    assert file_name(template, number, "scan") == expected


@pytest.mark.parametrize(
    "template", ["{uid}.tif", "{:.2f}", "{0.real}", "{", "{:9999d}"]
)
def test_a_template_that_asks_for_something_else_is_refused(template):
    """Neither another name nor an attribute of the number may be used."""
    with pytest.raises(tiffin.errors.ReadError, match="can't number files"):
        file_name(template, 3)

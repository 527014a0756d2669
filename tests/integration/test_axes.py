"""Which axes of an array are an image's: declared, named, or found in the array."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import tiffin
from tests.documents import HDF5, stream_run, write_jsonl
from tests.helpers import NAME, feed
from tiffin import ImageExporter, LiveTiffExporter, get_images
from tiffin.errors import SettingsError
from tiffin.testing import run_of
from tiffin.verify import compare

COLOURS = np.random.default_rng(1).integers(0, 255, (2, 6, 9, 3)).astype("u1")
ORDERS = {"yxc": (0, 1, 2, 3), "cyx": (0, 3, 1, 2), "ycx": (0, 1, 3, 2)}
"""areaDetector's RGB1, RGB3 and RGB2."""


def hdf5_run(folder, images, shape, **options):
    """Store images in HDF5, and tell of them as a stream resource."""
    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = images
    return stream_run(
        f"file://localhost{path}", HDF5, {"dataset": "entry/data/data"},
        events=len(images), shape=shape, dtype=images.dtype.str, **options,
    )  # fmt: skip


def in_line(images, shape, dims=None):
    run = run_of({"img": list(images)})
    data_key = run[1][1]["data_keys"]["img"]
    data_key["shape"] = list(shape)
    if dims:
        data_key["dims"] = dims
    return run


def by_handler(folder, images, shape):
    """Store images as NPY files, and tell of them as resource and datums."""
    for n, image in enumerate(images):
        np.save(folder / f"img_{n}.npy", image)
    run = in_line(images, shape)
    run[1][1]["data_keys"]["img"]["external"] = "FILESTORE:"
    resource = {
        "uid": "r", "spec": "NPY_SEQ", "root": str(folder), "resource_path": "img",
        "resource_kwargs": {}, "path_semantics": "posix",
    }  # fmt: skip
    documents = [*run[:2], ("resource", resource)]
    for n, (name, event) in enumerate(run[2:-1]):
        datum = {"datum_id": f"r/{n}", "resource": "r", "datum_kwargs": {"index": n}}
        event["data"]["img"], event["filled"] = f"r/{n}", {"img": False}
        documents += [("datum", datum), (name, event)]
    return [*documents, run[-1]]


DOORS = {
    "stream": lambda folder, *a: hdf5_run(folder, *a),
    "in line": lambda _, *a: in_line(*a),
    "handler": by_handler,
}


def exported(run, folder, **options):
    report = tiffin.export(run, NAME, directory=folder, on_error="report", **options)
    return report, [tifffile.imread(record.path) for record in report.written]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("said", ["colour", "axes", "axes by field", "tuple"])
def test_colour_of_any_layout_is_one_image(tmp_path, door, order, said):
    """RGB1, RGB2 and RGB3 are one image each, if the user says it is colour or
    names its axes.
    """
    images = COLOURS.transpose(ORDERS[order])
    run = DOORS[door](tmp_path, images, (1, 3, 6, 9))
    settings = {
        "colour": {"colour": "img"},
        "axes": {"axes": order},
        "axes by field": {"axes": {"img": order, "": "yx"}},
        "tuple": {"axes": tuple(order)},
    }[said]

    report, found = exported(run, tmp_path / "out", **settings)

    assert report.ok, report.failed[0].error
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize("door", ["stream", "handler"])
@pytest.mark.parametrize("order", ORDERS)
def test_ophyd_async_s_announcement_of_colour_is_understood(tmp_path, door, order):
    """ophyd-async#613: colour declared as (1, 3, rows, columns) is read, whatever
    the file holds.
    """
    images = COLOURS.transpose(ORDERS[order])
    run = DOORS[door](tmp_path, images, (1, 3, 6, 9))
    planned = tiffin.export(run, NAME, directory=tmp_path / "dry", dry_run=True)

    report, found = exported(run, tmp_path / "out")

    assert report.ok, report.failed[0].error
    np.testing.assert_array_equal(found, COLOURS)
    assert len(planned.planned) == 2


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((6, 9), "yxc"),
        ((1, 6, 9), "yxc"),
        ((3, 6, 9), "yxc"),
        ((9, 6, 3), "yxc"),
        ((9, 6), "yxc"),
        ((6, 9), "ycx"),
        ((3, 6, 9), "ycx"),
    ],
)
def test_rows_and_columns_are_found_where_they_are(tmp_path, door, shape, order):
    """Declared sizes tell which axes of the array are rows and columns."""
    run = DOORS[door](tmp_path, COLOURS.transpose(ORDERS[order]), shape)

    report, found = exported(run, tmp_path / "out")

    assert report.ok, report.failed[0].error
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("shape", "held"),
    [
        ((6, 9), (2, 6, 9, 5)),
        ((1, 6, 9), (2, 12, 18, 3)),
        ((6, 9), (2, 12, 3, 18)),
        ((6, 9), (2, 6, 9, 2)),
    ],
)
def test_what_can_not_be_reconciled_fails(tmp_path, door, shape, held):
    """The error names both shapes and the settings that decide."""
    images = np.arange(np.prod(held), dtype="u2").reshape(held)
    run = DOORS[door](tmp_path, images, shape)

    report, _ = exported(run, tmp_path / "out")

    assert not report.written
    assert {record.seq_num for record in report.failed} == {1, 2}
    told = str(report.failed[0].error)
    assert str([*held[1:]])[1:] in told
    assert str([*shape]) in told
    assert "axes=" in told
    assert "colour=" in told


@pytest.mark.parametrize("door", DOORS)
def test_frames_on_the_last_axis_are_named_so(tmp_path, door):
    """`yxt`: an image is a slice along the last axis."""
    images = np.arange(2 * 6 * 9 * 5, dtype="u2").reshape(2, 6, 9, 5)
    run = DOORS[door](tmp_path, images, (6, 9, 5))

    report, found = exported(run, tmp_path / "out", axes="yxt")

    assert report.ok, report.failed[0].error
    np.testing.assert_array_equal(found, np.moveaxis(images, -1, 1).reshape(10, 6, 9))


@pytest.mark.parametrize("door", DOORS)
def test_a_stack_of_three_stays_grey(tmp_path, door):
    """S14: also where the frames are declared after rows and columns."""
    stacks = np.arange(2 * 3 * 6 * 9, dtype="u2").reshape(2, 3, 6, 9)
    for n, shape in enumerate([(3, 6, 9), (6, 9), (6, 9, 3), (1, 6, 9)]):
        folder = tmp_path / str(n)
        folder.mkdir()
        run = DOORS[door](folder, stacks, shape)

        report, found = exported(run, folder / "out")

        refused = {"stream": [(6, 9), (1, 6, 9)], "handler": [(1, 6, 9)]}
        if shape in refused.get(door, ()):
            assert not report.written
            continue
        assert report.ok, report.failed[0].error
        np.testing.assert_array_equal(found, stacks.reshape(6, 6, 9))


@pytest.mark.parametrize("dims", [["y", "x", "c"], ["rows", "columns", "channel"]])
@pytest.mark.parametrize("order", ORDERS)
def test_dims_tell_that_it_is_colour(tmp_path, dims, order):
    """The axes of the array may be in another order than the declared ones."""
    run = in_line(COLOURS.transpose(ORDERS[order]), (6, 9, 3), dims)

    report, found = exported(run, tmp_path / "out")

    assert report.ok, report.failed[0].error
    np.testing.assert_array_equal(found, COLOURS)


def test_dims_of_other_channels_are_no_colour(tmp_path):
    """Five energies are five grey images."""
    stacks = np.arange(2 * 5 * 6 * 9, dtype="u2").reshape(2, 5, 6, 9)

    report, found = exported(
        in_line(stacks, (5, 6, 9), ["channel", "y", "x"]), tmp_path / "out"
    )

    assert report.ok
    np.testing.assert_array_equal(found, stacks.reshape(10, 6, 9))


def test_one_sample_is_grey(tmp_path):
    """An array of (rows, columns, 1) is a grey image."""
    images = COLOURS[..., :1]
    for n, settings in enumerate([{}, {"colour": "img"}, {"axes": "yxc"}]):
        report, found = exported(in_line(images, (6, 9)), tmp_path / str(n), **settings)

        assert report.ok
        np.testing.assert_array_equal(found, images[..., 0])


def test_two_samples_are_refused(tmp_path):
    """Grey with alpha is refused, and is not cut into rows."""
    for n, settings in enumerate([{}, {"colour": "img"}, {"axes": "yxc"}]):
        report, found = exported(
            in_line(COLOURS[..., :2], (6, 9)), tmp_path / str(n), **settings
        )

        assert len(report.failed) == 2
        assert not found


def test_an_array_of_which_nothing_is_known_is_not_cut_into_rows(tmp_path):
    """Without a declared shape, the last axis may be colour: the frame fails."""
    run = by_handler(tmp_path, COLOURS, ())

    report, _ = exported(run, tmp_path / "out")

    assert len(report.failed) == 2
    assert "colour='img'" in str(report.failed[0].error)


@pytest.mark.parametrize("order", ORDERS)
def test_zarr_arrays_of_colour(tmp_path, order):
    """Colour is read from Zarr as from HDF5."""
    images = COLOURS.transpose(ORDERS[order])
    zarr.save_array(tmp_path / "a.zarr", images)
    uri = f"file://localhost{tmp_path}/a.zarr"
    run = stream_run(
        uri, "application/x-zarr", {}, events=2, shape=(1, 3, 6, 9), dtype="|u1"
    )

    report, found = exported(run, tmp_path / "out")

    assert report.ok, report.failed[0].error
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["x-npy", "x-hdf5"])
@pytest.mark.parametrize("said", [{}, {"colour": "img"}, "axes"])
def test_sequences_of_files_of_colour(tmp_path, order, kind, said):
    """Colour is read from one NPY or HDF5 file an image."""
    for n, image in enumerate(COLOURS.transpose(ORDERS[order])):
        if kind == "x-npy":
            np.save(tmp_path / f"a_{n}", image)
        else:
            with h5py.File(tmp_path / f"a_{n}.npy", "w") as file:
                file["data"] = image[np.newaxis]
    run = stream_run(
        f"file://localhost{tmp_path}/", f"multipart/related;type=application/{kind}",
        {"template": "a_{:d}.npy", "dataset": "data"}, events=2, shape=(1, 3, 6, 9),
        dtype="|u1",
    )  # fmt: skip
    settings = {"axes": order} if said == "axes" else said

    report, found = exported(run, tmp_path / "out", **settings)

    assert report.ok, report.failed[0].error
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize("order", ORDERS)
def test_live_as_well(tmp_path, order):
    """`axes=` works in an ImageExporter."""
    run = in_line(COLOURS.transpose(ORDERS[order]), (6, 9))
    exporter = ImageExporter(NAME, directory=tmp_path, axes={"img": order})

    feed(exporter, run)
    exporter.close()

    (report,) = exporter.reports.values()
    assert report.ok
    found = [tifffile.imread(record.path) for record in report.written]
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize("order", ORDERS)
def test_the_old_exporter_as_well(tmp_path, order):
    """The hooks of LiveTiffExporter get rows, columns and samples."""
    run = hdf5_run(tmp_path, COLOURS.transpose(ORDERS[order]), (1, 3, 6, 9))
    seen = []

    class Mine(LiveTiffExporter):
        def event(self, doc):
            seen.append(doc["data"]["img"].shape)
            super().event(doc)

    exporter = Mine("img", str(tmp_path / "{event[seq_num]}.tif"))
    feed(exporter, run)

    assert seen == [(1, 6, 9, 3)] * 2
    found = [tifffile.imread(path) for path in sorted(tmp_path.glob("*.tif"))]
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize("order", ORDERS)
def test_get_images_gives_rows_columns_samples(tmp_path, order):
    """Whatever the order of axes in the file."""
    run = hdf5_run(tmp_path, COLOURS.transpose(ORDERS[order]), (6, 9))

    images = get_images(run, "img", axes=order)

    np.testing.assert_array_equal([image[0] for image in images], COLOURS)
    if order != "cyx":
        np.testing.assert_array_equal([i[0] for i in get_images(run, "img")], COLOURS)
    images = get_images(run, "img", colour=True)
    np.testing.assert_array_equal([image[0] for image in images], COLOURS)


@pytest.mark.parametrize("how", ["option", "file"])
def test_the_shell_takes_axes(tmp_path, how):
    """`--axes`, for all fields or one, and in a file."""
    run = hdf5_run(tmp_path, COLOURS.transpose(ORDERS["cyx"]), (6, 9))
    write_jsonl(run, tmp_path / "run.jsonl")
    asked = ["--axes", "yx", "--axes", "img=cyx"]
    if how == "file":
        (tmp_path / "a.toml").write_text("axes = ['yx', 'img=cyx']\n")
        asked = ["--config", str(tmp_path / "a.toml")]

    subprocess.run(
        [
            sys.executable, "-m", "tiffin", "export", str(tmp_path / "run.jsonl"),
            "-t", NAME, "-d", str(tmp_path / "out"), *asked,
        ],
        check=True,
    )  # fmt: skip

    found = [tifffile.imread(p) for p in sorted((tmp_path / "out").glob("*.tif"))]
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize(
    "axes",
    [
        "",
        "xc",
        "yxx",
        "yxcc",
        "y,x,",
        5,
        ("y", 5),
        {"img": "z"},
        {5: "yx"},
        [],
        "y,row,x",
    ],
)
def test_axes_are_checked_at_once(axes):
    """One y, one x, at most one c, and no letter twice."""
    with pytest.raises(SettingsError, match="axes"):
        ImageExporter(NAME, axes=axes)


def test_axes_that_do_not_fit_the_array_fail(tmp_path):
    """The error names the array's shape."""
    report, _ = exported(in_line(COLOURS, (6, 9)), tmp_path, axes="tyxcz")

    assert "[6, 9, 3]" in str(report.failed[0].error)
    assert len(report.failed) == 2


@pytest.mark.parametrize(
    "setting", [{"colour": ["imgg"]}, {"axes": {"imgg": "yxc"}}], ids=str
)
def test_a_misspelt_field_is_told_once(tmp_path, caplog, setting):
    """With the name that it may be; the images are exported, for settings may serve
    several detectors.
    """
    runs = [*in_line(COLOURS, (6, 9)), *in_line(COLOURS, (6, 9))]
    template = f"{{start.uid}}/{NAME}"
    report = tiffin.export(runs, template, tmp_path, **setting)

    (name,) = setting
    assert report.ok
    assert caplog.text.count(f"{name}= names 'imgg'") == 1
    assert "did you mean 'img'?" in caplog.text
    tiffin.export(runs, template, tmp_path / "dry", dry_run=True, **setting)
    assert caplog.text.count(f"{name}= names 'imgg'") == 2


@pytest.mark.parametrize("keys", [5, True, None, ["img"]])
def test_a_descriptor_without_a_table_ends_no_export(tmp_path, keys):
    """The run has its report and its sidecar."""
    run = in_line(COLOURS, (6, 9))
    broken = {**run[1][1], "uid": "broken", "name": "other", "data_keys": keys}
    run.insert(2, ("descriptor", broken))
    settings = {"colour": ["imgg"], "sidecars": ["run.json"]}
    report = tiffin.export(run, NAME, tmp_path, on_error="report", **settings)

    assert report.written
    assert [*tmp_path.rglob("*run.json")]


def test_fields_that_are_not_exported_are_not_misspelt(tmp_path, caplog):
    """They may be fields of events that no descriptor declares, too."""
    run = in_line(COLOURS, (6, 9, 3))
    run[1][1]["data_keys"]["other"] = {**run[1][1]["data_keys"].pop("img")}
    settings = {"fields": ["img"], "axes": {"other": "yxc", "img": "yxc"}}
    report, _ = exported(run, tmp_path, **settings)

    assert report.ok
    assert "names '" not in caplog.text


def test_resume_takes_the_same_axes_only(tmp_path):
    """Axes are among the settings that a resume compares and verify uses."""
    run = in_line(COLOURS.transpose(ORDERS["cyx"]), (6, 9))
    exported(run, tmp_path, axes="cyx")

    again, _ = exported(run, tmp_path, axes="cyx", existing="resume")
    other, _ = exported(run, tmp_path, existing="resume")

    assert len(again.skipped) == 2
    assert other.failed
    assert "axes" in str(other.failed[0].error)
    assert compare(tmp_path, run).ok

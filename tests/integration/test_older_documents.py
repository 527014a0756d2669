"""Documents of event-model's earlier years, which catalogues still hold."""

import copy

import h5py
import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import FRAMES, HDF5, hdf5, stream_run
from tests.helpers import NAME, check
from tests.run_forms import in_datums
from tiffin.assemble.legacy_documents import MIMETYPES


def test_bulk_datum_is_a_page_of_datums(tmp_path, read):
    """bulk_datum, since replaced by datum_page, may come before or after its events."""
    run = in_datums(FRAMES[:3], tmp_path)
    datums = [doc for name, doc in run if name == "datum"]
    bulk = (
        "bulk_datum",
        {
            "resource": run[2][1]["uid"],
            "datum_ids": [datum["datum_id"] for datum in datums],
            "datum_kwarg_list": [datum["datum_kwargs"] for datum in datums],
        },
    )
    rest = [pair for pair in run if pair[0] != "datum"]

    for n, documents in enumerate(
        ([*rest[:3], bulk, *rest[3:]], [*rest[:-1], bulk, rest[-1]])
    ):
        report = tiffin.export(documents, NAME, directory=tmp_path / f"out{n}")
        check(report, FRAMES[:3], read)


def test_a_bulk_datum_of_uneven_lists_is_a_failed_record(tmp_path):
    """Which arguments belong to which datum is not guessed."""
    run = in_datums(FRAMES[:1], tmp_path)
    bulk = {
        "resource": run[2][1]["uid"],
        "datum_ids": ["a", "b"],
        "datum_kwarg_list": [{"index": 0}],
    }

    report = tiffin.export(
        [*run[:-1], ("bulk_datum", bulk), run[-1]],
        NAME,
        directory=tmp_path / "out",
        on_error="report",
    )

    assert "bulk_datum" in str(report.failed[0].error)
    assert len(report.written) == 1


def older(run, spec, root, path, options):
    """Tell a run's stream resource as event-model before 1.20 had it."""
    run = copy.deepcopy(run)
    for name, doc in run:
        if name == "stream_resource":
            for key in ("uri", "mimetype", "parameters"):
                del doc[key]
            doc.update(
                spec=spec, root=str(root), resource_path=path, resource_kwargs=options,
                path_semantics="posix",
            )  # fmt: skip
    return run


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("AD_HDF5_SWMR_STREAM", {"dataset": "/entry/data/data"}),
        ("AD_HDF5_SWMR_SLICE", {"path": "/entry/data/data", "multiplier": 1}),
        ("AD_HDF5", {}),
        ("ad_hdf5", {"frame_per_point": 1}),
    ],
)
def test_an_older_stream_resource_of_hdf5(tmp_path, read, spec, options):
    """The spec gives the mimetype, and root and path give the URI."""
    run = stream_run(hdf5(tmp_path / "a.h5"), HDF5, {}, events=12)

    report = tiffin.export(
        older(run, spec, tmp_path, "a.h5", options), NAME, directory=tmp_path / "out"
    )

    check(report, FRAMES, read)


def test_an_older_stream_resource_of_tiff_files(tmp_path, read):
    """The template is in C's format, and begins with the file's name."""
    (tmp_path / "files").mkdir()
    for n, frame in enumerate(FRAMES):
        tifffile.imwrite(tmp_path / f"files/a_{n:06d}.tiff", frame)
    run = stream_run("file:///x/", "multipart/related;type=image/tiff", {}, events=12)
    options = {"template": "%s_%6.6d.tiff", "filename": "a", "chunk_shape": [1, 6, 9]}

    report = tiffin.export(
        older(run, "AD_TIFF", tmp_path, "files/", options),
        NAME,
        directory=tmp_path / "out",
    )

    check(report, FRAMES, read)


def test_images_a_point_of_an_older_stream_resource_have_numbers(tmp_path, read):
    """A multiplier beside (Y, X): {frame} counts all images of an event."""
    run = stream_run(hdf5(tmp_path / "a.h5"), HDF5, {}, shape=(6, 9))
    options = {"path": "/entry/data/data", "multiplier": 3}

    report = tiffin.export(
        older(run, "AD_HDF5_SWMR_SLICE", tmp_path, "a.h5", options),
        "{frame:02d}.tif",
        directory=tmp_path / "out",
    )

    check(report, FRAMES, read)
    assert [r.path.name for r in report.written] == [f"{n:02d}.tif" for n in range(12)]


def test_an_older_spec_that_nobody_knows_is_named(tmp_path):
    """One failed record an event names field, stream, seq_num and spec."""
    run = stream_run("file:///x.bin", HDF5, {}, events=3)

    report = tiffin.export(
        older(run, "SPEC_OF_1990", tmp_path, "x.bin", {}),
        NAME,
        directory=tmp_path / "out",
        on_error="report",
    )

    told = [(record.field, record.stream, record.seq_num) for record in report.failed]
    assert told == [("img", "primary", n) for n in (1, 2, 3)]
    assert "SPEC_OF_1990" in str(report.failed[0].error)


def test_the_specs_are_those_that_tiled_knows():
    """bluesky-tiled-plugins maps the same specs to the same mimetypes."""
    from bluesky_tiled_plugins.writing.tiled_writer import MIMETYPE_LOOKUP

    images = {
        spec: kind for spec, kind in MIMETYPE_LOOKUP.items() if "text" not in kind
    }

    assert images == MIMETYPES


@pytest.mark.parametrize(
    ("root", "path", "semantics"),
    [
        ("", "{}/a.h5", "posix"),
        ("/elsewhere", "{}/a.h5", "posix"),
        ("/", "{}/a.h5", "x"),
    ],
)
def test_an_absolute_path_stands_for_itself(tmp_path, read, root, path, semantics):
    """Root and path are joined as databroker joins them."""
    run = stream_run(hdf5(tmp_path / "a.h5"), HDF5, {}, events=12)
    run = older(run, "AD_HDF5", root, path.format(tmp_path), {})

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


def test_a_path_of_windows_can_be_mapped(tmp_path, read):
    """path_semantics says how it was written, and root_map where it is here."""
    (tmp_path / "x").mkdir()
    with h5py.File(tmp_path / "x/a.h5", "w") as file:
        file.create_dataset("/entry/data/data", data=np.asarray(FRAMES))
    run = older(
        stream_run("file:///x", HDF5, {}, events=12),
        "AD_HDF5",
        "D:\\data",
        "x\\a.h5",
        {},
    )
    for name, doc in run:
        if name == "stream_resource":
            doc["path_semantics"] = "windows"

    report = tiffin.export(
        run, NAME, directory=tmp_path / "out", root_map={"D:\\data": str(tmp_path)}
    )

    check(report, FRAMES, read)

"""Documents as they should not be: nothing is lost silently, nobody's plan ends."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from bluesky.plans import count

import tiffin
from tests.helpers import feed
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.errors import (
    DtypeError,
    FieldError,
    SettingsError,
    SourceError,
)
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num}.tif"
IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)


class Roi(NamedTuple):
    """Metadata as people have them."""

    rows: Any
    columns: Any


@pytest.fixture
def run():
    """Return a run of three images."""
    return run_of({"img": IMAGES, "x": [1.0, 2.0, 3.0]}, scan_id=7)


def exporters(folder):
    yield ImageExporter(NAME, directory=folder / "image", fields="img")
    yield LiveTiffExporter("img", f"{folder}/live/{NAME}")


def test_named_tuples_in_metadata_do_not_end_the_plan(RE, img, tmp_path):
    """Metadata may hold any tuple; the exporter copies it."""
    for exporter in exporters(tmp_path):
        RE(count([img], 2), exporter, roi=Roi([1, 2], [3, 4]))

        (report,) = exporter.reports.values()
        assert len(report.written) == 2


@pytest.mark.parametrize("document", [None, 5, [], {"data": 3}])
@pytest.mark.parametrize("name", ["start", "descriptor", "event", "stop"])
def test_what_is_no_document_is_a_failed_record(tmp_path, name, document):
    """An exporter raises only for the user's own wrong settings."""
    for exporter in exporters(tmp_path):
        exporter(name, document)
        exporter.finish()

        assert len(exporter.reports[""].failed) == 1


@pytest.mark.parametrize("fields", [None, "img"])
def test_a_field_that_no_event_holds_is_a_failure(run, tmp_path, fields):
    """S16: a field that no event of the run has is a failure, live and replayed."""
    for name, doc in run:
        if name == "event":
            del doc["data"]["img"]

    report = tiffin.export(
        run, NAME, directory=tmp_path / "a", fields=fields, on_error="report"
    )
    live = ImageExporter(NAME, directory=tmp_path / "b", fields=fields)
    feed(live, run)

    for told in (report, *live.reports.values()):
        assert not told.ok
        assert len(told.skipped) == 3
        assert isinstance(told.failed[0].error, FieldError)


def test_a_run_given_twice_is_exported_once(run, tmp_path):
    """B10: documents with a known uid are the same documents."""
    report = tiffin.export([run, run], NAME, directory=tmp_path / "out")

    assert report.ok
    assert len(report.records) == 3


class Broken:
    """A header of a store that fails in the midst of its documents."""

    def __init__(self, run):
        self._run = run

    def documents(self):
        yield from self._run[:3]
        message = "blob"
        raise KeyError(message)


def test_a_store_that_fails_is_a_failed_record_and_the_others_go_on(run, tmp_path):
    """The problem is one failed record; good runs beside it are exported."""
    other = run_of({"img": IMAGES}, scan_id=8)

    report = tiffin.export(
        [Broken(run), other], NAME, directory=tmp_path, on_error="report"
    )

    assert sorted(record.path.name for record in report.written) == [
        "7_1.tif",
        "8_1.tif",
        "8_2.tif",
        "8_3.tif",
    ]
    assert any("blob" in str(record.error) for record in report.failed)


@pytest.mark.parametrize(
    ("name", "lacks", "instead"),
    [
        ("start", "uid", {}),
        ("descriptor", "data_keys", {}),
        ("descriptor", "data_keys", {"data_keys": [1]}),
        ("descriptor", "data_keys", {"data_keys": {"img": None}}),
        ("event", "data", {}),
        ("event", "seq_num", {}),
    ],
)
def test_a_document_that_lacks_something_is_a_failed_record(
    run, tmp_path, name, lacks, instead
):
    """No raw KeyError is raised, whatever a document lacks."""
    damaged = next(doc for kind, doc in run if kind == name)
    del damaged[lacks]
    damaged.update(instead)

    report = tiffin.export(run, NAME, directory=tmp_path / "a", on_error="report")
    process = tiffin.process(run, ImageExporter(NAME, directory=tmp_path / "b"))

    assert any(isinstance(record.error, SourceError) for record in report.failed)
    assert any(told.failed for told in process.values())


def without_stop():
    """Return a run with a datum that nobody can read, whose recorder died."""
    data_key = {"source": "S", "dtype": "array", "shape": [6, 9], "external": "F:"}
    start = {"uid": "run-1", "time": 0, "scan_id": 1}
    descriptor = {
        "uid": "d-1",
        "run_start": "run-1",
        "name": "primary",
        "time": 0,
        "data_keys": {"img": data_key},
    }
    resource = {
        "uid": "r-1",
        "run_start": "run-1",
        "spec": "NPY_SEQ",
        "root": "/nonexistent",
        "resource_path": "x",
        "resource_kwargs": {},
    }
    datum = {"datum_id": "r-1/0", "resource": "r-1", "datum_kwargs": {"index": 0}}
    event = {
        "uid": "e-1",
        "descriptor": "d-1",
        "seq_num": 1,
        "time": 1,
        "timestamps": {},
        "data": {"img": "r-1/0"},
        "filled": {"img": False},
    }
    return [
        ("start", start),
        ("descriptor", descriptor),
        ("resource", resource),
        ("datum", datum),
        ("event", event),
    ]


@pytest.mark.parametrize("described", [True, False])
def test_processing_a_run_without_stop_ends_and_looks_once(tmp_path, described):
    """A replay of an old run looks for files once, and reports what was never
    described.
    """
    documents = without_stop()
    if not described:
        del documents[3]
    for exporter in (
        ImageExporter(NAME, directory=tmp_path, asset_timeout=3600),
        LiveTiffExporter("img", f"{tmp_path}/{NAME}"),
    ):
        reports = tiffin.process(documents, exporter)

        assert [record.seq_num for record in reports["run-1"].failed] == [1]


def test_waiting_for_an_open_run_is_bounded(tmp_path):
    """The caller itself may have to end the run, so `wait` returns False."""
    exporter = ImageExporter(NAME, directory=tmp_path, asset_timeout=0.3)
    feed(exporter, without_stop())

    assert not exporter.wait()

    exporter.close()
    assert len(exporter.reports["run-1"].failed) == 1


def lists(*frames):
    run = run_of({"img": [np.asarray(f) for f in frames]}, dtype_numpy=False, scan_id=7)
    for name, doc in run:
        if name == "event":
            doc["data"]["img"] = doc["data"]["img"].tolist()
    return run


def test_lists_become_one_dtype_by_every_way_in(tmp_path, read):
    """The dtype is not chosen frame by frame: here whole numbers first, then
    fractions.
    """
    run = lists([[1, 2], [3, 4]], [[1.5, 2], [3, 4]])
    image = ImageExporter(NAME, directory=tmp_path / "image")
    old = LiveTiffExporter("img", f"{tmp_path}/live/{NAME}")

    images = tiffin.get_images(run, "img")
    tiffin.process(run, image)
    tiffin.process(run, old)

    assert [array.dtype for array in images] == ["float64", "float64"]
    for folder in ("image", "live"):
        for n, expected in enumerate(images, 1):
            written = read(tmp_path / folder / f"7_{n}.tif")
            assert written.dtype == np.float64
            np.testing.assert_array_equal(written, expected)


def test_get_images_takes_a_dtype_for_lists():
    """It takes the dtype= that the message advises."""
    run = lists([[1, 70000], [3, 4]])

    images = tiffin.get_images(run, "img", dtype="uint32")

    assert images[0].dtype == np.uint32
    with pytest.raises(DtypeError):
        tiffin.get_images(run, "img", dtype="uint16")[0]


def test_arrays_of_several_dtypes_are_no_stack(tmp_path):
    """Stacking makes no implicit cast either."""
    run = run_of({"img": IMAGES}, scan_id=7)
    run[2][1]["data"]["img"] = [IMAGES[0], IMAGES[0].astype("f8")]

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert "uint16" in str(report.failed[0].error)
    assert len(report.written) == 2


def numbered(doc, n):
    """Return a document of another run."""
    return {
        key: value.replace("-1", f"-{n}") if isinstance(value, str) else value
        for key, value in doc.items()
    }


def test_ended_runs_leave_little_behind(tmp_path):
    """S45: one run that never stops does not keep the others in memory."""
    exporter = ImageExporter(NAME, directory=tmp_path, existing="replace")
    feed(exporter, without_stop()[:2])
    for n in range(2, 20):
        for name, doc in without_stop():
            exporter(name, numbered(doc, n))
        exporter("stop", {"uid": "s", "run_start": f"run-{n}", "time": 1})

    assert set(exporter._pipeline.open_runs._run_of.values()) == {"run-1"}
    exporter.finish()


@pytest.mark.parametrize(
    "arguments",
    [{"dry_run": "no"}, {"root_map": 5}, {"fields": 3}, {"timezone": "Mars/Crater"}],
)
def test_settings_of_wrong_types_are_refused(run, tmp_path, arguments):
    """The error says what was got and what is allowed."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        tiffin.export(run, NAME, directory=tmp_path, **arguments)


def test_the_old_exporter_refuses_a_field_that_is_none():
    """It takes one field, and never took a list."""
    with pytest.raises(ValueError, match="one field"):
        LiveTiffExporter(["img"], NAME)


def test_a_subclass_may_choose_its_field_at_start(run, tmp_path, read):
    """`self.field` decides what is exported."""

    class Chooses(LiveTiffExporter):
        def start(self, doc):
            self.field = "img"
            super().start(doc)

    exporter = Chooses("other", f"{tmp_path}/{NAME}")
    tiffin.process(run, exporter)

    assert len(exporter.filenames) == 3
    np.testing.assert_array_equal(read(exporter.filenames[0]), IMAGES[0])


def test_a_subclass_may_save_under_another_name(run, tmp_path):
    """The report names the files that exist."""

    class Renames(LiveTiffExporter):
        def _save_image(self, image, filename):
            super()._save_image(image, filename.replace("7_", "sub_7_"))

    exporter = Renames("img", f"{tmp_path}/{NAME}")
    reports = tiffin.process(run, exporter)

    (report,) = reports.values()
    assert all(record.path.exists() for record in report.written)
    assert [str(record.path) for record in report.written] == exporter.filenames


@pytest.mark.parametrize("folder", ["\ud800", "a\0b"])
def test_a_root_that_no_system_takes_is_refused_at_once(tmp_path, folder):
    """A lone surrogate or NUL in a path is refused by the constructor."""
    with pytest.raises(SettingsError, match="directory must be a path"):
        ImageExporter(NAME, directory=f"{tmp_path}/{folder}")

"""Live, from a real RunEngine."""

import logging
import subprocess
import sys
import threading
import uuid

import h5py
import numpy as np
import pytest
import tifffile
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.plans import count, scan
from ophyd.sim import NullStatus, SynSignal, motor

import tiffin
from tests.helpers import export_live, feed, until
from tiffin import ImageExporter
from tiffin.errors import ExistsError, MissingKeyError, SettingsError, TemplateError
from tiffin.testing import run_of

NAME = "{start.scan_id}_step{event.seq_num}.tif"


@pytest.mark.parametrize(
    "template", [NAME, "{start[scan_id]}_step{event[seq_num]}.tif"]
)
def test_the_files_are_there_when_the_engine_returns(
    RE, img, images, tmp_path, read, template
):
    """S01, S40: after RE(plan, exporter) all files are written."""
    exporter = ImageExporter(template, directory=tmp_path, fields=["img"])

    (uid,) = RE(count([img], 3), exporter)

    names = [path.name for path in sorted(tmp_path.glob("*.tif"))]
    assert names == ["1_step1.tif", "1_step2.tif", "1_step3.tif"]
    for record, image in zip(
        exporter.reports[uid].written, images.taken(3), strict=True
    ):
        np.testing.assert_array_equal(read(record.path), image)


def test_a_subscription_takes_run_after_run(RE, img, tmp_path, names_in):
    """S21, S37: one instance exports many runs; reports outlive their runs."""
    exporter = ImageExporter(NAME, directory=tmp_path)
    RE.subscribe(exporter)

    uids = [RE(count([img], 2))[0] for _ in range(3)]

    assert names_in(tmp_path) == [f"{n}_step{s}.tif" for n in (1, 2, 3) for s in (1, 2)]
    assert list(exporter.reports) == uids
    assert all(exporter.reports[uid].ok for uid in uids)


def test_nested_runs_are_kept_apart(RE, img, tmp_path, names_in):
    """S21: two runs, open at once."""

    @bpp.set_run_key_decorator("inner")
    @bpp.run_decorator(md={"which": "inner"})
    def inner():
        yield from bps.trigger_and_read([img])

    @bpp.set_run_key_decorator("outer")
    @bpp.run_decorator(md={"which": "outer"})
    def outer():
        yield from bps.trigger_and_read([img])
        yield from inner()
        yield from bps.trigger_and_read([img])

    exporter = ImageExporter("{start.which}_{event.seq_num}.tif", directory=tmp_path)
    RE(outer(), exporter)

    assert names_in(tmp_path) == ["inner_1.tif", "outer_1.tif", "outer_2.tif"]


@pytest.mark.parametrize("first", [True, False])
def test_external_files_are_read_live(
    RE, external, images, broker, tmp_path, read, first
):
    """S40: subscribed before or after the catalogue's insert."""
    exporter = ImageExporter(NAME, directory=tmp_path / "out")
    for callback in (
        [exporter, broker.v1.insert] if first else [broker.v1.insert, exporter]
    ):
        RE.subscribe(callback)

    (uid,) = RE(count([external], 2))

    for record, image in zip(
        exporter.reports[uid].written, images.taken(2), strict=True
    ):
        np.testing.assert_array_equal(read(record.path), image)
        assert record.dtype == np.uint16


class GrowingFile:
    """A detector whose file, in SWMR mode, has an image more at each trigger."""

    name, parent = "img", None

    def __init__(self, folder, spec, images):
        self._path, self._spec, self._images = folder / "a.h5", spec, images
        self._resource = str(uuid.uuid4())

    def stage(self):
        self._file = h5py.File(self._path, "w", libver="latest")
        shape = self._images.shape[1:]
        self._data = self._file.create_dataset(
            "/entry/data/data", (0, *shape), "u2", maxshape=(None, *shape), chunks=True
        )
        self._file.swmr_mode = True
        self._documents = [("resource", {
            "uid": self._resource, "spec": self._spec, "root": str(self._path.parent),
            "resource_path": "a.h5", "resource_kwargs": {"frame_per_point": 1},
            "path_semantics": "posix",
        })]  # fmt: skip
        return [self]

    def unstage(self):
        self._file.close()
        return [self]

    def trigger(self):
        number = len(self._data)
        self._data.resize(number + 1, axis=0)
        self._data[number] = self._images[number]
        self._data.flush()
        datum = {"datum_id": f"{self._resource}/{number}", "resource": self._resource}
        datum["datum_kwargs"] = {"point_number": number}
        self._documents.append(("datum", datum))
        return NullStatus()

    def read(self):
        datum = f"{self._resource}/{len(self._data) - 1}"
        return {"img": {"value": datum, "timestamp": 1.0}}

    def describe(self):
        shape = [1, *self._images.shape[1:]]
        return {"img": {
            "source": "SIM", "dtype": "array", "shape": shape, "external": "FILESTORE:",
        }}  # fmt: skip

    def describe_configuration(self):
        return {}

    read_configuration = describe_configuration

    def collect_asset_docs(self):
        documents, self._documents = self._documents, []
        yield from documents


class TiffFiles(GrowingFile):
    """A detector that writes a TIFF at each trigger, as EPICS' TIFF plugin does."""

    def stage(self):
        self._data = []
        self._documents = [("resource", {
            "uid": self._resource, "spec": self._spec, "root": "/",
            "resource_path": str(self._path.parent).lstrip("/"),
            "path_semantics": "posix", "resource_kwargs": {
                "template": "%s%s_%6.6d.tiff", "filename": "ad", "frame_per_point": 1,
            },
        })]  # fmt: skip
        return [self]

    def unstage(self):
        return [self]

    def trigger(self):
        number = len(self._data)
        self._data.append(number)
        path = self._path.with_name(f"ad_{number:06d}.tiff")
        tifffile.imwrite(path, self._images[number])
        datum = {"datum_id": f"{self._resource}/{number}", "resource": self._resource}
        datum["datum_kwargs"] = {"point_number": number}
        self._documents.append(("datum", datum))
        return NullStatus()


@pytest.mark.parametrize("first", [True, False])
def test_files_of_ad_tiff_are_exported_live(RE, broker, tmp_path, read, first):
    """S40: subscribed before or after the catalogue's insert."""
    images = np.arange(5 * 6 * 9, dtype="u2").reshape(5, 6, 9)
    (tmp_path / "raw").mkdir()
    detector = TiffFiles(tmp_path / "raw", "AD_TIFF", images)
    exporter = ImageExporter(NAME, directory=tmp_path / "out")
    callbacks = [exporter, broker.v1.insert]
    for callback in callbacks if first else callbacks[::-1]:
        RE.subscribe(callback)

    (uid,) = RE(count([detector], 5))

    report = exporter.reports[uid]
    assert str(report) == "5 written, 0 skipped, 0 failed"
    for record, image in zip(report.written, images, strict=True):
        np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize("spec", ["AD_HDF5", "AD_HDF5_SWMR"])
def test_a_file_that_grows_with_the_scan_costs_no_waiting(RE, tmp_path, read, spec):
    """S40: what is readable at the stop document is written when the engine returns."""
    images = np.arange(20 * 6 * 9, dtype="u2").reshape(20, 6, 9)
    exporter = ImageExporter(NAME, directory=tmp_path / "out")

    RE(count([GrowingFile(tmp_path, spec, images)], 20), exporter)

    (report,) = exporter.reports.values()
    assert str(report) == "20 written, 0 skipped, 0 failed"
    for record, image in zip(report.written, images, strict=True):
        np.testing.assert_array_equal(read(record.path), image)


def test_scan_values_are_in_the_names(RE, img, tmp_path, names_in):
    """Names contain metadata of the scan, as in the recipe."""
    exporter = ImageExporter("{event.data.motor:+.1f}.tif", directory=tmp_path)

    RE(scan([img], motor, -1, 1, 3), exporter)

    assert names_in(tmp_path) == ["+0.0.tif", "+1.0.tif", "-1.0.tif"]


def test_a_missing_key_does_not_end_the_plan(RE, img, tmp_path, caplog):
    """S44: it is reported at the start document, logged once, and the run goes on."""
    exporter = ImageExporter("{start.sampel}_{event.seq_num}.tif", directory=tmp_path)
    stops = []

    (uid,) = RE(
        count([img], 3),
        {"all": exporter, "stop": lambda name, doc: stops.append(doc)},
        sample="UO2",
    )

    assert stops[0]["exit_status"] == "success"
    report = exporter.reports[uid]
    assert len(report.failed) == 3
    assert "did you mean 'sample'" in str(report.failed[0].error)
    errors = [r.name for r in caplog.records if r.levelno == logging.ERROR]
    assert errors == ["tiffin", "tiffin.scans"]


def test_a_missing_key_raises_at_start_when_asked(RE, img, tmp_path):
    """S05: before the beam is used."""
    exporter = ImageExporter("{start.sampel}.tif", directory=tmp_path, on_error="raise")
    events = []

    with pytest.raises(MissingKeyError):
        RE(count([img], 3), {"all": exporter, "event": lambda n, d: events.append(d)})

    assert events == []


def test_an_existing_file_raises_at_stop_when_asked(RE, img, tmp_path):
    """Errors after the start are raised at the stop, with the report."""
    (tmp_path / "1_step2.tif").write_bytes(b"precious")
    exporter = ImageExporter(NAME, directory=tmp_path, on_error="raise")

    with pytest.raises(ExistsError) as caught:
        RE(count([img], 3), exporter)

    statuses = [record.status for record in caught.value.report.records]
    assert statuses == ["written", "failed", "written"]
    assert (tmp_path / "1_step2.tif").read_bytes() == b"precious"


def test_a_full_or_broken_folder_does_not_end_the_plan(RE, img, tmp_path):
    """S44: the disk's error is in the report."""
    (tmp_path / "out").write_text("a file, no folder")
    exporter = ImageExporter(NAME, directory=tmp_path / "out")

    (uid,) = RE(count([img], 2), exporter)

    assert len(exporter.reports[uid].failed) == 2


@pytest.mark.parametrize("nonsense", [{}, {"uid": 3}, {"descriptor": None}])
@pytest.mark.parametrize(
    "name", ["start", "descriptor", "event", "stop", "datum", "what"]
)
def test_nonsense_never_raises(tmp_path, name, nonsense):
    """S44, S45: whatever documents hold, nothing is raised into the RunEngine."""
    with ImageExporter(NAME, directory=tmp_path) as exporter:
        exporter(name, nonsense)
        for real in run_of({"img": np.ones((1, 6, 9), "u2")}, scan_id=1):
            exporter(*real)

    assert (tmp_path / "1_step1.tif").exists()


def test_joining_in_the_midst_of_a_run_is_harmless(tmp_path, caplog):
    """S45: a stop without start, events without descriptor."""
    run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=1)

    with ImageExporter(NAME, directory=tmp_path) as exporter:
        feed(exporter, run[2:])

    assert list(exporter.reports) == [""]  # of no run that is known
    assert not exporter.reports[""].ok
    assert "without their descriptor" in caplog.text


def test_a_run_without_stop_is_finished_by_close(tmp_path):
    """S45: a start document without its stop."""
    run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=1)

    with ImageExporter(NAME, directory=tmp_path) as exporter:
        feed(exporter, run[:-1])
        assert exporter.wait(60)
        (report,) = exporter.reports.values()

    assert len(report.written) == 2


def test_subscribers_behind_the_exporter_see_raw_documents(RE, img, images, tmp_path):
    """S30: a second exporter does, too."""
    seen = []

    def double(image, frame):
        return image * np.uint16(2)

    RE.subscribe(ImageExporter("a_" + NAME, directory=tmp_path, corrections=[double]))
    RE.subscribe(
        lambda name, doc: seen.append(doc["data"]["img"]) if name == "event" else 0
    )
    second = ImageExporter("b_" + NAME, directory=tmp_path)
    RE.subscribe(second)

    RE(count([img], 2))

    for shown, image in zip(seen, images.taken(2), strict=True):
        np.testing.assert_array_equal(shown, image)


def test_a_subscriber_that_replaces_data_does_not_reach_the_files(
    RE, images, tmp_path, read
):
    """S30: later changes to a document do not appear in the files."""
    exporter = ImageExporter(NAME, directory=tmp_path)
    RE.subscribe(exporter)

    def vandal(name, doc):
        if name == "event":
            doc["data"]["img"] = np.zeros((2, 2), "u1")

    RE.subscribe(vandal)
    (uid,) = RE(count([SynSignal(name="img", func=images)], 1))

    (record,) = exporter.reports[uid].written
    np.testing.assert_array_equal(read(record.path), images.taken(1)[0])


def test_live_and_replayed_files_are_the_same(RE, img, tmp_path, names_in):
    """S01: byte for byte."""
    documents = []
    exporter = ImageExporter(NAME, directory=tmp_path / "live")
    RE(scan([img], motor, -1, 1, 3), [exporter, lambda *pair: documents.append(pair)])

    tiffin.export(documents, NAME, directory=tmp_path / "later")

    names = names_in(tmp_path / "live")
    assert names == names_in(tmp_path / "later")
    for name in names:
        live, later = tmp_path / "live" / name, tmp_path / "later" / name
        assert live.read_bytes() == later.read_bytes()


def test_the_first_frame_keeps_a_contested_name_live(tmp_path, read):
    """Contract: the others fail, and nothing else is lost."""
    images = np.stack([np.full((6, 9), n, "u2") for n in (1, 2, 3)])

    report = export_live(
        run_of({"img": images, "x": [1, 1, 1]}), "{event.data.x}.tif", tmp_path
    )
    assert [record.status for record in report.records] == [
        "written",
        "failed",
        "failed",
    ]
    assert read(tmp_path / "1.tif")[0, 0] == 1


@pytest.mark.parametrize("points", [None, 3, "3", 1], ids=repr)
def test_a_name_for_many_events_is_refused_before_the_first(tmp_path, names_in, points):
    """S09: live, at the descriptor, unless the plan declares a single event."""
    run = run_of({"img": np.zeros((3, 6, 9), "u2")}, scan_id=1)
    if points is not None:
        run[0][1]["num_points"] = points
    events = run[:3] if points == 1 else run

    report = export_live(events, "{start.scan_id}.tif", tmp_path)
    if points == 1:
        assert names_in(tmp_path) == ["1.tif"]
    else:
        assert names_in(tmp_path) == []
        assert "add {event.seq_num}" in str(report.failed[0].error)


def test_streams_that_a_name_can_not_tell_apart_are_told(tmp_path, names_in):
    """S09, S18: at the second stream's descriptor, with the field to add."""
    start, descriptor, *events, stop = run_of({"img": np.zeros((2, 6, 9), "u2")})
    dark = run_of({"img": np.zeros((2, 6, 9), "u2")}, stream="dark")
    dark[1][1]["run_start"] = start[1]["uid"]

    report = export_live(
        [start, descriptor, *events, *dark[1:-1], stop],
        "{event.seq_num}.tif",
        tmp_path,
        streams=None,
    )
    assert names_in(tmp_path) == ["1.tif", "2.tif"]
    assert len(report.failed) == 2
    assert "streams dark and primary: add {stream}" in str(report.failed[0].error)


def test_a_dry_run_names_live_what_would_be_written(RE, img, tmp_path, names_in):
    """S36: the names are those of a real export."""
    exporter = ImageExporter(NAME, directory=tmp_path / "out", dry_run=True)

    (uid,) = RE(count([img], 2), exporter)

    planned = [record.path.name for record in exporter.reports[uid].planned]
    assert planned == ["1_step1.tif", "1_step2.tif"]
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"template": "{strat.uid}"}, TemplateError),
        ({"existing": "clobber"}, SettingsError),
    ],
)
def test_wrong_settings_raise_in_the_constructor(tmp_path, arguments, error):
    """Before the beam, whatever on_error says."""
    with pytest.raises(error):
        ImageExporter(**({"template": NAME, "directory": tmp_path} | arguments))


def test_an_exporter_let_go_leaves_no_thread(tmp_path):
    """Threads end with the exporter, even without close()."""
    before = threading.active_count()
    exporter = ImageExporter(NAME, directory=tmp_path)
    feed(exporter, run_of({"img": np.ones((1, 6, 9), "u2")}, scan_id=1))
    del exporter

    until(lambda: threading.active_count() <= before)


def test_an_interpreter_that_exits_writes_what_it_was_given(tmp_path, names_in):
    """Even without a stop document, close() or wait()."""
    code = (
        "import sys, numpy, tiffin\n"
        "from tiffin.testing import run_of\n"
        "exporter = tiffin.ImageExporter(sys.argv[1], directory=sys.argv[2])\n"
        "run = run_of({'img': numpy.ones((20, 256, 256), 'u2')}, scan_id=1)\n"
        "[exporter(*pair) for pair in run[:-1]]\n"
    )

    subprocess.run([sys.executable, "-c", code, NAME, tmp_path], check=True, timeout=60)

    assert len(names_in(tmp_path)) == 20


def test_a_buffer_that_a_detector_reuses_does_no_harm(tmp_path, read):
    """Each file holds the pixels that its event had when it came."""
    buffer = np.zeros((256, 256), "u2")
    run = run_of({"img": [buffer] * 3}, scan_id=1)

    with ImageExporter(NAME, directory=tmp_path) as exporter:
        value = 0
        for name, doc in run:
            if name == "event":
                value += 1
                buffer[:] = value
            exporter(name, doc)

    assert [read(tmp_path / f"1_step{n}.tif")[0, 0] for n in (1, 2, 3)] == [1, 2, 3]


def test_metadata_changed_in_the_midst_of_a_run_does_not_show(tmp_path, names_in):
    """Documents are copied, nested values too."""
    run = run_of({"img": np.ones((2, 6, 9), "u2")}, sample={"n": 1})

    template = "{start.sample.n}_{event.seq_num}.tif"
    with ImageExporter(template, directory=tmp_path) as exporter:
        for name, doc in run:
            exporter(name, doc)
            run[0][1]["sample"]["n"] += 1

    assert names_in(tmp_path) == ["1_1.tif", "1_2.tif"]

"""bluesky-darkframes: its preprocessor, its snapshots, its own simulated detector."""

import json

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.plans import count, list_scan

import tiffin
from tests.stores import LIBRARIES_WARN, tiled_writer
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.corrections import DarkSubtract

pytestmark = LIBRARIES_WARN

NAME = "{start.scan_id}_{kind}_{event.seq_num}.tif"
SUBTRACT = [DarkSubtract(stream="dark")]


@pytest.fixture
def sim():
    """The package's module of simulated devices, with its shutter open."""
    from bluesky_darkframes import sim

    sim.shutter_state["state"] = "open"
    return sim


@pytest.fixture
def detector(sim, tmp_path):
    """A detector that writes 200 x 200 counts of uint16 into files of its own."""
    detector = sim.DiffractionDetector(name="det")
    detector.save_path = str(tmp_path / "detector")
    (tmp_path / "detector").mkdir()
    detector.exposure_time.put(0.01)
    return detector


@pytest.fixture
def darkened(sim, detector, monkeypatch):
    """A preprocessor that takes a dark for each exposure time, and keeps it."""
    import bluesky_darkframes
    from bluesky_darkframes import DarkFramePreprocessor, SnapshotDevice

    # From Python 3.12 on, a RunEngine does not see what the shell of 0.6.0 passes on by
    # __getattr__ (protocols are looked up statically): it neither stages the dark nor
    # asks for its datum documents. With methods of its own it does, on any Python.
    for name in ("stage", "unstage", "collect_asset_docs"):
        monkeypatch.setattr(
            bluesky_darkframes._SnapshotShell, name, passed_on(name), raising=False
        )

    shutter = sim.Shutter(name="shutter", value="open")

    def take_dark(detector):
        # Staged anew, so that the dark has a resource of its own.
        yield from bps.unstage(detector)
        yield from bps.stage(detector)
        yield from bps.mv(shutter, "closed")
        yield from bps.trigger(detector, group="bluesky-darkframes-trigger")
        yield from bps.wait("bluesky-darkframes-trigger")
        snapshot = SnapshotDevice(detector)
        yield from bps.mv(shutter, "open")
        yield from bps.unstage(detector)
        yield from bps.stage(detector)
        return snapshot

    return DarkFramePreprocessor(
        dark_plan=take_dark,
        detector=detector,
        max_age=3600,
        locked_signals=[detector.exposure_time],
    )


def passed_on(name):
    return lambda shell: getattr(shell.get_snapshot(), name)()


@pytest.fixture
def documents(RE):
    """All documents, as they come."""
    kept = []
    RE.subscribe(lambda name, doc: kept.append((name, doc)))
    return kept


def light_less_dark(sim):
    """Return what must be left of each light, in whole numbers."""
    light = sim.generate_image().astype(np.int64)
    return light - sim.generate_dark_frame().astype(np.int64)


def check(report, numbers, sim, read):
    assert report.ok, report.failed[:1]
    assert [record.path.name for record in report.written] == [
        f"{report.written[0].path.name.split('_')[0]}_sub_{n}.tif" for n in numbers
    ]
    for record in report.written:
        pixels = read(record.path)
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels.astype(np.int64), light_less_dark(sim))
        assert (pixels == np.rint(pixels)).all()


def test_a_dark_stream_is_subtracted_live(RE, detector, darkened, sim, tmp_path, read):
    """S25: one snapshot before the first light; the counts are exact."""
    exporter = ImageExporter(NAME, directory=tmp_path / "out", corrections=SUBTRACT)

    (uid,) = RE(darkened(count([detector], 3)), exporter)

    check(exporter.reports[uid], [1, 2, 3], sim, read)


def test_a_dark_that_is_used_again_in_the_next_run(
    RE, detector, darkened, documents, sim, tmp_path, read
):
    """S25: the snapshot declares its files again under other uids; live and
    replayed.
    """
    exporter = ImageExporter(NAME, directory=tmp_path / "live", corrections=SUBTRACT)
    RE.subscribe(exporter)

    uids = [RE(darkened(count([detector], 2)))[0] for _ in range(2)]
    report = tiffin.export(
        documents, NAME, directory=tmp_path / "later", corrections=SUBTRACT
    )

    resources = [doc["resource_path"] for name, doc in documents if name == "resource"]
    assert len(set(resources)) < len(resources)  # the dark's file is in both runs
    for uid in uids:
        check(exporter.reports[uid], [1, 2], sim, read)
    assert report.ok
    for live, later in zip(
        [record for uid in uids for record in exporter.reports[uid].written],
        report.written,
        strict=True,
    ):
        assert live.path.read_bytes() == later.path.read_bytes()


def test_a_dark_for_each_setting(
    RE, detector, darkened, documents, sim, tmp_path, read
):
    """S25: a run with several darks; each light takes the latest before it."""
    plan = list_scan([detector], detector.exposure_time, [0.01, 0.01, 0.02, 0.02])
    folder = tmp_path / "live"
    exporter = ImageExporter(NAME, directory=folder, corrections=SUBTRACT)

    (uid,) = RE(darkened(plan), exporter)

    check(exporter.reports[uid], [1, 2, 3, 4], sim, read)
    (manifest,) = (folder / ".tiffin").iterdir()
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    darks = [line["used"][0]["seq_num"] for line in lines if "used" in line]
    assert darks == [1, 1, 2, 2]


@pytest.mark.parametrize("store", ["documents", "databroker", "Tiled"])
def test_a_dark_stream_is_subtracted_later(
    RE, detector, darkened, documents, store, request, sim, tmp_path, read
):
    """S25: from documents, databroker and Tiled."""
    if store == "Tiled":
        source = request.getfixturevalue("tiled")
        RE.subscribe(tiled_writer(source))
    elif store == "databroker":
        source = request.getfixturevalue("broker")
        RE.subscribe(source.v1.insert)

    (uid,) = RE(darkened(count([detector], 2)))
    report = tiffin.export(
        documents if store == "documents" else source[uid],
        NAME,
        directory=tmp_path / "out",
        corrections=SUBTRACT,
    )

    check(report, [1, 2], sim, read)


def test_light_and_dark_are_saved_too(RE, detector, darkened, sim, tmp_path, read):
    """S28: three kinds in one pass, each in its folder, uncorrected ones as uint16."""
    exporter = ImageExporter(
        "{kind}/{event.seq_num}.tif",
        directory=tmp_path / "out",
        corrections=SUBTRACT,
        save=("light", "dark", "sub"),
    )

    RE(darkened(count([detector], 2)), exporter)

    dark = read(tmp_path / "out/dark/1.tif")
    light = read(tmp_path / "out/light/2.tif")
    assert dark.dtype == light.dtype == np.uint16
    np.testing.assert_array_equal(dark, sim.generate_dark_frame())
    np.testing.assert_array_equal(light, sim.generate_image())
    assert len(list((tmp_path / "out").glob("*/*.tif"))) == 5


def test_the_old_exporter_in_two_lines(RE, detector, darkened, sim, tmp_path, read):
    """S25, S46: of a run with a dark stream, only the lights are exported."""

    class Subtracted(LiveTiffExporter):
        corrections = DarkSubtract(stream="dark")

    name = "/out/{start.scan_id}_{kind}_{event.seq_num}.tif"
    exporter = Subtracted("det_image", f"{tmp_path}{name}")

    (uid,) = RE(darkened(count([detector], 2)), exporter)

    check(exporter.reports[uid], [1, 2], sim, read)

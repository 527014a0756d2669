"""The recipe's SubtractedTiffExporter in two lines, the second of which says it all."""

import copy
from pathlib import Path

import numpy as np
import pytest
from bluesky.plans import count

import tiffin
from tests.documents import dark_run, darks_in_a_stream, light_run, uid_of
from tests.helpers import feed
from tests.stores import LIBRARIES_WARN
from tiffin import LiveTiffExporter, process
from tiffin.corrections import Average, Cast, DarkSubtract, Nearest
from tiffin.errors import MissingDarkError, SettingsError
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

NAME = "/{start.scan_id}_step{event.seq_num}.tif"


class SubtractedTiffExporter(LiveTiffExporter):
    corrections = DarkSubtract(key="dark_frame")


class DarkStreamExporter(LiveTiffExporter):
    corrections = DarkSubtract(stream="dark")


@pytest.mark.parametrize("detector", ["img", "external"])
def test_the_recipe_in_two_lines(RE, broker, request, detector, images, tmp_path, read):
    """S22, S24, S46: uint16 counts, light below dark; live, process and db.process."""
    device = request.getfixturevalue(detector)
    RE.subscribe(broker.v1.insert)
    RE(count([device], 1))  # so that the dark is not the least
    (dark_uid,) = RE(count([device], 1))
    images.given, before = [], images.given
    live = SubtractedTiffExporter(device.name, f"{tmp_path}/live{NAME}", db=broker)

    uids = RE(count([device], 3), live, dark_frame=dark_uid)
    later = SubtractedTiffExporter(device.name, f"{tmp_path}/later{NAME}", db=broker)
    reports = process(broker[uids], later)
    old = SubtractedTiffExporter(device.name, f"{tmp_path}/old{NAME}", db=broker)
    broker.process(broker[uids], old)

    assert live.reports[uids[0]].ok
    assert reports[uids[0]].ok
    assert (images.taken(3)[0] < before[-1]).any()
    for n, light in enumerate(images.taken(3), 1):
        expected = light.astype(np.int64) - before[-1].astype(np.int64)
        for folder in ("live", "later", "old"):
            pixels = read(tmp_path / folder / f"3_step{n}.tif")
            assert pixels.dtype == np.float32
            np.testing.assert_array_equal(pixels, expected)
    assert [r.kind for r in reports[uids[0]].records] == ["sub"] * 3


def test_a_run_without_a_dark_is_recorded_or_raised(RE, img, broker, tmp_path):
    """S27: the plan ends only if on_error="raise"."""
    template = f"{tmp_path}{NAME}"
    exporter = SubtractedTiffExporter("img", template, db=broker)

    (uid,) = RE(count([img], 2), exporter)

    assert [r.status for r in exporter.reports[uid].records] == ["failed"] * 2
    assert "has no 'dark_frame'" in str(exporter.reports[uid].failed[0].error)
    raising = SubtractedTiffExporter("img", template, db=broker, on_error="raise")
    with pytest.raises(MissingDarkError):
        feed(raising, light_run())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("missing", "status"), [("raw", "written"), ("skip", "skipped")]
)
def test_a_light_without_a_dark_as_asked_for(tmp_path, read, missing, status):
    """S27: it is exported uncorrected, and named so, or skipped."""

    class Lenient(LiveTiffExporter):
        corrections = DarkSubtract(missing=missing)

    exporter = Lenient("img", f"{tmp_path}/{{kind}}{NAME}")
    feed(exporter, light_run())

    (report,) = exporter.reports.values()
    assert [record.status for record in report.records] == [status] * 2
    if status == "written":
        assert read(tmp_path / "light/2_step1.tif").dtype == np.uint16


def test_the_dark_run_is_exported_as_it_is(tmp_path, read):
    """S26: uint16, without error."""
    exporter = SubtractedTiffExporter("img", f"{tmp_path}/{{kind}}{NAME}")

    feed(exporter, dark_run())

    assert read(tmp_path / "dark/1_step1.tif").dtype == np.uint16


@pytest.mark.parametrize("how", ["live", "process", "process, darks told last"])
def test_darks_of_a_stream(tmp_path, read, how):
    """S25: the latest dark before each light; the dark stream itself is not
    exported.
    """
    documents = darks_in_a_stream("dlldl")
    exporter = DarkStreamExporter("img", f"{tmp_path}{NAME}")
    if how.endswith("last"):
        dark = documents[1][1]["uid"]
        ours = [p for p in documents[3:-1] if p[1]["descriptor"] == dark]
        others = [p for p in documents[3:-1] if p[1]["descriptor"] != dark]
        documents = [*documents[:3], *others, *ours, documents[-1]]

    if how == "live":
        feed(exporter, documents)
    else:
        process(documents, exporter)

    values = [float(read(Path(name))[0, 0]) for name in exporter.filenames]
    assert values == [101 - 0, 102 - 0, 104 - 30]
    (report,) = exporter.reports.values()
    assert len(report.records) == 3


def test_a_subclass_may_change_what_is_corrected(tmp_path, read):
    """S30, S46: its event() runs first, on its own copy; start() may name a dark."""
    dark, light = dark_run(30), light_run(100)

    class Both(LiveTiffExporter):
        corrections = DarkSubtract(catalog={uid_of(dark): dark})

        def start(self, doc):
            doc["dark_frame"] = uid_of(dark)
            super().start(doc)

        def event(self, doc):
            doc["data"][self.field] *= 2
            super().event(doc)

    before = copy.deepcopy(light)
    exporter = Both("img", f"{tmp_path}{NAME}")
    feed(exporter, light)

    assert (read(tmp_path / "2_step1.tif") == 2 * 100 - 30).all()
    assert "dark_frame" not in light[0][1]
    for (_, then), (_, now) in zip(before, light, strict=True):
        np.testing.assert_equal(now, then)


def test_the_files_are_those_of_any_export(tmp_path):
    """Byte for byte what `export` writes, provenance included."""
    dark = dark_run()
    light = light_run(dark_frame=uid_of(dark))
    db = {uid_of(dark): dark}
    exporter = SubtractedTiffExporter("img", f"{tmp_path}/old{NAME}", db=db)

    feed(exporter, light)
    report = tiffin.export(
        light, NAME[1:], directory=tmp_path / "new", corrections=[DarkSubtract()],
        catalog=db,
    )  # fmt: skip

    for old, new in zip(exporter.filenames, report.written, strict=True):
        assert Path(old).read_bytes() == new.path.read_bytes()


@pytest.mark.parametrize("old", [True, False])
def test_a_dark_run_that_comes_again_is_exported_again(tmp_path, old):
    """Its darks are written once a run, not once an exporter; names start anew."""
    dark = dark_run()
    if old:
        exporter = SubtractedTiffExporter("img", f"{tmp_path}{NAME}", overwrite=True)
    else:
        exporter = tiffin.ImageExporter(
            NAME[1:], directory=tmp_path, existing="replace",
            corrections=[DarkSubtract()],
        )  # fmt: skip

    feed(exporter, dark)
    feed(exporter, dark)

    (report,) = exporter.reports.values()
    assert report.written
    assert report.ok
    if old:
        assert len(exporter.filenames) == len(report.written)


def test_a_chain_of_corrections(tmp_path, read):
    """In order; among them a query, clipping and a user's own function."""
    dark, light = dark_run(110), light_run(100)

    class Chain(LiveTiffExporter):
        corrections = (
            DarkSubtract(run=Nearest(dark_frame=True), catalog=dark),
            lambda image, frame: image + frame.event["seq_num"],
            Cast("uint16", overflow="clip"),
        )

    exporter = Chain("img", f"{tmp_path}{NAME}", dtype="uint16")
    feed(exporter, light)

    (report,) = exporter.reports.values()
    assert (read(tmp_path / "2_step1.tif") == 0).all()
    assert report.clipped == 2 * 54
    assert report.written[0].dtype == np.uint16


def test_a_stack_is_subtracted_image_by_image(tmp_path, read):
    """S11: one dark for every image of the stack."""
    dark = dark_run(110)
    stack = np.arange(3 * 54, dtype="u2").reshape(1, 3, 6, 9)
    light = run_of({"img": stack}, scan_id=2, dark_frame=uid_of(dark))
    db = {uid_of(dark): dark}

    exporter = SubtractedTiffExporter("img", f"{tmp_path}/{{i}}.tif", db=db)
    feed(exporter, light)

    for i in range(3):
        expected = stack[0, i].astype("i4") - 110
        np.testing.assert_array_equal(read(tmp_path / f"{i}.tif"), expected)


@pytest.mark.parametrize(
    ("wrong", "says"), [("dark.tif", r"dark\.tif"), (Average(2), "joins frames")]
)
def test_corrections_that_can_not_work_are_refused(tmp_path, wrong, says):
    """By the constructor: what is no correction, and what needs several events."""

    class Wrong(LiveTiffExporter):
        corrections = (DarkSubtract(), wrong)

    with pytest.raises(SettingsError, match=says):
        Wrong("img", f"{tmp_path}{NAME}")

"""Files of profiles from end to end: with their sidecars, live, replayed, resumed."""

import json
import os
import re
import shlex
from pathlib import Path

import fabio
import fabio.pilatusimage
import numpy as np
import pytest
import tifffile
from event_model import compose_run
from typer.testing import CliRunner

import tiffin
import tiffin.writers.publishing
from tests.documents import write_jsonl
from tiffin.cli import app
from tiffin.corrections import Cast, Threshold
from tiffin.errors import (
    CollisionError,
    DtypeError,
    ExistsError,
    SettingsError,
    WriteError,
)
from tiffin.testing import run_of
from tiffin.verify import compare

MANUAL = Path(__file__).parents[2] / "docs/howto"
TEMPLATE = "{start.scan_id}_{event.seq_num:03d}.tif"
GEOMETRY = {
    "wavelength": "start.wavelength",
    "distance": "start.distance",
    "detectorXPixelSize": "start.pixel",
    "detectorYPixelSize": "start.pixel",
}
FILES = {"7_001.tif", "7_002.tif", "7_001.tif.metadata", "7_002.tif.metadata"}


def run(dtype="u2", value=5, **start):
    """Return the documents of a run with two images."""
    images = np.full((2, 6, 9), value, dtype)
    known = {"wavelength": 0.1839, "distance": 251.3, "pixel": 75.0}
    return run_of({"img": images}, scan_id=7, **known, **start)


def export(source, folder, **keywords):
    """Export for GSAS-II, if nothing else is asked for."""
    keywords = {"profile": "gsas2", "metadata": GEOMETRY, **keywords}
    return tiffin.export(source, TEMPLATE, directory=folder, **keywords)


def names_in(folder):
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir() if path.is_file()}


def by_gsas2(path):
    """Return what GSAS-II takes from the sidecar of an image."""
    lines = path.with_name(f"{path.name}.metadata").read_text("ascii").splitlines()
    return dict(line.split(" = ", 1) for line in lines)


def test_each_image_has_its_sidecar(tmp_path):
    """Both are written, both are in the manifest, and verify checks both."""
    report = export(run(sample="Ni"), tmp_path)

    assert report.ok
    assert names_in(tmp_path) == FILES
    told = by_gsas2(tmp_path / "7_002.tif")
    assert told["wavelength"] == "0.1839"
    assert told["pixelSizeX"] == told["detectorXPixelSize"] == "75.0"
    assert told["seq_num"] == "2"
    assert told["sample"] == "Ni"
    found = tiffin.verify(tmp_path)
    assert {f.path.name for f in found.of("intact")} == FILES
    assert not found.of("foreign")
    (tmp_path / "7_001.tif.metadata").write_text("wavelength = 1\n")
    (tmp_path / "7_002.tif.metadata").unlink()
    found = tiffin.verify(tmp_path)
    assert [f.path.name for f in found.of("damaged")] == ["7_001.tif.metadata"]
    assert [f.path.name for f in found.of("missing")] == ["7_002.tif.metadata"]


def test_live_and_replayed_files_are_the_same(tmp_path):
    """A live export writes the same images and sidecars as a replay."""
    documents = run()
    export(documents, tmp_path / "replayed")
    live = tiffin.ImageExporter(
        TEMPLATE, directory=tmp_path / "live", profile="gsas2", metadata=GEOMETRY
    )
    for name, doc in documents:
        live(name, doc)
    assert live.wait()
    assert names_in(tmp_path / "live") == FILES
    for name in FILES:
        pair = [(tmp_path / side / name).read_bytes() for side in ("live", "replayed")]
        assert pair[0] == pair[1]


def test_a_dry_run_shows_and_checks_the_sidecars(tmp_path):
    """The shell lists them, and a name that is taken is found before any image."""
    documents = run()
    write_jsonl(documents, tmp_path / "run.jsonl")
    told = CliRunner().invoke(
        app,
        [
            *("export", str(tmp_path / "run.jsonl"), "-t", TEMPLATE, "--dry-run"),
            *("--profile", "gsas2", "--directory", str(tmp_path / "out")),
        ],
    )
    assert told.exit_code == 0, told.output
    shown = [line.rpartition("/")[2] for line in told.stdout.splitlines()]
    assert shown[:4] == sorted(FILES)

    (tmp_path / "7_002.tif.metadata").write_text("mine")
    with pytest.raises(ExistsError, match=r"7_002\.tif\.metadata"):
        export(documents, tmp_path, dry_run=True)


@pytest.mark.parametrize("lost", ["7_001.tif", "7_001.tif.metadata"])
def test_a_resume_writes_what_is_missing(tmp_path, lost):
    """An image without its sidecar is not complete, nor a sidecar without its image."""
    documents = run()
    export(documents, tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    (tmp_path / lost).unlink()
    (tmp_path / "7_002.tif.metadata").write_text("damaged")

    report = export(documents, tmp_path, existing="resume")

    assert [record.status for record in report.records] == ["written", "written"]
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before
    assert tiffin.verify(tmp_path).ok
    report = export(documents, tmp_path, existing="resume")
    assert [record.status for record in report.records] == ["skipped", "skipped"]


def test_a_resume_adopts_files_without_a_manifest(tmp_path):
    """Files that are what would be written are adopted, with their sidecars."""
    documents = run()
    export(documents, tmp_path)
    for manifest in (tmp_path / ".tiffin").iterdir():
        manifest.unlink()
    report = export(documents, tmp_path, existing="resume")
    assert [record.status for record in report.records] == ["skipped", "skipped"]
    assert {f.path.name for f in tiffin.verify(tmp_path).of("intact")} == FILES


def test_a_resume_leaves_a_foreign_sidecar_alone(tmp_path):
    """A file of the sidecar's name that is not ours fails the frame."""
    (tmp_path / "7_001.tif.metadata").write_text("mine")
    report = export(run(), tmp_path, existing="resume", on_error="report")
    assert [record.status for record in report.records] == ["failed", "written"]
    assert (tmp_path / "7_001.tif.metadata").read_text() == "mine"
    assert not (tmp_path / "7_001.tif").exists()


@pytest.mark.parametrize("there", ["7_001.tif", "7_001.tif.metadata"])
@pytest.mark.parametrize("existing", ["error", "skip", "replace", "unique"])
def test_what_is_there_counts_for_both(tmp_path, existing, there):
    """existing= treats an image and its sidecar as one."""
    (tmp_path / there).write_text("mine")
    report = export(run(), tmp_path, existing=existing, on_error="report")
    first, second = report.records
    assert second.status == "written"
    if existing == "replace":
        assert first.status == "written"
        assert names_in(tmp_path) == FILES
        assert tiffin.verify(tmp_path).ok
        return
    assert (tmp_path / there).read_text() == "mine"
    if existing == "unique":
        assert first.path.name == "7_001-2.tif"
        assert names_in(tmp_path) >= {"7_001-2.tif", "7_001-2.tif.metadata"}
        return
    skips = existing == "skip" and there == "7_001.tif"
    assert first.status == ("skipped" if skips else "failed")
    # An image is never skipped because of a file that is not an image.
    assert type(first.error) is (
        WriteError if existing == "skip" and not skips else ExistsError
    )
    assert names_in(tmp_path) == {there, "7_002.tif", "7_002.tif.metadata"}


def test_without_its_image_there_is_no_sidecar(tmp_path, monkeypatch):
    """An image that can't be written takes its sidecar with it."""
    true = tiffin.writers.publishing.link_descriptor

    def refuse(descriptor, target, folder):
        if str(target).endswith("7_001.tif"):
            raise OSError(5, os.strerror(5))
        return true(descriptor, target, folder)

    monkeypatch.setattr(tiffin.writers.publishing, "link_descriptor", refuse)
    report = export(run(), tmp_path, on_error="report")
    assert [record.status for record in report.records] == ["failed", "written"]
    assert names_in(tmp_path) == {"7_002.tif", "7_002.tif.metadata"}


def test_an_image_may_not_have_the_name_of_a_sidecar(tmp_path):
    """Names of sidecars are claimed like those of images."""
    images = np.zeros((2, 6, 9), "u2")
    source = run_of({"img": images, "end": [".tif", ".tif.metadata"]})
    with pytest.raises(CollisionError):
        tiffin.export(
            source,
            "a{event.data.end}",
            fields=["img"],
            directory=tmp_path,
            profile="gsas2",
        )
    assert not names_in(tmp_path)


@pytest.mark.parametrize(
    ("template", "first", "last"),
    [
        ("{start.scan_id}_{event.data.x}.tif", "7_1.tif", "7_2.tif"),
        ("{start.scan_id}_{event.seq_num}.tif", "7_1.tif", "7_1.tif"),
    ],
)
def test_a_retake_replaces_both(tmp_path, template, first, last):
    """A point that is taken again leaves one image and one sidecar, its own."""
    start = compose_run(metadata={"scan_id": 7}, validate=False)
    key = {"source": "SIM", "shape": [6, 9], "dtype": "array", "dtype_numpy": "<u2"}
    stream = start.compose_descriptor(
        name="primary",
        data_keys={"img": key, "x": {"source": "SIM", "shape": [], "dtype": "number"}},
        validate=False,
    )

    def event(x):
        data = {"img": np.full((6, 9), x, "u2"), "x": x}
        stamps = dict.fromkeys(data, 1.0)
        return stream.compose_event(
            data=data, timestamps=stamps, seq_num=1, validate=False
        )

    exporter = tiffin.ImageExporter(
        template,
        directory=tmp_path,
        fields=["img"],
        profile="gsas2",
        metadata={"x": "event.data.x"},
    )
    exporter("start", start.start_doc)
    exporter("descriptor", stream.descriptor_doc)
    exporter("event", event(1))
    exporter.wait()
    assert names_in(tmp_path) == {first, f"{first}.metadata"}
    exporter("event", event(2))
    exporter("stop", start.compose_stop(validate=False))
    assert names_in(tmp_path) == {last, f"{last}.metadata"}
    assert tifffile.imread(tmp_path / last).max() == 2
    assert by_gsas2(tmp_path / last)["x"] == "2"
    found = tiffin.verify(tmp_path)
    assert found.ok
    assert len(found.of("intact")) == 2


def test_against_the_run(tmp_path):
    """Verify --against compares the sidecars too."""
    documents = run()
    export(documents, tmp_path)
    assert compare(tmp_path, documents).ok
    (tmp_path / "7_001.tif.metadata").write_text("wavelength = 1\n")
    assert not compare(tmp_path, documents).ok


@pytest.mark.parametrize("fsync", ["file", "run"])
def test_sidecars_have_the_rights_and_times_of_images(tmp_path, fsync):
    """mode=, file_time= and fsync= hold for both."""
    export(run(), tmp_path, mode=0o640, file_time="event", fsync=fsync)
    found = [(tmp_path / name).stat() for name in sorted(FILES)]
    assert {stat.st_mode & 0o777 for stat in found} == {0o640}
    assert found[0].st_mtime == found[1].st_mtime


def test_metadata_none_leaves_what_makes_the_pixels_right(tmp_path):
    """Without metadata the sidecar says only what the pixels are."""
    export(run(), tmp_path, metadata=None)
    text = (tmp_path / "7_001.tif.metadata").read_text()
    assert text == "dataType = 0\n"


def test_what_a_profile_cannot_hold_is_refused(tmp_path):
    """Nothing is converted unless dtype= asks, and the way out is named."""
    report = export(run("f4"), tmp_path, on_error="report")
    assert all(isinstance(record.error, DtypeError) for record in report.failed)
    assert "dtype=" in str(report.failed[0].error)
    assert not names_in(tmp_path)
    assert export(run("f4"), tmp_path, dtype="int32").ok
    with pytest.raises(SettingsError, match="compression=None"):
        export(run(), tmp_path, compression="zlib")
    with pytest.raises(SettingsError, match="or choose profile='plain'"):
        export(run(), tmp_path, stack="run")
    with pytest.raises(SettingsError, match="did you mean 'gsas2'"):
        export(run(), tmp_path, profile="gsas")


def test_fabio_reads_pilatus_files_as_such(tmp_path):
    """fabio.open gives a PilatusImage, exact pixels and the geometry."""
    export(run("i4", value=-2), tmp_path, profile="pilatus")
    read = fabio.open(tmp_path / "7_001.tif")
    assert type(read) is fabio.pilatusimage.PilatusImage
    np.testing.assert_array_equal(read.data, np.full((6, 9), -2))
    assert read.header["Wavelength"] == "0.1839 A"
    assert read.header["Pixel_size"] == "7.5e-05 m x 7.5e-05 m"
    assert names_in(tmp_path) == {"7_001.tif", "7_002.tif"}


def test_areadetector_files_have_the_time_of_the_event(tmp_path):
    """NDTimeStamp counts from 1990, and attributes are name:value."""
    documents = run()
    export(documents, tmp_path, profile="areadetector")
    with tifffile.TiffFile(tmp_path / "7_002.tif") as tiff:
        tags = {tag.code: tag.value for tag in tiff.pages[0].tags}
    event = documents[3][1]
    assert tags[65000] == pytest.approx(event["time"] - 631152000, abs=1e-6)
    assert tags[65001] == 1
    attributes = [tags[number] for number in range(65010, 65123) if number in tags]
    assert "wavelength:0.1839" in attributes


def test_the_commands_of_the_page_run(tmp_path, monkeypatch):
    """The shell's example in "Open files in GSAS-II" writes images and sidecars."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(run(), tmp_path / "run.jsonl")
    page = (MANUAL / "gsas2.md").read_text()
    (shown,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    _, *arguments = shlex.split(shown.replace("\\\n", " "))
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert names_in(tmp_path / "out") == FILES
    assert by_gsas2(tmp_path / "out/7_001.tif")["distance"] == "251.3"


def test_a_corrected_image_is_told_of_in_the_sidecar(tmp_path):
    """The way of the manual from floats and negative values to int32."""
    steps = [Threshold(low=0), Cast("int32")]
    assert export(run("f4", value=-3.2), tmp_path, corrections=steps).ok
    assert tifffile.imread(tmp_path / "7_001.tif").max() == 0
    told = json.loads(by_gsas2(tmp_path / "7_001.tif")["corrections"])
    assert [text.partition("(")[0] for text in told] == ["Threshold", "Cast"]


@pytest.mark.parametrize("profile", ["gsas2", "pilatus", "areadetector"])
def test_the_metadata_are_in_the_file_too(tmp_path, profile):
    """read_metadata works for a single file of every profile."""
    export(run("i4", sample="Å µ"), tmp_path, profile=profile)
    found = tiffin.read_metadata(tmp_path / "7_002.tif")
    assert found["sample"] == "Å µ"
    assert found["seq_num"] == 2
    assert found["distance"] == 251.3

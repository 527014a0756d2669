"""A corrected file tells by itself what was done to it, and with what."""

import json

import fabio
import numpy as np
import pytest
import tifffile
from PIL import Image

import tiffin
from tests.helpers import feed
from tiffin import ImageExporter
from tiffin.corrections import Bin, Cast, DarkSubtract, Threshold
from tiffin.testing import run_of
from tiffin.writers.tiff_layout import NOTE_TAG

NAME = "{start.scan_id}_{kind}_{event.seq_num}.tif"
DARK = run_of({"img": np.full((1, 6, 8), 110, "u2")}, scan_id=1, dark_frame=True)
UID = DARK[0][1]["uid"]
LIGHT = run_of({"img": np.full((2, 6, 8), 100, "u2")}, scan_id=2, dark_frame=UID)


def note_in(path):
    """Return what the metadata of a file say of its corrections."""
    with tifffile.TiffFile(path) as file:
        note = json.loads(file.pages[0].tags[NOTE_TAG].value)
    return {key: note[key] for key in ("corrections", "used", "clipped") if key in note}


def of_kind(report, kind):
    return [record.path for record in report.written if record.kind == kind]


@pytest.fixture
def report(tmp_path):
    steps = [DarkSubtract(), Bin(2), Cast("uint16", overflow="clip")]
    return tiffin.export([DARK, LIGHT], NAME, directory=tmp_path, corrections=steps)


def test_a_file_names_its_corrections_and_darks(report):
    """The corrections in order, and run, event and checksum of each dark."""
    first, second = map(note_in, of_kind(report, "sub"))

    assert first == second
    assert first["corrections"] == [
        "DarkSubtract(key='dark_frame')",
        "Bin(n=(2, 2), how='sum')",
        "Cast(dtype='uint16', overflow='clip', rounding='half-even')",
    ]
    (dark,) = first["used"]
    assert (dark["run"], dark["stream"], dark["seq_num"]) == (UID, "primary", 1)
    assert dark["checksum"].startswith("crc32:")
    assert first["clipped"] == 12


def test_the_manifest_says_the_same(report, tmp_path):
    """Manifest and file hold the same information."""
    path = of_kind(report, "sub")[0]
    manifest = tmp_path / ".tiffin" / f"{LIGHT[0][1]['uid']}.jsonl"
    head, line, _ = map(json.loads, manifest.read_text().splitlines())

    note = note_in(path)
    assert head["settings"]["corrections"] == note["corrections"]
    assert (line["used"], line["clipped"]) == (note["used"], note["clipped"])


def test_what_did_not_act_is_not_claimed(report):
    """A dark is binned, but nothing was subtracted from it."""
    (path,) = of_kind(report, "dark")

    note = note_in(path)
    assert not any("Dark" in step for step in note["corrections"])
    assert note["corrections"][0].startswith("Bin")
    assert "used" not in note


def test_a_raw_light_is_a_plain_file(tmp_path):
    """S27: it was not corrected, and does not say so."""
    light = run_of({"img": np.full((1, 6, 8), 100, "u2")}, scan_id=3)
    steps = [DarkSubtract(missing="raw")]
    raw = tiffin.export(light, NAME, directory=tmp_path / "raw", corrections=steps)
    plain = tiffin.export(light, NAME, directory=tmp_path / "plain")

    (path,), (other,) = of_kind(raw, "light"), [r.path for r in plain.written]
    assert note_in(path) == {}
    assert path.read_bytes() == other.read_bytes()


def test_a_function_is_named(tmp_path):
    """By module and name, as an address would change with each process."""
    report = tiffin.export(LIGHT, NAME, directory=tmp_path, corrections=[halved])

    note = note_in(report.written[0].path)
    assert note == {"corrections": [f"{__name__}.halved"]}


def halved(image, _frame):
    return image / 2


def test_live_and_replayed_files_are_the_same(report, tmp_path):
    """The note depends on the run and the settings only."""
    steps = [DarkSubtract(), Bin(2), Cast("uint16", overflow="clip")]
    live = tmp_path / "live"
    catalog = {UID: DARK}
    with ImageExporter(
        NAME, directory=live, corrections=steps, catalog=catalog
    ) as exporter:
        feed(exporter, LIGHT)

    paths = of_kind(report, "sub")
    assert paths
    for path in paths:
        assert (live / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", "float64"])
def test_readers_see_the_pixels_as_without_it(tmp_path, dtype):
    """The note changes no reader's pixels."""
    images = np.arange(48, dtype=dtype).reshape(1, 6, 8)
    run = run_of({"img": images}, scan_id=1)
    report = tiffin.export(
        run, NAME, directory=tmp_path, corrections=[Threshold(low=3), Cast(dtype)]
    )

    (path,) = [r.path for r in report.written]
    wanted = np.where(images[0] < 3, 0, images[0])
    assert note_in(path)["corrections"]
    assert (tifffile.imread(path) == wanted).all()
    assert (fabio.open(path).data == wanted).all()
    if dtype != "float64":
        assert (np.asarray(Image.open(path)) == wanted).all()

"""Stacks of the profiles imagej and ome have the axes of the scan."""

from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from bluesky.plans import count, grid_scan
from ophyd.sim import SynAxis
from PIL import Image

import tiffin
from tiffin import ImageExporter
from tiffin.errors import SettingsError
from tiffin.testing import run_of

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
IMAGES = np.arange(12 * 4 * 6, dtype="u2").reshape(12, 4, 6)


def as_read(path):
    """Return the axes that tifffile finds in a file, and the images along them."""
    with tifffile.TiffFile(path) as tiff:
        (series,) = tiff.series
        return series.axes, series.asarray()


@pytest.fixture
def scan(RE, img, tmp_path):
    """Scan y (3 points) and x (4 points), export live, and return the stack's file."""

    def scan(profile, *, snake):
        y, x = SynAxis(name="y"), SynAxis(name="x")
        exporter = ImageExporter(
            "scan.tif", directory=tmp_path / "live", profile=profile, stack="run"
        )
        documents = []
        RE.subscribe(lambda *document: documents.append(document))
        RE.subscribe(exporter)
        RE(grid_scan([img], y, 0, 1, 3, x, 0, 1, 4, snake_axes=snake))
        exporter.close()
        later = tmp_path / "later"
        tiffin.export(
            documents, "scan.tif", directory=later, profile=profile, stack="run"
        )
        live = (tmp_path / "live" / "scan.tif").read_bytes()
        assert live == (later / "scan.tif").read_bytes()
        return later / "scan.tif"

    return scan


@pytest.mark.parametrize("profile", ["imagej", "ome"])
def test_a_grid_scan_has_its_own_axes(scan, images, profile):
    """The slow motor is T, the fast one Z; live and replayed are the same bytes."""
    axes, found = as_read(scan(profile, snake=False))
    assert axes == "TZYX"
    assert found.shape == (3, 4, 10, 12)
    np.testing.assert_array_equal(found.reshape(12, 10, 12), images.taken(12))


@pytest.mark.parametrize("profile", ["imagej", "ome"])
def test_a_snaking_scan_is_a_sequence(scan, images, profile):
    """Every other line runs backwards: as a grid its images would be misplaced."""
    axes, found = as_read(scan(profile, snake=True))
    assert axes == "TYX"
    np.testing.assert_array_equal(found, images.taken(12))


def test_the_planes_of_an_ome_stack_have_their_times(RE, img, tmp_path):
    """DeltaT is when an image was taken, counted from the first one."""
    exporter = ImageExporter(
        "{start.scan_id}.tif", directory=tmp_path, profile="ome", stack="run"
    )
    RE.subscribe(exporter)
    RE(count([img], 3, delay=0.01))
    exporter.close()
    (file,) = tmp_path.glob("*.tif")
    pages = tiffin.read_metadata(file)
    with tifffile.TiffFile(file) as tiff:
        root = ElementTree.fromstring(tiff.ome_metadata)
    since = [float(plane.get("DeltaT")) for plane in root.iter(f"{OME}Plane")]
    taken = [page["timestamp"] - pages[0]["timestamp"] for page in pages]
    assert since == pytest.approx(taken, abs=1e-6)
    assert since[2] > since[1] > since[0] == 0


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("profile", ["imagej", "ome"])
def test_a_scan_of_events_with_several_images(tmp_path, profile, compression):
    """The images of an event are the fastest axis."""
    run = run_of(
        {"img": IMAGES.reshape(3, 4, 4, 6), "y": [0.0, 1.0, 2.0]},
        motors=["y"],
        shape=[3],
        hints={"dimensions": [[["y"], "primary"]]},
    )
    settings = {"profile": profile, "stack": "run", "compression": compression}
    tiffin.export(run, "a.tif", directory=tmp_path, fields="img", **settings)
    axes, found = as_read(tmp_path / "a.tif")
    assert axes == "TZYX"
    np.testing.assert_array_equal(found, IMAGES.reshape(3, 4, 4, 6))


@pytest.mark.parametrize("profile", ["imagej", "ome"])
def test_a_scan_that_was_stopped_is_a_sequence(tmp_path, profile):
    """Its images are fewer than its grid has points."""
    run = run_of(
        {"img": IMAGES[:7], "y": np.arange(7.0), "x": np.arange(7.0)},
        motors=["y", "x"],
        shape=[3, 4],
        hints={"dimensions": [[["y"], "primary"], [["x"], "primary"]]},
    )
    settings = {"profile": profile, "stack": "run", "fields": "img"}
    tiffin.export(run, "a.tif", directory=tmp_path, **settings)
    axes, found = as_read(tmp_path / "a.tif")
    assert axes == "TYX"
    np.testing.assert_array_equal(found, IMAGES[:7])


def test_each_slice_has_a_label_in_imagej(tmp_path):
    """Which frame it is, with its motors and its time."""
    run = run_of(
        {"img": IMAGES.reshape(6, 2, 4, 6), "θ": np.arange(6) / 2},
        motors=["θ"],
        sample_name="Ni",
    )
    settings = {"profile": "imagej", "stack": "run", "fields": "img"}
    added = {"power": "event.data.θ"}
    tiffin.export(run, "a.tif", directory=tmp_path, metadata=added, **settings)
    times = [metadata["time"] for metadata in tiffin.read_metadata(tmp_path / "a.tif")]

    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        told = tiff.imagej_metadata
        np.testing.assert_array_equal(tiff.asarray(), IMAGES)
    assert told["Labels"] == [
        f"seq_num {n // 2 + 1}, i {n % 2}, frame {n}, θ {n // 2 / 2}, "
        f"power {n // 2 / 2}, {times[n]}"
        for n in range(12)
    ]
    assert "sample: Ni" in told["Info"].splitlines()
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 12
        text = image.tag_v2[50839]
    assert text[:20] == b"JIJIofni\1\0\0\0lbal\x0c\0\0\0"
    assert (
        told["Labels"][-1].encode("utf-16-le") == text[-2 * len(told["Labels"][-1]) :]
    )


def test_without_metadata_slices_have_no_labels(tmp_path):
    """Nothing is known of them."""
    run = run_of({"img": IMAGES})
    settings = {"profile": "imagej", "stack": "run", "metadata": None}
    tiffin.export(run, "a.tif", directory=tmp_path, **settings)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert not {"Labels", "Info"} & set(tiff.imagej_metadata)
        np.testing.assert_array_equal(tiff.asarray(), IMAGES)


def test_bigtiff_without_stack_is_refused_in_the_constructor():
    """It would have no effect, because files of one image are classic TIFF."""
    with pytest.raises(SettingsError, match=r"bigtiff=True needs stack="):
        ImageExporter("{event.seq_num}.tif", bigtiff=True)


def test_bigtiff_for_imagej_is_refused_in_the_constructor():
    """Its message says what to do instead."""
    with pytest.raises(SettingsError, match=r"bigtiff=True can't be read by ImageJ"):
        ImageExporter("a.tif", profile="imagej", stack="run", bigtiff=True)

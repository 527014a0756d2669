"""Files of the profiles imagej and ome, exported and read back by other programs."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import tifffile

import tiffin
from tests.integration.test_readers import by_fabio, by_opencv, by_pillow, extremes
from tiffin.errors import DtypeError, SettingsError
from tiffin.testing import run_of
from tiffin.writers import PageInfo, find_profile

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:fabio.*")

NAME = "{start.scan_id}_{event.seq_num}.tif"

READ_EVERYWHERE = ("uint8", "uint16", "int16", "float32")
"""Pillow misreads uint32 and int8, and refuses float64."""


def exported(folder, images, **settings):
    """Export images as the events of one run; return their files."""
    run = run_of({"img": images}, scan_id=7, sample_name="µ Å 😀", plan_name="count")
    report = tiffin.export(run, NAME, directory=folder, on_error="raise", **settings)
    assert report.ok
    return [folder / record.file for record in report.records]


def by_tifffile(path):
    """Read the first page."""
    return tifffile.imread(path)


@pytest.mark.parametrize("profile", ["imagej", "ome"])
def test_every_reader_reads_every_dtype_of_the_profile(tmp_path, profile):
    """Each dtype and compression that a profile takes, exactly, extremes included."""
    takes = find_profile(profile)
    for dtype, compression in itertools.product(takes.dtypes, takes.compressions):
        image = extremes(dtype)
        path = tmp_path / f"{dtype}_{compression}"
        (file,) = exported(
            path, image[None], profile=profile, compression=compression, fields="img"
        )
        readers = [by_tifffile]
        if dtype in READ_EVERYWHERE:
            readers += [by_pillow] if compression else [by_pillow, by_fabio]
            readers += [by_opencv] if compression != "zstd" else []
        for read in readers:
            np.testing.assert_array_equal(read(file), image, err_msg=f"{file} {read}")


def test_the_description_of_an_exported_file_is_the_run_s(tmp_path):
    """What ImageJ shows comes from the metadata, with what the user adds to it."""
    (file,) = exported(
        tmp_path,
        np.ones((1, 4, 6), "u2"),
        profile="imagej",
        metadata={"pixelSizeX": "start.scan_id", "pixelSizeY": "start.scan_id"},
    )
    with tifffile.TiffFile(file) as tiff:
        told = tiff.imagej_metadata
    assert told["unit"] == "micron"
    assert {"scan_id: 7", "sample: µ Å 😀"} <= set(told["Info"].splitlines())
    assert tiffin.read_metadata(file)["sample"] == "µ Å 😀"


def test_the_description_of_an_ome_file_holds_unicode(tmp_path):
    """The XML is UTF-8, and its time that of the image."""
    (file,) = exported(tmp_path, np.ones((1, 4, 6), "u2"), profile="ome")
    with tifffile.TiffFile(file) as tiff:
        assert tiff.is_ome
        xml = tiff.ome_metadata
    assert "µ Å 😀" in xml
    assert f"<AcquisitionDate>{tiffin.read_metadata(file)['time']}<" in xml


def test_every_ome_file_is_valid_against_the_schema(tmp_path):
    """By the schema of June 2016 that ome-types carries."""
    ome_types = pytest.importorskip("ome_types")
    for dtype in find_profile("ome").dtypes:
        (file,) = exported(tmp_path / dtype, extremes(dtype)[None], profile="ome")
        with tifffile.TiffFile(file) as tiff:
            ome_types.validate_xml(tiff.ome_metadata)


@pytest.mark.parametrize("axes", [{}, {"y": 2, "x": 3}, {"a": 2, "b": 3, "C": 1}])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 4)])
def test_every_ome_description_is_valid_against_the_schema(shape, axes):
    """Of stacks, colours, and metadata that XML can hardly hold."""
    ome_types = pytest.importorskip("ome_types")
    hostile = {"sample": "]]><\x00\ud800", '"<&': [1], "exposure": 1e-9, "seq_num": 1}
    metadata = {**hostile, "time": "2026-11-29T03:04:05Z", "pixelSizeX": 1e-9}
    page = PageInfo(shape, np.dtype("<u2"), metadata, 0, 6, axes, (1.5, 1, 2, 3, 4, 5))
    for each in (page, page._replace(pages=1, axes={}, timestamps=())):
        ((_, _, description),) = find_profile("ome").tags(each)
        ome_types.validate_xml(description.rstrip(b"\0").decode())


@pytest.mark.parametrize(
    ("settings", "dtype", "told"),
    [
        ({}, "uint32", r"uint32 can't be read exactly by ImageJ.*profile='ome'"),
        ({"dtype": "float64"}, "uint16", r"'float64' can't be .*profile='imagej'"),
    ],
)
def test_a_dtype_outside_of_the_profile_is_refused(tmp_path, settings, dtype, told):
    """Nothing is converted unless `dtype=` asks, and then to what the profile takes."""
    images = np.ones((1, 4, 6), dtype)
    with pytest.raises((DtypeError, SettingsError), match=told):
        exported(tmp_path, images, profile="imagej", **settings)
    (file,) = exported(tmp_path, images, profile="imagej", dtype="float32")
    assert tifffile.imread(file).dtype == "float32"


def test_wrong_options_are_refused_in_the_constructor():
    """Before there is a run: the name of a profile, and a compression it can't read."""
    with pytest.raises(SettingsError, match=r"'imagej', .*did you mean 'imagej'"):
        tiffin.ImageExporter(NAME, profile="imagj")
    with pytest.raises(SettingsError, match=r"'zstd' can't be read by ImageJ"):
        tiffin.ImageExporter(NAME, profile="imagej", compression="zstd")


@pytest.mark.parametrize("profile", ["imagej", "ome"])
def test_live_and_replayed_files_are_the_same(tmp_path, profile):
    """Byte by byte."""
    run = run_of({"img": np.arange(48, dtype="u2").reshape(2, 4, 6)}, scan_id=7)
    exporter = tiffin.ImageExporter(NAME, directory=tmp_path / "live", profile=profile)
    for name, document in run:
        exporter(name, document)
    exporter.close()
    tiffin.export(run, NAME, directory=tmp_path / "later", profile=profile)
    for name in ("7_1.tif", "7_2.tif"):
        live = (tmp_path / "live" / name).read_bytes()
        assert live == (tmp_path / "later" / name).read_bytes()


def test_a_profile_is_imported_when_it_is_asked_for():
    """Not with tiffin: many runs need none but the plain one."""
    code = (
        "import sys, tiffin.writers; print([m for m in sys.modules if 'profiles' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "imagej" not in done.stdout
    assert "ome" not in done.stdout

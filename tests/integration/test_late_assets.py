"""Files of every format that come late, or grow: looked for again, never half read."""

import threading
import time

import numpy as np
import pytest
import tifffile
import zarr

from tests.documents import FRAMES, stream_run
from tests.helpers import NAME, check, feed
from tiffin import ImageExporter

TIFF = "multipart/related;type=image/tiff"
NPY = "multipart/related;type=application/x-npy"


class TiffFiles:
    """A numbered TIFF file an image."""

    mimetype, parameters = TIFF, {"template": "a_{:03d}.tif"}

    def __init__(self, folder):
        self.folder = folder
        self.uri = f"file://localhost{folder}/"

    def write(self, n, images):
        """Write image `n`, of which there will be so many."""
        tifffile.imwrite(self.folder / f"a_{n:03d}.tif", images[n])


class NpyFiles(TiffFiles):
    """A numbered NPY file an image."""

    mimetype, parameters = NPY, {"template": "a_{:03d}.npy"}

    def write(self, n, images):
        np.save(self.folder / f"a_{n:03d}.npy", images[n])


class OneTiff(TiffFiles):
    """One TIFF that gets a page an image."""

    mimetype, parameters = "image/tiff", {}

    def __init__(self, folder):
        super().__init__(folder)
        self.uri += "a.tif"

    def write(self, n, images):
        tifffile.imwrite(
            self.folder / "a.tif", images[n], append=n > 0, photometric="minisblack"
        )


class OneZarr(TiffFiles):
    """One Zarr array that grows."""

    mimetype, parameters, version = "application/x-zarr", {}, 3

    def __init__(self, folder):
        super().__init__(folder)
        self.uri += "a.zarr"

    def write(self, n, images):
        path = self.folder / "a.zarr"
        if not n:
            zarr.create_array(
                path, shape=(0, 6, 9), chunks=(1, 6, 9), dtype="u2",
                zarr_format=self.version, config={"write_empty_chunks": True},
            )  # fmt: skip
        array = zarr.open_array(path, mode="r+")
        array = array.with_config({"write_empty_chunks": True})
        array.resize((n + 1, 6, 9))
        array[n] = images[n]


class OlderZarr(OneZarr):
    """One in version 2."""

    version = 2


KINDS = [TiffFiles, NpyFiles, OneTiff, OneZarr, OlderZarr]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def made(request, tmp_path):
    """Return a format, and a folder for its files."""
    (tmp_path / "files").mkdir()
    return request.param(tmp_path / "files")


def run_of(made, events=4):
    return stream_run(made.uri, made.mimetype, made.parameters, events=events)


def test_files_that_come_when_the_run_is_over_are_waited_for(made, tmp_path, read):
    """S40: in the background, for up to `asset_timeout`."""
    images = FRAMES[:4]

    def write():
        for n in range(4):
            made.write(n, images)
            time.sleep(0.1)

    with ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=60) as exporter:
        feed(exporter, run_of(made))
        timer = threading.Timer(0.3, write)
        timer.start()
        assert exporter.wait(60)

    timer.join()
    (report,) = exporter.reports.values()
    check(report, images, read)


def test_files_that_grow_with_the_run_are_read_as_they_grow(made, tmp_path, read):
    """Images that exist at their stream datum are written then, though more will
    follow.
    """
    images = FRAMES[:4]
    written = iter(range(4))
    exporter = ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=0)

    for name, doc in run_of(made):
        if name == "stream_datum":
            made.write(next(written), images)
        exporter(name, doc)
        assert exporter.wait(60)
    exporter.close()

    (report,) = exporter.reports.values()
    check(report, images, read)


def test_files_that_never_come_fail_and_the_others_are_written(made, tmp_path, read):
    """Each missing image fails with its reason, and no zeros are made up."""
    for n in range(2):
        made.write(n, FRAMES)

    with ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=0.4) as exporter:
        feed(exporter, run_of(made))
        assert exporter.wait(60)

    (report,) = exporter.reports.values()
    assert [record.seq_num for record in report.failed] == [3, 4]
    for record in report.failed:
        assert "not there (yet)" in str(record.error)
    for record, image in zip(report.written, FRAMES, strict=False):
        np.testing.assert_array_equal(read(record.path), image)
    assert len(report.written) == 2


@pytest.mark.parametrize("kind", [TiffFiles, NpyFiles, OneTiff])
def test_a_file_that_is_half_written_is_waited_for(kind, tmp_path, read):
    """Only its beginning exists, as on a network share: it is read again later."""
    (tmp_path / "files").mkdir()
    made = kind(tmp_path / "files")
    made.write(0, FRAMES)
    (path,) = (tmp_path / "files").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    timer = threading.Timer(0.5, lambda: path.write_bytes(whole))

    with ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=60) as exporter:
        feed(exporter, run_of(made, events=1))
        (at_stop,) = exporter.reports.values()
        timer.start()
        assert exporter.wait(60)

    timer.join()
    (report,) = exporter.reports.values()
    assert not at_stop.written
    check(report, FRAMES[:1], read)


def test_of_a_late_event_of_several_files_none_is_another_events(tmp_path, read):
    """Three files an event, of which the last comes late."""
    (tmp_path / "files").mkdir()
    made = TiffFiles(tmp_path / "files")
    for n in range(5):
        made.write(n, FRAMES)
    parameters = {**made.parameters, "chunk_shape": [1, 6, 9]}
    run = stream_run(made.uri, TIFF, parameters, events=2, shape=(3, 6, 9))
    timer = threading.Timer(0.5, lambda: made.write(5, FRAMES))

    with ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=60) as exporter:
        feed(exporter, run)
        timer.start()
        assert exporter.wait(60)

    timer.join()
    (report,) = exporter.reports.values()
    check(report, FRAMES[:6], read)

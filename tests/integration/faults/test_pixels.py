"""Frames that can't be read or corrected, however badly: the others are written."""

import errno
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pytest

import tiffin
from tests.helpers import feed
from tests.integration.faults.harness import TOP
from tiffin.errors import CorrectionError, ReadError
from tiffin.testing import run_of

IMAGES = np.arange(12 * 60, dtype="u2").reshape(12, 6, 10)
NAME = "{event.seq_num:02d}.tif"
BAD = 5


class Spoilt:
    """A correction that raises at one frame."""

    def __init__(self, error):
        self.error = error

    def __call__(self, image, frame):
        if frame.seq_num == BAD:
            raise self.error
        return image


class Lazy:
    """An image that is read when it is sliced: slowly, or not at all."""

    shape = (1, 6, 10)
    dtype = np.dtype("u2")
    ndim = 3

    def __init__(self, image, *, error=None, seconds=0):
        self._image, self._error, self._seconds = image, error, seconds

    def __getitem__(self, key):
        time.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        return self._image[None][key]


def lazy_run(**spoilt):
    """Make a run of lazy images, one of them spoilt."""
    documents = run_of({"img": IMAGES[:, None]}, scan_id=7)
    for name, doc in documents:
        if name == "event":
            n = doc["seq_num"]
            image = Lazy(IMAGES[n - 1], **(spoilt if n == BAD else {}))
            doc["data"] = {"img": image}
    return documents


def exported(documents, folder, how, **settings):
    """Export by a replay, or live; return the report."""
    if how == "replay":
        return tiffin.export(
            documents, NAME, directory=folder, on_error="report", workers=2, **settings
        )
    exporter = tiffin.ImageExporter(NAME, directory=folder, workers=2, **settings)
    feed(exporter, documents)
    assert exporter.wait(60)
    exporter.close()
    (report,) = exporter.reports.values()
    return report


def check_others(report, read):
    """One frame failed, and all others hold their images."""
    assert [record.seq_num for record in report.failed] == [BAD]
    assert len(report.written) == len(IMAGES) - 1
    for record in report.written:
        np.testing.assert_array_equal(read(record.path), IMAGES[record.seq_num - 1])
    assert not report.failed[0].path.exists()


@pytest.mark.parametrize("how", ["replay", "live"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such dark"),
        MemoryError("60 GB"),
        SystemExit(3),
        KeyboardInterrupt("in a worker"),
        OSError(errno.EIO, "Input/output error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_correction_that_raises(error, how, tmp_path, read):
    """S44: whatever it raises fails its own frame, and ends no thread."""
    report = exported(
        run_of({"img": IMAGES}, scan_id=7), tmp_path, how, corrections=[Spoilt(error)]
    )

    check_others(report, read)
    failure = report.failed[0].error
    assert isinstance(failure, CorrectionError)
    assert type(error).__name__ in str(failure)
    assert str(error) in str(failure)


@pytest.mark.parametrize("how", ["replay", "live"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, os.strerror(errno.EIO)),
        MemoryError("out of memory"),
        RuntimeError("a library's own"),
        SystemExit("a library's whim"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_frame_that_can_not_be_read(error, how, tmp_path, read):
    """S32: a broken disk under the images, or no memory for one of them."""
    report = exported(lazy_run(error=error), tmp_path, how)

    check_others(report, read)
    failure = report.failed[0].error
    assert isinstance(failure, ReadError)
    assert str(error) in str(failure)
    assert failure.errno == getattr(error, "errno", None)


@pytest.mark.parametrize("how", ["replay", "live"])
def test_a_frame_that_is_read_slowly(how, tmp_path, read):
    """S44: a slow disk is waited for; nothing fails."""
    report = exported(lazy_run(seconds=1), tmp_path, how)

    assert report.ok
    assert len(report.written) == len(IMAGES)
    for record in report.written:
        np.testing.assert_array_equal(read(record.path), IMAGES[record.seq_num - 1])


def test_no_memory_for_one_frame(tmp_path, read):
    """The frame that is too large for memory fails; no other does."""

    def enlarge(image, frame):
        if frame.seq_num == BAD:
            return np.ones((2**31, 2**24), "u2")
        return image

    report = exported(
        run_of({"img": IMAGES}, scan_id=7), tmp_path, "replay", corrections=[enlarge]
    )

    check_others(report, read)
    assert "allocate" in str(report.failed[0].error)


# ---- many frames

MANY = """
import json, resource, sys
import numpy as np
import tiffin
from tests.integration.faults import many

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
print(json.dumps(many.told(*sys.argv[1:])))
"""


SLOW = [pytest.param(how, marks=pytest.mark.slow) for how in ("replay", "files")]


@pytest.mark.parametrize("how", ["live", *SLOW])
def test_five_thousand_frames(how, tmp_path):
    """256 file descriptors suffice, and memory stays flat (S33): 640 MB of images
    within a budget of 32.
    """
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 256
    told = subprocess.run(
        [sys.executable, "-c", MANY, how, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=TOP,
    )

    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["written"] == 5_000
    assert found["failed"] == []
    assert found["grown"] < 150e6
    assert found["descriptors"] == found["descriptors before"]

"""How stacks end: late images, Ctrl-C, few descriptors, times, permissions."""

import os
import resource
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import FRAMES, stream_run
from tests.helpers import export_live, feed
from tiffin import ImageExporter
from tiffin.corrections import Scale
from tiffin.errors import VerifyError, WriteError
from tiffin.testing import run_of
from tiffin.verify import compare

TIFF = "multipart/related;type=image/tiff"


def run(events=6, each=3, **start):
    pixels = np.arange(events * each, dtype="u2").reshape(events, each, 1, 1)
    return run_of({"img": pixels * np.ones((5, 7), "u2")}, scan_id=7, **start)


def pages_of(path):
    with tifffile.TiffFile(path) as tiff:
        return [int(page.asarray().flat[0]) for page in tiff.pages]


def descriptors():
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.fixture
def few_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 200, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_many_runs_do_not_keep_their_stacks_open(tmp_path):
    """In a replay a stack is published when its last page is written."""
    runs = [run(1, 2, number=n) for n in range(100)]
    opened = []

    def count(done, known):
        number = 0
        for path in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                number += str(path.readlink()).endswith("(deleted)")
        opened.append(number)

    report = tiffin.export(
        [pair for one in runs for pair in one], "{start.number}.tif",
        directory=tmp_path, stack="run", workers=2, progress=count,
    )  # fmt: skip

    assert report.ok
    assert len(list(tmp_path.glob("*.tif"))) == 100
    assert max(opened) <= 12


@pytest.mark.parametrize("live", [False, True])
def test_more_stacks_than_descriptors(tmp_path, few_descriptors, live):
    """Those that can't be opened fail with what to do, the others are whole."""
    fields = {f"img{n}": np.full((2, 5, 7), n, "u2") for n in range(150)}
    documents = run_of(fields, scan_id=7)
    settings = {"directory": tmp_path, "stack": "run"}
    if live:
        report = export_live(documents, "{field}.tif", **settings)
    else:
        report = tiffin.export(documents, "{field}.tif", on_error="report", **settings)

    assert len(report.records) == 300
    assert report.written
    assert report.failed
    assert {type(record.error) for record in report.failed} == {WriteError}
    assert all("ulimit -n" in str(record.error) for record in report.failed)
    assert tiffin.verify(tmp_path).of("damaged") == ()
    for record in report.written:
        assert pages_of(record.path) == [int(record.field[3:])] * 2


@pytest.mark.parametrize("stack", ["run", 5])
def test_ctrl_c_leaves_no_file_and_no_descriptor(tmp_path, stack):
    """A stack that is not complete has no name, and its file is closed."""
    before = descriptors()

    def interrupt(image, frame):
        if frame.seq_num == 7:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return image

    with pytest.raises(KeyboardInterrupt):
        tiffin.export(
            run(300, 1), "{frame}.tif", directory=tmp_path, stack=stack,
            corrections=[interrupt], workers=1,
        )  # fmt: skip

    assert descriptors() == before
    found = sorted(tmp_path.glob("*.tif"))
    assert len(found) < 300 / 5 if stack == 5 else found == []
    assert all(len(pages_of(path)) == 5 for path in found)
    report = tiffin.export(
        run(300, 1), "{frame}.tif", directory=tmp_path / "again", stack=stack
    )
    assert len(report.written) == 300


def test_late_images_are_waited_for(tmp_path):
    """Live: the stack is published when the last late image has come, in order."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    count = len(FRAMES)
    documents = stream_run(
        f"file://localhost{raw}/", TIFF, {"template": "a_{:03d}.tif"}, events=count
    )

    def write():
        for n in reversed(range(count)):
            tifffile.imwrite(raw / f"a_{n:03d}.tif", FRAMES[n])
            time.sleep(0.05)

    writer = threading.Thread(target=write)
    with ImageExporter(
        "{start.uid}.tif", directory=out, stack="run", asset_timeout=60
    ) as exporter:
        feed(exporter, documents)
        before = list(out.glob("*.tif"))
        writer.start()
    writer.join()

    (report,) = exporter.reports.values()
    assert report.ok
    assert before == []
    (path,) = out.glob("*.tif")
    np.testing.assert_array_equal(tifffile.imread(path), FRAMES)


def test_an_image_that_never_comes_leaves_its_page_out(tmp_path):
    """The others are published, and the frame fails."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    count = len(FRAMES)
    for n in range(count):
        if n != 2:
            tifffile.imwrite(raw / f"a_{n:03d}.tif", FRAMES[n])
    documents = stream_run(
        f"file://localhost{raw}/", TIFF, {"template": "a_{:03d}.tif"}, events=count
    )

    report = export_live(
        documents, "{start.uid}.tif", directory=out, stack="run", asset_timeout=1
    )

    assert [record.seq_num for record in report.failed] == [3]
    (path,) = out.glob("*.tif")
    rest = [n for n in range(count) if n != 2]
    np.testing.assert_array_equal(tifffile.imread(path), FRAMES[rest])


def test_a_stop_document_waits_no_longer_than_it_may(tmp_path):
    """``stop_timeout``: the plan goes on, and the stack is there at last."""
    gate = threading.Event()

    def slow(image, frame):
        gate.wait(60)
        return image

    with ImageExporter(
        "{start.scan_id}.tif", directory=tmp_path, stack="run", stop_timeout=0.2,
        corrections=[slow],
    ) as exporter:  # fmt: skip
        feed(exporter, run())
        before = list(tmp_path.glob("*.tif"))
        gate.set()

    assert before == []
    assert pages_of(tmp_path / "7.tif") == [*range(18)]


@pytest.mark.parametrize("live", [False, True])
def test_interleaved_runs_have_a_stack_each(tmp_path, live):
    """Their documents come by turns."""
    runs = [run(number=n) for n in range(3)]
    documents = [pair for together in zip(*runs, strict=True) for pair in together]
    settings = {"directory": tmp_path, "stack": "run"}
    if live:
        with ImageExporter("{start.number}.tif", **settings) as exporter:
            feed(exporter, documents)
        assert all(report.ok for report in exporter.reports.values())
    else:
        assert tiffin.export(documents, "{start.number}.tif", **settings).ok

    found = {path.name: pages_of(path) for path in tmp_path.glob("*.tif")}
    assert found == {f"{n}.tif": [*range(18)] for n in range(3)}
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("existing", ["error", "replace"])
def test_times_permissions_and_syncs(tmp_path, live, existing):
    """A stack has the time of its first frame, and is as safe as other files."""
    documents = run()
    for name, doc in documents:
        if name == "event":
            doc["time"] = 1000.0 + doc["seq_num"]
    settings = {
        "directory": tmp_path, "stack": "event", "file_time": "event", "mode": 0o600,
        "directory_mode": 0o711, "fsync": "file", "checksum": "sha256",
        "existing": existing,
    }  # fmt: skip
    export = export_live if live else tiffin.export
    assert export(documents, "a/{event.seq_num}.tif", **settings).ok

    for seq_num in range(1, 7):
        told = (tmp_path / f"a/{seq_num}.tif").stat()
        assert told.st_mtime == 1000 + seq_num
        assert told.st_mode & 0o777 == 0o600
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o711
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize("checksum", ["none", "crc32", "sha256"])
@pytest.mark.parametrize("profile", ["plain", "ome"])
def test_corrected_stacks_are_verified(tmp_path, checksum, profile):
    """By their manifest, against their source, and each page tells what was done."""
    documents = run()
    report = tiffin.export(
        documents, "{start.scan_id}.tif", directory=tmp_path, stack="run",
        corrections=[Scale(2)], checksum=checksum, profile=profile,
    )  # fmt: skip

    assert report.ok
    assert tiffin.verify(tmp_path).ok
    with pytest.raises(VerifyError, match="corrected"):
        compare(tmp_path, documents)
    pages = tiffin.read_metadata(tmp_path / "7.tif")
    assert [page["frame"] for page in pages] == [*range(18)]
    assert all("corrections" in page for page in pages)
    if checksum != "none":
        path = tmp_path / "7.tif"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        assert not tiffin.verify(tmp_path).ok

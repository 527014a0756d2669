"""Disks that do not answer, threads that are not to be had: no plan waits for ever."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from bluesky.plans import count

import tiffin
from tests.documents import stream_run
from tests.helpers import until
from tiffin import ImageExporter, process
from tiffin.engine import patience, pool
from tiffin.testing import run_of

IMAGES = np.ones((3, 100, 100), "u2")
NAME = "{start.scan_id}_{event.seq_num}.tif"


class Disk:
    """A correction that waits, as a disk does that does not answer."""

    def __init__(self, hangs_at=lambda frame: True):
        self.answers = threading.Event()
        self.asked = threading.Event()
        self._hangs_at = hangs_at

    def __call__(self, image, frame):
        if self._hangs_at(frame):
            self.asked.set()
            self.answers.wait(60)
        return image


@pytest.fixture
def disk():
    made = []

    def make(*arguments):
        made.append(Disk(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.answers.set()


def feed(exporter, images=IMAGES, scan_id=1):
    """Feed a run; return its uid, and how long its stop document took."""
    for name, doc in run_of({"img": images}, scan_id=scan_id):
        if name == "start":
            uid = doc["uid"]
        begun = time.monotonic()
        exporter(name, doc)
    return uid, time.monotonic() - begun


def test_a_disk_that_does_not_answer_gives_the_plan_back(
    tmp_path, disk, caplog, monkeypatch
):
    """C13: after stop_timeout the plan goes on with a warning; wait() still waits."""
    monkeypatch.setattr(patience, "SAY_AFTER", 0.1)
    hung = disk()
    exporter = ImageExporter(
        NAME, directory=tmp_path, corrections=[hung], stop_timeout=0.6
    )

    uid, took = feed(exporter)
    report = exporter.reports[uid]

    assert 0.5 < took < 30
    assert not report.ok
    assert str(report) == "0 written, 0 skipped, 0 failed, 3 under way"
    assert "3 frames are under way, first event 1" in caplog.text
    assert "for 0.6 s at most" in caplog.text
    assert "the plan continues" in caplog.text
    assert not exporter.wait(0.1)

    hung.answers.set()

    assert exporter.wait(60)
    assert exporter.reports[uid].ok
    assert len(list(tmp_path.glob("*.tif"))) == 3


def test_a_run_engine_gets_its_plan_back(tmp_path, disk, RE, img):
    """C13: the same with a RunEngine; the next plan is exported as usual."""
    hung = disk(lambda frame: frame.start["scan_id"] == 1)
    exporter = ImageExporter(
        NAME, directory=tmp_path, corrections=[hung], stop_timeout=0.5, workers=2
    )
    RE.subscribe(exporter)
    RE.md["scan_id"] = 0

    (first,) = RE(count([img], 1))
    begun = time.monotonic()
    (second,) = RE(count([img], 3))
    took = time.monotonic() - begun

    assert not exporter.reports[first].ok
    until(lambda: exporter.reports[second].ok)
    assert took < 30
    hung.answers.set()
    exporter.close()
    assert exporter.reports[first].ok


@pytest.mark.parametrize("workers", [1, 2])
def test_what_hangs_is_waited_for_once(tmp_path, disk, workers):
    """C13: later runs neither wait again for frames that hang nor queue after them."""
    hung = disk(lambda frame: frame.start["scan_id"] == 1)
    exporter = ImageExporter(
        NAME, directory=tmp_path, corrections=[hung], stop_timeout=1, workers=workers
    )
    feed(exporter, IMAGES[:workers])

    times = []
    for n in range(2, 6):
        uid, took = feed(exporter, scan_id=n)
        times.append(took)
        until(lambda run=uid: exporter.reports[run].ok)

    assert min(times) < 0.9  # a busy machine may hold up some
    hung.answers.set()
    exporter.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_images_that_find_no_memory_fail_and_the_plan_goes_on(tmp_path, disk, workers):
    """C13: an event waits only while the memory budget is full, and not for ever."""
    hung = disk()
    exporter = ImageExporter(
        NAME,
        directory=tmp_path,
        corrections=[hung],
        stop_timeout=0.5,
        memory=3 * IMAGES[0].nbytes,
        workers=workers,
    )
    begun = time.monotonic()
    uid, _ = feed(exporter, np.ones((20, 100, 100), "u2"))
    took = time.monotonic() - begun
    hung.answers.set()
    exporter.close()
    report = exporter.reports[uid]

    assert took < 5
    assert len(report.records) == 20
    assert len(report.failed) > 10
    assert len(report.written) + len(report.failed) == 20
    reason = str(report.failed[-1].error)
    assert "was dropped: 60 kB of images (memory=)" in reason
    assert report.failed[-1].path.name == "1_20.tif"


@pytest.mark.parametrize("nested", [IMAGES.tolist(), [[[1, 2], [3, 4]]] * 3])
def test_lists_that_find_no_memory_fail_too(tmp_path, disk, nested):
    """C13: images in lists count towards the budget as well."""
    hung = disk()
    exporter = ImageExporter(
        NAME, directory=tmp_path, corrections=[hung], stop_timeout=0.3, memory=1
    )
    uid, _ = feed(exporter, [np.array(image) for image in nested])
    hung.answers.set()
    exporter.close()

    counts = exporter.reports[uid].counts()
    assert counts["written"] + counts["failed"] == 3
    assert counts["failed"]


@pytest.mark.parametrize("where", ["stop", "wait", "event", "process"])
def test_ctrl_c_ends_the_waiting_at_once(tmp_path, disk, where, request):
    """C13: whatever waits, in the user's own loop or in `process`."""
    hung = disk()
    exporter = ImageExporter(
        NAME,
        directory=tmp_path,
        corrections=[hung],
        stop_timeout=0.2 if where == "wait" else 60,
        memory=IMAGES[0].nbytes if where == "event" else None,
    )
    work = {
        "stop": lambda: feed(exporter),
        "event": lambda: feed(exporter),
        "wait": lambda: (feed(exporter), exporter.wait()),
        "process": lambda: process(run_of({"img": IMAGES}, scan_id=1), exporter),
    }[where]
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    request.addfinalizer(timer.cancel)
    begun = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        work()

    assert time.monotonic() - begun < 30
    hung.answers.set()
    exporter.close()


def test_ctrl_c_ends_a_replay_that_hangs(tmp_path, disk, request, monkeypatch):
    """C13: writes under way get a few seconds, then the replay returns."""
    monkeypatch.setattr(pool, "GRACE", 0.5)
    hung = disk()
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    request.addfinalizer(timer.cancel)
    begun = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        tiffin.export(
            run_of({"img": IMAGES}, scan_id=1),
            NAME,
            directory=tmp_path,
            corrections=[hung],
        )

    assert time.monotonic() - begun < 30


def test_ctrl_c_ends_waiting_for_a_source(tmp_path, request):
    """Also where a pipe or a server never gives the next document."""
    path = tmp_path / "a.jsonl"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    request.addfinalizer(lambda: os.close(writer))
    os.write(writer, b'["start", {"uid": "a", "time": 0}]\n')
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    request.addfinalizer(timer.cancel)
    rescue = threading.Timer(50, lambda: os.write(writer, b"no JSON\n"))
    rescue.start()
    request.addfinalizer(rescue.cancel)
    begun = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        tiffin.export(path, NAME, directory=tmp_path / "out")

    assert time.monotonic() - begun < 30


def test_an_interpreter_exits_whatever_hangs(tmp_path):
    """C13: a worker that hangs does not keep a session from exiting."""
    code = f"""
import time, numpy as np, tiffin
from tests.integration.test_streams import stream_run
from tiffin.testing import run_of
exporter = tiffin.ImageExporter("{{event.seq_num}}.tif", directory={str(tmp_path)!r},
    corrections=[lambda image, frame: time.sleep(1000)], stop_timeout=0.5,
    asset_timeout=0)
for name, doc in run_of({{"img": np.ones((2, 6, 9), "u2")}}):
    exporter(name, doc)
print(*exporter.reports.values())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100
    )

    assert done.returncode == 0
    assert "2 under way" in done.stdout


@pytest.mark.parametrize("how_often", [1, 10**6])
@pytest.mark.parametrize("which", ["tiffin-exporter", "tiffin-writer", "tiffin"])
def test_no_thread_to_be_had_costs_no_plan(tmp_path, monkeypatch, which, how_often):
    """C14: once or always, nothing is raised, hangs or is lost."""
    start, left = threading.Thread.start, [how_often]

    def refuse(thread):
        if thread.name.startswith(which) and left[0] > 0:
            left[0] -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    exporter = ImageExporter(NAME, directory=tmp_path, memory=IMAGES[0].nbytes)

    uid, took = feed(exporter)

    assert exporter.reports[uid].ok
    assert len(exporter.reports[uid].written) == 3
    assert took < 5
    exporter.close()


def test_closing_while_documents_come_loses_none(tmp_path):
    """C14: another thread may close; later documents start anew."""
    exporter = ImageExporter(NAME, directory=tmp_path)
    over = threading.Event()

    def close():
        while not over.is_set():
            exporter.close()

    closer = threading.Thread(target=close)
    closer.start()
    uids = [feed(exporter, scan_id=n)[0] for n in range(20)]
    over.set()
    closer.join(60)

    exporter.close()
    reports = [exporter.reports[uid] for uid in uids]
    assert not closer.is_alive()
    assert not any(report.planned for report in reports)
    assert all(len(report.written) == 3 for report in reports if report.ok)


def test_events_behind_a_close_fail(tmp_path):
    """C14: a run that was closed midway is not ok, and says why."""
    exporter = ImageExporter(NAME, directory=tmp_path)
    run = [*run_of({"img": IMAGES}, scan_id=1)]
    for name, doc in run[:3]:
        exporter(name, doc)
    exporter.close()
    for name, doc in run[3:]:
        exporter(name, doc)

    report = exporter.reports[run[0][1]["uid"]]
    assert (len(report.written), len(report.failed)) == (1, 2)
    assert "came after the exporter was closed" in str(report.failed[0].error)
    again = process(run, exporter)[run[0][1]["uid"]]
    assert (len(again.written), len(again.failed)) == (2, 1)  # the first is there
    assert len(list(tmp_path.glob("*.tif"))) == 3


def test_a_timeout_that_is_none_is_refused(tmp_path):
    """A wrong setting is an error at once."""
    with pytest.raises(tiffin.errors.SettingsError, match="stop_timeout"):
        ImageExporter(NAME, directory=tmp_path, stop_timeout=-1)
    with pytest.raises(tiffin.errors.SettingsError, match="keep_reports"):
        ImageExporter(NAME, directory=tmp_path, keep_reports=0)


def test_no_thread_for_late_files_fails_their_frames(tmp_path, monkeypatch):
    """C14: without a thread to retry, late files are not waited for."""
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "tiffin-retries":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    exporter = ImageExporter("{event.seq_num}.tif", directory=tmp_path)
    run = stream_run(f"file://localhost{tmp_path}/none.h5", "application/x-hdf5", {})
    begun = time.monotonic()

    for name, doc in run:
        exporter(name, doc)
    exporter.close()

    report = exporter.reports[run[0][1]["uid"]]
    assert time.monotonic() - begun < 5
    assert report.failed
    assert not report.planned
    assert "can't start new thread" in str(report.failed[0].error)

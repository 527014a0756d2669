"""Live runs from messages, on the page, and what goes wrong while they go on."""

import gzip
import os
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from bluesky.callbacks.json_writer import JSONLinesWriter

from tests.integration.test_listeners import (
    LISTEN,
    await_connection,
    proxy,
    publisher,
)
from tests.integration.test_live import TiffFiles
from tests.integration.test_service import service, until
from tests.integration.test_service_faults import small
from tests.integration.test_service_late import LateFile
from tests.integration.test_service_live import (
    add,
    check_files,
    config,
    documents,
    files_of,
    half_run,
    slow_count,
)
from tests.integration.test_web import first_state, web
from tests.shell import tiffin as shell
from tiffin.service import Journal, Service, live, read_service
from tiffin.service.spool import Spool
from tiffin.sources import pack
from tiffin.testing import run_of

__all__ = ["documents", "proxy", "publisher", "service", "small", "web"]


class TestMessages:
    @pytest.fixture
    def heard(self, tmp_path, service, proxy, publisher, caplog):
        """A live service that listens to bluesky's proxy; and a publisher."""
        options = f'address = "{proxy[1]}"\nprefix = "bl1"'
        listen = LISTEN.format(type="zmq", options=options)
        started = service(config(tmp_path, exports=listen))
        await_connection(publisher, lambda: caplog.text)
        return started, publisher

    def test_a_run_that_is_spooled_is_live(self, RE, tmp_path, heard, img, images):
        """From the hidden file of the spool; the file gets its name at the end."""
        started, publisher = heard
        RE.subscribe(publisher)

        def between(n):
            until(lambda: len(files_of(tmp_path, 5)) == n)
            assert not list((tmp_path / "documents").glob("*.msgpack"))

        RE(slow_count(img, between, scan_id=5))

        until(lambda: started.journal.counts() == {"done": 1})
        check_files(tmp_path, 5, images.taken(3))
        (run,) = started.journal.newest()
        assert (run.written, run.skipped, run.failed) == (3, 0, 0)

    def test_a_run_whose_messages_were_lost_is_not_ended(self, tmp_path, heard):
        """Its images are there; the run is failed, and its live export ends."""
        started, publisher = heard
        run = run_of({"img": np.ones((4, 4, 6), "u2")}, scan_id=5)
        for item in run[:3]:
            publisher(*item)
        until(lambda: len(files_of(tmp_path, 5)) == 1)
        for item in run[4:]:
            publisher(*item)
        until(lambda: started.journal.counts() == {"failed": 1})
        until(lambda: not started.live.runs)
        (failed,) = started.journal.newest()
        assert failed.is_incomplete
        assert "stream 'primary' lacks 1 event: 2" in failed.why


@pytest.mark.slow
def test_a_live_run_of_kafka_comes_again(tmp_path, service):
    """After a restart, its messages do; its files are not written again."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1})
    (broker,) = producer.list_topics().brokers.values()
    options = f'address = "{broker.host}:{broker.port}"\ntopics = ["bl1"]'
    path = config(tmp_path, exports=LISTEN.format(type="kafka", options=options))
    run = run_of({"img": np.ones((4, 4, 6), "u2")}, scan_id=9)

    def send(documents):
        for item in documents:
            producer.produce("bl1", value=pack(list(item)), key="k")
        producer.flush(10)

    first = service(path)
    send(run[:4])
    until(lambda: len(files_of(tmp_path, 9)) == 2)
    before = {file: file.stat().st_ino for file in files_of(tmp_path, 9)}
    assert first.stop()
    send(run[4:])
    second = service(path)
    until(lambda: second.journal.counts() == {"done": 1})
    (found,) = second.journal.newest()
    assert (found.written, found.skipped, found.failed) == (2, 2, 0)
    assert all(file.stat().st_ino == inode for file, inode in before.items())


class TestSpool:
    def test_a_run_that_was_torn_is_noted(self, tmp_path, service):
        """A part of a document was written, and taken back."""
        started = service(config(tmp_path))
        spool = Spool(tmp_path / "documents", started.journal)
        run = run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=5)
        for item in run[:3]:
            spool.add(*item)
        growing = spool.growing(run[0][1]["uid"])
        assert not growing.torn
        growing.file.close()
        growing.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123 (closed by the spool)
        with pytest.raises(OSError, match="No space"):
            spool.add(*run[3])
        assert growing.torn
        spool.close()


def test_the_page_shows_a_live_run(tmp_path, web, documents):
    """As one in progress, with its images so far; the counts never go back."""
    rest = half_run(documents)
    client, started = web(config(tmp_path))
    until(lambda: started.status.total.written == 3)

    until(lambda: [row["seq_num"] for row in first_state(client)["images"]] == [3])
    state = first_state(client)
    (row,) = state["runs"]
    assert (row["state"], row["written"]) == ("live", 3)
    assert (state["live"], state["counts"]) == (1, {"open": 1})
    assert state["rate"] > 0
    assert 'tiffin_frames_total{status="written"} 3.0' in client.get("/metrics").text

    counts = []
    add(documents, rest)
    until(
        lambda: (
            counts.append(started.status.total.written)
            or started.journal.counts() == {"done": 1}
        )
    )
    assert counts == sorted(counts)
    until(lambda: first_state(client)["live"] == 0)
    state = first_state(client)
    assert state["runs"][0]["state"] == "done"
    assert 'tiffin_frames_total{status="written"} 6.0' in client.get("/metrics").text


def test_a_gzipped_file_is_read_at_its_stop(tmp_path, service, documents):
    """Nobody appends to one."""
    rest = half_run(documents)
    path = documents / "1.msgpack"
    begun = gzip.compress(path.read_bytes())
    path.unlink()
    (documents / "1.msgpack.gz").write_bytes(begun)
    started = service(config(tmp_path))
    until(lambda: started.journal.counts() == {"open": 1})
    time.sleep(0.3)
    assert not started.live.runs
    more = gzip.compress(b"".join(map(pack, rest)))
    (documents / "1.msgpack.gz").write_bytes(begun + more)
    until(lambda: started.journal.counts() == {"done": 1})
    assert len(files_of(tmp_path, 1)) == 6


def test_a_stop_says_which_runs_go_on(tmp_path, service, documents, caplog):
    """And the next start goes on with them."""
    half_run(documents)
    started = service(config(tmp_path))
    until(lambda: started.live.runs)
    assert started.stop()
    assert "the next start goes on with 1 live run" in caplog.text


def test_a_stop_does_not_wait_for_files_that_may_come(RE, tmp_path, service, documents):
    """Nothing looks for them afterwards; the next start does."""
    detector = LateFile(tmp_path)
    before = set(threading.enumerate())  # some may be of other tests
    first = service(config(tmp_path))

    def started():
        return {thread.name for thread in set(threading.enumerate()) - before}

    def between(n):
        if n == 2:
            until(lambda: "tiffin-retries" in started())
            assert first.stop()
            assert not {"tiffin-retries", "tiffin-live"} & started()

    RE(slow_count(detector, between, scan_id=4), JSONLinesWriter(documents))

    detector.arrive()
    second = service(config(tmp_path))
    until(lambda: second.journal.counts() == {"done": 1})
    check_files(tmp_path, 4)
    assert len(started()) < 10


def test_a_run_that_has_no_name_is_given_up_and_others_go_on(
    tmp_path, service, documents
):
    """As without ``live``; the reason is in the journal."""
    rest = half_run(documents, 1)
    path = documents / "1.msgpack"
    path.write_bytes(path.read_bytes().replace(b"scan_id", b"scan_xx"))
    more = half_run(documents, 2)
    started = service(config(tmp_path))
    until(lambda: len(files_of(tmp_path, 2)) == 3)
    add(documents, rest, 1)
    add(documents, more, 2)
    until(lambda: started.journal.counts() == {"done": 1, "failed": 1})
    (failed,) = started.journal.newest(state="failed")
    assert "scan_id" in failed.why


def test_a_run_that_kills_the_service_is_not_live_for_ever(
    tmp_path, service, documents
):
    """After five kills it waits for its stop, and then has all of its tries."""
    rest = half_run(documents)
    first = service(config(tmp_path))
    until(lambda: len(files_of(tmp_path, 1)) == 3)
    (run,) = first.journal.newest()
    assert run.tries == 1
    assert first.stop()
    (run,) = first.journal.newest()
    assert run.tries == 0
    for _ in range(live.MOST_KILLS):
        first.journal.note_live(run.uid, begins=True)
    second = service(config(tmp_path))
    add(documents, rest[:2])
    until(lambda: second.status.looked)
    time.sleep(0.3)
    assert not second.live.runs
    assert len(files_of(tmp_path, 1)) == 3
    add(documents, rest[2:])
    until(lambda: second.journal.counts() == {"done": 1})
    (run,) = second.journal.newest()
    assert (run.written, run.skipped, run.tries) == (3, 3, 1)


def test_a_stack_is_written_at_the_end(tmp_path, service, documents):
    """A run that was left alone in between has all of its images in it."""
    import tifffile

    rest = half_run(documents)
    path = config(tmp_path, exports='stack = "run"\n')
    path.write_text(path.read_text().replace("{event.seq_num:03d}", "all"))
    first = service(path)
    until(lambda: first.live.runs)
    time.sleep(0.5)
    assert first.stop()
    assert not list((tmp_path / "out").rglob("*.tif"))
    add(documents, rest[:2])
    second = service(path)
    until(lambda: second.live.runs)
    add(documents, rest[2:])
    until(lambda: second.journal.counts() == {"done": 1})
    stack = tifffile.imread(tmp_path / "out/1/all.tif")
    expected = np.arange(6 * 48).reshape(6, 8, 6)
    np.testing.assert_array_equal(stack, expected)


def test_two_live_services_export_each_file_once(tmp_path, service, documents):
    """Only the one with the lease; the other one takes over."""
    rest = half_run(documents)
    path = config(tmp_path)
    first = service(path)
    until(lambda: len(files_of(tmp_path, 1)) == 3)
    second = Service(*read_service(path))
    second.start()
    before = {file: file.stat().st_mtime_ns for file in files_of(tmp_path, 1)}
    try:
        time.sleep(0.3)
        assert not second.live.runs
        assert first.stop()
        add(documents, rest[:2])
        until(lambda: len(files_of(tmp_path, 1)) == 5)
        add(documents, rest[2:])
        until(lambda: second.journal.counts() == {"done": 1})
        assert all(f.stat().st_mtime_ns == told for f, told in before.items())
        assert second.journal.newest()[0].skipped == 3
    finally:
        second.stop()
        second.close()


def test_a_live_run_waits_for_room(tmp_path, service, small, documents, monkeypatch):
    """It says so, and goes on when there is room."""
    monkeypatch.setattr(live, "PAUSE", 0.3)
    path = config(tmp_path)
    text = path.read_text().replace(str(tmp_path / "out"), str(small / "out"))
    path.write_text(text)
    room = os.statvfs(small)
    ballast = small / "ballast"
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize))
    run = run_of({"img": np.ones((3, 200, 300), "u2")}, scan_id=1)
    whole = b"".join(map(pack, run))
    cut = len(whole) - len(pack(run[-1]))
    (documents / "1.msgpack").write_bytes(whole[:cut])
    started = service(path)
    until(lambda: "disk is full" in started.trouble())
    assert started.journal.counts() == {"open": 1}
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
    until(lambda: len(list((small / "out").rglob("*.tif"))) == 3)
    until(lambda: not started.trouble())
    (documents / "1.msgpack").write_bytes(whole)
    until(lambda: started.journal.counts() == {"done": 1})


@pytest.mark.slow
def test_a_live_service_that_is_killed_again_and_again(RE, tmp_path, documents):
    """Every frame is exported once, whenever it is killed."""
    command = [sys.executable, "-m", "tiffin", "serve", config(tmp_path)]
    seed = random.Random(15)
    over, waits = threading.Event(), threading.Event()
    kills, taken = [], []

    def exported():
        return len(list((tmp_path / "out").rglob("*.tif")))

    def is_enough(number):
        everything = waits.is_set() and exported() == len(taken)
        return exported() >= number or everything or over.is_set()

    def kill():
        while not over.is_set():
            number = exported() + seed.randint(1, 6)
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as work:
                try:
                    until(lambda n=number: is_enough(n))
                finally:
                    kills.append(work.pid)
                    work.kill()
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as work:
            try:
                until(lambda: is_done(tmp_path, 5))
                work.terminate()
                assert work.wait(60) == 0
            finally:
                work.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    inodes, images = {}, np.arange(12 * 54, dtype="u2").reshape(12, 6, 9)

    def between(n):
        taken.append(n)
        time.sleep(0.25)
        for path in (tmp_path / "out").rglob("*.tif"):
            inodes.setdefault(path, path.stat().st_ino)

    try:
        for scan_id in range(1, 6):
            (tmp_path / f"raw{scan_id}").mkdir()
            detector = TiffFiles(tmp_path / f"raw{scan_id}", "AD_TIFF", images)
            plan = slow_count(detector, between, 12, scan_id=scan_id)
            waits.clear()
            RE(plan, JSONLinesWriter(documents))
            waits.set()
            until(lambda n=scan_id: len(kills) >= n)  # however slowly it starts
    finally:
        over.set()
    killer.join(200)
    assert not killer.is_alive()
    assert inodes
    assert all(path.stat().st_ino == inode for path, inode in inodes.items())
    for scan_id in range(1, 6):
        check_files(tmp_path, scan_id, images)
    checked = shell("verify", tmp_path / "out", "--against", documents)
    assert checked.returncode == 0, checked.stderr


def is_done(tmp_path, runs):
    """Return whether all runs are done."""
    journal = Journal(tmp_path / "state/journal.sqlite")
    try:
        return journal.counts() == {"done": runs}
    finally:
        journal.close()

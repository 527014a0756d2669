"""``live = true``: a run is exported while its documents are written."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.callbacks.json_writer import JSONLinesWriter, JSONWriter

from tests.integration.test_live import TiffFiles
from tests.integration.test_service import service, until, write_config, write_run
from tests.integration.test_service_late import IMAGES, LateFile
from tests.shell import tiffin as shell
from tiffin.bulk import Task
from tiffin.errors import SettingsError, SourceError
from tiffin.service import Journal, live, read_service
from tiffin.service.live_export import LiveExport
from tiffin.sources import pack
from tiffin.testing import run_of

__all__ = ["service"]

LIVE = "live = true"


def config(folder, more="", exports=""):
    """Write the configuration of a live service; return its path."""
    return write_config(folder, f"{LIVE}\n{more}", exports)


def slow_count(detector, between, number=3, **start):
    """Take images; after each, do something that may wait."""

    @bpp.stage_decorator([detector])
    @bpp.run_decorator(md=start)
    def plan():
        for n in range(1, number + 1):
            yield from bps.trigger_and_read([detector])
            between(n)

    return plan()


@pytest.fixture
def documents(tmp_path):
    """The folder of the source."""
    folder = tmp_path / "documents"
    folder.mkdir()
    return folder


@pytest.fixture
def detector(tmp_path):
    """A detector that writes a TIFF file an image."""
    (tmp_path / "raw").mkdir()
    return TiffFiles(tmp_path / "raw", "AD_TIFF", IMAGES)


def files_of(tmp_path, scan_id):
    """Return the exported files of a run."""
    return sorted((tmp_path / f"out/{scan_id}").glob("*.tif"))


def check_files(tmp_path, scan_id, images=IMAGES):
    """Compare the exported files of a run with what was taken."""
    found = files_of(tmp_path, scan_id)
    for path, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(tifffile.imread(path), image)


@pytest.mark.parametrize("writer", [JSONLinesWriter, JSONWriter])
def test_each_image_is_exported_while_the_run_goes_on(
    RE, tmp_path, service, documents, detector, writer
):
    """The plan goes on only when its last image is there; `on_done` comes after it."""
    done = tmp_path / "done.txt"
    more = f"on_done = 'echo $TIFFIN_SCAN_ID $TIFFIN_STATUS >> {done}'"
    exports = (
        'sidecar = ["run.json"]\nreport = true\n[exports.npy]\nformat = "npy"\n'
        'template = "{start.scan_id}/{event.seq_num:03d}.npy"\n'
        f'directory = "{tmp_path / "npy"}"\n'
    )
    started = service(config(tmp_path, more, exports))

    def between(n):
        until(lambda: len(files_of(tmp_path, 5)) == n)
        until(lambda: len(list((tmp_path / "npy").rglob("*.npy"))) == n)
        assert not list((tmp_path / "out").rglob("*.json"))
        until(lambda: started.journal.newest()[0].written == 2 * n)
        until(lambda: started.status.total.written == 2 * n)
        assert started.journal.counts() == {"open": 1}
        assert not done.exists()

    RE(slow_count(detector, between, scan_id=5), writer(documents))

    until(lambda: started.journal.counts() == {"done": 1})
    check_files(tmp_path, 5)
    (run,) = started.journal.newest()
    assert (run.written, run.skipped, run.failed, run.tries) == (7, 0, 0, 1)
    assert started.status.total.written == 7
    assert done.read_text() == "5 done\n"
    assert json.loads(next((tmp_path / "out").rglob("*.json")).read_text())["stop"]
    assert list((tmp_path / "out").rglob("*.html"))


def test_runs_of_one_file_that_are_open_at_once(
    RE, tmp_path, service, documents, img, images
):
    """Each has its own files, as they come."""

    def as_json(name, doc):  # which has lists, no arrays
        writer(name, json.loads(json.dumps(doc, default=np.ndarray.tolist)))

    @bpp.set_run_key_decorator("inner")
    @bpp.run_decorator(md={"scan_id": 2})
    def inner():
        yield from bps.trigger_and_read([img])
        until(lambda: len(files_of(tmp_path, 2)) == 1)

    @bpp.set_run_key_decorator("outer")
    @bpp.run_decorator(md={"scan_id": 1})
    def outer():
        yield from bps.trigger_and_read([img])
        until(lambda: len(files_of(tmp_path, 1)) == 1)
        yield from inner()
        yield from bps.trigger_and_read([img])
        until(lambda: len(files_of(tmp_path, 1)) == 2)

    writer = JSONLinesWriter(documents, "day.jsonl")
    started = service(config(tmp_path))

    RE(outer(), as_json)

    until(lambda: started.journal.counts() == {"done": 2})
    first, second, third = images.taken(3)
    check_files(tmp_path, 1, [first, third])
    check_files(tmp_path, 2, [second])


@pytest.mark.parametrize("arrives_first", [True, False])
def test_a_late_file_is_waited_for(RE, tmp_path, service, documents, arrives_first):
    """During the run or after it; until then, the run is not done."""
    detector = LateFile(tmp_path)
    started = service(config(tmp_path))

    def between(n):
        if n == 2 and arrives_first:
            detector.arrive()
            until(lambda: len(files_of(tmp_path, 4)) == 2)

    RE(slow_count(detector, between, scan_id=4), JSONLinesWriter(documents))

    if not arrives_first:
        until(lambda: started.journal.newest() and started.journal.newest()[0].why)
        assert "a.h5" in started.journal.newest()[0].why
        detector.arrive()
    until(lambda: started.journal.counts() == {"done": 1})
    check_files(tmp_path, 4)
    (run,) = started.journal.newest()
    assert run.written + run.skipped == 3
    assert run.failed == 0


def half_run(folder, scan_id=1, frames=6, take=5):
    """Write the beginning of a run; return the rest of its documents."""
    run = run_of({"img": np.arange(frames * 48).reshape(frames, 8, 6).astype("u2")},
                 scan_id=scan_id)  # fmt: skip
    (folder / f"{scan_id}.msgpack").write_bytes(b"".join(map(pack, run[:take])))
    return run[take:]


def add(folder, documents, scan_id=1):
    """Append documents to the file of a run."""
    with (folder / f"{scan_id}.msgpack").open("ab") as file:
        file.write(b"".join(map(pack, documents)))


def test_a_run_that_never_stops_stays_open(tmp_path, service, documents):
    """What has come is exported; a stop ends the service at once."""
    half_run(documents)
    started = service(config(tmp_path))
    until(lambda: len(files_of(tmp_path, 1)) == 3)
    began = time.monotonic()
    assert started.stop()
    assert time.monotonic() - began < 30  # a run is drained for longer
    assert started.journal.counts() == {"open": 1}
    assert started.live.runs == frozenset()


def test_a_silent_run_is_left_alone_until_it_goes_on(
    tmp_path, service, documents, monkeypatch
):
    """Its threads end; when the file grows, it is live again."""
    monkeypatch.setattr(live, "SILENT", 0.5)
    rest = half_run(documents)
    started = service(config(tmp_path))
    until(lambda: len(files_of(tmp_path, 1)) == 3)
    until(lambda: not started.live.runs)
    before = {path: path.stat().st_mtime_ns for path in files_of(tmp_path, 1)}
    add(documents, rest[:1])
    until(lambda: len(files_of(tmp_path, 1)) == 4)
    add(documents, rest[1:])
    until(lambda: started.journal.counts() == {"done": 1})
    assert len(files_of(tmp_path, 1)) == 6
    assert all(path.stat().st_mtime_ns == told for path, told in before.items())


def test_more_open_runs_than_are_live(tmp_path, service, documents, monkeypatch):
    """The newest are live; the others are exported at their stop."""
    monkeypatch.setattr(live, "MOST_RUNS", 1)
    rest = {n: half_run(documents, n) for n in (1, 2)}
    started = service(config(tmp_path))
    until(lambda: len(files_of(tmp_path, 2)) == 3)
    assert not files_of(tmp_path, 1)
    for n in (1, 2):
        add(documents, rest[n], n)
    until(lambda: started.journal.counts() == {"done": 2})
    assert [len(files_of(tmp_path, n)) for n in (1, 2)] == [6, 6]


def test_a_file_that_was_replaced_is_read_anew(tmp_path, service, documents):
    """What is there at the stop is the truth."""
    half_run(documents)
    started = service(config(tmp_path))
    until(lambda: len(files_of(tmp_path, 1)) == 3)
    path = documents / "1.msgpack"
    whole = path.with_suffix(".new")
    (tmp_path / "other").mkdir()
    content = path.read_bytes()
    rest = half_run(tmp_path / "other")
    uid = started.journal.newest()[0].uid
    rest[-1][1].update(run_start=uid, num_events={"primary": 3})
    whole.write_bytes(content + pack(rest[-1]))
    whole.rename(path)
    until(lambda: started.journal.counts() == {"done": 1})
    assert len(files_of(tmp_path, 1)) == 3


def test_a_file_that_is_no_longer_readable_is_read_at_its_stop(
    tmp_path, service, documents
):
    """It costs the run nothing but the time."""
    rest = half_run(documents)
    started = service(config(tmp_path))
    until(lambda: len(files_of(tmp_path, 1)) == 3)
    path = documents / "1.msgpack"
    good = path.read_bytes()
    path.write_bytes(good[:-100])  # it has become shorter
    until(lambda: not started.live.runs)
    path.write_bytes(good)
    add(documents, rest)
    until(lambda: started.journal.counts() == {"done": 1})
    assert len(files_of(tmp_path, 1)) == 6


def test_bytes_that_were_taken_back_are_never_exported(tmp_path, documents):
    """A spool on a full disk writes a part of a document, and takes it back."""
    half_run(documents)
    given = {"directory": tmp_path / "out", "existing": "resume"}
    uid = run_uid(documents / "1.msgpack")
    task = Task(uid, "", "{event.seq_num}.tif", given)
    export = LiveExport(task, documents / "1.msgpack", is_torn=lambda: True)
    until(lambda: export.problem)
    assert "not written whole" in export.problem
    assert isinstance(export._error, SourceError)
    export.cancel()
    export.close()
    assert not list((tmp_path / "out").rglob("*.tif"))


def run_uid(path):
    """Return the uid of the run of a file."""
    from tiffin.sources import open_source

    documents = iter(open_source(path))
    return next(documents)[1]["uid"]


def test_runs_that_were_there_before_are_exported_too(tmp_path, service, documents):
    """As without ``live``."""
    write_run(documents, 1)
    started = service(config(tmp_path))
    until(lambda: started.journal.counts() == {"done": 1})
    assert len(files_of(tmp_path, 1)) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"documents"', '"http://localhost:1"', "only the documents of a folder"),
        ("{{start.scan_id}}", "{stop.num_events}", "exports.tiff.*only a replay"),
    ],
)
def test_what_can_not_be_live_is_refused(tmp_path, old, new, message):
    """The message says what is allowed."""
    path = config(tmp_path)
    path.write_text(path.read_text().replace(old.replace("{{", "{").replace("}}", "}"),
                                             new))  # fmt: skip
    with pytest.raises(SettingsError, match=message):
        read_service(path)


@pytest.mark.slow
def test_sigkill_in_a_live_run(RE, tmp_path, documents, detector):
    """The next start goes on; no file is written twice, and none is missing."""
    command = [sys.executable, "-m", "tiffin", "serve", config(tmp_path)]
    work = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    before = {}

    def between(n):
        nonlocal work
        until(lambda: len(files_of(tmp_path, 5)) == n)
        if n == 2:
            work.kill()
            work.wait()
            before.update({p: p.stat().st_mtime_ns for p in files_of(tmp_path, 5)})
            work = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    try:
        RE(slow_count(detector, between, scan_id=5), JSONLinesWriter(documents))
        journal = Journal(tmp_path / "state/journal.sqlite")
        until(lambda: journal.counts() == {"done": 1})
        (run,) = journal.newest()
        journal.close()
        work.send_signal(signal.SIGTERM)
        assert work.wait(timeout=60) == 0
    finally:
        work.kill()
        work.wait()
    assert (run.written, run.skipped, run.failed) == (1, 2, 0)
    assert all(path.stat().st_mtime_ns == told for path, told in before.items())
    check_files(tmp_path, 5)
    checked = shell("verify", tmp_path / "out", "--against", documents)
    assert checked.returncode == 0, checked.stderr

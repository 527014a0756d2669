"""An exporter that lives for months: what it keeps is bounded, nothing gets slower."""

import gc
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import until
from tiffin import ImageExporter, export, process, verify
from tiffin.assemble.pending import DocumentCache
from tiffin.compat import LiveTiffExporter
from tiffin.corrections import Rotate
from tiffin.engine import folded
from tiffin.errors import CollisionError
from tiffin.export import case_conflicts, manifests, open_runs
from tiffin.service import Service, read_service
from tiffin.sources import pack
from tiffin.sources.tiled_server import TiledServer
from tiffin.testing import run_of

IMAGES = np.ones((2, 6, 9), "u2")


def exporters(folder):
    yield ImageExporter("{start.scan_id}_{event.seq_num}.tif", directory=folder / "a")
    template = str(folder / "b" / "{start.scan_id}_{event.seq_num}.tif")
    yield LiveTiffExporter("img", template)


def feed(exporter, runs, first=0, images=IMAGES):
    uids = []
    for scan_id in range(first, first + runs):
        for name, doc in run_of({"img": images}, scan_id=scan_id):
            exporter(name, doc)
            if name == "start":
                uids.append(doc["uid"])
    return uids


@pytest.mark.parametrize("door", [0, 1])
def test_the_reports_of_older_runs_are_counts(tmp_path, door):
    """C15: records of the newest 100 runs are kept, and counts of older ones."""
    exporter = [*exporters(tmp_path)][door]

    uids = feed(exporter, 120)

    reports = exporter.reports
    assert [*reports] == uids
    assert len(reports) == 120
    assert all(reports[uid].ok for uid in uids)
    assert all(reports[uid].counts()["written"] == 2 for uid in uids)
    assert [len(reports[uid].records) for uid in uids] == [0] * 20 + [2] * 100
    assert "nothing" not in reports
    assert reports.get("nothing") is None


@pytest.mark.parametrize("door", [0, 1])
def test_a_replay_of_many_runs_has_all_of_its_records(tmp_path, door):
    """C15: one call with 120 runs returns all of their records."""
    exporter = [*exporters(tmp_path)][door]
    runs = [[*run_of({"img": IMAGES}, scan_id=n)] for n in range(120)]

    reports = process([pair for run in runs for pair in run], exporter)

    assert len(reports) == 120
    assert all(len(report.written) == 2 for report in reports.values())


def manifests_in(folder):
    return (folder / ".tiffin").glob("*.jsonl")


class Counted:
    """Runs that are read anew each time, and how many manifests are open meanwhile."""

    def __init__(self, runs, folder):
        self.runs = runs
        self.folder = str(folder)
        self.most = 0

    def __iter__(self):
        for run in self.runs:
            for pair in run:
                names = [name for name in open_files() if name.endswith(".jsonl")]
                here = sum(name.startswith(self.folder) for name in names)
                self.most = max(self.most, here)
                yield pair


def open_files():
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # a thread has closed it
            yield str(link.readlink())


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_replay_of_more_runs_than_files_may_be_open(tmp_path, monkeypatch, in_memory):
    """Few manifests are open at a time, and a resume reads each when it needs it."""
    monkeypatch.setattr(manifests, "MOST_OPEN", 3)
    runs = Counted([[*run_of({"img": IMAGES}, scan_id=n)] for n in range(40)], tmp_path)
    settings = {"directory": tmp_path, "workers": 1, "sidecars": "run.json"}
    template = "{start.scan_id}_{event.seq_num}.tif"

    source = [pair for run in runs.runs for pair in run] if in_memory else runs
    report = export(source, template, **settings)
    for n in range(0, 40, 3):
        (tmp_path / f"{n}_1.tif").unlink()
    again = export(source, template, existing="resume", **settings)

    assert len(report.written) == 120
    assert (len(again.written), len(again.skipped)) == (14, 106)
    assert runs.most <= 3 + 2  # one is read, and one opened before another is closed
    assert verify(tmp_path).ok
    lines = [len(path.read_text().splitlines()) for path in manifests_in(tmp_path)]
    assert sorted(lines) == [4] * 26 + [5] * 14


SETTINGS = [
    {},
    {"dry_run": True},
    {"fsync": "run", "report": True, "sidecars": "run.json"},
    {"stack": "run"},
    {"dtype": "uint8", "template": "{start.nothing}.tif"},
    {"corrections": [Rotate(1)], "existing": "resume"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_memory_of_an_export_is_freed_when_it_is_over(tmp_path, settings):
    """It has no reference cycle: a process with many exports does not grow."""
    given = {"template": "{start.scan_id}_{event.seq_num}.tif", **settings}
    run = [*run_of({"img": IMAGES}, scan_id=1)]
    gc.collect()
    gc.freeze()  # what other tests have left is none of this one's
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        export(run, directory=tmp_path, on_error="report", **given)
        gc.collect()
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.unfreeze()
    left = {type(thing) for thing in gc.garbage}
    gc.garbage.clear()

    assert [kind for kind in left if kind.__module__.startswith("tiffin")] == []


def test_a_tiled_client_leaves_no_threads_of_dask():
    """It reads tables by Dask, which keeps a pool for each thread that asks."""
    dask, httpx = pytest.importorskip("dask"), pytest.importorskip("httpx")
    dask.delayed(sum)([1]).compute()  # Dask makes some pools of its own
    before = pools()
    with httpx.Client() as client:
        server = TiledServer(client)
        for n in range(5):
            table = dask.delayed(sum)([n, 1])
            assert server.call(lambda table=table: table.compute()) == n + 1

    until(lambda: pools() <= before)


def pools():
    gc.collect()
    return sum(isinstance(thing, ThreadPoolExecutor) for thing in gc.get_objects())


@pytest.mark.slow
def test_the_memory_of_a_service_does_not_grow_with_its_runs(tmp_path, caplog):
    """It keeps nothing of a run, in one folder for all runs or one for each."""
    caplog.set_level(logging.WARNING, "tiffin")  # pytest keeps what is logged
    config = tmp_path / "tiffin.toml"
    config.write_text(SERVICE.format(folder=tmp_path))
    service = Service(*read_service(config))
    service.start()
    try:
        blocks = {n: blocks_after(n, service, tmp_path) for n in (200, 700)}
    finally:
        service.stop()
        service.close()

    assert blocks[700] - blocks[200] < 700  # an object an export would be 1,000 more


SERVICE = """
[service]
source = "{folder}/documents"
journal = "{folder}/journal.sqlite"
interval = 0.1
http = ""

[exports.flat]
template = "{{start.scan_id}}_{{event.seq_num}}.tif"
directory = "{folder}/flat"

[exports.folders]
template = "{{start.scan_id}}/{{event.seq_num}}.npy"
directory = "{folder}/folders"
format = "npy"
"""


def blocks_after(runs, service, folder):
    """Return how many blocks of memory are in use when so many runs are exported."""
    documents = folder / "documents"
    documents.mkdir(exist_ok=True)
    for n in range(service.journal.total(), runs):
        run = run_of({"img": IMAGES[:1]}, scan_id=n)
        part = documents / f".{n}"
        part.write_bytes(b"".join(pack(list(item)) for item in run))
        part.rename(documents / f"{n}.msgpack")
    while service.journal.counts() != {"done": runs} or service.status.run:
        assert service.journal.counts().get("failed", 0) == 0
        time.sleep(0.05)
    gc.collect()
    return sys.getallocatedblocks()


def test_a_run_costs_little_in_a_folder_of_many_files(tmp_path, monkeypatch):
    """Names there are not folded one by one; what others do there is seen."""
    folds = []

    def counted(name):
        folds.append(name)
        return folded(name)

    monkeypatch.setattr(case_conflicts, "folded", counted)
    for n in range(500):
        (tmp_path / f"x{n}.txt").touch()
    (tmp_path / "9_1.TIF").touch()
    exporter = ImageExporter("{start.scan_id}_{event.seq_num}.tif", directory=tmp_path)
    (first,) = feed(exporter, 1, first=1)
    (tmp_path / "7_1.TIF").touch()
    (tmp_path / "9_1.TIF").unlink()

    (taken,) = feed(exporter, 1, first=7)
    (free,) = feed(exporter, 1, first=9)

    assert len(folds) < 50
    assert exporter.reports[first].ok
    assert isinstance(exporter.reports[taken].failed[0].error, CollisionError)
    assert exporter.reports[free].ok


@pytest.mark.parametrize("names", [["É.tif", "straße", "ﬀ.TIF"], ["a.tif", "B.tif"]])
def test_names_are_folded_together_as_one_by_one(tmp_path, names):
    """Names of any language are found in another case or composition."""
    for name in names:
        (tmp_path / name).touch()
    conflicts = case_conflicts.CaseConflicts(str(tmp_path))

    twins = [conflicts.twin(folded(name).swapcase()) for name in names]

    assert twins == names
    assert [conflicts.twin(name) for name in names] == [None] * len(names)
    assert conflicts.twin("c.tif") is None


@pytest.mark.parametrize("on_error", ["report", "raise"])
def test_a_run_costs_the_same_after_many_frames(tmp_path, on_error):
    """C15: neither report nor stop document looks at earlier runs."""
    exporter = ImageExporter(
        "{start.scan_id}_{event.seq_num}.tif",
        directory=tmp_path,
        dry_run=True,
        on_error=on_error,
        keep_reports=None,
    )

    def cost(first):
        took = []
        for n in range(first, first + 9):
            begun = time.perf_counter()
            (uid,) = feed(exporter, 1, first=n)
            assert exporter.reports[uid].ok
            took.append(time.perf_counter() - begun)
        return min(took)  # a busy machine makes some longer

    before = cost(0)
    feed(exporter, 20, first=100, images=np.ones((500, 6, 9), "u2"))
    after = cost(1000)

    assert after < 5 * before + 0.01


@pytest.mark.parametrize("door", [0, 1])
def test_runs_that_never_stop_are_ended_some_day(tmp_path, door, monkeypatch):
    """C15: after a session crashed, its runs have no stop document."""
    monkeypatch.setattr(open_runs, "MOST_OPEN_RUNS", 20)
    exporter = [*exporters(tmp_path)][door]
    uids = []
    for n in range(200):
        for name, doc in run_of({"img": IMAGES}, scan_id=n):
            if name == "start":
                uids.append(doc["uid"])
            if name != "stop":
                exporter(name, doc)
    getattr(exporter, "wait", lambda: True)()
    reports = exporter.reports

    assert all(reports[uid].counts()["written"] == 2 for uid in uids)
    assert sum(len(reports[uid].records) for uid in uids) < 2 * 130


def test_documents_that_may_be_referred_to_are_bounded_by_their_bytes():
    """C15: the newest 10 MB of documents are kept, however large each is."""
    kept = DocumentCache()
    for n in range(400):
        run = f"r{n}"
        kwargs = [f"x{k}" for k in range(3000)]
        kept.add(f"d{n}", {"uid": f"d{n}", "kwargs": kwargs}, run)
        kept.end_run(run)

    left = [n for n in range(400) if kept.get(f"d{n}") is not None]
    assert left == [*range(400 - len(left), 400)]
    assert 20 < len(left) < 100
    kept.add("large", {"uid": "large", "kwargs": ["x" * 2**24]}, None)
    assert kept.get("large") is not None
    assert kept.get("d399") is None
    assert len(kept) == 1

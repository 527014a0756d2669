"""Many runs on a Dask cluster whose processes are killed."""

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import tiffin
from tests.helpers import until
from tests.integration.test_bulk import (
    NAME,
    export_with_poison,
    tree,
    use_module,
    warned_of,
    write_runs,
)
from tests.integration.test_howto_bulk import is_whole
from tiffin.bulk import Task, read_source
from tiffin.bulk.dask_engine import DaskEngine
from tiffin.errors import MissingLibraryError, SettingsError, SourceError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """200 runs of five images, and their export one after another."""
    folder = tmp_path_factory.mktemp("many")
    write_runs(folder / "docs", count=200, frames=5)
    tiffin.export(folder / "docs", NAME, folder / "one")
    return folder


class Cluster:
    """A scheduler and two workers, as processes of the shell's commands."""

    def __init__(self, folder):
        self.file = folder / "scheduler.json"
        self.folder = folder
        self.processes = []
        self.start()

    def start(self):
        """Start the scheduler, and two workers with nannies."""
        self.file.unlink(missing_ok=True)
        local = ("--host", "127.0.0.1", "--no-dashboard")
        self._run("scheduler", "--port", "0", "--scheduler-file", self.file, *local)
        until(lambda: is_whole(self.file))
        self._run(
            *("worker", "--scheduler-file", self.file, "--nworkers", "2"),
            *("--nthreads", "1", "--memory-limit", "0", *local),
        )

    def _run(self, *arguments):
        command = [Path(sys.executable).with_name("dask"), *arguments]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=quiet, stderr=quiet, start_new_session=True
        )
        self.processes.append(process)

    def kill(self):
        """Kill the scheduler and the workers, all at once."""
        for process in self.processes:
            with_children = os.getpgid(process.pid)
            os.killpg(with_children, signal.SIGKILL)
            process.wait()
        self.processes.clear()


@pytest.fixture
def cluster(tmp_path):
    """Return a cluster of processes."""
    started = Cluster(tmp_path)
    yield started
    started.kill()


def kill_workers(cluster, out, kills):
    """Kill a worker now and then; wait in between until work goes on."""
    choose = random.Random(7)
    for _ in range(kills):
        before = len(list(out.rglob("*.tif")))
        deadline = time.monotonic() + 90
        while len(list(out.rglob("*.tif"))) <= before + 10:
            if len(list(out.rglob("*.tif"))) == 1000 or time.monotonic() > deadline:
                return
            time.sleep(0.02)
        time.sleep(choose.uniform(0, 0.1))
        pids = [nanny.pid for nanny in list(cluster.workers.values()) if nanny.pid]
        with suppress(ProcessLookupError, IndexError):
            os.kill(choose.choice(pids), signal.SIGKILL)


# What distributed leaves open of workers that were killed:
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_workers_may_be_killed_again_and_again(runs, tmp_path):
    """The files are byte for byte those of one export after another."""
    from distributed import LocalCluster

    out = tmp_path / "out"
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        killer = threading.Thread(target=kill_workers, args=(cluster, out, 8))
        killer.start()
        report = tiffin.bulk(runs / "docs", NAME, out, dask=cluster.scheduler_address)
        killer.join()
    assert report.ok, report.failed
    assert len(report.done) == 200
    assert tree(out) == tree(runs / "one")


def test_a_run_that_kills_its_workers_is_given_up(tmp_path, monkeypatch):
    """The others go on, and the report says which it was."""
    docs = write_runs(tmp_path / "docs", count=6)
    why = export_with_poison(docs, tmp_path, monkeypatch, dask="local", processes=2)
    assert "its worker process died" in why


def test_a_scheduler_that_dies_leaves_whole_files(runs, tmp_path, cluster):
    """The same call goes on with another scheduler."""
    out = tmp_path / "out"

    def kill():
        while len(list(out.rglob("*.tif"))) < 50:
            time.sleep(0.05)
        cluster.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    report = tiffin.bulk(runs / "docs", NAME, out, dask=cluster.file)
    killer.join()
    assert report.pending
    assert not report.ok
    one = tree(runs / "one")
    assert all(one[name] == data for name, data in tree(out).items())
    cluster.start()
    report = tiffin.bulk(runs / "docs", NAME, out, dask=cluster.file)
    assert report.ok
    assert tree(out) == one


def test_a_task_holds_no_key(monkeypatch, tmp_path):
    """Keys come from the environment of the worker."""
    monkeypatch.setenv("TILED_API_KEY", "very-secret")
    task = Task("uid", "http://localhost:8000", NAME, {"directory": str(tmp_path)})
    assert b"very-secret" not in pickle.dumps(task)


@pytest.mark.parametrize("where", ["nowhere", "tcp://127.0.0.1:1"])
def test_a_scheduler_that_is_not_there(tmp_path, where):
    """The message says what is allowed, or that it does not answer.

    It comes before anything is read: nobody should answer a plan's question in vain.
    """
    with pytest.raises(
        (SettingsError, SourceError), match=r"(address of a|no Dask) scheduler"
    ):
        tiffin.bulk(tmp_path / "no source", NAME, tmp_path, dask=where)


@contextmanager
def cluster_here(workers):
    """A cluster whose workers are threads of this process."""
    from distributed import LocalCluster

    where = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    small = {"n_workers": workers, "threads_per_worker": 1}
    with LocalCluster(**where, **small, processes=False, protocol="tcp") as cluster:
        yield cluster


def wait_for_warnings(caplog, count):
    """Wait until a log has so many lines that tell of missing workers."""
    deadline = time.monotonic() + 30
    while caplog.text.count("has no worker") < count:
        assert time.monotonic() < deadline, caplog.text
        time.sleep(0.02)


def test_a_scheduler_without_workers_is_told_once(tmp_path, caplog, monkeypatch):
    """With how to start one; the export goes on as soon as there is one."""
    monkeypatch.setattr(sys.modules[DaskEngine.__module__], "LOOK_AT_WORKERS", 0.1)
    docs = write_runs(tmp_path / "docs", count=2)
    with cluster_here(workers=0) as cluster, ThreadPoolExecutor() as pool:
        where = cluster.scheduler_address
        export = pool.submit(tiffin.bulk, docs, NAME, tmp_path / "out", dask=where)
        wait_for_warnings(caplog, 1)
        time.sleep(0.5)
        cluster.scale(1)
        assert export.result(60).ok
    assert caplog.text.count("has no worker") == 1
    assert f"dask worker {where}" in caplog.text


def test_workers_that_all_go_are_told(tmp_path, caplog, monkeypatch):
    """The tasks that are left go on with another one."""
    monkeypatch.setattr(sys.modules[DaskEngine.__module__], "LOOK_AT_WORKERS", 0.1)
    settings = {"directory": str(tmp_path / "out")}
    (run,) = read_source(write_runs(tmp_path / "docs", count=1) / "0.jsonl").runs
    with (
        cluster_here(workers=1) as cluster,
        DaskEngine(cluster.scheduler_address, 1) as engine,
    ):
        cluster.scale(0)
        wait_for_warnings(caplog, 1)
        engine.submit(Task(run.uid, run.address, NAME, settings))
        cluster.scale(1)
        assert engine.next()[1].ok


def test_workers_warn_as_an_export_does(tmp_path, capfd):
    """In the words of the shell, also if they are on another machine."""
    warnings = warned_of(tmp_path, capfd, "--dask", "local", "--processes", 1)
    assert len(warnings) == 2
    assert all("(--dtype chooses another)" in line for line in warnings)


def test_without_dask_the_message_names_the_extra(runs, tmp_path, monkeypatch):
    """It is an optional library."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingLibraryError, match=r"tiffin\[dask\]"):
        tiffin.bulk(runs / "docs", NAME, tmp_path, dask="local")


PAUSES = """
import os, time
def correct(image, frame):
    with open(os.environ["BEGUN"], "a") as file:
        file.write(f"{frame.id.run}\\n")
    while not os.path.exists(os.environ["GO_ON"]):
        time.sleep(0.01)
    return image
"""


def test_no_task_begins_while_the_others_are_cancelled(tmp_path, monkeypatch):
    """It could not be ended, and nobody would wait for it."""
    from distributed import LocalCluster

    docs = write_runs(tmp_path / "docs", count=4, frames=2)
    use_module(tmp_path, monkeypatch, pauses=PAUSES)
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    monkeypatch.setenv("BEGUN", str(begun))
    monkeypatch.setenv("GO_ON", str(go_on))
    import pauses

    settings = {"directory": str(tmp_path / "out"), "corrections": [pauses.correct]}
    tasks = [
        Task(run.uid, run.address, NAME, settings)
        for path in sorted(docs.iterdir())
        for run in read_source(path).runs
    ]
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        DaskEngine(cluster.scheduler_address, 1) as engine,
    ):
        cancel = engine._client.cancel

        def cancel_late(futures):
            go_on.touch()
            time.sleep(2)  # the worker has finished, and takes the next task
            cancel(futures)

        monkeypatch.setattr(engine._client, "cancel", cancel_late)
        for task in tasks:
            engine.submit(task)
        until(begun.exists)
        engine.cancel()
        results = [engine.next() for _ in range(engine.left)]
    (first,) = set(begun.read_text().split())
    assert [task.uid for task, result in results if result.ok] == [first]
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 2

"""Many runs: `tiffin.bulk` and ``tiffin bulk``."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiffin
from tests.shell import tiffin as shell
from tiffin.bulk import BulkPlan
from tiffin.errors import CollisionError, SettingsError, SourceError
from tiffin.testing import run_of

NAME = "{start.scan_id}/{event.seq_num:03d}.tif"


def tree(folder):
    """Return the images of a folder with their bytes, by path."""
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.tif")
    }


def write_runs(folder, count=6, frames=3):
    """Write a file of documents for each run."""
    folder.mkdir(exist_ok=True)
    for n in range(count):
        images = np.full((frames, 8, 6), 100 + n, "u2")
        run = run_of({"img": images}, scan_id=n, proposal=n % 2)
        lines = [json.dumps(item, default=lambda a: a.tolist()) for item in run]
        (folder / f"{n}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def runs(tmp_path):
    """A folder with six runs of three images."""
    return write_runs(tmp_path / "docs")


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_every_engine_writes_the_same_files(runs, tmp_path, engine):
    """They are those of an export of the runs one after another."""
    tiffin.export(runs, NAME, tmp_path / "one")
    report = tiffin.bulk(runs, NAME, tmp_path / "many", engine=engine, processes=2)
    assert report.ok
    assert len(report.done) == 6
    assert report.total.written == 18
    assert tree(tmp_path / "many") == tree(tmp_path / "one")


def test_the_same_call_again_does_what_is_missing(runs, tmp_path):
    """Finished runs are known from manifests: their documents are not read again."""
    first = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
    assert first.total.written == 18
    (tmp_path / "out/2/001.tif").unlink()
    (runs / "3.jsonl").write_bytes((runs / "3.jsonl").read_bytes())  # as it was
    again = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
    assert again.ok
    assert [run.scan_id for run in again.runs if not run.earlier] == [2]
    assert again.total.written == 1


def test_runs_with_the_same_names_are_refused_before_anything_is_written(
    runs, tmp_path
):
    """A template that does not tell runs apart is found in the plan."""
    report = tiffin.bulk(runs, "{event.seq_num}.tif", tmp_path / "out", engine="serial")
    assert len(report.failed) == 6
    assert isinstance(report.plan.refused[report.failed[0].uid], CollisionError)
    assert "{start.scan_id}" in report.failed[0].result.why
    assert not list((tmp_path / "out").glob("*.tif"))


def test_shares_together_are_all_runs_once(runs, tmp_path):
    """Slurm arrays: shares need not know of each other."""
    whole = tiffin.bulk(runs, NAME, tmp_path / "whole", engine="serial")
    parts = [
        tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial", shard=f"{n}/3")
        for n in (1, 2, 3)
    ]
    uids = [run.uid for part in parts for run in part.runs]
    assert sorted(uids) == sorted(run.uid for run in whole.runs)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_long_run_is_divided(tmp_path):
    """Each task exports some frames of it; the files are the same."""
    docs = write_runs(tmp_path / "docs", count=1, frames=10)
    tiffin.export(docs, NAME, tmp_path / "one")
    report = tiffin.bulk(
        docs, NAME, tmp_path / "out", engine="serial", frames_per_task=4
    )
    assert report.ok
    assert report.total.written == 10
    assert tree(tmp_path / "out") == tree(tmp_path / "one")


def test_a_broken_run_does_not_stop_the_others(runs, tmp_path):
    """It is reported with its reason, and tried again by the same call."""
    text = (runs / "4.jsonl").read_text()
    (runs / "4.jsonl").write_text(text[: len(text) // 2])
    report = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
    assert len(report.done) == 5
    assert [run.scan_id for run in report.failed] == [4]
    assert "breaks off" in report.failed[0].result.why
    (runs / "4.jsonl").write_text(text)
    assert tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial").ok


def test_the_plan_can_be_refused(runs, tmp_path):
    """Nothing is written before the answer."""
    plans = []

    def refuse(plan: BulkPlan) -> bool:
        plans.append(plan)
        return False

    report = tiffin.bulk(runs, NAME, tmp_path / "out", confirm=refuse)
    assert len(report.pending) == 6
    assert plans[0].frames == 18
    assert plans[0].nbytes == 18 * 8 * 6 * 2
    assert "6 runs: 6 to export" in str(plans[0])
    assert not list((tmp_path / "out").rglob("*.tif"))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"engine": "process"}, "did you mean 'processes'"),
        ({"engine": "serial", "dask": "local"}, "engine='dask'"),
        ({"shard": "3/2"}, "'2/8'"),
        ({"shard": "x"}, "'2/8'"),
        ({"processes": 0, "engine": "processes"}, "from 1"),
        ({"frames_per_task": 0, "engine": "serial"}, "from 1"),
        ({"engine": "processes", "corrections": [lambda i, f: i]}, "of a module"),
    ],
)
def test_wrong_settings_are_refused(runs, tmp_path, keywords, message):
    """The message has what is allowed."""
    with pytest.raises(SettingsError, match=message):
        tiffin.bulk(runs, NAME, tmp_path / "out", **keywords)


def test_documents_in_memory_need_the_serial_engine(tmp_path):
    """Only addresses go to other processes."""
    source = [run_of({"img": np.ones((2, 4, 5), "u2")}, scan_id=n) for n in (1, 2)]
    with pytest.raises(SettingsError, match="serial"):
        tiffin.bulk(source, NAME, tmp_path, engine="processes")
    assert tiffin.bulk(source, NAME, tmp_path).ok


def test_a_missing_source_is_an_error(tmp_path):
    """It is not an empty success."""
    with pytest.raises(SourceError, match="does not exist"):
        tiffin.bulk(tmp_path / "nothing", NAME, tmp_path / "out")


def test_the_command(runs, tmp_path):
    """It plans, exports, and tells each run as JSON when asked."""
    done = shell(
        *("bulk", runs, "-t", NAME, "-d", "out", "--yes", "--engine", "serial"),
        *("--query", "proposal=1", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["scan_id"] for line in done.stdout.splitlines()] == [
        *(1, 3, 5),
    ]
    assert "3 runs: 3 to export" in done.stderr
    dry = shell("bulk", runs, "-t", NAME, "-d", "out", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0
    assert "6 runs: 3 to export, 3 done" in dry.stderr
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 9


def test_nobody_to_ask(runs, tmp_path):
    """Without a terminal, --yes is needed."""
    done = shell("bulk", runs, "-t", NAME, "-d", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "--yes" in done.stderr


POISON = """
import os, signal
def correct(image, frame):
    if frame.start["scan_id"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return image
"""


def test_a_run_that_kills_its_workers_is_given_up(runs, tmp_path, monkeypatch):
    """The others go on, and the report says which it was."""
    (tmp_path / "poison.py").write_text(POISON)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path.cwd() / 'src'}")
    import poison

    report = tiffin.bulk(
        *(runs, NAME, tmp_path / "out"),
        engine="processes",
        processes=2,
        corrections=[poison.correct],
    )
    assert [run.scan_id for run in report.failed] == [2]
    assert "given up after 3 tries" in report.failed[0].result.why
    assert len(report.done) == 5
    del sys.modules["poison"]


@pytest.mark.slow
def test_ctrl_c_finishes_what_is_under_way(tmp_path):
    """The same command goes on afterwards."""
    docs = write_runs(tmp_path / "docs", count=60, frames=20)
    command = [
        *(sys.executable, "-m", "tiffin", "bulk", docs, "-t", NAME, "-d", "out"),
        *("--yes", "--engine", "processes", "--processes", "2"),
    ]
    work = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    out = tmp_path / "out"
    while not list(out.glob("*/*.tif")) and work.poll() is None:
        pass
    work.send_signal(signal.SIGINT)
    _, err = work.communicate(timeout=60)
    assert work.returncode in (0, 1), err
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == 0
    tiffin.export(docs, NAME, tmp_path / "one")
    assert tree(out) == tree(tmp_path / "one")

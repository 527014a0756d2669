"""Many runs: `tiffin.bulk` and ``tiffin bulk``."""

import inspect
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tiffin
from tests.documents import write_jsonl
from tests.helpers import as_another_user, let_others_in, until
from tests.shell import tiffin as shell
from tiffin.bulk import BulkPlan
from tiffin.bulk.worker_log import _WorkerLog
from tiffin.cli import load
from tiffin.errors import CollisionError, SettingsError, SourceError, WriteError
from tiffin.sources import Selection
from tiffin.testing import run_of

NAME = "{start.scan_id}/{event.seq_num:03d}.tif"


def take_ctrl_c():
    """Let a process have Ctrl-C, also if these tests run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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


def test_a_file_that_is_gone_meanwhile(runs, tmp_path):
    """Its run fails and says so; the same call again does it when it is back."""

    def move_the_last(plan):
        (runs / "5.jsonl").rename(tmp_path / "moved")
        return True

    report = tiffin.bulk(
        runs, NAME, tmp_path / "out", engine="serial", confirm=move_the_last
    )
    (failed,) = report.failed
    assert "5.jsonl is gone" in failed.result.why
    (tmp_path / "moved").rename(runs / "5.jsonl")
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
    pixels = 18 * 8 * 6 * 2
    assert pixels < plans[0].nbytes < pixels + 18 * 1000  # as files of the sample
    assert plans[0].seconds > 0
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
        ({"processes": 0, "engine": "serial"}, "from 1"),
        ({"dask": "tcp:/here"}, r"tcp://…"),
        ({"on_error": "raise"}, "must be 'report'"),
        ({"engine": "processes", "corrections": [lambda i, f: i]}, "of a module"),
    ],
)
def test_wrong_settings_are_refused(runs, tmp_path, keywords, message):
    """The message has what is allowed."""
    with pytest.raises(SettingsError, match=message):
        tiffin.bulk(runs, NAME, tmp_path / "out", **keywords)


def test_wrong_options_are_refused_before_anything_is_read(runs, tmp_path):
    """By their names in the shell; nobody has to answer before."""
    for options in (("--frames-per-task", "0"), ("--shard", "3/2")):
        done = shell(
            *("bulk", runs, "-t", NAME, "-d", "out", "--yes", *options), cwd=tmp_path
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {options[0]} must be")


def test_defaults_are_the_same_everywhere():
    """In the signature, the shell, and when it is called."""
    python = inspect.signature(tiffin.bulk).parameters
    options = {option.name: option.default for option in load("bulk").params}
    assert python["existing"].default == options["existing"] == "resume"
    assert python["via"].default == options["via"] == "auto"
    assert "on_error" not in python


def test_a_dry_run_writes_nothing(runs, tmp_path):
    """Not even what it knows of the documents; it tells the plan, and nothing else."""
    dry = shell("bulk", runs, "-t", NAME, "-d", "out", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0
    assert "6 runs: 6 to export" in dry.stderr
    assert "pending" not in dry.stderr
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_a_refused_run_once(tmp_path):
    """In the plan, with its reason."""
    docs = write_runs(tmp_path / "docs", count=2, frames=1)
    command = ("bulk", docs, "-t", "{event.seq_num}.tif", "-d", "out", "--dry-run")
    dry = shell(*command, cwd=tmp_path)
    assert dry.returncode == 1
    assert dry.stderr.count("would be named") == 2  # each of two runs


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_directory_that_may_not_be_used(runs, tmp_path):
    """The message has the whole path, and no run is tried."""
    let_others_in(runs)
    tiffin.bulk(runs, NAME, tmp_path / "first", engine="serial")  # imports libraries
    out = tmp_path / "out"
    out.mkdir(mode=0o755)

    def ask():
        try:
            tiffin.bulk(runs, NAME, out, engine="serial")
        except WriteError as error:
            return f"{out}/.tiffin" in str(error) and "Permission denied" in str(error)
        return False

    assert as_another_user(ask, tmp_path)


def test_a_bulk_manifest_tells_of_each_run(runs, tmp_path):
    """Done, failed and why, or pending: from the beginning."""
    broken = runs / "7.jsonl"
    broken.write_text(json.dumps(["start", {"uid": "seventh", "time": 1.0}]))
    seen = []

    def watch(report):
        seen.append(states_in(report.manifest))

    report = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial", progress=watch)
    assert sorted(seen[0].values()) == ["failed"] + ["pending"] * 6
    assert sorted(states_in(report.manifest).values()) == ["done"] * 6 + ["failed"]
    lines = report.manifest.read_text().splitlines()
    tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
    assert report.manifest.read_text().splitlines() == lines


def states_in(manifest):
    """Return the states of runs in a bulk manifest."""
    lines = map(json.loads, manifest.read_text().splitlines())
    return {line["run"]: line["status"] for line in lines if line["kind"] == "run"}


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


def test_the_command_goes_on_where_a_killed_one_ended(runs, tmp_path):
    """Files of runs that no bulk manifest lists are checked, not refused."""
    command = ("bulk", runs, "-t", NAME, "-d", tmp_path / "out", "--yes",
               "--engine", "serial")  # fmt: skip
    assert shell(*command).returncode == 0
    before = tree(tmp_path / "out")
    for manifest in (tmp_path / "out/.tiffin/bulk").iterdir():
        manifest.unlink()
    (tmp_path / "out/2/003.tif").unlink()
    done = shell(*command)
    assert done.returncode == 0, done.stderr
    assert "1 image written" in done.stderr
    assert tree(tmp_path / "out") == before


def warned_of(tmp_path, capfd, *engine):
    """Export two runs whose dtype is unknown; return the warnings of the shell."""
    docs = write_runs(tmp_path / "docs", count=2, frames=1)
    for path in docs.iterdir():
        path.write_text(re.sub(r', "dtype_numpy": "[^"]*"', "", path.read_text()))
    done = shell("bulk", docs, "-t", NAME, "-d", "out", "--yes", *engine, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert capfd.readouterr().err == ""  # of other processes
    return re.findall(r"^warning: run .*", done.stderr, re.MULTILINE)


def test_workers_warn_as_an_export_does(tmp_path, capfd):
    """Once for each run, in the words of the shell."""
    warnings = warned_of(tmp_path, capfd, "--engine", "processes", "--processes", 2)
    assert len(warnings) == 2
    assert all("(--dtype chooses another)" in line for line in warnings)


def test_a_worker_that_waits_says_so_at_once(capsys):
    """Other warnings come with the result of the task, but a wait may take hours."""
    worker, log = _WorkerLog(), logging.getLogger("a worker's")
    log.propagate = False
    log.addHandler(worker)
    log.warning("%s: no space left: the export waits for room", "out/1.tif")
    log.warning("another")
    log.warning("%d", "no number")
    line = "tiffin: out/1.tif: no space left: the export waits for room\n"
    assert capsys.readouterr().err.startswith(line)
    assert worker.taken() == [(logging.WARNING, "another")]
    log.removeHandler(worker)


def test_nobody_to_ask(runs, tmp_path):
    """Without a terminal, --yes is needed."""
    done = shell("bulk", runs, "-t", NAME, "-d", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "--yes" in done.stderr


def use_module(folder, monkeypatch, **texts):
    """Make modules that this process and its worker processes import."""
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    path = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.syspath_prepend(folder)


POISON = """
import os, signal
def correct(image, frame):
    if frame.start["scan_id"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return image
"""


def export_with_poison(docs, tmp_path, monkeypatch, **engine):
    """Export runs, one of which kills its workers; return why that one failed."""
    use_module(tmp_path, monkeypatch, poison=POISON)
    import poison

    report = tiffin.bulk(
        *(docs, NAME, tmp_path / "out"), corrections=[poison.correct], **engine
    )
    (failed,) = report.failed
    assert failed.scan_id == 2
    assert len(report.done) == 5
    return failed.result.why


def test_a_run_that_kills_its_workers_is_given_up(runs, tmp_path, monkeypatch):
    """The others go on, and the report says which it was."""
    engine = {"engine": "processes", "processes": 2}
    why = export_with_poison(runs, tmp_path, monkeypatch, **engine)
    assert "given up after 3 tries" in why


def test_a_run_without_a_stop_document_is_looked_at_again(runs, tmp_path):
    """It may go on: it is exported as far as it is, but not remembered as done."""
    path = runs / "2.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2]))  # without its last event and stop

    first = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
    assert first.ok
    assert "1 without a stop document" in str(first.plan)
    path.write_text("".join(lines))
    again = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
    assert [run.scan_id for run in again.runs if not run.earlier] == [2]
    assert (again.total.written, again.total.skipped) == (1, 2)
    assert tiffin.bulk(runs, NAME, tmp_path / "out").total.skipped == 0


def test_a_file_that_holds_no_run_is_told(runs, tmp_path):
    """Nothing is lost silently: the other runs are done, but not all is well."""
    (runs / "7.jsonl").write_text('["start", {"uid": "broken')
    report = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
    assert len(report.done) == 6
    assert not report.ok
    assert "7.jsonl" in report.plan.problems[0]


@pytest.mark.parametrize("cut", [0, 1])
def test_a_file_that_holds_more_runs_than_can_be_read_is_told(runs, tmp_path, cut):
    """Runs after a line that is damaged are not lost silently, nor is one that has no
    start document.
    """
    lines = (runs / "2.jsonl").read_text().splitlines()[cut:]
    more = [] if cut else ["damaged", *(runs / "3.jsonl").read_text().splitlines()]
    (runs / "2.jsonl").write_text("\n".join([*lines, *more]))
    (runs / "3.jsonl").unlink()
    for _ in range(2):
        report = tiffin.bulk(runs, NAME, tmp_path / "out", engine="serial")
        assert len(report.done) == 5 - cut
        assert not report.ok
        (problem,) = report.plan.problems
        assert "2.jsonl" in problem


def test_an_empty_folder_is_an_error(tmp_path):
    """It is not a success of no runs."""
    (tmp_path / "docs").mkdir()
    with pytest.raises(SourceError, match="no"):
        tiffin.bulk(tmp_path / "docs", NAME, tmp_path / "out")


def test_a_run_that_is_named_twice_is_exported_once(runs, tmp_path):
    """By --run, or because two files hold it."""
    (runs / "copy.jsonl").write_text((runs / "2.jsonl").read_text())
    selection = Selection.of(runs=["2", "-4", "2"])
    report = tiffin.bulk(runs, NAME, tmp_path / "out", selection=selection)
    assert [run.scan_id for run in report.runs] == [2]
    assert report.total.written == 3


def test_documents_of_several_runs_in_memory(tmp_path):
    """Each run is exported once."""
    one, two = (run_of({"img": np.ones((2, 4, 5), "u2")}, scan_id=n) for n in (1, 2))
    report = tiffin.bulk([*one, *two], NAME, tmp_path)
    assert [run.result.written for run in report.runs] == [2, 2]
    assert report.plan.frames == 4


def test_names_are_compared_with_runs_of_other_shares(runs, tmp_path):
    """Else two machines would write the same files."""
    reports = [
        tiffin.bulk(runs, "{event.seq_num}.tif", tmp_path / "out", shard=f"{n}/3")
        for n in (1, 2, 3)
    ]
    assert sum(len(report.plan.refused) for report in reports) == 6


def test_a_long_run_without_images_is_no_failure(tmp_path):
    """Its parts have no frames."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for n, data in enumerate([{"x": range(9)}, {"img": np.ones((9, 4, 5), "u2")}]):
        write_jsonl(run_of(data, scan_id=n), docs / f"{n}.jsonl")
    given = {"engine": "serial", "frames_per_task": 4}
    report = tiffin.bulk(docs, NAME, tmp_path / "out", **given)
    assert report.ok
    assert report.total.written == 9
    assert "(1 run without images)" in str(report)
    again = tiffin.bulk(docs, NAME, tmp_path / "out")
    assert len([run for run in again.runs if run.earlier]) == 2
    nothing = tiffin.bulk(docs / "0.jsonl", NAME, tmp_path / "out")
    assert not nothing.ok  # something must be wrong


def test_an_index_links_the_pages_of_the_runs(runs, tmp_path):
    """With --report; failures come first, and text is no markup."""
    lines = [["start", {"uid": "<b>bad", "time": 1.7e9, "scan_id": "<i>"}]]
    (runs / "9.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n[")
    out = tmp_path / "out"
    report = tiffin.bulk(
        runs, "{start.uid}_{event.seq_num}.tif", out, engine="serial", report=True
    )
    assert len(report.failed) == 1
    text = (out / "report_index.html").read_text()
    rows = re.findall("<tr class.*", text)
    assert len(rows) == 7
    assert "&lt;b&gt;bad" in rows[0]
    assert "<b>" not in text
    assert "default-src 'none'" in text
    for row, run in zip(rows[1:], report.done, strict=True):
        (page,) = re.findall('href="([^"]*)"', row)
        assert (out / page).is_file()
        assert f"<td>{run.scan_id}<td>" in row
    (out / "report_index.html").unlink()  # or a kill before it was written
    again = tiffin.bulk(
        runs, "{start.uid}_{event.seq_num}.tif", out, engine="serial", report=True
    )
    assert all(run.earlier for run in again.done)
    assert (out / "report_index.html").read_text() == text
    (out / "report_index.html").write_text("mine")
    (out / f"{report.done[0].uid}_1.tif").unlink()
    tiffin.bulk(
        runs, "{start.uid}_{event.seq_num}.tif", out, engine="serial", report=True
    )
    assert (out / "report_index.html").read_text() == "mine"


COUNTED = """
import os, threading
def correct(image, frame):
    with open(f"{os.environ['COUNTS']}/{os.getpid()}", "a") as file:
        file.write(f"{threading.get_ident()}\\n")
    return image
"""


def test_processes_share_threads(tmp_path, monkeypatch):
    """Two processes have two threads each, not four."""
    docs = write_runs(tmp_path / "docs", count=2, frames=20)
    use_module(tmp_path, monkeypatch, counted=COUNTED)
    (tmp_path / "counts").mkdir()
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    import counted

    tiffin.bulk(
        *(docs, NAME, tmp_path / "out"),
        engine="processes", processes=2, workers=4, corrections=[counted.correct],
    )  # fmt: skip
    for file in (tmp_path / "counts").iterdir():
        runs = len(file.read_text().split()) // 20
        assert 1 <= len(set(file.read_text().split())) <= 2 * runs


def command_of(docs, *options):
    """Return the command in a process of its own."""
    return [
        *(sys.executable, "-m", "tiffin", "bulk", docs, "-t", NAME, "-d", "out"),
        *("--yes", *options),
    ]


def wait_for_images(out, count, process):
    """Wait until some images are there."""
    while len(list(out.glob("*/*.tif"))) < count and process.poll() is None:
        time.sleep(0.01)


def test_two_at_once_do_no_harm(tmp_path):
    """Both end with all runs done, and each file is whole."""
    docs = write_runs(tmp_path / "docs", count=30)
    tiffin.export(docs, NAME, tmp_path / "one")
    options = ("--engine", "serial", "--existing", "resume")
    both = [
        subprocess.Popen(command_of(docs, *options), cwd=tmp_path, stderr=-1, text=True)
        for _ in range(2)
    ]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert tree(tmp_path / "out") == tree(tmp_path / "one")
    assert tiffin.bulk(docs, NAME, tmp_path / "out").total.skipped == 0
    assert not list((tmp_path / "out").rglob(".*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "processes", "dask"])
def test_ctrl_c_finishes_what_is_under_way(tmp_path, engine):
    """No run is left half exported, and the same command goes on."""
    docs = write_runs(tmp_path / "docs", count=60, frames=20)
    command = command_of(docs, "--engine", engine, "--processes", "2")
    work = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=-1,
        text=True,
        start_new_session=True,
        preexec_fn=take_ctrl_c,
    )
    out = tmp_path / "out"
    wait_for_images(out, 45, work)
    os.killpg(work.pid, signal.SIGINT)  # as a terminal does
    _, err = work.communicate(timeout=100)
    assert work.returncode == 1, err
    assert "finished first" in err
    assert "the same command again goes on" in err
    assert " 0 failed" in err
    folders = [len(list(folder.glob("*.tif"))) for folder in out.glob("[0-9]*")]
    assert set(folders) == {20}
    assert len(folders) < 60
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    tiffin.export(docs, NAME, tmp_path / "one")
    assert tree(out) == tree(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_worker_processes_end_with_the_main_one(tmp_path, number):
    """A second Ctrl-C ends at once; killed workers would wait forever."""
    docs = write_runs(tmp_path / "docs", count=4, frames=2)
    (tmp_path / "slow.py").write_text(SLOW)
    work = subprocess.Popen(
        [sys.executable, "slow.py", docs],
        cwd=tmp_path,
        stderr=-1,
        text=True,
        preexec_fn=take_ctrl_c,
    )
    wait_for = tmp_path / "pids"
    while not wait_for.exists() or len(wait_for.read_text().split()) < 2:
        assert work.poll() is None, work.stderr.read()
        time.sleep(0.05)
    work.send_signal(number)
    if number == signal.SIGINT:
        assert any("finished first" in line for line in work.stderr)
        work.send_signal(number)
    work.communicate(timeout=60)
    for pid in wait_for.read_text().split():
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists())


SLOW = """
import os, sys, time
import tiffin

def correct(image, frame):
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(600)

if __name__ == "__main__":
    tiffin.bulk(sys.argv[1], "{start.scan_id}/{event.seq_num}.tif", "out",
                engine="processes", processes=2, workers=2, corrections=[correct])
"""

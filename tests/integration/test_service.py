"""The service: every run is exported, whatever happens."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.helpers import until
from tests.shell import tiffin as shell
from tiffin.bulk import FoundRun, TaskResult
from tiffin.errors import MissingLibraryError, SettingsError
from tiffin.service import Journal, Service, read_service
from tiffin.service import service as service_module
from tiffin.service.owners import owner_here
from tiffin.service.run_export import task_of
from tiffin.service.run_source import DocumentFolder
from tiffin.service.run_state import RunState
from tiffin.testing import run_of

CONFIG = """
[service]
source = "documents"
interval = 0.05
{more}

[exports.tiff]
template = "{{start.scan_id}}/{{event.seq_num:03d}}.tif"
directory = "{out}"
"""


def write_config(folder, more="", exports=""):
    """Write a configuration file; return its path."""
    path = folder / "tiffin.toml"
    path.write_text(CONFIG.format(out=folder / "out", more=more) + exports)
    return path


def write_run(folder, scan_id, frames=3, *, stop=True):
    """Write a run as a file of documents; return its documents."""
    folder.mkdir(exist_ok=True)
    run = run_of({"img": np.full((frames, 8, 6), scan_id, "u2")}, scan_id=scan_id)
    lines = [json.dumps(item, default=np.ndarray.tolist) for item in run]
    text = "\n".join(lines if stop else lines[:-1]) + "\n"
    (folder / f"{scan_id}.jsonl").write_text(text)
    return lines


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Start services; stop them at the end, however long a busy machine takes."""
    monkeypatch.setattr(service_module, "LONGEST_LOOK", 60.0)
    services = []

    def start(config=None):
        started = Service(*read_service(config or write_config(tmp_path)))
        started.start()
        services.append(started)
        return started

    yield start
    for each in services:
        each.stop()
        each.close()


class TestRuns:
    def test_every_run_of_a_folder_is_exported(self, tmp_path, service):
        """Those that are there, and those that come later."""
        write_run(tmp_path / "documents", 1)
        started = service()
        until(lambda: started.journal.counts().get("done") == 1)
        write_run(tmp_path / "documents", 2)
        until(lambda: started.journal.counts().get("done") == 2)
        assert len(list((tmp_path / "out").rglob("*.tif"))) == 6
        assert started.journal.totals()["written"] == 6

    def test_a_run_without_its_stop_waits_for_it(self, tmp_path, service):
        """It is exported when its file is complete."""
        lines = write_run(tmp_path / "documents", 1, stop=False)
        started = service()
        until(lambda: started.journal.counts() == {"open": 1})
        with (tmp_path / "documents/1.jsonl").open("a") as file:
            file.write(lines[-1] + "\n")
        until(lambda: started.journal.counts() == {"done": 1})

    @pytest.mark.parametrize("stop", [True, False])
    def test_a_damaged_line_is_told(self, tmp_path, service, caplog, stop):
        """What follows it is exported when the file is repaired."""
        folder = tmp_path / "documents"
        lines = write_run(folder, 1, stop=stop)
        text = "\n".join([*(lines if stop else lines[:-1]), *write_run(folder, 2)])
        (folder / "2.jsonl").unlink()
        (folder / "1.jsonl").write_text(text.replace('\n["start', '\ndamaged\n["start'))
        started = service()
        until(lambda: started.journal.counts() == {"done" if stop else "open": 1})
        until(lambda: "1.jsonl, line" in caplog.text)
        assert "looking again when it changes" in caplog.text
        until(lambda: started.damaged_files)
        (folder / "1.jsonl").write_text("\n".join([*lines, *text.splitlines()]))
        until(lambda: started.journal.counts() == {"done": 2})
        until(lambda: not started.damaged_files)

    def test_every_export_of_the_file_is_done(self, tmp_path, service):
        """A run has several exports."""
        more = (
            '[exports.npy]\ntemplate = "{start.scan_id}/{event.seq_num:03d}.npy"\n'
            f'directory = "{tmp_path / "npy"}"\nformat = "npy"\n'
        )
        write_run(tmp_path / "documents", 1)
        started = service(write_config(tmp_path, exports=more))
        until(lambda: started.journal.counts().get("done") == 1)
        assert len(list((tmp_path / "npy").rglob("*.npy"))) == 3

    def test_a_poison_run_is_given_up_and_the_others_go_on(self, tmp_path, service):
        """It has its reason in the journal, and a person can retry it."""
        write_run(tmp_path / "documents", 1)
        write_run(tmp_path / "documents", 2)
        text = (tmp_path / "documents/1.jsonl").read_text().replace('"scan_id"', '"x"')
        (tmp_path / "documents/1.jsonl").write_text(text)
        started = service()
        until(lambda: started.journal.counts() == {"done": 1, "failed": 1})
        (failed,) = started.journal.newest(state="failed")
        assert "scan_id" in failed.why
        assert started.journal.retry(failed.uid) == 1
        until(lambda: started.journal.counts() == {"done": 1, "failed": 1})

    def test_a_restart_exports_nothing_twice(self, tmp_path, service):
        """What is done is in the journal."""
        write_run(tmp_path / "documents", 1)
        first = service()
        until(lambda: first.journal.counts().get("done") == 1)
        first.stop()
        before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.tif")}
        second = service()
        write_run(tmp_path / "documents", 2)
        until(lambda: second.journal.counts().get("done") == 2)
        for path, written in before.items():
            assert path.stat().st_mtime_ns == written

    def test_a_command_runs_after_each_run(self, tmp_path, service):
        """It finds the run in its environment."""
        done = tmp_path / "done.txt"
        more = f"on_done = 'echo $TIFFIN_SCAN_ID $TIFFIN_STATUS >> {done}'"
        write_run(tmp_path / "documents", 7)
        started = service(write_config(tmp_path, more))
        until(done.exists)
        until(lambda: done.read_text() == "7 done\n")
        until(lambda: started.journal.counts() == {"done": 1})


class TestTwoServices:
    def test_only_one_of_two_services_works(self, tmp_path, service):
        """The other one takes over when the first one stops."""
        first = service()
        until(lambda: first.status.works)
        second = service()
        write_run(tmp_path / "documents", 1)
        until(lambda: first.journal.counts().get("done") == 1)
        assert not second.status.works
        first.stop()
        write_run(tmp_path / "documents", 2)
        until(lambda: second.journal.counts().get("done") == 2)


class TestJournal:
    @pytest.fixture
    def journal(self, tmp_path):
        """Return a journal with one waiting run."""
        journal = Journal(tmp_path / "state/journal.sqlite")
        journal.add([FoundRun("a", "x", {"scan_id": 1, "time": 5.0}, {"uid": "s"})])
        yield journal
        journal.close()

    def test_a_run_is_added_once(self, journal):
        """Messages come twice."""
        again = FoundRun("a", "x", {"scan_id": 1, "time": 5.0}, {"uid": "s"})
        assert journal.add([again]) == 0
        assert journal.counts() == {"waiting": 1}

    def test_an_interrupted_run_waits_again_and_keeps_its_tries(self, journal):
        """A run that kills the service each time is found out."""
        for tries in (1, 2, 3):
            assert journal.take().tries == tries
            assert journal.take() is None
            assert journal.recover() == 1

    def test_a_postponed_run_is_not_taken_before_its_time(self, journal):
        """And a wait for the disk is no try."""
        journal.take()
        journal.postpone("a", "full", 60, counts=False)
        assert journal.take() is None
        journal.postpone("a", "full", 0, counts=True)
        assert journal.take().tries == 1

    def test_a_long_queue_costs_nothing(self, journal):
        """The next run is found without looking at all that wait."""
        some = (FoundRun(f"r{n}", "x", {"time": n}, {"uid": "s"}) for n in range(3000))
        journal.add(some)
        steps = []
        journal._base.set_progress_handler(lambda: steps.append(1), 100)

        assert journal.take().uid == "r0"

        assert len(steps) < 10

    def test_runs_of_many_files_are_added_together(self, journal, tmp_path):
        """Each transaction waits for the disk."""
        for scan_id in range(2, 122):
            write_run(tmp_path / "documents", scan_id, frames=1)
        statements = []
        journal._base.set_trace_callback(statements.append)
        folder = DocumentFolder(tmp_path / "documents")

        assert folder.look(journal) == 120

        assert statements.count("COMMIT") == 2
        assert folder.look(journal) == 0

    @pytest.mark.parametrize("stop", [False, True])
    def test_what_the_journal_refuses_is_read_again(self, journal, tmp_path, stop):
        """A run of a source is never forgotten."""
        write_run(tmp_path / "documents", 2, stop=stop)
        folder = DocumentFolder(tmp_path / "documents")
        journal._base.execute("PRAGMA query_only = 1")
        with pytest.raises(sqlite3.OperationalError):
            folder.look(journal)
        journal._base.execute("PRAGMA query_only = 0")

        assert folder.look(journal) == 1

    def test_a_retry_does_not_wait_for_the_next_try(self, journal):
        """A person has mended the cause, and sees the run until it is done."""
        assert journal.failing(10) == []
        journal.take()
        journal.postpone("a", "the file is late", 300, counts=True)
        assert [run.why for run in journal.failing(10)] == ["the file is late"]
        assert journal.retry() == 1
        assert journal.take().tries == 1
        assert [run.state for run in journal.failing(10)] == ["working"]
        journal.finish("a", "done", TaskResult(written=3))
        assert journal.failing(10) == []

    def test_a_lease_ends(self, journal):
        """A service that was killed does not keep it."""
        assert journal.lease("far:1:one", 60)
        assert not journal.lease("far:1:two", 60)
        assert journal.lease("far:1:one", 0.05)
        until(lambda: journal.lease("far:1:two", 60))
        journal.release("far:1:two")
        assert journal.lease("far:1:one", 60)

    def test_a_process_of_this_machine_that_has_ended_has_no_lease(self, journal):
        """A service that is started again need not wait."""
        ended = subprocess.Popen(["true"])
        ended.wait()
        assert journal.lease(f"{socket.gethostname()}:{ended.pid}:x", 60)
        assert journal.lease(owner_here(), 60)
        assert not journal.lease(owner_here(), 60)

    def test_the_lag_is_the_age_of_the_oldest_stop(self, tmp_path):
        """Not that of its start, nor of the service; of no stop that says no time."""
        journal = Journal(tmp_path / "other.sqlite")
        now = time.time()
        open_run = FoundRun("a", "x", {"time": now - 900})
        journal.add([open_run])
        assert journal.lag() == 0
        journal.add([FoundRun("a", "x", open_run.start, {"time": now - 60})])
        for uid, when in (("b", now + 900), ("c", None), ("d", float("nan"))):
            journal.add([FoundRun(uid, "x", {}, {"uid": "s", "time": when})])
        assert 60 <= journal.lag() < 900
        journal.finish(journal.take().uid, "done", TaskResult())
        assert journal.lag() > 60
        journal.finish("a", "done", TaskResult())
        assert journal.lag() < 60
        journal.close()

    def test_the_outcome_is_kept(self, journal, tmp_path):
        """Also by another process."""
        journal.take()
        journal.finish("a", "done", TaskResult(written=3, nbytes=10))
        other = Journal(tmp_path / "state/journal.sqlite")
        assert other.newest()[0].written == 3
        other.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table \\[service\\]"),
        ("service = 3", "table"),
        ('[service]\nsource = "x"\nintervall = 2', "interval"),
        ('[service]\nsource = "x"\ninterval = 0', "interval"),
        ("[service]\ninterval = 2", "source"),
        ('[service]\nsource = "http://h:1?api_key=x"', "TILED_API_KEY"),
        ('[service]\nsource = "x"\nlisten = 3', "service.listen"),
        ('[service]\nsource = "x"\nlisten = ["zmq"]', "service.listen"),
        ('[service]\nsource = "x"\ninterval = -2', "a number above 0, not -2"),
        ('[service]\nsource = "x"\n[exports.a]\nfield = "i"', "exports.a: .*template"),
        ('[service]\nsource = ""', "source is empty"),
        ('[service]\nsource = "x"\njournal = 3', "journal must be a path in quotes"),
        ('[service]\nsource = "x"\ninterval = "2"', "must be a number, not '2'"),
        ('[service]\nsource = "x"\ninterval = true', "must be a number, not True"),
        ('[service]\nsource = "x"\ndrain_timeout = inf', "at most 86400, not inf"),
        ('[service]\nsource = "x"\ninterval = 1e12', "at most 86400, not 1"),
        ('[service]\nsource = "h:8000"', "'h:8000' is no folder: .* http://h:8000 ?"),
        ('[service]\nsource = "x"\nlive = "yes"', "true or false, not 'yes'"),
        ('[service]\nsource = "x"\nlive = 1', "true or false, not 1"),
        (
            '[service]\nsource = "x"\n[[service.listen]]',
            r"\[\[service.*type is missing",
        ),
        ('[service]\nsource = "x"\n[exports.a]\nreport = "yes"', "true or false, not"),
        (
            '[service]\nsource = "x"\n[exports.a]\ntemplate = "{start.x.tif"',
            r"\[exports.a\] template, column 1",
        ),
        (
            '[service]\nsource = "x"\n[exports.a]\ntemplate = "{i}.tif"\ndtype = "u7"',
            r"\[exports.a\] dtype must be one of .*not 'u7'",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    """The message names the key."""
    path = tmp_path / "tiffin.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_service(path)


@pytest.mark.parametrize(
    "line",
    [
        "run = 7",
        'query = "plan_name=count"',
        'since = "2d"',
        "until = 2026-11-22",
        "limit = 0",
        "dry-run = true",
    ],
)
def test_what_would_leave_runs_out_is_refused(tmp_path, line):
    """It would be ignored; the message names the command that takes it."""
    option = line.split()[0]
    path = write_config(tmp_path, exports=line)
    message = rf"exports.tiff\] {option} .*every run.*tiffin bulk"
    with pytest.raises(SettingsError, match=message):
        read_service(path)


def test_a_source_that_is_not_there_is_named(tmp_path, service, caplog):
    """It may be mistyped, so a new folder is not made without a word."""
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace('"documents"', '"dokuments"'))
    started = service(path)
    until(lambda: (tmp_path / "dokuments").is_dir())
    assert f"there was no folder {tmp_path / 'dokuments'}" in caplog.text
    assert started.status.problem == ""


def test_a_source_with_an_impossible_name_is_a_problem(tmp_path, service):
    """As any folder that can't be read now: it is in a sentence, and tried again."""
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace('"documents"', f'"{"d" * 300}"'))
    started = service(path)
    until(lambda: "300 bytes, and 255 are allowed" in started.status.problem)


def test_a_run_without_a_scan_id_is_named_by_its_uid(tmp_path, service, caplog):
    """In the log, where it fails."""
    lines = write_run(tmp_path / "documents", 1)
    name, start = json.loads(lines[0])
    del start["scan_id"]
    text = "\n".join([json.dumps([name, start]), *lines[1:]]) + "\n"
    (tmp_path / "documents/1.jsonl").write_text(text)
    started = service()
    until(lambda: started.journal.counts() == {"failed": 1})
    assert f"run {start['uid'][:8]}" in caplog.text
    assert "run None" not in caplog.text


def test_a_file_is_no_source(tmp_path):
    """The message says what is there, what is allowed, and what to do."""
    write_run(tmp_path, 1)
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace('"documents"', '"1.jsonl"'))
    message = (
        r"\[service\]: source must be a folder of files of documents, or the address "
        r"of a Tiled catalogue, not the file .*1.jsonl: give its folder"
    )
    with pytest.raises(SettingsError, match=message):
        read_service(path)


def test_dry_run_may_be_off(tmp_path):
    """As in a file that is also used by the shell."""
    _, exports = read_service(write_config(tmp_path, exports="dry-run = false"))
    assert [*exports] == ["tiff"]


def test_an_export_says_how_a_server_is_read(tmp_path):
    """By `via` and `timeout`, as in the shell."""
    config = write_config(tmp_path, exports='via = "files"\ntimeout = 7.0\n')
    _, exports = read_service(config)
    run = RunState("7f3a", "http://localhost:8000", 7, 0.0, *("waiting", 0, ""),
                   *(0, 0, 0, 0), 0.0, 0.0, None)  # fmt: skip
    task = task_of(run, exports["tiff"], "http://localhost:8000")
    assert (task.via, task.timeout) == ("files", 7.0)
    assert task.settings["existing"] == "resume"


@pytest.mark.slow
def test_sigkill_loses_nothing(tmp_path):
    """A killed service goes on where it was; every file is there once, and right."""
    for n in range(12):
        write_run(tmp_path / "documents", n, frames=20)
    config = write_config(tmp_path)
    command = [sys.executable, "-m", "tiffin", "serve", config]
    out = tmp_path / "out"
    for least in (20, 80, 150):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as work:
            until(lambda n=least: len(list(out.rglob("*.tif"))) >= n)
            work.kill()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as work:
        until(lambda: len(list(out.rglob("*.tif"))) == 240)
        journal = Journal(tmp_path / "state/journal.sqlite")
        until(lambda: journal.counts() == {"done": 12})
        journal.close()
        work.send_signal(signal.SIGTERM)
        assert work.wait(timeout=60) == 0
    checked = shell("verify", out, "--against", tmp_path / "documents")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("more", "library", "extra"),
    [
        ('source = "http://localhost:1"', "tiled.client", "tiled"),
        ('[[service.listen]]\ntype = "folder"', "watchfiles", "service"),
        (
            '[[service.listen]]\ntype = "kafka"\naddress = "h:1"\ntopics = ["a"]',
            "confluent_kafka",
            "kafka",
        ),
    ],
)
def test_a_missing_library_is_told_at_once(tmp_path, monkeypatch, more, library, extra):
    """It is no reason to try again forever."""
    monkeypatch.setitem(sys.modules, library, None)
    text = write_config(tmp_path, more).read_text()
    if "source" in more:
        text = text.replace('source = "documents"\n', "")
    (tmp_path / "tiffin.toml").write_text(text)
    with pytest.raises(MissingLibraryError, match=rf"tiffin\[{extra}\]"):
        Service(*read_service(tmp_path / "tiffin.toml"))

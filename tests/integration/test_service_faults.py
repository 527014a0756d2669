"""Nothing is forgotten: what goes wrong around the service, and what it does then."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.integration.test_service import service, until, write_config, write_run
from tiffin.bulk import FoundRun
from tiffin.service import Journal, Service, read_service
from tiffin.service import service as service_module
from tiffin.service.spool import Spool
from tiffin.sources import open_source, pack
from tiffin.testing import run_of

__all__ = ["service"]


@pytest.fixture
def journal(tmp_path):
    """An empty journal."""
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def a_run(frames=3, **start):
    """Return the documents of a run."""
    return run_of({"img": np.ones((frames, 4, 6), "u2")}, **{"scan_id": 1, **start})


@pytest.fixture
def spooled():
    """Spool documents; return the spool."""
    spools = []

    def spool(folder, journal, documents):
        spools.append(Spool(folder, journal))
        for name, doc in documents:
            spools[-1].add(name, doc)
        return spools[-1]

    yield spool
    for each in spools:
        each.close()


class TestSpool:
    def test_a_run_that_is_going_on_is_shown(self, spooled, tmp_path, journal):
        """It is in the journal from its start document on."""
        spooled(tmp_path, journal, a_run()[:3])
        assert journal.counts() == {"open": 1}

    def test_all_events_of_a_stream_may_be_lost(self, spooled, tmp_path, journal):
        """The stop document knows how many there were."""
        run = [item for item in a_run() if item[0] != "event"]
        spooled(tmp_path, journal, run)
        (found,) = journal.newest()
        assert found.is_incomplete
        assert "stream 'primary' lacks all events (3)" in found.why

    @pytest.mark.parametrize("first", [1, 3, 5])
    def test_a_lost_start_is_noted(self, spooled, tmp_path, journal, first):
        """A listener that comes late says which run it has not heard whole."""
        run = a_run()
        spooled(tmp_path, journal, run[first:])
        (found,) = journal.newest()
        assert found.uid == run[0][1]["uid"]
        assert found.why == "incomplete: its start document is missing"

    def test_documents_may_come_in_another_order(self, spooled, tmp_path, journal):
        """Events are counted, not compared with their neighbours."""
        run = a_run(5)
        spooled(tmp_path, journal, [*run[:2], *run[-2:1:-1], run[-1]])
        assert journal.newest()[0].state == "waiting"

    def test_a_kill_just_before_the_file_has_its_name(self, tmp_path, journal):
        """The file holds the whole run: the next start names it."""
        run = a_run()
        (tmp_path / ".1_x.part").write_bytes(b"".join(map(pack, map(list, run))))
        Spool(tmp_path, journal)
        assert journal.newest()[0].state == "waiting"
        assert (tmp_path / "1_x.msgpack").exists()

    def test_a_kill_just_after_the_file_has_its_name(self, tmp_path, journal, service):
        """The next look finds it."""
        run = a_run()
        config = write_config(tmp_path)
        folder = tmp_path / "documents"
        folder.mkdir()
        (folder / "1_x.msgpack").write_bytes(b"".join(map(pack, map(list, run))))
        other = Journal(tmp_path / "state/journal.sqlite")
        other.begin(FoundRun(run[0][1]["uid"], str(folder / "1_x.msgpack"), run[0][1]))
        other.close()
        started = service(config)
        until(lambda: started.journal.counts() == {"done": 1})

    def test_a_kill_at_the_first_document(self, tmp_path, journal):
        """An empty file, or half a start document, is no run."""
        (tmp_path / ".1_x.part").write_bytes(b"")
        (tmp_path / ".2_x.part").write_bytes(pack(["start", {"uid": "a"}])[:5])
        Spool(tmp_path, journal)
        assert not list(tmp_path.glob("*.part"))
        assert not journal.newest()

    def test_an_incomplete_run_is_no_document_file(self, spooled, tmp_path, journal):
        """No program that reads the folder takes it for a whole run."""
        run = a_run()
        spooled(tmp_path, journal, [*run[:3], *run[4:]])
        (found,) = tmp_path.glob("*.incomplete")
        assert found.name.endswith(".msgpack.incomplete")
        assert not list(tmp_path.glob("*.msgpack"))

    def test_a_name_is_one_part_of_a_path(self, spooled, tmp_path, journal):
        """Whatever a sender writes into a start document."""
        folder = tmp_path / "spool"
        spooled(folder, journal, a_run(scan_id="../../evil/" + "x" * 500))
        (found,) = folder.iterdir()
        assert found.parent == folder
        assert journal.counts() == {"waiting": 1}

    def test_a_document_that_can_not_be_stored_does_not_stop_the_others(
        self, spooled, tmp_path, journal
    ):
        """Its run is incomplete."""
        run = a_run()
        run[2][1]["data"]["huge"] = 2**80
        spooled(tmp_path, journal, run)
        spooled(tmp_path, journal, a_run(scan_id=2))
        assert journal.counts() == {"failed": 1, "waiting": 1}
        (failed,) = journal.newest(state="failed")
        assert "'event' can't be stored" in failed.why

    def test_a_run_without_an_end_ends_after_a_day(self, spooled, tmp_path, journal):
        """Its stop document was lost; the file is not kept open for ever."""
        spool = spooled(tmp_path, journal, a_run()[:-1])
        (run,) = spool._runs.values()
        run.heard -= 25 * 3600
        spool.add(*a_run()[0])
        (failed,) = journal.newest(state="failed")
        assert failed.why == "incomplete: its stop document is missing"

    def test_a_retry_exports_what_there_is_and_it_stays_incomplete(
        self, spooled, tmp_path, service
    ):
        """It is never silently short."""
        started = service()
        run = a_run()
        spooled(tmp_path / "documents", started.journal, [*run[:3], *run[4:]])
        assert started.journal.retry() == 1
        until(lambda: started.journal.totals()["written"] == 2)
        (found,) = started.journal.newest()
        assert found.state == "failed"
        assert "stream 'primary' lacks 1 event: 2" in found.why


class TestFolder:
    def test_a_file_that_can_not_be_read_holds_up_nothing(self, tmp_path, service):
        """It is taken when it can be read."""
        folder = tmp_path / "documents"
        lines = write_run(folder, 1)
        (folder / "1.jsonl").write_text("garbage")
        started = service()
        write_run(folder, 2)
        until(lambda: started.journal.counts() == {"done": 1})
        (folder / "1.jsonl").write_text("\n".join(lines))
        until(lambda: started.journal.counts() == {"done": 2})
        assert not started.status.problem

    def test_other_files_in_the_folder_are_no_problem(self, tmp_path, service):
        """Such as a spool's, while its first run goes on."""
        (tmp_path / "documents").mkdir()
        (tmp_path / "documents/.1.part").touch()
        (tmp_path / "documents/notes.txt").write_text("note")
        started = service()
        until(lambda: started.status.looked)
        assert not started.status.problem

    def test_a_file_that_is_gzipped_is_the_same_run(self, tmp_path, service):
        """Also if it has not been exported yet."""
        folder = tmp_path / "documents"
        lines = write_run(folder, 1)
        journal = Journal(tmp_path / "state/journal.sqlite")
        start, stop = json.loads(lines[0]), json.loads(lines[-1])
        gone = FoundRun(start[1]["uid"], str(folder / "1.jsonl"), start[1], stop[1])
        journal.add([gone])
        journal.close()
        packed = gzip.compress((folder / "1.jsonl").read_bytes())
        (folder / "1.jsonl.gz").write_bytes(packed)
        (folder / "1.jsonl").unlink()
        started = service()
        until(lambda: started.journal.counts() == {"done": 1})
        assert started.journal.newest()[0].address.endswith(".gz")

    def test_a_start_document_with_wild_values(self, tmp_path, service):
        """No value of one run keeps another from its export."""
        folder = tmp_path / "documents"
        for n, wild in enumerate(
            [
                {"scan_id": 2**70},
                {"time": float("nan")},
                {"time": "x"},
                {"uid": "\ud800"},
            ]
        ):
            lines = [list(item) for item in a_run(1)]
            lines[0][1].update(wild)
            lines[-1][1]["run_start"] = lines[0][1]["uid"]
            text = [json.dumps(line, default=np.ndarray.tolist) for line in lines]
            folder.mkdir(exist_ok=True)
            (folder / f"{n}.jsonl").write_text("\n".join(text))
        write_run(folder, 9)
        started = service()
        until(lambda: (tmp_path / "out/9").exists())
        until(lambda: sum(started.journal.counts().values()) == 5)
        assert not started.status.problem


class TestLease:
    def test_a_second_service_leaves_the_spool_of_the_first_alone(
        self, tmp_path, service
    ):
        """It listens only when it has the lease."""
        listen = '[[service.listen]]\ntype = "folder"\n'
        config = write_config(tmp_path, exports=listen)
        first = service(config)
        until(lambda: first.status.works)
        (tmp_path / "documents/.1_x.part").write_bytes(b"")
        service(config)
        time.sleep(0.3)
        assert (tmp_path / "documents/.1_x.part").exists()

    def test_a_long_export_keeps_the_lease(self, tmp_path, service, monkeypatch):
        """Two services never export the same run at once."""
        lease, go_on = 2.5, tmp_path / "go on"
        monkeypatch.setattr(service_module, "LEASE", lease)
        marks = tmp_path / "marks"
        waits = f'while ! test -e "{go_on}"; do sleep 0.1; done'
        config = write_config(tmp_path, f"on_done = 'echo x >> {marks}; {waits}'")
        write_run(tmp_path / "documents", 1)
        first = service(config)
        until(lambda: first.status.run is not None)
        journal = first.journal
        until(marks.exists)
        end = time.monotonic() + 1.2 * lease
        while time.monotonic() < end:
            assert not journal.lease("far:1:other", 10)
            time.sleep(0.1)
        go_on.touch()

    def test_an_unexpected_error_forgets_no_run(self, tmp_path, service):
        """A run that was being exported waits again."""
        write_run(tmp_path / "documents", 1)
        journal = Journal(tmp_path / "state/journal.sqlite")
        started = service()
        until(lambda: started.journal.counts() == {"done": 1})
        journal._base.execute("UPDATE runs SET state = 'working'")
        journal.close()
        until(lambda: started.journal.counts() == {"done": 1})


class TestStop:
    def test_sigterm_drains_within_its_time(self, tmp_path):
        """It says what is left, and the next start goes on with it."""
        more = "on_done = 'sleep 60'\ndrain_timeout = 1.0"
        write_run(tmp_path / "documents", 1)
        write_run(tmp_path / "documents", 2)
        config = write_config(tmp_path, more)
        command = [sys.executable, "-m", "tiffin", "serve", config]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as work:
            until(lambda: len(list((tmp_path / "out").rglob("*.tif"))) == 3)
            time.sleep(0.3)
            began = time.monotonic()
            work.send_signal(signal.SIGTERM)
            _, said = work.communicate(timeout=60)
        assert time.monotonic() - began < 30  # not the minute of the command
        assert work.returncode == 1
        assert "1 run left for the next start" in said
        assert "run 1 " in said
        assert "is not finished" in said
        journal = Journal(tmp_path / "state/journal.sqlite")
        assert journal.counts() == {"waiting": 2}
        journal.close()


@pytest.fixture
def small(tmp_path):
    """A disk of 256 kB."""
    if os.getuid():
        pytest.skip("only root can mount")
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


class TestFullDisk:
    def test_the_service_waits_for_room(self, tmp_path, service, small, monkeypatch):
        """It says so, gives up no run, and goes on."""
        monkeypatch.setattr(service_module, "PAUSES", (0.1, 0.2))
        config = write_config(tmp_path)
        text = config.read_text().replace(str(tmp_path / "out"), str(small / "out"))
        config.write_text(text)
        (small / "ballast").write_bytes(bytes(240_000))
        write_run(tmp_path / "documents", 1, frames=200)
        started = service(config)
        until(lambda: "disk is full" in started.trouble())
        time.sleep(1.0)
        assert started.journal.newest()[0].state in ("waiting", "working")
        subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
        until(lambda: started.journal.counts() == {"done": 1})
        assert not started.status.problem
        assert started.journal.newest()[0].tries == 1

    def test_a_document_that_does_not_fit_is_added_later(self, small, journal, spooled):
        """Nothing of it is in the file before."""
        run = a_run(20)
        spool = spooled(small / "spool", journal, run[:5])
        room = os.statvfs(small)
        (small / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
        with pytest.raises(OSError, match="No space"):
            spool.add("event", {**run[5][1], "pad": "x" * 100_000})
        (small / "ballast").unlink()
        for item in run[5:]:
            spool.add(*item)
        (found,) = journal.newest()
        assert found.state == "waiting"
        named = [name for name, _ in open_source(found.address)]
        assert named == [name for name, _ in run]


def test_two_services_export_each_file_once(tmp_path, service, caplog):
    """Whichever of them has the lease; the other one says that it waits."""
    config = write_config(tmp_path)
    both = [service(config), Service(*read_service(config))]
    both[1].start()
    until(lambda: "another service works with" in caplog.text)
    for n in range(6):
        write_run(tmp_path / "documents", n)
    until(lambda: both[0].journal.counts() == {"done": 6})
    written = both[0].journal.totals()["written"]
    both[1].stop()
    both[1].close()
    assert written == 18

"""The page of the service, /health and /metrics: what requests get."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.test_service import service, until, write_config, write_run
from tiffin.errors import MissingLibraryError, SettingsError
from tiffin.service import WebPage, http_address, read_service

__all__ = ["service"]

ROOT = Path(__file__).parents[2]

SECRET = "a-long-secret-of-the-beamline"


def spoil(folder, scan_id):
    """Write a run that can't be exported: it has no scan_id."""
    write_run(folder, scan_id)
    path = folder / f"{scan_id}.jsonl"
    path.write_text(path.read_text().replace('"scan_id"', '"x"'))


@pytest.fixture
def web(service, monkeypatch):
    """Start services with a page; return a client, and the service."""
    opened = []

    def start(config=None, token=SECRET):
        monkeypatch.setenv("TIFFIN_TOKEN", token)
        started = service(config)
        page = WebPage(started, "127.0.0.1", 0)
        page.start()
        client = httpx.Client(base_url=page.address, timeout=60)
        opened.extend([client, page])
        return client, started

    yield start
    for each in opened:
        each.close()


def first_state(client):
    """Return the first message of the stream of events."""
    with client.stream("GET", "/events") as answer:
        found = next(line for line in answer.iter_lines() if line.startswith("data: "))
        return json.loads(found.removeprefix("data: "))


def test_the_service_tells_what_it_does(tmp_path, web):
    """Runs, failures with their reason, images, health and metrics."""
    write_run(tmp_path / "documents", 1)
    spoil(tmp_path / "documents", 2)
    client, started = web(write_config(tmp_path))
    until(lambda: started.journal.counts() == {"done": 1, "failed": 1})

    state = first_state(client)
    assert state["counts"] == {"done": 1, "failed": 1}
    assert {run["state"] for run in state["runs"]} == {"done", "failed"}
    (failure,) = state["failures"]
    assert "scan_id" in failure["why"]
    assert state["rate"] > 0
    (row,) = state["images"]
    assert (row["export"], row["field"], row["seq_num"]) == ("tiff", "img", 3)
    image = client.get("/images/0").json()
    assert (image["view"]["rows"], image["view"]["columns"]) == (8, 6)
    assert client.get("/images/1").status_code == 404

    assert client.get("/health/live").json() == {"live": True}
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})
    text = client.get("/metrics").text
    for line in (
        'tiffin_runs{state="done"} 1.0',
        'tiffin_frames_total{status="written"} 3.0',
        "tiffin_bytes_total 288.0",
        'tiffin_failures_total{cause="MissingKeyError"} 1.0',
        "tiffin_queue 0.0",
        "tiffin_lag_seconds 0.0",
        "tiffin_ready 1.0",
    ):
        assert line in text.splitlines()
    assert SECRET not in client.get("/").text + text + json.dumps(state)


def damage(path):
    """Write a file of documents whose second line can't be read."""
    path.parent.mkdir(exist_ok=True)
    path.write_text('["start", {"uid": "a", "time": 1}]\ndamaged\n')


def test_a_damaged_file_is_told_until_it_is_gone(tmp_path, web):
    """It is no run, so it is listed beside the runs that have failed."""
    damage(tmp_path / "documents/9.jsonl")
    client, started = web(write_config(tmp_path))
    until(lambda: started.damaged_files)
    (found,) = first_state(client)["files"]
    assert found["name"] == "9.jsonl"
    assert "9.jsonl, line 2" in found["why"]
    assert "tiffin_damaged_files 1.0" in client.get("/metrics").text.splitlines()
    (tmp_path / "documents/9.jsonl").unlink()
    until(lambda: not started.damaged_files)
    assert "tiffin_damaged_files 0.0" in client.get("/metrics").text.splitlines()


def test_a_retry_needs_the_token(tmp_path, web):
    """It is in a header, so no other site can send it."""
    spoil(tmp_path / "documents", 1)
    client, started = web(write_config(tmp_path))
    until(lambda: started.journal.counts() == {"failed": 1})
    (failed,) = started.journal.newest()
    address = f"/runs/{failed.uid}/retry"
    assert client.get(address).status_code == 405
    assert client.post(address).status_code == 401
    wrong = {"Authorization": "Bearer wröng".encode()}
    assert client.post(address, headers=wrong).status_code == 401
    right = {"Authorization": f"Bearer {SECRET}"}
    before = started.status.failures.total()
    assert client.post("/runs/other/retry", headers=right).status_code == 409
    assert client.post(address, headers=right).json() == {"retried": 1}
    until(lambda: started.status.failures.total() > before)


def test_without_a_token_nothing_can_be_changed(tmp_path, web):
    """The answer says how to set one; an empty one is none."""
    client, _ = web(write_config(tmp_path), token="")
    answer = client.post("/runs/x/retry", headers={"Authorization": ""})
    assert answer.status_code == 403
    assert "TIFFIN_TOKEN" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8090"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "[x"}, 421),
        ({"Origin": "http://127.0.0.1:1"}, 200),
        ({"Origin": "https://evil.example"}, 421),
        ({"Origin": "null"}, 421),
    ],
)
def test_other_sites_are_refused(tmp_path, web, headers, status):
    """Also those that have made their name point here."""
    client, _ = web(write_config(tmp_path))
    answer = client.get("/", headers=headers)
    assert answer.status_code == status
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_only_pages_of_a_report_are_served(tmp_path, web):
    """They are linked from their run, and reach nothing of this page."""
    write_run(tmp_path / "documents", 1)
    client, started = web(write_config(tmp_path, exports="report = true\n"))
    until(lambda: started.journal.counts() == {"done": 1})
    (run,) = first_state(client)["runs"]
    page = client.get("/" + run["pages"]["tiff"])
    assert "Images of out" in page.text
    assert page.headers["Content-Security-Policy"].startswith("sandbox")
    (tmp_path / "out/report_x.html").symlink_to(tmp_path / "tiffin.toml")
    for name in (
        *("1/001.tif", "report_x.html", "report_none.html", "..%2ftiffin.toml"),
        *("%2fetc%2fpasswd", "report%2f..%2f..%2ftiffin.toml"),
    ):
        assert client.get(f"/reports/-tiff/{name}").status_code == 404
    assert client.get("/reports/-other/report.html").status_code == 404


class TestReady:
    def test_a_source_that_does_not_answer(self, tmp_path, web):
        """The reason is told, in a sentence."""
        client, started = web(write_config(tmp_path))
        until(lambda: started.status.looked)
        (tmp_path / "documents").rename(tmp_path / "moved")
        (tmp_path / "documents").write_text("no folder")
        reason = "documents is a file, not a folder"
        until(lambda: reason in client.get("/health/ready").text)
        assert client.get("/health/ready").status_code == 503

    def test_another_service_has_the_lease(self, tmp_path, web):
        """It is ready when it takes over."""
        _, first = web(write_config(tmp_path))
        until(lambda: first.status.works)
        client, _ = web(write_config(tmp_path))
        answer = client.get("/health")
        assert answer.status_code == 503
        assert "another service" in answer.json()["reason"]

    def test_a_journal_that_fails(self, tmp_path, web):
        """Also the metrics say so."""
        client, started = web(write_config(tmp_path))
        until(lambda: started.status.looked)
        started.journal._base.execute("ALTER TABLE runs RENAME TO gone")
        try:
            answer = client.get("/health/ready")
            assert answer.status_code == 503
            assert "the journal fails" in answer.json()["reason"]
            assert client.get("/metrics").status_code == 503
            assert "the journal fails" in first_state(client)["trouble"]
        finally:
            started.journal._base.execute("ALTER TABLE gone RENAME TO runs")


def test_an_address_in_use_is_told(service, tmp_path):
    """The message names it."""
    started = service(write_config(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
            WebPage(started, "127.0.0.1", port)


def test_a_missing_library_names_the_extra(service, tmp_path, monkeypatch):
    """And how to do without a page."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingLibraryError, match=r"tiffin\[service\]") as raised:
        WebPage(service(write_config(tmp_path)), "127.0.0.1", 0)
    assert 'http = ""' in str(raised.value)


@pytest.mark.parametrize("text", ["8090", "http://h:1", "h:x", "h:99999", ":1", "a b"])
def test_a_wrong_address_is_refused(text):
    """The message shows a right one."""
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1:8090"):
        http_address(text)


def test_sigterm_ends_all_and_the_log_is_json(tmp_path):
    """Also with a page open; the token is in no line."""
    write_run(tmp_path / "documents", 1)
    config = write_config(tmp_path, 'http = "127.0.0.1:0"')
    command = [sys.executable, "-m", "tiffin", "serve", "--log-json", config]
    environment = os.environ | {"TIFFIN_TOKEN": SECRET}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment
    ) as work:
        lines = []
        while not (lines and lines[-1]["message"].startswith("see ")):
            lines.append(json.loads(work.stderr.readline()))
        address = lines[-1]["message"].removeprefix("see ")
        with httpx.stream("GET", f"{address}/events", timeout=60) as events:
            assert next(events.iter_lines()).startswith("data: ")
            until(lambda: "written" in httpx.get(f"{address}/metrics").text)
            until(lambda: len(list((tmp_path / "out").rglob("*.tif"))) == 3)
            until(lambda: httpx.get(f"{address}/health/ready").status_code == 200)
            work.send_signal(signal.SIGTERM)
            assert work.wait(timeout=60) == 0
        rest = work.stderr.read()
    lines += map(json.loads, rest.splitlines())
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert "run 1: 3 images" in [line["message"] for line in lines]
    assert SECRET not in json.dumps(lines)


class TestHowto:
    def test_the_configuration_of_the_page_is_right(self, tmp_path):
        """It is read as it is printed."""
        text = (ROOT / "docs/howto/service.md").read_text("utf-8")
        (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
        path = tmp_path / "tiffin.toml"
        path.write_text(block, "utf-8")
        config, exports = read_service(path)
        assert (config.interval, config.listen[0].type) == (2.0, "zmq")
        assert list(exports) == ["tiff"]

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
    def test_systemd_takes_the_unit(self, tmp_path):
        """With the command of this installation."""
        text = (ROOT / "examples/systemd/tiffin.service").read_text("utf-8")
        tiffin = Path(sys.executable).with_name("tiffin")
        unit = tmp_path / "tiffin.service"
        unit.write_text(text.replace("/opt/tiffin/bin/tiffin", str(tiffin)))
        told = subprocess.run(
            ["systemd-analyze", "verify", unit],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (told.returncode, told.stderr) == (0, "")

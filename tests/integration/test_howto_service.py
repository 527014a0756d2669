"""The commands of the page "Run tiffin as a service", in the order of the page."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.integration.test_howto_commands import HOWTO, blocks_of
from tests.integration.test_listeners import (
    await_connection,
    free_port,
    proxy,
    publisher,
)
from tests.integration.test_service import until
from tiffin.testing import run_of

__all__ = ["proxy", "publisher"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TEXT = (HOWTO / "service.md").read_text("utf-8")
(_pip, SERVE), (TOKEN, AGAIN), (_ssh,), (CURL,) = blocks_of("service")
"""All commands in blocks; those with pip and ssh need another machine."""

JSON, LOG, RETRY = sorted(set(re.findall(r"`(tiffin serve --[a-z-]+)`", TEXT)))


class Shell:
    """Runs commands in a folder with the configuration of the page."""

    def __init__(self, folder, port, zmq):
        (table,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
        self.folder, self._port = folder, str(port)
        text = table.replace("127.0.0.1:5568", zmq)
        (folder / "tiffin.toml").write_text(self.typed(text), "utf-8")
        here = Path(sys.executable).parent
        self._options = {
            "cwd": folder,
            "env": os.environ | {"PATH": f"{here}:{os.environ['PATH']}"},
        }
        self.log = folder / "log.txt"

    def typed(self, text):
        """Return a text with the port of this test."""
        return text.replace("8090", self._port)

    def start(self, *commands):
        """Start a service."""
        script = "\n".join([*commands[:-1], f"exec {commands[-1]}"])
        with self.log.open("w") as log:
            return subprocess.Popen(
                ["bash", "-ec", script], **self._options, stderr=log
            )

    def end(self, service):
        """End a service as systemd does; return its log."""
        service.send_signal(signal.SIGTERM)
        code, log = service.wait(timeout=60), self.log.read_text("utf-8")
        assert code == 0, log
        return log

    def run(self, command):
        """Run a command; return what it prints."""
        told = subprocess.run(
            ["bash", "-c", self.typed(command)],
            **self._options,
            capture_output=True,
            text=True,
            check=False,
        )
        return told.stdout or told.stderr


def publish(publisher, scan_id):
    """Publish a run with two images; None gives it no scan_id."""
    run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=scan_id)
    if scan_id is None:
        del run[0][1]["scan_id"]
    for name, doc in run:
        publisher(name, doc)


def test_the_commands_of_the_page(tmp_path, proxy, publisher):
    """A service with a token exports, is asked, and tries again what failed."""
    port = free_port()
    shell = Shell(tmp_path, port, proxy[1])
    done = tmp_path / "done.txt"
    assert SERVE == AGAIN

    service = shell.start(TOKEN, "echo $TIFFIN_TOKEN > token", SERVE)
    try:
        until(lambda: shell.run(CURL) == '{"ready":true}', limit=100)
        await_connection(publisher, shell.log.read_text)
        publish(publisher, scan_id=7)
        until(lambda: done.exists() and done.read_text() == "7 done\n", limit=100)
        publish(publisher, scan_id=None)
        until(lambda: done.read_text() == "7 done\nfailed\n", limit=100)

        states = map(json.loads, shell.run(JSON).splitlines())
        assert {run["state"] for run in states} == {"done", "failed"}
        assert shell.run(RETRY) == "trying 1 run again\n"
        until(lambda: done.read_text().count("failed") == 2, limit=100)
        (failed,) = [
            run["uid"]
            for run in map(json.loads, shell.run(JSON).splitlines())
            if run["state"] == "failed"
        ]
        key = (tmp_path / "token").read_text().strip()
        answer = httpx.post(
            f"http://127.0.0.1:{port}/runs/{failed}/retry",
            headers={"Authorization": f"Bearer {key}"},
        )
        assert (len(key), answer.json()) == (64, {"retried": 1})
        until(lambda: done.read_text().count("failed") == 3, limit=100)
    finally:
        log = shell.end(service)
    assert key not in log
    assert sorted(path.name for path in (tmp_path / "out/7").iterdir()) == [
        "img_0001.tif",
        "img_0002.tif",
    ]
    assert len(list((tmp_path / "out").glob("report_7_*.html"))) == 1

    service = shell.start(LOG)
    until(lambda: "\n" in shell.log.read_text(), limit=100)
    first = json.loads(shell.log.read_text().splitlines()[0])
    assert {"time", "level", "logger", "message"} <= set(first)
    shell.end(service)

"""The commands on the pages about many runs run as they are printed."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.integration.test_howto_commands import BLOCK, HOWTO, blocks_of
from tests.integration.test_service import until
from tests.shell import shown_on
from tests.stores import store_in_tiled
from tiffin.sources import address_of, key_of
from tiffin.testing import run_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SERVERS = re.compile(r"http://(localhost|tiled):8000")
TIMES = {1: 1.79e9, 2: 1.79e9, 3: 1.76e9}
"""Two runs are of September 2026, one is older."""

SBATCH = """#!/bin/bash
# Run a job, or all jobs of an array, on this machine.
cp "$1" submitted.sh  # as Slurm does: dask-jobqueue removes its script at once
array=$(sed -n 's/^#SBATCH --array=//p' submitted.sh)
if [ "$array" ]; then
    for n in $(seq ${array/-/ }); do
        SLURM_ARRAY_TASK_ID=$n bash submitted.sh > slurm-$n.out 2>&1 &
    done
else
    bash submitted.sh > slurm.out 2>&1 &
fi
echo "Submitted batch job $!"
"""


@pytest.fixture(scope="module")
def server():
    """A server with two runs of the pages' proposal and cycle, and another one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiled.client import from_uri
        from tiled.server import SimpleTiledServer
        from tiled.server.settings import get_settings

        key = get_settings().single_user_api_key  # that of all servers of a process
        server = SimpleTiledServer(api_key=key)
        client = from_uri(server.uri)
    for n, time in TIMES.items():
        images = np.full((2, 6, 9), n, "u2")
        run = run_of({"img": images}, scan_id=n, proposal=301 if n < 3 else 302)
        run[0][1]["time"] = time
        store_in_tiled(client, run)
    client.context.close()
    yield server.uri
    server.close()


class Shell:
    """Runs commands of a page with bash, in a folder that stands for /data."""

    def __init__(self, server, folder):
        self.folder, self._server = folder, server
        here = Path(sys.executable).parent
        self.env = os.environ | {
            "TILED_API_KEY": key_of(server),
            "PATH": f"{folder}:{here}:{os.environ['PATH']}",
            "COLUMNS": "200",
        }
        self._started = []

    def typed(self, text, **other):
        """Return a text with this server and folder, and other words for some."""
        for word, its in other.items():
            text = text.replace(word, its)
        text = SERVERS.sub(address_of(self._server), text)
        return text.replace("/data", str(self.folder))

    def start(self, *command, **streams):
        """Start a command, which ends with this shell."""
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.env, start_new_session=True, **streams
        )
        self._started.append(process)
        return process

    def run(self, *command):
        """Run a command; return what it prints."""
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = self.start(*command, **piped)
        try:
            told, _ = process.communicate(timeout=200)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            told, _ = process.communicate()
        assert process.returncode == 0, told
        return told

    def close(self):
        """End what was started."""
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def shell(server, tmp_path):
    """Run commands of a page."""
    started = Shell(server, tmp_path)
    yield started
    started.close()


def printed_on(page):
    """Return the lines that the first command of a page prints."""
    text = (HOWTO / f"{page}.md").read_text("utf-8")
    lines = BLOCK.findall(text)[0].replace("\\\n", " ").splitlines()
    return [line for line in lines if not line.startswith("$ ")]


def shape_of(text):
    """Return a text with a mark for each time, size and number."""
    text = re.sub(r"[\d.]+ (h|min|s)\b( \d+ (min|s)\b)?", "TIME", text)
    return re.sub(r"[\d.]+", "N", re.sub(r"[\d.]+ [kMGT]?B\b", "SIZE", text))


def files_of(folder):
    """Return the scan and the name of each exported file."""
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.rglob("*.tif"))


RECENT = [f"{n}/img_000{k}.tif" for n in (1, 2) for k in (1, 2)]
ALL = [*RECENT, "3/img_0001.tif", "3/img_0002.tif"]


def on_a_terminal(shell, command, answer):
    """Run a command on a terminal, and type an answer; return what it shows."""
    reader, terminal = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    process = shell.start("bash", "-c", command, **streams)
    os.close(terminal)
    os.write(reader, answer)
    shown = shown_on(reader)
    assert process.wait() == 0
    return shown


def test_the_page_about_bulk(shell):
    """It plans, asks, exports the runs of the proposal, and goes on when repeated."""
    ((command,),) = blocks_of("bulk")
    command = shell.typed(command)

    told = shell.run("bash", "-c", f"{command} --dry-run")
    assert "2 runs: 2 to export, 0 done" in told
    assert files_of(shell.folder) == []
    shown = on_a_terminal(shell, command, b"y\n")
    for line in printed_on("bulk"):
        assert shape_of(line) in shape_of(shown)
    assert "2 runs done, 0 failed" in shown
    assert files_of(shell.folder / "out") == RECENT

    told = shell.run("bash", "-c", f"{command} --yes")
    assert "(2 of them before)" in told


def test_the_commands_for_dask(shell):
    """A scheduler and workers as the page starts them; by address, and by file."""
    (_, by_address), (scheduler, workers, by_file), _ = blocks_of("cluster")
    own = "--host 127.0.0.1 --no-dashboard"  # beside other tests
    file = shell.folder / "scheduler.json"

    shell.start("bash", "-c", shell.typed(scheduler.rstrip("& ")) + f" --port 0 {own}")
    until(lambda: is_whole(file))
    words = {"--nworkers 4": "--nworkers 2"}
    shell.start("bash", "-c", shell.typed(workers.rstrip("& "), **words) + f" {own}")

    told = shell.run("bash", "-c", shell.typed(by_file))
    assert "3 runs done, 0 failed" in told
    assert files_of(shell.folder / "out") == ALL
    words = {"tcp://scheduler:8786": json.loads(file.read_text())["address"]}
    words["/data/out"] = "/data/again"
    told = shell.run("bash", "-c", shell.typed(by_address, **words))
    assert "3 runs done, 0 failed" in told
    assert files_of(shell.folder / "again") == ALL


def is_whole(file):
    """Return whether a scheduler has written all of its file."""
    return file.is_file() and file.read_text().endswith("}")


@pytest.fixture
def slurm(shell):
    """Commands of Slurm that run jobs on this machine."""
    for name, text in (("sbatch", SBATCH), ("scancel", "#!/bin/bash\nkill $1\n")):
        path = shell.folder / name
        path.write_text(text)
        path.chmod(0o755)


@pytest.mark.usefixtures("slurm")
def test_the_script_for_dask_jobqueue(shell):
    """It submits a job with workers, which export the runs and then end."""
    shell.run(
        *(sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"),
        *("--target", shell.folder / "site", "dask-jobqueue>=0.9"),
    )
    known = shell.env.get("PYTHONPATH", "")
    shell.env["PYTHONPATH"] = f"{shell.folder}/site:{known}"
    text = (HOWTO / "cluster.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    words = {"jobs=8": "jobs=1", "processes=4": "processes=2"}

    told = shell.run(sys.executable, "-c", shell.typed(script, **words))

    assert "3 runs done, 0 failed" in told
    assert files_of(shell.folder / "out") == ALL
    job = (shell.folder / "submitted.sh").read_text()
    for part in ("--cpus-per-task=4", "--mem=15G", "-t 02:00:00", "--nworkers 2"):
        assert part in job


@pytest.mark.usefixtures("slurm")
def test_the_slurm_array(shell):
    """Its jobs run at the same time, and export the runs of the cycle together."""
    text = (HOWTO / "cluster.md").read_text("utf-8")
    _, shown, submit = re.search(
        r"\$ (cat export\.sh)\n(.*?)\n\$ (sbatch .*?)\n", text, re.DOTALL
    ).groups()
    words = {"--array=1-8": "--array=1-3", "TASK_ID/8": "TASK_ID/3"}
    (shell.folder / "export.sh").write_text(shell.typed(shown, **words))

    assert shell.run("bash", "-c", submit).startswith("Submitted")

    logs = [shell.folder / f"slurm-{n}.out" for n in (1, 2, 3)]
    until(lambda: all(log.exists() and "0 failed" in log.read_text() for log in logs))
    assert files_of(shell.folder / "out") == RECENT

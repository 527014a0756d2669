"""The shell's commands on the pages about many runs run as they are printed."""

import re
import warnings

import numpy as np
import pytest

from tests.integration.test_howto_commands import commands_on
from tests.shell import tiffin as shell
from tests.stores import store_in_tiled
from tiffin.sources import address_of, key_of
from tiffin.testing import run_of

pytestmark = pytest.mark.slow

SERVERS = re.compile(r"http://(localhost|tiled):8000")
TIME = 1.79e9
"""In September 2026."""


@pytest.fixture(scope="module")
def of_module(tiled_server):
    """A server with two runs of the pages' proposal, after the date that they name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiled.client import from_uri

        client = from_uri(tiled_server.uri)
    for n in (1, 2):
        images = np.full((2, 6, 9), n, "u2")
        run = run_of({"img": images}, scan_id=n, proposal=301)
        run[0][1]["time"] = TIME
        store_in_tiled(client, run)
    client.context.close()
    return tiled_server.uri


@pytest.fixture
def address(of_module, monkeypatch):
    """The address of the server, whose key is in the environment."""
    monkeypatch.setenv("TILED_API_KEY", key_of(of_module))
    return address_of(of_module)


def typed(command, address, folder, **other):
    """Return a command with this server and folder; 301 is the runs of this test."""
    words = [SERVERS.sub(address, word) for word in command]
    words = [other.get(word, word).replace("/data/out", str(folder)) for word in words]
    return [*words, "--query", "proposal=301"]


def test_the_command_of_the_page_about_bulk(address, tmp_path):
    """It exports the runs of a proposal."""
    (command,) = commands_on("bulk")
    told = shell(*typed(command, address, tmp_path), "--yes", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "2 runs done" in told.stderr
    assert (tmp_path / "out/1/img_0001.tif").is_file()


def test_the_shares_of_a_slurm_array(address, tmp_path):
    """All together export all runs."""
    _, command = commands_on("cluster")
    for n in range(1, 9):
        share = {"$SLURM_ARRAY_TASK_ID/8": f"{n}/8"}
        words = typed(command, address, tmp_path, **share)
        told = shell(*words, "--engine", "serial", cwd=tmp_path)
        assert told.returncode == 0, told.stderr
    assert len(list(tmp_path.glob("*/img_*.tif"))) == 4


def test_the_command_for_a_scheduler(address, tmp_path):
    """It uses a cluster that is there."""
    from distributed import LocalCluster

    command, _ = commands_on("cluster")
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        scheduler = {"tcp://scheduler:8786": cluster.scheduler_address}
        words = typed(command, address, tmp_path, **scheduler)
        told = shell(*words, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert len(list(tmp_path.glob("*/img_*.tif"))) == 4

"""Many runs of a Tiled server."""

import os
import pickle
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from tiled.queries import Key

import tiffin
from tests.integration.test_bulk import NAME, tree
from tests.shell import tiffin as shell
from tests.stores import store_in_tiled
from tiffin.bulk import Task, run_task
from tiffin.bulk.bulk_export import _without_clients
from tiffin.corrections import DarkSubtract
from tiffin.errors import SourceError
from tiffin.sources import (
    TIMEOUT,
    Selection,
    address_of,
    find_runs,
    key_in_environment,
    key_of,
    open_catalogue,
)
from tiffin.testing import run_of
from tiffin.verify import compare

CYCLE = Selection(query={"cycle": "bulk"})


class Server(NamedTuple):
    """A server with other runs and three of a cycle, and a client of it."""

    address: str
    key: str
    client: Any


@pytest.fixture(scope="module")
def of_module(tiled_server):
    """Three runs of a cycle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiled.client import from_uri

        client = from_uri(tiled_server.uri)
    for n in range(3):
        images = np.full((2, 8, 6), 100 + n, "u2")
        store_in_tiled(client, run_of({"img": images}, scan_id=n, cycle="bulk"))
    yield Server(address_of(tiled_server.uri), key_of(tiled_server.uri), client)
    client.context.close()


@pytest.fixture
def server(of_module, monkeypatch):
    """The key is not in the environment."""
    monkeypatch.delenv("TILED_API_KEY", raising=False)
    return of_module


def test_all_runs_of_a_catalogue(server, tmp_path):
    """By its address with the key, which no task keeps."""
    address = f"{server.address}?api_key={server.key}"
    report = tiffin.bulk(
        address, NAME, tmp_path / "out", engine="serial", selection=CYCLE
    )
    assert report.ok, report.failed
    assert report.total.written == 6
    assert {run.address for run in report.plan.runs} == {server.address}
    assert "TILED_API_KEY" not in os.environ
    again = tiffin.bulk(address, NAME, tmp_path / "out", selection=CYCLE)
    assert all(run.earlier for run in again.runs)


def test_the_page_of_a_run_in_the_browser(server, tmp_path):
    """Only this run is exported."""
    (*_, uid) = server.client.search(Key("start.cycle") == "bulk")
    page = f"{server.address.split('/api')[0]}/ui/browse/{uid}"
    done = shell(
        *("bulk", page, "-t", NAME, "-d", "out", "--yes", "--api-key", server.key),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "1 run done" in done.stderr


def test_a_client_has_the_key_for_worker_processes(server):
    """It is in their environment, and not in what is sent to them."""
    assert key_of(server.client) == server.key
    with key_in_environment(key_of(server.client)):
        assert os.environ["TILED_API_KEY"] == server.key
    step = DarkSubtract(run="7f3a1c2e", catalog=server.client)
    sent = pickle.dumps(_without_clients([step]))
    assert server.key.encode() not in sent
    assert address_of(server.client).encode() in sent


def test_a_server_that_goes_away_stops_the_export(
    new_server, tmp_path, caplog, monkeypatch
):
    """It does not fail run by run: what is left is pending, and its address is told."""
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    for _ in range(4):
        store_in_tiled(new_server.client, run_of({"img": np.ones((1, 4, 5), "u2")}))

    def close_after_the_first(report):
        if report.done:
            new_server.close()

    report = tiffin.bulk(
        new_server.client, "{start.uid}.tif", tmp_path, engine="serial",
        progress=close_after_the_first,
    )  # fmt: skip
    assert (len(report.failed), report.ok) == (0, False)
    assert len(report.pending) == 4 - len(report.done) > 0
    assert "does not answer" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.fixture(scope="module")
def long_cycle(of_module):
    """450 runs without data, and a container that is no run."""
    for n in range(450):
        start = {
            "uid": f"{n:08x}-0000-4000-8000-000000000000",
            "time": 1.7e9 + n,
            "scan_id": n,
        }
        metadata = {"start": {**start, "cycle": "long"}}
        of_module.client.create_container(start["uid"], metadata=metadata)
    of_module.client.create_container("exports")
    return Selection(query={"cycle": "long"})


@contextmanager
def asked(client):
    """Yield a list, to which the addresses of all requests are added."""
    http_client, urls = client.context.http_client, []
    hooks = http_client.event_hooks
    note = [*hooks["response"], lambda response: urls.append(str(response.url))]
    http_client.event_hooks = {**hooks, "response": note}
    yield urls
    http_client.event_hooks = hooks


def test_a_server_is_asked_once_for_what_a_run_has(server, tmp_path, monkeypatch):
    """An export reads documents twice; images are fetched only in the end."""
    monkeypatch.setenv("TILED_API_KEY", server.key)
    uid = server.client.search(Key("start.cycle") == "bulk").keys().first()
    task = Task(uid, server.address, NAME, {"directory": str(tmp_path)})
    with asked(open_catalogue(server.address, task.timeout)) as urls:
        assert run_task(task).written == 2
    assert sum(url.endswith(f"/metadata/{uid}/primary/img") for url in urls) == 1
    assert sum("/table/" in url for url in urls) == 1
    assert sum("/array/" in url for url in urls) == 1


def test_a_comparison_with_a_run_asks_once_for_what_it_has(
    server, tmp_path, monkeypatch
):
    """As a task does: the run that `verify --against` finds is read twice."""
    monkeypatch.setenv("TILED_API_KEY", server.key)
    client = open_catalogue(server.address, TIMEOUT)
    (run,) = runs = find_runs(client, replace(CYCLE, limit=1))
    tiffin.export(run, NAME, tmp_path)
    with asked(client) as urls:
        assert compare(tmp_path, runs).ok
    assert sum(url.endswith("/primary/img") for url in urls) == 1
    assert sum("/table/" in url for url in urls) == 1
    assert sum("/array/" in url for url in urls) == 1


def test_a_plan_has_a_time(server, tmp_path):
    """From a short sample, which opens one run twice."""
    with key_in_environment(server.key):
        client = open_catalogue(server.address, TIMEOUT)
        with asked(client) as urls:
            plan = plan_of(server, tmp_path, CYCLE)
    assert (len(plan.pending), plan.frames) == (3, 6)
    assert plan.seconds > 0
    assert len(urls) < 40


def plan_of(server, tmp_path, selection):
    """Return a plan that is refused."""
    plans = []

    def refuse(plan):
        plans.append(plan)
        return False

    tiffin.bulk(
        server.client, NAME, tmp_path, engine="serial", confirm=refuse,
        selection=selection,
    )  # fmt: skip
    return plans[0]


@pytest.mark.slow
def test_a_plan_asks_for_pages_of_runs(server, long_cycle, tmp_path):
    """Not for each run, and only for metadata: there may be thousands."""
    with asked(server.client) as urls:
        plan = plan_of(server, tmp_path, long_cycle)
    assert [run.start["scan_id"] for run in plan.runs] == [*range(450)]
    pages = [url for url in urls if "/search/?" in url]
    assert len(pages) == 3
    assert all("fields=metadata" in page for page in pages)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [5, 350])
def test_the_newest_runs_of_a_server(server, long_cycle, tmp_path, limit):
    """A server refuses pages of more than 300."""
    newest = replace(long_cycle, limit=limit)
    plan = plan_of(server, tmp_path, newest)
    assert [run.start["scan_id"] for run in plan.runs] == [*range(450)][-limit:]
    assert len(find_runs(server.client, newest)) == limit


@pytest.mark.slow
def test_all_runs_of_a_server(server, long_cycle, tmp_path):
    """Other entries of the catalogue are no runs."""
    assert len(plan_of(server, tmp_path, None).runs) >= 453
    with pytest.raises(SourceError, match="the newest runs"):
        plan_of(server, tmp_path, Selection(query={"cycle": "other"}))


@pytest.mark.slow
def test_worker_processes_read_from_the_server(server, tmp_path):
    """They have only its address, and the key in their environment."""
    report = tiffin.bulk(
        *(server.client, NAME, tmp_path / "out"),
        engine="processes",
        processes=2,
        selection=CYCLE,
    )
    assert report.ok, report.failed
    tiffin.bulk(server.client, NAME, tmp_path / "one", engine="serial", selection=CYCLE)
    assert tree(tmp_path / "out") == tree(tmp_path / "one")


@pytest.mark.slow
def test_reading_in_a_dask_task_does_not_use_the_cluster(server, tmp_path, monkeypatch):
    """Tiled reads with Dask: its own tasks would wait behind those of the export."""
    from distributed import LocalCluster
    from distributed.diagnostics.plugin import SchedulerPlugin

    monkeypatch.setenv("TILED_API_KEY", server.key)
    seen = set()

    class Seen(SchedulerPlugin):
        def transition(self, key, *_, **__):
            seen.add(str(key))

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        cluster.scheduler.add_plugin(Seen())
        report = tiffin.bulk(
            *(server.address, NAME, tmp_path / "out"),
            dask=cluster.scheduler_address,
            selection=CYCLE,
        )
    assert report.ok, report.failed
    assert len(seen) == 3
    assert {key.partition("-")[0] for key in seen} == {"_run_task"}

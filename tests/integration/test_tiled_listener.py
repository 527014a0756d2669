"""The websocket of a Tiled catalogue gives hints; the service never depends on it."""

import gc
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from bench.soak import KEY, TiledServer
from tests.integration.test_listeners import config_with
from tests.integration.test_service import service, until, write_config
from tests.stores import LIBRARIES_WARN, store_in_tiled
from tiffin.service import service as service_module
from tiffin.service.listeners import Hints, start_listener
from tiffin.testing import run_of

__all__ = ["service"]

pytestmark = [pytest.mark.slow, *LIBRARIES_WARN]


def a_run(scan_id, **start):
    """Return the documents of a small run."""
    return run_of({"img": np.ones((3, 8, 9), "u2")}, scan_id=scan_id, **start)


@pytest.fixture
def address(new_server, monkeypatch):
    """The address of a server of this test alone, whose key is in the environment."""
    monkeypatch.setenv("TILED_API_KEY", new_server.key)
    return new_server.address


@contextmanager
def listening(address):
    """Listen; give the times of the hints."""
    hints, stopping = [], threading.Event()
    thread = start_listener(
        "tiled",
        {"type": "tiled", "address": address},
        Hints(lambda: hints.append(time.time()), None, None, stopping),
    )
    try:
        yield hints
    finally:
        stopping.set()
        thread.join(60)
    assert not thread.is_alive()


def await_messages(hints, client):
    """Wait until hints come of new entries; return how many hints there were."""
    until(lambda: hints)
    before = len(hints)

    def comes():
        client.create_container()
        return len(hints) > before

    until(comes)
    time.sleep(1.0)  # what still comes of these
    return len(hints)


class TestMessages:
    def test_a_run_is_exported_at_once(self, tmp_path, service, address, new_server):
        """The next look would be in a minute."""
        options = f'address = "{address}"'
        started = service(config_with(tmp_path, "tiled", options, source=address))
        until(lambda: started.status.looked)
        looks = set()

        def comes():
            new_server.client.create_container()
            looks.add(started.status.looked)
            return len(looks) > 2  # by itself, as it subscribes, and at a message

        until(comes)
        store_in_tiled(new_server.client, a_run(3))
        until(lambda: started.journal.counts() == {"done": 1}, limit=50)
        assert len(list((tmp_path / "out/3").glob("*.tif"))) == 3

    def test_hints_go_on_after_the_garbage_was_collected(self, address, new_server):
        """A subscription of Tiled has only weak references to what it calls."""
        with listening(address) as hints:
            before = await_messages(hints, new_server.client)
            gc.collect()
            store_in_tiled(new_server.client, a_run(1))
            until(lambda: len(hints) >= before + 2)  # its start, and its stop

    def test_a_message_may_be_large(self, address, new_server):
        """Above 1 MB, Tiled's client would end the subscription by default."""
        with listening(address) as hints:
            before = await_messages(hints, new_server.client)
            store_in_tiled(new_server.client, a_run(1, notes="x" * 3_000_000))
            until(lambda: len(hints) >= before + 2)
            before = len(hints)
            store_in_tiled(new_server.client, a_run(2))
            until(lambda: len(hints) >= before + 2)


class TestWithoutMessages:
    def test_a_server_without_a_streaming_cache(
        self, tmp_path, service, address, new_server, caplog
    ):
        """It does not hang the service, which says so and looks by itself."""
        new_server.tree.context.streaming_cache = None
        listen = f'[[service.listen]]\ntype = "tiled"\naddress = "{address}"\n'
        config = write_config(tmp_path, exports=listen)
        config.write_text(config.read_text().replace('"documents"', f'"{address}"'))
        started = service(config)
        store_in_tiled(new_server.client, a_run(3))
        until(lambda: started.journal.counts() == {"done": 1})
        until(lambda: "has it a streaming cache?" in caplog.text)
        began = time.monotonic()
        assert started.stop()
        assert time.monotonic() - began < 40

    @pytest.mark.parametrize("up", [True, False])
    def test_a_listener_ends(self, address, up):
        """Whether there is a server or not."""
        with listening(address if up else "http://127.0.0.1:9"):
            time.sleep(2)
            began = time.monotonic()
        assert time.monotonic() - began < 40


@pytest.mark.timeout(400)
def test_after_an_outage_the_cursor_catches_up(tmp_path, service, monkeypatch):
    """Without any message; and no run is blamed for an outage."""
    monkeypatch.setenv("TILED_API_KEY", KEY)
    monkeypatch.setattr(service_module, "PAUSES", (0.5,))
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    with TiledServer(tmp_path) as server:
        client = server.client()
        for n in range(6):
            store_in_tiled(client, a_run(n))
        config = write_config(tmp_path)
        text = config.read_text().replace('"documents"', f'"{server.address}"')
        config.write_text(text)
        started = service(config)
        until(lambda: "done" in started.journal.counts())
        assert started.journal.total() == 6
        server.kill()
        until(lambda: started.status.problem)
        with TiledServer(tmp_path) as other:  # of the same catalogue
            for n in (6, 7):
                store_in_tiled(other.client(), a_run(n))
        assert started.journal.total() == 6
        server.start()
        until(lambda: started.journal.counts() == {"done": 8}, limit=120)
        assert {run.tries for run in started.journal.newest()} == {1}

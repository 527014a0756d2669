"""Real engines, devices, catalogues and servers."""

import gc
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynSignal, SynSignalWithRegistry

from tests.stores import client_of, store_in_tiled


class Image(SynSignal):
    """A simulated image that declares its dtype."""

    def describe(self):
        described = super().describe()
        described[self.name]["dtype_numpy"] = np.asarray(self.get()).dtype.str
        return described


class ExternalImage(SynSignalWithRegistry):
    """A simulated image in a file of its own, dtype declared."""

    def describe(self):
        described = super().describe()
        described[self.name]["dtype_numpy"] = "<u2"
        return described


class Counter:
    """Gives a different image at each call, and keeps what it gave."""

    def __init__(self, shape=(10, 12), dtype="u2"):
        self.given = []
        self._shape, self._dtype = shape, dtype

    def __call__(self):
        image = np.arange(np.prod(self._shape), dtype=self._dtype)
        image = image.reshape(self._shape) + np.asarray(len(self.given), self._dtype)
        self.given.append(image.copy())
        return image

    def taken(self, number):
        """Return the last so many images."""
        return self.given[-number:]


@pytest.fixture
def RE():
    """A RunEngine, whose loop is ended afterwards."""
    engine = RunEngine({})
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join(60)
    engine.loop.close()


@pytest.fixture
def images():
    return Counter()


@pytest.fixture
def img(images):
    """A detector with its image in the event."""
    return Image(name="img", func=images)


@pytest.fixture
def external(images, tmp_path):
    """A detector with its images in files."""
    folder = tmp_path / "detector"
    folder.mkdir()
    return ExternalImage(name="ext", func=images, save_path=str(folder))


@pytest.fixture(scope="session")
def broker():
    """A databroker in memory, which may have other tests' runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from databroker import Broker

        broker = Broker.named("temp")
    gc.freeze()
    return broker


@pytest.fixture(scope="session")
def tiled_server(tmp_path_factory):
    """A Tiled server with a socket, which may read what the tests write."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiled.server import SimpleTiledServer
        from tiled.server.settings import get_settings

        base = tmp_path_factory.getbasetemp()
        # All servers of a process share their settings: another key than the one that
        # databroker's have already would lock these out.
        key = get_settings().single_user_api_key
        server = SimpleTiledServer(readable_storage=[str(base)], api_key=key)
        gc.freeze()
        yield server
        server.close()


@pytest.fixture
def tiled(tiled_server):
    """A client of the server."""
    with client_of(tiled_server) as client:
        yield client


class NewServer(NamedTuple):
    """A server, its key, a client of it, its tree of catalogues, and what ends it."""

    address: str
    key: str
    client: Any
    tree: Any
    close: Callable[[], None]


@contextmanager
def without_runs(folder):
    """Run a Tiled server that has no runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiled.client import from_uri
        from tiled.server import SimpleTiledServer
        from tiled.server.settings import get_settings

        key = get_settings().single_user_api_key  # that of all servers of a process
        server = SimpleTiledServer(folder, api_key=key)
        client = from_uri(server.uri)
        address = server.uri.partition("?")[0]
        with ExitStack() as stack:
            stack.callback(server.close)
            yield NewServer(address, key, client, server.catalog, stack.close)
            client.context.close()


@pytest.fixture
def new_server(tmp_path_factory):
    """A Tiled server of this test alone."""
    with without_runs(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def store(tiled):
    """Store a run on the server, and return it as the client does."""
    return partial(store_in_tiled, tiled)

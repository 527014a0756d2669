"""Runs in databroker and Tiled."""

import warnings
from contextlib import contextmanager

import pytest

LIBRARIES_WARN = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
"""Of a test that uses the libraries of a store, whose own warnings are no failures."""


def insert(broker, documents):
    """Insert a run into databroker; return its header."""
    for name, doc in documents:
        broker.v1.insert(name, doc)
    return broker[documents[0][1]["uid"]]


@contextmanager
def client_of(server):
    """Open a client of a Tiled server; close it at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiled.client import from_uri

        client = from_uri(server.uri)
        yield client
        client.context.close()


def tiled_writer(client, batch_size=1):
    """Return the callback that stores documents on a Tiled server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bluesky_tiled_plugins import TiledWriter

        return TiledWriter(client, batch_size=batch_size)


def store_in_tiled(client, documents, batch_size=100):
    """Store a run on a Tiled server; return it as the client does."""
    write = tiled_writer(client, batch_size)
    for name, doc in documents:
        write(name, doc)
    return client[documents[0][1]["uid"]]

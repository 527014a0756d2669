"""F. Replay from Tiled over loopback HTTP, against the loop that people write."""

from __future__ import annotations

import subprocess
import sys
import warnings
from contextlib import contextmanager

import tifffile

from bench import peers
from bench.measure import Ratio, Workload, scaled

FRAMES = 300
SHAPE = (1024, 1024)
LOOP = "loop over run[…][i]"
SHARE = 5

SERVER = """
import sys
from tiled.server import SimpleTiledServer
server = SimpleTiledServer()
print(server.uri, flush=True)
sys.stdin.read()
server.close()
"""


@contextmanager
def server():
    """Start a server, in a process of its own as servers are; give its address.

    Two in one process would share the key that the second one makes.
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        lines = (line.decode().strip() for line in process.stdout)
        yield next(line for line in lines if line.startswith("http"))
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def stored(client, images):
    from bluesky_tiled_plugins import TiledWriter

    documents = peers.documents_of(images)
    writer = TiledWriter(client, batch_size=1)
    for name, doc in documents:
        writer(name, doc)
    return client[documents[0][1]["uid"]]


def loop(run, frames, folder):
    node = run[f"primary/{peers.FIELD}"]
    for i in range(frames):
        tifffile.imwrite(folder / f"1_{i + 1}.tif", node[i])


@contextmanager
def workload(*, tiny=False):
    from tiled.client import from_uri

    shape, frames = ((16, 16), 3) if tiny else (SHAPE, FRAMES)
    images = peers.noisy(frames, shape)
    some = images[: -(-frames // SHARE)]

    def check(name, folder):
        peers.check(some if name == LOOP else images)(name, folder)

    with server() as address, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = from_uri(address)
        run = stored(client, images)
        yield Workload(
            key="F",
            title=f"{frames} x {shape[0]}² uint16, from Tiled by HTTP",
            frames=frames,
            contenders={
                "bare": peers.bare(images),
                "tiffin": peers.ours(run),
                LOOP: scaled(
                    lambda folder: loop(run, len(some), folder), frames / len(some)
                ),
            },
            targets=[Ratio(over=LOOP, must=3)],
            check=check,
            alone=False,  # the server works too
            repetitions=3,
            notes=[
                "the server is a process on the same machine",
                f"the loop writes the first {len(some)} frames",
            ],
        )
        client.context.close()

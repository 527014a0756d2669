"""Export a run from Tiled over loopback HTTP, against the loop that people write.

python bench/tiled_http.py [FRAMES]
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import tifffile

import tiffin
from tiffin.testing import run_of

warnings.simplefilter("ignore")

SHAPE = (1024, 1024)
REPEATS = 3


SERVER = """
import sys
from tiled.server import SimpleTiledServer
server = SimpleTiledServer()
print(server.uri, flush=True)
sys.stdin.read()
server.close()
"""


def stored(client, frames):
    from bluesky_tiled_plugins import TiledWriter

    images = np.random.default_rng(1).poisson(30, (frames, *SHAPE)).astype("u2")
    documents = run_of({"img": images}, scan_id=1)
    writer = TiledWriter(client, batch_size=1)
    for name, doc in documents:
        writer(name, doc)
    return client[documents[0][1]["uid"]]


def loop(run, folder):
    node = run["primary/img"]
    for i in range(node.shape[0]):
        tifffile.imwrite(folder / f"1_{i + 1}.tif", node[i])


def ours(run, folder):
    tiffin.export(run, "{start.scan_id}_{event.seq_num}.tif", directory=folder)


def seconds(function, run, frames):
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(dir=root))
    begun = time.perf_counter()
    function(run, folder)
    took = time.perf_counter() - begun
    assert len(list(folder.iterdir())) == frames
    shutil.rmtree(folder)
    return took


def main():
    from tiled.client import from_uri

    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    server = subprocess.Popen(  # a process of its own, as servers are
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        lines = (line.decode().strip() for line in server.stdout)
        address = next(line for line in lines if line.startswith("http"))
        run = stored(from_uri(address), frames)
        ratios = []
        for _ in range(REPEATS):
            naive, tiffins = seconds(loop, run, frames), seconds(ours, run, frames)
            ratios.append(naive / tiffins)
            print(
                f"{frames} frames: loop {frames / naive:.0f} frames/s, "
                f"tiffin {frames / tiffins:.0f} frames/s, {ratios[-1]:.2f} times"
            )
        print(f"median: {statistics.median(ratios):.2f} times the loop")
    finally:
        server.stdin.close()
        server.wait(30)


if __name__ == "__main__":
    main()

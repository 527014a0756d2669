"""D1 to D4. From the chunks of HDF5 files, against a loop of tifffile and bare writes.

The loop of D1 decodes and encodes again, which a chunk that is passed on does not need.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from bench import peers
from bench.measure import Ratio, Workload, ram_disk, scaled

SHAPE = (2048, 2048)
FRAMES = 40
FEW = 8
"""So many frames the loops write: they are slow."""

DEFLATED = {"compression": "gzip", "compression_opts": 1}
WORKLOADS = {
    # name: what, how it is stored, frames a chunk, output, peer, ratio wanted
    "D1": ("deflate, passed on → zlib", DEFLATED, 1, "zlib", "loop, level 1", 5),
    "D2": ("deflate → uncompressed", DEFLATED, 1, None, "loop", 3),
    "D3": ("deflate, 8 a chunk → uncompressed", DEFLATED, 8, None, "loop", 7),
    "D4": ("uncompressed → uncompressed", {}, 1, None, "bare writes", 0.8),
}
PEER = {"loop": "imwrite(d[i])", "loop, level 1": "imwrite(d[i]), zlib level 1"}
NOTES = {
    "D1": ["tiffin checks the chunks and passes them on; the loop decodes and encodes"],
    "D3": ["the loop decodes each chunk eight times"],
}


@contextmanager
def workload(key, *, tiny=False):
    what, options, a_chunk, compression, peer, must = WORKLOADS[key]
    frames = FEW if tiny else FRAMES
    with _stored(options, a_chunk, frames, (16, 16) if tiny else SHAPE) as path:
        with h5py.File(path) as file:
            images = file["d"][...]
        documents = hdf5_run(path, frames, images.shape[1:])

        def loop(folder):
            settings = {"compression": compression, "compressionargs": {"level": 1}}
            with h5py.File(path) as file:
                frame_by_frame = (file["d"][n] for n in range(FEW))
                peers.imwrite(frame_by_frame, **settings if compression else {})(folder)

        def check(name, folder):
            peers.check(images[:FEW] if name == PEER.get(peer) else images)(
                name, folder
            )

        contenders = {
            "bare": peers.bare(images),
            "tiffin": peers.ours(documents, compression=compression),
        }
        if peer in PEER:
            contenders[PEER[peer]] = scaled(loop, frames / FEW)
        yield Workload(
            key=key,
            title=f"{frames} x {images.shape[1]}² uint16, HDF5 {what}",
            frames=frames,
            contenders=contenders,
            targets=[Ratio(over=PEER.get(peer, "bare"), must=must)],
            check=check,
            repetitions=3 if a_chunk > 1 else 5,
            notes=NOTES.get(key, []),
        )


def hdf5_run(path, frames, shape):
    """Return the documents of a run whose images are in one HDF5 file."""
    data_key = {
        "source": "SIM",
        "dtype": "array",
        "shape": [1, *shape],
        "dtype_numpy": "<u2",
        "external": "STREAM:",
    }
    descriptor = {
        "uid": "d-1",
        "run_start": "run-1",
        "name": "primary",
        "time": 0,
        "data_keys": {"img": data_key},
    }
    asset = {
        "uid": "r-1",
        "data_key": "img",
        "mimetype": "application/x-hdf5",
        "uri": f"file://localhost{path}",
        "parameters": {"dataset": "d"},
    }
    datum = {
        "uid": "r-1/0",
        "stream_resource": "r-1",
        "descriptor": "d-1",
        "indices": {"start": 0, "stop": frames},
        "seq_nums": {"start": 1, "stop": frames + 1},
    }
    return [
        ("start", {"uid": "run-1", "time": 0, "scan_id": 1}),
        ("descriptor", descriptor),
        ("stream_resource", asset),
        ("stream_datum", datum),
        ("stop", {"uid": "s-1", "run_start": "run-1", "time": 1}),
    ]


@contextmanager
def _stored(options, a_chunk, frames, shape):
    folder = Path(tempfile.mkdtemp(prefix="tiffin-bench-", dir=ram_disk()))
    try:
        _store(folder / "d.h5", frames, shape, a_chunk, options)
        yield folder / "d.h5"
    finally:
        shutil.rmtree(folder)


def _store(path, frames, shape, a_chunk, options):
    """Write noisy frames, few of them different, as an integrating detector's."""
    rng = np.random.default_rng(0)
    images = [rng.poisson(100, shape).astype("u2") for _ in range(4)]
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "d", (frames, *shape), "u2", chunks=(a_chunk, *shape), **options
        )
        for first in range(0, frames, a_chunk):
            chunk = [images[n % 4] for n in range(first, first + a_chunk)]
            data[first : first + a_chunk] = np.stack(chunk)

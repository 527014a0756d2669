"""D1 to D4. From the chunks of HDF5 files, as `bench/hdf5.py` makes and reads them."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import h5py

from bench import hdf5, peers
from bench.measure import Ratio, Workload, ram_disk, scaled

FRAMES = 40
FEW = 8
"""So many frames the loops write: they are slow."""

PEER = {"loop": "imwrite(d[i])", "loop, level 1": "imwrite(d[i]), zlib level 1"}
NOTES = {
    "D1": ["tiffin checks the chunks and passes them on; the loop decodes and encodes"],
    "D3": ["the loop decodes each chunk eight times"],
}


@contextmanager
def workload(key, *, tiny=False):
    what, options, a_chunk, compression, peer, must = hdf5.WORKLOADS[key]
    frames = FEW if tiny else FRAMES
    with _stored(options, a_chunk, frames, (16, 16) if tiny else hdf5.SHAPE) as path:
        with h5py.File(path) as file:
            images = file["d"][...]

        def loop(folder):
            hdf5.loop(path, FEW, compression, folder)

        def check(name, folder):
            peers.check(images[:FEW] if name == PEER.get(peer) else images)(
                name, folder
            )

        contenders = {
            "bare": peers.bare(images),
            "tiffin": lambda folder: hdf5.ours(path, frames, compression, folder),
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


@contextmanager
def _stored(options, a_chunk, frames, shape):
    folder = Path(tempfile.mkdtemp(prefix="tiffin-bench-", dir=ram_disk()))
    as_it_was, hdf5.SHAPE = hdf5.SHAPE, shape
    try:
        hdf5.store(folder / "d.h5", frames, a_chunk, options)
        yield folder / "d.h5"
    finally:
        hdf5.SHAPE = as_it_was
        shutil.rmtree(folder)

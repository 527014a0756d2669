"""Export frames of an HDF5 file, against loops of tifffile and bare writes.

python bench/hdf5.py [FRAMES [REPEATS [NAME...]]]

Repetitions are interleaved, each on a RAM disk; ratios are medians over them. The
loops of D1 decode and encode again, which a chunk that is passed on does not need.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import tifffile

import tiffin

SHAPE = (2048, 2048)
RAM = Path("/dev/shm")

DEFLATED = {"compression": "gzip", "compression_opts": 1}
WORKLOADS = {
    # name: what, how it is stored, frames a chunk, output, peer, ratio wanted
    "D1": ("deflate, passed on → zlib", DEFLATED, 1, "zlib", "loop, level 1", 5),
    "D2": ("deflate → uncompressed", DEFLATED, 1, None, "loop", 3),
    "D3": ("deflate, 8 a chunk → uncompressed", DEFLATED, 8, None, "loop", 7),
    "D4": ("uncompressed → uncompressed", {}, 1, None, "bare writes", 0.8),
}


def documents(path, frames):
    data_key = {
        "source": "SIM",
        "dtype": "array",
        "shape": [1, *SHAPE],
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


def store(path, frames, a_chunk, options):
    """Write noisy frames, few of them different, as an integrating detector's."""
    rng = np.random.default_rng(0)
    images = [rng.poisson(100, SHAPE).astype("u2") for _ in range(4)]
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "d", (frames, *SHAPE), "u2", chunks=(a_chunk, *SHAPE), **options
        )
        for first in range(0, frames, a_chunk):
            chunk = [images[n % 4] for n in range(first, first + a_chunk)]
            data[first : first + a_chunk] = np.stack(chunk)


def ours(path, frames, compression, out):
    report = tiffin.export(
        documents(path, frames),
        "{event.seq_num:05d}.tif",
        directory=out,
        compression=compression,
    )
    assert report.ok
    assert len(report.written) == frames


def loop(path, frames, compression, out):
    options = {}
    if compression:
        options = {"compression": compression, "compressionargs": {"level": 1}}
    with h5py.File(path) as file:
        data = file["d"]
        for n in range(frames):
            tifffile.imwrite(out / f"{n + 1:05d}.tif", data[n], **options)


def bare(path, frames, _, out):
    """Write bytes that are in memory already, in one thread."""
    with h5py.File(path) as file:
        image = file["d"][0].tobytes()
    begun = time.perf_counter()
    for n in range(frames):
        descriptor = os.open(out / f"{n + 1:05d}.tif", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, image)
        os.close(descriptor)
    return time.perf_counter() - begun


def seconds(export, path, frames, compression, folder):
    """Time one repetition, or take what it timed by itself [s a frame]."""
    out = folder / "out"
    out.mkdir()
    begun = time.perf_counter()
    took = export(path, frames, compression, out) or time.perf_counter() - begun
    if export is not bare:
        check(path, frames, out)
    shutil.rmtree(out)
    return took / frames


def check(path, frames, out):
    with h5py.File(path) as file:
        for n in (0, frames - 1):
            image = tifffile.imread(out / f"{n + 1:05d}.tif")
            assert np.array_equal(image, file["d"][n])


def measure(name, frames, repeats, folder):
    what, options, a_chunk, compression, peer, wanted = WORKLOADS[name]
    path = folder / f"{name}.h5"
    store(path, frames, a_chunk, options)
    other = bare if peer == "bare writes" else loop
    # A loop over chunks of eight decodes each eight times: fewer frames will do.
    few = min(frames, 8 if other is loop else frames)
    pairs = []
    for _ in range(repeats + 1):
        mine = seconds(ours, path, frames, compression, folder)
        theirs = seconds(other, path, few, compression, folder)
        pairs.append((mine, theirs))
    path.unlink()
    pairs = pairs[1:]  # the first repetition imports and warms up
    mine, theirs = (
        1e3 * statistics.median(column) for column in zip(*pairs, strict=True)
    )
    ratio = statistics.median(theirs / mine for mine, theirs in pairs)
    print(
        f"{name} | {what:34} | {mine:8.2f} | {peer:13} {theirs:8.2f} | {ratio:7.2f} |"
        f" {wanted:6}",
        flush=True,
    )


def main():
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    names = sys.argv[3:] or list(WORKLOADS)
    folder = Path(tempfile.mkdtemp(dir=RAM if RAM.is_dir() else None))
    print(
        "HDF5, 2048 x 2048 uint16                 | ms/frame | peer, ms/frame", end=""
    )
    print("         |   ratio | wanted")
    try:
        for name in names:
            measure(name, frames, repeats, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

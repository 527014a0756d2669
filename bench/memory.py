"""Export many frames from one HDF5 file, and watch the memory that it takes.

python -m bench.memory [FRAMES]
"""

import resource
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np

import tiffin
from bench.from_hdf5 import hdf5_run

SHAPE = (512, 1024)  # 1 MB of uint16


def remove_as_they_come(folder, done):
    """Keep the disk from filling: the files do not matter here."""
    while not done.is_set():
        for path in folder.glob("*.tif"):
            path.unlink(missing_ok=True)
        time.sleep(0.05)


def main():
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    folder = Path(tempfile.mkdtemp())
    out = folder / "out"
    out.mkdir()
    with h5py.File(folder / "a.h5", "w") as file:
        data = file.create_dataset(
            "d", (frames, *SHAPE), "u2", chunks=(1, *SHAPE), compression="gzip"
        )
        image = np.tile(np.arange(SHAPE[1], dtype="u2"), (SHAPE[0], 1))
        for n in range(frames):
            data[n] = image
    done = threading.Event()
    cleaner = threading.Thread(target=remove_as_they_come, args=(out, done))
    cleaner.start()
    begun = time.perf_counter()
    report = tiffin.export(
        hdf5_run(folder / "a.h5", frames, SHAPE),
        "{event.seq_num:05d}.tif",
        directory=out,
    )
    took = time.perf_counter() - begun
    done.set()
    cleaner.join()
    shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{report}; {frames / took:.0f} frames/s; at most {peak:.0f} MiB resident")


if __name__ == "__main__":
    main()

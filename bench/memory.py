"""Export many frames from one HDF5 file, and watch the memory that it takes.

python bench/memory.py [FRAMES]
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

SHAPE = (1, 512, 1024)  # 1 MB of uint16


def documents(path, frames):
    data_key = {
        "source": "SIM",
        "dtype": "array",
        "shape": list(SHAPE),
        "dtype_numpy": "<u2",
        "external": "STREAM:",
    }
    start = {"uid": "run-1", "time": 0, "scan_id": 1}
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
    stop = {"uid": "s-1", "run_start": "run-1", "time": 1, "exit_status": "success"}
    return [
        ("start", start),
        ("descriptor", descriptor),
        ("stream_resource", asset),
        ("stream_datum", datum),
        ("stop", stop),
    ]


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
        chunks = (1, *SHAPE[1:])
        data = file.create_dataset(
            "d", (frames, *SHAPE[1:]), "u2", chunks=chunks, compression="gzip"
        )
        image = np.tile(np.arange(SHAPE[2], dtype="u2"), (SHAPE[1], 1))
        for n in range(frames):
            data[n] = image
    done = threading.Event()
    cleaner = threading.Thread(target=remove_as_they_come, args=(out, done))
    cleaner.start()
    begun = time.perf_counter()
    report = tiffin.export(
        documents(folder / "a.h5", frames), "{event.seq_num}.tif", directory=out
    )
    took = time.perf_counter() - begun
    done.set()
    cleaner.join()
    shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{report}; {frames / took:.0f} frames/s; at most {peak:.0f} MiB resident")


if __name__ == "__main__":
    main()

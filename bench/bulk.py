"""Many runs: what a task costs, what a second process gains, and a second pass.

python -m bench.bulk [REPEATS]

All contenders of a repetition run one after another, with worker processes that are
there already. What counts is the median of the repetitions.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np

import tiffin
from bench.from_hdf5 import hdf5_run
from bench.measure import ram_disk
from tiffin.bulk import Task
from tiffin.bulk.dask_engine import DaskEngine
from tiffin.bulk.engines import LOCAL, ProcessEngine
from tiffin.testing import run_of

RUNS, FRAMES = 200, 5
LARGE_RUNS, LARGE_FRAMES, LARGE = 2, 100, (2048, 1024)
PROCESSES = 2
NAME = "{start.scan_id}/{event.seq_num:04d}.tif"


def main(repeats=3):
    place = Path(tempfile.mkdtemp(prefix="tiffin-bench-", dir=ram_disk()))
    try:
        small, large = place / "small", place / "large"
        write_small(small)
        write_large(large, place / "d.h5")
        costs = [cost_of_a_task(small, place) for _ in range(repeats)]
        for engine in costs[0]:
            told = [f"{cost[engine] * 1e3:.1f}" for cost in costs]
            tell(f"{engine}: ms a task more than a pool, at most 5", told)
        tell(
            "second process, at least 1.6", [gain(large, place) for _ in range(repeats)]
        )
        tell("second pass, at most 0.1", [again(small, place) for _ in range(repeats)])
    finally:
        shutil.rmtree(place)


def tell(what, values):
    numbers = [float(value) for value in values]
    shown = ", ".join(f"{number:.3g}" for number in sorted(numbers))
    print(f"{what}: {statistics.median(numbers):.3g} (of {shown})", flush=True)


def write_small(folder):
    """Write a file of documents for each run, of images of 64²."""
    folder.mkdir()
    images = np.random.default_rng(0).poisson(9, (FRAMES, 64, 64)).astype("u2")
    for n in range(RUNS):
        write(folder / f"{n}.jsonl", run_of({"img": images}, scan_id=n))


def write_large(folder, pixels):
    """Write runs whose 100 images of 4 MB are in one HDF5 file."""
    folder.mkdir()
    images = np.random.default_rng(0).poisson(9, (LARGE_FRAMES, *LARGE)).astype("u2")
    with h5py.File(pixels, "w") as file:
        file.create_dataset("d", data=images, chunks=(1, *LARGE))
    for n in range(LARGE_RUNS):
        text = json.dumps(hdf5_run(pixels, LARGE_FRAMES, LARGE))
        text = text.replace("run-1", f"run-{n}").replace('"d-1"', f'"d-{n}"')
        documents = json.loads(text)
        documents[0][1]["scan_id"] = n
        write(folder / f"{n}.jsonl", documents)


def write(path, documents):
    lines = [json.dumps(item, default=np.ndarray.tolist) for item in documents]
    path.write_text("\n".join(lines))


def cost_of_a_task(docs, place):
    """Return what a task costs on each engine, against a bare process pool [s]."""
    settings = {"existing": "resume", "workers": 1}
    seconds = {}
    spawn = get_context("spawn")
    with Out(place) as out, ProcessPoolExecutor(PROCESSES, spawn) as pool:
        calls = [(path, NAME, out) for path in sorted(docs.iterdir())]
        list(pool.map(export, calls[:PROCESSES], [settings] * PROCESSES))
        begun = time.perf_counter()
        list(pool.map(export, calls[PROCESSES:], [settings] * RUNS))
        bare = time.perf_counter() - begun
    engines = {
        "processes": lambda: ProcessEngine(PROCESSES),
        "dask": lambda: DaskEngine(LOCAL, PROCESSES),
    }
    for name, engine in engines.items():
        with Out(place) as out, engine() as running:
            tasks = [
                Task(uid_of(path), str(path), NAME, {**settings, "directory": str(out)})
                for path in sorted(docs.iterdir())
            ]
            through(running, tasks[:PROCESSES])
            begun = time.perf_counter()
            through(running, tasks[PROCESSES:])
            seconds[name] = time.perf_counter() - begun
    return {name: (each - bare) / (RUNS - PROCESSES) for name, each in seconds.items()}


def export(arguments, settings):
    return len(tiffin.export(*arguments, **settings))


def uid_of(path):
    with path.open() as file:
        return json.loads(file.readline())[1]["uid"]


def through(engine, tasks):
    for task in tasks:
        engine.submit(task)
    while engine.left:
        _, result = engine.next()
        if not result.ok:
            raise RuntimeError(result.why)


def gain(docs, place):
    """Return how many times as fast two processes of one thread are as one."""
    seconds = []
    for processes in (1, PROCESSES):
        with Out(place) as out, ProcessEngine(processes) as running:
            settings = {"workers": 1, "compression": "zlib", "directory": str(out)}
            tasks = [
                Task(uid_of(path), str(path), NAME, settings)
                for path in sorted(docs.iterdir())
            ]
            through(running, [warm(task) for task in tasks[:processes]])
            begun = time.perf_counter()
            through(running, tasks)
            seconds.append(time.perf_counter() - begun)
    return seconds[0] / seconds[1]


def warm(task):
    """Return a task that imports all libraries, and writes one other file."""
    return Task(task.uid, task.address, f"warm/{NAME}", task.settings, frames="0:1")


def again(docs, place):
    """Return the time of a second pass over finished runs, by that of the first."""
    seconds = []
    with Out(place) as out:
        for _ in range(2):
            begun = time.perf_counter()
            report = tiffin.bulk(docs, NAME, out, engine="serial")
            seconds.append(time.perf_counter() - begun)
            if not report.ok:
                raise RuntimeError(str(report))
    return seconds[1] / seconds[0]


class Out:
    """A folder for one contender."""

    def __init__(self, place):
        self.folder = Path(tempfile.mkdtemp(dir=place))

    def __enter__(self):
        return self.folder

    def __exit__(self, *_):
        shutil.rmtree(self.folder)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

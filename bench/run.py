"""Run the benchmarks: `make bench`, or python -m bench.run [KEY ...].

With keys, as in `A C`, only these, and the manual's figures stay as they are.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import warnings
from functools import partial

from bench import (
    compressed,
    from_hdf5,
    large_frames,
    live,
    names,
    report,
    small_frames,
    stacks,
    tiled_http,
)
from bench.measure import measure, once

WORKLOADS = {
    "A": large_frames.workload,
    "B": small_frames.workload,
    "C": compressed.workload,
    **{key: partial(from_hdf5.workload, key) for key in ("D1", "D2", "D3", "D4")},
    "E": live.workload,
    "F": tiled_http.workload,
    "N": names.workload,
    **{key: partial(stacks.workload, key) for key in ("S1", "S2")},
}
"""Key → `workload(tiny=...)`, a context manager that gives a `Workload`."""


def try_once(key):
    """Run all contenders of a workload once on tiny images, and check their files."""
    with WORKLOADS[key](tiny=True) as workload:
        for name, contender in workload.contenders.items():
            once(contender, lambda folder, name=name: workload.check(name, folder))


def run(key):
    """Measure a workload; what is imported late, or made once, is there before."""
    begun = time.perf_counter()
    try_once(key)
    with WORKLOADS[key]() as workload:
        told = measure(workload).told()
    print(f"{key}: {time.perf_counter() - begun:.0f} s in all")
    return told


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help=", ".join(WORKLOADS))
    asked = [key.upper() for key in parser.parse_args(arguments).keys]
    if unknown := set(asked) - WORKLOADS.keys():
        parser.error(f"no workload {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore")
    allow_many_files()
    begun, load = time.perf_counter(), round(os.getloadavg()[0], 2)
    told = report.told([run(key) for key in asked or WORKLOADS], load=load)
    print(report.table(told))
    print(f"{time.perf_counter() - begun:.0f} s; load before: {load}")
    if not asked:
        report.keep(told)


def allow_many_files():
    """Let suitcase-tiff keep as many files open as it wants: one a frame."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()

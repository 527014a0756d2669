"""Memory of `tiffin serve` after many small runs: ``python -m bench.service 10000``."""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tiffin.service import Service, read_service
from tiffin.sources import pack
from tiffin.testing import run_of

CONFIG = """
[service]
source = "{folder}/documents"
journal = "{folder}/journal.sqlite"
interval = 0.5
http = ""

[exports.tiff]
template = "{{start.scan_id:06d}}.tif"
directory = "{folder}/out"
"""

BATCH = 200
"""How many runs are given at once."""


def memory():
    """Return what the process takes [MB]."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(folder, runs):
    """Return the memory of a service after numbers of runs [MB]."""
    (folder / "documents").mkdir()
    config = folder / "tiffin.toml"
    config.write_text(CONFIG.format(folder=folder))
    service = Service(*read_service(config))
    service.start()
    found = {}
    for first in range(0, runs, BATCH):
        for n in range(first, first + BATCH):
            documents = run_of({"img": np.full((1, 8, 6), n % 65536, "u2")}, scan_id=n)
            path = folder / f"documents/{n}.msgpack"
            part = path.with_name(f".{n}")
            part.write_bytes(b"".join(pack(list(item)) for item in documents))
            part.rename(path)
        done = 0
        while done < first + BATCH:
            time.sleep(0.05)
            counts = service.journal.counts()
            done = counts.get("done", 0)
            if counts.get("failed"):
                raise SystemExit(service.journal.newest(1, "failed")[0].why)
        if done % 1000 == 0 or done == BATCH:
            found[done] = round(memory(), 1)
            sys.stderr.write(f"{done}: {found[done]} MB\n")
    service.stop()
    service.close()
    return found


def main():
    """Measure with the number of runs of the command line."""
    logging.getLogger("tiffin").setLevel(logging.WARNING)
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), runs)
    grown = found[max(found)] / found[min(1000, max(found))]
    sys.stdout.write(f"{json.dumps({'MB': found, 'grown': round(grown, 3)})}\n")
    sys.exit(grown > 1.2)


if __name__ == "__main__":
    main()

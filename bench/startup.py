"""How long tiffin takes to start, against the libraries that it can't do without.

python -m bench.startup [REPEATS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PAIRS = {
    "import tiffin": (["-c", "import tiffin"], ["-c", "import numpy"], 1.2),
    "tiffin --help": (["-m", "tiffin", "--help"], ["-c", "import typer, rich"], 1.3),
}
"""What is measured, what it is compared with, and the largest ratio allowed."""


def seconds(arguments):
    """Time one interpreter from start to end [s]."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main(repeats=15):
    for name, (ours, theirs, limit) in PAIRS.items():
        seconds(ours), seconds(theirs)  # compiles what is new
        ratios = [seconds(ours) / seconds(theirs) for _ in range(repeats)]
        print(f"{name}: {statistics.median(ratios):.2f} (at most {limit})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""The memory that a stack takes does not grow with its pixels."""

import subprocess
import sys

import pytest

EXPORT = """
import resource, sys
import numpy as np
from event_model import compose_run
from tiffin import ImageExporter

pages, each, stack, folder = int(sys.argv[1]), 10, sys.argv[2] or None, sys.argv[3]
run = compose_run(metadata={"scan_id": 7}, validate=False)
key = {"source": "S", "shape": [each, 128, 128], "dtype": "array", "dtype_numpy": "<u2"}
bundle = run.compose_descriptor(
    name="primary", data_keys={"img": key}, validate=False
)
name = "{start.scan_id}.tif" if stack else "{frame:06d}.tif"
with ImageExporter(
    name, directory=folder, stack=stack, memory=16 * 2**20
) as exporter:
    exporter("start", run.start_doc)
    exporter("descriptor", bundle.descriptor_doc)
    for n in range(pages // each):
        exporter("event", bundle.compose_event(
            data={"img": np.full((each, 128, 128), n, "u2")},
            timestamps={"img": 1.0}, validate=False,
        ))
    exporter("stop", run.compose_stop(validate=False))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(pages, stack, folder):
    """Return the most memory that a process took which exports so many pages."""
    ran = subprocess.run(
        [sys.executable, "-c", EXPORT, str(pages), stack, str(folder)],
        capture_output=True, text=True, check=True, timeout=280,
    )  # fmt: skip
    return int(ran.stdout)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_memory_of_a_stack_stays_constant(tmp_path):
    """20,000 pages, 655 MB of pixels: 5 kB a page more at most, for records and lines.

    A report keeps the record of each frame, with a stack or without.
    """
    few = peak(500, "run", tmp_path / "few")
    many = peak(20_000, "run", tmp_path / "many")

    assert many - few < 19_500 * 5_000

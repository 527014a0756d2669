"""What asks the server for exports, and looks at what they left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.documents import write_jsonl
from tiffin.testing import run_of

FRAMES = 40
"""More than a worker is given at once, so that two have some."""

NAME = "{start.sample}/{start.scan_id}_{event.seq_num:03d}.tif"
TOP = Path(__file__).parents[3]


def images(count=FRAMES, shape=(24, 32)):
    """Return noise, which no compression makes small."""
    return np.random.default_rng(5).integers(0, 2**16, (count, *shape)).astype("u2")


def write_documents(path, frames):
    """Write the documents of one run to a file."""
    return write_jsonl(run_of({"img": frames}, scan_id=7, sample="Ni"), path)


def tiffs(folder):
    """Return name → content of everything under a TIFF's name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*.tif"))
    }


def hidden(folder):
    """List what is neither a TIFF nor its sidecar nor a manifest."""
    return [
        path.name
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
        and path.suffix not in (".tif", ".metadata")
        and path.parent.name != ".tiffin"
    ]


class Server:
    """The process that runs exports and spoils their calls."""

    def __init__(self):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TOP,
            env=environment,
        )

    def __call__(self, source, folder, rules, **request):
        """Export while some calls fail; return the outcome and the calls seen."""
        settings = {
            "directory": str(folder), "on_error": "report", "workers": 2,
            **request.pop("settings", {}),
        }  # fmt: skip
        asked = {
            "source": str(source), "template": NAME, "settings": settings,
            "rules": rules, **request,
        }  # fmt: skip
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)

"""A reader and a handler of one's own: the worked example, installed as a package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from tests.documents import FRAMES, stream_run

PLUGIN = Path(__file__).parents[2] / "examples" / "reader_plugin"


def test_the_worked_example_reads_its_mimetype_and_its_spec(tmp_path):
    """Entry points tiffin.readers by mimetype, databroker.handlers by spec."""
    site = tmp_path / "site"
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--target", site, PLUGIN], check=True, timeout=100)
    FRAMES.tofile(tmp_path / "a.raw")
    parameters = {"shape": [6, 9], "dtype": "<u2"}
    uri = f"file://localhost{tmp_path}/a.raw"
    streamed = stream_run(uri, "application/x-raw-pixels", parameters, events=12)
    with (tmp_path / "streamed.jsonl").open("w") as file:
        file.writelines(json.dumps(pair) + "\n" for pair in streamed)
    with (tmp_path / "filled.jsonl").open("w") as file:
        filled = as_datums(streamed, tmp_path)
        file.writelines(json.dumps(pair) + "\n" for pair in filled)

    for kind in ("streamed", "filled"):
        told = subprocess.run(
            [sys.executable, "-m", "tiffin", "export", tmp_path / f"{kind}.jsonl",
             "-t", "{event.seq_num:02d}.tif", "-d", tmp_path / kind],
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        files = sorted((tmp_path / kind).glob("*.tif"))
        np.testing.assert_array_equal([tifffile.imread(file) for file in files], FRAMES)


def as_datums(streamed, folder):
    """Tell the same run in the documents of an older detector."""
    descriptor = streamed[1][1]
    resource = {
        "uid": "resource-1", "spec": "RAW_PIXELS", "root": str(folder),
        "resource_path": "a.raw", "resource_kwargs": {"shape": [6, 9], "dtype": "<u2"},
    }  # fmt: skip
    data_key = {**descriptor["data_keys"]["img"], "external": "FILESTORE:"}
    yield streamed[0]
    yield "descriptor", {**descriptor, "data_keys": {"img": data_key}}
    yield "resource", resource
    for n in range(12):
        datum_id = f"resource-1/{n}"
        # The event first: documents may come in any order.
        yield "event", {
            "uid": f"event-{n}", "descriptor": descriptor["uid"], "seq_num": n + 1,
            "time": 100.0 + n, "data": {"img": datum_id}, "timestamps": {"img": 100.0},
            "filled": {"img": False},
        }  # fmt: skip
        yield "datum", {
            "datum_id": datum_id, "resource": "resource-1", "datum_kwargs": {"index": n}
        }  # fmt: skip
    yield streamed[-1]

"""A run of thousands of frames, exported in a process of its own."""

import resource
import shutil
from pathlib import Path

import numpy as np

import tiffin
from tiffin.testing import run_of

FRAMES = 5_000
SHAPE = (256, 256)
BUDGET = 32 * 2**20
NAME = "{event.seq_num:04d}.tif"


class Made:
    """An image that is made when it is asked for."""

    shape = (1, *SHAPE)
    dtype = np.dtype("u2")
    ndim = 3

    def __init__(self, number):
        self._number = number

    def __getitem__(self, key):
        return np.full((1, *SHAPE), self._number, "u2")[key]


def told(how, folder):
    """Export, and tell how many were written and how much memory that took [bytes]."""
    documents = list(_documents(how, Path(folder)))
    before, descriptors = _memory(), _descriptors()
    out = Path(folder) / "out"
    if how in ("replay", "files"):
        report = tiffin.export(
            documents, NAME, directory=out, on_error="report", memory=BUDGET
        )
    else:
        with tiffin.ImageExporter(NAME, directory=out, memory=BUDGET) as exporter:
            for name, doc in documents:
                exporter(name, _with_an_image(doc) if name == "event" else doc)
        (report,) = exporter.reports.values()
    return {
        "written": len(report.written),
        "failed": [str(record.error) for record in report.failed[:3]],
        "grown": _memory() - before,
        "descriptors": _descriptors(),
        "descriptors before": descriptors,
    }


def _descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def _memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _with_an_image(doc):
    return {**doc, "data": {"img": np.full(SHAPE, doc["seq_num"], "u2")}}


def _documents(how, folder):
    """Return a run whose images are made late, or stand in a file each."""
    made = [Made(n) for n in range(FRAMES)]
    documents = run_of({"img": np.zeros((1, 1, *SHAPE), "u2")}, scan_id=7)
    (start, descriptor, (_, event), stop) = documents
    yield start
    yield descriptor if how != "files" else _external(descriptor)
    for n, image in enumerate(made, start=1):
        new = {**event, "seq_num": n, "uid": f"event-{n}", "data": {"img": image}}
        if how == "files":
            yield from _filed(new, folder)
        else:
            yield "event", new
    yield stop


def _external(descriptor):
    _, doc = descriptor
    key = {**doc["data_keys"]["img"], "external": "FILESTORE:", "shape": list(SHAPE)}
    return "descriptor", {**doc, "data_keys": {"img": key}}


def _filed(event, folder):
    """Put an image into a file of its own, and tell it by resource and datum."""
    n = event["seq_num"]
    (folder / "in").mkdir(exist_ok=True)
    path = folder / "in" / f"r{n}_0.npy"
    if n == 1:
        np.save(path, np.zeros(SHAPE, "u2"))
    else:
        shutil.copyfile(folder / "in" / "r1_0.npy", path)
    yield "resource", {
        "uid": f"resource-{n}", "spec": "NPY_SEQ", "root": str(folder / "in"),
        "resource_path": f"r{n}", "resource_kwargs": {}, "path_semantics": "posix",
        "run_start": "",
    }  # fmt: skip
    yield "datum", {
        "datum_id": f"resource-{n}/0", "resource": f"resource-{n}",
        "datum_kwargs": {"index": 0},
    }  # fmt: skip
    yield "event", {
        **event, "data": {"img": f"resource-{n}/0"}, "filled": {"img": False}
    }  # fmt: skip

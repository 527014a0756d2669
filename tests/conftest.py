"""Recorded runs, and the pixels that they must give."""

import base64
import gc
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import settings

# Hypothesis measures no time: a busy machine is no defect.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SAMPLES = Path(__file__).parent / "samples"


def pytest_collection_finish():
    """Exempt what is imported from garbage collection, which would take a second."""
    gc.freeze()


class Sample:
    """One recording of `tests/samples`."""

    def __init__(self, name):
        self.folder = SAMPLES / name

    def documents(self, arrays="numpy"):
        """Return the documents, in-line images as arrays or as nested lists."""
        lossless = self.folder / "docs.np.jsonl"
        path = lossless if arrays == "numpy" and lossless.exists() else None
        path = path or self.folder / "docs.jsonl"
        text = path.read_text().replace("{{ROOT}}", str(self.folder / "data"))
        lines = (json.loads(line, object_hook=_decoded) for line in text.splitlines())
        return [(line["name"], line["doc"]) for line in lines]

    def truth(self):
        """Return (run number, stream, field, seq_num) → array."""
        with np.load(self.folder / "truth.npz") as arrays:
            return {_key(name): arrays[name] for name in arrays}

    def truth_of_files(self):
        """Return (file, seq_num) → array, where seq_nums repeat over files."""
        with np.load(self.folder / "truth.npz") as arrays:
            keys = {name: name.split("|")[-1].split("@") for name in arrays}
            return {(file, int(n)): arrays[name] for name, (n, file) in keys.items()}


def _key(name):
    run, stream, field, seq_num = name.split("|")
    return int(run.removeprefix("run")), stream, field, seq_num


def _decoded(item):
    if "__ndarray__" in item:
        array = item["__ndarray__"]
        data = base64.b64decode(array["b64"])
        return np.frombuffer(data, array["dtype"]).reshape(array["shape"]).copy()
    return complex(*item["__complex__"]) if "__complex__" in item else item


@pytest.fixture
def sample():
    """Return a recording by its name."""
    return Sample


@pytest.fixture
def read():
    """Read a file back with tifffile, which did not write it."""

    def read(path):
        with tifffile.TiffFile(path) as tiff:
            assert len(tiff.pages) == 1
            return tiff.pages[0].asarray()

    return read


@pytest.fixture
def names_in():
    """List a folder's files, relative and sorted, hidden ones too, no manifests."""

    def names_in(folder):
        return sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and ".tiffin" not in path.parts
        )

    return names_in

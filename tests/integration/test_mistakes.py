"""Ordinary mistakes: what is typed, what is said, and the exit status.

The numbers are those of a survey of about 75 mistakes that people make in the shell.
"""

import os
import warnings

import numpy as np
import pytest

from tests.documents import write_jsonl
from tests.shell import tiffin
from tests.stores import LIBRARIES_WARN, store_in_tiled
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9) * 7
NAME = "{start.scan_id}_{event.seq_num}.tif"


def scan(scan_id, **metadata):
    data = {"img": IMAGES, "temperature": [300.5, 301.0, 301.5]}
    return run_of(data, scan_id=scan_id, plan_name="count", **metadata)


@pytest.fixture(scope="module")
def server(tiled_server):
    """A Tiled server with two scans, and a run without images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiled.client import from_uri

        client = from_uri(tiled_server.uri)
    store_in_tiled(client, scan(8802, sample_name="Ni"))
    store_in_tiled(client, scan(8803, sample_name="Au"))
    store_in_tiled(client, run_of({"x": [1.0, 2.0]}, scan_id=8804))
    yield tiled_server
    client.context.close()


@pytest.fixture(scope="module")
def places(server, tmp_path_factory):
    """What stands in curly brackets in what is typed."""
    folder = tmp_path_factory.mktemp("mistakes")
    documents = [*scan(2, sample="Ni"), *scan(3, sample="Au")]
    base, _, key = server.uri.partition("/api/v1")
    return {
        "FILE": str(write_jsonl(documents, folder / "runs.jsonl")),
        "SERVER": base,
        "KEY": key.partition("=")[2],
        "FOLDER": str(folder),
        "NAME": NAME,
    }


def say(typed, places, cwd):
    """Type a command; return what it says, and its status."""
    words = []
    for word in typed:
        for name, place in places.items():
            word = word.replace(name, place)
        words.append(word)
    told = tiffin(*words, cwd=cwd, env={"TILED_API_KEY": places["KEY"]})
    said = told.stdout + told.stderr
    assert "Traceback" not in said
    assert "PosixPath" not in said
    return said, told.returncode


MISTAKES = [
    (
        *("1", ["export", "FILE", "-t", "{scan_id}_{seq_num}.tif"]),
        *(["{scan_id}", "did you mean {start.scan_id}?"], 2),
    ),
    (
        *("1", ["template", "{start.scan_id}_{seq_num:03d}.tif"]),
        *(["{seq_num}", "did you mean {event.seq_num}?"], 2),
    ),
    (
        *("2", ["export", "FILE", "-t", "{temperature}.tif"]),
        *(["{temperature}", "did you mean {event.data.temperature}?"], 2),
    ),
    (
        *("2", ["names", "FILE", "-t", "{Temperature}.tif"]),
        *(["did you mean {event.data.temperature}?"], 2),
    ),
    (
        *("2", ["template", "{temperature}.tif"]),
        *(["{start.temperature} or {event.data.temperature}", "start, event, "], 2),
    ),
    ("2", ["export", "FILE", "-t", "{uid}.tif"], ["did you mean {start.uid}?"], 2),
    ("2", ["export", "FILE", "-t", "{sample}.tif"], ["mean {start.sample}?"], 2),
    ("2", ["export", "FILE", "-t", "{img}.tif"], ["did you mean {field}?"], 2),
    (
        *("2", ["export", "FILE", "-t", "{start.temperature}_{i}.tif"]),
        *(["a reading of the events is {event.data.temperature}"], 1),
    ),
    (
        *("2", ["export", "FILE", "-t", "{event.temperature}_{i}.tif"]),
        *(["did you mean {event.data.temperature}?"], 1),
    ),
    (
        *("3", ["export", "FILE", "-t", "{start.scan_id_step{event.seq_num}.tif"]),
        *(["'}' of a field is missing", "{start.scan_id}_step{event.seq_num}"], 2),
    ),
    (
        *("4", ["export", "FILE", "-t", "{start.scan_id}_{event.seq_num}", "-d", "o4"]),
        *(["have no extension", "write '{start.scan_id}_{event.seq_num}.tif'"], 0),
    ),
    (
        *("5", ["export", "FILE", "-t", "{start.scan_id}_{event.seq_num}.png"]),
        *(["ends in '.png'", "--format png"], 2),
    ),
    (
        *("5", ["export", "FILE", "-t", "{start.scan_id}_{event.seq_num}.h5"]),
        *(["ends in '.h5'", "write '{start.scan_id}_{event.seq_num}.tif'"], 2),
    ),
    (
        *("6", ["names", "FILE", "-t", "{start.scan_id}_{event.seq_num:3d}.tif"]),
        *(["makes names with blanks", "write '{event.seq_num:03d}'"], 0),
    ),
    (
        *("7", ["export", "FILE", "-t", r"C:\data\{start.scan_id}.tif"]),
        *([r"C:\data", "a path of Windows", "with '/'", "--directory"], 2),
    ),
    (
        *("8", ["export", "FILE", "-t", "NAME", "-d", r"C:\data"]),
        *(["--directory", "is a path of Windows", "with '/'"], 2),
    ),
]


@pytest.mark.parametrize(
    ("number", "typed", "says", "status"),
    MISTAKES,
    ids=[f"{number}: {' '.join(typed)}" for number, typed, *_ in MISTAKES],
)
@pytest.mark.skipif(os.name == "nt", reason="says what is wrong on other systems")
def test_a_mistake_is_answered(number, typed, says, status, places, tmp_path):
    """With what was got, and what to type instead."""
    said, code = say(typed, places, tmp_path)

    for each in says:
        assert each in said, (number, said)
    assert code == status, said

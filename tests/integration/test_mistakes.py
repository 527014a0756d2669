"""Ordinary mistakes: what is typed, what is said, and the exit status.

The numbers are those of a survey of about 75 mistakes that people make in the shell.
"""

import os
import shlex
from pathlib import Path
from shutil import copy, copytree, rmtree

import numpy as np
import pytest

from tests.documents import DATASET, HDF5, hdf5, stream_run, write_jsonl
from tests.helpers import as_another_user, let_others_in
from tests.integration.conftest import without_runs
from tests.shell import tiffin
from tests.stores import LIBRARIES_WARN, store_in_tiled
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9) * 7
NAME = "{start.scan_id}_{event.seq_num}.tif"


def scan(scan_id, **metadata):
    data = {"img": IMAGES, "temperature": [300.5, 301.0, 301.5]}
    return run_of(data, scan_id=scan_id, plan_name="count", **metadata)


def in_file(path, scan_id):
    """Return a run whose images are in an HDF5 file."""
    inside = {"dataset": DATASET, "chunk_shape": [1, 6, 9]}
    (name, start), *others = stream_run(hdf5(path), HDF5, inside, data=[1, 2, 3, 4])
    return [(name, start | {"scan_id": scan_id}), *others]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Tiled server with two scans, a run without images, and one without its file.

    It has no other runs: some answers tell of the newest.
    """
    folder = tmp_path_factory.mktemp("server")
    with without_runs(folder) as server:
        client = server.client
        store_in_tiled(client, scan(8802, sample_name="Ni"))
        run = store_in_tiled(client, scan(8803, sample_name="Au"))
        store_in_tiled(client, run_of({"x": [1.0, 2.0]}, scan_id=8804))
        gone = folder / "data" / "gone.h5"  # which the server may read
        store_in_tiled(client, in_file(gone, 8806))
        gone.unlink()
        yield server, run.metadata["start"]["uid"]


@pytest.fixture(scope="module")
def places(server, tmp_path_factory):
    """What stands in curly brackets in what is typed."""
    folder = tmp_path_factory.mktemp("mistakes")
    documents = [*scan(2, sample="Ni"), *scan(3, sample="Au")]
    (address, key, *_), uid = server
    # What the commands find in their working directory.
    source = write_jsonl(documents, folder / "runs.jsonl")
    tiffin("export", source, "-t", NAME, "-d", folder / "done")
    copy(folder / "done" / "2_1.tif", folder / "image.tif")
    (folder / "done" / "below").mkdir()
    (folder / "other.json").write_text('{"a": 1}')
    write_jsonl(run_of({"img": IMAGES / 2}, scan_id=4), folder / "halves.jsonl")
    write_jsonl(run_of({"img": IMAGES / 1}, scan_id=5), folder / "floats.jsonl")
    stacks = np.zeros((2, 3, 6, 9), "u2")
    write_jsonl(run_of({"img": stacks}, scan_id=6), folder / "stacks.jsonl")
    (folder / "unquoted.toml").write_text("template = {start.scan_id}.tif")
    (folder / "unended.toml").write_text('template = "{start.scan_id}.tif\n')
    return {
        "FILE": str(source),
        "SERVER": address.partition("/api/v1")[0],
        "KEY": key,
        "FOLDER": str(folder),
        "NAME": NAME,
        "UID": uid,
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


def mistakes():
    """Read the table of mistakes: number, words, what is said, status."""
    number, rows = "", []
    for line in (
        Path(__file__).with_name("mistakes.txt").read_text("utf-8").splitlines()
    ):
        status, dollar, typed = line.partition(" $ ")
        if line.startswith("# "):
            number = line[2:]
        elif dollar and status.isdigit():
            says = []
            rows.append(pytest.param(typed, says, int(status), id=f"{number}: {typed}"))
        elif line.startswith(("  ", "! ")):
            says.append(line.rstrip())
    return rows


@pytest.mark.parametrize(("typed", "says", "status"), mistakes())
@pytest.mark.skipif(os.name == "nt", reason="says what is wrong on other systems")
def test_a_mistake_is_answered(typed, says, status, places, tmp_path):
    """With what was got, and what to type instead."""
    copytree(places["FOLDER"], tmp_path, dirs_exist_ok=True)
    said, code = say(shlex.split(typed), places, tmp_path)

    for each in says:
        assert (each[2:] in said) is (each[0] == " "), said
    assert code == status, said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("what", ["run.jsonl", "."])
def test_a_source_that_may_not_be_read(tmp_path, what):
    """Said as for a detector's file, without a list of all that a source can be."""
    let_others_in(tmp_path)
    folder = tmp_path / "runs"
    folder.mkdir()
    source = write_jsonl(scan(7), folder / "run.jsonl").parent / what
    source.chmod(0)
    answer = tmp_path / "answer.txt"
    answer.touch()
    answer.chmod(0o666)

    def ask():
        told = tiffin("runs", source, cwd=tmp_path)
        return answer.write_text(told.stdout + told.stderr, "utf-8")

    assert as_another_user(ask, tmp_path)
    said = answer.read_text("utf-8")
    assert f"{source} may not be read (permission denied): ask its owner" in said
    assert "databroker" not in said
    assert "Errno" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("command", [["export", "-t", NAME, "-d", "out"], ["runs"]])
def test_an_image_file_that_may_not_be_read(tmp_path, command):
    """30: the file and the permission are named, and the field is there."""
    let_others_in(tmp_path)
    data = tmp_path / "data.h5"
    source = write_jsonl(in_file(data, 7), tmp_path / "run.jsonl")
    tiffin(command[0], source, *command[1:], cwd=tmp_path)
    rmtree(tmp_path / "out", ignore_errors=True)
    data.chmod(0)
    answer = tmp_path / "answer.txt"
    answer.touch()
    answer.chmod(0o666)
    tmp_path.chmod(0o777)

    def ask():
        told = tiffin(command[0], source, *command[1:], cwd=tmp_path)
        return answer.write_text(told.stdout + told.stderr, "utf-8")

    assert as_another_user(ask, tmp_path)
    said = answer.read_text("utf-8")
    if command == ["runs"]:
        assert "img" in said
    else:
        assert f"{data} may not be read (permission denied)" in said
    assert "no image field" not in said

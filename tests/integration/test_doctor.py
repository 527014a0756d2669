"""`tiffin doctor`: what works here, what does not, and what to do about it."""

import json
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.documents import uid_of, write_jsonl
from tests.integration.faults.mounts import in_memory, without_links
from tests.shell import tiffin
from tests.stores import LIBRARIES_WARN, store_in_tiled
from tiffin.doctor import check_folder
from tiffin.doctor.installation import EXTRAS, REQUIREMENT, check_installation
from tiffin.testing import heating_scan, run_of

pytestmark = LIBRARIES_WARN

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder without a configuration file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIFFIN_CONFIG", raising=False)
    write_jsonl(heating_scan((300, 400)), tmp_path / "scan.jsonl")
    return tmp_path


def told_of(findings):
    return {finding.text: finding for finding in findings}


def about(told, part):
    """The findings about one part, of ``--json``."""
    lines = map(json.loads, told.stdout.splitlines())
    return [line for line in lines if line["about"] == part]


def test_a_file_and_a_folder_that_work(folder):
    """Status 0; images of the newest runs, and what the folder allows."""
    told = tiffin("doctor", "scan.jsonl", "out")

    assert told.returncode == 0, told.stdout
    assert "pe1_image in primary (2 of (256, 256) uint16)" in told.stdout
    assert f"{folder / 'out'} would be made" in told.stdout
    assert "hard links work" in told.stdout
    assert re.search(
        r"the disk writes [\d.]+ [kMG]B/s: \d+ ms for an image", told.stdout
    )
    assert "problems: 0" in told.stderr
    assert [path.name for path in folder.iterdir()] == ["scan.jsonl"]


def test_machines_are_told_in_json(folder):
    """A line for each finding, all with the same keys; no other output."""
    told = tiffin("doctor", "scan.jsonl", ".", "--json")

    findings = [json.loads(line) for line in told.stdout.splitlines()]
    assert {*map(tuple, findings)} == {("about", "state", "text", "todo")}
    assert {finding["about"] for finding in findings} == {
        "installation", "source", "folder",
    }  # fmt: skip
    assert told.stderr == ""


def test_every_extra_is_explained():
    """What it is for, for each of them; those that lack something say how to get it."""
    with PROJECT.open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]

    said = check_installation()
    manual = (PROJECT.parent / "docs" / "install.md").read_text("utf-8")

    assert EXTRAS.keys() == extras.keys()
    assert {*re.findall(r"^\| `(\w+)` ", manual, re.MULTILINE)} == extras.keys()
    assert [finding.text.partition(":")[0] for finding in said[1:]] == [*EXTRAS]
    assert all(
        "pip install 'tiffin[" in each.todo for each in said if each.state != "ok"
    )


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("h5py>=3.12; extra == 'hdf5'", ("h5py", "3.12", "hdf5")),
        ('databroker[all]>=2.0.2; extra == "databroker"',
         ("databroker", "2.0.2", "databroker")),
        ("packaging; extra == 'tiled'", ("packaging", None, "tiled")),
        ("x>=1; python_version > '3' and extra == 'all'", ("x", "1", "all")),
        ("numpy>=2.2", None),
    ],
)  # fmt: skip
def test_requirements_are_read_as_packages_write_them(line, parts):
    """Name, version and extra; those of no extra are always there."""
    found = REQUIREMENT.match(line)

    assert (found and found.group("name", "least", "extra")) == parts


def test_a_server_that_answers(folder, tiled, tiled_server):
    """Its newest runs with their images; a run without images is a note."""
    data = ({"img": np.ones((2, 6, 8), "u2")}, {"x": [1, 2]})
    runs = [run_of(each, scan_id=n) for n, each in enumerate(data, 7)]
    for run in runs:
        store_in_tiled(tiled, run)
    named = [word for run in runs for word in ("--run", uid_of(run))]

    told = tiffin("doctor", tiled_server.uri, folder, *named, "--json")

    server, first, second = about(told, "source")
    assert told.returncode == 0, told.stdout
    assert "the Tiled server answers: 2 of its newest runs" in server["text"]
    assert "run 7" in first["text"]
    assert "has img in primary (2 of (6, 8) uint16)" in first["text"]
    assert second["state"] == "note"
    assert "has no images: primary" in second["text"]
    assert second["todo"] == "choose another run, with --run"


@pytest.mark.parametrize("source", ["http://127.0.0.1:9", "no.jsonl"])
def test_a_source_that_does_not_answer_is_a_problem(source):
    """Status 1, and what to do."""
    told = tiffin("doctor", source, ".", "--json")

    (problem,) = about(told, "source")
    assert told.returncode == 1
    assert problem["state"] == "problem"
    assert problem["todo"]


def test_a_folder_alone(folder):
    """The source may be left out; how to give one is said."""
    told = tiffin("doctor", folder)

    assert told.returncode == 0
    assert "no source is given" in told.stdout
    assert f"{folder} can be written" in told.stdout


def test_source_and_folders_are_those_of_the_configuration_file(folder):
    """Each folder of its exports is looked at; a file that can't work is a problem."""
    text = 'source = "scan.jsonl"\n[exports.a]\ndirectory = "a"\n'
    (folder / "tiffin.toml").write_text(text + '[exports.b]\ndirectory = "b"\n')
    told = tiffin("doctor", "--json")
    (folder / "tiffin.toml").write_text("existng = 1")
    wrong = tiffin("doctor", "--json")

    said = " ".join(finding["text"] for finding in about(told, "folder"))
    (mistake,) = about(wrong, "configuration")
    assert told.returncode == 0, told.stdout
    assert "its exports: a, b" in about(told, "configuration")[0]["text"]
    assert f"{folder / 'a'} would be made" in said
    assert f"{folder / 'b'} would be made" in said
    assert wrong.returncode == 1
    assert "did you mean 'existing'" in mistake["text"]


def test_a_file_is_no_folder(folder):
    """It is said at once."""
    (problem,) = check_folder(folder / "scan.jsonl")

    assert problem.state == "problem"
    assert "is a file, not a folder" in problem.text


def test_a_small_file_system_is_said(tmp_path):
    """Free space, and that files in memory do not last."""
    with in_memory(tmp_path / "small", "size=70m,nr_inodes=500") as small:
        said = told_of(check_folder(small))

    (room,) = (said[text] for text in said if "B are free" in text)
    (files,) = (said[text] for text in said if "more files can be made" in text)
    (memory,) = (said[text] for text in said if "in memory" in text)
    assert room.todo == "make room"
    assert "--stack" in files.todo
    assert memory.state == "note"


def test_a_full_file_system_is_a_problem(tmp_path):
    """It is said how much room there is, and nothing is left behind."""
    with in_memory(tmp_path / "full", "size=1m") as full:
        said = check_folder(full)
        left = list(full.iterdir())

    assert said[-1].state == "problem"
    assert "No space left on device" in said[-1].text
    assert left == []


def test_a_file_system_without_links(tmp_path):
    """One export at a time; names that differ in case only are the same."""
    with without_links(tmp_path / "fat") as fat:
        said = told_of(check_folder(fat))

    (links,) = (said[text] for text in said if "hard links" in text)
    assert links.state == "note"
    assert any("differ only in case" in text for text in said)


def test_a_read_only_folder_is_a_problem(tmp_path):
    """What the system says, and what to do."""
    with in_memory(tmp_path / "ro", "ro") as folder:
        said = check_folder(folder)

    assert said[-1].state == "problem"
    assert "read-only file system" in said[-1].text


@pytest.mark.parametrize(
    ("umask", "state", "says"),
    [(0o077, "note", "only you"), (0o027, "ok", "your group"), (0o022, "ok", "others")],
)
def test_who_can_read_new_files(tmp_path, umask, state, says):
    """By the umask."""
    before = os.umask(umask)
    try:
        said = told_of(check_folder(tmp_path))
    finally:
        os.umask(before)

    (finding,) = (said[text] for text in said if "can read them" in text)
    assert (finding.state, says in finding.text) == (state, True)

"""Folders that can't be used: a file in the way, dead links, long names, no rights."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.documents import write_jsonl
from tests.helpers import as_another_user, let_others_in
from tests.shell import tiffin
from tiffin.testing import run_of

IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9)
LONG = "x" * 300

OBSTACLES = {
    "/dev/null/out": "/dev/null is a file, not a folder",
    "file": "/file is a file, not a folder",
    "file/below": "/file is a file, not a folder",
    LONG: "has 300 bytes, and 255 are allowed",
    f"new/{LONG}": "has 300 bytes, and 255 are allowed",
    "circle": "/circle is a link that leads in a circle",
    "circle/below": "/circle is a link that leads in a circle",
}
COMMANDS = {
    "export": ["export", "run.jsonl", "-d", "FOLDER"],
    "export again": ["export", "run.jsonl", "-d", "FOLDER", "--existing", "resume"],
    "bulk": ["bulk", "run.jsonl", "-y", "-t", "{i}.tif", "-d", "FOLDER"],
    "verify": ["verify", "FOLDER"],
    "resume": ["resume", "FOLDER", "run.jsonl"],
    "report": ["report", "FOLDER"],
    "checksums": ["checksums", "FOLDER"],
    "doctor": ["doctor", "run.jsonl", "FOLDER"],
    "init": ["init", "FOLDER", "--yes"],
    "demo": ["demo", "FOLDER"],
    "runs": ["runs", "FOLDER/run.jsonl"],
}


@pytest.fixture
def place(tmp_path):
    """A folder with a file of documents, a file, and a link to itself."""
    write_jsonl(run_of({"img": IMAGES}, scan_id=7), tmp_path / "run.jsonl")
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path


def say(command, folder, place):
    words = [word.replace("FOLDER", folder) for word in COMMANDS[command]]
    told = tiffin(*words, cwd=place)
    return told.returncode, told.stdout + told.stderr


@pytest.mark.parametrize("folder", OBSTACLES, ids=lambda folder: folder[:20])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_stands_in_the_way_is_said(place, command, folder):
    """What it is, and where; never that tiffin has a defect."""
    status, said = say(command, folder, place)

    assert status in (1, 2)
    assert OBSTACLES[folder] in said
    assert "defect" not in said
    assert "Errno" not in said


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux has it")
@pytest.mark.parametrize("folder", ["/proc/out", "/proc/self/out", "/sys/out"])
@pytest.mark.parametrize(
    "command", ["export", "export again", "bulk", "doctor", "init", "demo"]
)
def test_folders_of_the_kernel_take_no_files(place, command, folder):
    """Access would not help, nor was a folder removed."""
    status, said = say(command, folder, place)

    assert status == 1
    assert f"/{folder.split('/')[1]} shows the state of the system" in said
    assert "was its folder removed" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["export", "doctor", "init", "demo"])
def test_a_link_to_nowhere_is_no_new_folder(place, command):
    """Where it leads is said."""
    (place / "dead").symlink_to("nowhere")

    status, said = say(command, "dead", place)

    assert status == 1
    assert "/dead is a link to nowhere, which does not exist" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize(
    ("command", "mode", "says"),
    [
        ("export", 0o755, "you may not write to {} (drwxr-xr-x, of root)"),
        ("export", 0o700, "you may not enter {} (drwx------, of root)"),
        ("doctor", 0o755, "you may not write to {} (drwxr-xr-x, of root)"),
        ("init", 0o755, "you may not write to {} (drwxr-xr-x, of root)"),
        ("demo", 0o755, "you may not write to {} (drwxr-xr-x, of root)"),
        ("verify", 0o700, "you may not enter {} (drwx------, of root)"),
        ("report", 0o700, "you may not enter {} (drwx------, of root)"),
        ("runs", 0o700, "you may not enter {} (drwx------, of root)"),
    ],
)
def test_permissions_that_are_missing(place, command, mode, says):
    """Whose folder it is, and what its owner allows."""
    let_others_in(place)
    closed = place / "closed"
    closed.mkdir(mode=mode)
    answer = place / "answer.txt"
    answer.touch()
    answer.chmod(0o666)

    def ask():
        status, said = say(command, "closed/out", place)
        return answer.write_text(said, "utf-8") and status == 1 + (command == "runs")

    assert as_another_user(ask, place)
    said = answer.read_text("utf-8")
    assert says.format(closed) in said
    assert "defect" not in said


def test_a_dry_run_warns_of_a_folder_that_can_not_be_made(place):
    """The names are printed all the same: perhaps they are for another machine."""
    told = tiffin("export", "run.jsonl", "-d", "file/below", "-n", cwd=place)

    assert told.returncode == 0
    assert told.stdout.count("\n") == 3
    assert "warning: they can't be written: " in told.stderr
    assert "/file is a file, not a folder" in told.stderr

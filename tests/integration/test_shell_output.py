"""What the shell prints: progress, the summary, lines of JSON."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.documents import write_jsonl
from tests.shell import on_a_terminal, tiffin
from tiffin.cli.progress_bar import ExportProgress, waits_for
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num:03d}.tif"
IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9)


@pytest.fixture
def source(tmp_path):
    return write_jsonl(run_of({"img": IMAGES}, scan_id=7), tmp_path / "run.jsonl")


def test_the_summary_says_where_how_many_how_much_how_long_and_what_next(
    source, tmp_path
):
    """Each command ends a line of at most 80 columns, and can be copied from there."""
    out = tmp_path / "the output"
    told = tiffin("export", source, "-t", NAME, "-d", out, cwd=tmp_path)

    summary, *following = told.stderr.splitlines()
    assert re.fullmatch(
        rf"3 written, 0 skipped, 0 failed in {re.escape(str(out))} "
        r"\(7_001.tif … 7_003.tif\); 324 B in \d+.\d s",
        summary,
    )
    assert following == [
        "see the images:   tiffin report 'the output'",
        "check the files:  tiffin verify 'the output'",
    ]
    for line in following:
        typed = shlex.split(line.partition("tiffin ")[2])
        assert tiffin(*typed, cwd=tmp_path).returncode == 0


def test_a_folder_elsewhere_is_named_in_full(source, tmp_path):
    """A folder whose name begins with a dash is no option."""
    elsewhere = tiffin("export", source, "-d", tmp_path / "out")
    dash = tiffin("export", source, "-d", "./-out", cwd=tmp_path)

    assert elsewhere.stderr.endswith(f"tiffin verify {tmp_path}/out\n")
    assert dash.stderr.endswith("tiffin verify ./-out\n")


def test_files_in_several_folders_are_counted(source, tmp_path):
    """The folder that is named is the one of the export."""
    template = "{start.scan_id}/{event.seq_num}/a.tif"

    told = tiffin("export", source, "-t", template, "-d", tmp_path / "out")

    assert f"in {tmp_path / 'out'} (3 folders)" in told.stderr


def test_after_a_failure_the_next_command_is_a_resume(source, tmp_path):
    """Some frames are there, others failed."""
    (tmp_path / "7_002.tif").write_text("in the way")

    told = tiffin("export", source, "-t", NAME, "-d", tmp_path)

    assert told.returncode == 1
    following = told.stderr.splitlines()[-3]
    assert following == "retry the rest:   the same command with --existing resume"


def test_a_resume_has_the_same_summary(source, tmp_path):
    """As an export has: where, how much, and what to type next."""
    tiffin("export", source, "-t", NAME, "-d", "out", cwd=tmp_path)
    (tmp_path / "out" / "7_002.tif").unlink()

    told = tiffin("resume", "out", source, cwd=tmp_path)

    assert f"in {tmp_path / 'out'} (7_002.tif); 108 B in" in told.stderr
    assert told.stderr.endswith("check the files:  tiffin verify out\n")


def lines(told):
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_lines_of_json(source, tmp_path):
    """Every command that prints has them; standard output has nothing else."""
    out = tmp_path / "out"
    names = lines(tiffin("names", source, "-t", NAME, "-d", out, "--json"))
    written = lines(tiffin("export", source, "-t", NAME, "-d", out, "--json"))
    (out / "7_002.tif").unlink()
    found = lines(tiffin("verify", out, "--json"))
    template = lines(tiffin("template", NAME, "--example", source, "--json"))
    made = lines(tiffin("init", tmp_path / "new", "--yes", "--json"))
    (out / "7_003.tif").unlink()
    sums = lines(tiffin("checksums", out, "--json"))

    assert [each["status"] for each in names] == ["planned"] * 3
    assert [each["path"] for each in names] == [each["path"] for each in written]
    assert [each["status"] for each in written] == ["written"] * 3
    assert written[0]["shape"] == [6, 9]
    states = {Path(each["path"]).name: each["state"] for each in found}
    assert states == {
        "7_001.tif": "intact",
        "7_002.tif": "missing",
        "7_003.tif": "intact",
    }
    assert template[0]["example"] == "7_001.tif"
    assert template[0]["parts"][0]["part"] == "{start.scan_id}"
    assert Path(made[0]["path"]).exists()
    assert [each["path"] for each in sums] == ["7_001.tif"]


def test_a_terminal_shows_progress(source, tmp_path):
    """Frames, MB/s and the time left; nothing of it stays."""
    shown = on_a_terminal("export", source, "-d", tmp_path)

    assert "exporting" in shown
    assert "324 B in" in shown


def test_progress_counts_bytes(source, tmp_path):
    """Of the pixels that are written."""
    import tiffin as library

    state = ExportProgress()
    library.export(str(source), NAME, directory=tmp_path / "out", progress=state)

    assert (state.done, state.known, state.nbytes) == (3, 3, 3 * 54 * 2)


def test_what_an_export_waits_for_is_seen(tmp_path):
    """A thread that is in code that writes waits for the disk."""
    begun, over = threading.Event(), threading.Event()

    assert waits_for() == ""
    inside = {"begun": begun, "over": over, "__name__": "tiffin.writers.new_file"}
    exec("def writing():\n    begun.set()\n    over.wait(30)", inside)  # noqa: S102
    thread = threading.Thread(target=inside["writing"])
    thread.start()
    begun.wait(30)
    try:
        assert waits_for() == "the disk"
    finally:
        over.set()
        thread.join()


FORMS = {
    "export": ["export", "run.jsonl", "-d", "new"],
    "names": ["names", "run.jsonl"],
    "runs": ["runs", "run.jsonl", "--run", "-1"],
    "template": ["template", NAME, "--example", "run.jsonl"],
    "show": ["show", "out/7_001.tif", "out/7_002.tif"],
    "report": ["report", "out"],
    "verify": ["verify", "out", "--against", "run.jsonl"],
    "resume": ["resume", "out", "run.jsonl"],
    "checksums": ["checksums", "out"],
    "init": ["init", "new", "--yes"],
    "doctor": ["doctor", "run.jsonl", "out"],
    "demo": ["demo", "new"],
    "bulk": ["bulk", "run.jsonl", "--yes", "-t", "{run}.tif", "--stack", "run"],
}


@pytest.mark.parametrize("command", FORMS)
def test_standard_output_has_only_lines_of_json(source, tmp_path, command):
    """What else is said is on standard error, without colours and boxes."""
    tiffin("export", source, "-t", NAME, "-d", tmp_path / "out")

    told = tiffin(*FORMS[command], "--json", cwd=tmp_path, env={"NO_COLOR": ""})

    assert told.returncode == 0, told.stderr
    assert lines(told)
    assert "\x1b" not in told.stderr + told.stdout
    assert not re.search("[\u2500-\u257f]", told.stderr)


@pytest.mark.parametrize("command", FORMS)
def test_what_fails_prints_no_half_json(tmp_path, command):
    """Without a source or a folder, the reason is on standard error."""
    words = [word.replace("out", "/dev/null/x") for word in FORMS[command]]
    words = [word.replace("new", "/dev/null/x") for word in words]
    told = tiffin(*words, "--json", cwd=tmp_path)

    assert told.returncode in (1, 2)
    lines(told)


OTHER_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def in_another_locale(*words, cwd):
    """Run a command in a process whose output is ASCII."""
    command = [sys.executable, "-m", "tiffin", *map(str, words)]
    environment = os.environ | OTHER_LOCALE
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, check=False
    )


def test_output_that_is_not_utf8(tmp_path):
    """What it lacks is escaped; JSON stays JSON; what can't be named is said."""
    run = run_of({"img": IMAGES}, scan_id=7, sample="Å")
    source = write_jsonl(run, tmp_path / "run.jsonl")
    tiffin(
        "export", source, "-t", "{start.sample}_{i}{event.seq_num}.tif", cwd=tmp_path
    )

    text = in_another_locale("runs", source, cwd=tmp_path)
    data = in_another_locale("runs", source, "--json", cwd=tmp_path)
    shown = in_another_locale("verify", ".", cwd=tmp_path)

    assert rb"\xc5" in text.stdout
    assert json.loads(data.stdout)["sample"] == "Å"
    assert b"set PYTHONUTF8=1" in shown.stderr
    assert b"defect" not in text.stderr + data.stderr + shown.stderr


@pytest.mark.parametrize("command", ["names", "checksums"])
def test_a_reader_that_ends_early_is_no_error(source, tmp_path, command):
    """As with `tiffin names … | head -1`."""
    images = np.zeros((3000, 2, 2), "u1")
    source = write_jsonl(run_of({"img": images}, scan_id=7), tmp_path / "many.jsonl")
    tiffin("export", source, "-t", NAME, "-d", tmp_path / "out", "--checksum", "sha256")
    argument = {"names": source, "checksums": tmp_path / "out"}[command]
    words = [sys.executable, "-m", "tiffin", command, str(argument)]

    with subprocess.Popen(words, stdout=-1, stderr=-1, cwd=tmp_path) as told:
        assert told.stdout.readline()
        told.stdout.close()
        said = told.stderr.read()

    assert b"Traceback" not in said
    assert b"rror" not in said

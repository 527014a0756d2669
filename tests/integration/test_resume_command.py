"""``tiffin resume``: the settings come from the manifest."""

import json

import numpy as np
import pytest

from tests.shell import tiffin
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num:03d}.tif"


@pytest.fixture
def exported(tmp_path):
    """A file with two runs, the first of which was exported with some settings."""
    lines = []
    for number in (7, 8):
        run = run_of({"img": np.full((3, 4, 6), number, "u2")}, scan_id=number)
        lines += [json.dumps(item, default=np.ndarray.tolist) for item in run]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines))
    options = ("--run", "7", "--compression", "zlib", "-d", "out")
    assert tiffin("export", "runs.jsonl", "-t", NAME, *options, cwd=tmp_path).stderr
    return tmp_path


def test_what_is_missing_is_written_again(exported):
    """With the settings of the export, and nothing twice."""
    lost = exported / "out/7_002.tif"
    before = lost.read_bytes()
    lost.unlink()
    done = tiffin("resume", "out", "runs.jsonl", cwd=exported)
    assert done.returncode == 0, done.stderr
    assert "1 written, 2 skipped, 0 failed" in done.stderr + done.stdout
    assert lost.read_bytes() == before
    assert not (exported / "out/8_001.tif").exists()


def test_other_runs_can_be_named(exported):
    """Those that the interrupted export had not begun."""
    done = tiffin("resume", "out", "runs.jsonl", "--run", "8", cwd=exported)
    assert done.returncode == 0, done.stderr
    assert (exported / "out/8_003.tif").exists()


def test_corrections_are_not_in_a_manifest(exported):
    """The message says what to do instead."""
    options = ("--bin", "2", "-d", "binned", "--run", "7")
    tiffin("export", "runs.jsonl", "-t", NAME, *options, cwd=exported)
    done = tiffin("resume", "binned", "runs.jsonl", cwd=exported)
    assert done.returncode != 0
    assert "--existing resume" in done.stderr


def test_a_folder_without_an_export(exported):
    """It is no empty success."""
    (exported / "empty").mkdir()
    done = tiffin("resume", "empty", "runs.jsonl", cwd=exported)
    assert done.returncode != 0
    assert "no manifest" in done.stderr


def test_what_is_beside_the_images_is_written_again(exported):
    """Sidecars and the page, complete: also in a folder with an export without them."""
    beside = ("--sidecar", "frames.csv", "--sidecar", "run.json", "--report")
    options = ("--run", "8", "--compression", "zlib", "-d", "out", *beside)
    done = tiffin("export", "runs.jsonl", "-t", NAME, *options, cwd=exported)
    assert done.returncode == 0, done.stderr
    out = exported / "out"
    lost = [out / "8_001.tif", *out.glob("8_frames*.csv"), out / "8_run.json"]
    before = [path.read_bytes() for path in lost]
    (page,) = out.glob("report_8_*.html")
    for path in (*lost, page):
        path.unlink()

    done = tiffin("resume", "out", "runs.jsonl", "--run", "8", cwd=exported)
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in lost] == before
    assert page.exists()
    assert tiffin("verify", "out", cwd=exported).returncode == 0

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


def test_two_exports_in_one_folder(exported):
    """Neither resume nor verify takes the files of one of them for all."""
    options = ("--run", "7", "--compression", "zlib", "-d", "out")
    done = tiffin("export", "runs.jsonl", "-t", f"b_{NAME}", *options, cwd=exported)
    assert done.returncode == 0, done.stderr
    (exported / "out/7_002.tif").unlink()
    for command in (["resume", "out"], ["verify", "out", "--against"]):
        done = tiffin(*command, "runs.jsonl", cwd=exported)
        assert done.returncode == 1
        assert "exports with different settings" in done.stderr
        assert "--existing resume" in done.stderr


def test_files_that_were_replaced_are_of_the_last_export(exported):
    """Its settings count alone, if it has replaced all files of an earlier one."""
    options = ("--run", "7", "-d", "out", "--existing", "replace")
    done = tiffin("export", "runs.jsonl", "-t", NAME, *options, cwd=exported)
    assert done.returncode == 0, done.stderr
    lost = exported / "out/7_002.tif"
    before = lost.read_bytes()
    lost.unlink()
    done = tiffin("resume", "out", "runs.jsonl", cwd=exported)
    assert done.returncode == 0, done.stderr
    assert lost.read_bytes() == before


def test_frames_that_an_earlier_export_left_out(exported):
    """A folder that was completed by another choice of frames is one export."""
    options = ("-t", NAME, "--run", "8", "--compression", "zlib", "-d", "eight")
    tiffin("export", "runs.jsonl", *options, "--frames", "::2", cwd=exported)
    resumed = ("--existing", "resume")
    tiffin("export", "runs.jsonl", *options, *resumed, cwd=exported)
    (exported / "eight/8_001.tif").unlink()
    done = tiffin("resume", "eight", "runs.jsonl", cwd=exported)
    assert done.returncode == 0, done.stderr
    assert "1 written, 2 skipped" in done.stderr


def test_a_manifest_that_can_not_be_read(exported):
    """The message says which, and why."""
    (manifest,) = (exported / "out/.tiffin").glob("*.jsonl")
    manifest.unlink()
    manifest.mkdir()
    done = tiffin("resume", "out", "runs.jsonl", cwd=exported)
    assert done.returncode == 1
    assert f"{manifest.name} can't be read" in done.stderr


def test_links_are_named_as_options(exported):
    """`verify` says what to type, as the shell does, not Python's keyword."""
    folders = ("-t", f"{{start.scan_id}}/{NAME}", "-d", "linked", "--run", "7")
    (exported / "real").mkdir()
    (exported / "linked").mkdir()
    (exported / "linked/7").symlink_to("../real")
    follow = ("--follow-links",)
    tiffin("export", "runs.jsonl", *folders, *follow, cwd=exported)
    told = tiffin("verify", "linked", cwd=exported)
    assert "--follow-links" in told.stdout
    assert "follow_links=" not in told.stdout

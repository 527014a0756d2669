"""An export that is killed, and gone on with: no frame lost, no file half there."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import write_jsonl
from tiffin.testing import run_of

KILLS = 200
FRAMES = 120
NAME = "{start.sample}/{start.scan_id}_{event.seq_num:04d}.tif"

HOW = [
    ({}, KILLS),
    ({"profile": "gsas2"}, KILLS // 4),
    ({"stack": 12}, KILLS // 4),
    ({"stack": "run", "profile": "ome"}, KILLS // 4),
]
"""Settings, and how many kills."""

EXPORT = """
import json, sys, tiffin
folder, source, name, settings = sys.argv[1:]
print("begins", flush=True)
report = tiffin.export(
    source, name, directory=folder, existing="resume", workers=2,
    **json.loads(settings),
)
print(report, flush=True)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a file of the documents of one run."""
    images = np.random.default_rng(7).integers(0, 4000, (FRAMES, 48, 64)).astype("u2")
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    return write_jsonl(run_of({"img": images}, scan_id=7, sample="Ni"), path)


def contents(folder):
    """Return what each file holds; of a manifest its lines, each once.

    Of a stack of which the kill has left some lines, all are written again.
    """
    return {
        path.relative_to(folder).as_posix(): (
            {*path.read_bytes().splitlines()}
            if path.suffix == ".jsonl"
            else path.read_bytes()
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def killed_after(folder, source, settings, seconds):
    """Run an export in a process, and kill it so long after it began [s]."""
    command = [sys.executable, "-c", EXPORT, folder, source, NAME, json.dumps(settings)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begins\n"
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    told = child.communicate(timeout=60)[0]
    return child.returncode, told


def how_long(folder, source, settings):
    begun = time.perf_counter()
    tiffin.export(source, NAME, directory=folder, **settings)
    return time.perf_counter() - begun


def check_nothing_is_half_there(folder, whole):
    """Every file that has its name is the one of an undisturbed export."""
    for name, content in contents(folder).items():
        if name.endswith((".tif", ".tiff", ".metadata")):
            assert content == whole[name], f"{name} is not whole"
        if name.endswith((".tif", ".tiff")):
            assert tifffile.imread(folder / name).shape[-2:] == (48, 64)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("settings", "wanted"), HOW, ids=str)
def test_killed_at_any_moment_and_gone_on_with(source, tmp_path, settings, wanted):
    """SIGKILL at 200 random moments: no partial file, no frame lost, one result (S32).

    Each round begins with an empty folder or goes on with what the last kill left.
    The profile gsas2 has a sidecar beside each image; a stack is there whole or not.
    """
    undisturbed = tmp_path / "undisturbed"
    takes = how_long(undisturbed, source, settings)
    whole = contents(undisturbed)
    chosen = random.Random(20261124)
    kills = rounds = 0
    while kills < wanted:
        rounds += 1
        folder = tmp_path / f"round{rounds}"
        for _ in range(chosen.choice([1, 1, 2, 4])):
            code, _ = killed_after(
                folder, source, settings, chosen.uniform(0, 1.3 * takes)
            )
            kills += code == -signal.SIGKILL
            check_nothing_is_half_there(folder, whole)

        report = tiffin.export(
            source, NAME, directory=folder, existing="resume", **settings
        )

        assert report.ok, report
        assert len(report.records) == FRAMES
        assert contents(folder) == whole
        assert tiffin.verify(folder).ok
    assert kills >= wanted


@pytest.mark.parametrize(
    "settings",
    [
        {"profile": "gsas2"},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"stack": 12}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_killed_in_the_midst_and_gone_on_with(source, tmp_path, settings):
    """The same, once: killed while some files are written and others are not."""
    tiffin.export(source, NAME, directory=tmp_path / "undisturbed", **settings)
    whole = contents(tmp_path / "undisturbed")
    folder = tmp_path / "out"
    command = [sys.executable, "-c", EXPORT, folder, source, NAME, json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and child.poll() is None:
            if len(list(folder.glob("Ni/*.tif"))) >= 5:
                child.send_signal(signal.SIGKILL)
                break
            time.sleep(0.0005)
        child.wait(60)
    check_nothing_is_half_there(folder, whole)

    report = tiffin.export(
        source, NAME, directory=folder, existing="resume", **settings
    )

    assert report.ok
    assert contents(folder) == whole

"""The benchmarks run, so that they don't rot; no time is looked at."""

import importlib
import itertools
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tiffin
from tiffin.testing import run_of

ROOT = Path(__file__).parents[2]
NAME = "{start.scan_id}_{frame:04d}.tif"
SERVER = pytest.mark.slow  # it starts a Tiled server of its own


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def bench(module):
    return importlib.import_module(f"bench.{module}")


def a_workload(ticks, **changes):
    """Make a workload whose contenders take as long as they say."""
    measure = bench("measure")

    def bare(folder):
        return {"seconds": next(ticks)}

    settings = {
        "key": "X",
        "title": "two frames",
        "frames": 2,
        "contenders": {"bare": bare, "tiffin": lambda folder: {"seconds": 2.0}},
        "targets": [measure.Ratio(over="bare", must=0.4)],
        "check": lambda name, folder: None,
        "repetitions": 3,
        "alone": False,  # the machine of a test is anybody's
    }
    return measure.Workload(**{**settings, **changes})


@pytest.mark.parametrize(
    "key",
    [
        "A",
        "B",
        "C",
        "D1",
        "D2",
        "D3",
        "D4",
        "E",
        "N",
        "S1",
        "S2",
        pytest.param("F", marks=SERVER),
    ],
)
def test_each_workload_runs_and_its_files_are_right(key):
    """Every contender of a workload writes files that pass the workload's check."""
    bench("run").try_once(key)


@pytest.mark.slow
def test_a_disturbed_repetition_is_discarded_and_made_again():
    """A repetition whose bare write is off its median does not count."""
    # A bare write unmeasured, then two a repetition.
    ticks = iter([9.0, 1.0, 1.0, 1.0, 7.0, 1.0, 1.0, 1.0, 1.0])

    told = bench("measure").measure(a_workload(ticks), lambda line: None).told()

    assert (told["repetitions"], told["discarded"]) == (3, 1)
    assert told["targets"][0]["value"] == 0.5


@pytest.mark.slow
def test_a_peer_that_is_not_installed_is_left_out_and_named():
    """Its target is dropped, with a note."""
    measure = bench("measure")
    targets = [measure.Ratio(over="suitcase-tiff", must=8)]
    workload = a_workload(iter([1.0] * 9), targets=targets)

    told = measure.measure(workload, lambda line: None).told()

    assert told["targets"] == []
    assert told["notes"] == ["suitcase-tiff is not installed"]


def test_wrong_files_stop_a_benchmark(tmp_path):
    """A contender that writes too few files, or other pixels, is not timed."""
    peers = bench("peers")
    images = peers.images_like(bench("compressed").counts((8, 8), 2), 2)
    peers.imwrite(images)(tmp_path)

    peers.check(images)("imwrite", tmp_path)
    with pytest.raises(AssertionError, match="2 of 3 files"):
        peers.check([*images, images[0]])("imwrite", tmp_path)
    with pytest.raises(AssertionError):
        peers.check(images[::-1])("imwrite", tmp_path)


@pytest.mark.slow
def test_figures_become_a_table_a_plot_and_a_page(tmp_path, monkeypatch):
    """Results become text, JSON, a plot and a page of the manual."""
    measure, report = bench("measure"), bench("report")
    targets = [
        measure.Ratio(over="bare", must=0.4),
        measure.Limit(figure="p99", must=1),
    ]
    contenders = {
        "bare": lambda folder: {"seconds": 1.0},
        "tiffin": lambda folder: {
            "seconds": 2.0,
            "median": 1.0,
            "p99": 2.0,
            "longest": 3,
        },
    }
    workload = a_workload(iter(()), targets=targets, contenders=contenders)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "JSON", tmp_path / "bench.json")
    monkeypatch.setattr(report, "PLOT", tmp_path / "made" / "bench.svg")

    told = report.told([measure.measure(workload, lambda line: None).told()], load=0)
    report.keep(told)

    assert told == json.loads((tmp_path / "bench.json").read_text())
    assert "1 of 2 targets met" in report.table(told)
    assert "old" not in page.read_text()
    assert "| X | two frames | bare | 0.50 | ≥ 0.4 | met |" in page.read_text()
    assert page.read_text().endswith("after\n")
    assert (tmp_path / "made" / "bench.svg").read_text().count("<svg")


def calls_of_an_export(frames, folder, **settings):
    """Count the calls of Python functions, in all threads."""
    run = run_of({"img": np.zeros((frames, 6, 9), "u2")}, scan_id=1)
    calls = itertools.count()

    def count(frame, event, argument):
        if event == "call":
            next(calls)

    before = sys.getprofile()
    threading.setprofile(count)
    sys.setprofile(count)
    try:
        report = tiffin.export(run, NAME, directory=folder, **settings)
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    assert len(report.written) == frames
    return next(calls)


@pytest.mark.parametrize("settings", [{}, {"stack": "run"}], ids=str)
def test_a_small_image_takes_few_calls(tmp_path, settings):
    """What is added for each image shows here, on any machine, before it is slow."""
    few, many = (
        calls_of_an_export(frames, tmp_path / str(frames), **settings)
        for frames in (100, 300)
    )

    assert (many - few) / 200 < 200

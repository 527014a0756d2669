"""Frames that are chosen by number, and numbers that begin at 1."""

import json

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import SynSignal
from typer.testing import CliRunner

import tiffin
from tests.documents import write_jsonl
from tests.helpers import export_live
from tiffin import ImageExporter
from tiffin.cli import app
from tiffin.corrections import Average
from tiffin.errors import SettingsError
from tiffin.testing import run_of
from tiffin.verify import compare

NAME = "{stream}_{field}_{frame}_{i}.tif"


def images(events, each=1):
    shape = (events, each, 3, 4) if each > 1 else (events, 3, 4)
    return np.arange(np.prod(shape), dtype="u4").reshape(shape)


def numbers(report):
    return [record.number for record in report.records if record.path]


def export(run, tmp_path, template="{frame}.tif", **settings):
    return tiffin.export(run, template, directory=tmp_path, **settings)


def live(run, tmp_path, template="{frame}.tif", **settings):
    return export_live(run, template, tmp_path, **settings)


CHOICES = {
    "::10": range(0, 25, 10),
    "3:7": range(3, 7),
    "20:": range(20, 25),
    ":2": range(2),
    "1,4": [1, 4],
    "5": [5],
}


@pytest.mark.parametrize("how", [export, live])
@pytest.mark.parametrize("each", [1, 5])
@pytest.mark.parametrize("frames", CHOICES)
def test_chosen(tmp_path, how, each, frames):
    """Frames are chosen by their running number, also within events of several
    images.
    """
    report = how(run_of({"img": images(25 // each, each)}), tmp_path, frames=frames)

    chosen = [*CHOICES[frames]]
    assert numbers(report) == chosen
    assert sorted(p.name for p in tmp_path.glob("*.tif")) == sorted(
        f"{number}.tif" for number in chosen
    )
    assert report.ok
    assert len(report.written) == len(report.records)


@pytest.mark.parametrize(
    "frames",
    [slice(None, None, 3), range(0, 100, 3), [0, 3, 6, 9], (9, 3, 0, 6), "0, 3,6,9"],
)
def test_ways_to_say_it(tmp_path, frames):
    """A slice, a range, numbers and text choose the same frames."""
    report = export(run_of({"img": images(10)}), tmp_path, frames=frames)

    assert numbers(report) == [0, 3, 6, 9]


@pytest.mark.parametrize(
    "frames",
    [
        *("-1", "-5:", ":-1", "::-1", "::0", "a", "", "1:2:3:4", "0x1:"),
        *([-1], [0.5], slice(-3, None), True, [True], 1.0, {}.get),
    ],
)
def test_refused(frames):
    """A wrong choice is refused by the constructor; for a negative number it says
    why.
    """
    with pytest.raises(SettingsError, match="count from 0"):
        ImageExporter("{frame}.tif", frames=frames)


@pytest.mark.parametrize("first", [-1, 1.0, "1", True, None])
def test_first_refused(first):
    """`first` must be a whole number from 0."""
    with pytest.raises(SettingsError, match="first must be"):
        ImageExporter("{frame}.tif", first=first)


class Counting:
    """An array that tells which of its images were read."""

    def __init__(self, array, read):
        self._array, self._read = array, read
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        image = self._array[key]
        self._read.append(int(image.flat[0]))
        return image

    def __array__(self, *_, **__):
        self._read.append("all")
        return self._array


def test_others_are_not_read(tmp_path):
    """The pixels of frames that are not chosen are never read."""
    read, lists = [], images(3, 4)
    run = [
        (n, {**d, "data": {"img": Counting(d["data"]["img"], read)}})
        if n == "event"
        else (n, d)
        for n, d in run_of({"img": lists})
    ]

    export(run, tmp_path, frames="5:7")

    assert read == [int(image.flat[0]) for image in lists.reshape(-1, 3, 4)[5:7]]


@pytest.mark.parametrize("how", [export, live])
def test_none_chosen(tmp_path, how, caplog):
    """A run with no chosen frame is one skipped record with the reason."""
    report = how(run_of({"img": images(3)}), tmp_path, frames="100:200")

    (record,) = report.skipped
    assert "none of the 3 frames of the run" in str(record.error)
    assert "none of the 3 frames of the run" in caplog.text
    assert len(report.records) == 1


def test_each_field(tmp_path):
    """Frames are numbered for each stream and field separately."""
    run = run_of({"one": images(4), "two": images(4, 2)})

    report = export(run, tmp_path, "{field}_{frame}.tif", frames="1:3")

    assert sorted(r.path.name for r in report.written) == [
        "one_1.tif",
        "one_2.tif",
        "two_1.tif",
        "two_2.tif",
    ]


def test_joined(tmp_path):
    """Of joined frames, those that result from joining are chosen."""
    run = run_of({"img": images(12)})

    report = export(run, tmp_path, corrections=[Average(3)], frames="1:3")

    assert numbers(report) == [1, 2]


def test_dry_run_and_resume(tmp_path):
    """A dry run names what is chosen; a resume may choose more, and writes the rest."""
    run = run_of({"img": images(10)})

    dry = export(run, tmp_path, frames="::5", dry_run=True)
    first = export(run, tmp_path, frames="::5")
    second = export(run, tmp_path, existing="resume")

    assert [r.path for r in dry.planned] == [r.path for r in first.written]
    assert (len(second.written), len(second.skipped)) == (8, 2)


@pytest.mark.parametrize("how", [export, live])
def test_first(tmp_path, how):
    """Names count from `first`; records and the manifest still count from 0."""
    run = run_of({"img": images(2, 3)})

    report = how(run, tmp_path, "{frame}_{i}_{i0}.tif", first=1)

    names = [record.path.name for record in report.written]
    assert names == [f"{n + 1}_{n % 3 + 1}_{n % 3 + 1}.tif" for n in range(6)]
    assert numbers(report) == [*range(6)]
    assert [record.i for record in report.written] == [0, 1, 2] * 2


def test_first_with_more_images_than_announced(tmp_path):
    """Images beyond the declared number are numbered and chosen like the others."""
    run = [
        (n, {**d, "data_keys": {"img": {**d["data_keys"]["img"], "shape": [1, 3, 4]}}})
        if n == "descriptor"
        else (n, d)
        for n, d in run_of({"img": images(1, 4)})
    ]

    report = export(run, tmp_path, first=1, frames="1:3")

    assert [record.path.name for record in report.written] == ["2.tif", "3.tif"]


def test_resume_compares_first(tmp_path):
    """A resume with another `first` is refused, because names would mix."""
    run = run_of({"img": images(2)})
    export(run, tmp_path, first=1)

    report = export(run, tmp_path, existing="resume", on_error="report")

    assert "first was 1" in str(report.failed[0].error)


def test_verified_against_the_run(tmp_path):
    """`verify --against` applies the choice and the numbering of the export."""
    run = run_of({"img": images(10)})
    export(run, tmp_path, frames="::4", first=1)

    report = compare(tmp_path, run)

    assert (len(report.records), len(report.failed)) == (3, 0)


def test_from_the_shell(tmp_path, monkeypatch):
    """Shell options and configuration file choose and number frames alike."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(run_of({"img": images(10)}), tmp_path / "run.jsonl")
    (tmp_path / "t.toml").write_text('frames = "2:4"\nfirst = 1\n')
    shell = CliRunner()
    common = ["run.jsonl", "-t", "{frame}.tif", "-d"]

    typed = ["--frames", "2:4", "--first", "1"]
    one = shell.invoke(app, ["export", *common, "a", *typed])
    other = shell.invoke(app, ["export", *common, "b", "--config", "t.toml"])
    names = shell.invoke(app, ["names", *common, "c", *typed])

    assert (one.exit_code, other.exit_code, names.exit_code) == (0, 0, 0)
    for folder in "ab":
        found = sorted(p.name for p in (tmp_path / folder).glob("*.tif"))
        assert found == ["3.tif", "4.tif"]
    assert "3.tif" in names.output
    assert "2.tif" not in names.output


def test_from_a_run_engine(tmp_path):
    """Live, every third frame of a plan is written."""
    detector = SynSignal(name="img", func=lambda: np.ones((3, 4), "u2"))
    exporter = ImageExporter("{frame}.tif", directory=tmp_path, frames="::3", first=1)
    engine = RunEngine({})
    engine.subscribe(exporter)

    engine(count([detector], 7))
    exporter.close()

    found = sorted(path.name for path in tmp_path.glob("*.tif"))
    assert found == ["1.tif", "4.tif", "7.tif"]
    (manifest,) = (tmp_path / ".tiffin").glob("*.jsonl")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["frame"] for line in lines[1:]] == [0, 3, 6]

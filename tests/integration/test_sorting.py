"""Names that sort in another order than their frames are told of, once a run."""

import numpy as np
import pytest
from typer.testing import CliRunner

import tiffin
from tests.documents import write_jsonl
from tests.helpers import export_live
from tiffin import ImageExporter
from tiffin.cli import app
from tiffin.testing import run_of

SAID = "sort in another order"


def run(events, each=None, **data):
    shape = (events, 2, 3) if each is None else (events, each, 2, 3)
    return run_of({"img": np.zeros(shape, "u1"), **data}, scan_id=9)


def replay(documents, folder, template, **settings):
    tiffin.export(documents, template, directory=folder, **settings)


def live(documents, folder, template, **settings):
    export_live(documents, template, folder, **settings)


def process(documents, folder, template, **settings):
    with ImageExporter(template, directory=folder, **settings) as exporter:
        tiffin.process(documents, exporter)


WRONG = {
    "{event.seq_num}.tif": "{event.seq_num:04d}",
    "{frame}.tif": "{frame:04d}",
    "{start.scan_id}_{event.seq_num}_a.tif": "{event.seq_num:04d}",
    "{event.seq_num}/a.tif": "{event.seq_num:04d}",
    "{start.none|x}{event.seq_num}.tif": "{event.seq_num:04d}",
}


@pytest.mark.parametrize("how", [replay, live, process])
@pytest.mark.parametrize("template", WRONG)
def test_warned_once(tmp_path, caplog, how, template):
    """One warning a run names two files and the padded field."""
    how(run(25), tmp_path, template)

    said = [r.getMessage() for r in caplog.records if SAID in r.getMessage()]
    assert len(said) == 1
    assert WRONG[template] in said[0]


@pytest.mark.parametrize("how", [replay, live])
@pytest.mark.parametrize(
    ("events", "template", "settings"),
    [
        (9, "{event.seq_num}.tif", {}),
        (10, "{frame}.tif", {}),
        (25, "{event.seq_num:02d}.tif", {}),
        (25, "{frame:03d}_{event.seq_num}.tif", {}),
        (25, "{frame}.tif", {"frames": "10:"}),
        (25, "{frame}.tif", {"frames": "0:100:10"}),
        (25, "{event.uid}.tif", {}),
    ],
)
def test_not_warned(tmp_path, caplog, how, events, template, settings):
    """Short runs, padded numbers and choices that sort correctly give no warning."""
    how(run(events), tmp_path, template, **settings)

    assert SAID not in caplog.text


def test_other_numbers(tmp_path, caplog):
    """Measured values in names give no warning."""
    values = [9.5, 10.25, 9.0, 100.0, 1.5, 1.45] * 2

    replay(run(12, T=values), tmp_path, "{event.data.T}_{event.seq_num:03d}.tif")

    assert SAID not in caplog.text


def test_images_of_an_event(tmp_path, caplog):
    """Numbers within an event count as well, from `first` on."""
    replay(run(2, 10), tmp_path / "a", "{event.seq_num:03d}_{i}.tif")
    assert SAID not in caplog.text

    replay(run(2, 10), tmp_path / "b", "{event.seq_num:03d}_{i}.tif", first=1)

    assert "{i:04d}" in caplog.text


def test_each_run(tmp_path, caplog):
    """Each run has its own warning."""
    replay([*run(12), *run(12)], tmp_path, "{start.uid}_{event.seq_num}.tif")

    assert caplog.text.count(SAID) == 2


def test_dry_runs(tmp_path, caplog, monkeypatch):
    """A dry run warns before anything is written, and so does `tiffin names`."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(run(12), tmp_path / "run.jsonl")

    replay(run(12), tmp_path, "{frame}.tif", dry_run=True)
    CliRunner().invoke(app, ["names", "run.jsonl", "-t", "{frame}.tif"])

    assert caplog.text.count(SAID) == 2

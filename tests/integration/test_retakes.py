"""Points that a paused and resumed plan takes again."""

import json
import sys
import threading

import numpy as np
import pytest
import tifffile
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import RunEngineInterrupted
from ophyd.sim import SynSignal
from typer.testing import CliRunner

import tiffin
from tiffin import ImageExporter, LiveTiffExporter, export, get_images
from tiffin.cli import app
from tiffin.corrections import Sum
from tiffin.errors import SettingsError
from tiffin.writers import publish as write

NAME = "{event.seq_num}.tif"


@pytest.fixture
def retaken():
    """Return (run, documents): a plan of 3 points whose second is taken twice."""

    def run(*subscribers):
        shots, documents = [], []

        def shot():
            shots.append(len(shots) + 1)
            return np.full((4, 6), shots[-1], "u2")

        det = SynSignal(name="det", func=shot)
        shots.clear()
        engine = RunEngine({})
        engine.subscribe(lambda name, doc: documents.append((name, doc)))

        @bpp.run_decorator()
        def plan():
            for point in range(3):
                yield from bps.checkpoint()
                yield from bps.trigger_and_read([det])
                if point == 1 and len(shots) == 2:
                    yield from bps.pause()

        for subscriber in subscribers:
            engine.subscribe(subscriber)
        with pytest.raises(RunEngineInterrupted):
            engine(plan())
        engine.resume()
        return documents

    return run


def content(folder):
    return {p.name: int(tifffile.imread(p)[0, 0]) for p in folder.glob("*.tif")}


@pytest.mark.parametrize("template", [NAME, "{frame}.tif", "{time:%H%M%S%f}.tif"])
@pytest.mark.parametrize("existing", ["error", "skip", "replace", "unique", "resume"])
def test_the_retake_is_the_frame_live_and_replayed(
    retaken, template, existing, tmp_path
):
    """Live and replay end with the same files, of the latest take of each point."""
    live, later = tmp_path / "live", tmp_path / "later"
    exporter = ImageExporter(template, directory=live, existing=existing)
    documents = retaken(exporter)
    exporter.close()
    replayed = export(iter(documents), template, directory=later, existing=existing)

    [report] = exporter.reports.values()
    assert sorted(content(live).values()) == [1, 3, 4]
    assert content(live) == content(later)
    for told in (report, replayed):
        assert (len(told.written), len(told.skipped), len(told.failed)) == (3, 1, 0)
        assert "superseded" in str(told.skipped[0].error)
    assert tiffin.verify(live).ok
    assert export(documents, template, directory=live, existing="resume").ok
    assert sorted(content(live).values()) == [1, 3, 4]


@pytest.mark.parametrize("template", [NAME, "{time:%H%M%S%f}.tif"])
@pytest.mark.parametrize("existing", ["error", "replace", "unique"])
def test_a_take_that_is_still_being_written_is_superseded_without_waiting(
    retaken, template, existing, tmp_path, monkeypatch
):
    """A write that hangs delays no plan; what it writes in the end is removed."""
    hangs, goes_on = threading.Event(), threading.Event()

    def publish(path, *args, **kwargs):
        if not hangs.is_set():
            hangs.set()
            assert goes_on.wait(20)
        return write(path, *args, **kwargs)

    monkeypatch.setattr(sys.modules["tiffin.export.publisher"], "publish", publish)
    exporter = ImageExporter(template, directory=tmp_path, existing=existing, workers=4)

    def but_the_first(name, doc):
        if name != "event" or doc["seq_num"] > 1:
            exporter(name, doc)
        if name == "event" and doc["seq_num"] == 2:
            assert hangs.wait(20)
        if name == "event" and doc["seq_num"] == 3:
            threading.Timer(0.2, goes_on.set).start()

    retaken(but_the_first)
    exporter.close()

    [report] = exporter.reports.values()
    assert (len(report.written), len(report.skipped), len(report.failed)) == (2, 1, 0)
    assert sorted(content(tmp_path).values()) == [3, 4]
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize(
    ("repeats", "template", "wanted"),
    [
        ("first", NAME, {"1.tif": 1, "2.tif": 2, "3.tif": 4}),
        ("all", "{frame}.tif", {"0.tif": 1, "1.tif": 2, "2.tif": 3, "3.tif": 4}),
    ],
)
def test_the_first_take_or_all_of_them_are_exported(
    retaken, repeats, template, wanted, tmp_path
):
    """repeats= chooses which takes are exported."""
    live, later = tmp_path / "live", tmp_path / "later"
    exporter = ImageExporter(template, directory=live, repeats=repeats)
    documents = retaken(exporter)
    exporter.close()
    export(documents, template, directory=later, repeats=repeats)

    assert content(live) == content(later) == wanted


@pytest.mark.parametrize(
    ("n", "wanted"),
    [(3, {"1.tif": 8}), (None, {"1.tif": 1, "2.tif": 3, "3.tif": 4})],
)
def test_the_retake_is_joined_and_the_earlier_take_is_not(retaken, n, wanted, tmp_path):
    """A sum has each point once, with its latest take, live and replayed."""
    live, later = tmp_path / "live", tmp_path / "later"
    exporter = ImageExporter(NAME, directory=live, corrections=[Sum(n)])
    documents = retaken(exporter)
    exporter.close()
    replayed = export(documents, NAME, directory=later, corrections=[Sum(n)])

    [report] = exporter.reports.values()
    assert content(live) == content(later) == wanted
    for told in (report, replayed):
        assert (len(told.skipped), len(told.failed)) == (1, 0)
        assert "superseded" in str(told.skipped[0].error)


def test_a_retake_of_what_is_joined_and_written_already_fails(retaken, tmp_path):
    """Live, a written sum can't be undone: the report says what to do."""
    exporter = ImageExporter(NAME, directory=tmp_path, corrections=[Sum(2)])
    documents = retaken(exporter)
    exporter.close()
    [report] = exporter.reports.values()

    assert "existing='replace'" in str(report.failed[0].error)
    assert content(tmp_path) == {"1.tif": 3}
    into = {"directory": tmp_path, "existing": "replace", "on_error": "report"}
    export(documents, NAME, **into, corrections=[Sum(2)])
    assert content(tmp_path) == {"1.tif": 4}


@pytest.mark.parametrize("template", [NAME, "{time:%H%M%S%f}.tif"])
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("dryrun", [True, False])
def test_live_tiff_exporter_replaces_the_earlier_take(
    retaken, template, overwrite, dryrun, tmp_path
):
    """Its files are those of the latest takes, also without overwrite=True."""
    given = {"dryrun": dryrun, "overwrite": overwrite, "on_error": "raise"}
    exporter = LiveTiffExporter("det", str(tmp_path / template), **given)
    retaken(exporter)

    [report] = exporter.reports.values()
    assert len(exporter.filenames) == 3
    assert len(report.skipped) == 1
    assert "superseded" in str(report.skipped[0].error)
    if not dryrun:
        assert sorted(map(str, tmp_path.iterdir())) == sorted(exporter.filenames)
        assert sorted(content(tmp_path).values()) == [1, 3, 4]


def test_live_tiff_exporter_replaces_no_file_of_another_point(retaken, tmp_path):
    """A hook that saves all events under one name overwrites nothing."""

    class One(LiveTiffExporter):
        def _save_image(self, image, filename):
            super()._save_image(image, str(tmp_path / "one.tif"))

    exporter = One("det", str(tmp_path / NAME))
    retaken(exporter)

    [report] = exporter.reports.values()
    assert content(tmp_path) == {"one.tif": 1}
    assert [record.seq_num for record in report.written] == [1]


def test_get_images_gives_the_takes_that_are_asked_for(retaken):
    """One array a point; by default that of its latest take."""
    documents = retaken()

    def given(**repeats):
        return [int(array[0, 0]) for array in get_images(documents, "det", **repeats)]

    assert given() == given(repeats="last") == [1, 3, 4]
    assert given(repeats="first") == [1, 2, 4]
    assert given(repeats="all") == [1, 2, 3, 4]
    with pytest.raises(SettingsError, match="'last', 'first' or 'all'"):
        given(repeats="some")


def test_the_shell_and_its_file_choose_the_take(retaken, tmp_path):
    """--repeats, and the key in the configuration file."""
    source, file = tmp_path / "run.jsonl", tmp_path / "tiffin.toml"
    documents = retaken()
    lines = [json.dumps(pair, default=np.ndarray.tolist) for pair in documents]
    source.write_text("\n".join(lines))
    file.write_text('repeats = "first"\n')

    def export_with(*options):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        into = ["-t", NAME, "-d", str(out), *options]
        done = CliRunner().invoke(app, ["export", str(source), *into])
        assert done.exit_code == 0, done.output
        return content(out)

    latest = {"1.tif": 1, "2.tif": 3, "3.tif": 4}
    first = latest | {"2.tif": 2}
    assert export_with() == export_with("--repeats", "last") == latest
    assert export_with("--repeats", "first") == first
    assert export_with("--config", str(file)) == first


def test_all_takes_need_names_that_tell_them_apart(tmp_path):
    """repeats="all" with names by seq_num alone is refused by the constructor."""
    with pytest.raises(SettingsError, match=r"\{event\.uid\}"):
        ImageExporter(NAME, directory=tmp_path, repeats="all")

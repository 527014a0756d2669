"""Darks and flat fields that were taken after the lights, or nearest to them."""

import numpy as np
import pytest
import tifffile
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from event_model import compose_run
from ophyd.sim import SynSignal
from typer.testing import CliRunner

import tiffin
from tests.documents import write_jsonl
from tests.helpers import export_live, feed
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.cli import app
from tiffin.corrections import DarkSubtract, FlatField, Nearest
from tiffin.errors import SettingsError
from tiffin.testing import run_of

SHAPE = (3, 4)
NAME = "{event.seq_num}.tif"


def run_with(*taken, timed=True):
    """Compose a run of (stream, value), a second between them."""
    run = compose_run(metadata={"scan_id": 1})
    documents = [("start", run.start_doc)]
    streams = {}
    for number, (stream, value) in enumerate(taken):
        if stream not in streams:
            key = {"source": "", "dtype": "array", "shape": list(SHAPE)}
            streams[stream] = run.compose_descriptor(
                name=stream, data_keys={"img": {**key, "dtype_numpy": "<u2"}}
            )
            documents.append(("descriptor", streams[stream].descriptor_doc))
        image = np.full(SHAPE, value, "u2")
        event = streams[stream].compose_event(
            data={"img": image}, timestamps={"img": 0.0}, time=float(number)
        )
        if not timed:
            event.pop("time")
        documents.append(("event", event))
    return [*documents, ("stop", run.compose_stop())]


def corrected(documents, step, tmp_path):
    report = tiffin.export(
        documents, NAME, directory=tmp_path, corrections=[step], on_error="report"
    )
    return report, [float(tifffile.imread(r.path)[0, 0]) for r in report.written]


TAKEN = [("dark", 1), ("primary", 100), ("primary", 100), ("dark", 9), ("dark", 5)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("before", [99, 99]), ("nearest", [99, 91]), ("after", [91, 91])],
)
def test_a_stream(tmp_path, order, expected):
    """Each light takes the dark before it, the nearest, or the one after it."""
    step = DarkSubtract(stream="dark", order=order)

    _, values = corrected(run_with(*TAKEN), step, tmp_path)

    assert values == expected


@pytest.mark.parametrize("order", ["nearest", "after"])
def test_only_behind(tmp_path, order):
    """Darks that were taken only at the end are found for every light."""
    taken = [("primary", 100), ("primary", 90), ("dark", 10)]

    _, values = corrected(
        run_with(*taken), DarkSubtract(stream="dark", order=order), tmp_path
    )

    assert values == [90, 80]


def test_equally_near(tmp_path):
    """Of two equally near darks, the one before the light is used."""
    taken = [("dark", 1), ("primary", 100), ("dark", 9)]

    _, values = corrected(
        run_with(*taken), DarkSubtract(stream="dark", order="nearest"), tmp_path
    )

    assert values == [99]


def test_none_behind(tmp_path):
    """A light after the last dark has none after it, and the reason says so."""
    taken = [("dark", 1), ("primary", 100)]

    report, _ = corrected(
        run_with(*taken), DarkSubtract(stream="dark", order="after"), tmp_path
    )

    assert "none after it" in str(report.failed[0].error)


def test_flat_field(tmp_path):
    """A flat field that was taken after the images divides them."""
    taken = [("primary", 100), ("flat", 7), ("primary", 50)]
    step = FlatField(stream="flat", order="nearest")

    report, values = corrected(run_with(*taken), step, tmp_path)

    assert values == [100, 50]
    assert not report.failed


def test_several_runs(tmp_path):
    """Each run of a list is searched for its own darks."""
    runs = [run_with(("primary", 100), ("dark", value)) for value in (1, 2)]
    step = DarkSubtract(stream="dark", order="after")

    report = tiffin.export(
        [doc for run in runs for doc in run],
        "{start.uid}.tif",
        directory=tmp_path,
        corrections=[step],
    )

    found = [tifffile.imread(r.path)[0, 0] for r in report.written]
    assert found == [99, 98]


def test_dry_run(tmp_path):
    """A dry run knows which lights have a dark."""
    report = tiffin.export(
        run_with(("primary", 100), ("dark", 1), ("primary", 100)),
        "{kind}_{event.seq_num}.tif",
        directory=tmp_path,
        corrections=[DarkSubtract(stream="dark", order="after", missing="raw")],
        dry_run=True,
    )

    assert [r.path.name for r in report.planned] == ["sub_1.tif", "light_2.tif"]


@pytest.mark.parametrize("order", ["nearest", "after"])
def test_live(tmp_path, order):
    """Live, such lights fail and say what to do; what is processed later succeeds."""
    documents = run_with(*TAKEN)
    steps = [DarkSubtract(stream="dark", order=order)]
    report = export_live(documents, NAME, tmp_path, corrections=steps)

    assert len(report.failed) == len(report.records) == 2
    assert "tiffin.export" in str(report.failed[0].error)

    later = ImageExporter(NAME, directory=tmp_path, corrections=steps)
    (report,) = tiffin.process(documents, later).values()
    assert len(report.written) == 2
    # The next run is a live one again.
    feed(later, run_with(*TAKEN))
    later.close()
    assert len([*later.reports.values()][1].failed) == 2


def test_a_run_engine(tmp_path):
    """A plan that takes its darks at the end is corrected afterwards."""
    shots = [100]
    detector = SynSignal(name="img", func=lambda: np.full(SHAPE, shots[0], "u2"))
    documents = []
    engine = RunEngine({})
    engine.subscribe(lambda name, doc: documents.append((name, doc)))

    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([detector])
        shots[0] = 30
        yield from bps.trigger_and_read([detector], name="dark")

    engine(plan())
    _, values = corrected(
        documents, DarkSubtract(stream="dark", order="after"), tmp_path
    )

    assert values == [70]


def test_live_tiff_exporter(tmp_path):
    """A LiveTiffExporter that is given a finished run takes later darks as well."""

    class Exporter(LiveTiffExporter):
        corrections = (DarkSubtract(stream="dark", order="after"),)

    exporter = Exporter("img", str(tmp_path / "{event.seq_num}.tif"))

    tiffin.process(run_with(*TAKEN), exporter)

    found = sorted(tmp_path.rglob("*.tif"))
    assert [float(tifffile.imread(path).flat[0]) for path in found] == [91, 91]


@pytest.mark.parametrize("old", [False, True])
def test_each_of_several_runs_has_its_later_darks(tmp_path, old):
    """The end of a run lets go of its own darks, not of those of runs to come."""
    corrections = (DarkSubtract(stream="dark", order="after"),)
    template = "{start.uid}_{event.seq_num}.tif"

    class Old(LiveTiffExporter):
        pass

    Old.corrections = corrections
    exporter = (
        Old("img", str(tmp_path / template))
        if old
        else ImageExporter(template, directory=tmp_path, corrections=corrections)
    )
    reports = tiffin.process(
        [pair for _ in range(3) for pair in run_with(*TAKEN)], exporter
    )

    assert [len(report.written) for report in reports.values()] == [2, 2, 2]


def runs_around():
    """Return a dark at 1 s, a light at 3 s, darks at 4 s and 9 s."""
    runs = []
    for time, value, plan in ((1, 1, "dark"), (3, 100, "count"), (4, 7, "dark")):
        run = run_of({"img": [np.full(SHAPE, value, "u2")]}, plan_name=plan)
        run = [(n, {**d, "time": time} if n == "start" else d) for n, d in run]
        runs.append(run)
    return runs


@pytest.mark.parametrize(
    ("order", "expected"), [("before", 99), ("nearest", 93), ("after", 93)]
)
def test_nearest_run(tmp_path, order, expected):
    """A run is searched for on either side of the light's, or on one."""
    before, light, after = runs_around()
    step = DarkSubtract(run=Nearest(plan_name="dark"), order=order)
    same = DarkSubtract(run=Nearest(plan_name="dark", order=order))

    for number, chosen in enumerate((step, same)):
        report = tiffin.export(
            light,
            NAME,
            directory=tmp_path / str(number),
            corrections=[chosen],
            catalog=before + light + after,
        )

        assert tifffile.imread(report.written[0].path)[0, 0] == expected


def test_after_only(tmp_path):
    """With order="after" an earlier run is not used, however near."""
    before, light, _ = runs_around()
    step = DarkSubtract(run=Nearest(plan_name="dark"), order="after")

    report = tiffin.export(
        light,
        NAME,
        directory=tmp_path,
        corrections=[step],
        catalog=before + light,
        on_error="report",
    )

    assert "began after it" in str(report.failed[0].error)


def test_settings():
    """A wrong order is refused, and the text of a correction names its order."""
    for make in (
        lambda: DarkSubtract(order="after"),
        lambda: DarkSubtract(constant=1, order="nearest"),
        lambda: DarkSubtract(run="7f3a", order="after"),
        lambda: DarkSubtract(stream="dark", order="later"),
        lambda: FlatField(file="f.tif", order="after"),
        lambda: FlatField(stream="flat", order=None),
        lambda: Nearest(plan_name="dark", order="later"),
    ):
        with pytest.raises(SettingsError, match="order"):
            make()

    assert "order='after'" in str(DarkSubtract(stream="dark", order="after"))
    assert "order='after'" in str(FlatField(stream="flat", order="after"))
    query = DarkSubtract(run=Nearest(plan_name="dark"), order="after")
    assert str(query) == "DarkSubtract(run=Nearest(plan_name='dark', order='after'))"


def test_from_the_shell(tmp_path, monkeypatch):
    """Options and tables of a configuration file set the order, too."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(run_with(*TAKEN, ("flat", 3)), tmp_path / "run.jsonl")
    (tmp_path / "t.toml").write_text(
        '[[corrections]]\nkind = "dark"\nstream = "dark"\norder = "after"\n'
        '[[corrections]]\nkind = "flat"\nstream = "flat"\norder = "after"\n'
    )
    typed = (
        "--dark stream:dark --dark-order after --flat stream:flat --flat-order after"
    )
    common = ["export", "run.jsonl", "-t", NAME, "-d"]
    shell = CliRunner()

    results = [
        shell.invoke(app, [*common, "a", *typed.split()]),
        shell.invoke(app, [*common, "b", "--config", "t.toml"]),
        shell.invoke(app, [*common, "c", "--flat-order", "after"]),
    ]

    assert [result.exit_code for result in results[:2]] == [0, 0]
    assert results[2].exit_code != 0
    for folder in "ab":
        assert tifffile.imread(tmp_path / folder / "2.tif")[0, 0] == 91

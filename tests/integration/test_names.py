"""Names of real runs: checked before the beam, told apart, made of all documents."""

import json

import numpy as np
import pytest
from bluesky.plans import count, list_scan
from bluesky.preprocessors import SupplementalData
from ophyd.sim import SynAxis

import tiffin
from tests.helpers import feed
from tests.shell import tiffin as shell
from tiffin import ImageExporter
from tiffin.errors import CollisionError, MissingKeyError, TemplateError
from tiffin.testing import run_of


def live(RE, plan, template, folder, **options):
    exporter = ImageExporter(template, directory=folder, **options)
    (uid,) = RE(plan, exporter, sample="Ni foil")
    return exporter.reports[uid]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{start.sampel}_{event.seq_num}.tif", "did you mean 'sample'"),
        ("{event.data.temp:.1f}_{event.seq_num}.tif", "not in the events of stream"),
        ("{config.gain}_{event.seq_num}.tif", "config"),
        ("{motors}_{event.seq_num}.tif", "no scanned motor"),
        ("{start.sample}.tif", "add {event.seq_num}"),
    ],
)
def test_what_can_not_work_is_said_before_the_first_event(
    RE, img, tmp_path, caplog, template, says
):
    """S05, S09: at the start document or descriptor, before any frame; every frame
    fails with the reason.
    """
    seen = []

    def watch(name, doc):
        if name == "event" and not seen:
            exporter.wait()
            seen.append([r.getMessage() for r in caplog.records if r.name == "tiffin"])

    exporter = ImageExporter(template, directory=tmp_path)
    RE.subscribe(exporter)
    (uid,) = RE(count([img], 3), {"event": watch}, sample="Ni foil")
    report = exporter.reports[uid]

    assert len(seen[0]) == 1
    assert says in seen[0][0]
    assert len(report.failed) == 3
    assert all(says in str(record.error) for record in report.failed)
    assert not list(tmp_path.iterdir())


def test_a_descriptor_that_does_not_fit_aborts_when_asked(RE, img, tmp_path):
    """With on_error="raise" the plan ends before its first event."""
    events = []
    exporter = ImageExporter(
        "{event.data.temp}_{event.seq_num}.tif", directory=tmp_path, on_error="raise"
    )

    with pytest.raises(MissingKeyError, match="not in the events"):
        RE(
            count([img], 3),
            {"all": [exporter], "event": [lambda _, d: events.append(d)]},
        )

    assert events == []


def test_one_event_needs_no_number(RE, img, tmp_path, names_in):
    """S09 refuses names that collide, and no others."""
    report = live(RE, count([img]), "{start.sample}.tif", tmp_path)

    assert report.ok
    assert names_in(tmp_path) == ["Ni foil.tif"]


@pytest.mark.parametrize(
    ("data", "fields", "mend"),
    [
        ({"img": np.zeros((2, 4, 6, 9), "u2")}, None, "{i}"),
        ({"a": np.zeros((2, 6, 9)), "b": np.zeros((2, 6, 9))}, None, "{field}"),
    ],
)
def test_the_field_that_would_mend_it_is_named(tmp_path, data, fields, mend):
    """A template that can't tell frames apart is refused with the field to add."""
    exporter = ImageExporter("{event.seq_num}.tif", directory=tmp_path, fields=fields)
    feed(exporter, run_of(data))

    (report,) = exporter.reports.values()
    assert not report.written
    assert all(isinstance(record.error, TemplateError) for record in report.failed)
    assert f"add {mend}" in str(report.failed[0].error)


def test_a_missing_event_key_fails_its_frame_only(tmp_path):
    """S06: a device dropped out in one event."""
    run = run_of({"img": np.zeros((3, 6, 9)), "T": [1.0, 2.0, 3.0]})
    del run[3][1]["data"]["T"]

    report = tiffin.export(
        run, "{event.seq_num}_{event.data.T}.tif", directory=tmp_path, on_error="report"
    )

    assert [record.seq_num for record in report.written] == [1, 3]
    assert "event 2" in str(report.failed[0].error)


def test_motors_baseline_and_zone_live_and_replayed(RE, img, tmp_path, names_in):
    """S03, S04: scanned motors from the hints, the baseline, and a time in a zone."""
    motor = SynAxis(name="x")
    slit = SynAxis(name="slit", value=0.05)
    documents = []
    RE.preprocessors.append(SupplementalData(baseline=[slit]))
    RE.subscribe(lambda name, doc: documents.append((name, doc)))
    template = "{time:%Y}_{motors:.1f}_{baseline.slit}_{event.seq_num}.tif"

    plan = list_scan([img], motor, [1, 2.5])
    live(RE, plan, template, tmp_path / "live", timezone="UTC")
    tiffin.export(documents, template, directory=tmp_path / "later", timezone="UTC")

    year = names_in(tmp_path / "live")[0][:4]
    names = [f"{year}_x_1.0_0.05_1.tif", f"{year}_x_2.5_0.05_2.tif"]
    assert names_in(tmp_path / "live") == names
    assert names_in(tmp_path / "later") == names


def test_stop_is_known_to_a_replay_only(tmp_path, names_in):
    """`{stop.…}` works in a replay, and is refused live by the constructor."""
    run = run_of({"img": np.zeros((1, 6, 9))})
    template = "{stop.exit_status}_{event.seq_num}.tif"

    tiffin.export(iter(run), template, directory=tmp_path)

    assert names_in(tmp_path) == ["success_1.tif"]
    with pytest.raises(TemplateError, match="only a replay"):
        ImageExporter(template, directory=tmp_path)


def test_a_baseline_that_comes_late_is_known_to_a_replay(tmp_path, names_in):
    """Stores may give one stream after the other."""
    run = run_of({"img": np.zeros((1, 6, 9))})
    start = run[0][1]
    data_key = {"source": "S", "dtype": "number", "shape": []}
    descriptor = {
        "uid": "d-b",
        "run_start": start["uid"],
        "name": "baseline",
        "time": 0,
        "data_keys": {"slit": data_key},
        "configuration": {},
    }
    event = {
        "uid": "e-b",
        "descriptor": "d-b",
        "seq_num": 1,
        "time": 0,
        "data": {"slit": 0.5},
        "timestamps": {"slit": 0},
    }
    run[-1:-1] = [("descriptor", descriptor), ("event", event)]

    tiffin.export(run, "{baseline.slit}_{event.seq_num}.tif", directory=tmp_path)

    assert names_in(tmp_path) == ["0.5_1.tif"]


def test_names_that_meet_when_made_safe_collide(tmp_path):
    """S10: names that are equal after sanitising, or on a disk that ignores case."""
    run = run_of({"img": np.zeros((4, 6, 9)), "n": ["a/b", "a:b", "Q", "q"]})

    report = tiffin.export(
        run, "{event.data.n}.tif", directory=tmp_path, on_error="report"
    )

    assert len(report.failed) == 4
    assert all(isinstance(r.error, CollisionError) for r in report.failed)


def test_frames_of_one_name_fail_with_one_sentence(tmp_path, caplog):
    """How many they are, and all that the template lacks; it is logged once."""
    stacks = np.zeros((3, 4, 6, 9), "u2")
    run = run_of({"a": stacks, "b": stacks}, scan_id=7)

    report = tiffin.export(
        run, "{start.scan_id}.tif", directory=tmp_path, on_error="report"
    )

    (reason,) = {str(record.error) for record in report.failed}
    assert reason.startswith("'7.tif' is the name of 24 frames: add ")
    for field in ("{field}", "{event.seq_num}", "{i}"):
        assert field in reason
    assert [reason in text for text in caplog.messages] == [True]
    assert len(report.failed) == 24


@pytest.fixture
def documents(tmp_path):
    """Return a file of the documents of one run, with a gap in its temperatures."""
    run = run_of(
        {"img": np.zeros((3, 6, 9), "u2"), "T": [300.0, 310.5, 321.0]},
        scan_id=7,
        sample="UO2",
    )
    path = tmp_path / "run.jsonl"
    with path.open("w") as file:
        for line in run:
            file.write(json.dumps(line, default=np.ndarray.tolist) + "\n")
    return path


def test_the_shell_prints_names_sizes_and_what_exists(documents, tmp_path):
    """`tiffin names` prints what an export would write, the size without metadata."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "UO2_002.tif").write_bytes(b"")
    template = "{start.sample}_{event.seq_num:03d}.tif"

    told = shell("names", documents, "-t", template, "-d", out)
    settings = {"existing": "replace", "dtype": "uint16", "metadata": None}
    report = tiffin.export(documents, template, directory=out, **settings)

    lines = [line.split() for line in told.stdout.splitlines()]
    assert [line[-1] for line in lines] == [str(r.path) for r in report.written]
    assert [line[1] == "exists" for line in lines] == [False, True, False]
    assert {int(line[0]) for line in lines} == {
        record.path.stat().st_size for record in report.written
    }
    assert "3 frames" in told.stderr
    assert "1 exist already" in told.stderr
    assert "ERROR" not in told.stderr  # what is there already is what was asked for


def test_the_shell_prints_why_a_name_fails(documents, tmp_path):
    """`tiffin names` prints the reason after the path, once for frames of one name."""
    told = shell("names", documents, "-t", "{start.sample}.tif", "-d", tmp_path / "o")

    (line,) = told.stdout.splitlines()
    assert told.returncode == 1
    assert "UO2.tif: " in line
    assert "3 frames: add {event.seq_num}" in line


def test_the_shell_shows_what_an_example_lacks(documents):
    """`tiffin template --example` says which part has no value, and why there is no
    name.
    """
    template = "{start.sampel}<_{start.none}>_{event.seq_num}.tif"

    told = shell("template", template, "--explain", "--example", documents)

    (row,) = [line for line in told.stdout.splitlines() if "'sampel' of" in line]
    assert "did you mean 'sample'" in row
    assert "(no value)" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("example   none: ")
    assert told.stderr == ""
    assert told.returncode == 1


def test_the_shell_explains_a_template(documents):
    """`tiffin template --explain` describes each part, with an example from a run."""
    template = "{start.sample|none}_{time:%Y}<_Q{event.data.Q}>_{event.seq_num:03d}.tif"

    told = shell("template", template, "--explain", "--example", documents)

    assert "'sample' of the start document; 'none' where there is none" in told.stdout
    assert "UO2" in told.stdout
    assert "(no value)" in told.stdout
    assert "pattern   *_*_*.tif" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("example   UO2_20")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["template", "{start.a"], "column 1"),
        (["names", "http://127.0.0.1:1", "-t", "{start.a"], "column 1"),
        (["names", "/nonexistent", "-t", "{i}"], "neither a file nor an address"),
        (["template", "{i}", "--replace", "x"], "OLD=NEW"),
        (["template", "{i}", "--timezone", "Mars"], "Mars"),
    ],
)
def test_wrong_usage_gives_status_2(arguments, says):
    """The error comes before any server is asked."""
    told = shell(*arguments)

    assert told.returncode == 2
    assert says in told.stderr
    assert "Traceback" not in told.stderr

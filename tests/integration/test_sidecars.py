"""Files beside the images of a run: its documents, and a table of its frames."""

import csv
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bluesky.plans import scan
from ophyd.sim import motor

import tiffin
from tests.documents import DATASET, FRAMES, HDF5, hdf5, stream_run, write_jsonl
from tests.helpers import export_live, feed
from tests.shell import tiffin as shell
from tests.stores import LIBRARIES_WARN, insert
from tiffin import ImageExporter
from tiffin.corrections import Average, DarkSubtract
from tiffin.errors import CollisionError, ExistsError, SettingsError, WriteError
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

NAME = "{start.scan_id}/{field}_{event.seq_num}.tif"
BOTH = ["run.json", "frames.csv"]
JSON, TABLE = "7/run.json", "7/frames_primary_img.csv"


def run(events=3, *, scan_id=7, **more):
    """Return a run with a temperature and a remark beside its images."""
    images = np.arange(events * 54, dtype="u2").reshape(events, 6, 9)
    remarks = ["=HYPERLINK(1)", 'a "b", c\nd', "-5", *["x"] * events][:events]
    data = {"img": images, "T": np.linspace(0.1, 1, events), "remark": remarks}
    documents = run_of(data, scan_id=scan_id, **more)
    documents[1][1]["data_keys"]["T"]["units"] = "µK"
    return documents


def rows(path):
    """Return the rows of a table, as any reader of CSV has them."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def lines(folder, documents):
    manifest = folder / ".tiffin" / f"{documents[0][1]['uid']}.jsonl"
    return [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".tiffin" not in path.parts
    }


def files(folder):
    return list(contents(folder))


# ---- contents


def test_a_run_has_its_documents_beside_its_images(tmp_path):
    """``run.json`` holds the start, descriptor and stop documents."""
    documents = run()

    report = tiffin.export(documents, NAME, directory=tmp_path, sidecars="run.json")

    found = json.loads((tmp_path / JSON).read_text("utf-8"))
    assert found == {
        "start": documents[0][1],
        "descriptors": [documents[1][1]],
        "stop": documents[-1][1],
    }
    assert [record.kind for record in report.written][-1] == "sidecar"
    assert files(tmp_path)[-1] == JSON


def test_what_json_cannot_hold_is_named(tmp_path):
    """NaN is null, arrays are lists; bytes are null too, and ``not_json`` says so."""
    wild = {
        "nan": np.nan,
        "blob": b"\0",
        "list": np.array([1, np.inf]),
        "n": np.int8(3),
    }

    tiffin.export(run(wild=wild), NAME, directory=tmp_path, sidecars="run.json")

    found = json.loads((tmp_path / JSON).read_bytes(), parse_constant=pytest.fail)
    assert found["start"]["wild"] == {
        "nan": None,
        "blob": None,
        "list": [1, None],
        "n": 3,
    }
    assert found["not_json"] == {"start.wild.blob": "bytes"}


def test_a_table_has_a_row_for_each_frame(tmp_path):
    """File, numbers, time, status, and all scalars of its event, with their units."""
    documents = run()

    tiffin.export(
        documents, NAME, directory=tmp_path, sidecars="frames.csv", timezone="UTC"
    )

    found = rows(tmp_path / TABLE)
    assert [row["file"] for row in found] == ["img_1.tif", "img_2.tif", "img_3.tif"]
    first, event = found[0], documents[2][1]
    assert [first[key] for key in ("page", "seq_num", "i", "frame", "status")] == [
        *("0", "1", "0", "0", "written"),
    ]
    assert first["T [µK]"] == "0.1"
    assert float(first["timestamp [s]"]) == event["time"]
    assert first["time"].endswith("+00:00")
    assert [row["remark"] for row in found] == [
        "'=HYPERLINK(1)",  # no formula in a spreadsheet
        'a "b", c\nd',
        "-5",
    ]


def test_a_table_is_what_rfc_4180_says(tmp_path):
    """Lines end in CRLF, and a byte order mark tells Excel that it is UTF-8."""
    tiffin.export(run(1), NAME, directory=tmp_path, sidecars="frames.csv")

    content = (tmp_path / TABLE).read_bytes()
    assert content.startswith(b"\xef\xbb\xbffile,page,")
    assert content.count(b"\r\n") == content.count(b"\n") == 2


def test_pandas_reads_a_table_as_it_is(tmp_path):
    """``pandas.read_csv(path)``, without any option."""
    pandas = pytest.importorskip("pandas")
    tiffin.export(run(), NAME, directory=tmp_path, sidecars="frames.csv")

    table = pandas.read_csv(tmp_path / TABLE)

    assert list(table.file) == ["img_1.tif", "img_2.tif", "img_3.tif"]
    np.testing.assert_array_equal(table["T [µK]"], np.linspace(0.1, 1, 3))
    assert table["seq_num"].dtype == "int64"
    assert pandas.to_datetime(table["time"]).dt.tz is not None


def test_each_stream_and_field_has_a_table(tmp_path):
    """An event of three images has three rows."""
    data = {"img": np.ones((2, 3, 6, 9), "u2"), "cam": np.ones((2, 6, 9), "u1")}
    name = "{start.scan_id}/{stream}/{field}_{event.seq_num}_{i}.tif"

    tiffin.export(
        run_of(data, scan_id=7), name, directory=tmp_path, sidecars="frames.csv"
    )

    assert [path.name for path in sorted((tmp_path / "7").glob("*.csv"))] == [
        *("frames_primary_cam.csv", "frames_primary_img.csv"),
    ]
    found = rows(tmp_path / TABLE)
    assert [(row["seq_num"], row["i"], row["frame"]) for row in found[2:4]] == [
        *(("1", "2", "2"), ("2", "0", "3")),
    ]
    assert found[0]["file"] == "primary/img_1_0.tif"


def test_many_rows_do_not_stay_in_memory(tmp_path, monkeypatch):
    """They go to a temporary file, and come out in order."""
    module = sys.modules["tiffin.export.frame_table"]
    monkeypatch.setattr(module, "IN_MEMORY", 100)
    monkeypatch.setattr(module, "AT_ONCE", 100)

    tiffin.export(run(50), NAME, directory=tmp_path, sidecars="frames.csv")

    assert [int(row["seq_num"]) for row in rows(tmp_path / TABLE)] == [*range(1, 51)]


# ---- names


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{start.scan_id}/{field}_{event.seq_num}.tif", "7/run.json"),
        ("a/{start.scan_id:04d}/{stream}/{event.seq_num}.tif", "a/0007/run.json"),
        ("{start.sample}/{start.scan_id:03d}_{event.seq_num}.tif", "Ni/007_run.json"),
        ("{event.seq_num}_{start.scan_id}.tif", "7_run.json"),
        ("{time:%Y}/{start.scan_id}/{event.seq_num}.tif", "7_run.json"),
        ("{start.sample}/{event.seq_num}.tif", "Ni/{run}_run.json"),
        ("<{start.scan_id}/>{event.seq_num}.tif", "7/run.json"),
        ("{event.seq_num}.tif", "{run}_run.json"),
    ],
)
def test_a_name_is_made_of_the_template_s_folders(tmp_path, template, name):
    """Those of the run; if none tells runs apart, the file name begins with the run."""
    documents = run(sample="Ni")
    name = name.format(run=documents[0][1]["uid"][:8])

    planned = tiffin.export(
        documents, template, directory=tmp_path, sidecars="run.json", dry_run=True
    ).planned
    tiffin.export(documents, template, directory=tmp_path, sidecars="run.json")

    assert planned[-1].path == tmp_path / name
    assert (tmp_path / name).is_file()


def test_an_unknown_sidecar_is_refused():
    """In the constructor, with the nearest name."""
    message = (
        "sidecars must be among 'run.json', 'frames.csv', not 'frame.csv': did you mean"
    )
    with pytest.raises(SettingsError, match=message):
        ImageExporter(NAME, sidecars=["frame.csv"])


def test_an_image_keeps_its_name(tmp_path):
    """A sidecar that has the name of an image fails, and the image is written."""
    images = np.ones((1, 6, 9), "u2")
    report = tiffin.export(
        run_of({"img": images}, scan_id=7, end="json"),
        "{start.scan_id}/run.{start.end}",
        directory=tmp_path,
        sidecars="run.json",
        on_error="report",
    )

    assert [record.kind for record in report.written] == [None]
    assert isinstance(report.failed[0].error, CollisionError)


@pytest.mark.parametrize(
    ("existing", "status", "there"),
    [
        ("error", "failed", {JSON: b"old"}),
        ("skip", "skipped", {JSON: b"old"}),
        ("replace", "written", {}),
        ("unique", "written", {JSON: b"old", "7/run-2.json": None}),
        ("resume", "failed", {JSON: b"old"}),
    ],
)
def test_existing_decides_about_sidecars_too(tmp_path, existing, status, there):
    """And whatever comes of it, the images are written."""
    (tmp_path / "7").mkdir()
    (tmp_path / JSON).write_bytes(b"old")

    report = tiffin.export(
        *(run(), NAME),
        directory=tmp_path,
        sidecars="run.json",
        existing=existing,
        on_error="report",
    )

    assert [record.status for record in report.records] == [*["written"] * 3, status]
    if status != "written":
        assert isinstance(report.records[-1].error, ExistsError)
    for name, content in there.items():
        assert content in (None, (tmp_path / name).read_bytes())


def test_a_sidecar_that_cannot_be_written_costs_no_image(tmp_path):
    """It is a failed record of its run, which is raised after all images."""
    (tmp_path / JSON).mkdir(parents=True)

    with pytest.raises(WriteError, match="folder") as raised:
        tiffin.export(run(), NAME, directory=tmp_path, sidecars=BOTH)

    report = raised.value.report
    assert len(report.written) == 4
    (failed,) = report.failed
    assert (failed.path, failed.run) == (tmp_path / JSON, report.records[0].run)


def test_a_run_without_images_has_no_sidecars(tmp_path):
    """Nor has one whose images all fail: nothing was exported."""
    export_live(run_of({"T": [1]}, scan_id=7), NAME, tmp_path, sidecars=BOTH)
    failing = run_of({"img": np.ones((2, 6, 9), complex)}, scan_id=7)
    export_live(failing, NAME, tmp_path, sidecars=BOTH)

    assert files(tmp_path) == []


# ---- manifest, verify, resume


def test_the_manifest_lists_sidecars(tmp_path):
    """`verify` checks them, and `checksums` has them."""
    documents = run()
    tiffin.export(documents, NAME, directory=tmp_path, sidecars=BOTH)

    line = lines(tmp_path, documents)[-1]
    assert {key: line[key] for key in ("kind", "path", "stream", "field", "bytes")} == {
        "kind": "sidecar",
        "path": TABLE,
        "stream": "primary",
        "field": "img",
        "bytes": (tmp_path / TABLE).stat().st_size,
    }
    assert str(tiffin.verify(tmp_path)) == "5 intact"
    told = shell("checksums", tmp_path).stdout
    assert JSON in told
    assert TABLE in told

    (tmp_path / TABLE).write_bytes(b"damage")
    assert str(tiffin.verify(tmp_path)) == "4 intact, 1 damaged"


def test_a_comparison_leaves_sidecars_alone(tmp_path):
    """It is about images."""
    documents = run()
    tiffin.export(documents, NAME, directory=tmp_path, sidecars=BOTH)
    before = contents(tmp_path)

    report = tiffin.verify.__globals__["compare"](tmp_path, documents)

    assert str(report) == "0 written, 3 skipped, 0 failed"
    assert contents(tmp_path) == before


def test_a_resume_writes_whole_sidecars(tmp_path):
    """Of an export that was cut short, or lost them; the bytes are the same."""
    documents, whole, part = run(), tmp_path / "whole", tmp_path / "part"
    settings = {"sidecars": BOTH, "existing": "resume"}
    tiffin.export(documents, NAME, directory=whole, sidecars=BOTH)

    tiffin.export(documents, NAME, directory=part, frames="0:2", sidecars=BOTH)
    assert len(rows(part / TABLE)) == 2
    tiffin.export(documents, NAME, directory=part, **settings)
    assert contents(part) == contents(whole)

    (part / JSON).unlink()
    (part / TABLE).write_bytes(b"damaged")
    report = tiffin.export(documents, NAME, directory=part, **settings)
    assert str(report) == "2 written, 3 skipped, 0 failed"
    assert contents(part) == contents(whole)

    report = tiffin.export(documents, NAME, directory=part, **settings)
    assert str(report) == "0 written, 5 skipped, 0 failed"


def test_a_resume_can_add_sidecars(tmp_path):
    """An export without them is completed by them."""
    documents = run()
    tiffin.export(documents, NAME, directory=tmp_path)

    report = tiffin.export(
        documents, NAME, directory=tmp_path, sidecars=BOTH, existing="resume"
    )

    assert str(report) == "2 written, 3 skipped, 0 failed"
    assert {row["status"] for row in rows(tmp_path / TABLE)} == {"written"}


def test_a_table_keeps_the_rows_of_earlier_exports(tmp_path):
    """Frames that ``frames=`` excludes now are found in the manifest."""
    documents = run()
    tiffin.export(documents, NAME, directory=tmp_path, frames="0:2")

    tiffin.export(
        *(documents, NAME),
        directory=tmp_path,
        frames="2:",
        sidecars="frames.csv",
        existing="resume",
    )

    found = rows(tmp_path / TABLE)
    assert [(row["file"], row["status"]) for row in found] == [
        (f"img_{n}.tif", "written") for n in (1, 2, 3)
    ]
    assert all(row["T [µK]"] for row in found)


def test_a_table_tells_light_from_subtracted_images(tmp_path):
    """A row for each; those of an earlier export have their own files too."""
    name = "{start.scan_id}/{kind}_{event.seq_num}.tif"
    settings = {
        "directory": tmp_path, "sidecars": "frames.csv", "existing": "resume",
        "corrections": DarkSubtract(constant=1), "save": ["sub", "light"],
    }  # fmt: skip
    documents = run()
    for frames in ("0:2", "2:"):
        tiffin.export(documents, name, frames=frames, **settings)

    found = [(r["file"], r["kind"], r["seq_num"]) for r in rows(tmp_path / TABLE)]
    assert sorted(found) == [
        (f"{kind}_{n}.tif", kind, str(n))
        for kind in ("light", "sub")
        for n in (1, 2, 3)
    ]


def test_an_image_of_several_frames_has_the_row_of_its_first(tmp_path):
    """The metadata of its file tell which frames these are."""
    settings = {"corrections": Average(2), "sidecars": "frames.csv"}
    tiffin.export(run(4), NAME, directory=tmp_path, **settings)

    found = [(r["file"], r["seq_num"], r["kind"]) for r in rows(tmp_path / TABLE)]
    assert found == [("img_1.tif", "1", ""), ("img_3.tif", "3", "")]


def test_frames_of_a_stack_have_their_pages(tmp_path):
    """One file, and the index of each frame in it; after a resume too."""
    name, settings = "{start.scan_id}/{field}.tif", {"stack": "run", "sidecars": BOTH}
    one, two = run(), run(scan_id=8)

    tiffin.export([one, two], name, directory=tmp_path, **settings)

    before = contents(tmp_path)
    found = rows(tmp_path / TABLE)
    assert [(row["file"], row["page"], row["status"]) for row in found] == [
        ("img.tif", str(page), "written") for page in range(3)
    ]
    assert "8/frames_primary_img.csv" in before
    (tmp_path / TABLE).unlink()
    tiffin.export([one, two], name, directory=tmp_path, existing="resume", **settings)
    assert contents(tmp_path) == before
    export_live(one, name, tmp_path / "live", **settings)
    assert rows(tmp_path / "live" / TABLE) == found


def test_wild_values_cost_no_image(tmp_path):
    """What can't be collected fails the table only, with the reason."""
    documents = run()
    documents[3][1]["data"]["T"] = 10**5000

    report = tiffin.export(
        *(documents, NAME), directory=tmp_path, sidecars=BOTH, on_error="report"
    )

    assert [record.status for record in report.records] == [*["written"] * 4, "failed"]
    assert "digits" in str(report.failed[0].error)


def test_a_column_has_one_name_and_one_unit(tmp_path):
    """A key that is the name of a column, and a unit that changes in the run."""
    documents = run_of({"img": np.ones((1, 6, 9), "u2"), "file": ["a"]}, scan_id=7)
    documents[1][1]["data_keys"]["T"] = {"dtype": "number", "shape": [], "units": "K"}
    documents[2][1]["data"]["T"] = 4.5
    descriptor = {**documents[1][1], "uid": "second"}
    temperature = {"dtype": "number", "shape": [], "units": "mK"}
    descriptor["data_keys"] = {**descriptor["data_keys"], "T": temperature}
    event = {**documents[2][1], "uid": "e", "descriptor": "second", "seq_num": 2}
    event["data"] = {**event["data"], "T": 4500.0}
    documents[-1:-1] = [("descriptor", descriptor), ("event", event)]

    tiffin.export(documents, NAME, directory=tmp_path, sidecars="frames.csv")

    found = rows(tmp_path / TABLE)
    assert [(r["file"], r["event.file"], r["T [K]"], r["T [mK]"]) for r in found] == [
        ("img_1.tif", "a", "4.5", ""),
        ("img_2.tif", "a", "", "4500.0"),
    ]


def test_a_sidecar_has_the_time_of_its_run(tmp_path):
    """With ``file_time="event"``: that of the stop document."""
    documents = run()

    tiffin.export(documents, NAME, directory=tmp_path, sidecars=BOTH, file_time="event")

    time = documents[-1][1]["time"]
    for name in (JSON, TABLE):
        assert (tmp_path / name).stat().st_mtime == pytest.approx(time, abs=1e-3)


def test_a_frame_that_fails_has_a_row(tmp_path):
    """Its status says so, and it has no file."""
    documents = run()
    documents[3][1]["data"]["img"] = np.ones((6, 9), complex)

    tiffin.export(
        *(documents, NAME), directory=tmp_path, sidecars=BOTH, on_error="report"
    )

    found = rows(tmp_path / TABLE)
    assert [row["status"] for row in found] == ["written", "failed", "written"]
    assert [row["file"] for row in found] == ["img_1.tif", "", "img_3.tif"]


def test_a_point_that_is_taken_again_has_one_row(tmp_path):
    """With the values of the take that was exported."""
    documents = run()
    again = {**documents[3][1], "uid": "again"}
    again["data"] = {**again["data"], "T": 99.0}
    documents.insert(-1, ("event", again))

    for folder, export in (("live", export_live), ("replay", None)):
        out = tmp_path / folder
        if export is None:
            tiffin.export(documents, NAME, directory=out, sidecars=BOTH)
        else:
            export(documents, NAME, out, sidecars=BOTH)
        found = rows(out / TABLE)
        assert sorted((row["seq_num"], row["T [µK]"]) for row in found)[1] == (
            *("2", "99.0"),
        )
        assert len(found) == 3


# ---- live, stores, shell


def test_live_and_replayed_sidecars_are_the_same(RE, img, tmp_path):
    """A RunEngine's own run, with the scanned motor in the table."""
    documents = []
    RE.subscribe(lambda name, doc: documents.append((name, doc)))
    with ImageExporter(NAME, directory=tmp_path / "live", sidecars=BOTH) as exporter:
        RE.subscribe(exporter)
        RE(scan([img], motor, 0, 1, 3))
        there = files(tmp_path / "live")  # as soon as the plan is over

    tiffin.export(documents, NAME, directory=tmp_path / "replay", sidecars=BOTH)

    assert len(there) == 5
    assert contents(tmp_path / "live") == contents(tmp_path / "replay")
    (table,) = (tmp_path / "live").rglob("*.csv")
    assert [float(row["motor"]) for row in rows(table)] == [0, 0.5, 1]
    assert json.loads((table.parent / "run.json").read_text())["stop"]


def test_interleaved_runs_have_sidecars_of_their_own(tmp_path):
    """Each with its own documents and rows, when it stops."""
    one, two = run(scan_id=7), run(scan_id=8)
    mixed = [document for pair in zip(one, two, strict=True) for document in pair]

    with ImageExporter(NAME, directory=tmp_path, sidecars=BOTH) as exporter:
        feed(exporter, mixed)

    for number, documents in ((7, one), (8, two)):
        found = json.loads((tmp_path / f"{number}/run.json").read_text("utf-8"))
        assert found["start"] == documents[0][1]
        assert len(rows(tmp_path / f"{number}/frames_primary_img.csv")) == 3


def test_a_replay_of_runs_keeps_only_one_s_documents(tmp_path):
    """Sidecars are written when their run is done, not at the end of all."""
    source = write_jsonl(
        run(scan_id=7) + run(scan_id=8) + run(scan_id=9), tmp_path / "r"
    )
    seen = []

    def look(done, known):
        seen.append((tmp_path / JSON).exists())

    tiffin.export(source, NAME, directory=tmp_path, sidecars=BOTH, progress=look)

    assert seen[-3:] == [True] * 3
    assert len(list(tmp_path.rglob("run.json"))) == 3


def test_a_run_that_never_stops_has_sidecars(tmp_path):
    """When the exporter is closed; the stop document is null."""
    export_live(run()[:-1], NAME, tmp_path, sidecars=BOTH)

    assert json.loads((tmp_path / JSON).read_text("utf-8"))["stop"] is None
    assert len(rows(tmp_path / TABLE)) == 3


def test_a_plan_does_not_wait_for_sidecars(tmp_path):
    """They come when the last frame is done, after ``stop_timeout`` too."""
    gate = threading.Event()

    def wait(image, frame):
        gate.wait(60)
        return image

    settings = {"corrections": wait, "stop_timeout": 0.1, "sidecars": BOTH}
    with ImageExporter(NAME, directory=tmp_path, **settings) as exporter:
        feed(exporter, run())
        assert files(tmp_path) == []
        gate.set()
        assert exporter.wait(60)
        assert {JSON, TABLE} <= {*files(tmp_path)}


def test_a_live_dry_run_names_sidecars(tmp_path):
    """As it names images."""
    report = export_live(run(), NAME, tmp_path, sidecars=BOTH, dry_run=True)

    assert [record.path for record in report.planned][-2:] == [
        *(tmp_path / JSON, tmp_path / TABLE),
    ]
    assert files(tmp_path) == []


def test_a_late_file_delays_the_sidecars(tmp_path):
    """They are written when its frames are, with their rows."""
    raw = tmp_path / "raw.h5"
    uri, parameters = f"file://localhost{raw}", {"dataset": DATASET}
    documents = stream_run(uri, HDF5, parameters, events=4, data=[0.5, 1, 1.5, 2])
    name = "{run}/{event.seq_num}_{i}.tif"
    settings = {"sidecars": BOTH, "asset_timeout": 60}
    with ImageExporter(name, directory=tmp_path / "out", **settings) as exporter:
        feed(exporter, documents)
        assert not list(tmp_path.rglob("*.csv"))
        hdf5(tmp_path / "hidden.h5", FRAMES[:4])
        (tmp_path / "hidden.h5").rename(raw)
        assert exporter.wait(60)
        (table,) = tmp_path.rglob("*.csv")
    assert {row["status"] for row in rows(table)} == {"written"}
    assert [row["x"] for row in rows(table)] == ["0.5", "1", "1.5", "2"]


def test_a_run_of_databroker_has_sidecars(broker, tmp_path):
    """From a header, as from its documents."""
    documents = run()
    header = insert(broker, documents)

    tiffin.export(header, NAME, directory=tmp_path, sidecars=BOTH)

    found = json.loads((tmp_path / JSON).read_text("utf-8"))
    assert found["start"]["uid"] == documents[0][1]["uid"]
    assert found["descriptors"][0]["data_keys"].keys() == {"img", "T", "remark"}
    assert [row["T [µK]"] for row in rows(tmp_path / TABLE)] == ["0.1", "0.55", "1.0"]


def test_a_run_of_tiled_has_sidecars(store, tmp_path):
    """From a client, as from its documents."""
    documents = run()

    tiffin.export(store(documents), NAME, directory=tmp_path, sidecars=BOTH)

    found = json.loads((tmp_path / JSON).read_text("utf-8"))
    assert found["start"]["uid"] == documents[0][1]["uid"]
    assert found["stop"]["exit_status"] == "success"
    assert [row["T [µK]"] for row in rows(tmp_path / TABLE)] == ["0.1", "0.55", "1.0"]


def test_the_shell_writes_sidecars(tmp_path):
    """``--sidecar``, the configuration file, and their names from ``tiffin names``."""
    source = write_jsonl(run(), tmp_path / "run.jsonl")
    options = ("-t", NAME, "-d", tmp_path / "out")
    both = ("--sidecar", "run.json", "--sidecar", "frames.csv")

    named = shell("names", source, *options, *both)
    assert named.returncode == 0
    told = named.stdout
    assert told.index("img_3.tif") < told.index(JSON) < told.index(TABLE)

    (tmp_path / "export.toml").write_text('sidecar = ["run.json"]\n')
    config = ("--config", tmp_path / "export.toml")
    assert shell("export", source, *options, *config).returncode == 0
    assert [*(tmp_path / "out").rglob("*.json")]
    assert not [*tmp_path.rglob("*.csv")]

    commas = ("--sidecar", "run.json,frames.csv", "--existing", "replace")
    assert shell("export", source, *options, *commas).returncode == 0
    assert [*tmp_path.rglob("*.csv")]

    refused = shell("export", source, *options, "--sidecar", "run")
    assert refused.returncode == 2
    assert "--sidecar must be among 'run.json'" in refused.stderr
    refused = shell("export", source, *options, "--sidecar", "run.json", "frames.csv")
    assert "repeat an option for each value" in refused.stderr
    refused = shell("report", tmp_path, tmp_path)
    assert "it takes one at a time" in refused.stderr


# ---- crashes

EXPORT = """
import sys, tiffin
folder, source, name = sys.argv[1:]
print("begins", flush=True)
tiffin.export(source, name, directory=folder, existing="resume",
              sidecars=["run.json", "frames.csv"])
"""


@pytest.mark.slow
def test_a_killed_export_leaves_no_half_sidecar(tmp_path):
    """Whenever it is killed; a resume makes the folder what it would have been."""
    source = write_jsonl(run(40), tmp_path / "run.jsonl")
    whole, out = tmp_path / "whole", tmp_path / "out"
    begun = time.perf_counter()
    tiffin.export(source, NAME, directory=whole, sidecars=BOTH)
    took = time.perf_counter() - begun
    expected = contents(whole)

    for kill in range(40):
        command = [sys.executable, "-c", EXPORT, out, source, NAME]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "begins\n"
        time.sleep(took * 3 * kill / 40)
        child.kill()
        child.communicate(timeout=60)
        there = contents(out) if out.exists() else {}
        for name, content in there.items():
            if not Path(name).name.startswith(".tiffin-"):
                assert content == expected[name], name
        if kill % 4 == 3:
            tiffin.export(
                *(source, NAME), directory=out, sidecars=BOTH, existing="resume"
            )
            assert contents(out) == expected
            for name in (JSON, TABLE):
                (out / name).unlink()

"""Each file tells what is known of its image: live, replayed, and from every store."""

import datetime
import json
import logging

import numpy as np
import pytest
import tifffile
from bluesky.plans import count, grid_scan
from ophyd.sim import SynAxis

import tiffin
from tests.documents import FRAMES, hdf5, stream_run, write_jsonl
from tests.helpers import export_live
from tests.run_forms import in_datums
from tests.shell import tiffin as shell
from tests.stores import LIBRARIES_WARN, insert, store_in_tiled
from tiffin import ImageExporter
from tiffin.corrections import Bin
from tiffin.errors import SettingsError, TemplateError
from tiffin.testing import run_of

NAME = "{event.seq_num}_{i}.tif"
ONE = np.ones((1, 6, 9), "u2")
READINGS = [*map(float, range(12))]


def metadata_of(run, folder, **settings):
    """Export a run of one image; return the metadata in its file."""
    report = tiffin.export(run, NAME, directory=folder, **settings)
    (record,) = report.written
    return tiffin.read_metadata(record.path)


def all_in(folder):
    return {p.name: tiffin.read_metadata(p) for p in sorted(folder.glob("*.tif"))}


class Motor(SynAxis):
    """A simulated motor with units."""

    def __init__(self, name, unit):
        super().__init__(name=name)
        self.unit = unit

    def describe(self):
        described = super().describe()
        described[self.name]["units"] = self.unit
        return described


# ---- what is in it


def test_a_file_of_a_scan_has_all_that_is_known(RE, img, tmp_path):
    """Run, frame, time, sample, plan, motors with units: of a RunEngine, live."""
    theta, z = Motor("theta", "°"), Motor("z", "µm")
    documents = []
    RE.subscribe(lambda *pair: documents.append(pair))
    with ImageExporter(NAME, directory=tmp_path, timezone="Europe/Zurich") as exporter:
        RE.subscribe(exporter)
        plan = grid_scan([img], theta, 0, 1, 2, z, 5, 6, 2)
        (uid,) = RE(plan, sample_name="Å glass 😀", T="295 K")

    events = [doc for name, doc in documents if name == "event"]
    found = tiffin.read_metadata(tmp_path / "3_0.tif")
    time = datetime.datetime.fromisoformat(found.pop("time"))
    assert time.tzinfo is not None
    assert time.timestamp() == pytest.approx(events[2]["time"], abs=1e-5)
    assert found == {
        "run": uid, "scan_id": 1, "stream": "primary", "field": "img", "seq_num": 3,
        "i": 0, "frame": 2, "timestamp": events[2]["time"], "sample": "Å glass 😀",
        "plan_name": "grid_scan",
        "motors": {
            "theta": {"value": 1.0, "unit": "°"}, "z": {"value": 5.0, "unit": "µm"},
        },
    }  # fmt: skip
    with tifffile.TiffFile(tmp_path / "3_0.tif") as file:
        date = file.pages[0].tags["DateTime"].value
    assert date == time.strftime("%Y:%m:%d %H:%M:%S")


def test_the_exposure_is_that_of_the_detector(tmp_path):
    """From the configuration of the device that the field belongs to."""
    run = run_of({"img": ONE})
    run[1][1]["object_keys"] = {"det": ["img"], "other": ["x"]}
    run[1][1]["configuration"] = {
        "other": {"data": {"other_exposure_time": 9.0}},
        "det": {"data": {"det_name": "a", "det_cam_acquire_time": np.float32(0.5)}},
    }

    assert metadata_of(run, tmp_path)["exposure"] == 0.5


@pytest.mark.parametrize(
    ("start", "sample"),
    [
        ({"sample_name": "a", "sample": "b"}, "a"),
        ({"sample": "b"}, "b"),
        ({"sample": {"name": "c", "mass": 1}}, "c"),
        ({"sample": {"mass": 1}}, None),
        ({"sample_name": " ", "sample": "b"}, "b"),
        ({"sample_name": np.str_("a")}, "a"),
        ({"sample": np.array([1, 2])}, [1, 2]),
        ({}, None),
    ],
)
def test_the_sample_is_found_where_beamlines_put_it(tmp_path, start, sample):
    """Or there is none; it is never an error."""
    assert metadata_of(run_of({"img": ONE}, **start), tmp_path).get("sample") == sample


def test_corrections_are_in_it(tmp_path):
    """With everything else."""
    found = metadata_of(run_of({"img": ONE}), tmp_path, corrections=[Bin(3)])

    assert found["corrections"] == ["Bin(n=(3, 3), how='sum')"]
    assert found["seq_num"] == 1


PROFILES = ["plain", "imagej", "ome", "gsas2", "areadetector", "pilatus"]


@pytest.mark.parametrize("profile", PROFILES)
def test_files_of_every_profile_have_it(tmp_path, profile):
    """All characters survive, whatever else the profile writes."""
    image = np.ones((1, 6, 9), "i4" if profile == "pilatus" else "u2")
    run = run_of({"img": image}, scan_id=7, sample="10 µm Å 295 K 😀")

    found = metadata_of(run, tmp_path, profile=profile)
    assert found["sample"] == "10 µm Å 295 K 😀"
    assert found == metadata_of(run, tmp_path / "plain")


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("profile", ["plain", "ome"])
def test_every_page_of_a_stack_has_it(tmp_path, profile, bigtiff):
    """A list without a page, that of the page with one; in the shell too."""
    run = run_of({"img": np.ones((3, 6, 9), "u2"), "T": [1.5, 2.5, 3.5]}, sample="µ")
    report = tiffin.export(
        run, "a.tif", directory=tmp_path, profile=profile, stack="run", bigtiff=bigtiff,
        fields="img", metadata={"T": "event.data.T"},
    )  # fmt: skip

    path = report.written[0].path
    found = tiffin.read_metadata(path)
    assert [page["T"] for page in found] == [1.5, 2.5, 3.5]
    assert [page["seq_num"] for page in found] == [1, 2, 3]
    assert tiffin.read_metadata(path, page=2) == found[2]
    assert json.loads(shell("show", path, "--json", "--page", 1).stdout) == found[1]


def test_runs_one_after_another_do_not_mix(tmp_path):
    """What images share is kept for the next image, not for the next run."""
    runs = [run_of({"img": ONE}, scan_id=n, sample=f"s{n}") for n in range(100)]
    template = "{start.scan_id}_{event.seq_num}_{i}.tif"
    with ImageExporter(template, directory=tmp_path) as exporter:
        for run in runs:
            for name, doc in run:
                exporter(name, dict(doc))

    for n in range(100):
        found = tiffin.read_metadata(tmp_path / f"{n}_1_0.tif")
        assert (found["scan_id"], found["sample"]) == (n, f"s{n}")


# ---- what the user adds and removes


def test_entries_are_added_and_removed(tmp_path):
    """Each is a reference as in the template; None removes one."""
    run = run_of({"img": ONE, "T": [np.float32(2.5)]}, user={"name": "µ"}, sample="a")
    entries = {"T": "event.data.T", "who": "start.user.name", "user": "start.user"}

    found = metadata_of(
        run, tmp_path, fields="img", metadata=entries | {"sample": None}
    )
    assert found["T"] == 2.5
    assert (found["who"], found["user"]) == ("µ", {"name": "µ"})
    assert "sample" not in found


def test_none_writes_none(tmp_path):
    """But for what was done to the pixels, which no file may hide."""
    run = run_of({"img": ONE})

    assert metadata_of(run, tmp_path / "a", metadata=None) == {}
    corrected = metadata_of(run, tmp_path / "b", metadata=None, corrections=[Bin(3)])
    assert set(corrected) == {"corrections"}


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"T": "evnt.data.T"}, "did you mean 'event'"),
        ({"T": "event.data.T:03d"}, "T"),
        ({"T": ""}, None),
        ({"T": "25"}, "must be a reference such as 'event.data.T', not '25'$"),
        ({"T": "T"}, "did you mean 'start.T' or 'event.data.T'"),
        ({"T": 3}, "must be a reference such as 'event.data.T', not 3"),
        ({3: "event.data.T"}, "must have names as its keys, not 3"),
        ("event.data.T", "must be a mapping"),
        (True, "must be a mapping"),
    ],
)
@pytest.mark.parametrize("make", [ImageExporter, tiffin.export], ids=["live", "replay"])
def test_a_wrong_reference_is_refused_in_the_constructor(
    make, metadata, says, tmp_path
):
    """With what is allowed, and the nearest name."""
    arguments = [NAME] if make is ImageExporter else [run_of({"img": ONE}), NAME]
    if says is None:
        make(*arguments, directory=tmp_path, metadata=metadata)
        return
    with pytest.raises(SettingsError, match=rf"^metadata.*{says}"):
        make(*arguments, directory=tmp_path, metadata=metadata)
    assert not list(tmp_path.iterdir())


def test_the_stop_document_is_for_a_replay(tmp_path):
    """Live it comes after the images, and is refused."""
    entries = {"exit": "stop.exit_status"}

    assert metadata_of(run_of({"img": ONE}), tmp_path, metadata=entries)["exit"]
    with pytest.raises(TemplateError, match="only a replay"):
        ImageExporter(NAME, directory=tmp_path, metadata=entries)


class Strange:
    """Has attributes of an array, but is none."""

    size = 1

    def tolist(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"raw", "can't hold bytes"),
        (Strange(), "can't hold Strange"),
        (1j, "can't hold complex"),
        ([1, {"a": b""}], "can't hold bytes"),
        ({(1, 2): 3}, "can't hold tuple as a key"),
        (np.datetime64("2026-01-01"), "can't hold datetime64"),
        (np.zeros((40, 40)), "has 1600 elements, and at most 1000"),
        (10**400, "is an integer of 1329 bits"),
        ("µ" * 100_001, "has more than 100000 characters"),
        (["µ" * 500] * 500, "has more than 100000 characters"),
        ([[0] * 500] * 500, "has more than 100000 characters or elements"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_what_json_can_not_hold_is_refused_by_name_and_said_once(
    tmp_path, caplog, value, says
):
    """The other entries are written, and the image too."""
    run = run_of({"img": np.ones((3, 6, 9), "u2")}, odd=value, scan_id=7)
    entries = {"odd": "start.odd", "gone": "start.gone"}
    report = tiffin.export(run, NAME, directory=tmp_path, metadata=entries)

    assert len(report.written) == 3
    for found in all_in(tmp_path).values():
        assert found["scan_id"] == 7
        assert not {"odd", "gone"} & set(found)
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert (
        sum("metadata 'odd' is left out" in text and says in text for text in said) == 1
    )
    assert sum("'gone' is left out: start.gone is not in run" in t for t in said) == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (np.float32("inf"), None),
        ([1, float("nan")], [1, None]),
        (np.array([[1.5, np.nan]]), [[1.5, None]]),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        ({"a": (1, 2), 3: "b"}, {"a": [1, 2], "3": "b"}),
        ("\ud800 \x00 µ", "\ud800 \x00 µ"),
        (2**70, 2**70),
    ],
    ids=ascii,
)  # fmt: skip
def test_what_json_has_is_written(tmp_path, caplog, value, written):
    """NaN is null, numpy's numbers are numbers; text survives, whatever is in it."""
    run = run_of({"img": np.ones((3, 6, 9), "u2")}, odd=value)
    tiffin.export(run, NAME, directory=tmp_path, metadata={"odd": "start.odd"})

    for found in all_in(tmp_path).values():
        assert "odd" in found
        assert found["odd"] == written
    said = caplog.text.count("metadata 'odd' has null in place of")
    assert said == ("None" in str(written))


def test_a_misspelt_reference_is_said_with_the_nearest_key(tmp_path, caplog):
    """As it has to be written in ``metadata=``: without brackets."""
    run = run_of({"img": ONE, "temperature": [2.5]}, sample_name="a")
    entries = {
        "a": "event.data.temperatures",
        "b": "start.sampel_name",
        "c": "event.temperature",
    }
    metadata_of(run, tmp_path, fields="img", metadata=entries)

    for nearest in ("'temperature'", "'sample_name'", "'event.data.temperature'"):
        assert f"did you mean {nearest}?" in caplog.text


def test_a_motor_that_json_can_not_hold_leaves_the_others(tmp_path, caplog):
    """It is refused by its own name."""
    run = run_of({"img": ONE, "x": [float("nan")], "y": ["in"]}, motors=["x", "y", "z"])
    run[2][1]["data"]["z"] = b"?"

    found = metadata_of(run, tmp_path, fields="img")
    assert found["motors"] == {"x": {"value": None}, "y": {"value": "in"}}
    assert "'z' is left out: JSON can't hold bytes" in caplog.text


# ---- the same from everywhere


def test_live_and_replayed_files_are_the_same_bytes(RE, img, broker, tmp_path):
    """Live, from the documents, and from databroker."""
    documents = []
    RE.subscribe(lambda *pair: documents.append(pair))
    RE.subscribe(broker.v1.insert)
    live, again, stored = (tmp_path / name for name in ("live", "again", "stored"))
    with ImageExporter(NAME, directory=live) as exporter:
        RE.subscribe(exporter)
        (uid,) = RE(count([img], 2), sample={"name": "µ"})
    tiffin.export(documents, NAME, directory=again)
    tiffin.export(broker[uid], NAME, directory=stored)

    assert len(all_in(live)) == 2
    for path in live.glob("*.tif"):
        assert (again / path.name).read_bytes() == path.read_bytes()
        assert (stored / path.name).read_bytes() == path.read_bytes()


test_live_and_replayed_files_are_the_same_bytes.pytestmark = LIBRARIES_WARN


@pytest.mark.parametrize("order", ["datum first", "event first"])
def test_images_in_files_have_the_readings_of_their_events(tmp_path, order):
    """Stream datums wait for the events with the motors, in any order, live too."""
    run = stream_run(
        hdf5(tmp_path / "a.h5", FRAMES), "application/x-hdf5",
        {"dataset": "/entry/data/data"}, events=12, data=READINGS, order=order,
    )  # fmt: skip
    run[0][1]["motors"] = ["x"]
    export_live(run, NAME, tmp_path / "live")
    tiffin.export(run, NAME, directory=tmp_path / "again")

    found = all_in(tmp_path / "live")
    assert found == all_in(tmp_path / "again")
    for n in range(12):
        entry = found[f"{n + 1}_0.tif"]
        assert entry["motors"] == {"x": {"value": float(n)}}
        assert entry["timestamp"] == 100.0 + n


def test_an_entry_of_the_event_waits_for_the_event(tmp_path):
    """Also where the descriptor declares nothing but images."""
    run = stream_run(
        hdf5(tmp_path / "a.h5", FRAMES), "application/x-hdf5",
        {"dataset": "/entry/data/data"}, events=12, data=READINGS,
    )  # fmt: skip
    del run[1][1]["data_keys"]["x"]
    export_live(run, NAME, tmp_path / "out", metadata={"event": "event.uid"})

    found = all_in(tmp_path / "out")
    assert [found[f"{n + 1}_0.tif"]["event"] for n in range(12)] == [
        f"event-{n}" for n in range(12)
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_stores_give_the_same_metadata(tmp_path, broker, tiled):
    """Resource documents in databroker, and a Tiled server."""
    (tmp_path / "in").mkdir()
    images = np.arange(6 * 10 * 12, dtype="u2").reshape(6, 10, 12)
    run = in_datums(images, tmp_path / "in")
    run[0][1].update(sample={"name": "Å 😀"}, motors=["x"])
    run[1][1]["data_keys"]["x"] = {"source": "SIM", "dtype": "number", "shape": []}
    for _, event in [pair for pair in run if pair[0] == "event"]:
        event["data"]["x"] = event["timestamps"]["x"] = float(event["seq_num"])
    tiffin.export(run, NAME, directory=tmp_path / "documents")
    tiffin.export(insert(broker, run), NAME, directory=tmp_path / "broker")
    tiffin.export(store_in_tiled(tiled, run), NAME, directory=tmp_path / "tiled")

    found = all_in(tmp_path / "documents")
    assert len(found) == 6
    assert found["1_0.tif"]["sample"] == "Å 😀"
    assert found["6_0.tif"]["motors"] == {"x": {"value": 6.0}}
    assert all_in(tmp_path / "broker") == found
    assert all_in(tmp_path / "tiled") == found


# ---- the shell and the configuration file


@pytest.fixture
def source(tmp_path):
    run = run_of({"img": ONE, "T": [2.5]}, sample="a", scan_id=7)
    return write_jsonl(run, tmp_path / "runs.jsonl")


def exported(source, *options, config=None):
    out = source.parent / "out"
    if config is not None:
        (source.parent / "tiffin.toml").write_text(config)
        options = ("--config", source.parent / "tiffin.toml", *options)
    told = shell("export", source, "-t", NAME, "-d", out, "-f", "img", *options)
    assert told.returncode == 0, told.stderr
    shown = shell("show", out / "1_0.tif", "--json")
    return json.loads(shown.stdout)


def test_the_shell_adds_and_removes(source):
    """``NAME=REFERENCE``, and ``NAME=`` to remove."""
    found = exported(source, "--metadata", "T=event.data.T", "--metadata", "sample=")

    assert found["T"] == 2.5
    assert found["scan_id"] == 7
    assert "sample" not in found


def test_the_shell_asks_for_none(source):
    """``--metadata none``, as no reference is without its name."""
    assert exported(source, "--metadata", "none") == {}


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (
            "T",
            "--metadata must be NAME=REFERENCE, such as temperature=event.data.T, or "
            "NAME= to leave an entry out, not 'T'",
        ),
        ("T=evnt.data.T", "--metadata 'T' must be a reference such as 'event.data.T'"),
    ],
)
def test_a_wrong_option_is_refused(source, option, says):
    """With the way to write it, or the nearest name."""
    told = shell(
        "export", source, "-t", NAME, "-d", source.parent, "--metadata", option
    )

    assert told.returncode == 2
    assert says in told.stderr


@pytest.mark.parametrize(
    "config",
    [
        'metadata = ["T=event.data.T", "sample="]',
        '[metadata]\nT = "event.data.T"\nsample = false',
        'metadata = {T = "event.data.T", sample = ""}',
    ],
)
def test_the_configuration_file_does_the_same(source, config):
    """Entries as in the shell, or as a table."""
    found = exported(source, config=config)

    assert found["T"] == 2.5
    assert "sample" not in found


def test_the_configuration_file_asks_for_none(source):
    """By false, which the command line overrides."""
    assert exported(source, config="metadata = false") == {}
    options = ("--metadata", "T=event.data.T", "--existing", "replace")
    assert exported(source, *options, config="metadata = false")["T"] == 2.5


def test_a_resume_compares_the_entries(source):
    """Another entry would give other bytes."""
    exported(source)
    out = source.parent / "out"
    told = shell(
        "export", source, "-t", NAME, "-d", out, "-f", "img", "--existing", "resume",
        "--metadata", "none",
    )  # fmt: skip

    assert told.returncode != 0
    assert "metadata was {}, is None" in told.stderr
    assert shell("verify", out, "--against", source).returncode == 0

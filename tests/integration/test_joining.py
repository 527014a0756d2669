"""Frames averaged and added up: which, when they are read, and what is told of them."""

import json
import tracemalloc

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.plans import count
from event_model import compose_run

import tiffin
from tests.helpers import export_live, feed
from tiffin import ImageExporter
from tiffin.corrections import Average, Cast, Crop, DarkSubtract, Flip, Sum
from tiffin.errors import (
    CorrectionError,
    DtypeError,
    MissingDarkError,
    ReadError,
    ResumeError,
    SettingsError,
    TemplateError,
    VerifyError,
)
from tiffin.testing import run_of
from tiffin.verify import compare

NAME = "{start.scan_id}_{event.seq_num}_{i}_{frame}.tif"
DARK = 110


def stack(events, *images, dtype="u2"):
    """Images that all differ, one or more an event."""
    shape = (events, *images, 6, 9)
    return np.random.default_rng(7).integers(0, 2**16, shape).astype(dtype)


def run_with(images, **metadata):
    return run_of({"img": images}, scan_id=2, **metadata)


def export(run, directory, corrections, template=NAME, **more):
    more.setdefault("on_error", "report")
    return tiffin.export(
        run, template, directory=directory, corrections=corrections, **more
    )


def live(run, directory, corrections, template=NAME, **more):
    return export_live(run, template, directory, corrections=corrections, **more)


def lines_of(directory):
    (path,) = (directory / ".tiffin").iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


def names_of(report):
    return [record.path.name for record in report.records]


# which frames


@pytest.mark.parametrize("drive", [export, live])
def test_every_n_events_become_one_file(tmp_path, read, drive):
    """The name is that of the first event; {frame} counts the files."""
    images = stack(6)

    report = drive(run_with(images), tmp_path, [Average(3)])

    assert report.ok
    assert names_of(report) == ["2_1_0_0.tif", "2_4_0_1.tif"]
    for record, three in zip(report.written, (images[:3], images[3:]), strict=True):
        assert record.dtype == np.float32
        wanted = three.sum(axis=0, dtype="i8") / 3
        np.testing.assert_array_equal(read(record.path), wanted.astype("f4"))


@pytest.mark.parametrize("drive", [export, live])
def test_without_a_number_the_images_of_each_event_become_one(tmp_path, read, drive):
    """Its name needs no {i}, also live."""
    images = stack(2, 5)

    report = drive(run_with(images), tmp_path, [Sum()], "{event.seq_num}.tif")

    assert report.ok
    assert names_of(report) == ["1.tif", "2.tif"]
    for record, event in zip(report.written, images, strict=True):
        assert record.dtype == np.uint32
        np.testing.assert_array_equal(read(record.path), event.sum(0, dtype="i8"))


@pytest.mark.parametrize("drive", [export, live])
@pytest.mark.parametrize(("n", "firsts"), [(2, ["1_0", "1_2", "2_0", "2_2"]),
                                           (8, ["1_0"])])  # fmt: skip
def test_n_counts_across_the_images_of_events(tmp_path, read, drive, n, firsts):
    """In frame order: parts of an event, or several events."""
    images = stack(2, 4)

    report = drive(run_with(images), tmp_path, [Sum(n)])

    assert names_of(report) == [f"2_{f}_{k}.tif" for k, f in enumerate(firsts)]
    groups = images.reshape(-1, n, 6, 9)
    for record, group in zip(report.written, groups, strict=True):
        np.testing.assert_array_equal(read(record.path), group.sum(0, dtype="i8"))


def test_the_axes_of_an_event_are_those_of_the_first(tmp_path):
    """{i0} and {i1} still count the leading axes."""
    run = run_with(stack(1, 2, 4))

    report = export(run, tmp_path, [Sum(2)], "{i0}_{i1}.tif")

    assert names_of(report) == ["0_0.tif", "0_2.tif", "1_0.tif", "1_2.tif"]


def test_runs_streams_and_fields_are_kept_apart(tmp_path, read):
    """Also where they are interleaved."""
    a, b = stack(2), stack(2) // 2
    one = run_of({"x": a, "y": b}, scan_id=1)
    other = run_of({"x": b, "y": a}, scan_id=2)
    mixed = [pair for pairs in zip(one, other, strict=True) for pair in pairs]

    report = export(mixed, tmp_path, [Sum(2)], "{start.scan_id}_{field}.tif")

    assert report.ok
    for name, images in (("1_x", a), ("1_y", b), ("2_x", b), ("2_y", a)):
        np.testing.assert_array_equal(
            read(tmp_path / f"{name}.tif"), images.sum(0, dtype="i8")
        )


def test_two_joins_are_nested(tmp_path, read):
    """The images of each event first, then events; corrections between them apply
    in between.
    """
    images = stack(4, 3)

    report = export(run_with(images), tmp_path, [Sum(), Flip(0), Average(2)])

    assert names_of(report) == ["2_1_0_0.tif", "2_3_0_1.tif"]
    sums = images.sum(axis=1, dtype="i8")[:, ::-1]
    for record, two in zip(report.written, (sums[:2], sums[2:]), strict=True):
        np.testing.assert_array_equal(read(record.path), two.sum(0) / 2)


def test_colour_images_are_joined(tmp_path, read):
    """(rows, columns, 3) is one image."""
    images = np.random.default_rng(1).integers(0, 255, (2, 6, 9, 3)).astype("u1")

    report = export(run_with(images), tmp_path, [Sum(2)], colour="img")

    assert report.ok, report.failed
    np.testing.assert_array_equal(
        read(report.written[0].path), images.sum(0, dtype="i8")
    )


@pytest.mark.parametrize(
    "name",
    [
        "10_resource_datum_npy_seq",
        "15_ad_hdf5_1frame",
        "20_stream_hdf5_sim_count",
        "23_stream_tiff_adcore",
        "62_databroker2_replay_of_14",
    ],
)
def test_recorded_runs_of_every_kind_are_joined(sample, tmp_path, read, name):
    """From datums, stream datums and lists, the sum of each event's images is right."""
    documents = sample(name).documents()
    template = "{field}_{event.seq_num}_{i}.tif"

    plain = export(documents, tmp_path / "plain", [], template)
    joined = export(documents, tmp_path / "joined", [Sum()], template)

    assert joined.ok
    for record in joined.written:
        event = [
            read(one.path)
            for one in plain.written
            if (one.field, one.seq_num) == (record.field, record.seq_num)
        ]
        wanted = np.sum(event, axis=0, dtype="i8")
        np.testing.assert_array_equal(read(record.path), wanted)


# with other corrections


def dark_and_light(images, value=DARK):
    dark = run_of({"img": np.full((1, 6, 9), value, "u2")}, scan_id=1, dark_frame=True)
    uid = dark[0][1]["uid"]
    return dark, run_with(images, dark_frame=uid), uid


def test_steps_before_act_on_frames_and_steps_behind_on_the_result(tmp_path, read):
    """A dark for each frame, then the mean, then the cast; clipped pixels are
    counted.
    """
    images = np.full((4, 6, 9), 100, "u2")
    images[:2] = 113
    dark, light, uid = dark_and_light(images)
    steps = [DarkSubtract(), Average(2), Cast("uint16", overflow="clip")]

    report = export(light, tmp_path, steps, catalog={uid: dark})

    first, second = report.written
    assert first.kind == second.kind == "sub"
    assert (read(first.path) == 3).all()
    assert (read(second.path) == 0).all()
    assert report.clipped == 54


def test_what_went_in_is_written_down(tmp_path):
    """The manifest lists the frames, each dark once, and what was clipped."""
    dark, light, uid = dark_and_light(np.full((4, 6, 9), 100, "u2"))
    steps = [DarkSubtract(), Cast("uint16", overflow="clip"), Sum(4)]

    report = export(light, tmp_path, steps, catalog={uid: dark})

    assert report.clipped == 4 * 54
    settings, line = lines_of(tmp_path)
    assert settings["settings"]["corrections"][2] == "Sum(n=4)"
    assert line["image"] == "sub"
    assert line["clipped"] == 4 * 54
    used, joined = line["used"]
    assert used["run"] == uid
    assert joined == {
        "joined": "Sum(n=4)",
        "frames": 4,
        "first": {"seq_num": 1, "i": 0},
        "last": {"seq_num": 4, "i": 0},
    }


def test_a_file_tells_the_steps_of_its_frames_and_of_itself(tmp_path):
    """In the order in which they ran, each once, however many frames there were."""
    steps = [Flip(0), Sum(), Crop((0, 4), None), Average(2), Cast("float32")]

    report = export(run_with(stack(2, 3)), tmp_path, steps)

    assert report.ok
    told = [str(step) for step in steps]
    assert tiffin.read_metadata(report.written[0].path)["corrections"] == told


def test_nested_joins_tell_the_frames_at_the_bottom(tmp_path):
    """From the first image of the first event to the last of the last."""
    export(run_with(stack(2, 3)), tmp_path, [Average(), Average(2)])

    (joined,) = lines_of(tmp_path)[1]["used"]
    assert joined["frames"] == 2
    assert joined["first"] == {"seq_num": 1, "i": 0}
    assert joined["last"] == {"seq_num": 2, "i": 2}


def test_light_sub_and_dark_are_joined_each_by_itself(tmp_path, read):
    """Light and subtracted frames are joined; a dark stays as it was used."""
    images = stack(4) // 4 + DARK
    dark, light, uid = dark_and_light(images)

    report = export(
        light,
        tmp_path,
        [DarkSubtract(), Average(2)],
        "{kind}_{event.seq_num}.tif",
        catalog={uid: dark},
        save=("sub", "light", "dark"),
    )

    assert report.ok
    assert sorted(names_of(report)) == [
        "dark_1.tif", "light_1.tif", "light_3.tif", "sub_1.tif", "sub_3.tif",
    ]  # fmt: skip
    mean = images[2:].sum(0, dtype="i8") / 2
    np.testing.assert_array_equal(read(tmp_path / "light_3.tif"), mean)
    np.testing.assert_array_equal(read(tmp_path / "sub_3.tif"), mean - DARK)
    assert (read(tmp_path / "dark_1.tif") == DARK).all()
    assert read(tmp_path / "dark_1.tif").dtype == np.uint16


def test_a_dark_run_is_left_as_it_is(tmp_path):
    """Its single frame is not treated as an incomplete group."""
    dark, light, _ = dark_and_light(stack(10))
    steps = [DarkSubtract(), Average(10), Cast("float32")]

    report = export([dark, light], tmp_path, steps, "{start.scan_id}_{kind}.tif")

    assert report.ok
    assert names_of(report) == ["1_dark.tif", "2_sub.tif"]


def test_a_dark_may_be_subtracted_behind(tmp_path, read):
    """From the mean, with the dark of its first frame."""
    images = stack(2)
    dark, light, uid = dark_and_light(images)
    steps = [Average(2), DarkSubtract()]

    report = export(light, tmp_path, steps, catalog={uid: dark})

    wanted = images.sum(0, dtype="i8") / 2 - DARK
    np.testing.assert_array_equal(read(report.written[0].path), wanted.astype("f4"))


def with_darks(order):
    """Compose a run of `d`ark and `l`ight events."""
    run = compose_run(metadata={"scan_id": 3}, validate=False)
    key = {"source": "S", "dtype": "array", "shape": [6, 9], "dtype_numpy": "<u2"}
    streams = {
        letter: run.compose_descriptor(
            name=name, data_keys={"img": key}, validate=False
        )
        for letter, name in (("d", "dark"), ("l", "primary"))
    }
    documents = [("start", run.start_doc)]
    documents += [("descriptor", s.descriptor_doc) for s in streams.values()]
    for n, letter in enumerate(order):
        event = streams[letter].compose_event(
            data={"img": np.full((6, 9), 100 + n if letter == "l" else 10 * n, "u2")},
            timestamps={"img": 0},
            time=run.start_doc["time"] + n,
            validate=False,
        )
        documents.append(("event", event))
    documents.append(("stop", run.compose_stop(validate=False)))
    return [(name, dict(doc)) for name, doc in documents]


def test_each_frame_of_a_mean_has_its_own_dark(tmp_path, read):
    """Darks may change between the frames of one mean; all of them are listed."""
    steps = [DarkSubtract(stream="dark"), Average(2)]

    export(with_darks("dldl"), tmp_path, steps, "{event.seq_num}.tif")

    wanted = ((101 - 0) + (103 - 20)) / 2
    assert (read(tmp_path / "1.tif") == wanted).all()
    assert [used.get("seq_num") for used in lines_of(tmp_path)[1]["used"]] == [
        1,
        2,
        None,
    ]


@pytest.mark.parametrize(
    ("missing", "status", "error"),
    [
        ("error", "failed", MissingDarkError),
        ("skip", "skipped", MissingDarkError),
        ("raw", "failed", CorrectionError),
    ],
)
def test_a_mean_of_which_one_has_no_dark(tmp_path, missing, status, error):
    """It fails or is skipped; kinds are never mixed, and later means are not
    shifted.
    """
    steps = [DarkSubtract(stream="dark", missing=missing), Average(2)]

    report = export(with_darks("ldlll"), tmp_path, steps, "{kind}_{event.seq_num}.tif")

    first, second = report.records
    assert first.status == status
    assert isinstance(first.error, error)
    assert (second.status, second.path.name) == ("written", "sub_3.tif")


@pytest.mark.parametrize("save", [("sub",), ("sub", "light")])
def test_lights_without_any_dark_are_joined_raw_where_asked(tmp_path, read, save):
    """Once, and their name says so."""
    steps = [DarkSubtract(stream="dark", missing="raw"), Average(2)]

    report = export(with_darks("ll"), tmp_path, steps, "{kind}.tif", save=save)

    assert names_of(report) == ["light.tif"]
    assert (read(report.written[0].path) == 100.5).all()


# what goes wrong


@pytest.mark.parametrize("drive", [export, live])
@pytest.mark.parametrize("step", [Average(10), Sum(10)])
def test_frames_that_are_left_fail_and_are_told(tmp_path, drive, step):
    """An incomplete group fails: how many frames are left, of how many, and what to
    do.
    """
    report = drive(run_with(stack(13)), tmp_path, [step])

    assert [record.status for record in report.records] == ["written", "failed"]
    assert report.failed[0].seq_num == 11
    assert str(report.failed[0].error) == (
        f"events 11 to 13, field 'img': 3 frames are left of 13, too few for {step}: "
        f"choose an n that divides 13, or export without it"
    )
    assert lines_of(tmp_path)[-1]["status"] == "failed"


def test_a_run_without_a_stop_is_ended_all_the_same(tmp_path):
    """Complete means are written and the rest fails when the exporter is closed."""
    run = run_with(stack(5))[:-1]

    reports = [
        export(run, tmp_path / "a", [Sum(3)]),
        live(run, tmp_path / "b", [Sum(3)]),
    ]

    for report in reports:
        assert [record.status for record in report.records] == ["written", "failed"]
        assert "2 frames are left of 5" in str(report.failed[0].error)


def test_a_plan_that_is_aborted(RE, img, tmp_path, read, images):
    """The stop document says abort; complete means are written and the rest fails."""

    @bpp.run_decorator()
    def plan():
        for _ in range(5):
            yield from bps.trigger_and_read([img])
        raise RuntimeError("beam lost")

    exporter = ImageExporter("{event.seq_num}.tif", directory=tmp_path,
                             corrections=[Average(2)])  # fmt: skip
    RE.subscribe(exporter)

    with pytest.raises(RuntimeError, match="beam lost"):
        RE(plan())

    (report,) = exporter.reports.values()
    assert [record.status for record in report.records] == ["written"] * 2 + ["failed"]
    two = images.taken(5)[2:4]
    np.testing.assert_array_equal(read(tmp_path / "3.tif"), (two[0] / 2 + two[1] / 2))


def test_a_mean_of_a_whole_run_needs_no_number_in_its_name(RE, img, tmp_path, names_in):
    """Live, ten frames that become one have one name."""
    exporter = ImageExporter("{start.scan_id}.tif", directory=tmp_path,
                             corrections=[Average(10)])  # fmt: skip

    (uid,) = RE(count([img], 10), exporter)

    assert exporter.reports[uid].ok
    assert names_in(tmp_path) == ["1.tif"]


def test_names_that_can_not_tell_joined_frames_apart_are_refused_live(
    RE, img, tmp_path
):
    """Before the first file is written, as for single frames."""
    exporter = ImageExporter("{start.scan_id}.tif", directory=tmp_path,
                             corrections=[Average(5)])  # fmt: skip

    (uid,) = RE(count([img], 10), exporter)

    report = exporter.reports[uid]
    assert not report.written
    assert isinstance(report.failed[0].error, TemplateError)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (np.zeros((5, 9), "u2"), r"uint16 \(6, 9\).*event 2.*uint16 \(5, 9\)"),
        (np.zeros((6, 9), "u1"), r"uint16 \(6, 9\).*event 2.*uint8 \(6, 9\)"),
    ],
)
def test_frames_that_differ_are_not_joined(tmp_path, other, says):
    """Another shape or dtype: the error shows both, and the next mean is written."""
    images = [
        np.ones((6, 9), "u2"),
        other,
        np.ones((6, 9), "u2"),
        np.ones((6, 9), "u2"),
    ]

    report = export(run_with(images), tmp_path, [Sum(2)])

    assert [record.status for record in report.records] == ["failed", "written"]
    with pytest.raises(CorrectionError, match=says):
        raise report.failed[0].error


def test_a_frame_that_is_known_to_have_no_image_fails_its_mean_alone(tmp_path):
    """Later means are not shifted, and the cause is reported."""
    run = run_with(stack(4))
    run[2][1]["data"]["img"] = "lost"

    report = export(run, tmp_path, [Sum(2)])

    assert [(r.status, r.seq_num) for r in report.records] == [
        ("failed", 1),
        ("written", 3),
    ]
    assert "event 1" in str(report.failed[0].error)


@pytest.mark.parametrize("lost", [0, 1])
def test_an_event_of_several_images_that_is_lost_shifts_nothing(tmp_path, lost):
    """It counts as many images as its descriptor declares."""
    run = run_with(stack(3, 4))
    run[2 + lost][1]["data"]["img"] = "lost"

    report = export(run, tmp_path, [Sum(2)])

    wanted = [(s, i) for s in (1, 2, 3) if s != 1 + lost for i in (0, 2)]
    assert [(r.seq_num, r.i) for r in report.written] == wanted
    assert len(report.failed) == 2


def test_an_event_without_images_is_skipped_and_counts_for_nothing(tmp_path, read):
    """It has no frame, so the sum takes the next event."""
    images = stack(4)
    values = [images[0], np.zeros((0, 9), "u2"), images[2], images[3]]
    run = run_with(values)

    report = export(run, tmp_path, [Sum(3)])

    assert sorted((r.status, r.seq_num) for r in report.records) == [
        ("skipped", 2),
        ("written", 1),
    ]
    wanted = images[[0, 2, 3]].sum(0, dtype="i8")
    np.testing.assert_array_equal(read(report.written[0].path), wanted)


def test_a_correction_that_raises_fails_the_mean_and_names_the_frame(tmp_path):
    """Here the second frame of three."""

    def broken(image, frame):
        if frame.seq_num == 2:
            raise ZeroDivisionError("oops")
        return image

    report = export(run_with(stack(6)), tmp_path, [broken, Average(3)])

    assert [record.status for record in report.records] == ["failed", "written"]
    assert "event 2" in str(report.failed[0].error)
    assert "ZeroDivisionError: oops" in str(report.failed[0].error)


def test_a_sum_that_no_tiff_holds_fails(tmp_path):
    """A sum of 64-bit integers has no dtype in TIFF."""
    report = export(run_with(stack(2, dtype="u8")), tmp_path, [Sum(2)])

    assert isinstance(report.failed[0].error, DtypeError)
    assert "Cast to a smaller dtype before" in str(report.failed[0].error)


def test_an_event_that_holds_more_than_announced(tmp_path, read):
    """Groups of n can't be known then; all images of one event still can be joined."""
    images = stack(2, 3)
    run = as_files(run_with(images), images, tmp_path / "data", shape=[6, 9])

    report = export(run, tmp_path / "a", [Sum(2)])
    whole = export(run, tmp_path / "b", [Sum()])

    assert "event 1 has 3 images" in str(report.failed[0].error)
    assert whole.ok
    for record, event in zip(whole.written, images, strict=True):
        np.testing.assert_array_equal(read(record.path), event.sum(0, dtype="i8"))


# files outside, and what is there already


def as_files(run, images, folder, *, shape=None):
    """Put a run's images into NPY files, an event each."""
    folder.mkdir(parents=True, exist_ok=True)
    key = run[1][1]["data_keys"]["img"]
    key["external"] = "FILESTORE:"
    key["shape"] = shape or key["shape"]
    documents = run[:2]
    resource = {
        "uid": "r", "spec": "NPY_SEQ", "root": str(folder), "resource_path": "f",
        "resource_kwargs": {}, "path_semantics": "posix",
        "run_start": run[0][1]["uid"],
    }  # fmt: skip
    documents.append(("resource", resource))
    for n, (name, doc) in enumerate(run[2:-1]):
        np.save(folder / f"f_{n}.npy", images[n])
        datum = {"datum_id": f"r/{n}", "resource": "r", "datum_kwargs": {"index": n}}
        documents.append(("datum", datum))
        doc["data"]["img"] = f"r/{n}"
        doc["filled"] = {"img": False}
        documents.append((name, doc))
    return [*documents, run[-1]]


def test_files_are_read_when_a_worker_joins_them(tmp_path, read):
    """Live and replayed give the same bytes."""
    images = stack(6)
    run = as_files(run_with(images), images, tmp_path / "data")

    replayed = export(run, tmp_path / "a", [Average(3)])
    followed = live(run, tmp_path / "b", [Average(3)])

    assert replayed.ok
    assert followed.ok
    for one, other in zip(replayed.written, followed.written, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
    assert (tmp_path / "a/.tiffin").is_dir()
    assert lines_of(tmp_path / "a") == lines_of(tmp_path / "b")


def test_a_file_that_can_not_be_read_fails_its_mean_with_the_cause(tmp_path):
    """Other means are written."""
    images = stack(4)
    run = as_files(run_with(images), images, tmp_path / "data")
    (tmp_path / "data/f_1.npy").write_bytes(b"rubbish")

    report = export(run, tmp_path / "out", [Average(2)])

    assert [record.status for record in report.records] == ["failed", "written"]
    assert isinstance(report.failed[0].error, ReadError)
    assert "event 2" in str(report.failed[0].error)


def test_a_file_that_comes_late_is_waited_for(tmp_path, read):
    """As single frames do, the mean waits for the file."""
    images = stack(4)
    run = as_files(run_with(images), images, tmp_path / "data")
    late = tmp_path / "data/f_1.npy"
    late.rename(tmp_path / "late")
    exporter = ImageExporter(
        NAME, directory=tmp_path / "out", corrections=[Sum(2)], asset_timeout=60
    )

    feed(exporter, run)
    (report,) = exporter.reports.values()
    before = [record.status for record in report.records]
    (tmp_path / "late").rename(late)
    exporter.close()

    (report,) = exporter.reports.values()
    assert before == ["planned", "written"]
    assert report.ok
    wanted = images[:2].sum(0, dtype="i8")
    np.testing.assert_array_equal(read(report.records[0].path), wanted)


def test_a_file_that_never_comes_fails(tmp_path):
    """With the reason, after asset_timeout."""
    images = stack(2)
    run = as_files(run_with(images), images, tmp_path / "data")
    (tmp_path / "data/f_1.npy").unlink()

    report = live(run, tmp_path / "out", [Sum(2)], asset_timeout=0.2)

    assert len(report.failed) == 1
    assert "f_1.npy" in str(report.failed[0].error)


def test_a_dry_run_names_what_is_written_and_reads_nothing(tmp_path):
    """The detector's files need not exist."""
    images = stack(5)
    run = as_files(run_with(images), images, tmp_path / "data")
    real = export(run, tmp_path / "out", [Average(2)])
    for path in (tmp_path / "data").iterdir():
        path.unlink()

    planned = export(run, tmp_path / "other", [Average(2)], dry_run=True)

    assert [r.status for r in planned.records] == ["planned", "planned", "failed"]
    assert names_of(planned) == names_of(real)


def test_resume_leaves_what_is_whole_and_mends_the_rest(tmp_path):
    """The bytes are the same again; another n is refused."""
    run = run_with(stack(6))
    first = export(run, tmp_path, [Average(2)])
    whole = [record.path.read_bytes() for record in first.written]
    first.written[1].path.unlink()

    again = export(run, tmp_path, [Average(2)], existing="resume")

    assert [r.status for r in again.records] == ["skipped", "written", "skipped"]
    assert [record.path.read_bytes() for record in again.records] == whole
    with pytest.raises(ResumeError, match=r"Average\(n=2\).*Average\(n=3\)"):
        export(run, tmp_path, [Average(3)], existing="resume", on_error="raise")


def test_files_that_are_joined_are_verified_by_checksum_only(tmp_path):
    """A manifest does not hold the corrections, and the comparison says so."""
    run = run_with(stack(4))
    export(run, tmp_path, [Average(2)])

    assert tiffin.verify(tmp_path).ok
    with pytest.raises(VerifyError, match=r"Average\(n=2\)"):
        compare(tmp_path, run)


def test_one_worker_and_four_give_the_same_folder(tmp_path):
    """The manifest is the same too."""
    run = run_with(stack(24))

    for workers in (1, 4):
        export(run, tmp_path / str(workers), [Average(3)], workers=workers)

    one, four = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "1", tmp_path / "4")
    )
    assert one == four


# memory


class Documents:
    """A run that can be gone through again, and is never in memory as a whole."""

    def __init__(self, events, shape):
        self.events, self.shape = events, shape
        self.head = run_of({"img": np.zeros((1, *shape), "u2")}, scan_id=2)

    def __iter__(self):
        start, descriptor, (_, event), stop = self.head
        yield from (start, descriptor)
        for k in range(self.events):
            data = {"img": np.full(self.shape, k, "u2")}
            yield "event", {**event, "uid": str(k), "seq_num": k + 1, "data": data}
        yield stop


@pytest.mark.parametrize("drive", [export, live])
def test_images_in_documents_are_not_all_held(tmp_path, read, drive):
    """Images of one mean are summed before they fill the memory."""
    shape, n = (512, 256), 80

    tracemalloc.start()
    try:
        report = drive(Documents(n, shape), tmp_path, [Average(n)], memory=2**20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert report.ok
    assert (read(report.written[0].path) == (n - 1) / 2).all()
    assert peak < n * 2**18 / 2


def test_a_join_takes_frames_not_an_image():
    """Calling it as a function raises an error that explains its use."""
    with pytest.raises(CorrectionError, match="joins frames"):
        Average(2)(np.zeros((6, 9)), None)


@pytest.mark.parametrize("n", [0, True, 1.5])
def test_settings_are_refused_before_any_run(n):
    """Wrong settings raise a SettingsError."""
    with pytest.raises(SettingsError):
        Average(n)


def test_what_stands_before_may_change_the_shape(tmp_path):
    """Shapes are compared after the corrections before the join."""
    report = export(run_with(stack(2)), tmp_path, [Crop((0, 4), (0, 6)), Sum(2)])

    assert report.written[0].shape == (4, 6)

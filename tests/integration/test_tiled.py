"""Afterwards, from Tiled: what it holds, what it points at, what it has lost."""

import uuid

import numpy as np
import pytest
import tifffile
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.plans import count, scan
from ophyd.sim import motor
from PIL import Image as Picture

import tiffin
from tests.documents import FRAMES, HDF5, hdf5
from tests.helpers import check
from tests.stores import LIBRARIES_WARN, tiled_writer
from tiffin import ImageExporter, get_images, process
from tiffin.testing import run_of

from .conftest import Counter, Image

NAME = "{start.scan_id}_step{event.seq_num}.tif"
VIAS = ["auto", "http", "files"]

pytestmark = LIBRARIES_WARN


@pytest.fixture
def stored(RE, tiled):
    """Take runs with a Tiled server listening."""
    RE.subscribe(tiled_writer(tiled))
    return RE


def streamed(resources, *, shape=(1, 6, 9), events=4, dtype="<u2", with_events=True):
    """Compose a run whose field `img` is in stream resources.

    Each is (mimetype, uri, parameters, stream datums), and a datum is the first and
    last of its indices, and its first seq_num.
    """
    run, descriptor = str(uuid.uuid4()), str(uuid.uuid4())
    img = {
        "source": "SIM", "dtype": "array", "shape": list(shape), "dtype_numpy": dtype,
        "external": "STREAM:",
    }  # fmt: skip
    x = {"source": "SIM", "dtype": "number", "shape": [], "dtype_numpy": "<f8"}
    keys = {"img": img, **({"x": x} if with_events else {})}
    told = [
        ("start", {"uid": run, "time": 1.0, "scan_id": 7}),
        (
            "descriptor",
            {
                "uid": descriptor, "run_start": run, "name": "primary", "time": 2.0,
                "data_keys": keys, "configuration": {}, "object_keys": {}, "hints": {},
            },
        ),
    ]  # fmt: skip
    for mimetype, uri, parameters, datums in resources:
        uid = str(uuid.uuid4())
        resource = {
            "uid": uid, "run_start": run, "data_key": "img", "mimetype": mimetype,
            "uri": uri, "parameters": parameters,
        }  # fmt: skip
        told.append(("stream_resource", resource))
        for first, stop, seq_num in datums:
            datum = {
                "uid": f"{uid}/{first}", "stream_resource": uid,
                "descriptor": descriptor,
                "indices": {"start": first, "stop": stop},
                "seq_nums": {"start": seq_num, "stop": seq_num + stop - first},
            }  # fmt: skip
            told.append(("stream_datum", datum))
    for n in range(1, events + 1) if with_events else ():
        event = {
            "uid": str(uuid.uuid4()), "descriptor": descriptor, "seq_num": n,
            "time": 100.0 + n, "data": {"x": n * 10.0}, "timestamps": {"x": 100.0},
            "filled": {},
        }  # fmt: skip
        told.append(("event", event))
    stop = {"uid": str(uuid.uuid4()), "run_start": run, "time": 900.0}
    return [*told, ("stop", {**stop, "exit_status": "success"})]


def filed(spec, root, path, kwargs, *, shape, events=4):
    """Compose a run whose field `img` is in a Resource."""
    run = run_of({"img": [f"{n}" for n in range(events)]}, scan_id=7)
    run[1][1]["data_keys"]["img"] = {
        "source": "SIM", "dtype": "array", "shape": list(shape), "dtype_numpy": "<u2",
        "external": "FILESTORE:",
    }  # fmt: skip
    uid = str(uuid.uuid4())
    resource = {
        "uid": uid, "spec": spec, "root": str(root), "resource_path": path,
        "resource_kwargs": kwargs, "path_semantics": "posix",
    }  # fmt: skip
    told = [*run[:2], ("resource", resource)]
    for n, (_, event) in enumerate(run[2:-1]):
        datum = {
            "datum_id": f"{uid}/{n}",
            "resource": uid,
            "datum_kwargs": {"point_number": n},
        }
        event["data"], event["filled"] = {"img": f"{uid}/{n}"}, {"img": False}
        told += [("datum", datum), ("event", event)]
    return [*told, run[-1]]


INSIDE = {"dataset": "/entry/data/data", "chunk_shape": [1, 6, 9]}


# ---- what Tiled holds


def test_export_takes_a_tiled_run(stored, tiled, img, images, tmp_path, read, names_in):
    """client[uid] by slices, as run.documents() answers 406 here."""
    (uid,) = stored(scan([img], motor, -1, 1, 3))

    template = "{start.scan_id}_{event.seq_num}_{event.data.motor:.1f}.tif"
    report = tiffin.export(tiled[uid], template, directory=tmp_path / "out")

    check(report, images.taken(3), read)
    names = [r.path.name for r in report.written]
    assert names == ["1_1_-1.0.tif", "1_2_0.0.tif", "1_3_1.0.tif"]


def test_a_list_of_tiled_runs_through_process(
    stored, tiled, img, external, images, tmp_path, read
):
    """In-line and external images, through a callback."""
    uids = stored(count([img], 2)) + stored(count([external], 2))
    exporter = ImageExporter(NAME, directory=tmp_path / "out")

    reports = process([tiled[uid] for uid in uids], exporter)

    taken = images.taken(4)
    assert list(reports) == list(uids)
    check(reports[uids[0]], taken[:2], read)
    check(reports[uids[1]], taken[2:], read)


def test_a_tiled_stack_is_sliced_frame_by_frame(stored, tiled, tmp_path, read):
    """S11: 3-D events from Tiled."""
    stacks = Counter((4, 10, 12))
    (uid,) = stored(count([Image(name="stack", func=stacks)], 2))

    report = tiffin.export(
        tiled[uid], "{event.seq_num}_{i}.tif", directory=tmp_path / "out"
    )

    check(report, [image for stack in stacks.taken(2) for image in stack], read)


def test_get_images_takes_a_tiled_run(stored, tiled, img, images):
    """It returns arrays from Tiled."""
    (uid,) = stored(count([img], 2))

    found = get_images(tiled[uid], "img")

    np.testing.assert_array_equal(np.stack(found), np.stack(images.taken(2)))


def test_the_users_client_is_left_as_it_is(stored, tiled, img, tmp_path):
    """run.v1 and run.v2 are never used, as they change the whole client."""
    (uid,) = stored(count([img], 1))

    tiffin.export(tiled[uid], NAME, directory=tmp_path / "out")

    assert "img" in list(tiled[uid]["primary"])


def test_a_client_that_shows_the_older_layout_is_exported(
    stored, tiled, img, images, tmp_path, read
):
    """After the user touched run.v2, every run is V2, and stays so."""
    (uid,) = stored(count([img], 2))
    try:
        _ = tiled[uid].v2
        before = type(tiled[uid]).__name__

        report = tiffin.export(tiled[uid], NAME, directory=tmp_path / "out")

        after = type(tiled[uid]).__name__
    finally:
        _ = tiled[uid].v3  # or every later test would have it so

    assert before == after == "BlueskyRunV2SQL"
    check(report, images.taken(2), read)


class Gained(Image):
    """A simulated image with a gain, which can be configured."""

    gain = 1

    def read_configuration(self):
        return {"img_gain": {"value": self.gain, "timestamp": 1.0}}

    def describe_configuration(self):
        return {
            "img_gain": {
                "source": "SIM",
                "dtype": "integer",
                "shape": [],
                "dtype_numpy": "<i8",
            }
        }

    def configure(self, gain):
        old, self.gain = self.read_configuration(), gain
        return old, self.read_configuration()


def test_a_run_configured_midway_has_each_frame_under_its_own_gain(
    stored, tiled, images, tmp_path, read
):
    """S20: Tiled keeps a second descriptor as an update."""
    detector = Gained(name="img", func=images)

    @bpp.run_decorator()
    def plan():
        for gain in (1, 8, 3):
            yield from bps.configure(detector, gain)
            for _ in range(2):
                yield from bps.trigger_and_read([detector, motor])

    (uid,) = stored(plan())
    gain = "{descriptor.configuration.img.data.img_gain}"
    report = tiffin.export(
        tiled[uid], "g" + gain + "_{event.seq_num}.tif", directory=tmp_path / "out"
    )

    check(report, images.taken(6), read)
    names = ["g1_1", "g1_2", "g8_3", "g8_4", "g3_5", "g3_6"]
    assert [record.path.stem for record in report.written] == names


def test_counts_that_come_back_as_floats_are_spoken_of_once(store, tmp_path, caplog):
    """Tiled keeps a dtype only with dtype_numpy; not said if a dtype is asked for."""
    run = store(run_of({"img": FRAMES[:3]}, dtype_numpy=False, scan_id=7))

    report = tiffin.export(run, NAME, directory=tmp_path / "out")
    tiffin.export(run, NAME, directory=tmp_path / "counts", dtype="uint16")

    said = [message for message in caplog.messages if "float64" in message]
    assert report.written[0].dtype == np.float64
    assert len(said) == 1
    assert "dtype='uint16'" in said[0]


def test_images_of_several_shapes_are_failed_with_their_reason(store, tmp_path):
    """Tiled keeps them as a ragged array, which has no dtype."""
    documents = run_of({"img": [FRAMES[:2], FRAMES[:3]]}, scan_id=7)
    documents[1][1]["data_keys"]["img"]["shape"] = [None, 6, 9]

    report = tiffin.export(
        store(documents), NAME, directory=tmp_path / "out", on_error="report"
    )

    assert len(report.failed) == 2
    assert "Ragged" in str(report.failed[0].error)


# ---- what Tiled points at


def test_images_of_only_some_events_fail(store, tmp_path):
    """Tiled has not kept seq_nums other than row + 1, so nothing is guessed."""
    uri = hdf5(tmp_path / "a.h5", FRAMES[:2])
    run = store(streamed([(HDF5, uri, INSIDE, [(0, 2, 3)])]))

    for via in VIAS:
        report = tiffin.export(
            run, NAME, directory=tmp_path / via, on_error="report", via=via
        )

        assert [record.seq_num for record in report.failed] == [1, 2, 3, 4]
        assert not report.written
        for record in report.failed:
            assert "2 events of 'img' for 4" in str(record.error)
            assert "does not store which" in str(record.error)


def test_a_dry_run_knows_of_images_that_can_not_be_told(store, tmp_path):
    """It names what a real export writes."""
    uri = hdf5(tmp_path / "a.h5", FRAMES[:2])
    run = store(streamed([(HDF5, uri, INSIDE, [(0, 2, 3)])]))

    report = tiffin.export(
        run, NAME, directory=tmp_path, on_error="report", dry_run=True
    )

    assert len(report.failed) == 4
    assert not report.planned


def test_images_of_only_some_events_in_line_fail(store, tmp_path):
    """Also for arrays that Tiled holds itself; other fields are exported."""
    documents = run_of({"img": FRAMES[:3], "other": FRAMES[3:6]}, scan_id=7)
    for part in ("data", "timestamps"):
        del documents[3][1][part]["img"]
    run = store(documents, batch_size=10)

    report = tiffin.export(
        run, "{field}_" + NAME, directory=tmp_path, on_error="report"
    )

    assert [record.field for record in report.written] == ["other"] * 3
    assert [record.field for record in report.failed] == ["img"] * 3


def test_a_file_that_holds_more_than_tiled_tells_of_is_spoken_of(
    store, tmp_path, read, caplog
):
    """A warning: frames may have been skipped, and Tiled does not say which."""
    uri = hdf5(tmp_path / "a.h5")
    run = store(streamed([(HDF5, uri, INSIDE, [(0, 4, 1)])]))

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    check(report, FRAMES[:4], read)
    assert [m for m in caplog.messages if "holds more than the 4 events" in m][1:] == []
    assert "holds more than the 4 events" in caplog.text


@pytest.mark.parametrize("with_events", [True, False])
def test_one_field_over_two_files(store, tmp_path, read, with_events):
    """Each file's events count from its own start."""
    datums = [[(0, 3, 1)], [(0, 5, 4)]]
    parts = [FRAMES[:3], FRAMES[3:8]]
    resources = [
        (HDF5, hdf5(tmp_path / f"{n}.h5", part), INSIDE, datums[n])
        for n, part in enumerate(parts)
    ]
    run = store(streamed(resources, events=8, with_events=with_events))

    for via in VIAS:
        report = tiffin.export(run, NAME, directory=tmp_path / via, via=via)

        check(report, FRAMES[:8], read)
        assert [record.seq_num for record in report.written] == list(range(1, 9))


def test_two_files_that_hold_other_than_tiled_tells_of_fail(store, tmp_path):
    """Which of their rows are meant can't be known."""
    resources = [
        (HDF5, hdf5(tmp_path / "0.h5", FRAMES[:4]), INSIDE, [(0, 3, 1)]),
        (HDF5, hdf5(tmp_path / "1.h5", FRAMES[4:]), INSIDE, [(0, 5, 4)]),
    ]
    run = store(streamed(resources, events=8))

    report = tiffin.export(
        run, NAME, directory=tmp_path / "out", on_error="report", via="files"
    )

    assert len(report.failed) == 8
    assert "hold 4 + 8 events, but Tiled lists 8" in str(report.failed[0].error)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3, 6, 9), (1, 6, 9), (6, 9)])
@pytest.mark.parametrize("spec", ["AD_HDF5", "AD_TIFF"])
def test_images_a_point(store, tmp_path, read, spec, shape):
    """Three images an event, whatever an older detector declares."""
    kwargs = {"frame_per_point": 3, "template": "%s%s_%6.6d.tif", "filename": "f"}
    if spec == "AD_HDF5":
        hdf5(tmp_path / "a.h5")
        documents = filed(spec, tmp_path, "a.h5", {"frame_per_point": 3}, shape=shape)
    else:
        for n, frame in enumerate(FRAMES):
            tifffile.imwrite(tmp_path / f"f_{n:06d}.tif", frame)
        documents = filed(
            spec, tmp_path.parent, f"{tmp_path.name}/", kwargs, shape=shape
        )

    run = store(documents)

    for via in VIAS:
        report = tiffin.export(
            run, "{event.seq_num}_{i}.tif", directory=tmp_path / via, via=via
        )

        check(report, FRAMES, read)


@pytest.mark.parametrize(
    ("spec", "slash"),
    [
        ("AD_TIFF", "/"),
        ("AD_HDF5_SINGLE", ""),
        pytest.param("AD_TIFF", "", marks=pytest.mark.slow),
        pytest.param("AD_HDF5_SINGLE", "/", marks=pytest.mark.slow),
    ],
)
def test_an_older_detectors_file_an_image(store, tmp_path, read, spec, slash):
    """Tiled stores these and can't read them: it loses the '/' between folder and
    file.
    """
    (tmp_path / "data").mkdir()
    ending = "tif" if spec == "AD_TIFF" else "h5"
    for n, frame in enumerate(FRAMES[:4]):
        path = tmp_path / f"data/f_{n:06d}.{ending}"
        if spec == "AD_TIFF":
            tifffile.imwrite(path, frame)
        else:
            hdf5(path, frame[np.newaxis])
    template = "%s%s_%6.6d." + ending
    kwargs = {"frame_per_point": 1, "template": template, "filename": "f"}
    run = store(filed(spec, tmp_path, f"data{slash}", kwargs, shape=(1, 6, 9)))

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    check(report, FRAMES[:4], read)


COLOURS = np.random.default_rng(4).integers(0, 255, (4, 6, 9, 3), "u1")


def coloured(folder, kind, shape):
    """Make files of colour, and a run of them."""
    template = "c_{:d}.tif" if kind == "tiff" else "c_{:d}.jpg"
    for n, image in enumerate(COLOURS):
        path = folder / template.format(n)
        if kind == "tiff":
            tifffile.imwrite(path, image, photometric="rgb")
        else:
            Picture.fromarray(image).save(path)
    mimetype = f"multipart/related;type=image/{kind}"
    parameters = {"template": template, "chunk_shape": [1, 3, 6, 9]}
    resource = (mimetype, f"file://localhost{folder}/", parameters, [(0, 4, 1)])
    return streamed([resource], shape=shape, dtype="|u1")


SHAPES = [(1, 3, 6, 9), pytest.param((3, 6, 9), marks=pytest.mark.slow)]
PICTURES = ["tiff", pytest.param("jpeg", marks=pytest.mark.slow)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["tiff", "jpeg"])
def test_colour_is_read_from_its_files(store, tmp_path, read, kind, shape):
    """The server scrambles RGB; the files hold it intact."""
    run = store(coloured(tmp_path, kind, shape))
    suffix = "tif" if kind == "tiff" else "jpg"
    pictures = [
        np.asarray(Picture.open(tmp_path / f"c_{n}.{suffix}")) for n in range(4)
    ]

    for via in ("auto", "files"):
        report = tiffin.export(run, NAME, directory=tmp_path / via, via=via)

        check(report, pictures, read, dtype="uint8")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PICTURES)
def test_colour_is_not_taken_from_the_server(store, tmp_path, kind, shape):
    """The server only reshapes the file, so without the files the frames fail."""
    run = store(coloured(tmp_path, kind, shape))
    away = {str(tmp_path): "/nowhere"}

    for via, roots in (("http", None), ("http", away), ("auto", away)):
        report = tiffin.export(
            run, NAME, directory=tmp_path / "out", on_error="report", via=via,
            root_map=roots,
        )  # fmt: skip

        assert [record.seq_num for record in report.failed] == [1, 2, 3, 4]
        assert not report.written
        assert "from its files" in str(report.failed[0].error)


def test_stacks_of_three_are_no_colour(store, tmp_path, read):
    """Three grey pages in each TIFF, as one of the files shows."""
    for n in range(4):
        pages = FRAMES[3 * n : 3 * n + 3]
        tifffile.imwrite(tmp_path / f"m_{n}.tif", pages, photometric="minisblack")
    parameters = {"template": "m_{:d}.tif", "chunk_shape": [3, 6, 9]}
    uri = f"file://localhost{tmp_path}/"
    mimetype = "multipart/related;type=image/tiff"
    resource = (mimetype, uri, parameters, [(0, 4, 1)])
    run = store(streamed([resource], shape=(3, 6, 9)))

    for via in VIAS:
        report = tiffin.export(
            run, "{event.seq_num}_{i}.tif", directory=tmp_path / via, via=via
        )

        check(report, FRAMES, read)


def test_files_that_have_moved_are_found_by_every_way_of_reading(store, tmp_path, read):
    """S43: `process` uses the exporter's root_map, `get_images` its own."""
    (tmp_path / "old").mkdir()
    uri = hdf5(tmp_path / "old" / "a.h5", FRAMES[:4])
    parameters = {"dataset": "/entry/data/data", "chunk_shape": [1, 6, 9]}
    resource = ("application/x-hdf5", uri, parameters, [(0, 4, 1)])
    run = store(streamed([resource]))
    (tmp_path / "old").rename(tmp_path / "new")
    roots = {str(tmp_path / "old"): str(tmp_path / "new")}

    with ImageExporter(NAME, directory=tmp_path / "out", root_map=roots) as exporter:
        (report,) = process(run, exporter).values()
    images = get_images(run, "img", root_map=roots)

    check(report, FRAMES[:4], read)
    assert len(images) == 4
    np.testing.assert_array_equal(images[2].squeeze(), FRAMES[2])

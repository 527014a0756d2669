"""Stream resources: every format, layout and order of documents (S41)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.plans import count, scan
from ophyd_async.core import (
    StaticPathProvider,
    TriggerInfo,
    UUIDFilenameProvider,
    init_devices,
)
from ophyd_async.sim import PatternGenerator, SimBlobDetector, SimMotor
from PIL import Image

import tiffin
from tests.documents import FRAMES, hdf5, stream_run
from tests.helpers import NAME, check, feed
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.errors import CollisionError, MissingKeyError, UnknownFormatError


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (1, 6, 9)},
        {"chunks": (5, 6, 9), "compression": "gzip", "shuffle": True},
        {"chunks": (2, 3, 4), "compression": "lzf"},
    ],
)
@pytest.mark.parametrize("dataset", ["/entry/data/data", "entry/data/data"])
def test_hdf5_of_every_layout(tmp_path, read, options, dataset):
    """Contiguous, chunked, compressed; dataset paths with and without a slash."""
    uri = hdf5(tmp_path / "a.h5", **options)
    run = stream_run(uri, "application/x-hdf5", {"dataset": dataset}, events=12)

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


@pytest.mark.parametrize("codec", ["Bitshuffle", "LZ4", "Zstd", "Blosc"])
def test_hdf5_with_the_codecs_of_detectors(tmp_path, read, codec):
    """hdf5plugin's filters are loaded automatically."""
    hdf5plugin = pytest.importorskip("hdf5plugin")
    uri = hdf5(tmp_path / "a.h5", chunks=(1, 6, 9), **getattr(hdf5plugin, codec)())
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=12
    )

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


def test_indices_count_events(tmp_path, read):
    """Event k of a detector with n images an event is frames n*k to n*(k+1)-1."""
    uri = hdf5(tmp_path / "a.h5", chunks=(1, 6, 9))
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, shape=(3, 6, 9)
    )

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    check(report, FRAMES, read)
    assert [(r.seq_num, r.i) for r in report.written][:4] == [
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
    ]


@pytest.mark.parametrize(
    ("stored", "shape"),
    [
        ((4, 3, 6, 9), (3, 6, 9)),
        ((12, 6, 9), (3, 6, 9)),
        ((12, 6, 9), (6, 9)),
        ((12, 1, 6, 9), (1, 6, 9)),
        ((12, 1, 6, 9), (6, 9)),
        ((2, 2, 3, 6, 9), (2, 3, 6, 9)),
        ((12, 6, 9), (2, 3, 6, 9)),
    ],
)
def test_stored_and_announced_shapes_differ(tmp_path, read, stored, shape):
    """S12, S13: rows that are events, rows that are frames, axes of length one."""
    uri = hdf5(tmp_path / "a.h5", FRAMES.reshape(stored))
    events = 12 // int(np.prod(shape[:-2]))
    run = stream_run(
        uri,
        "application/x-hdf5",
        {"dataset": "entry/data/data"},
        events=events,
        shape=shape,
    )

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


@pytest.mark.parametrize(
    ("stored", "shape"),
    [
        ((12, 6, 9), (3, None, None)),
        ((12, 6, 9), (3, 6, None)),
        ((12, 1, 6, 9), (3, None, 9)),
        ((4, 3, 6, 9), (None, 6, 9)),
        ((4, 3, 6, 9), (None, None, None)),
        ((2, 2, 3, 6, 9), (2, 3, None, None)),
    ],
)
def test_what_a_shape_leaves_open_is_found_in_the_file(tmp_path, read, stored, shape):
    """S12: None in a shape; known leading axes still count the images."""
    uri = hdf5(tmp_path / "a.h5", FRAMES.reshape(stored))
    events = 2 if len(shape) == 4 else 4
    run = stream_run(
        uri,
        "application/x-hdf5",
        {"dataset": "entry/data/data"},
        events=events,
        shape=shape,
    )

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    check(report, FRAMES, read)
    assert [r.seq_num for r in report.written] == list(
        np.repeat(range(1, events + 1), 12 // events)
    )


def test_events_of_a_grid_follow_each_other(tmp_path, read):
    """A dataset shaped like a grid of points: an event is still one image."""
    uri = hdf5(tmp_path / "a.h5", FRAMES.reshape(3, 4, 6, 9), chunks=(1, 1, 6, 9))
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=12
    )

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    check(report, FRAMES, read)
    assert [record.seq_num for record in report.written] == list(range(1, 13))


@pytest.mark.parametrize("shape", [(6, 9), (1, 6, 9)])
@pytest.mark.parametrize(
    ("planes", "start"),
    [(3, {"num_points": 2}), (4, {}), (5, {"num_points": 2}), (3, {"shape": [2, 3]})],
)
@pytest.mark.parametrize("store", ["hdf5", "zarr", "npy"])
@pytest.mark.parametrize("door", ["live", "replay", "LiveTiffExporter"])
def test_rows_of_more_images_than_announced_are_not_shared_among_events(
    tmp_path, store, shape, planes, door, start
):
    """B6: one event a row: the planes of RGB3 do not belong to several events."""
    events = int(np.prod(start.get("shape", 2)))
    frames = np.zeros((events, planes, 6, 9), "u2")
    uri, mimetype = hdf5(tmp_path / "a.h5", frames), "application/x-hdf5"
    if store == "zarr":
        uri, mimetype = f"file://localhost{tmp_path}/a.zarr", "application/x-zarr"
        zarr.create_group(tmp_path / "a.zarr").create_array(
            "entry/data/data", data=frames
        )
    if store == "npy":
        uri, mimetype = f"file://localhost{tmp_path}/a.npy", "application/x-npy"
        np.save(tmp_path / "a.npy", frames)
    where = {"dataset": "entry/data/data"}
    run = stream_run(uri, mimetype, where, events=events, shape=shape)
    run[0][1].update(start)

    if door != "replay":
        exporter = ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=0.1)
        if door == "LiveTiffExporter":
            template = str(tmp_path / "{event[seq_num]}.tif")
            exporter = LiveTiffExporter("img", template)
        feed(exporter, run)
        if door == "live":
            exporter.close()
        (report,) = exporter.reports.values()
    else:
        report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert not report.written
    assert {record.seq_num for record in report.failed} == {*range(1, events + 1)}
    told = str(report.failed[0].error)
    for part in (str([planes, 6, 9]), str([*shape]), "axes=", "colour="):
        assert part in told


@pytest.mark.parametrize("told", [{"num_points": 12}, {"shape": [3, 4]}, {}])
def test_a_scan_s_grid_is_known_live(tmp_path, read, told):
    """From the start document, or once as many events have come as there are images."""
    uri = hdf5(tmp_path / "a.h5", FRAMES.reshape(3, 4, 6, 9), chunks=(1, 1, 6, 9))
    where = {"dataset": "entry/data/data"}
    run = stream_run(uri, "application/x-hdf5", where, events=12, shape=(6, 9))
    run[0][1].update(told)

    exporter = ImageExporter(NAME, directory=tmp_path / "out")
    feed(exporter, run)
    exporter.close()

    check(*exporter.reports.values(), FRAMES, read)


def test_of_an_event_that_breaks_off_the_frames_there_are_written(tmp_path, read):
    """Ten rows of twelve, three an event: two frames fail, each with its reason."""
    uri = hdf5(tmp_path / "a.h5", FRAMES[:10])
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, shape=(3, 6, 9)
    )

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert [(r.seq_num, r.i) for r in report.failed] == [(4, 1), (4, 2)]
    for record, image in zip(report.written, FRAMES[:10], strict=True):
        np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize("number", ["multiplier", "frame_per_point"])
def test_images_a_point_may_stand_in_the_parameters(tmp_path, read, number):
    """Older writers declare (1, Y, X) and give the number separately."""
    uri = hdf5(tmp_path / "a.h5")
    parameters = {"dataset": "entry/data/data", number: 3}
    run = stream_run(uri, "application/x-hdf5", parameters)

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    assert sorted((r.seq_num, r.i) for r in report.written) == [
        (s, i) for s in range(1, 5) for i in range(3)
    ]
    for record in report.written:
        image = FRAMES[3 * (record.seq_num - 1) + record.i]
        np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize("datums", [[(0, 12)], [(0, 5), (5, 12)], None])
def test_one_datum_may_span_events(tmp_path, read, datums):
    """Half-open ranges, several events in each, seq_nums other than indices + 1."""
    uri = hdf5(tmp_path / "a.h5", chunks=(4, 6, 9))
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=12,
        datums=datums, offset=30,
    )  # fmt: skip

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    check(report, FRAMES, read)
    assert [record.seq_num for record in report.written] == list(range(31, 43))


@pytest.mark.parametrize("name", ["scan 1%20a.h5", "scan%201.h5", "ü#?.h5"])
@pytest.mark.parametrize("encode", [True, False])
def test_uris_are_tried_raw_and_then_decoded(tmp_path, read, name, encode):
    """Some writers percent-encode, others don't."""
    from urllib.parse import quote

    uri = hdf5(tmp_path / name)
    if encode:
        uri = f"file://localhost{quote(str(tmp_path / name))}"
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=12
    )

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


@pytest.mark.parametrize(
    "template", ["ad_{:06d}.tiff", "/ad_{:06d}.tiff", "%s_%6.6d.tiff"]
)
@pytest.mark.parametrize("kind", ["image/tiff", "application/x-npy"])
def test_sequences_of_files(tmp_path, read, template, kind):
    """TIFF and NPY, both forms of template, n files an event."""
    folder = tmp_path / "files"
    folder.mkdir()
    for n, frame in enumerate(FRAMES):
        if kind == "image/tiff":
            tifffile.imwrite(folder / f"ad_{n:06d}.tiff", frame)
        else:
            with (folder / f"ad_{n:06d}.tiff").open("wb") as file:
                np.save(file, frame)
    parameters = {"template": template, "filename": "ad", "chunk_shape": [1, 6, 9]}
    run = stream_run(
        f"file://localhost{folder}/", f"multipart/related;type={kind}", parameters,
        shape=(3, 6, 9),
    )  # fmt: skip

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


@pytest.mark.parametrize("pages", [1, 3, 12])
def test_files_of_several_pages(tmp_path, read, pages):
    """One multi-page TIFF, or a sequence of them."""
    folder = tmp_path / "files"
    folder.mkdir()
    for n in range(12 // pages):
        part = FRAMES[n * pages : (n + 1) * pages]
        tifffile.imwrite(folder / f"a_{n}.tif", part, photometric="minisblack")
    if pages == 12:
        run = stream_run(
            f"file://localhost{folder}/a_0.tif", "image/tiff", {}, events=12
        )
    else:
        parameters = {"template": "a_{:d}.tif", "chunk_shape": [pages, 6, 9]}
        run = stream_run(
            f"file://localhost{folder}/",
            "multipart/related;type=image/tiff",
            parameters,
            shape=(3, 6, 9),
        )

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


def test_jpeg_sequences(tmp_path, read):
    """Grey JPEG files; what Pillow decodes is what is written."""
    folder = tmp_path / "files"
    folder.mkdir()
    frames = []
    for n in range(3):
        path = folder / f"a_{n}.jpg"
        Image.fromarray((FRAMES[n] + 20).astype("u1")).save(path)
        frames.append(np.asarray(Image.open(path)))
    run = stream_run(
        f"file://localhost{folder}/", "multipart/related;type=image/jpeg",
        {"template": "a_{:d}.jpg", "chunk_shape": [1, 6, 9]}, events=3, dtype="|u1",
    )  # fmt: skip

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), frames, read)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("inside", ["", "entry/data"])
def test_zarr(tmp_path, read, version, inside):
    """Zarr v2 and v3, an array alone or in a group."""
    path = tmp_path / "a.zarr"
    if inside:
        group = zarr.open_group(path, mode="w", zarr_format=version)
        array = group.create_array(
            inside, shape=FRAMES.shape, chunks=(1, 6, 9), dtype="u2"
        )
    else:
        array = zarr.create_array(
            path, shape=FRAMES.shape, chunks=(1, 6, 9), dtype="u2", zarr_format=version
        )
    array[:] = FRAMES
    parameters = {"dataset": inside} if inside else {}
    run = stream_run(
        f"file://localhost{path}", "application/x-zarr", parameters, events=12
    )

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


@pytest.mark.parametrize("order", ["datum first", "event first"])
def test_a_name_that_asks_for_event_data_waits_for_the_event(tmp_path, order, names_in):
    """Joined on seq_num, whichever comes first, also with one datum for all events."""
    uri = hdf5(tmp_path / "a.h5")
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, datums=[(0, 3)],
        data=[0.5, 1.5, 2.5], order=order, offset=4,
    )  # fmt: skip

    tiffin.export(run, "{event.data.x}_{event.seq_num}.tif", directory=tmp_path / "out")

    assert names_in(tmp_path / "out") == ["0.5_5.tif", "1.5_6.tif", "2.5_7.tif"]


def test_a_correction_sees_the_event(tmp_path):
    """It may use the event's data, so the event is waited for."""
    uri = hdf5(tmp_path / "a.h5")
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, datums=[(0, 3)],
        data=[0.5, 1.5, 2.5],
    )  # fmt: skip
    seen = []

    def look(image, frame):
        seen.append(frame.event["data"]["x"])
        return image

    tiffin.export(run, NAME, directory=tmp_path / "out", corrections=[look], workers=1)

    assert seen == [0.5, 1.5, 2.5]


def test_an_event_that_never_comes_fails_only_names_that_ask_for_it(tmp_path):
    """A fly scan has no events, but seq_num and a time."""
    uri = hdf5(tmp_path / "a.h5")
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=3
    )

    report = tiffin.export(
        run, "{event.seq_num}_{event.time:.0f}.tif", directory=tmp_path / "out"
    )
    with pytest.raises(MissingKeyError, match=r"event\.data\.x.* is not in the events"):
        tiffin.export(run, "{event.data.x}.tif", directory=tmp_path / "no")

    time_of_descriptor = run[1][1]["time"]
    assert report.written[0].path.name == f"1_{time_of_descriptor:.0f}.tif"


def test_a_mimetype_that_nobody_reads_is_named(tmp_path):
    """One failed record an event, with the mimetype and the entry-point group."""
    run = stream_run("file://localhost/x.blob", "application/x-blob", {}, events=3)

    with pytest.raises(UnknownFormatError, match=r"x-blob.*tiffin\.readers") as caught:
        tiffin.export(run, NAME, directory=tmp_path)

    assert len(caught.value.report.failed) == 3


def test_repeated_seq_nums_collide_without_frame(sample, tmp_path):
    """Contract: over two stream resources, {frame} tells them apart."""
    documents = sample("33_btp_external_assets_single_key_two_files").documents()

    with pytest.raises(CollisionError, match=r"the name of 2 frames: add \{frame\}"):
        tiffin.export(documents, NAME, directory=tmp_path, dtype="int32")


@pytest.mark.parametrize(
    "damage", ["missing", "short", "unwritten", "truncated", "no dataset"]
)
def test_a_file_that_is_not_whole_is_no_frame_of_zeros(tmp_path, damage):
    """Short, truncated or unwritten files fail."""
    path = tmp_path / "a.h5"
    if damage == "unwritten":
        with h5py.File(path, "w") as file:
            data = file.create_dataset(
                "entry/data/data", (12, 6, 9), "u2", chunks=(1, 6, 9)
            )
            data[:10] = FRAMES[:10]
    elif damage != "missing":
        hdf5(path, FRAMES[: 10 if damage == "short" else 12])
    if damage == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    dataset = "nothing" if damage == "no dataset" else "entry/data/data"
    run = stream_run(
        f"file://localhost{path}", "application/x-hdf5", {"dataset": dataset}, events=12
    )

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    good = 10 if damage in ("short", "unwritten") else 0
    assert [len(report.written), len(report.failed)] == [good, 12 - good]
    assert str(path) in str(report.failed[-1].error)


def test_frames_of_real_zeros_are_exported(tmp_path, read):
    """Zeros that were written are an image."""
    uri = hdf5(tmp_path / "a.h5", np.zeros_like(FRAMES), chunks=(1, 6, 9))
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=12
    )

    check(
        tiffin.export(run, NAME, directory=tmp_path / "out"),
        np.zeros_like(FRAMES),
        read,
    )


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_tiff_is_no_frame(tmp_path, compression):
    """No zeros, and no half image."""
    folder = tmp_path / "files"
    folder.mkdir()
    path = folder / "a_0.tif"
    image = np.random.default_rng(1).integers(0, 9999, (64, 64), "u2")
    tifffile.imwrite(path, image, compression=compression)
    os.truncate(path, path.stat().st_size - 2000)
    run = stream_run(
        f"file://localhost{folder}/", "multipart/related;type=image/tiff",
        {"template": "a_{:d}.tif"}, events=1, shape=(1, 64, 64),
    )  # fmt: skip

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert len(report.failed) == 1
    assert "incomplete" in str(report.failed[0].error)


@pytest.mark.parametrize(
    ("shape", "chunk", "events"),
    [
        ((1, 3, 6, 9), (1, 3, 6, 9), 6),
        ((1, 6, 9, 3), (1, 6, 9, 3), 6),
        ((2, 3, 6, 9), (1, 3, 6, 9), 3),
        ((3, 6, 9), (1, 3, 6, 9), 6),
        ((3, 6, 9), (1, 6, 9), 6),
        ((2, 6, 9), (1, 6, 9), 3),
        ((6, 9), (), 6),
    ],
)
@pytest.mark.parametrize("kind", ["image/tiff", "image/jpeg"])
def test_colour_files_are_colour_whatever_the_descriptor_says(
    tmp_path, shape, chunk, events, kind
):
    """Contract: photometry RGB; ophyd-async's descriptors say (1, 3, Y, X)."""
    folder = tmp_path / "files"
    folder.mkdir()
    images = []
    for n in range(6):
        image = (np.arange(6 * 9 * 3) + 9 * n).astype("u1").reshape(6, 9, 3)
        path = folder / f"a_{n}.img"
        if kind == "image/tiff":
            tifffile.imwrite(path, image, photometric="rgb")
        else:
            Image.fromarray(image).save(path, format="JPEG")
            image = np.asarray(Image.open(path))
        images.append(image)
    parameters = {"template": "a_{:d}.img", "chunk_shape": list(chunk)}
    run = stream_run(
        f"file://localhost{folder}/", f"multipart/related;type={kind}", parameters,
        events=events, shape=shape, dtype="|u1",
    )  # fmt: skip

    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    assert len(report.written) == 6
    for record, image in zip(report.written, images, strict=True):
        with tifffile.TiffFile(record.path) as tiff:
            assert tiff.pages[0].photometric.name == "RGB"
            np.testing.assert_array_equal(tiff.pages[0].asarray(), image)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("how", ["dims", "user", "nobody"])
def test_a_last_axis_is_colour_only_if_somebody_says_so(tmp_path, samples, how):
    """(Y, X, 3|4) is colour by dims or setting, and a stack otherwise."""
    images = np.arange(2 * 6 * 9 * samples, dtype="u2").reshape(2, 6, 9, samples)
    uri = hdf5(tmp_path / "a.h5", images)
    run = stream_run(
        uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=2,
        shape=(6, 9, samples), dims=["y", "x", "channel"] if how == "dims" else None,
    )  # fmt: skip

    report = tiffin.export(
        run, NAME, directory=tmp_path / "out", colour="img" if how == "user" else ()
    )

    assert report.ok
    if how == "nobody":
        assert {record.shape for record in report.written} == {(9, samples)}
        assert len(report.written) == 12
    else:
        assert [record.shape for record in report.written] == [(6, 9, samples)] * 2
        for record, image in zip(report.written, images, strict=True):
            np.testing.assert_array_equal(tifffile.imread(record.path), image)


def test_root_map_finds_files_of_another_mount(tmp_path, read):
    """S43: for a file URI from Windows, and a POSIX one."""
    (tmp_path / "here/2026").mkdir(parents=True)
    hdf5(tmp_path / "here/2026/a.h5")
    for uri, old in [
        ("file://localhost/C:/Data/2026/a.h5", "c:\\data"),
        ("file://localhost/nsls2/xf28/2026/a.h5", "/nsls2/xf28"),
    ]:
        run = stream_run(
            uri, "application/x-hdf5", {"dataset": "entry/data/data"}, events=12
        )
        report = tiffin.export(
            run, NAME, directory=tmp_path / "out", existing="replace",
            root_map={old: str(tmp_path / "here")},
        )  # fmt: skip
        check(report, FRAMES, read)


# ---- live, with ophyd-async's simulated detectors


@pytest.fixture
def devices(RE, tmp_path):
    """A detector and a motor of ophyd-async, simulated."""
    folder = tmp_path / "detector"
    folder.mkdir()
    provider = StaticPathProvider(UUIDFilenameProvider(), folder)
    with init_devices():
        blob = SimBlobDetector(provider, PatternGenerator(), name="blob")
        mot = SimMotor(name="mot", instant=True)
    return blob, mot


def stored_frames(folder):
    (path,) = Path(folder).glob("*.h5")
    with h5py.File(path, "r") as file:
        return file["/entry/data/data"][()]


def test_ophyd_async_is_exported_live(RE, devices, tmp_path, read, names_in):
    """S41: SWMR, while the detector holds the file; names have event values."""
    blob, mot = devices
    exporter = ImageExporter(
        "{event.seq_num}_{event.data.mot:.1f}.tif",
        directory=tmp_path / "out",
        fields=["blob"],
    )

    (uid,) = RE(scan([blob], mot, -1, 1, 3), exporter)
    exporter.wait(60)

    report = exporter.reports[uid]
    assert names_in(tmp_path / "out") == ["1_-1.0.tif", "2_0.0.tif", "3_1.0.tif"]
    check(report, stored_frames(tmp_path / "detector"), read)


def test_ophyd_async_through_the_old_exporter(RE, devices, tmp_path, read):
    """S41, S46: in the caller's thread, while the detector holds the file."""
    blob, mot = devices
    exporter = LiveTiffExporter(
        "blob", f"{tmp_path}/out/{{event.seq_num}}_{{event.data.mot:.1f}}.tif"
    )

    (uid,) = RE(scan([blob], mot, -1, 1, 3), exporter)

    frames = stored_frames(tmp_path / "detector")
    names = [Path(name).name for name in exporter.filenames]
    assert names == ["1_-1.0.tif", "2_0.0.tif", "3_1.0.tif"]
    check(exporter.reports[uid], frames, read)


@pytest.fixture
def fly():
    """Return a plan: four events of three collections each, flown over."""

    def fly(detector):
        info = TriggerInfo(number_of_events=4, collections_per_event=3)

        @bpp.stage_decorator([detector])
        @bpp.run_decorator()
        def plan():
            yield from bps.prepare(detector, info, wait=True)
            yield from bps.declare_stream(detector, name="primary")
            yield from bps.kickoff(detector, wait=True)
            yield from bps.collect_while_completing(
                [detector], [detector], flush_period=0.3, stream_name="primary"
            )

        return plan()

    return fly


def test_a_fly_scan_of_several_collections_an_event(RE, devices, fly, tmp_path, read):
    """S41: without events, index k is the frames 3k to 3k + 2, live and replayed."""
    blob, _ = devices
    documents = []
    exporter = ImageExporter(NAME, directory=tmp_path / "live", fields=["blob"])

    (uid,) = RE(fly(blob), [exporter, lambda name, doc: documents.append((name, doc))])
    exporter.wait(60)
    replayed = tiffin.export(
        documents, NAME, directory=tmp_path / "replay", fields=["blob"]
    )

    frames = stored_frames(tmp_path / "detector")
    assert frames.shape[0] == 12
    assert "event" not in {name for name, _ in documents}
    for report in (exporter.reports[uid], replayed):
        check(report, frames, read)
        named = [(record.seq_num, record.i) for record in report.written]
        assert named == [(s, i) for s in range(1, 5) for i in range(3)]


def test_ophyd_async_files_are_there_when_the_engine_returns(RE, devices, tmp_path):
    """S40, S41: what can be read is written when RE(...) returns."""
    blob, _ = devices
    exporter = ImageExporter(NAME, directory=tmp_path / "out", fields=["blob"])

    (uid,) = RE(count([blob], 3), exporter)

    assert len(exporter.reports[uid].written) == 3


def test_a_file_that_another_process_writes_is_read_as_it_grows(tmp_path, read):
    """SWMR: frames are written as they come, while the file is open elsewhere."""
    path = tmp_path / "a.h5"
    code = (
        "import sys, time, h5py, numpy as np\n"
        "with h5py.File(sys.argv[1], 'w', libver='latest') as file:\n"
        "    data = file.create_dataset('d', (0, 6, 9), 'u2', maxshape=(None, 6, 9),"
        " chunks=(1, 6, 9))\n"
        "    file.swmr_mode = True\n"
        "    for n in range(6):\n"
        "        data.resize(n + 1, 0)\n"
        "        data[n] = np.full((6, 9), n, 'u2')\n"
        "        data.flush()\n"
        "        print(n, flush=True)\n"
        "        time.sleep(0.2)\n"
        "    sys.stdin.read()\n"
    )
    uri = f"file://localhost{path}"
    run = stream_run(uri, "application/x-hdf5", {"dataset": "d"}, events=6)
    command = [sys.executable, "-c", code, str(path)]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as writer,
        ImageExporter(NAME, directory=tmp_path / "out") as exporter,
    ):
        writer.stdout.readline()
        feed(exporter, run)
        assert exporter.wait(60)
        still_open = writer.poll() is None
        writer.stdin.close()

    (report,) = exporter.reports.values()
    assert still_open
    check(report, [np.full((6, 9), n, "u2") for n in range(6)], read)


# ---- late files


def test_a_file_that_comes_after_the_run_is_waited_for(tmp_path, read):
    """S40: in the background; the stop document does not wait for it."""
    path = tmp_path / "a.h5"
    run = stream_run(
        f"file://localhost{path}", "application/x-hdf5", {"dataset": "entry/data/data"},
        events=12,
    )  # fmt: skip

    with ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=60) as exporter:
        feed(exporter, run)
        at_stop = next(iter(exporter.reports.values()))
        hdf5(path)
        assert exporter.wait(60)

    (report,) = exporter.reports.values()
    assert len(at_stop.planned) == 12
    check(report, FRAMES, read)


def test_a_file_that_never_comes_fails_when_the_time_is_over(tmp_path):
    """S40: it is retried, then reported."""
    run = stream_run(
        f"file://localhost{tmp_path}/a.h5",
        "application/x-hdf5",
        {"dataset": "d"},
        events=2,
    )

    with ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=0.5) as exporter:
        feed(exporter, run)
        assert exporter.wait(60)

    (report,) = exporter.reports.values()
    assert [record.status for record in report.records] == ["failed", "failed"]


def test_a_replay_looks_once(tmp_path):
    """Contract: asset_timeout delays live exports only."""
    run = stream_run(
        f"file://localhost{tmp_path}/a.h5",
        "application/x-hdf5",
        {"dataset": "d"},
        events=2,
    )
    begun = time.monotonic()

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert len(report.failed) == 2
    assert time.monotonic() - begun < 5


def test_a_plan_that_closes_the_file_after_the_run_does_not_deadlock(
    RE, tmp_path, read
):
    """The run closes first, and only then unstage closes the file."""
    path = tmp_path / "a.h5"
    run = stream_run(
        f"file://localhost{path}", "application/x-hdf5", {"dataset": "entry/data/data"},
        events=12,
    )  # fmt: skip
    exporter = ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=60)

    def plan():
        yield from bps.null()
        feed(exporter, run)  # on the RunEngine's thread, stop document included
        hdf5(path)  # what unstage does

    RE(plan())
    assert exporter.wait(60)

    (report,) = exporter.reports.values()
    check(report, FRAMES, read)
    exporter.close()

"""Stream datums: which images they mean, and in which order frames are numbered."""

import copy
from contextlib import closing

import numpy as np
import pytest
import tifffile
import zarr

import tiffin
from tests.documents import FRAMES, HDF5, hdf5, stream_run
from tests.helpers import NAME, check, feed
from tiffin import ImageExporter
from tiffin.assemble import Assembler
from tiffin.errors import ReadError, SourceError
from tiffin.readers import Asset, find_reader

DATASET = {"dataset": "/entry/data/data"}
TIFF = "multipart/related;type=image/tiff"


def changed(run, **instead):
    """Change every stream datum of a run."""
    run = copy.deepcopy(run)
    for name, doc in run:
        if name == "stream_datum":
            doc.update(instead)
    return run


# ---- ranges that are none


def ranges(start, stop):
    return {"start": start, "stop": stop}


@pytest.mark.parametrize("which", ["indices", "seq_nums"])
@pytest.mark.parametrize(
    "said",
    [
        ranges(-1, 0),
        ranges(3, 1),
        ranges(0.5, 1.5),
        ranges(0, float("inf")),
        ranges(float("nan"), 1),
        ranges(0, 10**12),
        ranges(None, 1),
        ranges([0], [1]),
        {"start": 0},
        None,
        5,
    ],
    ids=str,
)
def test_a_range_that_is_none_is_a_failed_record(tmp_path, which, said):
    """Indices -1 to 0 mean no image, and never another one."""
    run = changed(stream_run(hdf5(tmp_path / "a.h5"), HDF5, DATASET), **{which: said})
    exporter = ImageExporter(NAME, directory=tmp_path / "live")

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")
    feed(exporter, run)
    exporter.close()

    (live,) = exporter.reports.values()
    for told in (report, live):
        assert not told.written
        assert isinstance(told.failed[0].error, SourceError)
        assert which in str(told.failed[0].error)


def test_ranges_of_different_lengths_are_a_failed_record(tmp_path):
    """Which index belongs to which event is not guessed."""
    run = stream_run(hdf5(tmp_path / "a.h5"), HDF5, DATASET)

    report = tiffin.export(
        changed(run, indices=ranges(0, 3)),
        NAME,
        directory=tmp_path / "out",
        on_error="report",
    )

    assert not report.written
    assert "3 indices for 1 seq_nums" in str(report.failed[0].error)


@pytest.mark.parametrize("said", [ranges("0", "1"), ranges(0.0, 1.0)], ids=str)
def test_whole_numbers_count_however_they_are_written(tmp_path, read, said):
    """As text or with a decimal point, as some languages write all numbers."""
    run = stream_run(hdf5(tmp_path / "a.h5"), HDF5, DATASET, events=1)

    report = tiffin.export(changed(run, indices=said), NAME, directory=tmp_path / "out")

    check(report, FRAMES[:1], read)


def rows_of(kind, folder):
    """Open the same twelve images in every format."""
    parameters = {}
    if kind == "hdf5":
        uri, mimetype, parameters = hdf5(folder / "a.h5"), HDF5, DATASET
    elif kind == "zarr":
        array = zarr.create_array(
            folder / "a.zarr", shape=FRAMES.shape, chunks=(1, 6, 9), dtype="u2"
        )
        array[:] = FRAMES
        uri, mimetype = f"file://{folder}/a.zarr", "application/x-zarr"
    elif kind == "one file":
        tifffile.imwrite(folder / "a.tif", FRAMES, photometric="minisblack")
        uri, mimetype = f"file://{folder}/a.tif", "image/tiff"
    else:
        for n, frame in enumerate(FRAMES):
            tifffile.imwrite(folder / f"a_{n}.tif", frame)
        uri, mimetype = f"file://{folder}/", TIFF
        parameters = {"template": "a_{:d}.tif"}
        if kind == "uris":
            uris = [f"{folder}/a_{n}.tif" for n in range(12)]
            parameters = {"uris": uris, "files_per_datum": 1}
    path = folder / uri.rpartition("/")[2]
    asset = Asset(mimetype=mimetype, uri=uri, path=path, parameters=parameters)
    return find_reader(mimetype)(asset)


@pytest.mark.parametrize("kind", ["hdf5", "zarr", "one file", "files", "uris"])
def test_no_reader_counts_rows_from_the_end(tmp_path, kind):
    """Row -1 is an error: numpy and h5py would return the last row."""
    with closing(rows_of(kind, tmp_path)) as rows:
        np.testing.assert_array_equal(rows.read(11), FRAMES[11])
        for ask in (rows.row_shape, rows.read):
            with pytest.raises(ReadError, match="-1"):
                ask(-1)


@pytest.mark.parametrize("stored", [(12, 6, 9), (4, 3, 6, 9), (6, 2, 6, 9)], ids=str)
def test_an_events_images_end_with_the_event(tmp_path, stored):
    """Negative indices count within the event, and never reach its neighbour."""
    run = stream_run(
        hdf5(tmp_path / "a.h5", FRAMES.reshape(stored)), HDF5, DATASET, shape=(3, 6, 9)
    )
    assembler = Assembler(fields=None, streams=None)
    frames = [frame for name, doc in run for frame in assembler(name, doc)]

    for k, frame in enumerate(frames[::3]):
        images = frame.pixels.open()
        own = FRAMES[3 * k : 3 * k + 3]
        side_by_side = np.reshape(images, (-1, 6, 9))
        np.testing.assert_array_equal(side_by_side, own)
        if len(images.shape) == 3:
            np.testing.assert_array_equal(images[-1], own[-1])
            np.testing.assert_array_equal([*images], own)
            with pytest.raises(IndexError):
                images[3]
            with pytest.raises(IndexError):
                images[-4]


# ---- the running number


def without(run, name, number):
    """Leave out one document of a kind, or the event of a number."""
    return [
        (kind, doc) for kind, doc in run if kind != name or doc.get("seq_num") != number
    ]


def numbers(run, template, folder):
    """Return (frame, seq_num) of every file's name."""
    report = tiffin.export(run, template, directory=folder)
    names = [record.path.stem.split("_") for record in report.written]
    return sorted((int(name[0]), int(name[-1])) for name in names)


@pytest.mark.parametrize("order", ["datum first", "event first"])
@pytest.mark.parametrize("missing", [None, 1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 6, 9), (3, 6, 9)])
def test_frame_counts_stream_datums_not_events(tmp_path, order, missing, shape):
    """The number is the same with or without event data in the name, and if an
    event is missing.
    """
    run = stream_run(
        hdf5(tmp_path / "a.h5"), HDF5, DATASET, events=3, shape=shape,
        data=[0.5, 1.5, 2.5], order=order,
    )  # fmt: skip
    run = without(run, "event", missing)

    plain = numbers(run, "{frame}_{event.seq_num}.tif", tmp_path / "plain")
    joined = numbers(
        run, "{frame}_{event.data.x|none}_{event.seq_num}.tif", tmp_path / "joined"
    )

    each = shape[0]
    assert plain == joined == [(n, n // each + 1) for n in range(3 * each)]


def test_frame_does_not_depend_on_the_order_of_events(tmp_path, names_in):
    """Events that come backwards keep the numbers of their stream datums."""
    run = stream_run(
        hdf5(tmp_path / "a.h5"), HDF5, DATASET, events=3, data=[0.5, 1.5, 2.5]
    )
    events = [pair for pair in run if pair[0] == "event"]
    rest = [pair for pair in run if pair[0] != "event"]

    report = tiffin.export(
        [*rest[:-1], *events[::-1], rest[-1]],
        "{frame}_{event.data.x}.tif",
        directory=tmp_path / "out",
    )

    assert [record.number for record in report.records] == [0, 1, 2]
    assert names_in(tmp_path / "out") == ["0_0.5.tif", "1_1.5.tif", "2_2.5.tif"]


@pytest.mark.parametrize("data", [[0.5, 1.5, 2.5], None])
def test_a_stream_resource_may_come_last(tmp_path, names_in, data):
    """After its stream datums and events, also where names use event data."""
    run = stream_run(hdf5(tmp_path / "a.h5"), HDF5, DATASET, events=3, data=data)
    resource = [pair for pair in run if pair[0] == "stream_resource"]
    rest = [pair for pair in run if pair[0] != "stream_resource"]
    template = "{frame}_{event.data.x|none}.tif"
    exporter = ImageExporter(template, directory=tmp_path / "live")

    documents = [*rest[:-1], *resource, rest[-1]]
    report = tiffin.export(documents, template, directory=tmp_path / "out")
    feed(exporter, documents)
    exporter.close()

    assert report.ok
    values = data or ["none"] * 3
    wanted = [f"{n}_{x}.tif" for n, x in enumerate(values)]
    assert names_in(tmp_path / "out") == names_in(tmp_path / "live") == wanted


@pytest.mark.parametrize(
    ("template", "second"),
    [
        ("{event.data.x|none}_{event.seq_num}.tif", "none_2.tif"),
        ("<{event.data.x}_>{event.seq_num}.tif", "2.tif"),
        ("{event.data.x,start.scan_id}_{event.seq_num}.tif", "7_2.tif"),
    ],
)
def test_of_an_event_that_never_came_a_name_can_do_without(
    tmp_path, read, template, second
):
    """With a default, an optional segment or an alternative; live and replayed."""
    run = stream_run(
        hdf5(tmp_path / "a.h5"), HDF5, DATASET, events=3, data=[0.5, 1.5, 2.5]
    )
    run = without(run, "event", 2)
    exporter = ImageExporter(template, directory=tmp_path / "live")

    report = tiffin.export(run, template, directory=tmp_path / "out")
    feed(exporter, run)
    exporter.close()

    (live,) = exporter.reports.values()
    for told in (report, live):
        assert told.ok
        paths = {record.seq_num: record.path for record in told.written}
        assert [paths[n].name for n in (1, 2, 3)] == ["0.5_1.tif", second, "2.5_3.tif"]
        for n, path in paths.items():
            np.testing.assert_array_equal(read(path), FRAMES[n - 1])


def test_without_its_event_only_the_frame_that_needs_it_fails(tmp_path):
    """The others are written with the numbers that they would have had."""
    run = stream_run(
        hdf5(tmp_path / "a.h5"), HDF5, DATASET, events=3, data=[0.5, 1.5, 2.5]
    )

    report = tiffin.export(
        without(run, "event", 2),
        "{frame}_{event.data.x}.tif",
        directory=tmp_path / "out",
        on_error="report",
    )

    assert [record.path.name for record in report.written] == ["0_0.5.tif", "2_2.5.tif"]
    assert [record.seq_num for record in report.failed] == [2]


# ---- templates and places of files


def sequence(folder, names, **options):
    """Write a TIFF file for each name, and tell of them."""
    folder.mkdir()
    for name, frame in zip(names, FRAMES, strict=False):
        tifffile.imwrite(folder / name, frame)
    return stream_run(f"file://localhost{folder}/", TIFF, **options)


@pytest.mark.parametrize("template", ["a.tif", "%s.tif", "{filename}.tif"])
def test_a_template_without_a_number_is_refused(tmp_path, template):
    """It would name one file for every event."""
    parameters = {"template": template, "filename": "a"}
    run = sequence(tmp_path / "files", ["a.tif"], parameters=parameters, events=3)

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert [record.seq_num for record in report.failed] == [2, 3]
    assert "has no number" in str(report.failed[0].error)
    assert template in str(report.failed[0].error)


def test_one_file_may_be_named_without_a_number(tmp_path, read):
    """For a sequence of a single event."""
    parameters = {"template": "a.tif"}
    run = sequence(tmp_path / "files", ["a.tif"], parameters=parameters, events=1)

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES[:1], read)


def test_a_folder_without_its_slash_is_explained(tmp_path):
    """The template then continues the last name of the URI: the error says so."""
    parameters = {"template": "a_{:d}.tif"}
    run = sequence(tmp_path / "files", ["a_0.tif"], parameters=parameters, events=1)
    for name, doc in run:
        if name == "stream_resource":
            doc["uri"] = doc["uri"].rstrip("/")

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    (record,) = report.failed
    assert f"{tmp_path}/filesa_0.tif" in str(record.error)
    assert "no '/' at its end" in str(record.error)


@pytest.mark.parametrize(
    "mimetype",
    [
        "Multipart/Related;type=image/tiff",
        'multipart/related;type="image/tiff"',
        'multipart/related; boundary=x; TYPE = "Image/TIFF" ',
    ],
)
def test_mimetypes_are_read_as_the_standard_has_them(tmp_path, read, mimetype):
    """RFC 2045: any case, parameters in any order, quoted or not."""
    parameters = {"template": "a_{:d}.tif"}
    names = [f"a_{n}.tif" for n in range(3)]
    run = sequence(tmp_path / "files", names, parameters=parameters, events=3)
    for name, doc in run:
        if name == "stream_resource":
            doc["mimetype"] = mimetype

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES[:3], read)


@pytest.mark.parametrize("mimetype", ["Application/X-HDF5", "application/x-hdf5;v=1"])
def test_a_mimetype_of_one_file_too(tmp_path, read, mimetype):
    """Whatever parameters it has."""
    run = stream_run(hdf5(tmp_path / "a.h5"), mimetype, DATASET, events=12)

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


@pytest.mark.parametrize("name", ["a.h5", "100%20.h5", "ü #.h5"])
def test_a_plain_path_is_taken_as_one(tmp_path, read, name):
    """In place of a URI: as it is, without decoding."""
    hdf5(tmp_path / name)
    run = stream_run(f"{tmp_path}/{name}", HDF5, DATASET, events=12)

    check(tiffin.export(run, NAME, directory=tmp_path / "out"), FRAMES, read)


def test_a_plain_path_can_be_mapped(tmp_path, read):
    """root_map applies to it, also for Windows paths."""
    hdf5(tmp_path / "a.h5")
    for n, uri in enumerate([r"D:\data\a.h5", "d:/data/a.h5"]):
        run = stream_run(uri, HDF5, DATASET, events=12)
        report = tiffin.export(
            run, NAME, directory=tmp_path / f"out{n}", root_map={"D:/data": tmp_path}
        )
        check(report, FRAMES, read)


@pytest.mark.parametrize("uri", ["a.h5", "http://x.org/a.h5", "s3://x/a.h5", ""])
def test_what_is_no_file_is_refused(tmp_path, uri):
    """A relative path has no known base."""
    run = stream_run(uri, HDF5, DATASET, events=1)

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert "is not a file URI" in str(report.failed[0].error)


@pytest.mark.parametrize(
    ("uri", "mimetype", "parameters"),
    [
        ("file:///nowhere/a.h5", HDF5, DATASET),
        ("file:///nowhere/a.tif", "image/tiff", {}),
        ("file:///nowhere/", TIFF, {"template": "a_{:d}.tif"}),
        ("file:///nowhere/a.zarr", "application/x-zarr", {}),
    ],
)
def test_of_a_missing_file_the_message_says_what_to_try(
    tmp_path, uri, mimetype, parameters
):
    """Where it was searched, and root_map= for a file on another mount."""
    run = stream_run(uri, mimetype, parameters, events=1)

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert "/nowhere/a" in str(report.failed[0].error)
    assert "root_map" in str(report.failed[0].error)

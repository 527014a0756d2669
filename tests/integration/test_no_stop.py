"""A run that never stopped, from databroker: its last events are no less there."""

import numpy as np
import pytest
from bluesky.plans import count

import tiffin
from tests.stores import LIBRARIES_WARN, insert
from tiffin.sources import open_source
from tiffin.testing import run_of

NAME = "{stream}_{event.seq_num}_{event.data.x:.0f}.tif"

pytestmark = LIBRARIES_WARN


@pytest.fixture(params=["v1", "v2"])
def stored(request, broker):
    """Store documents; return the run, as a header or as an entry."""

    def store(documents):
        header = insert(broker, documents)
        return header if request.param == "v1" else broker.v2[header.start["uid"]]

    return store


LONG = pytest.mark.slow


@pytest.mark.parametrize(
    "events", [26, *(pytest.param(n, marks=LONG) for n in (1, 24, 25, 60))]
)
@pytest.mark.parametrize("declared", [True, False])
def test_every_event_is_exported(stored, tmp_path, read, events, declared):
    """S45: databroker omits the last page, of up to 25 events."""
    images = np.arange(events * 54, dtype="u2").reshape(events, 6, 9)
    data = {"img": list(images), "x": list(range(events))}
    run = stored(run_of(data, dtype_numpy=declared)[:-1])

    report = tiffin.export(run, NAME, directory=tmp_path)

    assert str(report) == f"{events} written, 0 skipped, 0 failed"
    for k, (record, image) in enumerate(zip(report.written, images, strict=True)):
        assert record.path.name == f"primary_{k + 1}_{k}.tif"
        assert record.dtype == ("uint16" if declared else "int32")
        np.testing.assert_array_equal(read(record.path), image)


def test_of_several_streams(stored, tmp_path, read):
    """S18, S45: each stream has its last events."""
    streams = {"primary": 3, "dark": 30}
    start, *_ = run_of({"img": np.zeros((1, 6, 9))})
    documents, images = [start], {}
    for n, (stream, events) in enumerate(streams.items()):
        images[stream] = np.full((events, 6, 9), n, "u2")
        data = {"img": images[stream], "x": [0] * events}
        _, (_, descriptor), *of_stream, _ = run_of(data, stream=stream)
        descriptor["run_start"] = start[1]["uid"]
        documents += [("descriptor", descriptor), *of_stream]
    run = stored(documents)

    report = tiffin.export(run, NAME, directory=tmp_path, streams=None)

    assert len(report.written) == 33
    assert report.ok
    for record in report.written:
        expected = images[record.stream][record.seq_num - 1]
        np.testing.assert_array_equal(read(record.path), expected)


def test_images_in_files(RE, stored, broker, external, images, tmp_path, read):
    """S39, S45: external images are those of the run's arrays."""
    documents = []
    RE(count([external], 4), lambda *item: documents.append(item))
    run = stored(documents[:-1])

    report = tiffin.export(run, "{event.seq_num}.tif", directory=tmp_path)

    assert str(report) == "4 written, 0 skipped, 0 failed"
    for record, image in zip(report.written, images.taken(4), strict=True):
        np.testing.assert_array_equal(read(record.path), image)


def test_a_run_that_stopped_is_taken_as_it_is(stored):
    """No event comes twice."""
    run = stored(run_of({"img": np.zeros((30, 6, 9), "u2")}))

    pages = [doc for name, doc in open_source(run) if name == "event_page"]
    events = [doc["seq_num"] for name, doc in open_source(run) if name == "event"]

    assert sorted(events + [n for page in pages for n in page["seq_num"]]) == [
        *range(1, 31)
    ]

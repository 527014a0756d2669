"""Streams of nothing but images: a file has the time of its event, if there is one."""

import datetime

import pytest

import tiffin
from tests.documents import FRAMES, hdf5, stream_run
from tests.helpers import export_live, feed
from tiffin import ImageExporter

NAME = "{event.seq_num}_{i}.tif"
ORDERS = ["step scan", "event pages", "datums first", "events first"]


def run(folder, *, events=True, order="datum first", datums=None):
    """Return the documents of 12 points whose descriptor has only images."""
    documents = stream_run(
        hdf5(folder / "a.h5", FRAMES), "application/x-hdf5",
        {"dataset": "/entry/data/data"}, events=12, order=order, datums=datums,
        data=[0.0] * 12 if events else None,
    )  # fmt: skip
    documents[1][1]["data_keys"].pop("x", None)
    for name, doc in documents:
        if name == "event":
            doc["data"], doc["timestamps"] = {}, {}
    return documents


def ordered(folder, order):
    if order == "datums first":
        return run(folder)
    if order == "events first":
        return run(folder, order="event first")
    documents = run(folder)
    datums = [pair for pair in documents if pair[0] == "stream_datum"]
    events = [pair for pair in documents if pair[0] == "event"]
    if order == "event pages":
        events = [("event_page", page_of(doc)) for _, doc in events]
    steps = [pair for step in zip(datums, events, strict=True) for pair in step]
    return [*documents[:3], *steps, documents[-1]]


def page_of(event):
    return {
        "descriptor": event["descriptor"], "data": {}, "timestamps": {}, "filled": {},
        **{key: [event[key]] for key in ("uid", "seq_num", "time")},
    }  # fmt: skip


def times_in(folder):
    return {
        path.name: tiffin.read_metadata(path)["timestamp"]
        for path in folder.glob("*.tif")
    }


OF_EVENTS = {f"{n + 1}_0.tif": 100.0 + n for n in range(12)}


@pytest.mark.parametrize("order", ORDERS)
def test_a_file_has_the_time_of_its_event(tmp_path, order):
    """Replayed in any order, and live in the order of plans."""
    documents = ordered(tmp_path, order)
    report = tiffin.export(documents, NAME, directory=tmp_path / "again")
    generated = tiffin.export(iter(documents), NAME, directory=tmp_path / "kept")
    with ImageExporter(NAME, directory=tmp_path / "processed") as exporter:
        tiffin.process(documents, exporter)

    assert report.ok, report.failed
    assert generated.ok, generated.failed
    for folder in ("again", "kept", "processed"):
        assert times_in(tmp_path / folder) == OF_EVENTS
    if order != "datums first":
        export_live(documents, NAME, tmp_path / "live")
        assert times_in(tmp_path / "live") == OF_EVENTS


@pytest.mark.parametrize("name", ["23_stream_tiff_adcore"])
def test_a_recorded_step_scan_has_the_times_of_its_events(sample, tmp_path, name):
    """As an ophyd-async detector in `bluesky.plans.count` gives it."""
    documents = [*sample(name).documents()]
    export_live(documents, NAME, tmp_path / "out")

    events = [doc for kind, doc in documents if kind == "event"]
    assert times_in(tmp_path / "out") == {
        f"{event['seq_num']}_0.tif": event["time"] for event in events
    }


@pytest.mark.parametrize("datums", [None, [(0, 12)]])
def test_without_events_it_has_the_time_of_the_descriptor(tmp_path, datums):
    """The best that is known of a fly scan; live, replayed, and in the tag."""
    documents = run(tmp_path, events=False, datums=datums)
    export_live(documents, NAME, tmp_path / "live")
    tiffin.export(documents, NAME, directory=tmp_path / "again")

    begun = documents[1][1]["time"]
    assert times_in(tmp_path / "live") == dict.fromkeys(OF_EVENTS, begun)
    assert times_in(tmp_path / "again") == dict.fromkeys(OF_EVENTS, begun)
    found = tiffin.read_metadata(tmp_path / "live" / "1_0.tif")
    time = datetime.datetime.fromisoformat(found["time"])
    assert time.timestamp() == pytest.approx(begun, abs=1e-5)


def test_a_fly_scan_is_written_while_it_goes_on(tmp_path):
    """The second stream datum tells that no event will come."""
    documents = run(tmp_path, events=False)
    with ImageExporter(NAME, directory=tmp_path / "out") as exporter:
        feed(exporter, documents[:4])
        exporter.wait(60)
        assert times_in(tmp_path / "out") == {}
        feed(exporter, documents[4:8])
        exporter.wait(60)
        assert len(times_in(tmp_path / "out")) == 5
        feed(exporter, documents[8:])
        (report,) = exporter.reports.values()

    assert report.ok
    assert len(report.written) == 12


def test_a_stack_without_own_times_has_no_intervals(tmp_path):
    """All pages have the descriptor's time, which says nothing of their intervals."""
    import tifffile

    documents = run(tmp_path, events=False)
    tiffin.export(
        documents, "a.tif", directory=tmp_path / "out", profile="ome", stack="run"
    )

    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        assert len(tiff.pages) == 12
        assert "DeltaT" not in tiff.ome_metadata

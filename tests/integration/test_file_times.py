"""The time of a file: that of its writing, or its event's."""

import numpy as np
import pytest

import tiffin
from tiffin.testing import run_of

IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
NAME = "{start.scan_id}_{event.seq_num}.tif"


@pytest.mark.parametrize("existing", ["error", "replace"])
def test_files_can_have_the_time_of_their_event(tmp_path, existing):
    """S38: to the microsecond, with the same bytes and manifest."""
    run = run_of({"img": IMAGES}, scan_id=7)
    times = [1_600_000_000.123456, 1_600_000_001.0, 1_600_000_002.5]
    events = [doc for name, doc in run if name == "event"]
    for doc, time in zip(events, times, strict=True):
        doc["time"] = time
    plain = tiffin.export(run, NAME, directory=tmp_path / "plain")

    report = tiffin.export(
        run,
        NAME,
        directory=tmp_path / "out",
        existing=existing,
        file_time="event",
        mode="640",
        fsync="file",
    )

    stamps = [record.path.stat().st_mtime_ns for record in report.written]
    assert stamps == [round(time * 1e6) * 1000 for time in times]
    for one, other in zip(plain.written, report.written, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


@pytest.mark.parametrize("time", [None, "noon", float("nan"), -1.0, 1e30])
def test_a_time_that_is_none_leaves_that_of_writing(tmp_path, time):
    """S38: an impossible time in the documents does no harm."""
    run = run_of({"img": IMAGES}, scan_id=7)
    for _, doc in run:
        doc["time"] = time

    report = tiffin.export(run, NAME, directory=tmp_path, file_time="event")

    assert report.ok
    for record in report.written:
        assert record.path.stat().st_mtime > 1_700_000_000


def test_in_a_fly_scan_files_have_the_time_of_their_descriptor(sample, tmp_path):
    """S38: without events there is no other time."""
    fly = sample("30_btp_external_assets")
    documents = [item for item in fly.documents() if item[0] != "event"]
    descriptors = {d["uid"]: d for name, d in documents if name == "descriptor"}

    report = tiffin.export(
        documents,
        "{stream}_{field}_{frame}.tif",
        directory=tmp_path,
        streams=None,
        file_time="event",
        on_error="report",
    )

    times = {d["name"]: round(d["time"] * 1e6) for d in descriptors.values()}
    assert report.written
    for record in report.written:
        assert record.path.stat().st_mtime_ns // 1000 == times[record.stream]

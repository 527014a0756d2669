"""Resources that outlive their run: a detector may be staged once, for several runs."""

import pytest
from bluesky import plan_stubs as bps
from event_model import compose_run

import tiffin
from tests.documents import FRAMES, hdf5, stream_run
from tests.helpers import check, feed
from tiffin import ImageExporter
from tiffin.assemble import Assembler
from tiffin.assemble.pending import MAX_DOCUMENTS, DocumentCache

NAMED = "{start.scan_id}_{event.seq_num}_{i}.tif"


def test_a_detector_staged_once_is_exported_in_every_run(RE, external, tmp_path, read):
    """A Resource is emitted once when staged: the second run's datums refer to it."""
    documents = []
    exporter = ImageExporter(NAMED, directory=tmp_path / "live")

    def plan():
        yield from bps.stage(external)
        for scan_id in (1, 2):
            yield from bps.open_run({"scan_id": scan_id})
            yield from bps.trigger_and_read([external])
            yield from bps.trigger_and_read([external])
            yield from bps.close_run()
        yield from bps.unstage(external)

    RE(plan(), [exporter, lambda name, doc: documents.append((name, doc))])
    report = tiffin.export(documents, NAMED, directory=tmp_path / "replay")

    assert [name for name, _ in documents].count("resource") == 1
    frames = external._func.taken(4)
    check(report, frames, read)
    for folder in ("live", "replay"):
        for record, image in zip(report.written, frames, strict=True):
            pixels = read(tmp_path / folder / record.path.name)
            assert (pixels == image).all()


def test_a_reading_that_was_not_triggered_refers_to_the_last_run(
    RE, external, tmp_path, read
):
    """A detector that is read without a trigger emits the same Datum again."""
    exporter = ImageExporter(NAMED, directory=tmp_path / "out")

    def plan():
        yield from bps.stage(external)
        yield from bps.open_run({"scan_id": 1})
        yield from bps.trigger_and_read([external])
        yield from bps.close_run()
        yield from bps.open_run({"scan_id": 2})
        yield from bps.create("primary")
        yield from bps.read(external)
        yield from bps.save()
        yield from bps.close_run()
        yield from bps.unstage(external)

    for uid in RE(plan(), exporter):
        check(exporter.reports[uid], external._func.taken(1), read)


def streamed_in_two_runs(uri):
    """Return two runs whose stream datums refer to the first run's resource."""
    first = stream_run(uri, "application/x-hdf5", {"dataset": "/entry/data/data"})
    resource = next(doc for name, doc in first if name == "stream_resource")
    descriptor = next(doc for name, doc in first if name == "descriptor")
    run = compose_run(metadata={"scan_id": 8})
    bundle = run.compose_descriptor(name="primary", data_keys=descriptor["data_keys"])
    datum = {
        "uid": f"{resource['uid']}/4",
        "stream_resource": resource["uid"],
        "descriptor": bundle.descriptor_doc["uid"],
        "indices": {"start": 4, "stop": 12},
        "seq_nums": {"start": 1, "stop": 9},
    }
    return [
        *first,
        ("start", run.start_doc),
        ("descriptor", bundle.descriptor_doc),
        ("stream_datum", datum),
        ("stop", run.compose_stop()),
    ]


def test_stream_resources_outlive_their_run_too(tmp_path, read):
    """Live and replayed: indices continue where the first run ended."""
    documents = streamed_in_two_runs(hdf5(tmp_path / "a.h5"))
    exporter = ImageExporter(NAMED, directory=tmp_path / "live")

    feed(exporter, documents)
    report = tiffin.export(documents, NAMED, directory=tmp_path / "replay")

    check(report, FRAMES, read)
    for record in report.written:
        assert read(tmp_path / "live" / record.path.name).shape == (6, 9)
    exporter.close()


def datum_documents(n):
    """Return a run with an event, a datum and a resource of its own."""
    data_key = {"source": "S", "dtype": "array", "shape": [6, 9], "external": "F:"}
    return [
        ("start", {"uid": f"run-{n}", "time": 0}),
        (
            "descriptor",
            {
                "uid": f"d-{n}", "run_start": f"run-{n}", "name": "primary", "time": 0,
                "data_keys": {"img": data_key},
            },
        ),
        (
            "resource",
            {
                "uid": f"r-{n}", "run_start": f"run-{n}", "spec": "NPY_SEQ",
                "root": "/", "resource_path": "x", "resource_kwargs": {},
            },
        ),
        (
            "datum",
            {
                "datum_id": f"r-{n}/0", "resource": f"r-{n}",
                "datum_kwargs": {"index": 0},
            },
        ),
        (
            "event",
            {
                "uid": f"e-{n}", "descriptor": f"d-{n}", "seq_num": 1, "time": 1,
                "data": {"img": f"r-{n}/0"}, "timestamps": {}, "filled": {"img": False},
            },
        ),
        ("stop", {"uid": f"s-{n}", "run_start": f"run-{n}", "time": 1}),
    ]  # fmt: skip


def caches(assembler):
    events, stream_datums = assembler._events, assembler._stream_datums
    return events.resources, events.datums, stream_datums.resources


def assembled(assembler, documents):
    return [frame for name, doc in documents for frame in assembler(name, doc)]


@pytest.mark.parametrize("named", [True, False])
def test_what_ended_runs_leave_is_bounded(named):
    """S45: a service sees millions of documents, with or without the uid of their
    run.
    """
    assembler = Assembler(fields=None, streams=("primary",))
    assembled(assembler, datum_documents(0)[:2])  # never stops

    for n in range(1, MAX_DOCUMENTS + 500):
        run = datum_documents(n)
        if not named:
            del run[2][1]["run_start"]
        (frame,) = assembled(assembler, run)
        assert frame.problem is None

    for kept in caches(assembler):
        assert len(kept) <= MAX_DOCUMENTS
    (frame,) = assembled(
        assembler,
        [
            *datum_documents(MAX_DOCUMENTS + 500)[:2],
            *refers_to(MAX_DOCUMENTS + 500, MAX_DOCUMENTS + 9),
        ],
    )
    assert frame.problem is None


def refers_to(n, other):
    """Return an event of one run that refers to the datum of another."""
    (name, event) = datum_documents(n)[4]
    yield name, {**event, "data": {"img": f"r-{other}/0"}}


def test_a_run_of_very_many_datums_does_not_keep_them_all():
    """Of datums that events have used, the newest are kept."""
    assembler = Assembler(fields=None, streams=("primary",))
    start, descriptor, resource, (_, datum), (_, event), _ = datum_documents(1)
    assembled(assembler, [start, descriptor, resource])

    for k in range(MAX_DOCUMENTS + 500):
        one = {**datum, "datum_id": f"r-1/{k}"}
        two = {**event, "uid": f"e-{k}", "seq_num": k + 1, "data": {"img": f"r-1/{k}"}}
        (frame,) = assembled(assembler, [("datum", one), ("event", two)])
        assert frame.problem is None

    assert max(len(kept) for kept in caches(assembler)) <= MAX_DOCUMENTS


def test_an_open_runs_documents_are_all_kept_until_they_are_used():
    """However many: a replay may give all of them before the first event."""
    kept = DocumentCache(max_documents=3, single_use=True)

    for k in range(10):
        kept.add(f"datum-{k}", {"n": k}, "run-1")
    before = [kept.get(f"datum-{k}")["n"] for k in range(10)]
    for k in range(10):
        kept.mark_used(f"datum-{k}")

    assert before == list(range(10))
    assert [k for k in range(10) if kept.get(f"datum-{k}")] == [7, 8, 9]


def test_datums_wait_for_their_resource_however_many():
    """It may be the last document of a run."""
    assembler = Assembler(fields=None, streams=("primary",))
    start, descriptor, resource, (_, datum), (_, event), stop = datum_documents(1)
    assembled(assembler, [start, descriptor])
    for k in range(MAX_DOCUMENTS + 500):
        one = {**datum, "datum_id": f"r-1/{k}"}
        two = {**event, "uid": f"e-{k}", "seq_num": k + 1, "data": {"img": f"r-1/{k}"}}
        assert not assembled(assembler, [("datum", one), ("event", two)])

    frames = assembled(assembler, [resource, stop])

    assert len(frames) == MAX_DOCUMENTS + 500
    assert all(frame.problem is None for frame in frames)


def test_what_is_referred_to_again_and_again_is_not_forgotten():
    """One detector is staged once for a session, another for each run."""
    kept = DocumentCache(max_documents=3)
    kept.add("session", {}, "run-0")
    kept.end_run("run-0")

    for n in range(1, 10):
        kept.add(f"resource-{n}", {}, f"run-{n}")
        assert kept.get("session") is not None
        kept.mark_used("session")
        kept.end_run(f"run-{n}")

    assert len(kept) == 3

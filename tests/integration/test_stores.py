"""Afterwards, from databroker, and from any store in the same words."""

import itertools
import time
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from bluesky.callbacks import LiveTable
from bluesky.plans import count, scan
from ophyd.sim import motor

import tiffin
from tests.helpers import check
from tests.stores import LIBRARIES_WARN, client_of, insert, store_in_tiled
from tiffin import ImageExporter, get_images, process
from tiffin.errors import FieldError, ReadError, SettingsError, SourceError
from tiffin.sources import Selection, find_runs, open_source
from tiffin.sources.tiled_search import with_metadata
from tiffin.testing import run_of

NAME = "{start.scan_id}_step{event.seq_num}.tif"
IMAGES = np.random.default_rng(9).integers(0, 60000, (2, 3, 6, 9), "u2")

pytestmark = LIBRARIES_WARN


@pytest.fixture
def recorded(RE, broker):
    """Take runs with a databroker listening."""
    RE.subscribe(broker.v1.insert)
    return RE


def test_db_process_works_as_in_the_recipe(
    recorded, broker, img, external, images, tmp_path, read
):
    """S39: db.process(db[uids], exporter), in-line and external images."""
    uids = recorded(count([img], 2)) + recorded(count([external], 2))
    exporter = ImageExporter(NAME, directory=tmp_path / "out")

    broker.process(broker[uids], exporter)

    taken = images.taken(4)
    check(exporter.reports[uids[0]], taken[:2], read)
    check(exporter.reports[uids[1]], taken[2:], read)


def test_tiffin_process_takes_headers(recorded, broker, img, images, tmp_path, read):
    """One header or a list of them; the reports are returned."""
    uids = recorded(count([img], 2)) + recorded(count([img], 2))
    one = ImageExporter("one_" + NAME, directory=tmp_path)
    both = ImageExporter("both_" + NAME, directory=tmp_path)

    reports = process(broker[uids[0]], one)
    process(broker[uids], both)

    assert list(reports) == [uids[0]]
    check(reports[uids[0]], images.taken(4)[:2], read)
    assert all(report.ok for report in both.reports.values())
    assert list(both.reports) == list(uids)


def test_process_feeds_any_callback(recorded, broker, img, tmp_path):
    """Such as LiveTable."""
    (uid,) = recorded(scan([img], motor, 0, 1, 2))
    lines = []

    process(broker[uid], LiveTable(["motor"], out=lines.append))

    assert any("motor" in line for line in lines)


def test_export_takes_a_header(recorded, broker, img, external, images, tmp_path, read):
    """In one call, without a callback."""
    uids = recorded(count([img], 2)) + recorded(count([external], 2))

    report = tiffin.export(broker[uids], NAME, directory=tmp_path / "out")

    check(report, images.taken(4), read)


def test_search_results_are_a_source(recorded, broker, img, images, tmp_path, read):
    """db(plan_name=…): its headers one after the other, in export, process and
    get_images.
    """
    mark = str(uuid.uuid4())  # the store has other tests' runs
    recorded(count([img], 1), mark=mark)
    recorded(scan([img], motor, 0, 1, 2), mark=mark)
    recorded(count([img], 1), mark=mark)
    exporter = ImageExporter("live_" + NAME, directory=tmp_path)

    report = tiffin.export(
        broker(plan_name="count", mark=mark), NAME, directory=tmp_path
    )
    reports = process(broker(plan_name="count", mark=mark), exporter)
    arrays = get_images(broker(plan_name="count", mark=mark), "img")

    wanted = [images.taken(4)[0], images.taken(1)[0]]
    runs = sorted(report.written, key=lambda record: record.path)  # newest first
    for record, image in zip(runs, wanted, strict=True):
        np.testing.assert_array_equal(read(record.path), image)
    assert {record.run for record in report.written} == set(reports)
    assert all(told.ok for told in reports.values())
    assert sorted(a[0, 0] for a in arrays) == sorted(image[0, 0] for image in wanted)


def test_a_search_that_finds_nothing_is_a_source_of_no_run(broker, tmp_path):
    """S16: it is an error."""
    with pytest.raises(SourceError, match="holds no run"):
        tiffin.export(broker(plan_name="nosuch"), NAME, directory=tmp_path)


def test_export_takes_a_v2_entry(recorded, broker, img, images, tmp_path, read):
    """Runs of databroker's v2 interface give documents too."""
    (uid,) = recorded(count([img], 2))

    report = tiffin.export(broker.v2[uid], NAME, directory=tmp_path)

    check(report, images.taken(2), read)


def test_get_images_gives_arrays_of_their_own_dtype(
    recorded, broker, img, external, images
):
    """As the recipe's get_images: lazy, and can be unpacked."""
    (inline_uid,) = recorded(count([img], 1))
    (external_uid,) = recorded(count([external], 2))

    (inline,) = get_images(broker[inline_uid], "img")
    files = get_images(broker[external_uid], "ext")

    np.testing.assert_array_equal(inline, images.taken(3)[0])
    assert inline.dtype == np.uint16
    assert len(files) == 2
    np.testing.assert_array_equal(files[-1], images.taken(1)[0])
    assert [image.shape for image in files[:1]] == [(10, 12)]
    with pytest.raises(FieldError, match="did you mean 'ext'"):
        get_images(broker[external_uid], "ex")


def test_get_images_says_which_file_vanished(recorded, broker, external, tmp_path):
    """An image that can't be read raises when it is read, not before."""
    (uid,) = recorded(count([external], 1))
    for path in (tmp_path / "detector").iterdir():
        path.unlink()

    images = get_images(broker[uid], "ext")

    with pytest.raises(ReadError, match=r"NPY_SEQ.*root_map="):
        images[0]


# ---- every store (S42)


def in_pages(documents):
    """Tell a run's events in one page, as a Kafka or ZMQ worker may get them."""
    events = [doc for name, doc in documents if name == "event"]
    page = {key: [e[key] for e in events] for key in ("uid", "time", "seq_num")}
    for part in ("data", "timestamps"):
        page[part] = {"img": [event[part]["img"] for event in events]}
    page |= {"descriptor": events[0]["descriptor"], "filled": {}}
    rest = [pair for pair in documents if pair[0] != "event"]
    return [*rest[:-1], ("event_page", page), rest[-1]]


@pytest.fixture
def in_store(request):
    """Put documents into a store, and return what holds them there."""

    def in_store(kind, run):
        if kind == "v3 run (SQL)":
            return request.getfixturevalue("store")(run)
        if kind == "documents":
            return run
        if kind == "a generator":
            return (pair for pair in run)
        if kind == "event pages":
            return in_pages(run)
        broker = request.getfixturevalue("broker")
        header = insert(broker, run)
        return header if kind == "v1 header" else broker.v2[header.start["uid"]]

    return in_store


KINDS = [
    "v1 header", "v2 run (Mongo)", "v3 run (SQL)", "documents", "a generator",
    "event pages",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_holds_a_run_is_a_source(in_store, tmp_path, read, kind):
    """S42: v1 headers, v2 and v3 runs, documents, event pages; and lists of them."""
    runs = [run_of({"img": images}, scan_id=n) for n, images in enumerate(IMAGES)]
    one = in_store(kind, run_of({"img": IMAGES[0]}))
    several = [in_store(kind, run) for run in runs]

    alone = tiffin.export(one, "{event.seq_num}.tif", directory=tmp_path / "one")
    listed = tiffin.export(several, NAME, directory=tmp_path / "several")

    check(alone, IMAGES[0], read)
    check(listed, np.concatenate(IMAGES), read)


def test_a_list_may_hold_several_kinds_of_sources(in_store, tmp_path, read):
    """S42: a header, a run of Tiled and documents in one export."""
    opened = [
        in_store(kind, run_of({"img": IMAGES[n % 2]}, scan_id=n))
        for n, kind in enumerate(KINDS)
    ]

    report = tiffin.export(opened, NAME, directory=tmp_path)

    check(report, np.concatenate([IMAGES[n % 2] for n in range(len(KINDS))]), read)


# ---- runs that break off


@pytest.fixture
def broken(broker, sample):
    """Return a header whose documents() raises: databroker 2 holds no such assets."""
    documents = sample("20_stream_hdf5_sim_count").documents()
    return insert(broker, documents)


def test_a_run_that_its_store_can_not_give_does_not_end_the_others(
    broker, broken, tmp_path, read
):
    """It is one failure, with the run's uid and the store's message."""
    good = [run_of({"img": IMAGES[n]}, scan_id=n) for n in range(2)]
    headers = [insert(broker, run) for run in good]

    report = tiffin.export(
        [headers[0], broken, headers[1]], NAME, directory=tmp_path, on_error="report"
    )

    reasons = [str(record.error) for record in report.failed]
    assert any(broken.start["uid"] in why and "KeyError" in why for why in reasons)
    for record, image in zip(report.written, np.concatenate(IMAGES), strict=True):
        np.testing.assert_array_equal(read(record.path), image)


def test_what_a_store_raises_is_a_source_error(broken, tmp_path):
    """With on_error="raise", too, no foreign exception is raised."""
    with pytest.raises(SourceError, match=broken.start["uid"]):
        tiffin.export(broken, NAME, directory=tmp_path)


def test_a_generator_that_breaks_off(tmp_path):
    """Earlier frames are exported; its exception is the reason."""

    def documents():
        yield from run_of({"img": IMAGES[0]}, scan_id=1)[:3]
        raise RuntimeError("the network is gone")

    report = tiffin.export(documents(), NAME, directory=tmp_path, on_error="report")

    assert len(report.written) == 1
    assert "RuntimeError: the network is gone" in str(report.failed[0].error)


def test_a_generator_of_runs_that_breaks_off(tmp_path):
    """The runs before are exported."""

    def runs():
        yield run_of({"img": IMAGES[0]}, scan_id=1)
        raise RuntimeError("the network is gone")

    report = tiffin.export(runs(), NAME, directory=tmp_path, on_error="report")

    assert len(report.written) == 3
    assert "the network is gone" in str(report.failed[0].error)


def test_documents_tell_their_parts():
    """Nested lists of sources are flattened, in order."""
    one, two, three = (run_of({"x": [n]}, scan_id=n) for n in range(3))

    opened = open_source([[one, two], three])
    alone = open_source(one)

    assert [len(list(part)) for part in opened.parts] == [len(one)] * 3
    assert [doc["scan_id"] for name, doc in opened if name == "start"] == [0, 1, 2]
    assert alone.parts == (alone,)


# ---- runs that are searched for


@pytest.fixture(scope="module")
def client(tiled_server):
    """A client of the server, for all tests of this module."""
    with client_of(tiled_server) as client:
        yield client


@pytest.fixture(scope="module", params=["SQL", "Mongo"])
def catalogue(request, client, broker):
    """Three runs in a catalogue of either kind, and the uids, oldest first."""
    marked = {"mark": str(uuid.uuid4())}  # the server is that of other tests, too
    runs = []
    for n in range(3):
        # Behind any run of today's.
        more = {"n": n, "s": "123" if n else 123, "tag": [1, 2], "scan_id": SCAN + n}
        run = run_of({"x": [1.0]}, **marked, **more)
        run[0][1]["time"] = int(time.time()) + 1000.0 * next(LATER)
        runs.append(run)
    uids = [run[0][1]["uid"] for run in runs]
    if request.param == "SQL":
        for run in runs:
            store_in_tiled(client, run)
        return client, marked, uids
    for run in runs:
        insert(broker, run)
    return broker.v2, marked, uids


SCAN = 88_000_000
LATER = itertools.count(1)


def found(client, *runs, query=(), **selection):
    chosen = Selection.of(runs=runs, query=query, **selection)
    return [run.metadata["start"]["uid"] for run in find_runs(client, chosen)]


def test_a_run_is_found_by_place_number_or_uid(catalogue):
    """As --run takes them, in the order given."""
    client, _, uids = catalogue

    assert found(client, "-1") == uids[2:]
    assert found(client, "-2", "-1") == uids[1:]
    assert found(client, uids[1]) == [uids[1]]
    assert found(client, uids[1][:13]) == [uids[1]]
    assert found(client) == uids[2:]
    assert found(client, str(SCAN + 1)) == [uids[1]]


def renamed(run, uid):
    """Return a run with another uid."""
    run[0][1]["uid"] = uid
    for name, doc in run:
        if name in ("descriptor", "stop"):
            doc["run_start"] = uid
    return run


def test_a_mistyped_scan_id_is_no_uid(catalogue, request):
    """A partial uid needs four characters, or six if all are digits."""
    client, _, _ = catalogue
    marked, rest = {"mark": str(uuid.uuid4())}, str(uuid.uuid4())[8:]
    begins = ["12345678", "abcdef12"]
    for begin in begins:
        run = renamed(run_of({"x": [1.0]}, **marked, scan_id=SCAN + 9), begin + rest)
        if client is request.getfixturevalue("client"):
            store_in_tiled(client, run)
        else:
            insert(request.getfixturevalue("broker"), run)

    for begin, long in zip(begins, (6, 4), strict=True):
        query = [f"mark={marked['mark']}"]
        assert found(client, begin[:long], query=query) == [begin + rest]
        with pytest.raises(
            SourceError, match=r"no run matches .* 4 characters .*6 where"
        ):
            found(client, begin[: long - 1], query=query)


def test_a_run_named_twice_is_found_once(catalogue):
    """By whatever names."""
    client, _, uids = catalogue

    assert found(client, "-1", uids[1], uids[2], "-2") == [uids[2], uids[1]]


def test_what_names_no_run_is_refused(catalogue):
    """A number must match exactly, and there are no wildcards."""
    client, _, uids = catalogue
    wild = uids[0][:-2] + "_"

    for name in ("nosuch", "", "-0", "-x", "%", "________", "²", "9" * 30, wild):
        with pytest.raises(SourceError, match="match"):
            found(client, name)


def test_a_place_before_the_first_run_is_refused(catalogue):
    """The error says how many runs there are."""
    with pytest.raises(SourceError, match="no run '-9999': the catalogue has"):
        found(catalogue[0], "-9999")


def test_runs_are_searched(catalogue):
    """--query, --since, --until, --limit; oldest first."""
    client, marked, uids = catalogue
    mark = f"mark={marked['mark']}"
    times = [client[uid].metadata["start"]["time"] for uid in uids]
    begun = [datetime.fromtimestamp(time, UTC).isoformat() for time in times]

    assert found(client, query=[mark]) == uids
    assert found(client, query=[mark, "n=1"]) == [uids[1]]
    assert found(client, query=[mark], limit=2) == uids[1:]
    assert found(client, "-1", "-2", "-3", limit=2) == uids[:0:-1]
    assert found(client, query=[mark], since=begun[1]) == uids[1:]
    assert found(client, query=[mark], until=begun[1]) == uids[:1]
    assert found(client, "-1", query=[mark], until=begun[2]) == [uids[1]]


def test_no_run_is_told_with_what_was_asked_for(catalogue):
    """The error repeats the query."""
    with pytest.raises(SourceError, match="no run fits --query mark=nosuch --since 20"):
        found(catalogue[0], query=["mark=nosuch"], since="2026-11-22")


def test_a_catalogue_is_no_source(catalogue):
    """Nor is a search result, which may be all of it: runs must be named."""
    client, marked, _ = catalogue
    with pytest.raises(SourceError, match=r"source\.values\(\) are all"):
        open_source(with_metadata(client, marked))


def test_a_query_finds_numbers_and_text(catalogue):
    """123 on a command line matches the number and the text."""
    client, marked, uids = catalogue
    mark = f"mark={marked['mark']}"

    assert found(client, query=[mark, "s=123"]) == uids
    assert found(client, query=[mark, 's="123"']) == uids[1:]


@pytest.mark.parametrize("value", ["[1,2]", "null", "{}"])
def test_a_query_for_what_a_server_can_not_look_for_is_refused(tiled, value):
    """Before the server would answer with its own error."""
    with pytest.raises(SettingsError, match="in files only"):
        found(tiled, query=[f"tag={value}"])


def test_whatever_a_server_says_to_a_search_is_a_source_error():
    """No foreign exception is raised."""

    class Broken:
        context = SimpleNamespace(http_client=httpx.Client())

        def search(self, query):
            raise KeyError("start")

    with pytest.raises(SourceError, match="KeyError: 'start'"):
        found(Broken(), query=["n=1"])

"""Whatever stands in a document: an export ends, and no image is lost unsaid."""

import copy
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiffin
from tests.documents import hdf5, stream_run
from tests.helpers import NAME, feed
from tests.run_forms import in_datums, in_events, in_pages
from tiffin import ImageExporter
from tiffin.assemble import Assembler, LateDocuments
from tiffin.errors import SourceError

EVENTS = 3
IMAGES = np.arange(EVENTS * 10 * 12, dtype="u2").reshape(EVENTS, 10, 12)

SHAPES = [
    "abc", [-1, 10, 12], [[1], 10, 12], ["a", "b"], {"a": 1}, 5, None, [], True,
    [0.5, 10, 12], [float("nan"), 10, 12], [float("inf"), 10, 12], [10**12, 10, 12],
    [-1, -1, -1], ["1", "10", "12"], [None, None, None], [10**400, 10, 12], [[]],
    b"ab", [0, 0],
    np.array([1, 10, 12]), (1.0, 10.0, 12.0), [{}, {}], [None, 10, 12], [1, 10, -12],
    [1, 10**30, 12], [1, 10, 2**32],
]  # fmt: skip


def runs_in(folder):
    """Return one run as in-line events, datums, stream datums and pages."""
    datums = in_datums(IMAGES, folder)
    streamed = stream_run(
        hdf5(folder / "a.h5", IMAGES), "application/x-hdf5",
        {"dataset": "/entry/data/data"}, events=EVENTS, shape=(10, 12),
        data=[0.5, 1.5, 2.5],
    )  # fmt: skip
    return {
        "inline": in_events(IMAGES),
        "pages": in_pages(np.concatenate([IMAGES, IMAGES])),
        "datums": datums,
        "streamed": streamed,
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the run in every form."""
    return runs_in(tmp_path_factory.mktemp("data"))


def with_shape(run, shape):
    run = copy.deepcopy(run)
    for name, doc in run:
        if name == "descriptor":
            doc["data_keys"]["img"]["shape"] = shape
    return run


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("how", ["inline", "datums", "streamed"])
def test_a_wild_shape_is_a_hint_like_any_other(runs, tmp_path, read, how, shape):
    """Usable sizes are used, and the array decides."""
    run = with_shape(runs[how], shape)
    exporter = ImageExporter("{event.seq_num}.tif", directory=tmp_path / "live")

    report = tiffin.export(
        run, "{event.seq_num}.tif", directory=tmp_path / "out", on_error="report"
    )
    feed(exporter, run)
    exporter.close()

    (live,) = exporter.reports.values()
    for told in (report, live):
        assert told.ok, told.failed[0].error
        assert len(told.written) == EVENTS
        for record, image in zip(told.written, IMAGES, strict=True):
            np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize("dims", [5, "yx", [1], [[]], {"a": 1}, None, True], ids=repr)
@pytest.mark.parametrize("how", ["inline", "datums", "streamed"])
def test_wild_dims_announce_no_colour(runs, tmp_path, how, dims):
    """Dims are only a hint, too."""
    run = copy.deepcopy(runs[how])
    run[1][1]["data_keys"]["img"]["dims"] = dims

    report = tiffin.export(
        run, "{event.seq_num}.tif", directory=tmp_path, on_error="report"
    )

    assert len(report.written) == EVENTS


@pytest.mark.parametrize("dtype", [5, "(1,", "i4,,", "abc", [["a", "<i4"]], {}, ""])
@pytest.mark.parametrize("how", ["inline", "datums", "streamed"])
def test_a_wild_dtype_is_none(runs, tmp_path, how, dtype):
    """A dtype that numpy does not know is ignored."""
    run = copy.deepcopy(runs[how])
    run[1][1]["data_keys"]["img"]["dtype_numpy"] = dtype

    report = tiffin.export(
        run, "{event.seq_num}.tif", directory=tmp_path, on_error="report"
    )

    assert len(report.written) == EVENTS


def test_one_bad_event_of_a_page_does_not_cost_the_others(runs, tmp_path):
    """Each has its own record."""
    run = copy.deepcopy(runs["pages"])
    page = next(doc for name, doc in run if name == "event_page")
    page["seq_num"][0] = "first"

    report = tiffin.export(
        run, "{event.seq_num}.tif", directory=tmp_path, on_error="report"
    )

    assert len(report.failed) == 1
    assert len(report.written) == 2 * EVENTS - 1
    assert report.failed[0].run == run[0][1]["uid"]


def test_one_bad_datum_of_a_page_does_not_cost_the_others(runs, tmp_path):
    """The event of an id that can't be hashed has its own record."""
    run = copy.deepcopy(runs["datums"])
    ids = [doc["datum_id"] for name, doc in run if name == "datum"]
    page = {
        "resource": run[2][1]["uid"],
        "datum_id": [[], *ids[1:]],
        "datum_kwargs": {"index": list(range(EVENTS))},
    }
    rest = [pair for pair in run if pair[0] != "datum"]

    report = tiffin.export(
        [*rest[:3], ("datum_page", page), *rest[3:]],
        "{event.seq_num}.tif",
        directory=tmp_path,
        on_error="report",
    )

    assert len(report.written) == EVENTS - 1
    assert [record.seq_num for record in report.failed] == [None, 1]


def test_a_bad_resource_fails_every_event_that_waits_for_it(runs, tmp_path):
    """After its events, and without required keys: one record an event."""
    run = copy.deepcopy(runs["datums"])
    resource = next(pair for pair in run if pair[0] == "resource")
    del resource[1]["spec"]
    rest = [pair for pair in run if pair[0] != "resource"]

    report = tiffin.export(
        [*rest[:-1], resource, rest[-1]],
        "{event.seq_num}.tif",
        directory=tmp_path,
        on_error="report",
    )

    told = [(record.field, record.stream, record.seq_num) for record in report.failed]
    assert told == [("img", "primary", n) for n in (1, 2, 3)]


# ---- every field of every document

WILD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-(10**30), 10**30, 2**63, 10**400]),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=3),
    st.sampled_from(["", "/", "..", "\0", "%s", "{}", "{:d}", "primary", "img", "x"]),
    st.just([]),
    st.just({}),
    st.lists(st.one_of(st.none(), st.integers(-2, 2), st.text(max_size=2)), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(-2, 2), max_size=2),
    st.just({"start": 0}),
    st.just(IMAGES[0]),
    st.just(IMAGES[0].astype(complex)),
)
GONE = object()


def places_in(value, path=()):
    """Return the paths of all that stands in a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from places_in(item, (*path, key))
    elif isinstance(value, list) and len(value) < 5:
        for n, item in enumerate(value):
            yield (*path, n)
            yield from places_in(item, (*path, n))


def put(doc, path, value):
    """Replace what stands somewhere in a document, or take it out."""
    for key in path[:-1]:
        doc = doc[key]
    if value is GONE:
        del doc[path[-1]]
    else:
        doc[path[-1]] = value


@st.composite
def damaged(draw, runs, names, within=()):
    """Return a run with one or two of its fields made wild, and in what order.

    With `within`, only those of a descriptor that begin so, and no run's uid: what
    run a document belongs to is asked elsewhere too.
    """
    run = copy.deepcopy(runs[draw(st.sampled_from([*runs]))])
    for _ in range(draw(st.integers(1, 2))):
        choices = [n for n, (name, _) in enumerate(run) if name in names]
        name, doc = run[draw(st.sampled_from(choices))]
        begin = within if name == "descriptor" else ()
        paths = [
            path
            for path in places_in(doc)
            if path[: len(begin)] == begin and not (within and path == ("run_start",))
        ]
        if paths:
            value = draw(WILD | st.just(GONE))
            value = value if value is GONE else copy.deepcopy(value)
            put(doc, draw(st.sampled_from(paths)), value)
    if draw(st.booleans()):
        middle = draw(st.permutations(run[2:-1]))
        run = [*run[:2], *middle, run[-1]]
    return run


ALL = (
    "start", "descriptor", "resource", "datum", "stream_resource", "stream_datum",
    "event", "event_page", "stop",
)  # fmt: skip
THESE = settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("fields", [None, ("img",)])
def test_nothing_but_a_source_error_comes_out_of_wild_documents(runs, joined, fields):
    """Whatever a field holds, the assembler gives frames or raises a SourceError."""

    @THESE
    @given(damaged(runs, ALL))
    def check(run):
        LateDocuments.scan(run)
        assembler = Assembler(
            fields=fields, streams=("primary",), join_events=joined, corrected=False
        )
        told = 0
        for name, doc in run:
            try:
                told += sum(1 for _ in assembler(name, doc))
            except SourceError:
                told += 1
            if name == "descriptor":
                assert_announced(assembler, doc)
        told += sum(1 for _ in assembler.finish())
        assert told

    check()


def assert_announced(assembler, doc):
    """Ask what a descriptor declares; it is asked for good ones only."""
    if isinstance(doc.get("uid"), str):
        declared = assembler.declared_images(doc)
        assert declared is None or all(n > 0 for n in declared.images.values())


@pytest.mark.parametrize("template", [NAME, "{event.data.x|none}_{frame}.tif"])
def test_every_image_of_wild_documents_is_written_or_has_its_record(runs, template):
    """Every image is written or skipped with its reason, or something failed."""
    names = ("resource", "datum", "stream_resource", "stream_datum", "descriptor")

    @THESE
    @given(damaged(runs, names, within=("data_keys", "img")))
    def check(run):
        with tempfile.TemporaryDirectory() as folder:
            report = tiffin.export(run, template, directory=folder, on_error="report")
            assert report.failed or len(report.records) >= EVENTS

    check()

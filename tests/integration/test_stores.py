"""Afterwards, from databroker and Tiled."""

import warnings

import numpy as np
import pytest
from bluesky.callbacks import LiveTable
from bluesky.plans import count, scan
from ophyd.sim import motor

import tiffin
from tiffin import ImageExporter, get_images, process
from tiffin.errors import FieldError, ReadError, SourceError
from tiffin.sources import Selection, find_runs

NAME = "{start.scan_id}_step{event.seq_num}.tif"

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def recorded(RE, broker):
    """Take runs with a databroker listening."""
    RE.subscribe(broker.v1.insert)
    return RE


def check(report, images, read, *, dtype="uint16"):
    assert report.ok
    for record, image in zip(report.written, images, strict=True):
        pixels = read(record.path)
        np.testing.assert_array_equal(pixels, image)
        assert pixels.dtype == dtype


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
    """A header, a list of them; the reports come back."""
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
    """LiveTable and friends."""
    (uid,) = recorded(scan([img], motor, 0, 1, 2))
    lines = []

    process(broker[uid], LiveTable(["motor"], out=lines.append))

    assert any("motor" in line for line in lines)


def test_export_takes_a_header(recorded, broker, img, external, images, tmp_path, read):
    """One call, no callback."""
    uids = recorded(count([img], 2)) + recorded(count([external], 2))

    report = tiffin.export(broker[uids], NAME, directory=tmp_path / "out")

    check(report, images.taken(4), read)


def test_export_takes_a_v2_entry(recorded, broker, img, images, tmp_path, read):
    """Databroker's v2 interface, whose runs give documents too."""
    (uid,) = recorded(count([img], 2))

    report = tiffin.export(broker.v2[uid], NAME, directory=tmp_path)

    check(report, images.taken(2), read)


def test_get_images_gives_arrays_of_their_own_dtype(
    recorded, broker, img, external, images
):
    """The recipe's get_images, lazily; it unpacks."""
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
    """An image that can't be read raises when it is asked for, not before."""
    (uid,) = recorded(count([external], 1))
    for path in (tmp_path / "detector").iterdir():
        path.unlink()

    images = get_images(broker[uid], "ext")

    with pytest.raises(ReadError, match="NPY_SEQ"):
        images[0]


@pytest.fixture
def stored(RE, tiled):
    """Take runs with a Tiled server listening."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bluesky_tiled_plugins import TiledWriter

        RE.subscribe(TiledWriter(tiled, batch_size=1))
    return RE


def test_export_takes_a_tiled_run(stored, tiled, img, images, tmp_path, read, names_in):
    """client[uid], sliced: run.documents() answers 406 here."""
    (uid,) = stored(scan([img], motor, -1, 1, 3))

    template = "{start.scan_id}_{event.seq_num}_{event.data.motor:.1f}.tif"
    report = tiffin.export(tiled[uid], template, directory=tmp_path / "out")

    check(report, images.taken(3), read)
    assert names_in(tmp_path / "out") == ["1_1_-1.0.tif", "1_2_0.0.tif", "1_3_1.0.tif"]


def test_a_list_of_tiled_runs_through_process(
    stored, tiled, img, external, tmp_path, read
):
    """In-line and external images, through a callback."""
    uids = stored(count([img], 2)) + stored(count([external], 2))
    exporter = ImageExporter(NAME, directory=tmp_path / "out")

    reports = process([tiled[uid] for uid in uids], exporter)

    assert list(reports) == list(uids)
    assert [len(report.written) for report in reports.values()] == [2, 2]


def test_a_tiled_stack_is_sliced_frame_by_frame(stored, tiled, tmp_path, read):
    """S11: 3-D events out of Tiled."""
    from .conftest import Counter, Image

    stacks = Counter((4, 10, 12))
    (uid,) = stored(count([Image(name="stack", func=stacks)], 2))

    report = tiffin.export(
        tiled[uid], "{event.seq_num}_{i}.tif", directory=tmp_path / "out"
    )

    check(report, [image for stack in stacks.taken(2) for image in stack], read)


def test_get_images_takes_a_tiled_run(stored, tiled, img, images):
    """Arrays out of Tiled."""
    (uid,) = stored(count([img], 2))

    found = get_images(tiled[uid], "img")

    np.testing.assert_array_equal(np.stack(found), np.stack(images.taken(2)))


def test_the_users_client_is_left_as_it_is(stored, tiled, img, tmp_path):
    """Never run.v1 or run.v2: they change the layout of the whole client."""
    (uid,) = stored(count([img], 1))

    tiffin.export(tiled[uid], NAME, directory=tmp_path / "out")

    assert "img" in list(tiled[uid]["primary"])


def test_a_run_is_found_by_place_number_or_uid(stored, tiled, img):
    """What the shell's --run takes; anything else says what may be asked for."""
    uids = [stored(count([img], 1), scan_id=770 + n)[0] for n in range(2)]

    def found(which):
        (run,) = find_runs(tiled, Selection(runs=(which,)))
        return run.metadata["start"]["uid"]

    assert found("-1") == uids[1]
    assert found("-2") == uids[0]
    assert found("770") == uids[0]
    assert found(uids[1]) == uids[1]
    assert found(uids[1][:10]) == uids[1]
    with pytest.raises(SourceError, match="0 runs match 'nosuch'"):
        found("nosuch")
    with pytest.raises(SourceError, match="-999"):
        found("-999")


def test_runs_are_searched(stored, tiled, img):
    """--query, --since, --until, --limit; with nothing asked for, the last."""
    uids = [stored(count([img], 1), search="here", n=n)[0] for n in range(3)]
    times = [tiled[uid].metadata["start"]["time"] for uid in uids]

    def found(**selection):
        runs = find_runs(tiled, Selection(**selection))
        return [run.metadata["start"]["uid"] for run in runs]

    here = {"search": "here"}
    assert found(query=here) == uids
    assert found(query={**here, "n": 1}) == [uids[1]]
    assert found(query=here, limit=2) == uids[1:]
    assert found(query=here, since=times[1]) == uids[1:]
    assert found(query=here, until=times[1]) == uids[:1]
    assert found() == [uids[-1]]


def test_a_client_that_shows_the_older_layout_is_exported(
    stored, tiled, img, images, tmp_path, read
):
    """Who touched run.v2 once gets every run as V2; and it stays as the user has it."""
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

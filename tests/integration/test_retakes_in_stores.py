"""Points that are taken again, in every form of documents."""

import itertools

import numpy as np
import pytest

from tests.documents import hdf5, stream_run
from tests.helpers import feed
from tests.run_forms import FORMS, PLAIN, STACKS, RunMaker
from tests.stores import LIBRARIES_WARN
from tiffin import ImageExporter, export, get_images, verify

SEQ_NUMS = [1, 2, 3, 3, 4, 4]
LATEST = {1: 0, 2: 1, 3: 3, 4: 5}
NAME = "{event.seq_num}_{i}.tif"

pytestmark = LIBRARIES_WARN


def retaken(documents):
    """Return documents in which the points 3 and 4 are taken twice."""
    for name, doc in documents:
        if name == "event":
            yield name, {**doc, "seq_num": SEQ_NUMS[doc["seq_num"] - 1]}
        elif name == "event_page":
            yield name, {**doc, "seq_num": [SEQ_NUMS[s - 1] for s in doc["seq_num"]]}
        elif name == "bulk_events":
            [(descriptor, events)] = doc.items()
            told = [doc for _, doc in retaken(("event", event) for event in events)]
            yield name, {descriptor: told}
        elif name == "stream_datum":
            yield from ((name, one) for one in one_by_one(doc))
        else:
            yield name, doc


def one_by_one(datum):
    for k in range(datum["indices"]["start"], datum["indices"]["stop"]):
        seq = SEQ_NUMS[k]
        part = {
            "uid": f"{datum['uid']}-{k}",
            "indices": {"start": k, "stop": k + 1},
            "seq_nums": {"start": seq, "stop": seq + 1},
        }
        yield datum | part


class Retaken(RunMaker):
    def stored(self, documents):
        return super().stored([*retaken(documents)])

    def in_tiled(self, documents):
        return super().in_tiled([*retaken(documents)])


def wanted(images):
    images = images.reshape(6, -1, 10, 12)
    return {
        f"{seq}_{i}.tif": images[k, i]
        for seq, k in LATEST.items()
        for i in range(images.shape[1])
    }


def check(folder, images, read):
    files = {path.name: read(path) for path in folder.glob("*.tif")}
    assert files.keys() == wanted(images).keys()
    for name, image in wanted(images).items():
        np.testing.assert_array_equal(files[name], image)
    assert verify(folder).ok


# Of a stream without events, and of datums, Tiled does not keep the seq_nums.
STORED = ("databroker", "databroker files", "Tiled")
CHOSEN = [
    *(name for name in FORMS if not name.startswith(("databroker", "Tiled"))),
    *(pytest.param(name, marks=pytest.mark.slow) for name in STORED),
]


@pytest.mark.parametrize("form", CHOSEN)
@pytest.mark.parametrize("images", [PLAIN, STACKS], ids=["one image", "stacks"])
def test_every_form_gives_the_latest_takes(form, images, tmp_path, request, read):
    """Live, replayed, and as arrays."""
    (tmp_path / "data").mkdir()
    source = FORMS[form](Retaken(images, tmp_path / "data", request))
    is_list = isinstance(source, list)
    documents = [*retaken(source)] if is_list else source

    report = export(documents, NAME, directory=tmp_path / "out")

    count = images.size // 120 // 6
    assert (len(report.written), len(report.skipped)) == (4 * count, 2 * count)
    check(tmp_path / "out", images, read)
    arrays = get_images(documents, "img")
    assert len(arrays) == 4
    for array, k in zip(arrays, LATEST.values(), strict=True):
        np.testing.assert_array_equal(np.reshape(array, images[k].shape), images[k])
    if is_list:
        exporter = ImageExporter(NAME, directory=tmp_path / "live")
        feed(exporter, documents)
        exporter.close()
        check(tmp_path / "live", images, read)


@pytest.mark.parametrize("order", ["datum first", "event first", "in turn"])
@pytest.mark.parametrize("live", [True, False])
def test_each_take_of_a_stream_datum_goes_with_its_own_event(
    order, live, tmp_path, read
):
    """The name of a retake has the values of its own event."""
    run = stream_run(
        hdf5(tmp_path / "a.h5", PLAIN, "d"), "application/x-hdf5", {"dataset": "d"},
        events=6, shape=(1, 10, 12), data=range(6),
        order="event first" if order == "event first" else "datum first",
    )  # fmt: skip
    run = [*retaken(run)]
    if order == "in turn":
        told = zip(run[3:9], run[9:15], strict=True)
        run = [*run[:3], *itertools.chain.from_iterable(told), run[-1]]
    template, out = "{event.seq_num}_{event.data.x}.tif", tmp_path / "out"
    if live:
        exporter = ImageExporter(template, directory=out)
        feed(exporter, run)
        exporter.close()
    else:
        export(run, template, directory=out)

    names = {f"{seq}_{k}.tif": k for seq, k in LATEST.items()}
    assert {path.name for path in out.glob("*.tif")} == names.keys()
    for name, k in names.items():
        np.testing.assert_array_equal(read(out / name), PLAIN[k])
    assert verify(out).ok


@pytest.mark.slow
def test_tiled_gives_the_latest_takes_of_files(tmp_path, request, read):
    """Where Tiled has a table of the events, it keeps the seq_nums."""
    run = stream_run(
        hdf5(tmp_path / "a.h5", PLAIN, "d"), "application/x-hdf5", {"dataset": "d"},
        events=6, shape=(1, 10, 12), data=range(6),
    )  # fmt: skip
    source = Retaken(PLAIN, tmp_path, request).in_tiled(run)

    export(source, NAME, directory=tmp_path / "out")

    check(tmp_path / "out", PLAIN, read)


def test_tiled_datums_of_repeated_points_fail(tmp_path, request):
    """Tiled keeps fewer files than events, and not which: nothing is guessed."""
    source = FORMS["Tiled datums"](Retaken(PLAIN, tmp_path, request))

    report = export(source, NAME, directory=tmp_path / "out", on_error="report")

    assert not report.written
    assert "does not store which" in str(report.failed[0].error)


def test_a_seq_num_over_two_stream_resources_is_no_retake(tmp_path, read):
    """Both are frames, and need different names."""
    run = stream_run(
        hdf5(tmp_path / "a.h5", PLAIN, "d"), "application/x-hdf5", {"dataset": "d"},
        events=6, shape=(1, 10, 12),
    )  # fmt: skip
    resource = next(doc for name, doc in run if name == "stream_resource")
    second = {**resource, "uid": "second"}
    run.insert(3, ("stream_resource", second))
    seconds = itertools.count()
    for name, doc in run:
        if name == "stream_datum" and doc["indices"]["start"] >= 3:
            seq = next(seconds) + 1
            doc["stream_resource"] = "second"
            doc["seq_nums"] = {"start": seq, "stop": seq + 1}

    for live in (True, False):
        out = tmp_path / f"out{live}"
        if live:
            exporter = ImageExporter("{frame}.tif", directory=out)
            feed(exporter, run)
            exporter.close()
        else:
            export(run, "{frame}.tif", directory=out)
        for k, image in enumerate(PLAIN):
            np.testing.assert_array_equal(read(out / f"{k}.tif"), image)

"""One run, told in every way that documents have, gives the same files."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import tiffin
from tests.integration.test_streams import stream_run
from tiffin.testing import run_of

IMAGES = np.random.default_rng(5).integers(0, 60000, (6, 10, 12), "u2")
NAME = "{start.scan_id}_{event.seq_num:02d}.tif"

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def in_events():
    return run_of({"img": IMAGES}, scan_id=7)


def in_pages():
    run = in_events()
    events = [doc for name, doc in run if name == "event"]
    for part in (events[:2], events[2:]):
        page = {
            key: [event[key] for event in part] for key in ("uid", "time", "seq_num")
        }
        page["descriptor"] = part[0]["descriptor"]
        for key in ("data", "timestamps"):
            page[key] = {"img": [event[key]["img"] for event in part]}
        page["filled"] = {}
        run.insert(-1, ("event_page", page))
    return [pair for pair in run if pair[0] != "event"]


def in_bulk():
    run = in_events()
    events = [doc for name, doc in run if name == "event"]
    bulk = ("bulk_events", {events[0]["descriptor"]: events})
    return [*run[:2], bulk, run[-1]]


def in_datums(folder, *, late=False):
    run = in_events()
    run[1][1]["data_keys"]["img"]["external"] = "FILESTORE:"
    resource = {
        "uid": "resource-1", "spec": "NPY_SEQ", "root": str(folder),
        "resource_path": "img", "resource_kwargs": {},
    }  # fmt: skip
    told = [*run[:2]] if late else [*run[:2], ("resource", resource)]
    for n, (_, event) in enumerate(run[2:-1]):
        np.save(folder / f"img_{n}.npy", IMAGES[n])
        datum = {
            "datum_id": f"resource-1/{n}", "resource": "resource-1",
            "datum_kwargs": {"index": n},
        }  # fmt: skip
        event["data"] = {"img": f"resource-1/{n}"}
        event["filled"] = {"img": False}
        pair = [("datum", datum), ("event", event)]
        told += reversed(pair) if late else pair
    return [*told, *([("resource", resource)] if late else []), run[-1]]


def in_datum_page(folder):
    run = in_datums(folder)
    datums = [doc for name, doc in run if name == "datum"]
    page = {
        "resource": "resource-1",
        "datum_id": [datum["datum_id"] for datum in datums],
        "datum_kwargs": {"index": list(range(len(datums)))},
    }
    rest = [pair for pair in run if pair[0] != "datum"]
    return [*rest[:3], ("datum_page", page), *rest[3:]]


def in_stream_datums(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("d", data=IMAGES, chunks=(4, 10, 12), compression="gzip")
    return stream_run(
        f"file://localhost{folder}/a.h5", "application/x-hdf5", {"dataset": "d"},
        events=6, shape=(1, 10, 12), datums=[(0, 2), (2, 6)],
    )  # fmt: skip


def files_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


TELLINGS = ["pages", "bulk", "datums", "late datums", "datum page", "stream datums"]
STORES = ["databroker", "databroker files", "Tiled", "Tiled files"]


@pytest.mark.parametrize("telling", TELLINGS + STORES)
def test_every_telling_gives_the_same_files(telling, tmp_path, broker, tiled):
    """Byte for byte the files of the plain events."""
    data = tmp_path / "data"
    data.mkdir()
    tiffin.export(in_events(), NAME, directory=tmp_path / "wanted")
    source = {
        "pages": in_pages,
        "bulk": in_bulk,
        "datums": lambda: in_datums(data),
        "late datums": lambda: in_datums(data, late=True),
        "datum page": lambda: in_datum_page(data),
        "stream datums": lambda: in_stream_datums(data),
        "databroker": lambda: stored(broker, in_events()),
        "databroker files": lambda: stored(broker, in_datums(data)),
        "Tiled": lambda: stored_in_tiled(tiled, in_events()),
        "Tiled files": lambda: stored_in_tiled(tiled, in_stream_datums(data)),
    }[telling]()

    report = tiffin.export(source, NAME, directory=tmp_path / "out")

    assert report.ok
    assert files_in(tmp_path / "out") == files_in(tmp_path / "wanted")


def stored(broker, documents):
    for name, doc in documents:
        broker.v1.insert(name, doc)
    return broker[documents[0][1]["uid"]]


def stored_in_tiled(client, documents):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bluesky_tiled_plugins import TiledWriter

        writer = TiledWriter(client, batch_size=1)
        for name, doc in documents:
            writer(name, doc)
    return client[documents[0][1]["uid"]]

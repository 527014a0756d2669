"""One run in every form of documents: in line, in files, in stores."""

import uuid

import h5py
import numpy as np
import tifffile

from tests.documents import stream_run
from tests.stores import insert, store_in_tiled
from tiffin.testing import run_of

PLAIN = np.random.default_rng(5).integers(0, 60000, (6, 10, 12), "u2")
STACKS = np.random.default_rng(6).integers(0, 60000, (6, 3, 10, 12), "u2")


def in_events(images):
    return run_of({"img": images}, scan_id=7)


def in_pages(images):
    run = in_events(images)
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


def in_bulk(images):
    run = in_events(images)
    events = [doc for name, doc in run if name == "event"]
    bulk = ("bulk_events", {events[0]["descriptor"]: events})
    return [*run[:2], bulk, run[-1]]


def in_datums(images, folder, *, late=False):
    run = in_events(images)
    run[1][1]["data_keys"]["img"]["external"] = "FILESTORE:"
    resource = {
        "uid": str(uuid.uuid4()), "spec": "NPY_SEQ", "root": str(folder),
        "resource_path": "img", "resource_kwargs": {},
    }  # fmt: skip
    told = [*run[:2]] if late else [*run[:2], ("resource", resource)]
    for n, (_, event) in enumerate(run[2:-1]):
        np.save(folder / f"img_{n}.npy", images[n])
        datum = {
            "datum_id": f"{resource['uid']}/{n}", "resource": resource["uid"],
            "datum_kwargs": {"index": n},
        }  # fmt: skip
        event["data"] = {"img": datum["datum_id"]}
        event["filled"] = {"img": False}
        pair = [("datum", datum), ("event", event)]
        told += reversed(pair) if late else pair
    return [*told, *([("resource", resource)] if late else []), run[-1]]


def in_datum_page(images, folder):
    run = in_datums(images, folder)
    datums = [doc for name, doc in run if name == "datum"]
    page = {
        "resource": datums[0]["resource"],
        "datum_id": [datum["datum_id"] for datum in datums],
        "datum_kwargs": {"index": list(range(len(datums)))},
    }
    rest = [pair for pair in run if pair[0] != "datum"]
    return [*rest[:3], ("datum_page", page), *rest[3:]]


def in_stream_datums(images, folder):
    frames = images.reshape(-1, 10, 12)
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("d", data=frames, chunks=(4, 10, 12), compression="gzip")
    return stream_run(
        f"file://localhost{folder}/a.h5", "application/x-hdf5", {"dataset": "d"},
        events=6, shape=(len(frames) // 6, 10, 12), datums=[(0, 2), (2, 6)],
    )  # fmt: skip


def in_tiffs(images, folder):
    frames = images.reshape(-1, 10, 12)
    for n, frame in enumerate(frames):
        tifffile.imwrite(folder / f"ad_{n:03d}.tif", frame)
    parameters = {"template": "ad_{:03d}.tif", "chunk_shape": [1, 10, 12]}
    return stream_run(
        f"file://localhost{folder}/", "multipart/related;type=image/tiff", parameters,
        events=6, shape=(len(frames) // 6, 10, 12),
    )  # fmt: skip


class RunMaker:
    """Images of a run, and where to keep its files and documents."""

    def __init__(self, images, folder, request):
        self.images, self.folder, self._request = images, folder, request

    def stored(self, documents):
        return insert(self._request.getfixturevalue("broker"), documents)

    def in_tiled(self, documents):
        return store_in_tiled(self._request.getfixturevalue("tiled"), documents)


FORMS = {
    "pages": lambda made: in_pages(made.images),
    "bulk": lambda made: in_bulk(made.images),
    "datums": lambda made: in_datums(made.images, made.folder),
    "late datums": lambda made: in_datums(made.images, made.folder, late=True),
    "datum page": lambda made: in_datum_page(made.images, made.folder),
    "stream datums": lambda made: in_stream_datums(made.images, made.folder),
    "TIFF files": lambda made: in_tiffs(made.images, made.folder),
    "databroker": lambda made: made.stored(in_events(made.images)),
    "databroker files": lambda made: made.stored(in_datums(made.images, made.folder)),
    "Tiled": lambda made: made.in_tiled(in_events(made.images)),
    "Tiled datums": lambda made: made.in_tiled(in_datums(made.images, made.folder)),
    "Tiled files": lambda made: made.in_tiled(
        in_stream_datums(made.images, made.folder)
    ),
    "Tiled TIFF files": lambda made: made.in_tiled(in_tiffs(made.images, made.folder)),
}

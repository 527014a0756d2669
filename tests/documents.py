"""Documents of runs, and the files that they point at, composed by hand."""

import json

import h5py
import numpy as np
from event_model import compose_run

from tiffin.testing import run_of

FRAMES = np.arange(12 * 6 * 9, dtype="u2").reshape(12, 6, 9)
HDF5 = "application/x-hdf5"
DATASET = "/entry/data/data"


def uid_of(run):
    return run[0][1]["uid"]


def stream_run(
    uri, mimetype, parameters, *, events=4, shape=(1, 6, 9), datums=None, data=None,
    order="datum first", offset=0, dtype="<u2", dims=None,
):  # fmt: skip
    """Compose a run whose field `img` is a stream resource.

    `datums` are half-open ranges of event indices, a stream datum each; `data` gives
    the scalar `x` of each event, or None for a run without events.
    """
    run = compose_run(metadata={"scan_id": 7})
    data_key = {
        "source": "SIM", "dtype": "array", "shape": list(shape), "dtype_numpy": dtype,
        "external": "STREAM:",
    }  # fmt: skip
    if dims:
        data_key["dims"] = dims
    keys = {"img": data_key}
    if data is not None:
        keys["x"] = {"source": "SIM", "dtype": "number", "shape": []}
    bundle = run.compose_descriptor(name="primary", data_keys=keys)
    resource = run.compose_stream_resource(
        mimetype=mimetype, uri=uri, data_key="img", parameters=parameters
    )
    documents = [("start", run.start_doc), ("descriptor", bundle.descriptor_doc)]
    streamed = [("stream_resource", resource.stream_resource_doc)]
    for start, stop in datums or [(k, k + 1) for k in range(events)]:
        doc = {
            "stream_resource": resource.stream_resource_doc["uid"],
            "uid": f"{resource.stream_resource_doc['uid']}/{start}",
            "indices": {"start": start, "stop": stop},
            "seq_nums": {"start": start + 1 + offset, "stop": stop + 1 + offset},
            "descriptor": bundle.descriptor_doc["uid"],
        }
        streamed.append(("stream_datum", doc))
    happened = [
        (
            "event",
            {
                "uid": f"event-{k}", "seq_num": k + 1 + offset, "time": 100.0 + k,
                "descriptor": bundle.descriptor_doc["uid"], "data": {"x": value},
                "timestamps": {"x": 100.0}, "filled": {},
            },
        )
        for k, value in enumerate(data or ())
    ]  # fmt: skip
    middle = streamed + happened if order == "datum first" else happened + streamed
    return [*documents, *middle, ("stop", run.compose_stop())]


def hdf5(path, frames=FRAMES, dataset="/entry/data/data", **options):
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset(dataset, data=frames, **options)
    return f"file://localhost{path}"


def datum_run(
    path, *, spec="AD_HDF5", shape=(3, 6, 9), events=4, root="/", semantics="posix",
    options=None,
):  # fmt: skip
    """Return the documents of a detector whose images a databroker handler reads."""
    data_key = {
        "source": "SIM", "dtype": "array", "shape": list(shape), "dtype_numpy": "<u2",
        "external": "FILESTORE:",
    }  # fmt: skip
    yield "start", {"uid": "run-1", "time": 1.0, "scan_id": 7}
    yield (
        "descriptor",
        {
            "uid": "descriptor-1", "run_start": "run-1", "name": "primary", "time": 2.0,
            "data_keys": {"img": data_key},
        },
    )  # fmt: skip
    yield (
        "resource",
        {
            "uid": "resource-1", "run_start": "run-1", "spec": spec, "root": root,
            "resource_path": str(path).lstrip("/"), "path_semantics": semantics,
            "resource_kwargs": options or {"frame_per_point": 3},
        },
    )  # fmt: skip
    for k in range(events):
        datum = {"datum_id": f"resource-1/{k}", "resource": "resource-1"}
        yield "datum", {**datum, "datum_kwargs": {"point_number": k}}
        yield (
            "event",
            {
                "uid": f"event-{k}", "descriptor": "descriptor-1", "seq_num": k + 1,
                "time": 100.0, "data": {"img": f"resource-1/{k}"},
                "timestamps": {"img": 100.0}, "filled": {"img": False},
            },
        )  # fmt: skip
    yield "stop", {"uid": "stop-1", "run_start": "run-1", "time": 9.0}


def dark_run(value=110, events=1, shape=(6, 9), **more):
    images = np.full((events, *shape), value, "u2")
    return run_of({"img": images}, scan_id=1, dark_frame=True, **more)


def light_run(value=100, events=2, **metadata):
    return run_of({"img": np.full((events, 6, 9), value, "u2")}, scan_id=2, **metadata)


def darks_in_a_stream(order):
    """Compose a run of `d`ark and `l`ight events, numbered values, in time's order."""
    run = compose_run(metadata={"scan_id": 3}, validate=False)
    key = {"source": "S", "dtype": "array", "shape": [6, 9], "dtype_numpy": "<u2"}
    streams = {
        letter: run.compose_descriptor(
            name=name, data_keys={"img": key}, validate=False
        )
        for letter, name in (("d", "dark"), ("l", "primary"))
    }
    documents = [("start", run.start_doc)]
    documents += [("descriptor", s.descriptor_doc) for s in streams.values()]
    for n, letter in enumerate(order):
        event = streams[letter].compose_event(
            data={"img": np.full((6, 9), 100 + n if letter == "l" else 10 * n, "u2")},
            timestamps={"img": 0},
            time=run.start_doc["time"] + n,
            validate=False,
        )
        documents.append(("event", event))
    documents.append(("stop", run.compose_stop(validate=False)))
    return [(name, dict(doc)) for name, doc in documents]


def as_json(run):
    return json.loads(json.dumps(run, default=np.ndarray.tolist))


def write_jsonl(run, path):
    """Write a run as JSON, a document a line; return the path."""
    with path.open("w") as file:
        for name, doc in run:
            # dumps, not dump: only the former is C
            line = json.dumps({"name": name, "doc": doc}, default=np.ndarray.tolist)
            file.write(line + "\n")
    return path


def write_msgpack(run, path):
    import msgpack
    import msgpack_numpy

    with path.open("wb") as file:
        for pair in run:
            file.write(msgpack.packb(list(pair), default=msgpack_numpy.encode))

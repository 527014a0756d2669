"""What event-model leaves optional, and what older versions lacked, may be missing."""

import copy
import json
from pathlib import Path

import event_model
import numpy as np
import pytest

import tiffin
from tests.documents import hdf5, stream_run, write_jsonl
from tests.helpers import feed
from tests.run_forms import in_datums, in_events, in_pages
from tiffin import ImageExporter, LiveTiffExporter, get_images

IMAGES = np.arange(3 * 10 * 12, dtype="u2").reshape(3, 10, 12)
NAME = "{stream}_{event.seq_num}_{frame}.tif"
SCHEMAS = Path(event_model.__file__).parent / "schemas"
FILES = {
    "start": "run_start", "stop": "run_stop", "descriptor": "event_descriptor",
    **{name: name for name in (
        "event", "event_page", "datum", "datum_page", "resource", "stream_resource",
        "stream_datum", "bulk_events", "bulk_datum",
    )},
}  # fmt: skip
"""Document → schema."""

OLDER = {
    "start": {"time"},
    "stop": {"exit_status", "time", "uid"},
    "descriptor": {"time"},
    "descriptor.data_keys.img": {"source", "dtype", "shape"},
    "event": {"timestamps", "uid", "time"},
    "resource": {"resource_kwargs"},
    "stream_datum": {"uid"},
}
"""Required today, and done without all the same: nothing of an image is in them."""


def required(schema, name):
    """Return the keys that a schema requires, with those of the parts it is made of."""
    parts = [schema, *schema.get("$defs", {}).values()]
    own = {"DataKey": "img", "StreamRange": "indices"}
    keys = set(schema.get("required", ()))
    for title, part in zip([name, *schema.get("$defs", {})], parts, strict=True):
        if title.startswith("Partial") and title not in own:
            keys |= set(part.get("required", ()))
    return keys


def optional():
    """Return (document, path of a mapping in it, key) of all that may be missing."""
    for name, file in FILES.items():
        schema = json.loads((SCHEMAS / f"{file}.json").read_text())
        yield name, (), required(schema, name)
    schema = json.loads((SCHEMAS / "event_descriptor.json").read_text())
    wanted = set(schema["$defs"]["DataKey"]["required"])
    yield "descriptor", ("data_keys", "img"), wanted


REQUIRED = {(name, path): keys for name, path, keys in optional()}


def runs_in(folder):
    """Return the documents of one run in every generation of documents."""
    uri = hdf5(folder / "a.h5", IMAGES)
    streamed = stream_run(
        uri, "application/x-hdf5", {"dataset": "/entry/data/data"}, events=3,
        shape=(10, 12), data=[0.5, 1.5, 2.5],
    )  # fmt: skip
    return {
        "in line": in_events(IMAGES),
        "pages": in_pages(IMAGES),
        "datums": in_datums(IMAGES, folder),
        "streamed": streamed,
    }


def places(run):
    """Return each place of a run where a key may be left out: (name, path, key)."""
    seen = set()
    for name, doc in run:
        for path in [(), *([("data_keys", "img")] if name == "descriptor" else [])]:
            part = doc
            for key in path:
                part = part[key]
            where = ".".join((name, *path))
            needed = REQUIRED.get((name, path), set()) - OLDER.get(where, set())
            for key in set(part) - needed:
                if (name, path, key) not in seen:
                    seen.add((name, path, key))
                    yield name, path, key


def without(run, name, path, key):
    run = copy.deepcopy(run)
    for of, doc in run:
        if of == name:
            part = doc
            for step in path:
                part = part[step]
            part.pop(key, None)
    return run


FORMS = ["in line", "pages", "datums", "streamed"]


@pytest.mark.parametrize("form", FORMS)
def test_no_optional_key_is_needed(tmp_path, read, form):
    """Each may be missing, live and replayed, from memory and from a file."""
    run = runs_in(tmp_path)[form]
    problems = []
    for n, (name, path, key) in enumerate(sorted(places(run))):
        if key == "external" and form == "streamed":
            continue  # it says that events are not to hold the images
        less = without(run, name, path, key)
        folder = tmp_path / f"{n}"
        try:
            reports = [*exported(less, folder)]
        except Exception as error:  # noqa: BLE001 (every door is to be named)
            problems.append((name, path, key, "raised", repr(error)))
            continue
        for how, report in reports:
            found = [read(r.path) for r in report.written]
            same = len(found) == 3 and all(map(np.array_equal, found, IMAGES))
            if not same or not report.ok:
                why = str(report.failed[0].error) if report.failed else ""
                problems.append((name, path, key, how, str(report), why))

    assert problems == []


def exported(run, folder):
    """Export a run through each door: give its name, and the report."""
    options = {"on_error": "report"}
    yield "replay", tiffin.export(run, NAME, directory=folder / "replay", **options)
    path = write_jsonl(run, folder.with_suffix(".jsonl"))
    yield (
        "file",
        tiffin.export(path, NAME, directory=folder / "file", dtype="uint16", **options),
    )
    exporter = ImageExporter(NAME, directory=folder / "live")
    feed(exporter, run)
    exporter.close()
    yield "live", next(iter(exporter.reports.values()))
    older = LiveTiffExporter("img", str(folder / "older_{event[seq_num]}.tif"))
    feed(older, run)
    yield "LiveTiffExporter", next(iter(older.reports.values()))
    assert len(get_images(run, "img")) == 3


@pytest.mark.parametrize(
    ("form", "name", "key"),
    [
        ("in line", "event", "descriptor"), ("in line", "event", "seq_num"),
        ("in line", "event", "data"), ("in line", "descriptor", "data_keys"),
        ("in line", "descriptor", "uid"), ("in line", "descriptor", "run_start"),
        ("datums", "datum", "resource"), ("datums", "datum", "datum_id"),
        ("datums", "datum", "datum_kwargs"), ("datums", "resource", "spec"),
        ("datums", "resource", "uid"), ("datums", "resource", "resource_path"),
        ("streamed", "stream_resource", "uri"),
        ("streamed", "stream_resource", "data_key"),
        ("streamed", "stream_resource", "mimetype"),
        ("streamed", "stream_resource", "parameters"),
        ("streamed", "stream_resource", "uid"),
        ("streamed", "stream_datum", "descriptor"),
        ("streamed", "stream_datum", "indices"),
        ("streamed", "stream_datum", "seq_nums"),
        ("streamed", "stream_datum", "stream_resource"),
        ("pages", "event_page", "seq_num"), ("pages", "event_page", "data"),
        ("pages", "event_page", "uid"), ("pages", "event_page", "timestamps"),
    ],
)  # fmt: skip
def test_what_is_needed_and_missing_is_told(tmp_path, form, name, key):
    """It is a failed record with the reason, and no exception."""
    less = without(runs_in(tmp_path)[form], name, (), key)
    exporter = ImageExporter(NAME, directory=tmp_path / "live")

    report = tiffin.export(less, NAME, directory=tmp_path / "out", on_error="report")
    feed(exporter, less)
    exporter.close()

    for told in (report, *exporter.reports.values()):
        assert told.failed
        assert all(str(record.error) for record in told.failed)

"""Whatever a part of an export raises: written + skipped + failed = seen."""

import json
import os

import numpy as np
import pytest
from event_model import pack_event_page

import tiffin
from tests.helpers import feed
from tiffin import ImageExporter, process
from tiffin.engine import Claims
from tiffin.engine.manifest import Manifest
from tiffin.errors import TiffinError
from tiffin.export import publisher
from tiffin.export.observers import SayEmpty
from tiffin.readers import handlers
from tiffin.template import Template
from tiffin.testing import run_of
from tiffin.writers import TiffWriter, codecs

EVENTS, EACH = 4, 3
IMAGES = [np.ones((EACH, 8, 8), "u2") for _ in range(EVENTS)]
NAME = "{event.seq_num}/{start.scan_id}_{i}.tif"

ERRORS = [
    OSError(5, "Input/output error"),
    ValueError("no"),
    MemoryError(),
    KeyError("key"),
    RecursionError("too deep"),
    SystemExit(3),
]
THREADS = [KeyboardInterrupt()]  # elsewhere it is the user's
COLLABORATORS = (
    "reader",
    "correction",
    "template",
    "writer",
    "codec",
    "claims",
    "manifest",
    "manifest's end",
    "mkdir",
    "publish",
)
IN_WORKERS = ("reader", "correction", "writer", "codec", "manifest", "publish")


class Broken:
    """Raises an error in the place of a collaborator, the second time it is called."""

    def __init__(self, error, original):
        self._error = error
        self._original = original
        self.calls = 0

    def __call__(self, *arguments, **settings):
        self.calls += 1
        if self.calls % 2 == 0:
            raise self._error
        return self._original(*arguments, **settings)

    def __get__(self, owner, kind=None):
        return lambda *a, **k: self(owner, *a, **k)


class Lazy:
    """An array of a reader's, whose images are read one by one."""

    shape, dtype = (EACH, 8, 8), np.dtype("u2")

    def __init__(self, broken):
        self._broken = broken

    def __getitem__(self, where):
        return self._broken(where)


def broken(monkeypatch, what, error):
    """Break a collaborator; return the images and the settings of an export."""
    images, settings = IMAGES, {}
    places = {
        "template": (Template, "render"),
        "writer": (TiffWriter, "buffers"),
        "codec": (codecs, "_fast_zlib"),
        "claims": (Claims, "take"),
        "manifest": (Manifest, "add"),
        "manifest's end": (Manifest, "close"),
    }
    if what == "reader":
        lazy = Lazy(Broken(error, lambda where: np.ones((8, 8), "u2")))
        images = [lazy] * EVENTS
    elif what == "correction":
        settings["corrections"] = [Broken(error, lambda i, frame: i)]
    elif what == "mkdir":
        monkeypatch.setattr("os.mkdir", Broken(error, os.mkdir))
    elif what == "publish":
        monkeypatch.setattr(publisher, "publish", Broken(error, publisher.publish))
    else:
        kind, name = places[what]
        if what == "codec":
            settings["compression"] = "zlib"
        monkeypatch.setattr(kind, name, Broken(error, getattr(kind, name)))
    return images, settings


def check(report):
    counts = report.counts()
    frames = [r for r in report.records if r.field == "img"]
    written = [r.path for r in report.written]
    assert not counts.get("planned")
    assert len({(r.seq_num, r.i) for r in frames}) == len(frames) == EVENTS * EACH
    assert all(path.exists() for path in written)
    assert sum(counts.values()) >= EVENTS * EACH


CASES = [
    *((what, error) for what in COLLABORATORS for error in ERRORS),
    *((what, error) for what in IN_WORKERS for error in THREADS),
]


def told(value):
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(("what", "error"), CASES, ids=told)
def test_every_frame_has_its_record_live(tmp_path, monkeypatch, what, error):
    """B8: the plan continues, the stop document returns, and no frame is lost
    silently.
    """
    images, settings = broken(monkeypatch, what, error)
    exporter = ImageExporter(NAME, directory=tmp_path, stop_timeout=20, **settings)

    feed(exporter, run_of({"img": images}, scan_id=1))
    (uid, *_) = [run for run in exporter.reports if run]
    exporter.close()

    check(exporter.reports[uid])


@pytest.mark.parametrize(("what", "error"), CASES, ids=told)
def test_every_frame_has_its_record_in_a_replay(tmp_path, monkeypatch, what, error):
    """B8: the same in a replay; an exception carries a report of every frame."""
    images, settings = broken(monkeypatch, what, error)
    run = [*run_of({"img": images}, scan_id=1)]

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report", **settings)

    check(report)


@pytest.mark.parametrize("error", [*ERRORS], ids=told)
def test_a_source_that_raises_is_told(tmp_path, error):
    """B8: what came before a source broke off is exported, and the report says how
    it ended.
    """
    run = [*run_of({"img": IMAGES}, scan_id=1)]

    def documents():
        yield from run[:4]
        raise error

    exporter = ImageExporter(NAME, directory=tmp_path)
    with pytest.raises((type(error), TiffinError)):
        process(documents(), exporter)
    exporter.close()

    reports = [report for run, report in exporter.reports.items() if run]
    assert not any(report.planned for report in reports)


@pytest.mark.parametrize("existing", ["skip", "resume", "replace"])
def test_a_resumed_export_accounts_for_every_frame(tmp_path, existing):
    """B8: whatever checksums the manifest holds, ok means that the files are whole."""
    run = [*run_of({"img": IMAGES}, scan_id=1)]
    tiffin.export(run, NAME, directory=tmp_path)
    (manifest,) = (tmp_path / ".tiffin").glob("*.jsonl")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        if "checksum" in line:
            line["checksum"] = "md99:00"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))

    report = tiffin.export(
        run, NAME, directory=tmp_path, existing=existing, on_error="report"
    )

    check(report)


@pytest.mark.parametrize(
    "error", [e for e in ERRORS if isinstance(e, Exception)], ids=told
)
def test_a_progress_that_raises_costs_no_frame(tmp_path, error):
    """B8: a progress callback that raises does not affect the export."""
    run = [*run_of({"img": IMAGES}, scan_id=1)]
    progress = Broken(error, lambda *_: None)

    report = tiffin.export(run, NAME, directory=tmp_path, progress=progress)

    assert len(report.written) == EVENTS * EACH


@pytest.mark.parametrize("error", [*ERRORS, *THREADS], ids=told)
def test_a_handler_that_raises_costs_its_frames_only(tmp_path, error, monkeypatch):
    """B8: a plug-in may raise anything; only its own frames fail."""

    class Handler:
        specs = frozenset({"BROKEN"})

        def __init__(self, path, **_):
            pass

        def __call__(self, n):
            if n % 2:
                raise error
            return np.ones((8, 8), "u2")

    class Entry:
        value = "somewhere:Handler"
        load = staticmethod(lambda: Handler)

    monkeypatch.setattr(handlers, "_entry_points", lambda: {"BROKEN": Entry()})
    (_, start), (_, descriptor), *_, stop = [*run_of({"img": IMAGES[:1]}, scan_id=1)]
    data_key = {"source": "s", "dtype": "array", "shape": [8, 8], "external": "OLD:"}
    exporter = ImageExporter(
        "{event.seq_num}.tif", directory=tmp_path, asset_timeout=0.1
    )
    exporter("start", start)
    exporter("descriptor", {**descriptor, "data_keys": {"img": data_key}})
    resource = {"uid": "r", "spec": "BROKEN", "root": "/", "resource_path": "a"}
    exporter("resource", {**resource, "resource_kwargs": {}, "run_start": start["uid"]})
    for n in range(6):
        datum = {"datum_id": f"r/{n}", "resource": "r", "datum_kwargs": {"n": n}}
        exporter("datum", datum)
        event = {"descriptor": descriptor["uid"], "time": 1.0, "timestamps": {}}
        data = {"data": {"img": f"r/{n}"}, "filled": {"img": False}}
        exporter("event", {**event, **data, "uid": f"e{n}", "seq_num": n + 1})
    exporter(*stop)
    exporter.close()

    report = exporter.reports[start["uid"]]
    assert report.counts() == {"written": 3, "failed": 3}


@pytest.mark.parametrize("form", ["events", "pages"])
def test_events_that_the_source_has_lost_are_said(tmp_path, caplog, form):
    """The stop document counts them: two of four are not silently all."""
    run = run_of({"img": IMAGES}, scan_id=7)
    lost = {run[3][1]["uid"], run[4][1]["uid"]}
    left = [(name, doc) for name, doc in run if doc["uid"] not in lost]
    if form == "pages":
        left = [
            ("event_page", pack_event_page(doc)) if name == "event" else (name, doc)
            for name, doc in left
        ]
    report = tiffin.export(left, NAME, directory=tmp_path, on_error="report")
    assert len(report.written) == 2 * EACH
    assert caplog.text.count("2 of the 4 events of stream 'primary'") == 1
    caplog.clear()
    feed(ImageExporter(NAME, directory=tmp_path / "live"), left)
    assert caplog.text.count("2 of the 4 events of stream 'primary'") == 1


def test_events_that_two_streams_have_lost_are_said_for_each(tmp_path, caplog):
    """One warning does not hide the other."""
    one, two = (
        run_of({"img": IMAGES}, stream=name, scan_id=7) for name in ("primary", "dark")
    )
    two[1][1]["run_start"] = one[0][1]["uid"]
    one[-1][1]["num_events"] = {"primary": EVENTS, "dark": EVENTS}
    run = [p for p in one[:-1] + two[1:-1] + one[-1:] if p[1].get("seq_num") != 2]
    tiffin.export(run, f"{{stream}}/{NAME}", directory=tmp_path, streams=None)
    assert caplog.text.count("1 of the 4 events of stream") == 2


def test_a_stop_without_counts_says_nothing_of_lost_events(tmp_path, caplog):
    """Databases of earlier years have none."""
    run = run_of({"img": IMAGES}, scan_id=7)
    del run[-1][1]["num_events"], run[3]
    assert tiffin.export(run, NAME, directory=tmp_path).ok
    assert not caplog.text


@pytest.mark.parametrize("live", [True, False])
def test_an_observer_that_raises_is_a_failure_of_its_run(tmp_path, monkeypatch, live):
    """What others do at the end of the run is done, and the next run is exported."""

    def broken(observer, summary):
        raise KeyError("nothing")

    monkeypatch.setattr(SayEmpty, "run_ended", broken)
    settings = {"directory": tmp_path, "sidecars": ["run.json"]}
    images = np.ones((EACH, 8, 8), "u2")
    runs = [run_of({"img": images}, scan_id=n) for n in (1, 2)]
    if live:
        with ImageExporter(
            "{start.scan_id}/{event.seq_num}.tif", **settings
        ) as exporter:
            for run in runs:
                feed(exporter, run)
        reports = [*exporter.reports.values()]
    else:
        documents = [each for run in runs for each in run]
        reports = [
            tiffin.export(
                documents,
                "{start.scan_id}/{event.seq_num}.tif",
                on_error="report",
                **settings,
            )
        ]

    written = [record for report in reports for record in report.written]
    assert len(written) == 2 * (EACH + 1)  # with the sidecar
    failed = [str(record.error) for report in reports for record in report.failed]
    assert failed == ["the end of the run: KeyError: 'nothing'"] * 2
    assert len([*tmp_path.glob("*/run.json")]) == 2

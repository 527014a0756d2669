"""Documents that come twice: a message bus delivers at least once."""

import json

import numpy as np
import pytest

from tests.helpers import feed
from tiffin import ImageExporter, export
from tiffin.assemble.runs import OpenRun
from tiffin.testing import run_of

NAMES = ["{event.seq_num}.tif", "{frame}.tif"]


def documents():
    return list(run_of({"img": [np.full((4, 6), n, "u2") for n in range(3)]}))


def each_twice():
    return [pair for pair in documents() for _ in range(2)]


@pytest.mark.parametrize("template", NAMES)
def test_documents_that_come_twice_are_exported_once(template, tmp_path):
    """Each document is in the source twice: three images, whatever the template."""
    report = export(each_twice(), template, directory=tmp_path)

    assert len(report.written) == len(list(tmp_path.glob("*.tif"))) == 3
    assert not report.failed
    assert not report.skipped


@pytest.mark.parametrize("template", NAMES)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_run_that_comes_twice_as_a_whole_is_exported_once(template, parts, tmp_path):
    """One file holds it twice, or two files of a folder hold it."""
    text = [json.dumps(line, default=np.ndarray.tolist) for line in documents()]
    folder = tmp_path / "documents"
    folder.mkdir()
    for n in range(parts):
        lines = text * (3 - parts)
        (folder / f"{n}.jsonl").write_text("\n".join(lines) + "\n")

    report = export(folder, template, directory=tmp_path / "out", dtype="uint16")

    assert len(report.written) == len(report.records) == 3
    assert report.ok


@pytest.mark.parametrize("template", NAMES)
def test_documents_that_come_twice_live_are_exported_once(template, tmp_path):
    """Also live, with start and stop documents repeated."""
    exporter = ImageExporter(template, directory=tmp_path)
    feed(exporter, each_twice())
    exporter.close()

    [report] = exporter.reports.values()
    assert len(report.written) == len(list(tmp_path.glob("*.tif"))) == 3
    assert report.ok


def test_an_event_is_known_whether_it_comes_alone_or_in_a_page(tmp_path):
    """A page with a known event only adds its other events."""
    docs = documents()
    events = [doc for name, doc in docs if name == "event"]
    page = {
        "uid": [e["uid"] for e in events],
        "seq_num": [e["seq_num"] for e in events],
        "time": [e["time"] for e in events],
        "descriptor": events[0]["descriptor"],
        "data": {"img": [e["data"]["img"] for e in events]},
        "timestamps": {"img": [0.0] * 3},
        "filled": {},
    }
    first = next(n for n, (name, _) in enumerate(docs) if name == "event")
    docs = [*docs[: first + 1], ("event_page", page), *docs[first + 1 :]]

    report = export(docs, "{frame}.tif", directory=tmp_path)

    assert len(report.written) == 3
    assert report.ok


def test_a_document_without_a_uid_is_always_new():
    """Two documents without a uid are never taken for one."""
    run = OpenRun(start={"uid": "a"})

    assert not any(run.is_duplicate("event", {}) for _ in range(2))

"""One exporter for months: 2,000 runs and 100,000 frames, failures mixed in."""

import gc
import logging
import os
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest

from tiffin import ImageExporter
from tiffin.testing import run_of

RUNS, EVENTS = 2_000, 50
SHAPE = (160, 160)
WARM = 300
NAMES = "{start.scan_id}_{event.seq_num}.tif"


def memory():
    """Tell what the process takes [MB]."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are all)


def sometimes(image, frame):
    """Fail as corrections do, with images in hand."""
    kind = (frame.start["n"] + frame.seq_num) % 40
    if kind == 0:
        raise ValueError("no", image)
    if kind == 1:
        return image.shap
    if kind == 2:
        raise SystemExit(1)
    return image


def documents(n, images):
    """Make a run; some lack what names ask for, some have wild documents."""
    start = {"n": n, "scan_id": n % 10, "note": ["x" * 50] * 20}
    if n % 50 == 7:
        del start["scan_id"]
    for name, doc in run_of({"img": images}, **start):
        if n % 50 == 8 and name == "event" and doc["seq_num"] % 10 == 0:
            yield name, {**doc, "data": {"img": "no datum"}}
        elif n % 50 == 9 and name == "event" and doc["seq_num"] == 3:
            yield name, {"nothing": "that is known"}
        elif n % 50 == 10 and name == "stop":
            yield name, doc
            yield name, doc
        else:
            yield name, doc
    if n % 50 == 11:
        lost = {"uid": str(uuid.uuid4()), "descriptor": str(uuid.uuid4())}
        yield "event", {**lost, "seq_num": 1, "time": 0.0, "data": {}, "timestamps": {}}
        resource = {"uid": lost["uid"], "spec": "NONE", "root": "/"}
        kwargs = {"key": ["y" * 100] * 500}
        yield "resource", {**resource, "resource_path": "a", "resource_kwargs": kwargs}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_thousand_runs_leave_nothing_behind(tmp_path):
    """Memory, descriptors and threads are bounded, and every frame has a record."""
    logging.disable(logging.CRITICAL)
    exporter = ImageExporter(
        NAMES,
        directory=tmp_path,
        existing="replace",
        corrections=[sometimes],
        checksum="none",
        memory=2**26,
    )
    pixels = np.arange(np.prod(SHAPE), dtype="u2").reshape(SHAPE)
    counts, figures = {"written": 0, "skipped": 0, "failed": 0, "planned": 0}, []
    try:
        for n in range(RUNS):
            images = [pixels + k for k in range(EVENTS)]
            for name, doc in documents(n, images):
                if name == "start":
                    uid = doc["uid"]
                exporter(name, doc)
            for status, count in exporter.reports[uid].counts().items():
                counts[status] += count
            if n in (WARM, RUNS - 1):
                gc.collect()
                figures.append((memory(), descriptors(), threading.active_count()))
            for manifest in (tmp_path / ".tiffin").glob("*.jsonl"):
                manifest.unlink()
    finally:
        exporter.close()
        logging.disable(logging.NOTSET)

    (memory_before, *before), (memory_after, *after) = figures
    assert memory_after - memory_before < 50
    assert all(now <= then for now, then in zip(after, before, strict=True))
    assert not counts["planned"]
    assert RUNS * EVENTS * 0.98 <= sum(counts.values()) <= RUNS * EVENTS * 1.02
    assert counts["written"] > 0.8 * RUNS * EVENTS
    assert len(exporter.reports) <= RUNS + 1 + RUNS // 50
    assert sum(len(r.records) for r in exporter.reports.values()) < 120 * EVENTS

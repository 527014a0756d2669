"""E. Live: how long the RunEngine's thread is held up by the subscriber's call.

Events come at the pace of a fast detector, each with an array of its own, and then as
fast as they can be called; the memory that waits is allowed to be as large as it gets.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
from event_model import compose_run

import tiffin
from bench import peers
from bench.measure import Limit, Ratio, Workload, that_fit

FRAMES = 250
COPIES = 1.3  # a call may take so many times a copy of its arrays, and EXCESS
EXCESS = 60e-6  # [s]
SHAPE = (2048, 2048)
DISTINCT = 32
OLD = "old exporter"
SHARE = 3
PACE = 50  # events a second


def call_times(subscriber, images, pause):
    """Compose a run's documents as a RunEngine does, and hand each to a subscriber.

    Gives the times of its calls with events [s]. An event is composed, and validated,
    by event-model just before the call: a processor that wakes up from a pause takes
    several times as long for anything.
    """
    run = compose_run(metadata={"scan_id": 1})
    data_key = {
        "source": "SIM",
        "dtype": "array",
        "shape": list(images[0].shape),
        "dtype_numpy": images[0].dtype.str,
    }
    stream = run.compose_descriptor(name="primary", data_keys={peers.FIELD: data_key})
    subscriber("start", run.start_doc)
    subscriber("descriptor", stream.descriptor_doc)
    times, copies = [], []
    due = time.perf_counter()
    for image in images:
        due += pause
        time.sleep(max(due - time.perf_counter(), 0))
        event = stream.compose_event(
            data={peers.FIELD: image}, timestamps={peers.FIELD: time.time()}
        )
        begun = time.perf_counter()
        subscriber("event", event)
        times.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        image.copy()
        copies.append(time.perf_counter() - begun)
    subscriber("stop", run.compose_stop())
    return {
        "median": float(np.median(times)),
        "excess": float(np.median(times) - COPIES * np.median(copies)),
        "p99": float(np.percentile(times, 99)),
        "longest": max(times),
    }


def ours(images, folder, pause):
    name = "{start.scan_id}_{event.seq_num}.tif"
    with tiffin.ImageExporter(name, directory=folder, memory=2**35) as exporter:
        figures = call_times(exporter, images, pause)
    (report,) = exporter.reports.values()
    assert report.ok, str(report)
    assert not report.waits, "the budget was full"
    return figures


def theirs(images, folder, pause):
    return call_times(peers.OldExporter(folder), images, pause)


@contextmanager
def workload(*, tiny=False):
    shape, pace = ((256, 256), 1000) if tiny else (SHAPE, PACE)
    frames = 8 if tiny else that_fit(FRAMES, shape[0] * shape[1] * 2)
    distinct = peers.noisy(DISTINCT, shape)
    # A detector that makes arrays: none is another's view.
    arrays = [image.copy() for image in distinct]
    images = [arrays[k % DISTINCT] for k in range(frames)]
    some = images[: -(-frames // SHARE)]

    def check(name, folder):
        peers.check(some if name == OLD else images)(name, folder)

    at_once = "tiffin, at once"
    yield Workload(
        key="E",
        title=f"live, {distinct[0].nbytes / 2**20:g} MiB an event",
        frames=frames,
        contenders={
            "bare": peers.bare(images),
            "tiffin": lambda folder: ours(images, folder, 1 / pace),
            at_once: lambda folder: ours(images, folder, 0),
            OLD: lambda folder: theirs(some, folder, 1 / pace),
        },
        targets=[
            Limit(figure="excess", must=EXCESS),
            Limit(contender=at_once, figure="excess", must=EXCESS),
            Ratio(over=OLD, figure="median", must=None),
            Ratio(over=OLD, figure="p99", must=None),
        ],
        check=check,
        repetitions=3,
        notes=[
            f"{pace} events a second, and once more without any pause (“at once”)",
            "each event is composed just before its call, as a RunEngine does",
            f"excess: the median call less {COPIES} times the median copy of its array",
            f"the budget is never full; the old exporter gets {len(some)} events",
        ],
    )

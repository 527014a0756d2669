"""A. Large frames, replayed from memory to a series on a RAM disk."""

from __future__ import annotations

from contextlib import contextmanager

from bench import peers
from bench.measure import Ratio, Workload, that_fit

FRAMES = 400
SHAPE = (2048, 2048)
DISTINCT = 32


@contextmanager
def workload(*, tiny=False):
    shape = (16, 16) if tiny else SHAPE
    nbytes = shape[0] * shape[1] * 2
    frames = 6 if tiny else that_fit(FRAMES, nbytes)
    distinct = peers.noisy(DISTINCT, shape)
    images = peers.images_like(distinct, frames)
    documents = peers.documents_of(images)
    threads = f"bare, {peers.THREADS} threads"
    notes = [f"{DISTINCT} different images again and again"]
    if frames < FRAMES and not tiny:
        notes.append(f"{frames} frames, because the RAM disk has no room for {FRAMES}")
    no_sum = "tiffin, no checksum"
    yield Workload(
        key="A",
        title=f"{frames} x {shape[0]}² uint16, from memory",
        frames=frames,
        contenders={
            "bare": peers.bare(images),
            threads: peers.bare(images, peers.THREADS),
            no_sum: peers.ours(documents, checksum="none"),
            "tiffin": peers.ours(documents),
            "old exporter": peers.old_exporter(documents),
            **peers.suitcase(documents),
        },
        targets=[
            Ratio(contender=no_sum, over=threads, must=0.93),
            Ratio(over=threads, must=0.85),
            Ratio(contender=no_sum, over="bare", must=None),
            Ratio(over="bare", must=None),
            Ratio(contender=no_sum, over="old exporter", must=1.7),
            Ratio(over="old exporter", must=1.7),
            Ratio(contender=no_sum, over="suitcase-tiff", must=1.7),
            Ratio(over="suitcase-tiff", must=1.7),
        ],
        check=peers.check(images),
        repetitions=4,
        notes=notes,
    )

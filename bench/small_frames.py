"""B. Many small frames, replayed from memory to a series on a RAM disk."""

from __future__ import annotations

from contextlib import contextmanager

from bench import peers
from bench.measure import Ratio, Workload

FRAMES = 5000
SHAPE = (256, 256)
DISTINCT = 500


@contextmanager
def workload(*, tiny=False):
    shape, frames = ((16, 16), 70) if tiny else (SHAPE, FRAMES)
    distinct = peers.noisy(DISTINCT, shape)
    images = peers.images_like(distinct, frames)
    documents = peers.documents_of(images)
    yield Workload(
        key="B",
        title=f"{frames:,} x {shape[0]}² uint16, from memory",
        frames=frames,
        contenders={
            "bare": peers.bare(images),
            "tiffin": peers.ours(documents),
            "imwrite": peers.imwrite(images),
            **peers.suitcase(documents),
        },
        targets=[
            Ratio(over="bare", must=0.5),
            Ratio(over="suitcase-tiff", must=8),
            Ratio(over="imwrite", must=1.8),
        ],
        check=peers.check(images),
        repetitions=4,
        notes=[f"{DISTINCT} different images again and again"],
    )

"""C. Sparse photon counts, replayed from memory to compressed files."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from bench import peers
from bench.measure import Ratio, Workload, scaled, that_fit

FRAMES = 60
SHAPE = (2167, 2070)  # a photon counter of 4.5 million pixels
DISTINCT = 6
SLOWEST = "imwrite, zlib"
SHARE = 3


def counts(shape, images):
    """Make what a photon counter sees: few counts, a ring, a gap between modules."""
    rows, columns = np.indices(shape)
    from_middle = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) / shape[0]
    mean = 0.65 + 3 * np.exp(-(((from_middle - 0.25) / 0.01) ** 2))
    found = np.random.default_rng(3).poisson(mean, (images, *shape)).astype("u4")
    found[:, shape[0] // 2] = 2**32 - 1  # no pixel
    return found


@contextmanager
def workload(*, tiny=False):
    shape, frames = ((32, 30), 4) if tiny else (SHAPE, FRAMES)
    frames = that_fit(frames, shape[0] * shape[1] * 4)
    images = peers.images_like(counts(shape, DISTINCT), frames)
    documents = peers.documents_of(images)
    level_1 = {"compression": "zlib", "compressionargs": {"level": 1}}
    some = images[: -(-frames // SHARE)]

    def check(name, folder):
        peers.check(some if name == SLOWEST else images)(name, folder)

    yield Workload(
        key="C",
        title=f"{frames} x {shape[0]}x{shape[1]} uint32 sparse counts, zlib",
        frames=frames,
        contenders={
            "bare": peers.bare(images),
            "tiffin": peers.ours(documents, compression="zlib"),
            "imwrite, zlib level 1": peers.imwrite(images, **level_1),
            SLOWEST: scaled(
                peers.imwrite(some, compression="zlib"), frames / len(some)
            ),
        },
        targets=[
            Ratio(over="imwrite, zlib level 1", must=2.5),
            Ratio(over=SLOWEST, must=12),
        ],
        check=check,
        repetitions=3,
        notes=[
            "bare writes uncompressed, to tell whether anything disturbed",
            f"imwrite at its default level writes one frame of {SHARE}: it is slow",
        ],
    )

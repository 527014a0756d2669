"""S. Stacks: many pages in one file, replayed from memory to a RAM disk."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import tifffile

import tiffin
from bench import peers
from bench.measure import Ratio, Workload, that_fit

if TYPE_CHECKING:
    from pathlib import Path

DISTINCT = 32

KINDS = {
    "S1": (2000, (256, 256), [Ratio(over="TiffWriter", must=3)]),
    "S2": (200, (2048, 2048), [Ratio(over="bare", must=0.8)]),
}
"""Key → pages, shape, and what must be reached."""


@contextmanager
def workload(key, *, tiny=False):
    pages, shape, targets = KINDS[key]
    shape, wanted = ((16, 16), 6) if tiny else (shape, pages)
    pages = wanted if tiny else that_fit(wanted, shape[0] * shape[1] * 2)
    images = peers.images_like(peers.noisy(DISTINCT, shape), pages)
    documents = peers.documents_of(images)

    def bare(folder: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(folder / "bare.tif", flags, 0o666)
        for image in images:
            os.write(descriptor, image)
        os.close(descriptor)

    def page_by_page(folder: Path) -> None:
        with tifffile.TiffWriter(folder / "stack.tif") as writer:
            for image in images:
                writer.write(image)

    def ours(**settings):
        def write(folder: Path) -> None:
            name = "{start.scan_id}.tif"
            tiffin.export(documents, name, directory=folder, stack="run", **settings)

        return write

    def check(name: str, folder: Path) -> None:
        (path,) = folder.glob("[!.]*.tif")
        if name == "bare":
            assert path.stat().st_size == sum(image.nbytes for image in images)
            return
        with tifffile.TiffFile(path) as tiff:
            assert len(tiff.pages) == len(images), name
            for k in (0, len(images) // 2, len(images) - 1):
                assert np.array_equal(tiff.pages[k].asarray(), images[k]), name

    other = "bare" if targets[0].over != "bare" else "TiffWriter"
    no_sum = "tiffin, no checksum"
    yield Workload(
        key=key,
        title=f"a stack of {pages:,} x {shape[0]}² uint16, from memory",
        frames=pages,
        contenders={
            "bare": bare,
            "tiffin": ours(),
            no_sum: ours(checksum="none"),
            "TiffWriter": page_by_page,
        },
        targets=[
            *targets,
            Ratio(over=other, must=None),
            Ratio(contender=no_sum, over="bare", must=None),
            Ratio(contender="bare", over="TiffWriter", must=None),
        ],
        check=check,
        repetitions=4,
        notes=[
            f"{DISTINCT} different images again and again",
            "bare, one call a page, is the most that can be reached",
        ],
    )

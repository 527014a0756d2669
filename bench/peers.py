"""What tiffin is compared with, and how everybody's files are checked.

Each gives a function that writes into an empty folder. None makes more than it must: no
checksums, no manifests, no temporary names.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

import tiffin
from tiffin.settings import Settings
from tiffin.testing import run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

try:
    from suitcase import tiff_series
except ImportError:  # a peer that is not installed is left out, and that is said
    tiff_series = None

FIELD = "img"
THREADS = Settings.of("{frame}.tif").workers
"""How many threads tiffin uses here."""

Documents = Sequence[tuple[str, Mapping[str, Any]]]
Images = Sequence[np.ndarray]


def noisy(distinct: int, shape: tuple[int, int]) -> np.ndarray:
    """Make some different images of a noisy detector, quickly: one, moved on."""
    image = np.random.default_rng(1).poisson(30, shape).astype("u2")
    return np.stack([np.roll(image, 97 * k) for k in range(distinct)])


def images_like(distinct: np.ndarray, frames: int) -> list[np.ndarray]:
    """Repeat some images; they are to be more than a processor's cache holds."""
    return [distinct[k % len(distinct)] for k in range(frames)]


def documents_of(images: Images) -> Documents:
    return run_of({FIELD: images}, scan_id=1)


def ours(source: object, **settings: Any) -> Callable[[Path], None]:
    """Export with tiffin."""

    def write(folder: Path) -> None:
        name = "{start.scan_id}_{event.seq_num}.tif"
        tiffin.export(source, name, directory=folder, **settings)

    return write


def bare(images: Images, threads: int = 1) -> Callable[[Path], None]:
    """Open, write once, close: what the system takes for the same bytes."""

    def write(folder: Path) -> None:
        numbers = itertools.count()  # each of its steps is whole, in threads too

        def work() -> None:
            while (k := next(numbers)) < len(images):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                descriptor = os.open(f"{folder}/{k}.tif", flags, 0o666)
                os.write(descriptor, images[k])
                os.close(descriptor)

        if threads == 1:
            work()
            return
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return write


def imwrite(images: Iterable[np.ndarray], **settings: Any) -> Callable[[Path], None]:
    """Call tifffile for each image, and nothing else."""

    def write(folder: Path) -> None:
        for k, image in enumerate(images):
            tifffile.imwrite(f"{folder}/{k}.tif", image, **settings)

    return write


class OldExporter:
    """What bluesky's LiveTiffExporter does with a document, in our words.

    It looks whether the event is filled, formats the name, looks for a file of that
    name, and has tifffile write the image.
    """

    def __init__(self, folder: Path) -> None:
        self._template = f"{folder}/" + "{start[scan_id]}_{event[seq_num]}.tif"
        self._start: Mapping[str, Any] = {}
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self.filenames: list[str] = []

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            self._start, self.filenames = doc, []
        elif name == "descriptor":
            self._descriptors[doc["uid"]] = doc
        elif name == "event" and FIELD in doc["data"]:
            self._event(doc)

    def _event(self, doc: Mapping[str, Any]) -> None:
        data_key = self._descriptors[doc["descriptor"]]["data_keys"][FIELD]
        if not doc.get("filled", {}).get(FIELD) and "external" in data_key:
            raise RuntimeError("not filled")
        image = np.asarray(doc["data"][FIELD])
        filename = self._template.format(start=self._start, event=doc)
        if os.path.isfile(filename):  # noqa: PTH113 (as it does)
            raise OSError(filename)
        tifffile.imwrite(filename, np.asarray(image))
        self.filenames.append(filename)


def old_exporter(documents: Documents) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        exporter = OldExporter(folder)
        for name, doc in documents:
            exporter(name, doc)

    return write


def suitcase(documents: Documents) -> dict[str, Callable[[Path], None]]:
    """Give suitcase-tiff's export by its name; nothing where it is not installed."""
    if tiff_series is None:
        return {}

    def write(folder: Path) -> None:
        tiff_series.export(iter(documents), folder, "{start[scan_id]}_")

    return {"suitcase-tiff": write}


def check(images: Images) -> Callable[[str, Path], None]:
    """Make the check of a folder: as many files as images, and pixels read back."""

    def check_files(name: str, folder: Path) -> None:
        paths = sorted(folder.glob("[!.]*.tif*"), key=_number)
        assert len(paths) == len(images), f"{name}: {len(paths)} of {len(images)} files"
        for k in (len(images) // 2, -1):
            if name.startswith("bare"):
                assert paths[k].stat().st_size == images[k].nbytes, name
            else:
                found = tifffile.imread(paths[k])
                assert found.dtype == images[k].dtype, name
                assert np.array_equal(found, images[k]), name

    return check_files


def _number(path: Path) -> int:
    return int(re.findall(r"\d+", path.stem)[-1])

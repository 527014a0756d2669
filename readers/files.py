"""The files that the readers get: every form of file of every profile."""

import itertools
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tiffin
from tiffin.testing import run_of
from tiffin.writers import find_profile

PROFILES = ("plain", "imagej", "ome", "gsas2", "areadetector", "pilatus")
SHAPE = (37, 53)
GRID = (2, 3)

ONE, EVENT, THREE, RUN, SCAN, BIG = (
    "one image",
    "`stack='event'`",
    "`stack=3`",
    "`stack='run'`",
    "a grid scan",
    "`bigtiff=True`",
)
IMAGES = {ONE: (1,), EVENT: (2, 3), THREE: (6,), RUN: (5,), SCAN: GRID, BIG: (5,)}
"""Form of file → how many events, and images of each."""

SETTINGS = {
    ONE: {},
    EVENT: {"stack": "event"},
    THREE: {"stack": 3},
    RUN: {"stack": "run"},
    SCAN: {"stack": "run"},
    BIG: {"stack": "run", "bigtiff": True},
}


class Case(NamedTuple):
    """One form of file: `kind` is a dtype, or a dtype and "colour"."""

    profile: str
    kind: str
    compression: str
    form: str


class File(NamedTuple):
    """A file of a case, and the pages that it must have."""

    case: Case
    path: Path
    pages: np.ndarray


def cases():
    """Yield every dtype, compression and form that a profile can hold."""
    for name in PROFILES:
        profile = find_profile(name)
        forms = list(IMAGES) if profile.holds_stacks else [ONE]
        if not profile.holds_bigtiff and BIG in forms:
            forms.remove(BIG)
        grey = itertools.product(profile.dtypes, profile.compressions, forms)
        colour = itertools.product(profile.colours, profile.compressions, forms)
        for dtype, compression, form in grey:
            yield Case(name, dtype, compression or "none", form)
        for dtype, compression, form in colour:
            if form in (ONE, RUN):
                yield Case(name, f"{dtype} colour", compression or "none", form)


def write(folder):
    """Export the files of all cases; return them."""
    shutil.rmtree(folder, ignore_errors=True)
    exports = (_export(folder / f"{n}", case) for n, case in enumerate(cases()))
    return [file for files in exports for file in files]


def _export(folder, case):
    counts = IMAGES[case.form]
    dtype, _, colour = case.kind.partition(" ")
    least = find_profile(case.profile).least
    images = pixels(dtype, (math.prod(counts), *SHAPE, *([3] if colour else [])), least)
    start = {"scan_id": 7, "sample_name": "µ Å"}
    events = images
    if case.form == SCAN:
        start |= {"shape": list(counts), "motors": ["y", "x"]}
    elif len(counts) == 2:
        events = images.reshape(*counts, *images.shape[1:])
    report = tiffin.export(
        run_of({"img": events}, **start),
        "{event.seq_num:03d}.tif",
        directory=folder,
        profile=case.profile,
        fields="img",
        colour="img" if colour else (),
        compression=None if case.compression == "none" else case.compression,
        **SETTINGS[case.form],
    )
    paths = sorted(folder.glob("*.tif"))
    if not report.ok or not paths:
        raise RuntimeError(f"{case}: {report}")
    return [
        File(case, path, pages)
        for path, pages in zip(paths, np.split(images, len(paths)), strict=True)
    ]


def pixels(dtype, shape, least=None):
    """Return noise with the extremes of a dtype in each image."""
    kind = np.dtype(dtype)
    random = np.random.default_rng(0)
    if kind.kind == "f":
        images = random.normal(0, 1e6, shape).astype(kind)
        low, high = np.finfo(kind).min, np.finfo(kind).max
        images[:, 1, :3] = np.full_like(images[:, 1, :3], np.nan)
        images[:, 2, :3], images[:, 3, :3] = np.inf, -np.inf
    else:
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        low = low if least is None else least
        images = random.integers(low, high, shape, kind, endpoint=True)
    images[:, 0, :3], images[:, 0, 3:6] = low, high
    return images

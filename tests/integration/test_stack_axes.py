"""A stack for ImageJ or OME has the axes of its scan, or none."""

import numpy as np
import pytest
import tifffile

import tiffin
from tests.helpers import export_live
from tiffin.corrections import Average
from tiffin.testing import run_of

GRID = {
    "scan_id": 7,
    "shape": (3, 4),
    "motors": ("y", "x"),
    "hints": {
        "gridding": "rectilinear",
        "dimensions": [(["y", "y_setpoint"], "primary"), (["x"], "primary")],
    },
    "snaking": (False, False),
}


def run(events=12, each=(), **start):
    count = events * int(np.prod(each))
    pixels = np.arange(count, dtype="u2").reshape(events, *each, 1, 1)
    return run_of({"img": pixels * np.ones((8, 9), "u2")}, **start)


def stacks_of(documents, folder, *, live, **settings):
    """Return (axes, shape) of the series of each file, and check the order of pages."""
    settings = {"profile": "ome", "stack": "run", **settings, "directory": folder}
    name = "{start.scan_id}_{frame:03d}.tif"
    if live:
        report = export_live(documents, name, **settings)
    else:
        report = tiffin.export(documents, name, **settings)
    assert report.ok
    assert tiffin.verify(folder).ok
    found = []
    for path in sorted(folder.glob("*.tif")):
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_ome if settings["profile"] == "ome" else tiff.is_imagej
            (series,) = tiff.series
            found.append((series.axes, series.shape[:-2]))
            pages = series.asarray().reshape(-1, *series.shape[-2:])[:, 0, 0]
            assert (np.diff(pages.astype(int)) > 0).all()
    return found


CASES = {
    "a grid": (GRID, {}, {}, [("TZYX", (3, 4))]),
    "with images": (GRID, {"each": (2,)}, {}, [("TZCYX", (3, 4, 2))]),
    "as a document has it": (
        {**GRID, "shape": [3, 4], "snaking": [False, False], "snake_axes": "False"},
        {},
        {},
        [("TZYX", (3, 4))],
    ),
    "numpy": ({**GRID, "shape": np.array([3, 4])}, {}, {}, [("TZYX", (3, 4))]),
    "only motors": ({**GRID, "hints": {}}, {}, {}, [("TZYX", (3, 4))]),
    "incomplete": (GRID, {"events": 11}, {}, [("TYX", (11,))]),
    "half of it": (GRID, {"events": 6, "each": (2,)}, {}, [("TYX", (12,))]),
    "twice": (GRID, {"events": 24}, {}, [("TYX", (24,))]),
    "snaked": ({**GRID, "snaking": (False, True)}, {}, {}, [("TYX", (12,))]),
    "snaked list": ({**GRID, "snake_axes": "['x']"}, {}, {}, [("TYX", (12,))]),
    "snaked lists": ({**GRID, "snake_axes": True}, {}, {}, [("TYX", (12,))]),
    "spiral": (
        {**GRID, "hints": {**GRID["hints"], "gridding": "rectilinear_nonsequential"}},
        {},
        {},
        [("TYX", (12,))],
    ),
    "another stream's": (
        {**GRID, "hints": {"dimensions": [(["y"], "other"), (["x"], "other")]}},
        {},
        {},
        [("TYX", (12,))],
    ),
    "a shape of something": ({"scan_id": 7, "shape": "ab"}, {}, {}, [("TYX", (12,))]),
    "wild": (
        {**GRID, "shape": (3.5, None), "snaking": np.array([0, 0]), "hints": 7},
        {},
        {},
        [("TYX", (12,))],
    ),
    "images of an event": (
        GRID, {"events": 2, "each": (12,)}, {"stack": "event"}, [("TYX", (12,))] * 2,
    ),
    "twelve pages": (
        GRID, {"each": (2,)}, {"stack": 12}, [("TYX", (12,))] * 2,
    ),
    "axes=": (
        {"scan_id": 7},
        {"events": 2, "each": (2, 3)},
        {"axes": "tzyx", "stack": "event"},
        [("TZYX", (2, 3))] * 2,
    ),
    "axes= of a run": (
        {"scan_id": 7},
        {"events": 4, "each": (2, 3)},
        {"axes": "azyx"},
        [("TZCYX", (4, 2, 3))],
    ),
    "averages of events": (
        GRID, {"each": (2,)}, {"corrections": [Average()]}, [("TZYX", (3, 4))],
    ),
    "averages of points": (
        GRID, {"events": 24}, {"corrections": [Average(2)]}, [("TYX", (12,))],
    ),
    "some frames": (GRID, {}, {"frames": "::2"}, [("TYX", (6,))]),
}  # fmt: skip


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_axes_of_a_stack(tmp_path, case, live):
    """Those of the scan or of ``axes=``; a simple sequence where pages are no grid."""
    start, made, settings, wanted = CASES[case]

    found = stacks_of(run(**made, **start), tmp_path, live=live, **settings)

    assert found == wanted


@pytest.mark.parametrize("live", [False, True])
def test_imagej_has_hyperstacks(tmp_path, live):
    """Slices and frames of the scan, which ImageJ shows with a slider each."""
    found = stacks_of(run(**GRID), tmp_path, live=live, profile="imagej")

    assert found == [("TZYX", (3, 4))]
    with tifffile.TiffFile(tmp_path / "7_000.tif") as tiff:
        told = tiff.imagej_metadata
    assert (told["frames"], told["slices"], told["hyperstack"]) == (3, 4, True)


def test_a_point_that_failed_leaves_a_sequence(tmp_path):
    """A grid with a hole would have each page after it at the wrong place."""
    documents = run(**GRID)
    events = [doc for name, doc in documents if name == "event"]
    events[4]["data"] = {"img": np.zeros((8, 9), "c8")}

    report = tiffin.export(
        documents, "{start.scan_id}.tif", directory=tmp_path, stack="run",
        profile="ome", on_error="report",
    )  # fmt: skip

    assert len(report.failed) == 1
    with tifffile.TiffFile(tmp_path / "7.tif") as tiff:
        assert [s.axes for s in tiff.series] == ["TYX"]
        assert len(tiff.pages) == 11


def test_ome_tells_when_each_page_was_taken(tmp_path):
    """``DeltaT`` counts from the first page [s]."""
    documents = run(**GRID)
    for n, (name, doc) in enumerate(documents):
        if name == "event":
            doc["time"] = 1000.0 + 0.5 * n

    stacks_of(documents, tmp_path, live=False)

    with tifffile.TiffFile(tmp_path / "7_000.tif") as tiff:
        text = tiff.ome_metadata
    deltas = [float(part.split('"')[1]) for part in text.split("DeltaT=")[1:]]
    assert deltas == [0.5 * n for n in range(12)]
    assert '="2" TheC="0" DeltaT="5.5' in text

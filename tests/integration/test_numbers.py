"""Numbers that no image can keep: each is refused, or counted, and never changed."""

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import tiffin
from tests.helpers import export_live
from tests.stores import insert
from tiffin.corrections import (
    Average,
    Crop,
    DarkSubtract,
    FlatField,
    Mask,
    Nearest,
    Scale,
)
from tiffin.errors import DtypeError, SettingsError, TiffinError
from tiffin.testing import run_of

NAME = "{event.seq_num}.tif"
SHAPE = (3, 4)
LIGHT = [np.full(SHAPE, 100, "u2")] * 2

NOT_REAL = {
    "complex": np.full(SHAPE, 1 + 5j),
    "complex64": np.full(SHAPE, 1 + 5j, "c8"),
    "structured": np.zeros(SHAPE, "f4,f4"),
    "text": np.full(SHAPE, "1"),
    "bytes": np.full(SHAPE, b"1"),
    "datetime": np.zeros(SHAPE, "M8[s]"),
    "timedelta": np.zeros(SHAPE, "m8[s]"),
    "longdouble": np.ones(SHAPE, np.longdouble),
}


def export(corrections, source=None, **settings):
    return tiffin.export(
        source or run_of({"img": LIGHT}),
        NAME,
        directory=tempfile.mkdtemp(),
        corrections=corrections,
        on_error="report",
        **settings,
    )


def pixels(report):
    return tifffile.imread(report.written[0].path)


def saved(folder, array):
    path = str(Path(folder) / "array.npy")
    np.save(path, array)
    return path


def steps_of(folder, array):
    path = saved(folder, array)
    flat = str(Path(folder) / "flat.npy")
    np.save(flat, np.full(SHAPE, 2.0))
    return {
        "dark": DarkSubtract(file=path),
        "flat": FlatField(file=path),
        "dark of a flat": FlatField(file=flat, dark=path),
        "mask": Mask(file=path, fill=0),
    }


@pytest.mark.parametrize("step", ["dark", "flat", "dark of a flat", "mask"])
@pytest.mark.parametrize("kind", NOT_REAL)
def test_not_real(tmp_path, step, kind):
    """What is no array of real numbers is refused by its dtype, whatever it is for."""
    array = NOT_REAL[kind]
    if step == "mask" and kind == "longdouble":
        pytest.skip("which pixels are zero is known")

    report = export([steps_of(tmp_path, array)[step]])

    assert (len(report.written), len(report.failed)) == (0, 2)
    assert all(str(array.dtype) in str(record.error) for record in report.failed)


@pytest.mark.parametrize("step", [DarkSubtract, FlatField])
def test_complex_elsewhere(tmp_path, step):
    """A complex dark or flat field is refused from runs, lists of runs and HDF5 too."""
    array = np.full((2, *SHAPE), 1 + 5j)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = array[:1]
    other = list(run_of({"img": array}))
    uid = other[0][1]["uid"]
    light = list(run_of({"img": LIGHT}, dark_frame=uid, several=[uid, uid]))
    steps = [step(file=f"{tmp_path}/a.h5:/data"), step(key="dark_frame")]

    for correction in [*steps, step(key="several")]:
        report = export([correction], light, catalog={uid: other})

        assert not report.written
        assert "complex128" in str(report.failed[0].error)


def test_complex_nearest():
    """A complex dark that is searched for is refused as well."""
    dark = list(run_of({"img": np.ones((1, *SHAPE), complex)}, plan_name="dark"))
    light = list(run_of({"img": LIGHT}, plan_name="count"))

    report = export([DarkSubtract(run=Nearest(plan_name="dark"))], light, catalog=dark)

    assert not report.written


@pytest.mark.parametrize("value", [1j, np.complex128(2), "1", True, None, [1], np.nan])
def test_settings_are_real(value):
    """Settings that are numbers take finite real ones."""
    if value is not None:
        with pytest.raises(SettingsError):
            DarkSubtract(constant=value)
        with pytest.raises((SettingsError, TypeError)):
            Crop(rows=(0, value))
    for make in (
        lambda: DarkSubtract(constant=1, pedestal=value),
        lambda: Scale(value),
        lambda: Scale(1, offset=value),
    ):
        with pytest.raises(SettingsError):
            make()


def test_long_setting():
    """A number that float64 would round is refused."""
    third = np.longdouble(1) / 3

    with pytest.raises(SettingsError, match="factor"):
        Scale(third)


def masked():
    return np.ma.masked_less(np.arange(12.0).reshape(SHAPE), 3)


def test_masked_mask():
    """A mask of masked pixels is refused: which of them it means is not known."""
    with pytest.raises(DtypeError, match="masked"):
        Mask(array=masked(), fill=0)


@pytest.mark.parametrize("step", [DarkSubtract, FlatField])
def test_masked_dark(step):
    """A dark or flat field with masked pixels is refused, not used without its mask."""
    dark = [
        (n, {**d, "data": {"img": masked()}} if n == "event" else d)
        for n, d in run_of({"img": [np.ones(SHAPE)]})
    ]
    light = run_of({"img": LIGHT}, dark_frame=dark[0][1]["uid"])

    report = export([step(key="dark_frame")], light, catalog={dark[0][1]["uid"]: dark})

    assert not report.written
    assert "masked" in str(report.failed[0].error)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f8"])
def test_dark_not_finite(tmp_path, value, dtype):
    """A dark that is no number somewhere fails its images; kept, none changes there."""
    dark = np.full(SHAPE, 10, dtype)
    dark[1, 2] = value
    path = saved(tmp_path, dark)

    failed = export([DarkSubtract(file=path)])
    kept = export([DarkSubtract(file=path, dead="keep")])

    assert not failed.written
    assert "row 1, column 2" in str(failed.failed[0].error)
    expected = np.full(SHAPE, 90)
    expected[1, 2] = 100
    assert expected.tolist() == pixels(kept).tolist()


def test_dark_mean_not_finite(tmp_path):
    """One dark of several that is no number somewhere makes their mean none."""
    darks = np.full((3, *SHAPE), 10.0)
    darks[1, 0, 0] = np.nan
    path = saved(tmp_path, darks)

    step = DarkSubtract(file=path, allow="images")

    assert "pixels: 1," in str(export([step]).failed[0].error)


@pytest.mark.parametrize("dtype", ["int32", "uint16", "float32"])
def test_dark_not_finite_integer(tmp_path, dtype):
    """Where the result is to be of another dtype, a NaN in the dark is refused too."""
    path = saved(tmp_path, np.full(SHAPE, np.nan))

    report = export([DarkSubtract(file=path, dtype=dtype)])

    assert "NaN" in str(report.failed[0].error)


def test_dark_of_a_stream_that_fails():
    """A dark that can't be read fails its lights: no older one is taken for it."""
    documents = list(run_of({"img": LIGHT}))
    (start, descriptor, *events, stop) = documents
    darks = {**descriptor[1], "uid": "darks", "name": "dark"}
    good, bad = events[0][1], events[1][1]
    good = {**good, "descriptor": "darks", "uid": "d1", "time": 1.0}
    bad = {**bad, "descriptor": "darks", "uid": "d2", "time": 2.0}
    bad["data"] = {"img": masked()}
    docs = [start, ("descriptor", darks), ("event", good), ("event", bad)]
    docs += [descriptor, *events, stop]

    report = export([DarkSubtract(stream="dark")], docs)

    assert not report.written
    assert "masked" in str(report.failed[0].error)


@pytest.mark.parametrize("scale", [1e308, 1e-308, 5e-324, 1.0])
def test_flat_of_any_size(tmp_path, scale):
    """A flat field is scaled to a mean of 1, however large or small its numbers are."""
    flat = np.ones(SHAPE) * scale
    flat[0, 0] = scale / 2 if scale > 1e-300 else scale * 2
    relative = (flat / scale) / (flat / scale).mean()

    image = pixels(export([FlatField(file=saved(tmp_path, flat))]))

    assert np.allclose(100 / relative, image, rtol=1e-6)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_flat_dead(tmp_path, value):
    """A flat field of no use somewhere fails its images, and says where."""
    flat = np.full(SHAPE, 10.0)
    flat[2, 1] = value

    report = export([FlatField(file=saved(tmp_path, flat))])

    assert "row 2, column 1" in str(report.failed[0].error)


def test_average_overflow():
    """A mean that its sum has no room for fails, and one of float16 has room."""
    huge = export([Average(3)], run_of({"img": [np.full(SHAPE, 1e308)] * 3}))
    half = export([Average(2)], run_of({"img": [np.full(SHAPE, 6e4, "f2")] * 2}))

    assert not huge.written
    assert np.isfinite(pixels(half)).all()


BIG = 2**53 + 1

REFUSED = {
    "beside a fraction": [[BIG, 0.5], [0, 0]],
    "beside null": [[BIG, None], [0, 0]],
    "beside NaN": [[-BIG, float("nan")], [0, 0]],
    "alone": [[BIG, 1], [0, 0]],
    "beyond 64 bits": [[2**64 + 1, 1], [0, 0]],
    "beyond floats": [[2**2000, 1], [0, 0]],
    "beyond floats, a fraction": [[2**2000, 0.5], [0, 0]],
    "both signs": [[2**63 + 1, -1], [0, 0]],
    "text": [["1", "2"], ["3", "4"]],
    "text and null": [["1", None], ["3", "4"]],
    "text and numbers": [["1", 2], [3, 4]],
    "ragged": [[1, 2], [3]],
    "mixed nesting": [[1, [2]], [3, 4]],
    "no list beside lists": [[1, 2], None],
    "objects": [[{}, {}], [{}, {}]],
}


def listed(*values, declared=None):
    """Return the documents of a run whose images are lists, as JSON has them."""
    run = run_of({"img": [np.zeros((2, 2), "i4")] * len(values)})
    documents, left = [], iter(values)
    for name, doc in run:
        copy = json.loads(json.dumps(doc, default=lambda array: array.tolist()))
        if name == "descriptor":
            copy["data_keys"]["img"].pop("dtype_numpy", None)
            if declared:
                copy["data_keys"]["img"]["dtype_numpy"] = declared
        if name == "event":
            copy["data"]["img"] = json.loads(json.dumps(next(left)))
        documents.append((name, copy))
    return documents


def live(documents, **settings):
    return export_live(documents, NAME, tempfile.mkdtemp(), **settings)


@pytest.mark.parametrize("values", REFUSED.values(), ids=REFUSED)
def test_lists_refused(values):
    """Lists that no dtype holds exactly fail: live, replayed, and as arrays."""
    documents = listed(values)

    for report in (export([], documents), live(documents)):
        assert (len(report.written), len(report.failed)) == (0, 1)
    with pytest.raises(TiffinError):
        tiffin.get_images(documents, "img")[0]


@pytest.mark.parametrize("declared", ["<f8", "<f4", "<u2", "<c16", "|b1"])
def test_lists_refused_declared(declared):
    """Declared or asked for, no dtype rounds what it can't hold."""
    for values in REFUSED.values():
        assert not export([], listed(values, declared=declared)).written
        if declared in ("<f8", "<f4", "<u2"):
            assert not export([], listed(values), dtype=declared).written


def test_lists_say_dtype():
    """The reason names the setting that chooses another dtype, or that none will do."""
    for values in ([[BIG, 0.5], [0, 0]], [[2**40, 1], [0, 0]], [[2**70, 1], [0, 0]]):
        report = export([], listed(values))

        assert "dtype=" in str(report.failed[0].error)


@pytest.mark.parametrize("declared", ["<f4", None])
def test_lists_float32(declared):
    """A whole number that float32 rounds is refused where it stands by a fraction."""
    documents = listed([[2**24 + 1, 0.5], [0, 0]], declared=declared)

    report = export([], documents, dtype=None if declared else "float32")

    assert "16777217" in str(report.failed[0].error)


@pytest.mark.parametrize(
    "values",
    [
        [[2**53, 0.5], [1, 2]],
        [[2**60, 0.5], [1, 2]],
        [[1, None], [2, 3]],
        [[float("inf"), float("nan")], [1, 2]],
        [[0.1, 0.2], [1e308, -0.5]],
    ],
)
def test_lists_exact(values):
    """Lists that float64 holds are written as they are; null is NaN."""
    expected = np.array(values, float)

    image = pixels(export([], listed(values)))

    assert image.dtype == "float64"
    assert np.array_equal(expected, image, equal_nan=True)


def test_lists_later_fraction():
    """Live, a fraction behind whole numbers fails and names a dtype that holds it."""
    report = live(listed([[1, 2], [3, 4]], [[1, 0.5], [3, 4]]))

    assert "dtype='float64'" in str(report.failed[0].error)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_lists_through_databroker(broker, version):
    """Out of a databroker, lists are no more rounded than out of a file."""
    for values, written in (
        ([[BIG, 0.5], [0, 0]], 0),
        ([[BIG, None], [0, 0]], 0),
        ([[2**40, 1], [0, 0]], 0),
        ([["1", None], ["3", "4"]], 0),
        ([[2**53, 0.5], [0, 0]], 1),
    ):
        documents = listed(values)
        insert(broker, documents)
        store = broker if version == "v1" else broker.v2

        report = export([], store[documents[0][1]["uid"]])

        assert (len(report.written), len(report.records)) == (written, 1)


def test_lists_in_a_file(tmp_path):
    """NaN and Infinity, as Python's JSON has them, are numbers in a file as well."""
    text = "[[NaN, Infinity], [-Infinity, 0.5]]"
    lines = [json.dumps(pair) for pair in listed([["here"]])]
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(lines).replace('[["here"]]', text) + "\n")

    image = pixels(export([], path))

    assert np.array_equal(image, json.loads(text), equal_nan=True)


def test_dead_pixels_are_told(tmp_path):
    """The manifest says how many pixels of a dark or flat field were of no use."""
    array = np.full(SHAPE, 10.0)
    array[0, 0] = np.nan
    path = saved(tmp_path, array)

    for step in (
        DarkSubtract(file=path, dead="keep"),
        FlatField(file=path, dead="keep"),
    ):
        tiffin.export(
            run_of({"img": LIGHT}),
            NAME,
            directory=tmp_path / type(step).__name__,
            corrections=[step],
        )
        (manifest,) = tmp_path.glob(f"{type(step).__name__}/.tiffin/*.jsonl")
        lines = [json.loads(line) for line in manifest.read_text().splitlines()]
        assert [line["used"][0]["dead"] for line in lines[1:]] == [1, 1]

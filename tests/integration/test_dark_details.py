"""Darks where documents are odd: settings, times and numbers that change or lack."""

import numpy as np
import pytest
from event_model import compose_run

import tiffin
from tests.helpers import export_live, feed
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.corrections import Average, DarkSubtract, FlatField, Mask
from tiffin.errors import SettingsError
from tiffin.testing import run_of

NAME = "{start.scan_id}_{kind}_{stream}_{event.seq_num}_{i}.tif"
SHAPE = (4, 6)


def key(shape=SHAPE):
    return {
        "img": {
            "source": "SIM",
            "dtype": "array",
            "shape": list(shape),
            "dtype_numpy": "<u2",
        }
    }


def image(value, shape=SHAPE):
    return np.full(shape, value, "u2")


class Run:
    """The documents of a run, composed one by one."""

    def __init__(self, **start):
        self.run = compose_run(metadata={"scan_id": 1, **start})
        self.documents = [("start", self.run.start_doc)]
        self.streams = {}

    def describe(self, name, exposure=None, shape=SHAPE):
        configuration = {}
        if exposure is not None:
            data = {"det_exposure_time": exposure}
            configuration["det"] = {"data": data, "timestamps": {}, "data_keys": {}}
        stream = self.run.compose_descriptor(
            name=name,
            data_keys=key(shape),
            object_keys={"det": ["img"]},
            configuration=configuration,
            validate=False,
        )
        self.streams[name] = stream
        self.documents.append(("descriptor", stream.descriptor_doc))

    def take(self, name, value, shape=SHAPE, **changes):
        event = self.streams[name].compose_event(
            data={"img": image(value, shape)}, timestamps={"img": 0.0}, validate=False
        )
        event = {**event, "time": float(len(self.documents)), **changes}
        self.documents.append(("event", event))

    def end(self):
        return [*self.documents, ("stop", self.run.compose_stop())]


def levels(report, read):
    """Return the level of each image that was written, by kind."""
    return [(r.kind, float(read(r.path).flat[0])) for r in report.written]


def exported(documents, folder, *steps, **settings):
    return tiffin.export(
        documents,
        NAME,
        directory=folder,
        corrections=steps,
        on_error="report",
        **settings,
    )


@pytest.mark.parametrize("exposures", [(0.1, 0.5), (0.5, 0.1)])
def test_each_setting_of_the_light_is_compared(tmp_path, read, exposures):
    """S29: also where the detector is configured midway, in any order of settings."""
    dark = Run(scan_id=2, dark_frame=True)
    dark.describe("primary", 0.1)
    dark.take("primary", 10)
    light = Run(dark_frame=dark.run.start_doc["uid"])
    for n, exposure in enumerate(exposures, start=1):
        light.describe("primary", exposure)
        light.take("primary", 100, seq_num=n)

    report = exported([*dark.end(), *light.end()], tmp_path, DarkSubtract())

    subtracted = [r for r in report.records if r.run == light.run.start_doc["uid"]]
    assert [r.status == "written" for r in subtracted] == [e == 0.1 for e in exposures]
    (failed,) = report.failed
    assert "0.5" in str(failed.error)


def test_a_dark_whose_number_comes_again_counts(tmp_path, read):
    """S25: a plan that was rewound takes event 1 of the darks once more."""
    run = Run()
    run.describe("dark")
    run.describe("primary")
    run.take("dark", 10)
    run.take("primary", 100)
    run.take("dark", 20, seq_num=1)
    run.take("primary", 100)
    documents = run.end()

    report = exported(documents, tmp_path / "later", DarkSubtract(stream="dark"))
    steps = [DarkSubtract(stream="dark")]
    with ImageExporter(NAME, directory=tmp_path / "live", corrections=steps) as live:
        feed(live, documents)

    assert levels(report, read) == [("sub", 90.0), ("sub", 80.0)]
    (told,) = live.reports.values()
    assert levels(told, read) == levels(report, read)


def test_numbers_of_numpy_are_numbers(tmp_path, read):
    """Numpy's numbers in documents work in names, manifests and notes."""
    run = Run()
    run.describe("dark")
    run.describe("primary")
    run.take("dark", 10, seq_num=np.int64(1), time=np.float32(1))
    run.take("primary", 100, seq_num=np.int64(1), time=np.float32(2))

    report = exported(run.end(), tmp_path, DarkSubtract(stream="dark"))

    assert report.ok, report.failed[0].error
    assert levels(report, read) == [("sub", 90.0)]


@pytest.mark.parametrize("constant", [8, 0.5, 10**22])
@pytest.mark.parametrize("pedestal", [0, 3])
def test_a_number_is_subtracted_from_every_pixel(tmp_path, read, constant, pedestal):
    """As an image filled with that number would be."""
    light = run_of({"img": image(100)[np.newaxis]}, scan_id=1)
    step = DarkSubtract(constant=constant, pedestal=pedestal)

    report = exported(light, tmp_path, step)

    assert report.ok, report.failed[0].error
    expected = np.float32(100 - max(constant - pedestal, 0))
    assert (read(report.written[0].path) == expected).all()


def test_a_class_is_no_correction(tmp_path):
    """A class without brackets is refused at once, with the right spelling."""
    light = run_of({"img": image(100)[np.newaxis]}, scan_id=1)

    with pytest.raises(SettingsError, match=r"DarkSubtract\(\.\.\.\)"):
        exported(light, tmp_path, DarkSubtract)


@pytest.mark.parametrize("save", [("sub",), ("sub", "light")])
def test_a_difference_that_can_not_be_joined_is_told(tmp_path, save):
    """If one of two lights has no dark, their mean fails with the reason."""
    run = Run()
    run.describe("dark")
    run.describe("primary")
    run.take("primary", 100)
    run.take("dark", 10)
    run.take("primary", 100)
    steps = [DarkSubtract(stream="dark", missing="raw"), Average(2)]

    report = exported(run.end(), tmp_path, *steps, save=save)

    (failed,) = report.failed
    assert "some have none" in str(failed.error)
    assert [r.kind for r in report.written] == ["light"] * (len(save) - 1)


@pytest.mark.parametrize("time", [None, "noon", float("nan")])
def test_darks_without_times_are_not_guessed(tmp_path, time):
    """S25: which of several darks is the latest can't be known: an error, no wrong
    dark.
    """
    run = Run()
    run.describe("dark")
    run.describe("primary")
    run.take("dark", 10, time=time)
    run.take("primary", 100, time=time)
    run.take("dark", 20, time=time)
    run.take("primary", 100, time=time)

    report = exported(run.end(), tmp_path, DarkSubtract(stream="dark"))

    assert report.failed
    assert "times" in str(report.failed[-1].error)


def test_a_colour_light_is_given_a_colour_dark(tmp_path, read):
    """A field that is set to be colour is colour in its darks too."""
    run = Run()
    for stream in ("dark", "primary"):
        run.describe(stream, shape=(4, 6, 3))
    run.take("dark", 10, (4, 6, 3))
    run.take("primary", 100, (4, 6, 3))

    report = exported(
        run.end(),
        tmp_path,
        DarkSubtract(stream="dark"),
        colour="img",
        save=("sub", "dark"),
    )

    assert not report.failed, report.failed[0].error
    assert sorted(levels(report, read)) == [("dark", 10.0), ("sub", 90.0)]
    assert {r.shape for r in report.written} == {(4, 6, 3)}


@pytest.mark.parametrize("how", ["run", "own key", "another key"])
def test_a_dark_is_never_subtracted_from_itself(tmp_path, read, how):
    """S24, S26: named by uid, by its own start document, or by another key."""
    dark = Run(scan_id=2, dark_frame=True)
    uid = dark.run.start_doc["uid"]
    if how == "own key":
        dark.run.start_doc["dark_frame"] = uid
    dark.describe("primary")
    dark.take("primary", 10)
    light = run_of({"img": image(100)[np.newaxis]}, scan_id=1, sc_dk_field_uid=uid)
    step = {
        "run": DarkSubtract(run=uid),
        "own key": DarkSubtract(),
        "another key": DarkSubtract(key="sc_dk_field_uid"),
    }[how]

    runs = [*dark.end(), *([] if how == "own key" else light)]
    report = exported(runs, tmp_path, step)

    assert not report.failed, report.failed[0].error
    expected = [("dark", 10.0)] + [("sub", 90.0)] * (how != "own key")
    assert levels(report, read) == expected


@pytest.mark.parametrize("reference", [5, 1.0, ["a", 5], {"uid": "a"}])
@pytest.mark.parametrize("way", ["later", "live", "old"])
def test_a_reference_that_is_no_uid_fails_its_frames(tmp_path, reference, way):
    """The RunEngine and the other runs are not affected."""
    bad = run_of({"img": image(100)[np.newaxis]}, scan_id=1, dark_frame=reference)
    if way == "later":
        report = exported(bad, tmp_path, DarkSubtract())
    elif way == "live":
        report = export_live(bad, NAME, tmp_path, corrections=[DarkSubtract()])
    else:
        exporter = Subtracted("img", f"{tmp_path}/{{start.scan_id}}.tif", db={})
        feed(exporter, bad)
        (report,) = exporter.reports.values()

    (record,) = report.failed
    assert "not the uid" in str(record.error)


class Subtracted(LiveTiffExporter):
    corrections = DarkSubtract()


@pytest.mark.parametrize(
    ("flat", "dark", "told"),
    [
        ([[2, 4]], 3, "pixels: 1, such as -1 at row 0, column 0"),
        ([[-2, 4]], None, "pixels: 1, such as -2 at row 0, column 0"),
        ([[4, 0]], None, "pixels: 1, such as 0 at row 0, column 1"),
        ([[4, np.nan]], None, "dead='keep'"),
        ([[0, -1]], None, "no pixel above zero"),
        ([[2, 4]], [[1]], "its dark"),
    ],
)
def test_a_flat_field_that_would_falsify_is_refused(tmp_path, flat, dark, told):
    """A flat never flips a sign, and a row is never taken for an image."""
    np.save(tmp_path / "flat.npy", np.array(flat, float))
    if isinstance(dark, list):
        np.save(tmp_path / "dark.npy", np.array(dark, float))
        dark = tmp_path / "dark.npy"
    light = run_of({"img": np.full((1, 1, 2), 100, "u2")}, scan_id=1)

    step = FlatField(file=tmp_path / "flat.npy", dark=dark)
    report = exported(light, tmp_path / "out", step)

    (record,) = report.failed
    assert told in str(record.error)


@pytest.mark.parametrize("dead", [0, -3, np.nan, np.inf])
def test_dead_pixels_of_a_flat_field_can_be_kept(tmp_path, read, dead):
    """They keep their counts and are not part of the mean; a later mask may replace
    them.
    """
    np.save(tmp_path / "flat.npy", np.array([[1, 3, dead]], float))
    light = run_of({"img": np.full((1, 1, 3), 100, "u2")}, scan_id=1)
    step = FlatField(file=tmp_path / "flat.npy", dead="keep")
    masked = [step, Mask(array=np.array([[0, 0, 1]]), fill=-1)]

    kept = exported(light, tmp_path / "kept", step)
    replaced = exported(light, tmp_path / "masked", *masked)

    pixels = [read(report.written[0].path).tolist() for report in (kept, replaced)]
    assert pixels[0] == [[200, np.float32(100 / 1.5), 100]]
    assert pixels[1] == [[200, np.float32(100 / 1.5), -1]]
    assert "dead='keep'" in str(step)


def test_whole_numbers_of_64_bits_are_subtracted_exactly(tmp_path):
    """Asked for int64, as far as float64 holds them."""
    light = np.full((1, 2, 2), 2**53, "i8")
    np.save(tmp_path / "dark.npy", np.full((2, 2), 8, "i8"))
    pixels = []

    def keep(image, _frame):
        pixels.append(image.copy())
        return image.astype("f8")

    for step in (
        DarkSubtract(file=tmp_path / "dark.npy", dtype="int64"),
        DarkSubtract(constant=8, dtype="int64"),
    ):
        run = run_of({"img": light}, scan_id=1)
        report = exported(run, tmp_path / str(len(pixels)), step, keep)
        assert report.ok, report.failed[0].error

    assert all((image == 2**53 - 8).all() for image in pixels)


@pytest.mark.parametrize(
    "arguments",
    [
        {"run": 5},
        {"stream": ("dark",)},
        {"key": 5},
        {"key": ""},
        {"file": ""},
        {"pedestal": -5},
        {"dtype": "nonsense"},
        {"dtype": "complex64"},
        {"dtype": "float16"},
    ],
)
def test_settings_of_the_wrong_type_are_refused(arguments):
    """At once, in a sentence."""
    with pytest.raises(SettingsError):
        DarkSubtract(**arguments)


@pytest.mark.parametrize("arguments", [{"dark": True}, {"dark": float("nan")}])
def test_settings_of_a_flat_field_are_checked(arguments):
    """A number is a number."""
    with pytest.raises(SettingsError):
        FlatField(file="flat.tif", **arguments)

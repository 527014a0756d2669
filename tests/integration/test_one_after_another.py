"""One exporter, or one folder, for many runs: what is over stands in no run's way."""

import gc
from functools import partial

import h5py
import numpy as np
import pytest

import tiffin
from tests.documents import FRAMES, datum_run, hdf5
from tests.helpers import feed
from tiffin import ImageExporter, process
from tiffin.errors import CollisionError, ExistsError, MissingKeyError, ReadError
from tiffin.testing import run_of

IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
NAME = "{start.scan_id}_{event.seq_num}.tif"


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7)


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ("replace", "3 written, 0 skipped, 0 failed"),
        ("skip", "0 written, 3 skipped, 0 failed"),
        ("resume", "0 written, 3 skipped, 0 failed"),
        ("unique", "3 written, 0 skipped, 0 failed"),
        ("error", "0 written, 0 skipped, 3 failed"),
    ],
)
def test_a_run_comes_once_more(run, tmp_path, existing, expected):
    """S21: `existing` decides, and the report is that of the last time."""
    with ImageExporter(NAME, directory=tmp_path, existing=existing) as exporter:
        process(run, exporter)
        (report,) = process(run, exporter).values()

    assert str(report) == expected
    assert all(isinstance(record.error, ExistsError) for record in report.failed)


def test_what_failed_is_exported_when_its_run_comes_once_more(tmp_path, read):
    """S21, S40: the file exists by then, and no old claim is in the way."""
    path = tmp_path / "a.h5"
    settings = {"existing": "skip", "asset_timeout": 0}
    with ImageExporter(NAME, directory=tmp_path / "out", **settings) as exporter:
        documents = list(
            datum_run(path, shape=(1, 6, 9), options={"frame_per_point": 1})
        )
        process(documents, exporter)
        (before,) = exporter.reports.values()
        hdf5(path, FRAMES[:4])
        process(documents, exporter)
        (after,) = exporter.reports.values()

    assert str(before) == "0 written, 0 skipped, 4 failed"
    assert str(after) == "4 written, 0 skipped, 0 failed"
    for record, image in zip(after.written, FRAMES, strict=False):
        np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize("existing", ["replace", "error"])
def test_the_names_of_a_run_that_is_over_are_files(tmp_path, read, existing):
    """S21, S31: a later run with the same name is no collision; `existing` decides."""
    later = run_of({"img": IMAGES + 1}, scan_id=7)
    with ImageExporter(NAME, directory=tmp_path, existing=existing) as exporter:
        process(run_of({"img": IMAGES}, scan_id=7), exporter)
        (report,) = process(later, exporter).values()

    counted = {"replace": (3, 0), "error": (0, 3)}[existing]
    assert (len(report.written), len(report.failed)) == counted
    assert all(isinstance(record.error, ExistsError) for record in report.failed)
    found = read(tmp_path / "7_1.tif")
    np.testing.assert_array_equal(found, IMAGES[0] + (existing == "replace"))


def test_the_names_of_a_run_that_goes_on_are_its_own(run, tmp_path):
    """S21: of two open runs with one name, the first keeps it."""
    other = run_of({"img": IMAGES}, scan_id=7)
    with ImageExporter(NAME, directory=tmp_path, existing="replace") as exporter:
        for pair in zip(run, other, strict=True):
            feed(exporter, pair)

    first, second = exporter.reports.values()
    assert len(first.written) == len(second.failed) == 3
    assert all(isinstance(record.error, CollisionError) for record in second.failed)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Q", "q"),
        ("Straße", "STRASSE"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "CAFE\N{COMBINING ACUTE ACCENT}"),
        ("I", "\N{LATIN SMALL LETTER DOTLESS I}"),
    ],
)
@pytest.mark.parametrize("template", ["{start.s}_{frame}.tif", "{start.s}/{frame}.tif"])
@pytest.mark.parametrize("existing", ["error", "skip", "replace", "resume"])
def test_names_that_some_disks_take_for_one_are_told_across_exports(
    tmp_path, names_in, first, second, template, existing
):
    """S10: also for files and folders of an earlier export."""
    settings = {"directory": tmp_path, "existing": existing, "on_error": "report"}
    tiffin.export(run_of({"img": IMAGES}, s=first), template, **settings)
    before = names_in(tmp_path)

    report = tiffin.export(run_of({"img": IMAGES}, s=second), template, **settings)
    again = tiffin.export(
        run_of({"img": IMAGES}, s=first), template, **{**settings, "existing": "skip"}
    )

    assert len(report.failed) == 3
    assert all(isinstance(record.error, CollisionError) for record in report.failed)
    assert "Windows and macOS" in str(report.failed[0].error)
    assert names_in(tmp_path) == before
    assert len(again.skipped) == 3


def test_a_name_that_some_disks_have_already_gets_a_number(tmp_path, names_in):
    """S10, S31: with existing="unique"."""
    settings = {"directory": tmp_path, "existing": "unique"}
    tiffin.export(run_of({"img": IMAGES[:1]}, s="Q"), "{start.s}.tif", **settings)
    tiffin.export(run_of({"img": IMAGES[:1]}, s="q"), "{start.s}.tif", **settings)

    assert names_in(tmp_path) == ["Q.tif", "q-2.tif"]


@pytest.mark.parametrize("order", [["x.tif", None], [None, "X.tif"]])
@pytest.mark.parametrize("on_error", ["report", "raise"])
def test_a_name_is_a_file_or_a_folder(tmp_path, names_in, order, on_error):
    """S10: the conflict is an error before the first write, in either order."""
    run = run_of({"img": IMAGES[:2], "n": ["", ""]})
    for (_, doc), name in zip(
        [item for item in run if item[0] == "event"], order, strict=True
    ):
        doc["data"]["n"] = name
    template = "<{event.data.n}/>x.tif"

    try:
        report = tiffin.export(run, template, directory=tmp_path, on_error=on_error)
    except CollisionError as error:
        report = error.report

    assert names_in(tmp_path) == []
    assert all(isinstance(r.error, CollisionError) for r in report.failed)
    assert "folder" in str(report.failed[1].error)


@pytest.mark.parametrize("source", [list, iter])
def test_files_are_closed_when_an_export_is_over(tmp_path, source):
    """Without garbage collection, so that their writers can go on."""
    hdf5(tmp_path / "a.h5")
    gc.disable()
    try:
        tiffin.export(
            source(list(datum_run(tmp_path / "a.h5"))),
            "{event.seq_num}_{i}.tif",
            directory=tmp_path / "out",
        )
        images = tiffin.get_images(list(datum_run(tmp_path / "a.h5")), "img")
        np.testing.assert_array_equal(images[0], FRAMES[:3])
        del images
        with h5py.File(tmp_path / "a.h5", "a"):
            pass
    finally:
        gc.enable()


def test_a_start_document_that_does_not_fit_is_the_runs_failure(run, tmp_path):
    """S05: live with on_error="raise", the exception carries the report."""
    exporter = ImageExporter("{start.sampel}.tif", directory=tmp_path, on_error="raise")
    (_, start), *_, (_, stop) = run
    with pytest.raises(MissingKeyError) as caught:
        exporter("start", start)
    exporter("stop", stop)

    (report,) = exporter.reports.values()
    assert [type(record.error) for record in report.failed] == [MissingKeyError]
    assert caught.value.report is not None


@pytest.mark.parametrize("way", ["wait", "close", "with"])
def test_a_file_that_never_came_is_raised_in_the_end(tmp_path, way):
    """S44: on_error="raise": the file may still come at the stop; `wait` and
    `close` raise.
    """
    exporter = ImageExporter(
        NAME, directory=tmp_path / "out", on_error="raise", asset_timeout=0.3
    )
    feed(
        exporter,
        datum_run(
            tmp_path / "never.h5", shape=(1, 6, 9), options={"frame_per_point": 1}
        ),
    )

    ending = {"wait": exporter.wait, "close": exporter.close}
    ending["with"] = partial(exporter.__exit__, None, None, None)
    with pytest.raises(ReadError, match=r"never\.h5") as caught:
        ending[way]()
    exporter.close()  # once is enough

    assert len(caught.value.report.failed) == 4


def test_what_goes_wrong_elsewhere_is_not_hidden(tmp_path):
    """S44: an exception raised in the `with` block is the one that propagates."""
    exporter = ImageExporter(
        "{event.seq_num}_{i}.tif", directory=tmp_path, on_error="raise", asset_timeout=0
    )

    def leave():
        with exporter:
            feed(exporter, list(datum_run(tmp_path / "never.h5"))[:-1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    (report,) = exporter.reports.values()
    assert len(report.failed) == 12


def test_a_run_whose_events_hold_no_image_is_told_of(tmp_path, caplog):
    """S16: skipped records, ok as nothing failed, and a warning."""
    run = run_of({"img": np.zeros((2, 0, 6, 9), "u2")})

    report = tiffin.export(run, "{event.seq_num}_{i}.tif", directory=tmp_path)
    with ImageExporter("{event.seq_num}_{i}.tif", directory=tmp_path) as exporter:
        process(run, exporter)

    assert len(report.skipped) == 2
    assert [record.message for record in caplog.records].count(
        f"run {run[0][1]['uid'][:8]}: no image was exported: no event of the run "
        f"has one"
    ) == 2


@pytest.mark.parametrize("live", [True, False])
def test_a_number_does_not_tell_folders_apart(tmp_path, live):
    """S10, S31: with existing="unique" too, folders that differ in case collide."""
    (tmp_path / "cu").mkdir()
    template = "{start.s}/{event.seq_num}.tif"
    settings = {"directory": tmp_path, "existing": "unique", "on_error": "report"}
    run = run_of({"img": IMAGES}, s="Cu")

    if live:
        with ImageExporter(template, **settings) as exporter:
            (report,) = process(run, exporter).values()
    else:
        report = tiffin.export(run, template, **settings)

    assert len(report.failed) == 3
    assert all(isinstance(record.error, CollisionError) for record in report.failed)


def test_a_dry_run_tells_of_collisions_between_runs(tmp_path):
    """S36: no file exists, but runs may collide; the same run may come again."""
    first, second = (run_of({"img": IMAGES}) for _ in range(2))
    with ImageExporter(
        "{event.seq_num}.tif", directory=tmp_path, dry_run=True
    ) as exporter:
        process(first, exporter)
        process(second, exporter)
        process(first, exporter)

    reports = list(exporter.reports.values())
    assert [len(report.planned) for report in reports] == [3, 0]
    assert len(reports[1].failed) == 3


def test_a_file_that_came_just_in_time_is_closed_at_the_stop(tmp_path, read):
    """S40: also where the last attempt before the engine goes on has read it."""
    *documents, stop = datum_run(tmp_path / "a.h5")
    with ImageExporter(
        "{event.seq_num}_{i}.tif", directory=tmp_path / "out", asset_timeout=60
    ) as exporter:
        feed(exporter, documents)
        hdf5(tmp_path / "a.h5")
        exporter(*stop)

        (report,) = exporter.reports.values()
        assert len(report.written) == 12
        with h5py.File(tmp_path / "a.h5", "a"):
            pass


def test_the_configuration_of_two_devices_tells_their_images_apart(tmp_path, names_in):
    """S04, S19: live and replayed, {config…} is that of the field's own device."""
    run = run_of({"one": IMAGES, "two": IMAGES})
    descriptor = run[1][1]
    descriptor["object_keys"] = {"a": ["one"], "b": ["two"]}
    descriptor["configuration"] = {
        device: {"data": {"serial": f"{device}7"}, "timestamps": {}, "data_keys": {}}
        for device in "ab"
    }
    template = "{config.serial}_{event.seq_num}.tif"

    with ImageExporter(template, directory=tmp_path / "live") as exporter:
        process(run, exporter)
    tiffin.export(run, template, directory=tmp_path / "later")

    names = [f"{device}7_{n}.tif" for device in "ab" for n in (1, 2, 3)]
    assert names_in(tmp_path / "live") == names_in(tmp_path / "later") == names


def test_what_one_field_is_refused_for_is_not_said_of_another(tmp_path):
    """S16, S17: a field that the run lacks is reported as that, not as a wrong
    template.
    """
    run = run_of({"img": np.zeros((2, 3, 6, 9), "u2")})
    settings = {"directory": tmp_path, "fields": ["img", "nosuch"]}

    with ImageExporter("{field}_{event.seq_num}.tif", **settings) as exporter:
        (report,) = process(run, exporter).values()

    told = {record.field: str(record.error) for record in report.failed}
    assert "add {i}" in told["img"]
    assert "'nosuch'" in told["nosuch"]
    assert "add {i}" not in told["nosuch"]

"""What descriptors declare is a hint: shapes that can't be right, or too large."""

import numpy as np
import pytest
import tifffile

import tiffin
from tests.helpers import export_live
from tests.integration.test_axes import by_handler, hdf5_run, in_line
from tiffin.corrections import Crop

IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
NAME = "{event.seq_num}.tif"
DOORS = {"stream": hdf5_run, "handler": by_handler}

WRONG = [
    (9, 6, 0), (1, 9, 6, 0), (0, 6, 9), (-1, 6, 9), (None, 6, 9), (1, None, None),
    ("1", "6", "9"), (1.5, 6, 9), (0, 0), (), (54,), (1,), None, "abc", [[]],
]  # fmt: skip


def with_shape(run, shape):
    run[1][1]["data_keys"]["img"]["shape"] = shape
    return run


@pytest.mark.parametrize("shape", WRONG, ids=repr)
@pytest.mark.parametrize("door", DOORS)
def test_an_impossible_shape_is_a_hint(tmp_path, read, door, shape):
    """An impossible declared shape is only a hint: the array decides, live and
    replayed.
    """
    run = with_shape(DOORS[door](tmp_path, IMAGES, (6, 9)), shape)
    options = {"on_error": "report"}

    planned = tiffin.export(run, NAME, directory=tmp_path, dry_run=True, **options)
    report = tiffin.export(run, NAME, directory=tmp_path / "1", **options)
    named = tiffin.export(run, NAME, directory=tmp_path / "2", fields="img", **options)
    lived = export_live(run, NAME, tmp_path / "3")

    assert len(planned.planned) == 3, planned.failed[0].error
    for told in (report, named, lived):
        assert told.ok, told.failed[0].error
        for record, image in zip(told.written, IMAGES, strict=True):
            np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("shape", [(), (54,)])
def test_what_turns_out_to_be_no_image_fails_only_if_it_was_asked_for(
    tmp_path, door, shape
):
    """A field that turns out to be no image is skipped, and fails only if it was
    named.
    """
    run = with_shape(DOORS[door](tmp_path, IMAGES.reshape(3, 54), (6, 9)), shape)
    options = {"on_error": "report", "directory": tmp_path}

    report = tiffin.export(run, NAME, **options)
    named = tiffin.export(run, NAME, fields="img", **options)

    if door == "handler" or shape:  # else a dataset (3, 54) may be one image
        assert not report.failed, report.failed[0].error
        assert len(report.skipped) == 3
        assert "not an image" in str(report.skipped[0].error)
        assert len(named.failed) == 3
        assert "54" in str(named.failed[0].error)


def test_a_field_beside_images_is_not_taken_for_one(tmp_path):
    """A spectrum in an external file does not affect the images beside it."""
    run = by_handler(tmp_path, IMAGES, (6, 9))
    keys = run[1][1]["data_keys"]
    keys["mca"] = {**keys["img"], "shape": [54]}
    for name, doc in run:
        if name == "event":
            doc["data"]["mca"] = "elsewhere/0"

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert report.ok
    assert {record.field for record in report.records} == {"img"}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_frame_over_4_gib_is_refused_before_it_is_read(tmp_path, door, dry_run):
    """One failed record an event says what to do, and no file is opened."""
    run = with_shape(DOORS[door](tmp_path, IMAGES, (6, 9)), (70000, 70000))
    options = {"on_error": "report", "dry_run": dry_run}

    report = tiffin.export(run, NAME, directory=tmp_path / "out", **options)
    lived = export_live(run, NAME, tmp_path / "live", dry_run=dry_run)
    cut = tiffin.export(
        run, NAME, directory=tmp_path / "cut",
        corrections=[Crop((0, 3), (0, 3))], **options,
    )  # fmt: skip

    for told in (report, lived):
        assert len(told.failed) == 3
        assert "GiB" in str(told.failed[0].error)
        assert "70000" in str(told.failed[0].error)
    assert not cut.failed


def test_a_cast_that_makes_a_frame_small_enough_counts(tmp_path):
    """A frame of 9.6 GiB as float64 is 1.2 GiB as uint8, and is accepted."""
    run = with_shape(hdf5_run(tmp_path, IMAGES.astype("f8"), (6, 9)), (36000, 36000))
    options = {"on_error": "report", "dry_run": True, "directory": tmp_path}

    assert len(tiffin.export(run, NAME, **options).failed) == 3
    assert len(tiffin.export(run, NAME, dtype="uint8", **options).planned) == 3


def test_an_array_in_an_event_is_seen_as_it_is(tmp_path):
    """The array decides, whatever was declared for it."""
    for shape in WRONG:
        run = with_shape(in_line(IMAGES, (6, 9)), shape)

        report = tiffin.export(run, NAME, directory=tmp_path, existing="replace")

        found = [tifffile.imread(record.path) for record in report.written]
        np.testing.assert_array_equal(found, IMAGES)

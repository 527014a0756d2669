"""Dtypes that no TIFF holds: one record an event, not one an image."""

import numpy as np
import pytest

import tiffin
from tests.documents import hdf5, stream_run
from tests.run_forms import in_datums, in_events
from tiffin import ImageExporter, process
from tiffin.assemble import Assembler
from tiffin.errors import DtypeError

SHAPE = (3, 4, 10, 12)

KINDS = {
    "complex128": np.zeros(SHAPE, complex),
    "complex64": np.zeros(SHAPE, "c8"),
    "object": np.zeros(SHAPE, object),
    "<U3": np.full(SHAPE, "abc"),
    "|S3": np.full(SHAPE, b"abc"),
    "'a'": np.zeros(SHAPE, [("a", "u1")]),
    "datetime64": np.zeros(SHAPE, "M8[s]"),
}


def frames_of(run, **options):
    assembler = Assembler(fields=None, streams=("primary",), **options)
    return [frame for name, doc in run for frame in assembler(name, doc)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_that_no_tiff_holds_is_one_failure_an_event(kind):
    """The error names the dtype, and what can be done, if anything can."""
    frames = frames_of(in_events(KINDS[kind]), corrected=False)

    assert [frame.seq_num for frame in frames] == [1, 2, 3]
    for frame in frames:
        assert isinstance(frame.problem, DtypeError)
        assert kind in str(frame.problem)
        assert ("corrections=" in str(frame.problem)) == kind.startswith("complex")


@pytest.mark.parametrize("kind", KINDS)
def test_where_corrections_act_each_image_is_a_frame(kind):
    """Corrections may make real numbers of them."""
    frames = frames_of(in_events(KINDS[kind]))

    assert len(frames) == 12
    assert all(frame.problem is None for frame in frames)


@pytest.mark.parametrize("dtype", ["i8", "u8", "?", "f2", "f4", "f8", "u2", ">i4"])
def test_what_a_cast_may_mend_is_left_to_it(dtype):
    """dtype= makes a TIFF of these."""
    frames = frames_of(in_events(np.zeros(SHAPE, dtype)), corrected=False)

    assert len(frames) == 12
    assert all(frame.problem is None for frame in frames)


def complex_files(folder, dtype):
    """Return the documents of external images with an declared dtype, in both ways."""
    images = np.zeros(SHAPE, "c8")
    streamed = stream_run(
        hdf5(folder / "a.h5", images.reshape(12, 10, 12)), "application/x-hdf5",
        {"dataset": "/entry/data/data"}, events=3, shape=SHAPE[1:], dtype=dtype,
    )  # fmt: skip
    datums = in_datums(images, folder)
    datums[1][1]["data_keys"]["img"]["dtype_numpy"] = dtype
    return streamed, datums


def test_what_is_announced_as_complex_is_one_failure_an_event(tmp_path):
    """A declared complex dtype is believed."""
    for run in complex_files(tmp_path, "<c8"):
        frames = frames_of(run, corrected=False)

        assert [frame.seq_num for frame in frames] == [1, 2, 3]
        assert all("complex64" in str(frame.problem) for frame in frames)


@pytest.mark.parametrize("dtype", ["<U36", "|O8", "|S3"])
def test_what_is_announced_as_text_may_be_the_reference(tmp_path, dtype):
    """Some devices describe the datum id, which is text: the array decides."""
    for run in complex_files(tmp_path, dtype):
        frames = frames_of(run, corrected=False)

        assert len(frames) == 12
        assert all(frame.problem is None for frame in frames)


NAME = "{event.seq_num}_{i}.tif"


@pytest.mark.parametrize("way", ["export", "live", "dry run", "dtype"])
def test_an_export_has_one_failed_record_an_event(tmp_path, way):
    """Contract: one failed record an event, which names the dtype."""
    run = in_events(KINDS["complex64"])
    if way == "live":
        with ImageExporter(NAME, directory=tmp_path) as exporter:
            (report,) = process(run, exporter).values()
    else:
        more = {"dry run": {"dry_run": True}, "dtype": {"dtype": "float32"}}
        report = tiffin.export(
            run, NAME, directory=tmp_path, on_error="report", **more.get(way, {})
        )

    assert [record.seq_num for record in report.failed] == [1, 2, 3]
    assert len(report.records) == 3
    assert all("complex64" in str(record.error) for record in report.failed)


def test_a_correction_makes_images_of_complex_numbers(tmp_path):
    """The advice in the error message works."""
    report = tiffin.export(
        in_events(KINDS["complex64"]),
        NAME,
        directory=tmp_path,
        corrections=[lambda image, frame: abs(image)],
    )

    assert len(report.written) == 12

"""Masked arrays: no TIFF has a mask, and none is lost without a word."""

import numpy as np
import pytest

import tiffin
from tiffin import ImageExporter, LiveTiffExporter, process
from tiffin.errors import DtypeError
from tiffin.readers.handlers import _entry_points
from tiffin.testing import run_of

NAME = "{event.seq_num}.tif"


def masked(events, *, shape=(300, 300)):
    images = np.arange(np.prod(shape), dtype="u4").reshape(shape)
    return [np.ma.masked_equal(images, 7) for _ in range(events)]


@pytest.fixture
def run():
    plain = run_of({"img": np.zeros((5, 300, 300), "u4")})
    for (_, doc), image in zip(plain[2:-1], masked(5), strict=True):
        doc["data"]["img"] = image
    return plain


def test_a_masked_image_fails_and_says_what_to_do(run, tmp_path):
    """Replayed, live, and with LiveTiffExporter."""
    exported = tiffin.export(run, NAME, directory=tmp_path / "a", on_error="report")
    with ImageExporter(NAME, directory=tmp_path / "b") as exporter:
        (live,) = process(run, exporter).values()
    old = LiveTiffExporter("img", f"{tmp_path}/c/{NAME}")
    (old_report,) = process(run, old).values()

    for report in (exported, live, old_report):
        assert len(report.failed) == 5
        assert {type(record.error) for record in report.failed} == {DtypeError}
        assert "image.filled(0)" in str(report.failed[0].error)


def test_a_mask_of_nothing_is_none(tmp_path, read):
    """An image without masked pixels is written."""
    run = run_of({"img": np.zeros((1, 6, 9), "u2")})
    run[2][1]["data"]["img"] = np.ma.masked_equal(np.ones((6, 9), "u2"), 7)

    (record,) = tiffin.export(run, NAME, directory=tmp_path).written

    np.testing.assert_array_equal(read(record.path), np.ones((6, 9)))


def test_a_correction_that_masks_fails(tmp_path):
    """The frame fails with the reason; a correction that fills its mask is fine."""
    run = run_of({"img": np.arange(54, dtype="u2").reshape(1, 6, 9)})

    def mask(image, frame):
        return np.ma.masked_less(image, 3)

    def fill(image, frame):
        return mask(image, frame).filled(0)

    settings = {"directory": tmp_path, "on_error": "report"}
    masked = tiffin.export(run, NAME, corrections=[mask], **settings)
    filled = tiffin.export(run, NAME, corrections=[fill], **settings)

    assert "3 pixels are masked" in str(masked.failed[0].error)
    assert len(filled.written) == 1


HANDLER = """
import numpy as np

class Masking:
    def __init__(self, path):
        pass

    def __call__(self):
        return np.ma.masked_equal(np.arange(54, dtype="u2").reshape(1, 6, 9), 7)
"""


def test_masked_images_of_a_handler_fail(tmp_path, monkeypatch):
    """The mask of a handler's image is not lost silently either."""
    (tmp_path / "masking.py").write_text(HANDLER)
    about = tmp_path / "masking-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: masking\nVersion: 1\n"
    )
    entry = "[databroker.handlers]\nMASKING = masking:Masking\n"
    (about / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    _entry_points.cache_clear()
    (tmp_path / "a.raw").touch()
    start, descriptor, (_, event), stop = run_of({"img": np.zeros((1, 6, 9), "u2")})
    descriptor[1]["data_keys"]["img"]["external"] = "FILESTORE:"
    resource = {
        **{"uid": "r", "spec": "MASKING", "root": str(tmp_path)},
        **{"resource_path": "a.raw", "resource_kwargs": {}},
    }
    datum = {"datum_id": "r/0", "resource": "r", "datum_kwargs": {}}
    event = {**event, "data": {"img": "r/0"}, "filled": {"img": False}}
    documents = [start, descriptor, ("resource", resource), ("datum", datum)]
    documents += [("event", event), stop]

    report = tiffin.export(
        documents, NAME, directory=tmp_path / "out", on_error="report"
    )
    _entry_points.cache_clear()

    assert "masked" in str(report.failed[0].error)

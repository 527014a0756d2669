"""Readers that others register: whatever they do wrong is told, with its event."""

import logging
import types
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import tiffin
from tests.documents import FRAMES, stream_run
from tests.helpers import NAME, check, feed
from tiffin import ImageExporter
from tiffin.errors import ReadError
from tiffin.readers import registry

MIMETYPE = "application/x-own"


class Good:
    """What the manual asks of a reader."""

    colour = False

    def __init__(self, asset):
        self.asset = asset

    def row_shape(self, row):
        return FRAMES[row].shape

    def read(self, row):
        return FRAMES[row]

    def close(self):
        """Nothing is open."""


@pytest.fixture
def register(monkeypatch):
    """Register a reader as an installed package does."""

    def register(reader, mimetype=MIMETYPE):
        module = types.ModuleType("tiffin_test_reader")
        module.Reader = reader
        monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
        entry = EntryPoint(mimetype, f"{module.__name__}:Reader", registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
        registry.plug_ins.cache_clear()

    yield register
    registry.plug_ins.cache_clear()


def export(folder, mimetype=MIMETYPE, **options):
    run = stream_run("file:///x.own", mimetype, {}, events=3)
    options = {"on_error": "report", **options}
    return tiffin.export(run, NAME, directory=folder, **options)


@pytest.mark.parametrize("mimetype", [MIMETYPE, "Application/X-Own", f"{MIMETYPE};v=2"])
def test_a_reader_of_ones_own(tmp_path, read, register, mimetype):
    """It is found however the mimetype is spelled."""
    register(Good)

    check(export(tmp_path, mimetype), FRAMES[:3], read)


def test_a_reader_may_be_registered_as_it_is_written(tmp_path, read, register):
    """In capitals, for example."""
    register(Good, "Application/X-Own")

    check(export(tmp_path, "application/x-own"), FRAMES[:3], read)


class OneArray(Good):
    """Reads all images into the same array."""

    def __init__(self, asset):
        super().__init__(asset)
        self.array = np.empty_like(FRAMES[0])

    def read(self, row):
        self.array[...] = FRAMES[row]
        return self.array


def test_a_reader_may_use_its_array_again(tmp_path, read, register):
    """Small images are written together, but not those that the next one overwrites."""
    register(OneArray)

    check(export(tmp_path, workers=1), FRAMES[:3], read)


def boom(*args):
    message = "boom"
    raise RuntimeError(message)


@pytest.mark.parametrize("method", ["__init__", "row_shape", "read"])
def test_what_a_reader_raises_is_told_of_each_event(tmp_path, register, method):
    """A failed record an event, with the file and the error."""
    register(type("Bad", (Good,), {method: boom}))

    report = export(tmp_path)

    assert [record.seq_num for record in report.failed] == [1, 2, 3]
    for record in report.failed:
        assert isinstance(record.error, ReadError)
        assert "file:///x.own" in str(record.error)
        assert "RuntimeError: boom" in str(record.error)


def test_what_a_reader_raises_when_it_is_closed_is_nobodys_loss(
    tmp_path, read, register
):
    """Its images have been read by then."""
    register(type("Bad", (Good,), {"close": boom}))

    check(export(tmp_path), FRAMES[:3], read)


def test_a_reader_need_not_speak_of_colour(tmp_path, read, register):
    """Without `colour` and `close`, its images are grey."""
    methods = ("__init__", "row_shape", "read")
    register(type("Bare", (), {name: getattr(Good, name) for name in methods}))

    check(export(tmp_path), FRAMES[:3], read)


def test_a_reader_may_give_lists(tmp_path, read, register):
    """Anything that numpy converts to an array."""
    register(type("Lists", (Good,), {"read": lambda _, row: FRAMES[row].tolist()}))

    report = export(tmp_path, dtype="uint16")

    check(report, FRAMES[:3], read)


@pytest.mark.parametrize(
    "given", [None, 5, [], "text", {"a": 1}, FRAMES[0][0]], ids=str
)
def test_what_is_no_image_is_told(tmp_path, register, given):
    """The error shows the shape that it has and the declared one."""
    register(type("Bad", (Good,), {"read": lambda _, row: given}))

    report = export(tmp_path)

    assert [record.seq_num for record in report.failed] == [1, 2, 3]
    assert "[6, 9]" in str(report.failed[0].error)


def test_a_reader_that_gives_another_shape_is_said_once(
    tmp_path, read, register, caplog
):
    """The array decides, the record has its shape, and one warning is logged."""
    register(type("Other", (Good,), {"read": lambda _, row: FRAMES[row][:3, :4]}))
    exporter = ImageExporter(NAME, directory=tmp_path / "live")

    with caplog.at_level(logging.WARNING, "tiffin"):
        report = export(tmp_path / "out")
    said = [message for message in caplog.messages if "[3, 4]" in message]
    feed(exporter, stream_run("file:///x.own", MIMETYPE, {}, events=3))
    exporter.close()

    check(report, FRAMES[:3, :3, :4], read)
    assert [record.shape for record in report.written] == [(3, 4)] * 3
    assert len(said) == 1
    assert "[6, 9]" in said[0]
    (live,) = exporter.reports.values()
    assert [record.shape for record in live.written] == [(3, 4)] * 3


def test_a_reader_whose_rows_hold_several_images_gives_one_of_them(tmp_path, register):
    """No part of an image is taken for an image."""

    class Short(Good):
        def row_shape(self, row):
            return (3, 6, 9)

    register(Short)
    run = stream_run("file:///x.own", MIMETYPE, {}, events=3, shape=(3, 6, 9))

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert not report.written
    assert {record.seq_num for record in report.failed} == {1, 2, 3}


@pytest.mark.parametrize("shape", [None, 5, (), ("a", "b"), (9,)], ids=str)
def test_a_row_shape_that_is_none_is_told(tmp_path, register, shape):
    """A failed record an event."""
    register(type("Bad", (Good,), {"row_shape": lambda _, row: shape}))

    report = export(tmp_path)

    assert [record.seq_num for record in report.failed] == [1, 2, 3]


def test_colour_of_a_reader_counts(tmp_path, register):
    """A row of colour is one image, whatever is declared."""
    rgb = np.arange(6 * 9 * 3, dtype="u1").reshape(6, 9, 3)
    methods = {"row_shape": lambda _, row: rgb.shape, "read": lambda _, row: rgb}
    register(type("Colour", (Good,), {**methods, "colour": True}))
    run = stream_run("file:///x.own", MIMETYPE, {}, events=2, shape=(6, 9, 3))

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert [record.shape for record in report.written] == [(6, 9, 3)] * 2

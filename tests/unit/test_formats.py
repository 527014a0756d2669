"""PNG and npy files hold what was acquired, or say what was done to it."""

import io
import json
import sys
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from tiffin.array_images import Encoded
from tiffin.errors import (
    DtypeError,
    ReadError,
    SettingsError,
    TemplateError,
    TiffinError,
)
from tiffin.settings import Settings
from tiffin.writers import WriterOptions, find_notes, make_writer, registry

KINDS = ["linear", "percentile", "log"]


def made(form, image, metadata=None, **options):
    writer = make_writer(form, WriterOptions(**options))
    return b"".join(map(bytes, writer.buffers(image, metadata or {})))


def ramp(dtype, shape=(20, 30)):
    top = min(np.iinfo(dtype).max, 2**31) if np.dtype(dtype).kind in "iu" else 1e5
    return np.linspace(0, top, int(np.prod(shape))).astype(dtype).reshape(shape)


def png(image, **options):
    """Write a PNG and read it with OpenCV, which gives the pixels as they are."""
    data = made("png", image, **options)
    read = cv2.imdecode(np.frombuffer(data, "u1"), cv2.IMREAD_UNCHANGED)
    if read.ndim == 3:  # OpenCV has blue first
        read = read[..., [2, 1, 0, 3][: read.shape[2]]]
    return read


# ---- PNG


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4), (1, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2"])
def test_png_holds_8_and_16_bits_exactly(dtype, shape):
    """Greyscale, RGB and RGBA, in any byte order and memory layout."""
    image = ramp("u2", shape).astype(dtype) if dtype != "u1" else ramp("u1", shape)

    for pixels in (image, np.asfortranarray(image), image[::-1][::-1]):
        read = png(pixels)
        assert read.dtype == image.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read, image)


def test_pillow_reads_a_png_too():
    """And its text."""
    data = made("png", ramp("u2"), {"sample": "µ Å 😀"})
    with Image.open(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(np.asarray(file), ramp("u2"))
        assert json.loads(file.text["tiffin"]) == {"sample": "µ Å 😀"}


@pytest.mark.parametrize("dtype", ["i2", "i4", "u4", "f4", "f8", "?", "i1", "c8"])
def test_png_refuses_what_it_can_not_hold(dtype):
    """The message names both ways out."""
    with pytest.raises(DtypeError, match=r"dtype='uint16'.*stretch='linear'"):
        made("png", np.ones((6, 9), dtype))


@pytest.mark.parametrize("shape", [(6,), (0, 9), (6, 9, 2), (2, 6, 9, 3)], ids=str)
def test_png_refuses_what_is_no_image(shape):
    """With its shape."""
    with pytest.raises(DtypeError, match="of shape"):
        made("png", np.ones(shape, "u1"))


@pytest.mark.parametrize("level", [1, 9])
def test_the_level_changes_no_pixel(level):
    """Only the size."""
    np.testing.assert_array_equal(png(ramp("u2"), level=level), ramp("u2"))


# ---- the stretch


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "f2", "f4", "f8"])
def test_a_stretch_makes_8_bits_of_anything(dtype, kind):
    """Black is the lowest, white the highest, and brighter stays brighter."""
    image = np.arange(600, dtype=dtype).reshape(20, 30)

    read = png(image, stretch=kind)
    assert read.dtype == "u1"
    assert (read.min(), read.max()) == (0, 255)
    assert (np.diff(read.ravel().astype(int)) >= 0).all() or dtype == "u1"


def test_the_stretches_are_what_they_say():
    """Linear, between percentiles, and logarithmic."""
    image = np.zeros((1, 2000))
    image[0, -1] = 1e6
    image[0, :1000] = np.arange(1000)

    assert png(image, stretch="linear")[0, 999] == 0
    assert png(image, stretch="percentile")[0, 999] == 255
    half = np.log1p(500) / np.log1p(1e6) * 255
    assert png(image, stretch="log")[0, 500] == round(half)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stretch_is_recorded(kind):
    """With the values that became black and white, and the dtype."""
    data = made(
        "png", np.arange(601, dtype="f4").reshape(1, -1), {"i": 0}, stretch=kind
    )

    (note,) = find_notes(io.BytesIO(data))
    low, high = (0.6, 599.4) if kind == "percentile" else (0, 600)
    assert json.loads(note) == {
        "i": 0,
        "stretch": {
            "kind": kind, "dtype": "float32",
            "low": pytest.approx(low), "high": pytest.approx(high),
        },
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "image",
    [
        [[np.nan, np.inf, -np.inf, 0, 1]],
        [[np.nan, np.nan]],
        [[7.0, 7.0]],
        [[-1.7e308, 0, 1.7e308]],
        [[1e-300, 0]],
    ],
    ids=str,
)
def test_odd_values_are_no_error(image, kind):
    """NaN is black, infinity black or white, a constant image black; no warning."""
    image = np.array(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = png(image, stretch=kind)

    assert (read[np.isnan(image) | (image == -np.inf)] == 0).all()
    assert (read[image == np.inf] == 255).all()
    if np.isfinite(image).all():
        assert (read == 0).all() == (image.min() == image.max())


def test_colours_are_stretched_together():
    """The hue stays; alpha has no stretch, and complex numbers none."""
    image = np.array([[[0, 50, 100]]], "u2")

    assert png(image, stretch="linear").tolist() == [[[0, 128, 255]]]
    with pytest.raises(DtypeError, match="alpha"):
        made("png", np.ones((1, 1, 4)), stretch="linear")
    with pytest.raises(DtypeError, match="abs"):
        made("png", np.ones((1, 1), "c8"), stretch="linear")


# ---- npy


@pytest.mark.parametrize(
    "dtype", ["?", "u1", ">u2", "i4", "u8", "i8", "f2", "f4", ">f8", "c8", "c16"]
)
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)], ids=str)
def test_npy_holds_any_dtype(dtype, shape):
    """Little-endian, in C order, as numpy reads it."""
    image = np.arange(np.prod(shape)).reshape(shape).astype(dtype)

    for pixels in (image, np.asfortranarray(image)):
        data = made("npy", pixels)
        read = np.load(io.BytesIO(data), allow_pickle=False)
        np.testing.assert_array_equal(read, image)
        assert read.dtype == image.dtype.newbyteorder("<")
        assert read.flags.c_contiguous
        assert len(data) == make_writer("npy", WriterOptions()).size(shape, image.dtype)


def test_npy_is_what_numpy_writes():
    """Byte for byte."""
    file = io.BytesIO()
    np.save(file, ramp("<u2"))

    assert made("npy", ramp("<u2")) == file.getvalue()


def test_npy_takes_stored_pixels_as_they_are():
    """If they are as many as the image has."""
    pixels = ramp("<u2").tobytes()
    image = Encoded(pixels, None, (20, 30), np.dtype("<u2"))

    assert made("npy", image) == made("npy", ramp("<u2"))
    with pytest.raises(ReadError, match="are not an image"):
        made("npy", image._replace(data=pixels[:-1]))


@pytest.mark.parametrize("dtype", ["O", "M8[s]", "V4", "U3"])
def test_npy_refuses_what_needs_a_pickle(dtype):
    """Or is no number."""
    with pytest.raises(DtypeError, match="plain numbers"):
        made("npy", np.zeros((2, 2), dtype))


# ---- formats of plug-ins


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Install a module whose class is a format; return its name."""
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tiffin.formats]\ntoy = toy_format:Toy\n")
    monkeypatch.syspath_prepend(tmp_path)

    def install(**members):
        told = "".join(f"    {key} = {value!r}\n" for key, value in members.items())
        (tmp_path / "toy_format.py").write_text(
            f"class Toy:\n    def __init__(self, options): ...\n{told}"
            "    takes = buffers = size = lambda *arguments: None\n"
        )
        monkeypatch.delitem(sys.modules, "toy_format", raising=False)
        registry._plug_ins.cache_clear()

    yield install
    registry._plug_ins.cache_clear()


WHOLE = {
    "format": "toy", "suffixes": (".toy",), "options": ("level",), "dtypes": ("uint8",),
    "most_frames": 1, "makes_folder": False,
}  # fmt: skip


def test_a_plug_in_is_found_and_checked(plug_in):
    """Its options, endings and dtypes are what it says."""
    plug_in(**WHOLE)

    assert Settings.of("{i}.toy", format="toy", level=3).writer.format == "toy"
    for template, options, says in [
        ("{i}.toy", {"stretch": "log"}, "stretch='log' is not for format='toy'"),
        ("{i}.toy", {"dtype": "uint16"}, "dtype 'uint16' can't be stored"),
        ("{i}.tif", {}, r"write '\{i\}\.toy', or format='tiff'"),
    ]:
        with pytest.raises(TiffinError, match=says):
            Settings.of(template, format="toy", **options)
    with pytest.raises(TiffinError, match=r"write '\{i\}\.tif', or format='toy'"):
        Settings.of("{i}.toy")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"makes_folder": True}, "makes folders, which tiffin can't write yet"),
        ({"suffixes": None}, "has no suffixes: it is too old"),
    ],
)
def test_a_plug_in_that_can_not_work_is_refused(plug_in, members, says):
    """In the constructor, before there is an image."""
    given = {**WHOLE, **members}
    plug_in(**{key: value for key, value in given.items() if value is not None})

    with pytest.raises(SettingsError, match=says):
        Settings.of("{i}.toy", format="toy")


# ---- settings


@pytest.mark.parametrize(
    ("form", "options", "says"),
    [
        ("pgn", {}, "format must be one of .*'png'.*did you mean 'png'"),
        ("PNG", {}, "did you mean 'png'"),
        ("tiff", {"stretch": "log"}, "not for format='tiff': .* format='png'"),
        ("npy", {"stretch": "log"}, "stretch='log' is not for format='npy'"),
        ("npy", {"level": 3}, "choose format='tiff' or format='png'"),
        ("npy", {"compression": "zlib"}, "compression='zlib' is not for format='npy'"),
        ("png", {"profile": "imagej"}, "not for format='png': .* choose format='tiff'"),
        ("tiff", {"profile": "Bio-Formats"}, "did you mean 'ome'"),
        ("tiff", {"profile": "GSASII"}, "did you mean 'gsas2'"),
        ("tiff", {"profile": "pilatus", "dtype": "f4"}, "'int32', or profile='plain'"),
        ("png", {"level": 99}, r"level must be 1 \(fast\) to 9"),
        ("png", {"bigtiff": True}, "bigtiff=True is not for format='png'"),
        ("npy", {"stack": "run"}, "stack='run' can't be .* format='npy'"),
        ("png", {"stretch": "lin"}, "stretch must be one of .*did you mean 'linear'"),
        ("png", {"dtype": "float32"}, "choose 'uint8' or 'uint16', or format='tiff'"),
    ],
)  # fmt: skip
def test_an_option_that_is_not_the_formats_is_refused(form, options, says):
    """In the constructor, by name, with what takes it."""
    with pytest.raises(SettingsError, match=says):
        Settings.of("{i}", format=form, **options)


@pytest.mark.parametrize(
    ("template", "form", "says"),
    [
        ("{i}.tif", "png", r"'\.tif', but .* write '\{i\}\.png', or format='tiff'"),
        ("{i}.npy", "png", "or format='npy'"),
        ("{i}.jpg", "png", r"write '\{i\}\.png'$"),
        ("{i}.png", "tiff", r"write '\{i\}\.tif', or format='png'"),
        ("{i}.TIFF", "npy", r"write '\{i\}\.npy', or format='tiff'"),
    ],
)  # fmt: skip
def test_a_template_with_another_ending_is_refused(template, form, says):
    """With the name that it should have, and the format that has such names."""
    with pytest.raises(TemplateError, match=says):
        Settings.of(template, format=form)


@pytest.mark.parametrize(
    ("template", "form"),
    [("{i}.PNG", "png"), ("{i}", "png"), ("a.{i}", "npy"), ("{i}.img", "tiff")],
)
def test_other_endings_are_the_users(template, form):
    """None, one that a value gives, or one that a program wants of its TIFF."""
    assert Settings.of(template, format=form).writer.format == form

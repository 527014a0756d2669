"""What other programs read: the pixels that were written, or an error, never others."""

import numpy as np
import pytest

from tiffin.writers import TiffWriter, write_buffers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:fabio.*"),
]

LOSSLESS = ("uint8", "uint16", "int16", "int32", "float32")
"""What every reader here reads, uncompressed, zlib and LZW."""


def by_fabio(path):
    with pytest.importorskip("fabio").open(str(path)) as image:
        return image.data


def by_pillow(path):
    with pytest.importorskip("PIL.Image").open(path) as image:
        return np.asarray(image)


def by_opencv(path):
    cv2 = pytest.importorskip("cv2")
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        message = f"OpenCV does not read {path}"
        raise OSError(message)
    return image


FABIO, PILLOW, OPENCV = (
    pytest.param(by_fabio, id="fabio"),
    pytest.param(by_pillow, id="Pillow"),
    pytest.param(by_opencv, id="OpenCV"),
)


def extremes(dtype):
    """Make an image of noise with the largest and smallest values in it."""
    kind = np.dtype(dtype)
    random = np.random.default_rng(0)
    if kind.kind == "f":
        image = random.normal(0, 1e6, (96, 128)).astype(kind)
        image[0, :4] = np.finfo(kind).max, np.finfo(kind).min, np.inf, -np.inf
        return image
    bounds = np.iinfo(kind)
    image = random.integers(bounds.min, bounds.max, (96, 128), kind, endpoint=True)
    image[0, :2] = bounds.min, bounds.max
    return image


def written(path, image, compression):
    with path.open("wb") as file:
        buffers = TiffWriter(compression=compression).buffers(image)
        write_buffers(file.fileno(), buffers)
    return path


@pytest.mark.parametrize("read", [FABIO, PILLOW, OPENCV])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("dtype", LOSSLESS)
def test_these_are_read_everywhere(tmp_path, dtype, compression, read):
    """Dtypes and compressions that every reader gets right."""
    image = extremes(dtype)

    found = read(written(tmp_path / "x.tif", image, compression))

    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(
    ("compression", "read"),
    [
        (None, by_fabio),  # compressed files fabio leaves to Pillow
        (None, by_opencv),
        ("zlib", by_opencv),
        ("lzw", by_opencv),
    ],
)
@pytest.mark.parametrize("dtype", ["uint32", "int8", "float64"])
def test_these_are_read_by_some(tmp_path, dtype, compression, read):
    """Those that Pillow or ImageJ misread or refuse."""
    image = extremes(dtype)

    found = read(written(tmp_path / "x.tif", image, compression))

    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("read", [FABIO, PILLOW])
def test_zstd_is_read_by_some(tmp_path, dtype, read):
    """By fabio and Pillow, exactly."""
    image = extremes(dtype)

    found = read(written(tmp_path / "x.tif", image, "zstd"))

    np.testing.assert_array_equal(found, image)


def test_zstd_is_refused_loudly_by_opencv(tmp_path):
    """No wrong pixels: an error."""
    path = written(tmp_path / "x.tif", extremes("uint16"), "zstd")

    with pytest.raises(OSError, match="does not read"):
        by_opencv(path)


def test_float64_is_refused_loudly_by_pillow(tmp_path):
    """No wrong pixels: an error."""
    path = written(tmp_path / "x.tif", extremes("float64"), None)

    with pytest.raises(OSError, match="cannot identify"):
        by_pillow(path)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_colour_is_colour_in_pillow(tmp_path, compression, samples):
    """Red is red, and alpha is a channel of its own."""
    image = colours(samples)

    found = by_pillow(written(tmp_path / "x.tif", image, compression))

    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_colour_is_colour_in_opencv(tmp_path, compression):
    """Red is red, although OpenCV puts blue first."""
    image = colours(3)

    found = by_opencv(written(tmp_path / "x.tif", image, compression))

    np.testing.assert_array_equal(found[..., ::-1], image)


def colours(samples):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (96, 128, samples), dtype="u1")

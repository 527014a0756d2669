"""Compressed files, checksums, comparing, and strips that pass through as they are."""

import hashlib
import json
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tiffin.array_images import Encoded
from tiffin.dtypes import TIFF_DTYPES
from tiffin.errors import DtypeError, MissingLibraryError, ReadError, SettingsError
from tiffin.writers import (
    TiffWriter,
    Written,
    checksum_of,
    file_size,
    same_bytes,
    write_buffers,
)

COMPRESSIONS = [None, "zlib", "zstd", "lzw"]
TAGS = {None: 1, "zlib": 8, "zstd": 50000, "lzw": 5}

NOISE = np.random.default_rng(0).integers(0, 2**16, (301, 257)).astype("u2")
COUNTS = np.random.default_rng(1).poisson(0.05, (123, 217)).astype("u4")

shapes = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(3, 4)),
)


def write(path, image, **settings):
    with path.open("wb") as file:
        checksum = settings.pop("checksum", "crc32")
        buffers = TiffWriter(**settings).buffers(image)
        return write_buffers(file.fileno(), buffers, checksum)


@given(
    data=st.data(),
    dtype=st.sampled_from(TIFF_DTYPES),
    order=st.sampled_from("<>"),
    shape=shapes,
    compression=st.sampled_from(COMPRESSIONS),
)
def test_every_pixel_comes_back(
    tmp_path_factory, data, dtype, order, shape, compression
):
    """Whatever the dtype, byte order, shape, colour and compression."""
    image = data.draw(hnp.arrays(np.dtype(dtype).newbyteorder(order), shape))
    path = tmp_path_factory.mktemp("c") / "x.tif"

    write(path, image, compression=compression)

    read_back = tifffile.imread(path)
    assert read_back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read_back, image)


@pytest.mark.parametrize("image", [NOISE, COUNTS], ids=["noise", "counts"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_layout_is_the_same_compressed(tmp_path, compression, image):
    """One strip at byte 8, directory last on a word boundary, no predictor."""
    path = tmp_path / "x.tif"
    write(path, image, compression=compression)

    with tifffile.TiffFile(path) as tiff:
        (page,) = tiff.pages
        tags = {tag.code: tag.value for tag in page.tags}
        assert page.dataoffsets == (8,)
        assert page.offset == 8 + page.databytecounts[0] + page.databytecounts[0] % 2
        assert tags[259] == TAGS[compression]
        assert 317 not in tags  # Predictor
        assert tags[305] == "tiffin"  # behind the directory: its offset is right
        np.testing.assert_array_equal(page.asarray(), image)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("checksum", ["crc32", "sha256", "none"])
def test_what_is_told_is_what_is_there(tmp_path, compression, checksum):
    """Size and checksum are the whole file's, while writing and afterwards."""
    path = tmp_path / "x.tif"
    told = write(path, COUNTS, compression=compression, checksum=checksum)

    content = path.read_bytes()
    sums = {
        "crc32": f"crc32:{zlib.crc32(content):08x}",
        "sha256": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "none": "",
    }
    assert told == Written(len(content), sums[checksum])
    assert checksum_of(str(path), checksum) == told


def test_a_large_file_is_summed_in_blocks(tmp_path):
    """Several blocks and a rest."""
    content = np.random.default_rng(2).bytes(3_500_001)
    (tmp_path / "x").write_bytes(content)

    told = checksum_of(tmp_path / "x", "crc32")

    assert told == (3_500_001, f"crc32:{zlib.crc32(content):08x}")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_same_image_gives_the_same_bytes(compression):
    """Byte for byte, in any memory layout, with a writer that was pickled."""
    image = COUNTS[:, ::-1].T
    writer = TiffWriter(compression=compression)

    again = pickle.loads(pickle.dumps(writer))

    assert again == writer
    first = b"".join(writer.buffers(image))
    assert first == b"".join(again.buffers(image.copy().astype(">u4")))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_file_is_known_by_its_bytes(tmp_path, compression):
    """A file that is what would be written is, and one that differs anywhere is not."""
    path = tmp_path / "x.tif"
    image = np.random.default_rng(3).integers(0, 2**16, (900, 1300)).astype("u2")
    buffers = TiffWriter(compression=compression).buffers(image)
    content = b"".join(buffers)
    path.write_bytes(content)

    assert same_bytes(str(path), buffers)
    for at in (0, 7, 8, 1 << 20, len(content) // 2, len(content) - 1):
        other = bytearray(content)
        other[at] ^= 1
        path.write_bytes(other)
        assert not same_bytes(str(path), buffers)
    for other in (content[:-1], content + b"\0", b""):
        path.write_bytes(other)
        assert not same_bytes(str(path), buffers)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """Not a file that differs."""
    with pytest.raises(FileNotFoundError):
        same_bytes(str(tmp_path / "x"), [b""])
    with pytest.raises(FileNotFoundError):
        checksum_of(str(tmp_path / "x"), "crc32")


@pytest.mark.parametrize("level", [0, 1, 4, 9])
@pytest.mark.parametrize("image", [NOISE, COUNTS], ids=["noise", "counts"])
def test_a_zlib_stream_passes_through(tmp_path, level, image):
    """S46: the bytes go in as they are, and the pixels are exact."""
    path = tmp_path / "x.tif"
    stream = zlib.compress(image.tobytes(), level)
    with path.open("wb") as file:
        writer = TiffWriter(compression="zlib")
        buffers = writer.buffers(Encoded(stream, "zlib", image.shape, image.dtype))
        told = write_buffers(file.fileno(), buffers)

    content = path.read_bytes()
    assert content[8 : 8 + len(stream)] == stream
    assert told == (len(content), f"crc32:{zlib.crc32(content):08x}")
    np.testing.assert_array_equal(tifffile.imread(path), image)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_what_a_writer_encodes_it_also_passes(compression, shape):
    """Encoded by hand or by the writer, the file is the same byte for byte."""
    image = np.arange(np.prod(shape), dtype="u1").reshape(shape)
    writer = TiffWriter(compression=compression)
    header, strip, gap, directory = writer.buffers(image)

    passed = writer.buffers(Encoded(bytes(strip), compression, shape, image.dtype))

    assert b"".join(passed) == b"".join([header, strip, gap, directory])


@pytest.mark.parametrize(
    ("settings", "codec", "takes"),
    [
        ({}, None, True),
        ({}, "zlib", False),
        ({"compression": "zlib"}, "zlib", True),
        ({"compression": "zlib"}, None, False),
        ({"compression": "zlib", "level": 9}, "zlib", False),
        ({"compression": "lzw"}, None, False),
        ({"compression": "lzw"}, "lzw", False),
        ({"compression": "zstd"}, "zstd", False),
    ],
)
def test_a_writer_takes_what_it_would_write(settings, codec, takes):
    """A level that was asked for is not what a detector happened to use."""
    assert TiffWriter(**settings).takes(codec) == takes


@pytest.mark.parametrize(
    ("compression", "strip"), [(None, bytes(11)), ("zlib", bytes(12)), ("zlib", b"x")]
)
def test_a_strip_of_something_else_is_refused(compression, strip):
    """Too short, too long, or no zlib stream: never a file with wrong pixels."""
    stored = Encoded(strip, compression, (2, 3), np.dtype("u2"))
    with pytest.raises(ReadError, match="bytes"):
        TiffWriter(compression=compression).buffers(stored)


def test_big_endian_strips_are_refused():
    """They would need their bytes swapped."""
    with pytest.raises(DtypeError, match="little-endian"):
        TiffWriter().buffers(Encoded(bytes(12), None, (2, 3), np.dtype(">u2")))


@pytest.mark.parametrize("shape", [(4,), (2, 3, 2), (1, 2, 3, 4), (0, 3), ()])
def test_what_is_no_image_is_refused(shape):
    """In words, by the writer and for strips."""
    with pytest.raises(DtypeError, match=r"shape|samples"):
        TiffWriter().buffers(np.zeros(shape, "u2"))
    with pytest.raises(DtypeError, match=r"shape|samples"):
        TiffWriter().buffers(Encoded(b"", None, shape, np.dtype("u2")))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"compression": "zip"},
            "compression must be one of zlib, zstd, lzw or None, not 'zip'",
        ),
        ({"compression": "zlip"}, "did you mean 'zlib'"),
        ({"compression": "zlib", "level": 0}, "1 .fast. to 9 .small. for zlib, not 0"),
        ({"compression": "zlib", "level": 10}, "not 10"),
        ({"compression": "zlib", "level": True}, "not True"),
        ({"compression": "zlib", "level": "9"}, "not '9'"),
        ({"compression": "zstd", "level": 23}, "to 22"),
        ({"compression": "lzw", "level": 1}, "has no levels"),
        ({"level": 1}, "has no levels"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, told):
    """At once, with what was got and what is wanted."""
    with pytest.raises(SettingsError, match=told):
        TiffWriter(**settings)


@pytest.mark.parametrize("compression", ["zstd", "lzw"])
def test_a_missing_library_is_named(monkeypatch, compression):
    """With the extra that brings it, before any file."""
    monkeypatch.setitem(sys.modules, "imagecodecs", None)

    with pytest.raises(MissingLibraryError, match=r"tiffin\[compression\]"):
        TiffWriter(compression=compression)


def test_isal_is_not_needed(tmp_path):
    """Without it checksums are the same, and zlib files hold the same pixels."""
    code = (
        "import json, sys\n"
        "sys.modules['isal'] = None\n"
        "import numpy as np\n"
        "from tiffin.writers import TiffWriter, write_buffers\n"
        "image = np.arange(6000, dtype='u4').reshape(60, 100)\n"
        "told = []\n"
        "for name, how in (('raw', None), ('zlib', 'zlib')):\n"
        "    with open(f'{sys.argv[1]}/{name}.tif', 'wb') as file:\n"
        "        writer = TiffWriter(compression=how)\n"
        "        told.append(write_buffers(file.fileno(), writer.buffers(image)))\n"
        "print(json.dumps(told))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path], check=True, capture_output=True
    )

    told = [Written(*item) for item in json.loads(ran.stdout)]
    image = np.arange(6000, dtype="u4").reshape(60, 100)
    for name, written in zip(("raw", "zlib"), told, strict=True):
        path = tmp_path / f"{name}.tif"
        assert checksum_of(path, "crc32") == written
        np.testing.assert_array_equal(tifffile.imread(path), image)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("shape", [(1, 1), (301, 257), (40, 50, 3)])
def test_the_size_told_before_is_enough(compression, shape):
    """Exact for uncompressed files; what noise takes, at most, for others."""
    image = NOISE.ravel()[: np.prod(shape)].reshape(shape)
    size = len(b"".join(TiffWriter(compression=compression).buffers(image)))

    told = file_size(shape, image.dtype, compression)

    assert size == told if compression is None else size <= told


def test_a_level_is_heeded():
    """Smaller files for more time."""
    fast, small = (
        len(TiffWriter(compression="zlib", level=level).buffers(COUNTS)[1])
        for level in (1, 9)
    )

    assert small < fast


def test_what_a_classic_tiff_cannot_hold_is_refused():
    """Offsets have 32 bits: said before anything is encoded."""
    stored = Encoded(zlib.compress(b""), "zlib", (70_000, 40_000), np.dtype("u2"))
    with pytest.raises(DtypeError, match="holds less than 4"):
        TiffWriter(compression="zlib").buffers(stored)

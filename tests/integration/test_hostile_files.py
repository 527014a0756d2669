"""Image files made to harm: loops, pipes, headers and streams that lie."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import re
import struct
import tracemalloc
import types
import zlib
from contextlib import closing

import imagecodecs
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import tiffin
from tests.documents import stream_run
from tests.helpers import NAME
from tiffin.errors import NotYetError, ReadError
from tiffin.readers.image_files import read_jpeg, read_npy, read_tiff
from tiffin.readers.zarr_chunks import check_codecs

TIFF = "image/tiff"
MIMETYPES = {
    "tif": TIFF,
    "npy": "application/x-npy",
    "jpg": "image/jpeg",
    "zarr": "application/x-zarr",
}
BIG = 40_000
BYTES = BIG * BIG


def strip_tiff(path, data, *, rows=64, columns=100, compression=1, bits=16):
    """Write a TIFF of one strip that holds whatever is given."""
    tags = [
        (256, 4, columns), (257, 4, rows), (258, 3, bits), (259, 3, compression),
        (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, rows), (279, 4, len(data)),
    ]  # fmt: skip
    data += b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, n) for tag, kind, n in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)
    return path


def looped(path, back_to):
    """Write a TIFF of 3 pages, the last of which leads back to another."""
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(3):
            tiff.write(np.zeros((8, 8), "u2"), contiguous=False, metadata=None)
    data = bytearray(path.read_bytes())
    at, directories = 4, []
    while offset := struct.unpack_from("<I", data, at)[0]:
        directories.append(offset)
        at = offset + 2 + 12 * struct.unpack_from("<H", data, offset)[0]
    struct.pack_into("<I", data, at, directories[back_to])
    path.write_bytes(data)
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_pages_that_lead_back_are_noticed(tmp_path, back_to):
    """A page that links to the first page, to another or to itself is an error."""
    with pytest.raises(ReadError, match="leads back to an earlier one"):
        read_tiff(looped(tmp_path / "a.tif", back_to))


def test_a_chain_of_pages_that_leaves_the_file_is_not_whole(tmp_path):
    """Pages after a broken link are not dropped silently."""
    path = looped(tmp_path / "a.tif", 0)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(data[4:8])] + struct.pack("<I", 10**6))

    with pytest.raises(ReadError, match="breaks off"):
        read_tiff(path)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("written", range(11))
def test_a_page_that_is_being_added_is_not_whole(tmp_path, written, byteorder, bigtiff):
    """Its directory may lack the tags that say what its pixels are."""
    path = tmp_path / "a.tif"
    images = np.arange(96, dtype="i2").reshape(2, 6, 8)
    with tifffile.TiffWriter(path, byteorder=byteorder, bigtiff=bigtiff) as tiff:
        for image in images:
            tiff.write(image, contiguous=False, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset, tags = tiff.pages[1].offset, len(tiff.pages[1].tags)
    head, entry = (8, 20) if bigtiff else (2, 12)
    begin = offset + head + written * entry if written else offset
    end = offset + head + tags * entry
    assert begin < end
    data = bytearray(path.read_bytes())
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)

    with closing(read_tiff(path)) as pages:
        np.testing.assert_array_equal(pages.read(0), images[0])
        with pytest.raises(NotYetError, match="incomplete"):
            pages.read(1)


ENCODERS = {
    8: zlib.compress,
    5: imagecodecs.lzw_encode,
    50000: imagecodecs.zstd_encode,
    32773: imagecodecs.packbits_encode,
    34925: imagecodecs.lzma_encode,
}


@pytest.mark.parametrize("size", [0, 100, 12_600, 13_000, 500_000])
@pytest.mark.parametrize("compression", ENCODERS)
def test_a_strip_of_another_size_than_its_header_says_fails(
    tmp_path, compression, size
):
    """It is not cut, padded or expanded, whatever the codec."""
    data = ENCODERS[compression](b"\7" * size)
    path = strip_tiff(tmp_path / "a.tif", data, compression=compression)

    with pytest.raises(ReadError, match=r"a\.tif"), closing(read_tiff(path)) as pages:
        pages.read(0)


def test_a_jpeg_strip_larger_than_its_page_fails(tmp_path):
    """A JPEG stream has a size of its own, which decoders follow."""
    data = imagecodecs.jpeg_encode(np.zeros((900, 1000), "u1"))

    with pytest.raises(ReadError, match="900 x 1000"):
        read_tiff(strip_tiff(tmp_path / "a.tif", data, compression=7))


CODECS = {
    "jpeg": "jpeg_encode", "jpeg2000": "jpeg2k_encode", "png": "png_encode",
    "lerc": "lerc_encode", "webp": "webp_encode",
}  # fmt: skip


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shape", [(64, 100), (64, 100, 3)])
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_pages_in_codecs_of_images_are_read(tmp_path, codec, shape, tile):
    """Exactly, where the stream says that it is lossless."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 255, shape).astype("u1")
    if codec == "webp" and len(shape) == 2:
        pytest.skip("WebP is always colour")
    lossless = {"webp": {"lossless": True}}.get(codec)
    photometric = "rgb" if len(shape) > 2 else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.tif", image, compression=codec, photometric=photometric,
        compressionargs=lossless, **{"tile": tile} if tile else {"rowsperstrip": 24},
    )  # fmt: skip

    with closing(read_tiff(tmp_path / "a.tif")) as pages:
        found = pages.read(0)

    assert found.dtype == "u1"
    if codec == "jpeg":
        assert found.shape == shape
    else:
        np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("codec", ["png", "jpeg2000", "lerc"])
@pytest.mark.parametrize("dtype", ["u2", "i2", "f4"])
def test_pages_of_other_dtypes_in_codecs_of_images_are_read(tmp_path, codec, dtype):
    """Each dtype that the codec supports is read."""
    image = np.arange(6400).reshape(64, 100).astype(dtype)
    if dtype not in {"png": ("u2",), "jpeg2000": ("u2", "i2")}.get(codec, (dtype,)):
        pytest.skip("the codec has no such numbers")
    tifffile.imwrite(tmp_path / "a.tif", image, compression=codec)

    with closing(read_tiff(tmp_path / "a.tif")) as pages:
        found = pages.read(0)

    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("codec", [c for c in CODECS if c != "webp"])
@pytest.mark.parametrize(
    "wrong",
    [np.zeros((900, 1000), "u1"), np.zeros((64, 1000), "u1"),
     np.zeros((64, 100, 3), "u1"), np.full((64, 100), 300, "u2")],
    ids=["larger", "wider", "colour", "uint16"],
)  # fmt: skip
def test_an_image_in_a_strip_is_what_the_page_says(tmp_path, codec, wrong):
    """It is not expanded, cut or cast: 300 does not become 44."""
    if codec == "jpeg" and wrong.dtype != "u1":
        pytest.skip("JPEG has no such numbers")
    data = getattr(imagecodecs, CODECS[codec])(wrong)
    code = {"jpeg": 7, "jpeg2000": 34712, "png": 34933, "lerc": 34887}[codec]
    strip_tiff(tmp_path / "a.tif", bytes(data), compression=code, bits=8)

    with pytest.raises(ReadError, match="strip of"):
        read_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("codec", ["jpegxl", "jpegxr"])
def test_codecs_that_do_not_tell_are_refused(tmp_path, codec):
    """The message says which codecs are read."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 100), "u1"), compression=codec)

    with pytest.raises(ReadError, match="which is not read; deflate"):
        read_tiff(tmp_path / "a.tif")


def test_an_image_that_its_bytes_can_hardly_hold_is_not_expanded(tmp_path):
    """Unless the descriptor declares an image of that size."""
    path = strip_tiff(
        tmp_path / "a.tif", b"123", rows=BIG, columns=BIG, compression=50000
    )

    with pytest.raises(ReadError, match="is not expanded"):
        read_tiff(path, 100)
    read_tiff(path, BYTES).close()


@pytest.mark.parametrize("extra", [-1, 1, 10**6])
def test_an_npy_of_more_or_fewer_bytes_than_its_header_says_fails(tmp_path, extra):
    """Memory is allocated only for bytes that exist."""
    np.save(tmp_path / "a.npy", np.zeros((2, 6, 9), "u2"))
    size = (tmp_path / "a.npy").stat().st_size
    os.truncate(tmp_path / "a.npy", size + extra)

    with pytest.raises(ReadError, match=r"216 bytes; \d+ are there"):
        read_npy(tmp_path / "a.npy")


def test_an_npy_that_claims_a_terabyte_takes_none(tmp_path):
    """No memory is allocated for what a header merely claims."""
    array = np.lib.stride_tricks.as_strided(np.zeros(1), (10**6, 10**6), (0, 0))
    with (tmp_path / "a.npy").open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)

    with pytest.raises(ReadError, match="0 are there"):
        read_npy(tmp_path / "a.npy")


def test_npy_files_of_either_order(tmp_path):
    """Fortran order and C order are read."""
    images = np.arange(24, dtype=">u2").reshape(2, 3, 4)
    for order in "CF":
        np.save(tmp_path / "a.npy", np.array(images, order=order))

        pages = read_npy(tmp_path / "a.npy")

        np.testing.assert_array_equal([pages.read(k) for k in (0, 1)], images)
        pages.close()


def test_a_jpeg_is_read_as_nothing_else(tmp_path):
    """Pillow knows many formats, some of which run other programs."""
    Image.fromarray(np.zeros((6, 9), "u1")).save(tmp_path / "a.jpg", format="PNG")

    with pytest.raises(ReadError, match="not a complete JPEG"):
        read_jpeg(tmp_path / "a.jpg")


def test_pages_of_a_stack_are_read_one_at_a_time(tmp_path):
    """A million pages that share one strip need the memory of one."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for k, kind in enumerate(("u2", "f4")):
            tiff.write(np.full((8, 9), k, kind), contiguous=False, metadata=None)

    pages = read_tiff(tmp_path / "a.tif")

    assert [pages.read(k).dtype for k in (0, 1)] == ["u2", "f4"]
    pages.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("template", ["", "a_{:d}"])
@pytest.mark.parametrize("suffix", MIMETYPES)
def test_what_is_no_file_is_never_waited_for(tmp_path, suffix, template):
    """A pipe in place of a file fails its frames at once, with the reason."""
    if suffix == "zarr" and template:
        zarr.create_group(tmp_path / "a.zarr")
        (tmp_path / "a.zarr" / "zarr.json").unlink()
        os.mkfifo(tmp_path / "a.zarr" / "zarr.json")
    else:
        os.mkfifo(tmp_path / f"a{'_0' * bool(template)}.{suffix}")
    parameters = {"template": f"{template}.{suffix}"} if template else {}
    uri = f"file://{tmp_path}/" + ("" if template else f"a.{suffix}")
    if suffix == "zarr":
        uri, parameters = f"file://{tmp_path}/a.zarr", {"dataset": "x"}
    run = stream_run(uri, MIMETYPES[suffix], parameters, events=1)

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert "only regular files are read" in str(report.failed[0].error)


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_chunk_that_claims_gigabytes_is_not_expanded(tmp_path, version):
    """A small file may declare a huge chunk."""
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(1, BIG, BIG), chunks=(1, BIG, BIG), dtype="u1",
        zarr_format=version,
    )  # fmt: skip
    chunk = tmp_path / "a.zarr" / array.metadata.encode_chunk_key((0, 0, 0))
    chunk.parent.mkdir(parents=True, exist_ok=True)
    chunk.write_bytes(b"1234")
    run = stream_run(f"file://{tmp_path}/a.zarr", MIMETYPES["zarr"], {}, events=1)

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert "is not expanded" in str(report.failed[0].error)


ZARR_CODECS = {
    "zstd": (3, zarr.codecs.ZstdCodec(), numcodecs.Zstd()),
    "gzip": (3, zarr.codecs.GzipCodec(), numcodecs.GZip()),
    "blosc": (3, zarr.codecs.BloscCodec(), numcodecs.Blosc()),
    "zstd 2": (2, numcodecs.Zstd(), numcodecs.Zstd()),
    "zlib 2": (2, numcodecs.Zlib(), numcodecs.Zlib()),
    "bz2 2": (2, numcodecs.BZ2(), numcodecs.BZ2()),
    "lzma 2": (2, numcodecs.LZMA(), numcodecs.LZMA()),
    "lz4 2": (2, numcodecs.LZ4(), numcodecs.LZ4()),
}


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("name", ZARR_CODECS)
def test_a_zarr_chunk_expands_to_its_shape_only(tmp_path, name, sharded):
    """A compressed chunk may not expand beyond its shape, in a shard either."""
    version, codec, encoder = ZARR_CODECS[name]
    if sharded and version == 2:
        pytest.skip("version 2 has no shards")
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(2, 8, 9), chunks=(1, 8, 9), dtype="u2",
        zarr_format=version, compressors=codec, shards=(2, 8, 9) if sharded else None,
    )  # fmt: skip
    array[:] = np.arange(144, dtype="u2").reshape(2, 8, 9)
    run = list(stream_run(f"file://{tmp_path}/a.zarr", MIMETYPES["zarr"], {}, events=2))

    good = tiffin.export(run, NAME, directory=tmp_path / "good", on_error="report")
    bomb = encoder.encode(bytes(2**24))
    if sharded:
        places = np.array([0, len(bomb), 0, len(bomb)], "<u8").tobytes()
        bomb += places + bytes(numcodecs.CRC32C().encode(places))[-4:]
    for chunk in (p for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()):
        if chunk.name[0] != "." and chunk.name != "zarr.json":
            chunk.write_bytes(bomb)
    bad = tiffin.export(run, NAME, directory=tmp_path / "bad", on_error="report")

    assert len(good.written) == 2
    assert len(bad.failed) == 2
    assert "expands to more than the 144 bytes" in str(bad.failed[0].error)


GOOD = np.arange(72, dtype="u2").tobytes()
MUCH = bytes(2**25)
ZARR_BOMBS = {
    "two gzip members": (
        {"compressor": {"id": "gzip"}},
        lambda: gzip.compress(GOOD) + bytes(8) + gzip.compress(MUCH),
    ),
    "two bz2 streams": (
        {"compressor": {"id": "bz2"}},
        lambda: bz2.compress(GOOD) + bz2.compress(MUCH),
    ),
    "two lzma streams": (
        {"compressor": {"id": "lzma"}},
        lambda: lzma.compress(GOOD) + lzma.compress(MUCH),
    ),
    "zlib as a filter": ({"filters": [{"id": "zlib"}]}, lambda: zlib.compress(MUCH)),
    "zlib twice": (
        {"filters": [{"id": "zlib"}], "compressor": {"id": "zlib"}},
        lambda: zlib.compress(zlib.compress(MUCH)),
    ),
    "zstd that does not tell": (
        {"compressor": {"id": "zstd"}},
        lambda: (
            b"\x28\xb5\x2f\xfd\x00\x58"
            + b"\x02\x00\x10\x00" * 511
            + b"\x03\x00\x10\x00"
        ),
    ),
}  # fmt: skip


def zarr_of(path, chunk, **metadata):
    """Write an array of version 2 that has one chunk."""
    told = {
        "zarr_format": 2, "shape": [1, 8, 9], "chunks": [1, 8, 9], "dtype": "<u2",
        "compressor": None, "fill_value": 0, "order": "C", "filters": None, **metadata,
    }  # fmt: skip
    path.mkdir()
    (path / ".zarray").write_text(json.dumps(told))
    (path / "0.0.0").write_bytes(chunk)
    return path


def exported(path, folder):
    run = list(stream_run(f"file://{path}", MIMETYPES["zarr"], {}, events=1))
    return tiffin.export(run, NAME, directory=folder, on_error="report")


@pytest.mark.parametrize("bomb", ZARR_BOMBS)
def test_no_stream_behind_another_expands(tmp_path, bomb):
    """All streams of a chunk are counted together, and filters are counted too."""
    metadata, chunk = ZARR_BOMBS[bomb]
    path = zarr_of(tmp_path / "a.zarr", chunk(), **metadata)

    tracemalloc.start()
    report = exported(path, tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(report.failed) == 1
    assert re.search("expands to more|not supported", str(report.failed[0].error))
    assert peak < 2**24


def test_a_zarr_array_that_is_pickled_runs_nothing(tmp_path, monkeypatch):
    """With any version of Zarr."""
    array = types.SimpleNamespace(filters=[numcodecs.Pickle()], compressors=[])
    with pytest.raises(ReadError, match="would run code"):
        check_codecs(tmp_path, array)

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    chunk, codec = pickle.dumps(Evil()), {"id": "pickle"}
    for n, where in enumerate([{"filters": [codec]}, {"compressor": codec}]):
        report = exported(
            zarr_of(tmp_path / f"{n}.zarr", chunk, **where), tmp_path / "out"
        )
        assert report.failed
    assert not (tmp_path / "ran").exists()


def test_shards_within_shards_are_refused(tmp_path):
    """Nested shards are not read."""
    inner = zarr.codecs.ShardingCodec(chunk_shape=(1, 8, 9))
    outer = zarr.codecs.ShardingCodec(chunk_shape=(1, 8, 9), codecs=[inner])
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(2, 8, 9), chunks=(2, 8, 9), dtype="u2",
        serializer=outer, compressors=None,
    )  # fmt: skip
    array[:] = np.ones((2, 8, 9), "u2")

    report = exported(tmp_path / "a.zarr", tmp_path / "out")

    assert "shards within shards" in str(report.failed[0].error)


@pytest.mark.parametrize("shape", ["(-8, -9)", "(True, 72)"])
def test_the_shape_of_an_npy_file_is_one(tmp_path, shape):
    """Sizes must be whole numbers that are not negative."""
    head = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}}}".ljust(117)
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", 118) + head.encode() + b"\n")
    with path.open("ab") as file:
        file.write(bytes(144))

    with pytest.raises(ReadError, match="which is not a shape"):
        read_npy(path)

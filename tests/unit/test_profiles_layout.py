"""The layouts of gsas2, pilatus and areadetector, byte by byte and by their readers."""

import hashlib
import struct

import area_detector_handlers.handlers as area_detector
import fabio
import fabio.pilatusimage
import numpy as np
import pytest
import tifffile

from tiffin.array_images import Encoded
from tiffin.errors import DtypeError, SettingsError
from tiffin.writers import PageInfo, WriterOptions, find_profile, make_writer

METADATA = {
    "run": "5f0c",
    "seq_num": 3,
    "frame": 2,
    "time": "2026-11-29T03:04:05.250000+01:00",
    "timestamp": 1795917845.25,
    "sample": "Ni é µ = 5 Å",
    "motors": {"th": {"value": 1.5, "unit": "deg"}},
    "exposure": 0.1,
    "wavelength": 0.1839,
    "distance": 251.3,
    "detectorXPixelSize": 172,
    "pixelSizeY": 171.5,
    "CenterPixelX": 101.5,
    "CenterPixelY": 99,
}


def file_of(profile, image, metadata=METADATA, compression=None):
    """Return the bytes of a file."""
    options = WriterOptions(profile=profile, compression=compression)
    writer = make_writer("tiff", options)
    return b"".join(bytes(part) for part in writer.buffers(image, metadata))


def image_of(dtype, shape=(48, 64)):
    """Return an image with the largest value that 31 bits have, if the dtype has it."""
    image = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    image[0, 0] = min(np.iinfo(dtype).max, 2**31 - 1)
    return image


def entries_of(data):
    """Return the directory: tag → (type, count, the four bytes of the value)."""
    assert data[:4] == b"II*\0"
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    found = {}
    for n in range(count):
        tag, kind, values = struct.unpack_from("<HHI", data, at + 2 + 12 * n)
        found[tag] = kind, values, data[at + 10 + 12 * n : at + 14 + 12 * n]
    assert list(found) == sorted(found)
    return found


def as_gsas2(data):
    """Read a file with a Model tag by the rules of GSAS-II's G2img_1TIF."""
    entries = entries_of(data)
    value = {tag: int.from_bytes(entry[2], "little") for tag, entry in entries.items()}
    assert entries[273][1] == entries[279][1] == 1  # one strip, else it is CheMin
    assert 34710 not in entries  # else it is MarCCD's
    assert {entry[0] for entry in entries.values()} <= {1, 2, 3, 4, 5, 11}  # no other
    model = data[value[272] : value[272] + entries[272][1]]
    kind, at = (np.uint16 if value[258] & 0xFFFF == 16 else np.uint32), 8
    if b"PILATUS" in model:
        kind, at = np.int32, 4096
    shape = value[257], value[256]
    return np.frombuffer(data, kind, np.prod(shape), at).reshape(shape)


@pytest.mark.parametrize("profile", ["plain", "areadetector"])
def test_gsas2_does_not_take_compressed_pixels_for_raw_ones(profile):
    """With a Model tag it would: these files have none, so it asks for another way."""
    image = image_of("uint16")
    assert 272 in entries_of(file_of(profile, image))
    assert 272 not in entries_of(file_of(profile, image, compression="zlib"))


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32"])
@pytest.mark.parametrize("shape", [(48, 64), (1024, 1024), (2048, 2048)])
def test_gsas2_finds_the_pixels_where_it_looks(dtype, shape):
    """By GSAS-II's rules the pixels of a gsas2 file are exact, however many."""
    image = image_of(dtype, shape)
    data = file_of("gsas2", image)
    np.testing.assert_array_equal(as_gsas2(data), image)
    assert data[8 : 8 + image.nbytes] == image.tobytes()


def test_gsas2_has_a_sidecar_with_the_keys_of_both_importers():
    """Its lines are ASCII, and what no entry gives has no line."""
    sidecar = find_profile("gsas2").sidecar
    content = sidecar.content(PageInfo((48, 64), np.dtype("<u2"), METADATA))
    assert sidecar.suffix == ".metadata"
    lines = content.decode("ascii").splitlines()
    assert lines[:9] == [
        "dataType = 0",
        "wavelength = 0.1839",
        "distance = 251.3",
        "detectorXPixelSize = 172",
        "pixelSizeX = 172",
        "detectorYPixelSize = 171.5",
        "pixelSizeY = 171.5",
        "CenterPixelX = 101.5",
        "CenterPixelY = 99",
    ]
    assert "sample = Ni \\u00e9 \\u00b5 = 5 \\u00c5" in lines
    assert not any(line.startswith("polarization") for line in lines)
    only = sidecar.content(PageInfo((48, 64), np.dtype("<u2"), {"distance": "far"}))
    assert only == b"dataType = 0\n"


def test_gsas2_refuses_what_it_would_misread():
    """Floats, negative pixels and colours are refused, with what takes them."""
    with pytest.raises(DtypeError, match=r"float32 can't be read exactly by GSAS-II"):
        file_of("gsas2", np.zeros((4, 4), "f4"))
    negative = np.full((4, 4), -2, "<i4")
    with pytest.raises(DtypeError, match=r"-2 .* profile='pilatus' or 'plain'"):
        file_of("gsas2", negative)
    with pytest.raises(DtypeError, match="a pixel of -2"):
        file_of("gsas2", Encoded(negative.tobytes(), None, (4, 4), negative.dtype))
    with pytest.raises(DtypeError, match=r"colour image .* profile='plain'"):
        file_of("gsas2", np.zeros((4, 4, 3), "u2"))


@pytest.mark.parametrize("profile", ["gsas2", "pilatus"])
def test_raw_readers_get_no_compression(profile):
    """Programs that read raw pixels are given none that are compressed."""
    with pytest.raises(SettingsError, match="choose compression=None, or profile"):
        make_writer("tiff", WriterOptions("zlib", None, profile))


def test_fabio_knows_a_pilatus_file(tmp_path):
    """fabio.open and PilatusImage give its header and pixels, negative ones too."""
    image = image_of("int32")
    image[1, 1:3] = -1, -2
    path = tmp_path / "x.tif"
    path.write_bytes(file_of("pilatus", image))
    for read in (fabio.open(path), fabio.pilatusimage.PilatusImage().read(str(path))):
        assert type(read) is fabio.pilatusimage.PilatusImage
        assert read.lib == "TiffIO"
        assert read.data.dtype == np.int32
        np.testing.assert_array_equal(read.data, image)
        assert dict(read.header) == {
            "Detector": "PILATUS",
            "Pixel_size": "0.000172 m x 0.0001715 m",
            "Exposure_time": "0.1 s",
            "Wavelength": "0.1839 A",
            "Detector_distance": "0.2513 m",
            "Beam_xy": "(101.5, 99) pixels",
        }
    np.testing.assert_array_equal(tifffile.imread(path), image)


def test_a_pilatus_file_is_laid_out_as_the_detectors():
    """The directory is at byte 130, the int32 pixels at 4096: GSAS-II reads these."""
    image = np.array([[-2, 7]], "i4")
    data = file_of("pilatus", image)
    assert data[4:8] == struct.pack("<I", 130)
    assert set(data[8:130]) == {0}
    assert data[4096:4104] == image.tobytes()
    np.testing.assert_array_equal(as_gsas2(data), image)


@pytest.mark.parametrize("metadata", [{}, {"time": "2026-11-29T03:04:05"}])
def test_a_pilatus_file_needs_no_metadata(tmp_path, metadata):
    """A file of which nothing is known is a Pilatus file all the same."""
    image = np.array([[-2, 7, 8]], "i4")
    (tmp_path / "x.tif").write_bytes(file_of("pilatus", image, metadata))
    read = fabio.open(tmp_path / "x.tif")
    assert dict(read.header) == {"Detector": "PILATUS"}
    np.testing.assert_array_equal(read.data, image)


def test_a_directory_never_reaches_into_the_pixels():
    """Long metadata go behind the pixels, where they have room."""
    image = np.array([[-2, 7, 8]], "i4")
    long = {"comment": "x" * 10_000}
    data = file_of("pilatus", image, long)
    assert data[4096:4108] == image.tobytes()
    _, count, at = entries_of(data)[65123]
    begin = int.from_bytes(at, "little")
    assert data[begin : begin + count] == b'{"comment":"' + b"x" * 10_000 + b'"}\0'


DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_areadetector_file_has_the_tags_of_ndfiletiff(tmp_path, dtype):
    """tifffile, the handler of areaDetector and fabio (its issues 72, 569) read it."""
    image = np.arange(48).reshape(6, 8).astype(dtype)
    path = tmp_path / "img_000002.tif"
    path.write_bytes(file_of("areadetector", image))
    with tifffile.TiffFile(path) as tiff:
        tags = {tag.code: (int(tag.dtype), tag.value) for tag in tiff.pages[0].tags}
    assert tags[65000] == (12, 1164765845.25)  # since 1990
    assert tags[65001] == (4, 2)
    assert tags[65002] == (4, 1164765845)
    assert tags[65003] == (4, 250_000_000)
    texts = [tags[number] for number in sorted(tags) if 65010 <= number < 65123]
    assert {kind for kind, _ in texts} == {2}
    assert [text for _, text in texts][:6] == [
        "run:5f0c",
        "seq_num:3",
        "frame:2",
        "time:2026-11-29T03:04:05.250000+01:00",
        "timestamp:1795917845.25",
        "sample:Ni é µ = 5 Å",
    ]
    assert (2, "th:1.5") in texts
    handler = area_detector.AreaDetectorTiffHandler(
        str(tmp_path), "%s%s_%06d.tif", "img"
    )
    np.testing.assert_array_equal(handler(2)[0], image)
    read = fabio.open(path)
    assert read.data.dtype == image.dtype
    np.testing.assert_array_equal(read.data, image)


def test_more_attributes_than_tags_are_left_to_the_json():
    """Attributes end before the tag of the metadata, which has all of them."""
    many = {f"a{n}": n for n in range(200)}
    entries = entries_of(file_of("areadetector", np.zeros((4, 4), "u2"), many))
    assert {65010, 65122, 65123} <= set(entries)
    assert len([tag for tag in entries if tag >= 65010]) == 114


GOLDEN = {
    "gsas2": "12608f9803c30bc3",
    "pilatus": "67ea6d3a85d6001f",
    "areadetector": "9b4b19e22b3fe59b",
}


@pytest.mark.parametrize("profile", GOLDEN)
def test_the_bytes_of_a_profile_stay_the_same(profile):
    """The same image and metadata give the same file today and tomorrow."""
    image = np.arange(12, dtype="i4").reshape(3, 4)
    found = hashlib.sha256(file_of(profile, image)).hexdigest()
    assert found[:16] == GOLDEN[profile]

"""Profiles: what each says of its files, and which bytes it makes of them."""

import hashlib
import io
import struct
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from tiffin.errors import DtypeError, SettingsError
from tiffin.writers import (
    PageInfo,
    TiffWriter,
    WriterOptions,
    find_profile,
    make_writer,
)
from tiffin.writers.description import dimensions, facts

METADATA = {
    "run": "5f0c2bb1-7d4f-4d0e-9c55-0123456789ab",
    "scan_id": 42,
    "stream": "primary",
    "field": "det",
    "seq_num": 3,
    "frame": 2,
    "time": "2026-11-29T03:04:05.250000+01:00",
    "timestamp": 1795917845.25,
    "sample": "Ni é < µm & Å 😀",
    "motors": {"th": {"value": 1.5, "unit": "µm"}, "n": {"value": 2}},
    "exposure": 0.1,
    "pixelSizeX": 75,
    "pixelSizeY": 80.5,
}
IMAGE = np.arange(4 * 6, dtype="u2").reshape(4, 6)
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def file_of(profile, image=IMAGE, metadata=METADATA, compression=None):
    """Return the bytes of a file."""
    writer = TiffWriter(profile=find_profile(profile), compression=compression)
    return b"".join(map(bytes, writer.buffers(image, metadata)))


def tags_of(profile, page):
    """Return the tags that a profile gives a page: number → value."""
    return {number: value for number, _, value in find_profile(profile).tags(page)}


def page_of(shape=(4, 6), metadata=METADATA, dtype="<u2", **more):
    """Return what a profile is told of a page."""
    return PageInfo(shape, np.dtype(dtype), metadata, **more)


def opened(data):
    """Return bytes as tifffile opens them."""
    return tifffile.TiffFile(io.BytesIO(data))


class TestEveryProfile:
    """What holds for `imagej` and `ome` both."""

    @pytest.mark.parametrize(
        ("profile", "digest"),
        [
            ("plain", "adfeb5742e5dcdc0"),
            ("imagej", "c80a4ee45d0e71d4"),
            ("ome", "746d1d303252d8dd"),
        ],
    )
    def test_the_bytes_of_a_file_stay_the_same(self, profile, digest):
        """A change of the bytes of a profile is a decision, not an accident."""
        data = file_of(profile)
        assert hashlib.sha256(data).hexdigest()[:16] == digest
        assert data == file_of(profile)

    @pytest.mark.parametrize(
        ("profile", "digest"),
        [("imagej", "990e17cd105831cf"), ("ome", "0fa13508da9d28e6")],
    )
    def test_the_tags_of_a_stack_stay_the_same(self, profile, digest):
        """The description of a grid scan is pinned as well."""
        times = tuple(1795917845.25 + 0.5 * n for n in range(6))
        page = page_of(pages=6, axes={"y": 2, "x": 3}, timestamps=times)
        tags = repr(find_profile(profile).tags(page)).encode()
        assert hashlib.sha256(tags).hexdigest()[:16] == digest

    @pytest.mark.parametrize("profile", ["imagej", "ome"])
    def test_the_metadata_stays_in_its_own_tag(self, profile):
        """The JSON is the same as in any other file, whatever the description says."""
        with opened(file_of(profile)) as tiff, opened(file_of("plain")) as plain:
            tags = tiff.pages[0].tags
            assert tags[65123].value == plain.pages[0].tags[65123].value
            assert tags["DateTime"].value == "2026:11:29 03:04:05"
            assert 272 not in tags  # a Model
            np.testing.assert_array_equal(tiff.asarray(), IMAGE)

    @pytest.mark.parametrize("profile", ["imagej", "ome"])
    def test_only_the_first_page_describes_the_file(self, profile):
        """Readers look nowhere else, and other pages stay small."""
        assert find_profile(profile).tags(page_of(page=1, pages=3)) == []
        assert find_profile(profile).needs_page_count

    @pytest.mark.parametrize("profile", ["imagej", "ome"])
    def test_without_metadata_there_is_a_description_still(self, profile):
        """With `metadata=None` the program gets what it needs to read the pixels."""
        with opened(file_of(profile, metadata={})) as tiff:
            assert 270 in tiff.pages[0].tags
            assert 65123 not in tiff.pages[0].tags
            np.testing.assert_array_equal(tiff.asarray(), IMAGE)


class TestImageJ:
    """The description that ImageJ writes itself, and its own tags for text."""

    def test_one_image(self):
        """The pixel size is in micrometres, the metadata is what Show Info shows."""
        with opened(file_of("imagej")) as tiff:
            told = tiff.imagej_metadata
            assert (told["ImageJ"], told["unit"]) == ("1.53t", "micron")
            page = tiff.pages[0]
            assert page.tags["XResolution"].value == (1, 75)
            assert page.tags["YResolution"].value == (2, 161)
            assert page.tags["ResolutionUnit"].value == 1
            lines = told["Info"].splitlines()
        assert "sample: Ni é < µm & Å 😀" in lines
        assert "scan_id: 42" in lines
        assert "th: 1.5 µm" in lines
        assert "n: 2" in lines

    def test_a_line_of_the_info_is_one_entry(self):
        """Text of several lines can't be mistaken for other entries."""
        with opened(file_of("imagej", metadata={"sample": "a\nrun: b"})) as tiff:
            assert tiff.imagej_metadata["Info"] == "sample: a run: b\n"

    @pytest.mark.parametrize(
        "size", [None, "small", 0, -75, 1e-9, 1e9, True, float("inf"), [75, 75]]
    )
    def test_a_pixel_size_that_is_none_is_left_out(self, size):
        """A wrong value is no size: the unit of lengths is then the pixel."""
        tags = tags_of(
            "imagej", page_of(metadata={"pixelSizeX": 75, "pixelSizeY": size})
        )
        assert tags == {270: b"ImageJ=1.53t\n\0"} | {
            number: tags[number] for number in (50838, 50839)
        }

    @pytest.mark.parametrize(
        ("axes", "counts"),
        [
            ({}, b"frames=24\n"),
            ({"y": 4, "x": 6}, b"slices=6\nframes=4\n"),
            ({"z": 2, "y": 3, "x": 4}, b"channels=4\nslices=3\nframes=2\n"),
            ({"a": 2, "b": 3, "c": 2, "d": 2}, b"channels=2\nslices=2\nframes=6\n"),
            ({"C": 24}, b"channels=24\n"),
            ({"Z": 4, "T": 6}, b"slices=6\nframes=4\n"),  # ImageJ has one order
            ({"y": 4, "x": 7}, b"frames=24\n"),  # stopped early
        ],
    )
    def test_a_stack_is_a_hyperstack_with_the_axes_of_the_scan(self, axes, counts):
        """The slowest axis becomes frames, then slices, then channels."""
        description = tags_of("imagej", page_of(pages=24, axes=axes))[270]
        end = b"hyperstack=true\nmode=grayscale\nloop=false\nunit=micron\n\0"
        assert description == b"ImageJ=1.53t\n" + counts + end

    def test_a_stack_does_not_say_that_its_pixels_follow_each_other(self):
        """ImageJ would otherwise read all pages from behind the first one's pixels."""
        assert b"images=" not in tags_of("imagej", page_of(pages=9))[270]

    @pytest.mark.parametrize("dtype", ["uint32", "int8", "int32", "float64"])
    def test_dtypes_that_imagej_misreads_are_refused(self, dtype):
        """The message says which dtypes it reads, and which profile takes this one."""
        told = (
            rf"{dtype} can't be read exactly by ImageJ.*uint8, uint16, int16, float32"
        )
        with pytest.raises(DtypeError, match=told + ".*profile='ome'"):
            file_of("imagej", np.ones((2, 2), dtype))

    def test_a_colour_image_that_imagej_refuses_is_refused(self):
        """It takes colours of 8 bits: of 16 bits ImageJ misreads stacks."""
        assert file_of("imagej", np.ones((2, 2, 3), "u1"))
        for dtype in ("uint16", "float32"):
            told = rf"colour image of dtype {dtype} .*ImageJ"
            with pytest.raises(DtypeError, match=told):
                file_of("imagej", np.ones((2, 2, 3), dtype))

    def test_bigtiff_is_refused(self):
        """ImageJ does not open it; stacks go on in a new file instead."""
        assert make_writer("tiff", WriterOptions(profile="ome", bigtiff=True))
        with pytest.raises(SettingsError, match=r"bigtiff=True .*ImageJ.*'ome'"):
            make_writer("tiff", WriterOptions(profile="imagej", bigtiff=True))

    def test_zstd_is_refused(self):
        """ImageJ reads zlib and LZW."""
        with pytest.raises(
            SettingsError,
            match=r"'zstd' .*ImageJ.*None or 'zlib' or 'lzw', or profile='ome'",
        ):
            TiffWriter(compression="zstd", profile=find_profile("imagej"))


class TestOme:
    """OME-XML; its schema checks it in tests/integration/test_profiles_ome.py."""

    def root(self, page):
        """Return the parsed description."""
        return ElementTree.fromstring(tags_of("ome", page)[270].rstrip(b"\0"))

    def test_one_image(self):
        """Pixel size, time and exposure are where OME has them, the rest as pairs."""
        root = self.root(page_of())
        image = root.find(f"{OME}Image")
        assert image.get("Name") == "42 det 3"
        date = image.find(f"{OME}AcquisitionDate")
        assert date.text == "2026-11-29T03:04:05.250000+01:00"
        pixels = image.find(f"{OME}Pixels").attrib
        assert (pixels["SizeX"], pixels["SizeY"], pixels["Type"]) == (
            "6",
            "4",
            "uint16",
        )
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == ("75", "80.5")
        assert image.find(f"{OME}Pixels/{OME}Plane").get("ExposureTime") == "0.1"
        pairs = {pair.get("K"): pair.text for pair in root.iter(f"{OME}M")}
        assert pairs["sample"] == METADATA["sample"]
        assert pairs["th"] == "1.5 µm"

    @pytest.mark.parametrize(
        ("axes", "order", "sizes"),
        [
            ({}, "XYTZC", "1 1 24"),
            ({"y": 4, "x": 6}, "XYZTC", "6 1 4"),
            ({"z": 2, "y": 3, "x": 4}, "XYCZT", "3 4 2"),
            ({"Z": 4, "T": 6}, "XYTZC", "4 1 6"),
            ({"y": 4, "x": 7}, "XYTZC", "1 1 24"),
        ],
    )
    def test_a_stack_has_the_axes_of_the_scan(self, axes, order, sizes):
        """A plain sequence is T; axes that are named as OME's keep their names."""
        pixels = self.root(page_of(pages=24, axes=axes)).find(f".//{OME}Pixels")
        assert pixels.get("DimensionOrder") == order
        assert " ".join(pixels.get(f"Size{axis}") for axis in "ZCT") == sizes
        assert pixels.find(f"{OME}TiffData").attrib == {"IFD": "0", "PlaneCount": "24"}
        assert len(pixels.findall(f"{OME}Channel")) == int(sizes.split()[1])

    def test_the_pages_of_a_stack_have_their_times(self):
        """DeltaT counts seconds from the first page, in the order of the pages."""
        times = tuple(1795917845.25 + 0.5 * n for n in range(6))
        page = page_of(pages=6, axes={"y": 2, "x": 3}, timestamps=times)
        planes = list(self.root(page).iter(f"{OME}Plane"))
        assert [float(plane.get("DeltaT")) for plane in planes] == [
            0,
            0.5,
            1,
            1.5,
            2,
            2.5,
        ]
        places = [tuple(plane.get(f"The{a}") for a in "TZ") for plane in planes]
        assert places == [(t, z) for t in "01" for z in "012"]

    def test_a_colour_is_one_channel_of_several_samples(self):
        """Samples come before the pages in the order of dimensions."""
        pixels = self.root(page_of((4, 6, 3), pages=2)).find(f".//{OME}Pixels")
        assert pixels.get("DimensionOrder") == "XYCTZ"
        assert pixels.get("SizeC") == "3"
        assert [c.get("SamplesPerPixel") for c in pixels.iter(f"{OME}Channel")] == ["3"]

    def test_metadata_can_not_break_the_xml(self):
        """Markup is escaped; characters that XML can't hold are replaced."""
        hostile = {
            "sample": '</M><![CDATA["\x00\x1b\ud800\uffff',
            '"><&\x01': 1,
            "field": "'\"<\n",
            "time": "yesterday",
            "exposure": "<long>",
            "pixelSizeX": float("nan"),
            "pixelSizeY": -1,
        }
        root = self.root(page_of(metadata=hostile))
        pairs = {pair.get("K"): pair.text for pair in root.iter(f"{OME}M")}
        assert pairs["sample"] == '</M><![CDATA["\ufffd\ufffd\ufffd\ufffd'
        assert root.find(f".//{OME}AcquisitionDate") is None
        assert root.find(f".//{OME}Plane") is None
        assert not [k for k in root.find(f".//{OME}Pixels").attrib if "Physical" in k]


class TestDescription:
    """What both descriptions are made from."""

    def test_a_stack_says_of_all_pages_what_holds_for_all(self):
        """What one page says of its own position or time is not said of the file."""
        assert set(facts(page_of(pages=2))) == {
            *("run", "scan_id", "stream", "field", "sample", "exposure")
        }

    def test_colours_leave_two_dimensions_for_the_scan(self):
        """The samples of a pixel are the channels."""
        page = page_of((4, 6, 3), pages=24, axes={"a": 2, "b": 3, "c": 4})
        assert dimensions(page, any_order=True) == {"T": 6, "Z": 4}

    def test_values_are_text_as_json_has_them(self):
        """Text stays as it is; lists and the like are JSON."""
        metadata = {"a": [1, "µ"], "b": None, "c": {"value": 2, "unit": "K"}, "d": "x"}
        assert facts(page_of(metadata=metadata)) == {
            **{"a": '[1, "µ"]', "b": "null", "c": "2 K", "d": "x"}
        }


def test_a_rational_is_a_pair_of_numbers():
    """The type RATIONAL of TIFF 6.0: numerator and denominator."""
    with opened(file_of("imagej")) as tiff:
        tag = tiff.pages[0].tags["XResolution"]
        assert (tag.dtype.name, tag.count) == ("RATIONAL", 1)
        tiff.filehandle.seek(tag.valueoffset)
        assert struct.unpack("<II", tiff.filehandle.read(8)) == (1, 75)

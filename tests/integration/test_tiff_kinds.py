"""TIFF and JPEG files as cameras write them: their pixels' meaning is in their tags."""

import numpy as np
import pytest
import tifffile
from PIL import Image

import tiffin
from tests.documents import stream_run
from tests.helpers import NAME
from tiffin import get_images
from tiffin.corrections import DarkSubtract, FlatField
from tiffin.errors import ReadError
from tiffin.testing import run_of

COLOUR = np.random.default_rng(2).integers(0, 255, (6, 9, 3)).astype("u1")
FOUR = np.random.default_rng(3).integers(0, 255, (6, 9, 4)).astype("u1")
SHAPES = [(6, 9), (1, 6, 9), (6, 9, 3), (1, 3, 6, 9), ()]


def run_with(path, shape=(6, 9), *, several=True, kind="tiff"):
    """Return the documents of one file, as one of a series or alone."""
    parameters = {"template": path.name.replace("0", "{:d}")} if several else {}
    uri = f"file://localhost{path.parent}/" if several else f"file://localhost{path}"
    mimetype = f"multipart/related;type=image/{kind}" if several else f"image/{kind}"
    return stream_run(uri, mimetype, parameters, events=1, shape=shape, dtype="|u1")


def exported(path, folder, **options):
    run = run_with(path, **options)
    return tiffin.export(run, NAME, directory=folder, on_error="report")


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("array", "tags"),
    [
        (FOUR, {"photometric": "separated"}),
        (COLOUR, {"photometric": "cielab"}),
        (COLOUR, {"photometric": "minisblack", "planarconfig": "contig"}),
        (COLOUR[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}),
        (np.dstack([COLOUR, FOUR]), {"photometric": "rgb", "planarconfig": "contig"}),
    ],
    ids=["CMYK", "CIELAB", "grey of three", "grey with alpha", "RGB and four more"],
)
def test_samples_that_are_no_rgb_are_refused(tmp_path, several, shape, array, tags):
    """One failed record says what the file holds; rows are never taken for images."""
    tifffile.imwrite(tmp_path / "a_0.tif", array, **tags)

    report = exported(
        tmp_path / "a_0.tif", tmp_path / "out", shape=shape, several=several
    )

    assert not report.written
    assert "neither grey nor RGB" in str(report.failed[0].error)
    assert tags["photometric"].upper() in str(report.failed[0].error)


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("image", [COLOUR, FOUR], ids=["RGB", "RGBA"])
def test_planes_are_colour_as_well(tmp_path, several, shape, planar, image):
    """A planar RGB file is one colour image."""
    stored = np.moveaxis(image, -1, 0) if planar == "separate" else image
    shape = tuple(image.shape[-1] if size == 3 else size for size in shape)
    extra = {"extrasamples": ["unassalpha"]} if image is FOUR else {}
    tifffile.imwrite(
        tmp_path / "a_0.tif", stored, photometric="rgb", planarconfig=planar, **extra
    )
    path = tmp_path / "a_0.tif"

    report = exported(path, tmp_path / "out", shape=shape, several=several)

    assert report.ok, report.failed[0].error
    assert len(report.written) == 1
    np.testing.assert_array_equal(tifffile.imread(report.written[0].path), image)
    (found,) = get_images(run_with(path, shape, several=several), "img")
    np.testing.assert_array_equal(found[0], image)


def test_a_palette_file_gives_its_numbers(tmp_path):
    """The stored numbers are exported, without the palette's colours."""
    numbers = np.arange(54, dtype="u1").reshape(6, 9)
    palette = np.random.default_rng(4).integers(0, 65535, (3, 256)).astype("u2")
    tifffile.imwrite(
        tmp_path / "a_0.tif", numbers, photometric="palette", colormap=palette
    )

    report = exported(tmp_path / "a_0.tif", tmp_path / "out")

    assert report.ok
    np.testing.assert_array_equal(tifffile.imread(report.written[0].path), numbers)


@pytest.mark.parametrize(
    "pages",
    [
        [np.ones((6, 9), "u1"), np.full((6, 9), 70000, "u4")],
        [np.ones((6, 9), "i2"), np.full((6, 9), 65535, "u2")],
    ],
    ids=["u1 u4", "i2 u2"],
)
@pytest.mark.parametrize("several", [True, False])
def test_pages_keep_their_own_dtypes(tmp_path, pages, several):
    """No page is cast to another's dtype; one array of them is refused."""
    path = tmp_path / "a_0.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, photometric="minisblack", contiguous=False)

    report = exported(path, tmp_path / "out", shape=(2, 6, 9), several=several)

    assert report.ok, report.failed[0].error
    found = [tifffile.imread(record.path) for record in report.written]
    assert [image.dtype for image in found] == [page.dtype for page in pages]
    for image, page in zip(found, pages, strict=True):
        np.testing.assert_array_equal(image, page)
    with pytest.raises(ReadError, match="several dtypes"):
        get_images(run_with(path, (2, 6, 9), several=several), "img")[0]


@pytest.mark.parametrize("correction", [DarkSubtract, FlatField])
def test_a_users_file_of_several_dtypes_is_refused(tmp_path, correction):
    """No page is cast to another's dtype: the frames fail."""
    with tifffile.TiffWriter(tmp_path / "dark.tif") as tiff:
        for dtype in ("u1", "f8"):
            tiff.write(np.ones((6, 9), dtype), contiguous=False)
    run = run_of({"img": np.full((1, 6, 9), 5, "u2")}, scan_id=1)

    report = tiffin.export(
        run, NAME, directory=tmp_path / "out", on_error="report",
        corrections=correction(file=tmp_path / "dark.tif"),
    )  # fmt: skip

    assert "several dtypes" in str(report.failed[0].error)


@pytest.mark.parametrize("other", [np.ones((3, 9), "u1"), COLOUR], ids=["shape", "RGB"])
@pytest.mark.parametrize("several", [True, False])
def test_pages_of_other_shapes_fail(tmp_path, other, several):
    """A page that differs from the first is a failed record."""
    path = tmp_path / "a_0.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.ones((6, 9), "u1"), photometric="minisblack")
        kind = "rgb" if other.ndim == 3 else "minisblack"
        writer.write(other, photometric=kind, contiguous=False)

    report = exported(path, tmp_path / "out", shape=(2, 6, 9), several=several)

    assert len(report.written) == 1
    assert "several shapes" in str(report.failed[0].error)


@pytest.mark.parametrize("several", [True, False])
def test_a_cmyk_jpeg_is_refused(tmp_path, several):
    """Its four samples are not RGB with alpha."""
    Image.fromarray(FOUR, "CMYK").save(tmp_path / "a_0.jpg")

    report = exported(
        tmp_path / "a_0.jpg", tmp_path / "out", several=several, kind="jpeg"
    )

    assert not report.written
    assert "CMYK" in str(report.failed[0].error)


def ad_tiff(folder, shape):
    """Return the documents of one TIFF that area-detector-handlers reads."""
    run = run_of({"img": [COLOUR]})
    run[1][1]["data_keys"]["img"] |= {"shape": [*shape], "external": "FILESTORE:"}
    kwargs = {"template": "%s%s_%d.tif", "filename": "a", "frame_per_point": 1}
    resource = {
        "uid": "r", "spec": "AD_TIFF", "root": str(folder), "resource_path": "",
        "resource_kwargs": kwargs, "path_semantics": "posix",
    }  # fmt: skip
    datum = {"datum_id": "r/0", "resource": "r", "datum_kwargs": {"point_number": 0}}
    run[2][1]["data"]["img"], run[2][1]["filled"] = "r/0", {"img": False}
    return [*run[:2], ("resource", resource), ("datum", datum), *run[2:]]


@pytest.mark.parametrize("shape", [*SHAPES, (3, 6, 9), (9, 6, 0)])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_handlers_tiff_of_colour_is_colour(tmp_path, shape, planar):
    """Photometry counts for files of a handler, too."""
    stored = np.moveaxis(COLOUR, -1, 0) if planar == "separate" else COLOUR
    path = tmp_path / "a_0.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar)

    report = tiffin.export(
        ad_tiff(tmp_path, shape), NAME, directory=tmp_path / "out", on_error="report"
    )

    assert report.ok, report.failed[0].error
    (written,) = report.written
    np.testing.assert_array_equal(tifffile.imread(written.path), COLOUR)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_handlers_tiff_of_cmyk_is_refused(tmp_path, shape):
    """It is not RGB with alpha."""
    tifffile.imwrite(tmp_path / "a_0.tif", FOUR, photometric="separated")

    report = tiffin.export(
        ad_tiff(tmp_path, shape), NAME, directory=tmp_path / "out", on_error="report"
    )

    assert not report.written
    assert "neither grey nor RGB" in str(report.failed[0].error)

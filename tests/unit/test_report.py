"""The page of images: what is in it, without a browser."""

import base64
import hashlib
import json
import re
import zlib
from importlib.resources import files

import numpy as np
import pytest

import tiffin
from tests import shell
from tests.documents import write_jsonl
from tiffin.corrections import DarkSubtract
from tiffin.errors import ExistsError, SourceError
from tiffin.report import write_page
from tiffin.report.page import page_of
from tiffin.report.statistics import statistics_of
from tiffin.report.views import encode_view
from tiffin.testing import heating_scan, run_of

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "f2", "?"]


def data_in(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def decoded(view):
    """Return the pixels of a view, as its JavaScript does."""
    kind = "i4" if view["type"] == "q" else view["type"]
    dtype = np.dtype(f"<{kind}")
    apart = np.frombuffer(zlib.decompress(base64.b64decode(view["data"])), "u1")
    values = np.ascontiguousarray(apart.reshape(dtype.itemsize, -1).T).view(dtype)[:, 0]
    if kind[0] in "ui" and dtype.itemsize < 8:
        unsigned = values.view(f"<u{dtype.itemsize}")
        steps = (unsigned >> 1) ^ (-(unsigned & 1).astype(dtype)).view(unsigned.dtype)
        values = np.cumsum(steps, dtype=unsigned.dtype).view(dtype)
    planes = values.reshape(view["samples"], view["rows"], view["columns"])
    image = planes[0] if view["samples"] == 1 else np.moveaxis(planes, 0, -1)
    if view["type"] == "q":
        return np.where(image == -(2**31), np.nan, image * view["step"])
    return image


def export(out, images, template="{event.seq_num:03d}.tif", **settings):
    run = run_of({"img": images}, scan_id=settings.pop("scan_id", 7))
    return tiffin.export(run, template, directory=out, **settings)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(13, 9), (13, 9, 3)])
def test_a_view_has_the_pixels_of_the_image(dtype, shape):
    """Every pixel, extremes and NaN too."""
    random = np.random.default_rng(1)
    image = random.integers(0, 2**63, shape, "u8").view("i8").astype("u8")
    image = np.ascontiguousarray(image).view("f8") if dtype[0] == "f" else image
    with np.errstate(over="ignore", invalid="ignore"):
        image = image.astype(dtype)
    if image.dtype.kind == "f":
        image[0, 0], image[0, 1], image[0, 2] = np.nan, np.inf, -0.0

    np.testing.assert_array_equal(image, decoded(encode_view(image)))


def test_a_reduced_view_has_the_means_of_blocks():
    """Those at the edges are smaller; integers are rounded."""
    image = np.arange(35, dtype="u2").reshape(5, 7)

    means = decoded(encode_view(image, 3))

    assert means.dtype == np.uint16
    assert means.tolist() == [[8, 11, 13], [26, 28, 30]]


def test_a_reduced_view_of_floats_is_as_good_as_a_screen():
    """To a 4096th of the range, or better; NaN stays NaN."""
    image = np.random.default_rng(2).normal(1e-9, 1e-10, (64, 64)).astype("f4")
    image[:4, :4] = np.nan

    means = decoded(encode_view(image, 4))

    expected = image.reshape(16, 4, 16, 4).mean((1, 3))
    assert np.isnan(means[0, 0])
    np.testing.assert_allclose(means, expected, atol=np.nanmax(expected) / 4096)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_the_largest_floats_have_a_view_and_figures(dtype):
    largest = np.finfo(dtype).max
    image = np.array([[largest, -largest] * 2, [largest, 1] * 2], dtype).repeat(2, 0)

    assert decoded(encode_view(image, 2)).shape == (2, 2)
    assert statistics_of(image)["max"] == largest


def test_means_of_small_floats_keep_their_digits():
    image = np.full((4, 4), 1e-300)
    image[:2] = 3e-300

    np.testing.assert_allclose(
        decoded(encode_view(image, 2))[:, 0], [3e-300, 1e-300], rtol=1e-3
    )


def test_figures_of_an_image():
    """Saturated are the pixels with the largest value of the dtype."""
    figures = statistics_of(np.array([[0, 65535], [65535, 2]], "u2"))

    assert (figures["mean"], figures["min"], figures["max"]) == (32768, 0, 65535)
    assert (figures["saturated"], figures["invalid"]) == (2, 0)


def test_saturated_pixels_do_not_make_the_others_black():
    """Gaps of a detector have the largest value, too."""
    image = np.full((10, 10), 2**32 - 1, "u4")
    image[:5] = np.arange(10)

    figures = statistics_of(image)

    assert figures["high"] < 10
    assert figures["max"] == 2**32 - 1


def test_figures_leave_out_what_is_no_number():
    figures = statistics_of(np.array([[np.nan, 1], [np.inf, 4]], "f4"))

    assert (figures["mean"], figures["max"], figures["invalid"]) == (2.5, 4, 2)
    assert figures["saturated"] is None
    assert statistics_of(np.array([[np.nan]]))["invalid"] == 1


def test_integers_that_a_browser_rounds_are_texts():
    assert statistics_of(np.array([[2**63 - 1]], "i8"))["max"] == str(2**63 - 1)


@pytest.mark.parametrize(
    ("template", "settings"),
    [
        ("{event.seq_num}.tif", {}),
        ("{event.seq_num}.tif", {"profile": "imagej", "compression": "zlib"}),
        ("{event.seq_num}.ome.tif", {"profile": "ome"}),
        ("{event.seq_num}.tif", {"profile": "areadetector"}),
        ("{event.seq_num}.tif", {"profile": "pilatus", "dtype": "int32"}),
        ("{event.seq_num}.tif", {"profile": "gsas2"}),
        ("all.tif", {"stack": "run"}),
        ("all.ome.tif", {"stack": "run", "profile": "ome"}),
        ("all.tif", {"stack": "run", "bigtiff": True}),
        ("{event.seq_num}.png", {"format": "png"}),
        ("{event.seq_num}.npy", {"format": "npy"}),
    ],
)
def test_the_page_has_the_pixels_of_files_of_every_kind(tmp_path, template, settings):
    """Profiles, stacks, compression, PNG and npy."""
    images = np.random.default_rng(3).integers(0, 60000, (3, 6, 9), "u2")
    assert export(tmp_path, images, template, **settings).ok

    found = data_in(write_page(tmp_path))

    assert found["problems"] == []
    for image, row in zip(images, found["images"], strict=True):
        np.testing.assert_array_equal(image, decoded(row["view"]))
        assert row["mean"] == image.mean()


def test_colour_images_have_their_samples(tmp_path):
    images = np.random.default_rng(3).integers(0, 255, (2, 6, 9, 3), "u1")
    export(tmp_path, images, colour="img")

    for image, row in zip(images, data_in(write_page(tmp_path))["images"], strict=True):
        np.testing.assert_array_equal(image, decoded(row["view"]))


def test_a_row_tells_what_is_known_of_an_image(tmp_path):
    """Name, number, time, motors, sample, corrections; entries that the user added."""
    data = {"img": np.ones((2, 6, 9), "u2"), "x": [1.5, 2.5], "T": [295, 296]}
    run = run_of(data, scan_id=7, sample_name="Å <b>", plan_name="scan", motors=["x"])
    tiffin.export(
        run,
        "{event.seq_num}.tif",
        directory=tmp_path,
        fields="img",
        corrections=DarkSubtract(constant=1),
        metadata={"T": "event.data.T"},
    )

    _, row = data_in(write_page(tmp_path))["images"]

    assert row["name"] == "2.tif"
    assert (row["frame"], row["scan_id"], row["sample"]) == (1, "7", "Å <b>")
    assert row["motors"] == {"x": [2.5]}
    assert row["others"] == {"T": 296}
    assert row["corrections"] == ["DarkSubtract(constant=1)"]
    assert row["timestamp"] == run[3][1]["time"]


def test_a_subtracted_image_knows_its_light_and_its_dark(tmp_path):
    """If they are in the folder."""
    runs = [
        run_of({"img": np.full((1, 6, 9), 5, "u2")}, scan_id=1),
        run_of({"img": np.full((1, 6, 9), 9, "u2")}, scan_id=2),
    ]
    dark = tiffin.export(runs[0], "dark.tif", directory=tmp_path).written[0].path
    tiffin.export(runs[1], "light.tif", directory=tmp_path)
    tiffin.export(
        runs[1], "sub.tif", directory=tmp_path, corrections=DarkSubtract(file=dark)
    )

    found = data_in(write_page(tmp_path))["images"]
    rows = {row["name"]: row for row in found}

    assert found[rows["sub.tif"]["dark"]]["name"] == "dark.tif"
    assert found[rows["sub.tif"]["light"]]["name"] == "light.tif"
    assert found[rows["light.tif"]["dark"]]["name"] == "dark.tif"


def test_darks_that_are_saved_are_found(tmp_path):
    """Each light and difference knows the dark of its own."""
    tiffin.export(
        heating_scan(),
        "{kind}_{event.seq_num}.tif",
        directory=tmp_path,
        corrections=DarkSubtract(stream="dark"),
        save=["sub", "light", "dark"],
    )

    found = data_in(write_page(tmp_path))["images"]

    rows = {row["name"]: row for row in found}
    for n, dark in ((1, "dark_1.tif"), (4, "dark_2.tif")):
        row = rows[f"sub_{n}.tif"]
        assert found[row["light"]]["name"] == f"light_{n}.tif"
        assert found[row["dark"]]["name"] == dark
        assert re.match(
            r"run \w{8}, stream 'dark', event \d, checksum ", row["used"][0]
        )
        assert found[rows[f"light_{n}.tif"]["dark"]]["name"] == dark


def test_failures_are_told_with_their_reason(tmp_path):
    """What failed, what is missing, what was changed, and what is no line."""
    images = [np.ones((6, 9), "u2")] * 3 + [np.ones((6, 9), complex)]
    export(tmp_path, images, on_error="report")
    (tmp_path / "001.tif").unlink()
    (tmp_path / "002.tif").write_bytes(b"II*\0")
    (manifest,) = (tmp_path / ".tiffin").iterdir()
    manifest.write_text(manifest.read_text() + "nonsense\n")

    found = data_in(write_page(tmp_path))

    reasons = {p["name"]: p["reason"] for p in found["problems"]}
    assert [row["name"] for row in found["images"]] == ["003.tif"]
    assert "complex" in reasons["004.tif"]
    assert reasons["001.tif"] == "the file is gone"
    assert "4 bytes" in reasons["002.tif"]
    assert "not JSON" in reasons[f".tiffin/{manifest.name}, line 6"]


def test_hostile_text_is_data(tmp_path):
    """It can't end the block of JSON, and no title or attribute has it as markup."""
    folder = tmp_path / "<script>alert(1)</script>"
    run = run_of(
        {"img": np.ones((1, 6, 9), "u2")},
        sample_name="</script><script>alert(2)</script>\u2028\ud800\u202efdp",
    )
    tiffin.export(run, "a.tif", directory=folder)

    text = (page := write_page(folder)).read_text("utf-8")

    assert "alert(1)</script>" not in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 3
    sample = data_in(page)["images"][0]["sample"]
    assert "alert(2)" in sample
    assert sample.endswith("\\u202efdp")


def test_only_the_scripts_of_the_page_may_run(tmp_path):
    """The policy has their hashes, and allows no connection."""
    export(tmp_path, np.ones((1, 6, 9), "u2"))
    text = write_page(tmp_path).read_text("utf-8")

    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]

    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for script in re.findall(r"<script>(.*?)</script>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_files_outside_of_the_folder_are_not_read(tmp_path):
    """Nor through a link, unless it is allowed."""
    out = tmp_path / "out"
    export(out, np.ones((2, 6, 9), "u2"))
    secret = (out / "001.tif").rename(tmp_path / "secret.tif")
    (out / "001.tif").symlink_to(secret)

    found = data_in(write_page(out))

    assert [row["name"] for row in found["images"]] == ["002.tif"]
    assert "link" in found["problems"][0]["reason"]
    followed = data_in(write_page(out, follow_links=True))
    assert (len(followed["images"]), followed["problems"]) == (2, [])


def test_a_page_is_the_same_each_time(tmp_path):
    """It has no time of writing."""
    export(tmp_path, np.ones((2, 6, 9), "u2"))

    first = write_page(tmp_path).read_bytes()

    assert write_page(tmp_path).read_bytes() == first


def test_a_file_that_is_no_page_is_not_replaced(tmp_path):
    export(tmp_path, np.ones((1, 6, 9), "u2"))
    (tmp_path / "report.html").write_text("my notes")

    with pytest.raises(ExistsError, match="not a page of tiffin"):
        write_page(tmp_path)


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_without_a_manifest_is_refused(tmp_path, exists):
    folder = tmp_path if exists else tmp_path / "nowhere"

    with pytest.raises(SourceError, match="manifest" if exists else "no folder"):
        write_page(folder)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return a folder with images that do not fit into a page, and these."""
    out = tmp_path_factory.mktemp("large")
    images = np.random.default_rng(4).integers(0, 2**16, (3, 1100, 1000), "u2")
    export(out, images, report=True)
    return out, images


def test_images_that_are_too_large_are_reduced(large):
    """So that the page has less than 5 MB, and says by how much."""
    out, _ = large

    page = write_page(out)

    assert 2_000_000 < page.stat().st_size < 5_000_000
    assert {row["view"]["reduction"] for row in data_in(page)["images"]} == {2}


def test_all_pixels_are_beside_a_full_page(large):
    """In a script for each reduced image; those of an older page are removed."""
    out, images = large
    beside = out / "report" / "images"
    beside.mkdir(parents=True)
    (beside / "99.js").write_text("old")

    page = write_page(out, full=True)

    assert page == out / "report" / "index.html"
    assert sorted(p.name for p in beside.iterdir()) == [f"{n}.js" for n in range(3)]
    call = re.fullmatch(r"tiffinImage\(2,(.*)\);\n", (beside / "2.js").read_text())
    np.testing.assert_array_equal(images[2], decoded(json.loads(call[1])))
    assert data_in(page)["images"][2]["full"] == "images/2.js"


def test_a_page_is_no_foreign_file(large):
    """`tiffin verify` knows that of a folder, that of a run, and the full one."""
    assert str(tiffin.verify(large[0])) == "3 intact"


@pytest.mark.parametrize("live", [False, True])
def test_an_export_writes_the_page_of_each_run(tmp_path, live, caplog):
    """With report=True, at its end; not if nothing was exported."""
    run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=7)
    other = run_of({"x": [1]}, scan_id=8)
    documents = [*run, *other]
    if live:
        with tiffin.ImageExporter(
            "{i}_{event.seq_num}.tif", tmp_path, report=True
        ) as save:
            for name, doc in documents:
                save(name, doc)
    else:
        tiffin.export(
            documents,
            "{i}_{event.seq_num}.tif",
            tmp_path,
            report=True,
            on_error="report",
        )

    (page,) = tmp_path.glob("*.html")
    assert page.name == f"report_7_{run[0][1]['uid'][:8]}.html"
    assert len(data_in(page)["images"]) == 2
    assert f"look at the images: {page}" in caplog.text


def test_a_run_has_one_page_whatever_became_of_its_images(tmp_path):
    """The page of an export that failed is replaced when another one succeeds."""
    run = run_of({"img": np.ones((2, 6, 9), "?")}, scan_id=7)
    options = {"directory": tmp_path, "report": True, "on_error": "report"}
    tiffin.export(run, "{event.seq_num}.tif", **options)
    (page,) = tmp_path.glob("*.html")
    assert len(data_in(page)["problems"]) == 2
    tiffin.export(run, "{event.seq_num}.tif", **options, dtype="uint8")

    assert list(tmp_path.glob("*.html")) == [page]
    assert page.name.startswith("report_7_")
    assert not data_in(page)["problems"]
    assert len(data_in(page)["images"]) == 2


def test_a_page_has_the_permissions_of_the_files(tmp_path):
    export(tmp_path, np.ones((1, 6, 9), "u2"), report=True, mode=0o640)

    (page,) = tmp_path.glob("*.html")
    assert page.stat().st_mode & 0o777 == 0o640


def test_a_page_that_can_not_be_written_is_no_failed_image(tmp_path, caplog):
    """The log says why."""
    run = run_of({"img": np.ones((1, 6, 9), "u2")}, scan_id=7)
    (tmp_path / f"report_7_{run[0][1]['uid'][:8]}.html").write_text("my notes")

    assert tiffin.export(run, "a.tif", directory=tmp_path, report=True).ok
    assert "the page of images can't be written" in caplog.text


def test_the_shell_writes_the_page_and_says_where(tmp_path):
    export(tmp_path, np.ones((2, 6, 9), "u2"))

    done = shell.tiffin("report", tmp_path)
    as_json = shell.tiffin("report", tmp_path, "--full", "--json")

    assert done.stdout == f"{tmp_path / 'report.html'}\n"
    found = json.loads(as_json.stdout)
    assert found["path"] == str(tmp_path / "report" / "index.html")
    assert (found["images"], found["problems"]) == (2, 0)


def test_the_shell_exports_with_a_page(tmp_path):
    run = run_of({"img": np.ones((1, 6, 9), "u2")})
    source = write_jsonl(run, tmp_path / "run.jsonl")

    done = shell.tiffin(
        "export", source, "-t", "a.tif", "-d", tmp_path / "out", "--report"
    )

    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "out").glob("report_*.html")
    assert f"look at the images: {page}" in done.stderr.splitlines()  # no warning


@pytest.mark.parametrize("data", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"])
@pytest.mark.parametrize("size", [8, 64])
def test_a_damaged_file_is_a_problem(tmp_path, data, size):
    """Also if its size is as listed."""
    export(tmp_path, np.ones((2, 6, 9), "u2"))
    length = size if size == 8 else (tmp_path / "002.tif").stat().st_size
    (tmp_path / "002.tif").write_bytes(data.ljust(length, b"\xff"))

    found = data_in(write_page(tmp_path))

    assert [row["name"] for row in found["images"]] == ["001.tif"]
    (problem,) = found["problems"]
    assert problem["state"] == ("damaged" if size == 8 else "unreadable")


@pytest.mark.parametrize("page", [-1, 99, 10**30])
def test_hostile_lines_make_no_hostile_page(tmp_path, page):
    """Values of any type and size: what is no image is a problem."""
    export(tmp_path, np.ones((1, 6, 9), "u2"))
    (manifest,) = (tmp_path / ".tiffin").iterdir()
    head, line = manifest.read_text().splitlines()
    deep = [[]]
    for _ in range(500):
        deep = [deep]
    hostile = {
        **json.loads(line),
        **{"stream": 5, "field": {"a": 1}, "image": [], "time": "x" * 10**6},
        **{"used": deep, "values": {"a": [1], "b": "c" * 10**6}, "frame": 10**400},
        "frames": [[1, 0, 0], [2, 10**30, page]],
    }
    manifest.write_text(f"{head}\n{json.dumps(hostile)}\n")

    written = write_page(tmp_path)

    found = data_in(written)
    assert len(found["images"]) == 1
    assert found["problems"][0]["state"] == "unreadable"
    assert written.stat().st_size < 300_000


def test_vendored_files_are_those_of_their_package():
    """Their version is on the page, their licence in it."""
    vendor = files("tiffin.report") / "assets" / "vendor"
    listed = re.findall(r"`(uPlot.*?)` \| `(\w+)`", (vendor / "README.md").read_text())

    for name, digest in listed:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    assert len(listed) == 2
    text = page_of({"folder": ""}).decode()
    assert "uPlot 1.6.32 (MIT)" in text
    assert "Copyright (c) 2022 Leon Sorokin" in text

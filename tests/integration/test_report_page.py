"""The page of images, in a real browser: what a visitor sees, clicks and reads."""

import os
import re
import shutil

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

import tiffin
from tests.documents import dark_run
from tiffin.corrections import DarkSubtract
from tiffin.report import write_page
from tiffin.testing import run_of

HOSTILE = "<img src=x onerror=alert(1)>"
READOUT = re.compile(r"row (\d+)  column (\d+)  value (.+)")
SHAPE = (40, 60)


@pytest.fixture(scope="module")
def browser():
    """Start the chromium of the system, once."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "these tests need chromium: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open pages; none may ask for anything but files, or print an error."""
    contexts, wrong = [], []

    def visit(page, width=1280, height=900, **options):
        context = browser.new_context(
            viewport={"width": width, "height": height}, **options
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: wrong.append(dialog.message))
        tab.on("request", lambda request: check(request.url))
        tab.goto(page.as_uri())
        assert wrong == []
        drawn(tab)
        return tab

    def check(url):
        if not url.startswith(("file:", "blob:", "data:")):
            wrong.append(url)

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def drawn(tab):
    tab.wait_for_selector("body[data-drawn=yes]")


def open_image(tab, n):
    tab.locator("#images button").nth(n).click()
    tab.wait_for_selector("#viewer[data-shown=yes]")


def press(tab, *keys):
    for key in keys:
        tab.keyboard.press(key)
    tab.wait_for_selector("#viewer[data-shown=yes]")


def read(tab):
    """Return row, column and value that the page tells."""
    row, column, value = READOUT.match(tab.inner_text("#readout")).groups()
    return int(row), int(column), value


@pytest.fixture(scope="module")
def images():
    """Return images of uint16, with saturated pixels in one."""
    images = np.random.default_rng(8).integers(90, 4000, (6, *SHAPE), "u2")
    images[4, :2, :3] = 65535
    return images


@pytest.fixture(scope="module")
def scan(tmp_path_factory, images):
    """Return the page of a scan with two failures."""
    out = tmp_path_factory.mktemp("pages") / f"scan {HOSTILE.replace('/', '')}"
    given = [*images, images[0].astype(complex)]
    data = {
        "img": given,
        "x": [5 - k for k in range(7)],
        "T": [300 + k for k in range(7)],
    }
    tiffin.export(
        run_of(data, scan_id=42, sample_name=HOSTILE, motors=["x"]),
        "42_{event.seq_num}.tif",
        directory=out,
        fields="img",
        metadata={"temperature": "event.data.T"},
        on_error="report",
    )
    (out / "42_6.tif").write_bytes(b"II*\0")
    return write_page(out)


@pytest.fixture(scope="module")
def darks(tmp_path_factory):
    """Return the page of a dark, lights and differences."""
    out = tmp_path_factory.mktemp("darks")
    dark = dark_run(value=7, shape=SHAPE)
    images = np.random.default_rng(9).integers(0, 999, (2, *SHAPE), "u2")
    light = run_of({"pe1_image": images}, scan_id=3)
    file = tiffin.export(dark, "dark.tif", directory=out).written[0].path
    tiffin.export(light, "light_{event.seq_num}.tif", directory=out)
    tiffin.export(
        light,
        "sub_{event.seq_num}.tif",
        directory=out,
        corrections=DarkSubtract(file=file, dtype="float32"),
    )
    return write_page(out), images


def names(tab):
    return [
        name.replace("\n", "")
        for name in tab.locator("#images .name").all_inner_texts()
    ]


def test_the_sheet_shows_every_image(visit, scan):
    """In the order of the export, each with a picture."""
    tab = visit(scan)

    assert names(tab) == [f"42_{n}.tif" for n in range(1, 6)]
    for canvas in tab.locator("#images canvas").all():
        colours = canvas.evaluate(
            "c => new Set(new Uint32Array(c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data.buffer)).size"
        )
        assert colours > 50


def test_what_failed_comes_first(visit, scan):
    """Above the images, with its name and its reason."""
    tab = visit(scan)

    problems = tab.locator("#problems")

    assert problems.locator("h2").inner_text() == "⚠ 2 problems"
    told = problems.locator("li").all_inner_texts()
    assert re.search(r"(?s)42_7\.tif.*complex128", told[0])
    assert re.search(r"(?s)42_6\.tif.*4 bytes", told[1])
    assert problems.bounding_box()["y"] < tab.locator("#controls").bounding_box()["y"]


def test_text_of_others_is_text(visit, scan):
    """A sample or a folder that looks like markup is shown as it is."""
    tab = visit(scan)

    assert tab.inner_text("h1") == f"Scan 42, {HOSTILE}"
    assert "<img" in tab.inner_text("#summary")
    assert tab.locator("img").count() == 0


def test_the_value_under_the_mouse_is_that_of_the_file(visit, scan, images):
    """And its position, also after zoom and pan."""
    tab = visit(scan)
    open_image(tab, 2)
    box = tab.locator("#pane").bounding_box()
    rows, columns = SHAPE
    scale = min(box["width"] / columns, box["height"] / rows)
    left = box["x"] + (box["width"] - columns * scale) / 2
    top = box["y"] + (box["height"] - rows * scale) / 2

    for row, column in [(0, 0), (7, 41), (rows - 1, columns - 1)]:
        tab.mouse.move(left + (column + 0.5) * scale, top + (row + 0.5) * scale)

        assert read(tab) == (row, column, str(images[2][row, column]))

    tab.mouse.wheel(0, -600)
    tab.mouse.down()
    tab.mouse.move(left + 300, top + 250, steps=3)
    tab.mouse.up()
    for x, y in [(310, 260), (500, 400), (640, 90)]:
        tab.mouse.move(box["x"] + x, box["y"] + y)
        row, column, value = read(tab)
        assert value == str(images[2][row, column])


def test_the_picture_is_as_bright_as_the_stretch_says(visit, scan, images):
    """Black at the low, white at the high percentile, in 256 levels of grey."""
    tab = visit(scan)
    tab.select_option("#map", "grey")
    drawn(tab)

    reds = (
        tab.locator("#images canvas")
        .nth(1)
        .evaluate(
            "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            ".filter((_, k) => k % 4 === 0)"
        )
    )

    image = images[1].astype(float)
    low, high = np.percentile(image, (0.5, 99.7))
    expected = np.rint(np.clip((image - low) / (high - low), 0, 1) * 255)
    assert np.abs(np.reshape(reds, SHAPE) - expected).max() <= 1


def test_the_histogram_tells_the_percentiles(visit, scan, images):
    tab = visit(scan)
    open_image(tab, 1)
    tab.select_option("#stretch", "5 95")

    caption = tab.inner_text("#histogram-caption")

    values = np.sort(images[1], axis=None)
    low, high = (values[round((values.size - 1) * p)] for p in (0.05, 0.95))
    assert f"{values[0]} to {values[-1]}; black {low}, white {high}." in caption


def test_the_keyboard_does_it_all(visit, scan, images):
    """Previous, next, zoom, cursor, colours, close; the focus comes back."""
    tab = visit(scan)
    for key in ("Tab", "Tab", "Enter"):  # past a thousand images, to the table
        tab.keyboard.press(key)
    assert tab.evaluate("document.activeElement.id") == "rows"
    tab.locator("#images button").first.focus()
    press(tab, "ArrowRight", "Enter")
    assert tab.inner_text("#viewer-title") == "42_2.tif"

    press(tab, "ArrowRight", "ArrowRight", "ArrowLeft")
    assert tab.inner_text("#viewer-title") == "42_3.tif"
    press(tab, "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowUp")
    row, column = SHAPE[0] // 2 - 1, SHAPE[1] // 2 + 1
    assert read(tab) == (row, column, str(images[2][row, column]))
    assert str(images[2][row, column]) in tab.inner_text("#spoken")
    press(tab, "l", "c", "+", "0")
    assert tab.is_checked("#viewer-log")
    assert tab.input_value("#viewer-map") == "inferno"
    press(tab, *["ArrowRight"] * 9)
    assert tab.inner_text("#viewer-title") == "42_5.tif"
    assert tab.is_disabled("#next")
    tab.keyboard.press("Escape")
    assert not tab.is_visible("#viewer")
    assert tab.evaluate("document.activeElement.dataset.image") == "1"


def test_facts_of_an_image(visit, scan, images):
    tab = visit(scan)
    open_image(tab, 4)

    facts = tab.inner_text("#facts")

    assert "4, event 5" in facts
    assert re.search(r"x\s+1\s", facts)
    assert re.search(r"temperature\s+304\s", facts)
    assert re.search(r"Saturated pixels\s+6$", facts)
    assert re.search(rf"Mean\s+{images[4].mean():.6g}", facts)
    assert re.search(r"Pixels\s+40 . 60, uint16", facts)


def test_search_sort_and_table(visit, scan):
    """They act on sheet, table and plot alike."""
    tab = visit(scan)

    tab.select_option("#sort", "motor x")
    assert names(tab) == [f"42_{n}.tif" for n in range(5, 0, -1)]
    tab.locator("#table thead button", has_text="number").click()
    rows = tab.locator("#table tbody tr")
    assert rows.first.inner_text().startswith("42_1.tif")
    tab.fill("#search", "x=3 42")
    assert names(tab) == ["42_3.tif"]
    assert tab.inner_text("#count") == "1 of 5 shown"
    tab.fill("#search", "nowhere")
    assert tab.is_visible("#nothing")
    tab.click("#reset")
    assert rows.count() == 5


def test_a_point_of_the_plot_opens_its_image(visit, scan):
    """Saturated pixels against the motor: the one with the most."""
    tab = visit(scan)
    tab.select_option("#plot-y", "saturated")
    tab.select_option("#plot-x", "motor x")
    label = tab.locator("#plot canvas").get_attribute("aria-label")
    assert label == "saturated pixels against x of 5 images"

    over = tab.locator("#plot .u-over")
    box = over.bounding_box()
    over.hover(position={"x": box["width"] * 0.02 / 1.04 + 4, "y": 20})
    tab.mouse.down()
    tab.mouse.up()

    tab.wait_for_selector("#viewer[data-shown=yes]")
    assert tab.inner_text("#viewer-title") == "42_5.tif"


def test_a_dark_is_shown_beside_its_light(visit, darks):
    """And beside the difference; the values of both are told."""
    page, images = darks
    tab = visit(page)
    tab.fill("#search", "sub_2")
    open_image(tab, 0)

    tab.select_option("#beside", "dark")
    tab.wait_for_selector("#viewer[data-shown=yes]")
    tab.locator("#pane").focus()
    press(tab, "Shift+ArrowRight")

    assert tab.locator("#pane-beside").is_visible()
    assert tab.inner_text("#caption-beside") == "its dark: dark.tif"
    row, column, told = read(tab)
    light = int(images[1][row, column])
    assert told.split() == [str(light - 7), "its", "dark", "7"]
    tab.select_option("#beside", "light")
    tab.wait_for_function(
        "document.querySelector('#caption-beside').textContent.includes('light_2')"
    )


def test_an_image_without_a_valid_pixel_says_so(visit, tmp_path):
    """Its mean and its maximum are not known."""
    images = np.full((1, 5, 5), np.nan, "f4")
    tiffin.export(run_of({"a": images}), "a.tif", directory=tmp_path)

    tab = visit(write_page(tmp_path))

    assert "no valid pixel" in tab.inner_text("#images")
    assert "mean" not in tab.inner_text("#images")


def test_without_javascript_the_page_says_what_it_needs(browser, scan):
    """And shows no empty controls."""
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(scan.as_uri())

    assert "This page needs JavaScript" in tab.inner_text("body")
    assert not tab.locator("main").is_visible()
    assert not tab.locator("#theme").is_visible()
    context.close()


def test_a_page_without_an_image_has_the_problems_only(visit, tmp_path):
    """And nothing to search or sort."""
    run = run_of({"a": np.ones((2, 5, 5), "?")})
    name = "{event.seq_num}.tif"
    tiffin.export(run, name, directory=tmp_path, on_error="report")

    tab = visit(write_page(tmp_path))

    assert tab.inner_text("#summary") == "No image was exported."
    assert tab.locator("#problems li").count() == 2
    for part in ("#controls", "#figures", "#count", "#table"):
        assert not tab.locator(part).is_visible()
    assert Axe().run(tab).response["violations"] == []


def test_a_motor_without_a_value_is_not_named(visit, tmp_path):
    """Its place in the table is empty."""
    data = {"a": np.ones((2, 5, 5), "u2"), "x": [float("nan"), 2.5]}
    run = run_of(data, motors=["x"])
    name = "{event.seq_num}.tif"
    tiffin.export(run, name, directory=tmp_path, fields="a")

    tab = visit(write_page(tmp_path))

    first, second = tab.locator("#images .about").all_inner_texts()
    assert "x" not in first.split()
    assert "x 2.5" in second


def test_values_that_javascript_rounds_are_exact(visit, tmp_path):
    """Those of int64; float32 as numpy writes it; NaN; colours have three."""
    large = np.full((1, 5, 5), 2**63 - 25, "i8")
    tiffin.export(run_of({"a": large}), "a.npy", directory=tmp_path, format="npy")
    missing = np.full((1, 5, 5), np.nan, "f4")
    missing[0, 0] = 0.1
    tiffin.export(run_of({"b": missing}), "b.tif", directory=tmp_path)
    colour = np.arange(75, dtype="u1").reshape(1, 5, 5, 3)
    tiffin.export(run_of({"c": colour}), "c.tif", directory=tmp_path, colour="c")
    tab = visit(write_page(tmp_path))

    for name, expected in (
        ("a.npy", str(2**63 - 25)),
        ("b.tif", "NaN"),
        ("c.tif", "36, 37, 38"),
    ):
        tab.fill("#search", name)
        drawn(tab)
        open_image(tab, 0)
        press(tab, "Shift+ArrowRight")
        assert read(tab) == (2, 2, expected)
        if name == "b.tif":
            press(tab, "Shift+ArrowUp", "Shift+ArrowUp")
            assert read(tab) == (0, 2, "0.1")
        tab.keyboard.press("Escape")


def test_the_pages_of_a_stack_are_images(visit, tmp_path):
    images = np.random.default_rng(1).integers(0, 99, (3, *SHAPE), "u2")
    tiffin.export(run_of({"img": images}), "all.tif", directory=tmp_path, stack="run")
    tab = visit(write_page(tmp_path))

    open_image(tab, 2)
    press(tab, "Shift+ArrowRight")

    assert tab.inner_text("#viewer-title") == "all.tif, page 2"
    assert read(tab)[2] == str(images[2][SHAPE[0] // 2, SHAPE[1] // 2])


@pytest.mark.slow
def test_a_full_page_reads_all_pixels_when_they_are_wanted(visit, tmp_path):
    """From the scripts beside it."""
    images = np.random.default_rng(1).integers(0, 65536, (3, 1200, 1000), "u2")
    tiffin.export(run_of({"img": images}), "{event.seq_num}.tif", directory=tmp_path)
    reduced = visit(write_page(tmp_path))
    full = visit(write_page(tmp_path, full=True))

    open_image(reduced, 1)
    assert "Shown at 1/2 of its size" in reduced.inner_text("#reduced")
    open_image(full, 1)
    assert not full.is_visible("#reduced")
    press(full, "Shift+ArrowRight")
    assert read(full) == (600, 500, str(images[1][600, 500]))


@pytest.mark.slow
def test_a_run_of_a_thousand_images(visit, tmp_path):
    """It has less than 5 MB, and all images are there."""
    images = np.random.default_rng(1).poisson(99, (1000, 64, 64)).astype("u2")
    run = run_of({"img": images, "x": range(1000)}, motors=["x"], sample_name="LaB6")
    tiffin.export(run, "{event.seq_num:04d}.tif", directory=tmp_path, fields="img")

    page = write_page(tmp_path)
    tab = visit(page)

    assert 3_000_000 < page.stat().st_size < 5_000_000
    assert tab.inner_text("#count") == "1000 of 1000 shown"
    assert tab.locator("#images button").count() == 1000
    open_image(tab, 999)
    assert tab.inner_text("#viewer-title") == "1000.tif"


def test_light_and_dark_theme(visit, scan):
    """That of the system, until the visitor chooses."""
    background = "getComputedStyle(document.body).backgroundColor"
    tab = visit(scan, color_scheme="dark")
    dark = tab.evaluate(background)
    assert sum(map(int, re.findall(r"\d+", dark))) < 120

    tab.click("#theme")

    assert sum(map(int, re.findall(r"\d+", tab.evaluate(background)))) > 650


def test_a_phone_scrolls_one_way_only(visit, scan):
    tab = visit(scan, width=360, height=740, has_touch=True)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert tab.evaluate(fits)

    open_image(tab, 1)

    assert tab.evaluate("document.querySelector('#viewer').scrollWidth <= innerWidth")
    assert tab.locator("#pane").bounding_box()["height"] > 250


@pytest.mark.parametrize(
    "theme", ["light", pytest.param("dark", marks=pytest.mark.slow)]
)
def test_a_screen_reader_finds_its_way(visit, scan, theme):
    """axe-core finds nothing, with the viewer closed and open, wide and narrow."""
    for width in (1280, 360):
        tab = visit(scan, width=width, color_scheme=theme)
        for is_open in (False, True):
            if is_open:
                open_image(tab, 0)
            found = Axe().run(tab)
            assert found.violations_count == 0, found.generate_report()


def test_paper_is_white_and_has_no_buttons(visit, scan, tmp_path):
    """A printed page has problems, figures, images and the table."""
    tab = visit(scan, color_scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert not tab.is_visible("#controls")
    for part in ("#problems", "#plot canvas", "#images canvas >> nth=0", "#table"):
        assert tab.is_visible(part), part
    body = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert body == "rgb(255, 255, 255)"
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    pdf = tmp_path / "page.pdf"
    tab.pdf(path=pdf)
    assert pdf.stat().st_size > 20_000

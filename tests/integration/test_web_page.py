"""The page of the service in a real browser: what a visitor sees and does."""

import time

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.integration.test_report_page import HOSTILE, browser
from tests.integration.test_service import service, until, write_config, write_run
from tests.integration.test_web import SECRET, damage, spoil, web
from tiffin.bulk import FoundRun
from tiffin.service import WebPage
from tiffin.service import web as web_module

__all__ = ["browser", "service", "web"]

PATIENCE = 60_000
"""How long to wait for something on the page [ms]."""


@pytest.fixture
def visit(browser):
    """Open pages; none may ask another machine, or print an error."""
    contexts, wrong = [], []

    def visit(address, **options):
        context = browser.new_context(**{"viewport": WIDE, **options})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: wrong.append(dialog.message))
        tab.on(
            "request",
            lambda asked: (
                asked.url.startswith((str(address), "data:")) or wrong.append(asked.url)
            ),
        )
        tab.goto(str(address))
        tab.wait_for_selector("#figures div")
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}


def figure(tab, name):
    """Return a figure by its name."""
    return tab.locator("#figures div", has_text=name).locator("dd").inner_text()


def test_a_run_appears_by_itself_with_its_last_image(tmp_path, web, visit):
    """Nobody loads the page again; its report opens."""
    client, started = web(write_config(tmp_path, exports="report = true\n"))
    tab = visit(client.base_url)
    assert figure(tab, "done") == "0"
    write_run(tmp_path / "documents", 7)

    row = tab.locator("#runs tbody tr", has_text="scan 7")
    row.locator("td.done").wait_for()
    canvas = tab.locator("#last canvas[data-drawn=yes]")
    canvas.wait_for()
    assert "tiff · img" in tab.locator("#last").inner_text()
    assert (
        "7/003.tif, 8 \N{MULTIPLICATION SIGN} 6, uint16"
        in tab.locator("#last").inner_text()
    )
    assert (canvas.get_attribute("width"), canvas.get_attribute("height")) == ("6", "8")
    before = canvas.evaluate("c => c.toDataURL()")
    tab.select_option("#map", "inferno")
    assert canvas.evaluate("c => c.toDataURL()") != before
    with tab.context.expect_page() as opened:
        row.get_by_role("link").click()
    opened.value.wait_for_selector("body[data-drawn=yes]")
    assert "Images of out" in opened.value.title()
    assert started.journal.counts() == {"done": 1}


def test_a_failure_has_its_reason_and_is_retried(tmp_path, web, visit):
    """With the token, by the keyboard; a wrong one is told."""
    spoil(tmp_path / "documents", 1)
    client, started = web(write_config(tmp_path))
    tab = visit(client.base_url)
    tab.locator("#failures", has_text="scan_id").wait_for()

    tab.get_by_label("Token").fill("wrong")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.locator("#told", has_text="the token is wrong").wait_for()
    before = started.status.failures.total()
    tab.get_by_label("Token").fill(SECRET)
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.locator("#told", has_text="is tried again").wait_for()
    until(lambda: started.status.failures.total() > before)
    assert SECRET not in tab.url


def test_a_damaged_file_is_among_the_failures(tmp_path, web, visit):
    """With its line; it is no run, so there is nothing to retry."""
    damage(tmp_path / "documents/9.jsonl")
    client, _ = web(write_config(tmp_path))
    tab = visit(client.base_url)
    item = tab.locator("#failures li", has_text="9.jsonl, line 2")
    item.wait_for()
    assert "when the file changes" in item.inner_text()
    assert item.get_by_role("button").count() == 0
    (tmp_path / "documents/9.jsonl").unlink()
    item.wait_for(state="hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_everybody_can_use_it(tmp_path, web, visit, scheme, size):
    """In light and dark, at the width of a phone; names from files stay text."""
    folder = tmp_path / "documents"
    write_run(folder, 7)
    spoil(folder, 8)
    path = folder / "8.jsonl"
    path.write_text(path.read_text().replace('"x": 8', f'"{HOSTILE}": 8'))
    client, _ = web(write_config(tmp_path, exports="report = true\n"))
    tab = visit(client.base_url, color_scheme=scheme, viewport=size)
    tab.locator("#runs a").wait_for()
    tab.locator("#last canvas[data-drawn=yes]").wait_for()
    tab.locator("#failures", has_text="<img src=x").wait_for()

    found = Axe().run(tab).response["violations"]
    assert [(each["id"], each["nodes"]) for each in found] == []
    width = tab.evaluate("document.documentElement.scrollWidth")
    assert width <= size["width"]
    tab.locator("#theme").click()
    other = {"light": "dark", "dark": "light"}[scheme]
    assert tab.locator(f"html[data-theme={other}]").count() == 1


def test_nothing_so_far_is_told(tmp_path, web, visit):
    """No table without a row."""
    client, _ = web(write_config(tmp_path))
    tab = visit(client.base_url)
    assert tab.is_visible("#no-run")
    assert tab.is_visible("#no-image")
    assert not tab.is_visible("#runs")
    assert not tab.is_visible("#failed")
    assert Axe().run(tab).violations_count == 0


def test_without_javascript_the_page_says_so(tmp_path, web, browser):
    """And does not say that there are no runs."""
    client, _ = web(write_config(tmp_path))
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(str(client.base_url))
    told = tab.locator("body").inner_text().split("\n")
    context.close()
    assert [line for line in told if line.strip()] == [
        "Skip to the runs",
        "Exports",
        "This page needs JavaScript, which is switched off here.",
    ]


def test_a_hundred_failures(tmp_path, web, visit):
    """The newest are shown, and how to retry all; news do not take the focus away."""
    client, started = web(write_config(tmp_path))

    def add(numbers):
        for n in numbers:
            run = FoundRun(f"uid-{n}", "x", {"scan_id": n, "time": n})
            started.journal.add_incomplete(run, "documents are missing")

    add(range(100))
    tab = visit(client.base_url)
    tab.locator("#more", has_text="The newest 30 of 100. The command tiffin").wait_for()
    assert tab.locator("#failures li").count() == 30
    tab.get_by_role("button", name="Retry scan 90").focus()
    add([100])
    tab.get_by_role("button", name="Retry scan 100").wait_for()
    assert tab.evaluate("document.activeElement.id") == "retry-uid-90"


def test_a_service_that_ends_is_told(tmp_path, service, visit, monkeypatch):
    """The server closes its streams at once."""
    monkeypatch.setattr(web_module, "GOODBYE", 60.0)
    page = WebPage(service(write_config(tmp_path)), "127.0.0.1", 0)
    page.start()
    tab = visit(page.address)
    began = time.monotonic()
    page.close()
    assert time.monotonic() - began < 30
    tab.locator("#lost").wait_for()

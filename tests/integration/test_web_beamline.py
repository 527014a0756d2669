"""The page at a beamline: RunEngine, Tiled server, 0MQ, service and browser."""

import os
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.plans import count
from bluesky.utils import RunEngineInterrupted

from tests.integration.conftest import Counter, Image
from tests.integration.test_listeners import (
    await_connection,
    free_port,
    proxy,
    publisher,
)
from tests.integration.test_report_page import browser
from tests.integration.test_service import until
from tests.integration.test_web import SECRET
from tests.integration.test_web_page import figure, visit
from tests.stores import LIBRARIES_WARN, tiled_writer

__all__ = ["browser", "proxy", "publisher", "visit"]

pytestmark = [pytest.mark.slow, *LIBRARIES_WARN]

CONFIG = """
[service]
source = "{tiled}"
interval = 60
http = "127.0.0.1:{port}"

[[service.listen]]
type = "zmq"
address = "{zmq}"
prefix = "bl1"

[exports.tiff]
template = "{{start.scan_id}}/{{field}}_{{event.seq_num:03d}}.tif"
directory = "out"
report = true
"""


@pytest.fixture
def beamline(tmp_path, new_server, proxy, publisher, RE):
    """Start a service for a RunEngine's runs; return the address of its page."""
    port = free_port()
    (tmp_path / "tiffin.toml").write_text(
        CONFIG.format(tiled=new_server.address, port=port, zmq=proxy[1])
    )
    environment = os.environ | {
        "TILED_API_KEY": new_server.key,
        "TIFFIN_TOKEN": SECRET,
    }
    RE.subscribe(tiled_writer(new_server.client))
    RE.subscribe(publisher)
    command = [sys.executable, "-m", "tiffin", "serve", "tiffin.toml"]
    log = tmp_path / "log.txt"
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=file
        ) as service,
    ):
        try:
            until(lambda: f"see http://127.0.0.1:{port}" in log.read_text())
            address = f"http://127.0.0.1:{port}"
            until(lambda: httpx.get(f"{address}/health/ready").status_code == 200)
            await_connection(publisher, log.read_text)
            yield address
        finally:
            service.terminate()
        assert service.wait(60) == 0, log.read_text()


def paused(detectors, frames):
    """Return a plan that pauses before its last frame."""

    @bpp.stage_decorator(detectors)
    @bpp.run_decorator()
    def plan():
        for n in range(frames):
            if n == frames - 1:
                yield from bps.checkpoint()
                yield from bps.pause()
            yield from bps.trigger_and_read(detectors)

    return plan()


def pixels(canvas):
    """Return red, green, blue and opacity of all pixels of a canvas."""
    return canvas.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )


def colour(canvas, n):
    """Return red, green and blue of a pixel."""
    return pixels(canvas)[4 * n : 4 * n + 3]


def reds(canvas):
    """Return the red of each pixel: with grey colours, how bright it is."""
    return pixels(canvas)[::4]


def greys(image, *percentiles):
    """Return how bright pixels are between two percentiles."""
    ordered = np.sort(image, axis=None).astype(float)
    low, high = (ordered[round((image.size - 1) * p / 100)] for p in percentiles)
    return np.rint(np.clip((image - low) / (high - low), 0, 1) * 255).ravel()


def test_what_a_visitor_sees_of_scans(beamline, RE, visit, tmp_path):
    """A run in progress and done, last images, a failure and its retry, the report."""
    taken = {"pe1": Counter((40, 60)), "cam": Counter((30, 20), "u4")}
    detectors = [Image(name=name, func=func) for name, func in taken.items()]
    tab = visit(beamline)
    asked = []
    tab.on("request", lambda request: asked.append(urlsplit(request.url).path))

    with pytest.raises(RunEngineInterrupted):
        RE(paused(detectors, 4))
    row = tab.locator("#runs tbody tr", has_text="scan 1")
    row.locator("td.open").wait_for()
    assert figure(tab, "in progress") == "1"
    RE.resume()
    row.locator("td.done").wait_for()
    assert (figure(tab, "in progress"), figure(tab, "done")) == ("0", "1")
    assert float(figure(tab, "frames/s")) > 0
    assert row.locator("td").nth(1).inner_text() == "8"

    tab.locator("#last canvas[data-drawn=yes]").nth(1).wait_for()
    canvases = tab.locator("#last canvas").all()
    for func, canvas in zip(taken.values(), canvases, strict=True):
        (image,) = func.taken(1)
        assert colour(canvas, image.argmin()) == [68, 1, 84]  # viridis
        assert colour(canvas, image.argmax()) == [253, 231, 37]
        tab.select_option("#map", "grey")
        for low, high in ((0, 100), (0.5, 99.7), (5, 95)):
            tab.select_option("#stretch", f"{low} {high}")
            shown = np.subtract(reds(canvas), greys(image, low, high))
            assert abs(shown).max() <= 1  # 4.5 is rounded to 5 there, here to 4
        tab.select_option("#map", "viridis")

    other = tmp_path / "out/2/pe1_001.tif"
    other.parent.mkdir()
    other.write_text("not of this run")
    RE(count(detectors, 2))
    tab.locator("#failures", has_text="another file").wait_for()
    assert figure(tab, "in the queue") == "1"
    until(lambda: int(figure(tab, "lag behind the detector").split()[0]) > 0)
    other.unlink()
    tab.get_by_label("Token").fill(SECRET)
    tab.get_by_role("button", name="Retry scan 2").click()
    tab.locator("#runs tbody tr", has_text="scan 2").locator("td.done").wait_for()
    assert not tab.is_visible("#failures")
    assert len(list((tmp_path / "out/2").glob("*.tif"))) == 4

    with tab.context.expect_page() as opened:
        row.get_by_role("link").click()
    opened.value.wait_for_selector("body[data-drawn=yes]")
    assert opened.value.locator("#images button").count() == 8
    # News came by the stream that was open from the beginning.
    assert {path.split("/")[1] for path in asked} == {"images", "runs"}

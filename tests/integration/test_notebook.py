"""A notebook, with a real Jupyter kernel."""

import base64
import json
import textwrap

import pytest

pytest.importorskip("ipykernel")

SETUP = """
import time, numpy as np, tiffin
from tiffin.testing import run_of
run = run_of({"img": np.ones((6, 30, 40), "u2")}, scan_id=7)
def slow(image, frame):
    time.sleep(0.15)
    return image
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Return a function that runs a cell and returns its messages."""
    from jupyter_client import KernelManager

    folder = tmp_path_factory.mktemp("notebook")
    address = str(tmp_path_factory.mktemp("k") / "s")  # a socket's name is short
    manager = KernelManager(transport="ipc", ip=address)
    manager.connection_file = str(folder / "kernel.json")
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run(code):
        messages = []
        client.execute_interactive(
            textwrap.dedent(code), timeout=60, output_hook=messages.append
        )
        return [(m["msg_type"], m["content"]) for m in messages]

    assert not [of for of in run(SETUP) if of[0] == "error"]
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_the_line_of_a_scan_is_in_the_cell_that_ran_it(kernel):
    """Not in the cell that made the exporter, whose threads write."""
    before = kernel(
        """
        from bluesky import RunEngine
        from bluesky.plans import count
        from ophyd.sim import SynSignal
        RE = RunEngine({})
        img = SynSignal(name="img", func=lambda: np.ones((3, 4), "u2"))
        exporter = tiffin.ImageExporter("{start.scan_id}_{event.seq_num}.tif", "live")
        RE.subscribe(exporter);
        """
    )
    after = kernel("RE(count([img], 2));")

    assert not shown(before, "stream")
    said = "".join(of["text"] for of in shown(after, "stream"))
    assert said.startswith("tiffin: scan 1 → 2 images in ")


def shown(messages, kind):
    return [content for name, content in messages if name == kind]


def test_a_cell_shows_the_report(kernel):
    """A bare `tiffin.export(...)`: a table with thumbnails, and a line of text."""
    messages = kernel("tiffin.export(run, '{event.seq_num}.tif', 'a')")

    (result,) = shown(messages, "execute_result")
    assert result["data"]["text/plain"] == ("<Report: 6 written, 0 skipped, 0 failed>")
    html = result["data"]["text/html"]
    assert html.count("<img") == 6
    png = html.split("base64,")[1].split('"')[0]
    assert base64.b64decode(png).startswith(b"\x89PNG")
    assert not shown(messages, "stream")


def test_a_cell_shows_the_progress_of_an_export(kernel):
    """It is updated in place, from the threads that write, and removed at the end."""
    messages = kernel(
        """
        report = tiffin.export(
            run, "{event.seq_num}.tif", "b", corrections=slow, workers=1
        )
        """
    )

    (first,) = shown(messages, "display_data")
    updates = shown(messages, "update_display_data")
    texts = [of["data"]["text/html"] for of in (first, *updates)]
    assert "of 6 images" in texts[0]
    assert len(texts) >= 3
    assert texts[-1] == ""
    assert {of["transient"]["display_id"] for of in (first, *updates)} == {
        first["transient"]["display_id"]
    }


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("tiffin.export(run, '{start.scan_id', 'c')", "template"),
        ("tiffin.export(run, '{i}.tif', 'c', fieldz='img')", "did you mean 'fields'?"),
        ("tiffin.ImageExporter('{i}.tif', workers='x')", "workers"),
        ("tiffin.export(7, '{i}.tif', 'd')", "source"),
        ("tiffin.export('nosuch.jsonl', '{i}.tif', 'd')", "does not exist"),
        ("tiffin.export(run, '{i}.tif', 'd')", "add {event.seq_num}"),
        ("tiffin.export(run, '{i}.tif', 'd', fields='imgg')", "did you mean 'img'?"),
        ("tiffin.get_images(run, 'imgg')", "did you mean 'img'?"),
        ("tiffin.read_metadata('nosuch.tif')", "No such file"),
        ("tiffin.process(run, tiffin.ImageExporter)", "ImageExporter(...)"),
        ("tiffin.ImageExporter.from_config('nosuch.toml')", "tiffin init"),
    ],
)
def test_a_mistake_in_a_call_has_a_short_traceback(kernel, code, says):
    """The user's own line, and the error."""
    (error,) = shown(kernel(f"x = 1\n{code}"), "error")

    text = "\n".join(error["traceback"])
    assert text.count("\n") <= 3
    assert "Cell" in text
    assert "line 2" in text
    assert code in text
    assert says in text
    assert "callback.py" not in text


def test_the_traceback_of_a_subscribed_class_is_short(kernel):
    """Without the lines of bluesky, which are many."""
    kernel("from bluesky import RunEngine; from bluesky.plans import count")
    code = "engine.subscribe(tiffin.ImageExporter); engine(count([], 1))"
    (error,) = shown(kernel(f"engine = RunEngine({{}})\n{code}"), "error")

    text = "\n".join(error["traceback"])
    assert text.count("\n") <= 3
    assert code in text
    assert "ImageExporter is a class" in text


def test_the_whole_traceback_can_still_be_had(kernel):
    """With `%tb Verbose` and `%debug`."""
    kernel("tiffin.ImageExporter('{')")

    whole = json.dumps(kernel("%tb Verbose"))
    depth = """
    import sys, traceback
    print(len([*traceback.walk_tb(sys.last_value.__traceback__)]))
    """
    (printed,) = shown(kernel(depth), "stream")

    assert "callback.py" in whole
    assert "parser.py" in whole
    assert int(printed["text"]) > 3


def test_an_error_in_a_correction_says_its_line(kernel):
    """The function is the user's, so its line is what matters."""
    code = """\
    def wrong(image, frame):
        return image / frame.start["nosuch"]
    tiffin.export(run, '{event.seq_num}.tif', 'd', corrections=wrong)
    """
    (error,) = shown(kernel(code), "error")

    assert "wrong, line 2: KeyError: 'nosuch'" in error["evalue"]


def test_the_log_of_an_export_says_whose_it_is(kernel):
    """Without a prefix, a line in red between others could be anybody's."""
    code = "tiffin.export(run, '{i}.tif', 'log', on_error='report')"
    (printed,) = shown(kernel(code), "stream")

    assert printed["text"].startswith("tiffin: run ")

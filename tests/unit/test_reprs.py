"""What reports, records and exporters look like in a shell and in a notebook."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import tiffin
from tests.helpers import feed
from tiffin import ImageExporter, LiveTiffExporter, Record, Report
from tiffin.errors import MissingLibraryError, ReadError
from tiffin.frames import FrameId
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num:03d}.tif"
HOSTILE = "<script>alert('x')</script>\n\x1b[2J&\"" + "x" * 10_000


def exported(folder, frames=3, **metadata):
    images = np.arange(frames * 600 * 400, dtype="u4").astype("u2")
    images = images.reshape(frames, 600, 400)
    run = run_of({"img": images}, scan_id=7, **metadata)
    return tiffin.export(run, NAME, folder)


def run_named(uid, **metadata):
    """Return the documents of a run with this uid."""
    (_, start), (_, descriptor), *events, (_, stop) = run_of(
        {"img": np.ones((2, 3, 4))}, **metadata
    )
    start["uid"] = descriptor["run_start"] = stop["run_start"] = uid
    return [("start", start), ("descriptor", descriptor), *events, ("stop", stop)]


class Tags(HTMLParser):
    """The tags of some HTML, and whether each is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_one_short_line_and_a_sequence_of_records(tmp_path):
    """A bare `tiffin.export(...)` prints a line; `len` and `for` see the records."""
    report = exported(tmp_path)

    assert repr(report) == "<Report: 3 written, 0 skipped, 0 failed>"
    assert len(report) == 3
    assert report[-1].seq_num == 3
    assert [record.seq_num for record in report] == [1, 2, 3]
    assert report
    assert Report()  # without records it is a report all the same


def test_a_record_is_one_line_with_its_reason(tmp_path):
    """What happened, to which frame, where to, and why."""
    written = exported(tmp_path).records[0]
    error = ReadError("no such\nfile\x1b[2J " + "x" * 10_000)
    failed = Record(
        FrameId("7f3a9999-1", "primary", "img", 2, 0), "failed", error=error
    )

    assert repr(written) == (
        f"<Record: written, event 1, field 'img', image 0, uint16 [600, 400], "
        f"{tmp_path / '7_001.tif'}>"
    )
    assert repr(failed).startswith(
        "<Record: failed, event 2, field 'img', image 0: no such file\\x1b[2J x"
    )
    assert len(repr(failed)) < 400
    assert repr(Record(FrameId("7f3a9999-1"), "failed")) == (
        "<Record: failed, run 7f3a9999>"
    )


def test_exporters_are_one_line(tmp_path):
    """Their template, folder, and last run."""
    with ImageExporter(NAME, tmp_path) as exporter:
        before = repr(exporter)
        feed(exporter, run_named("7f3a9999-1", scan_id=7))
        assert repr(exporter.reports) == (
            "<Reports: 1 run, the last 7f3a9999: 2 written, 0 skipped, 0 failed>"
        )
    old = LiveTiffExporter("img", str(tmp_path / NAME))

    assert before == f"<ImageExporter: {NAME!r} in {tmp_path}, <Reports: no run>>"
    assert repr(exporter).count("\n") == 0
    assert "2 written" in repr(exporter)
    assert repr(old).startswith("<LiveTiffExporter: 'img' to ")


def test_a_notebook_shows_summary_table_and_thumbnails(tmp_path):
    """A few small images, a few rows, and where the files are."""
    report = exported(tmp_path, frames=30)

    shown = report._repr_html_()

    tags = Tags(shown)
    assert 1 <= tags.seen.count("img") <= 6
    assert tags.seen.count("tr") == 1 + 10
    assert "20 more" in shown
    assert "30 written, 0 skipped, 0 failed" in shown
    assert str(tmp_path) in shown
    assert "7_001.tif" in shown
    assert len(shown) < 200_000


def test_thumbnails_show_the_pixels(tmp_path):
    """A bright corner is bright in the small image, whose sides are at most 96."""
    from io import BytesIO

    from PIL import Image

    image = np.zeros((300, 400), "u2")
    image[:150, :200] = 1000
    report = tiffin.export(run_of({"img": [image]}), "{event.seq_num}.tif", tmp_path)

    data = re.search(r"base64,([^\"]+)", report.records[0]._repr_html_())[1]
    import base64

    small = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert max(small.shape) <= 96
    assert small[0, 0] == 255
    assert small[-1, -1] == 0


def test_files_that_are_gone_or_large_have_no_thumbnail(tmp_path, monkeypatch):
    """The table is shown all the same; a large file is not read."""
    report = exported(tmp_path)
    module = sys.modules["tiffin.export.thumbnails"]
    monkeypatch.setattr(module, "LARGEST", 600 * 400 * 2 - 1)
    assert "<img" not in report._repr_html_()
    monkeypatch.undo()
    report.records[0].path.unlink()
    report.records[1].path.write_bytes(b"II*\0 no TIFF")

    shown = report._repr_html_()

    assert shown.count("<img") == 1
    assert "7_002.tif" in shown


def test_hostile_values_are_escaped_and_cut(tmp_path):
    """No value of a run is HTML, and none is long."""
    failed = Record(
        FrameId(HOSTILE, HOSTILE, HOSTILE, 1, 0),
        "failed",
        str(tmp_path / HOSTILE[:60].replace("/", "_")),
        error=ReadError(HOSTILE),
    )
    with ImageExporter("{frame}&.tif", tmp_path) as exporter:
        feed(exporter, run_named(HOSTILE))

    for shown in (Report([failed]), failed, exporter):
        html = shown._repr_html_()
        assert "script" not in Tags(html).seen
        assert "<script" not in html
        assert "\x1b" not in html
        assert len(html) < 20_000
        assert "\n" not in repr(shown)


def test_failed_frames_come_first(tmp_path):
    """A failure is seen without scrolling, and says why."""
    run = run_of({"img": np.ones((20, 3, 4), "u2")}, scan_id=7)
    exported(tmp_path)
    (tmp_path / "7_019.tif").write_bytes(b"")

    report = tiffin.export(run, NAME, tmp_path, on_error="report", existing="error")

    rows = report._repr_html_().split("<tr>")
    assert "there is already a file" in rows[2]
    assert "color" in rows[0]


def test_an_exporter_shows_its_last_report(tmp_path):
    """And its newest runs."""
    with ImageExporter(NAME, tmp_path) as exporter:
        assert "no run so far" in exporter._repr_html_()
        for n in range(3):
            feed(exporter, run_named(f"u{n}", scan_id=n))

        shown = exporter._repr_html_()

    Tags(shown)
    assert "2_001.tif" in shown
    assert "<td>u1</td><td>2 written, 0 skipped, 0 failed</td>" in shown


def test_a_report_as_a_dataframe(tmp_path):
    """One row for each frame, with all that a record has."""
    frame = exported(tmp_path).to_dataframe()

    assert list(frame.seq_num) == [1, 2, 3]
    assert list(frame.status) == ["written"] * 3
    assert frame.file[0] == str(tmp_path / "7_001.tif")
    assert frame["shape"][0] == (600, 400)
    assert {"run", "stream", "field", "i", "error", "dtype"} <= {*frame.columns}


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    """Nothing else needs pandas."""
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(MissingLibraryError, match="pip install pandas"):
        Report().to_dataframe()


def test_tab_offers_what_is_public():
    """`tiffin.<TAB>` has no internals, whatever has been imported."""
    public = [*tiffin.__all__, *tiffin._ROOMS]

    assert dir(tiffin) == sorted(public)
    for name in public:
        assert getattr(tiffin, name) is not None


def test_neither_ipython_nor_pandas_is_imported(tmp_path):
    """A script without a notebook pays nothing."""
    code = (
        "import sys, tiffin, numpy as np; from tiffin.testing import run_of\n"
        f"r = tiffin.export(run_of({{'img': np.ones((2, 3, 4))}}), '{{frame}}.tif', "
        f"{str(tmp_path)!r})\n"
        "r._repr_html_()\n"
        "print([m for m in ('IPython', 'pandas', 'rich', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_the_version_can_be_asked_for_twice():
    """Reading it imports a module of the same name, which must not hide anything."""
    assert tiffin.__version__ == tiffin.__version__

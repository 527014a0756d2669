"""Success and failure of a scan are seen live, without being asked for."""

import io
import logging
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.plans import count
from ophyd.sim import motor

import tiffin
from tests.documents import FRAMES, stream_run
from tests.helpers import feed, until
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.testing import run_of

NAME = "{start.sample}/{start.scan_id:04d}_{event.seq_num:03d}.tif"


def lines(capsys):
    """Return the lines on stderr."""
    return capsys.readouterr().err.splitlines()


def tiff_run(folder, events):
    """Return the documents of a run whose images are numbered TIFF files."""
    folder.mkdir()
    mimetype, parameters = "multipart/related;type=image/tiff", {"template": "{:d}.tif"}
    uri = f"file://localhost{folder}/"
    return stream_run(uri, mimetype, parameters, events=events)


def test_one_line_at_the_end_of_every_scan(RE, img, tmp_path, capsys):
    """The scan, its images, their folder, the first name and the last."""
    exporter = ImageExporter(NAME, tmp_path)
    RE.subscribe(exporter)

    RE(count([img], 5), sample="Ni foil")
    RE(count([img], 1), sample="Cu")

    assert lines(capsys) == [
        f"tiffin: scan 1 → 5 images in {tmp_path / 'Ni foil'} (0001_001 … 0001_005)",
        f"tiffin: scan 2 → 1 image in {tmp_path / 'Cu'} (0002_001)",
    ]
    assert exporter.last is not None
    assert str(exporter.last) == "1 written, 0 skipped, 0 failed"


def test_failures_are_loud(RE, img, tmp_path, capsys):
    """How many are missing, the first reason, and where to look."""
    exporter = ImageExporter(NAME, tmp_path)
    (tmp_path / "Ni").mkdir()
    (tmp_path / "Ni" / "0001_002.tif").touch()

    RE(count([img], 3), exporter, sample="Ni")

    said = [line for line in lines(capsys) if "scan 1" in line]
    assert len(said) == 1
    assert said[0].startswith(
        f"tiffin: scan 1 FAILED → 2 of 3 images in {tmp_path / 'Ni'} "
        f"(0001_001 … 0001_003); 1 failed, first: there is already a file"
    )
    assert said[0].endswith("(all: exporter.last.failed)")
    assert len(exporter.last.failed) == 1


def test_a_start_document_that_no_name_fits_is_loud_at_once(RE, img, tmp_path, capsys):
    """Before the first exposure, when the scan can still be stopped."""
    exporter = ImageExporter(NAME, tmp_path)
    before = []

    def look():
        end = time.monotonic() + 60
        while not before and time.monotonic() < end:
            before.extend(lines(capsys))
            yield from bps.sleep(0.01)

    @bpp.run_decorator(md={"sampel": "Ni"})  # codespell:ignore sampel
    def plan():
        yield from look()
        yield from bps.trigger_and_read([img])

    RE(plan(), exporter)

    assert len(before) == 1
    assert re.match(
        r"tiffin: run \w{8}: no image of this run can be exported: template field "
        r"'\{start.sample\}' is not in run \w{8}: did you mean ",
        before[0],
    )
    assert [line for line in lines(capsys) if "scan 1 FAILED → none of 1 image" in line]


def test_check_says_the_names_before_the_beam(tmp_path):
    """With the metadata that a plan will have; only the run knows the rest."""
    exporter = ImageExporter(
        "{start.sample}/{start.scan_id:04d}_{start.T:.1f}K_{event.seq_num:03d}.tif",
        tmp_path,
    )

    good = exporter.check(sample="Ni foil", T=300)
    bad = exporter.check(samples="Ni", T="cold")
    known = exporter.check(sample="a/b", T=4, scan_id=7)

    assert good.ok
    name = "Ni foil/{start.scan_id:04d}_300.0K_{event.seq_num:03d}.tif"
    assert good.names == str(tmp_path / name)
    assert repr(good) == f"<names: {tmp_path / name}>"
    assert known.names == str(tmp_path / "a_b/0007_4.0K_{event.seq_num:03d}.tif")
    assert not bad.ok
    assert len(bad.problems) == 2
    assert "'{start.sample}' is not in this metadata: did you mean 'samples'?" in repr(
        bad
    )
    assert "'cold'" in repr(bad)
    assert good
    assert not bad
    assert exporter.check({"sample": "Ni foil", "T": 4}, T=300) == good
    with pytest.raises(tiffin.errors.SettingsError, match=r"RE\.md, not 'Ni'"):
        exporter.check("Ni")


@pytest.mark.parametrize(
    ("template", "metadata", "ok"),
    [
        ("{start.num_points}_{start.detectors[0]}_{frame}.tif", {}, True),
        ("{run}_{start.plan_name}_{motors}_{frame}.tif", {}, True),
        ("{start.a|none}<_{start.b}>_{frame}.tif", {}, True),
        ("{start.a,event.data.T}_{frame}.tif", {}, True),
        ("{start.a.b}_{frame}.tif", {"a": 3}, False),
        ("{start.a:03d}_{frame}.tif", {"a": "x"}, False),
        ("{start.a}/{frame}.tif", {"a": "..."}, False),
    ],
)
def test_check_knows_what_plans_add(tmp_path, template, metadata, ok):
    """What the engine or the plan adds is not missing; what has a default neither."""
    assert ImageExporter(template, tmp_path).check(**metadata).ok is ok


@pytest.mark.parametrize("found", [True, False])
def test_late_files_are_awaited_and_then_counted(tmp_path, capsys, found):
    """At the stop document, what is awaited; one more line when all is known."""
    folder = tmp_path / "detector"
    documents = tiff_run(folder, 3)
    for n in (0, 1):
        tifffile.imwrite(folder / f"{n}.tif", FRAMES[n])
    exporter = ImageExporter(
        "{event.seq_num}.tif", tmp_path / "out", asset_timeout=60 if found else 0.5
    )

    feed(exporter, documents)
    (first,) = lines(capsys)
    assert len(exporter.last.planned) == 1
    if found:
        tifffile.imwrite(folder / "2.tif", FRAMES[2])
    said = []
    until(lambda: said.extend(lines(capsys)) or [s for s in said if "→" in s])

    assert "→ 2 of 3 images in" in first
    assert "1 still awaited, first event 3" in first
    assert "exporter.wait()" in first
    if found:
        assert said[-1].endswith(f"→ 3 images in {tmp_path / 'out'} (1 … 3)")
    else:
        assert "FAILED → 2 of 3 images" in said[-1]
    exporter.close()
    assert lines(capsys) == []


def test_a_late_file_does_not_make_its_run_the_newest(tmp_path, capsys):
    """`exporter.last` is the scan that ended last."""
    folder = tmp_path / "detector"
    late = tiff_run(folder, 1)
    with ImageExporter("{run}_{event.seq_num}.tif", tmp_path / "out") as exporter:
        feed(exporter, late)
        feed(exporter, run_of({"img": FRAMES[:2]}))
        tifffile.imwrite(folder / "0.tif", FRAMES[0])
        exporter.wait()
        assert len(exporter.last.written) == 2

    assert sum("→ 1 image in" in line for line in lines(capsys)) == 1


def test_a_run_without_a_stop_document_has_its_line_at_the_end(tmp_path, capsys):
    """`close` ends it."""
    with ImageExporter("{frame}.tif", tmp_path) as exporter:
        assert exporter.last is None
        feed(exporter, run_of({"img": FRAMES[:2]}, scan_id=3)[:-1])
        assert lines(capsys) == []

    assert lines(capsys) == [f"tiffin: scan 3 → 2 images in {tmp_path} (0 … 1)"]
    assert len(exporter.last.written) == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stack": "run"}, "3 images in 1 file in {out} (7)"),
        ({"dry_run": True}, "3 images in {out} (7), dry run: nothing is written"),
        ({"sidecars": "frames.csv"}, "3 images in {out} (7 … 7)"),
        ({"existing": "skip"}, "2 images in"),
    ],
)
def test_what_is_counted(tmp_path, capsys, settings, says):
    """Images, not files, and not the files beside them."""
    template = "{start.scan_id}.tif"
    if settings != {"stack": "run"}:
        template = "{start.scan_id}_{frame}.tif"
        says = says.replace("(7 … 7)", "(7_0 … 7_2)").replace("(7)", "(7_0 … 7_2)")
    if "existing" in settings:
        (tmp_path / "7_1.tif").touch()
        says += " {out} (7_0 … 7_2); 1 skipped: "
    with ImageExporter(template, tmp_path, **settings) as exporter:
        feed(exporter, run_of({"img": FRAMES[:3]}, scan_id=7))

    (line,) = lines(capsys)
    assert says.format(out=tmp_path) in line


def test_a_scan_without_a_detector_is_no_alarm(RE, tmp_path, capsys):
    """There are scans of motors only; still it is said, once."""
    RE(count([motor], 2), ImageExporter("{frame}.tif", tmp_path))

    (line,) = lines(capsys)
    assert "scan 1 → no image: run" in line
    assert "FAILED" not in line


def test_live_tiff_exporter_says_it_too(RE, img, tmp_path, capsys):
    """The class of the cookbook has the same line."""
    exporter = LiveTiffExporter(
        "img", str(tmp_path / "{start.scan_id}_{event.seq_num}.tif")
    )

    RE(count([img], 2), exporter)

    assert lines(capsys) == [f"tiffin: scan 1 → 2 images in {tmp_path} (1_1 … 1_2)"]
    assert len(exporter.last.written) == 2


@pytest.fixture
def scans():
    """The loggers, with their levels afterwards as before."""
    loggers = [logging.getLogger(name) for name in ("tiffin", "tiffin.scans")]
    yield loggers[1]
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
        logger.disabled = False


@pytest.mark.parametrize(
    ("name", "level", "good", "bad"),
    [
        ("tiffin.scans", "ERROR", False, True),
        ("tiffin", "ERROR", False, True),
        ("tiffin.scans", "CRITICAL", False, False),
        ("tiffin.scans", "INFO", True, True),
    ],
)
def test_it_can_be_turned_off(tmp_path, capsys, scans, name, level, good, bad):
    """By the level of the log, as everything that is logged."""
    logging.getLogger(name).setLevel(level)
    with ImageExporter("{start.scan_id}_{frame}.tif", tmp_path) as exporter:
        feed(exporter, run_of({"img": FRAMES[:2]}, scan_id=3))
        assert bool(lines(capsys)) is good
        feed(exporter, run_of({"img": FRAMES[:2]}, scan_id=3))

    assert any("FAILED" in line for line in lines(capsys)) is bad


def test_a_log_on_the_terminal_has_it_once(tmp_path, capsys):
    """With `logging.basicConfig()`, in its form, even at the level WARNING."""
    root = logging.getLogger()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    root.addHandler(handler)
    try:
        with ImageExporter("{frame}.tif", tmp_path) as exporter:
            feed(exporter, run_of({"img": FRAMES[:2]}, scan_id=3))
            feed(exporter, run_of({"img": FRAMES[:2]}, scan_id=3))
    finally:
        root.removeHandler(handler)

    said = lines(capsys)
    assert [line[:12] for line in said] == [
        "[INFO] scan ",
        "[ERROR] run ",
        "[ERROR] scan",
    ]


def test_a_log_by_rich_has_it_once(tmp_path, capsys):
    """Its handler has no stream, but a console."""
    from rich.console import Console
    from rich.logging import RichHandler

    root = logging.getLogger()
    handler = RichHandler(console=Console(stderr=True, width=500), show_time=False)
    root.addHandler(handler)
    try:
        with ImageExporter("{frame}.tif", tmp_path) as exporter:
            feed(exporter, run_of({"img": FRAMES[:2]}, scan_id=3))
    finally:
        root.removeHandler(handler)

    (line,) = lines(capsys)
    assert line.startswith("INFO ")
    assert "scan 3 → 2 images" in line


def test_a_log_in_a_file_has_it_beside_the_terminal(tmp_path, capsys):
    """A file is looked at later; the terminal now."""
    root, file = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(file)
    root.addHandler(handler)
    try:
        with ImageExporter("{frame}.tif", tmp_path) as exporter:
            feed(exporter, run_of({"img": FRAMES[:2]}, scan_id=3))
    finally:
        root.removeHandler(handler)

    assert len(lines(capsys)) == 1
    assert "scan 3 → 2 images" in file.getvalue()


def test_hostile_values_send_nothing_to_the_terminal(tmp_path, capsys):
    """No control character, no second line."""
    with ImageExporter("{frame}_{start.a}.tif", tmp_path / "a\nb") as exporter:
        feed(exporter, run_of({"img": FRAMES[:1]}, scan_id="4\x1b[2J\n5", a="\u202ex"))

    (line,) = lines(capsys)
    assert line.startswith("tiffin: scan 4\\x1b[2J 5 → 1 image in ")
    assert line.isprintable()


@pytest.mark.parametrize("stderr", [None, "closed", "full"])
def test_a_broken_stderr_ends_no_scan(tmp_path, monkeypatch, stderr):
    """The line is lost; the images are not."""

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    broken = None
    if stderr is not None:
        broken = Full() if stderr == "full" else io.StringIO()
    if stderr == "closed":
        broken.close()
    monkeypatch.setattr(sys, "stderr", broken)

    with ImageExporter("{frame}.tif", tmp_path) as exporter:
        feed(exporter, run_of({"img": FRAMES[:2]}))

    assert exporter.last.ok


@pytest.mark.parametrize(
    ("scan_id", "label"),
    [
        (np.int64(4), "scan 4"),
        (None, r"run \w{8}"),
        ([1], r"run \w{8}"),
        ("a", "scan a"),
    ],
)
def test_a_run_without_a_number_is_named_by_its_uid(tmp_path, capsys, scan_id, label):
    """Whatever a start document has as its number."""
    with ImageExporter("{frame}.tif", tmp_path) as exporter:
        feed(exporter, run_of({"img": FRAMES[:1]}, scan_id=scan_id))

    assert re.match(rf"tiffin: {label} → 1 image in ", lines(capsys)[0])


def test_documents_that_come_twice_have_one_line(tmp_path, capsys):
    """An exporter that is subscribed twice says it once."""
    with ImageExporter("{frame}.tif", tmp_path) as exporter:
        for document in run_of({"img": FRAMES[:2]}, scan_id=3):
            feed(exporter, [document, document])

    assert len(lines(capsys)) == 1


def test_colours_on_a_terminal_only(tmp_path, monkeypatch):
    """Red for failures, unless NO_COLOR is set."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def said(**env):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", Terminal())
            patch.delenv("NO_COLOR", raising=False)
            for name, value in env.items():
                patch.setenv(name, value)
            with ImageExporter("{frame}.tif", tmp_path) as exporter:
                feed(exporter, run_of({"img": FRAMES[:2]}))
            return sys.stderr.getvalue()

    assert "\x1b" not in said()
    assert "\x1b[1;31mtiffin: run" in said()
    assert "\x1b" not in said(NO_COLOR="1")


def test_a_script_prints_it_without_any_setting(tmp_path):
    """In a process of its own, on stderr; stdout is the user's."""
    code = (
        "import tiffin, numpy as np; from tiffin.testing import run_of\n"
        f"e = tiffin.ImageExporter('{{frame}}.tif', {str(tmp_path)!r})\n"
        "for n, d in run_of({'img': np.ones((2, 3, 4), 'u2')}, scan_id=9): e(n, d)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == ""
    assert done.stderr == f"tiffin: scan 9 → 2 images in {tmp_path} (0 … 1)\n"

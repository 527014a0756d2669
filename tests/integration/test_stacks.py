"""Several images in one file: named, written, listed, verified and resumed as one."""

import json
import os
import threading
from itertools import chain

import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import write_jsonl
from tests.helpers import export_live
from tests.shell import tiffin as shell
from tiffin import ImageExporter
from tiffin.corrections import Average, Scale
from tiffin.errors import ExistsError, SettingsError
from tiffin.export import job_queue, stack_worker, stacks
from tiffin.testing import run_of
from tiffin.verify import compare

EVENTS, EACH = 6, 3
PIXELS = np.arange(EVENTS * EACH, dtype="u2").reshape(EVENTS, EACH, 1, 1)
IMAGES = PIXELS * np.ones((5, 7), "u2")
STACKS = {
    "event": ("{event.seq_num:02d}.tif", 6),
    "run": ("{start.scan_id}.tif", 1),
    4: ("from_{frame:03d}.tif", 5),
}


def export(run, folder, *, live, **settings):
    name, _ = STACKS[settings["stack"]]
    settings = {"directory": folder, **settings}
    if live:
        return export_live(run, name, **settings)
    return tiffin.export(run, name, on_error="report", **settings)


def pages_in(folder):
    """Return the first pixel of each page of each file."""
    found = {}
    for path in sorted(folder.glob("*.tif")):
        with tifffile.TiffFile(path) as tiff:
            found[path.name] = [int(page.asarray()[0, 0]) for page in tiff.pages]
    return found


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_frames_are_pages_of_one_file(run, tmp_path, stack, live):
    """A page for each frame, in frame order, in files that the manifest lists."""
    report = export(run, tmp_path, live=live, stack=stack)

    files = pages_in(tmp_path)
    assert len(report.written) == EVENTS * EACH
    assert len(files) == STACKS[stack][1]
    assert [*chain(*files.values())] == list(range(EVENTS * EACH))
    assert {record.path.name for record in report.written} == set(files)
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_a_dry_run_tells_each_page(run, tmp_path, stack, live):
    """The file and the page that the frame is written to."""
    planned = export(run, tmp_path, live=live, stack=stack, dry_run=True)
    written = export(run, tmp_path, live=live, stack=stack)

    places = [(record.path, record.page) for record in written]
    assert [(record.path, record.page) for record in planned] == places
    assert len(set(places)) == EVENTS * EACH


@pytest.mark.parametrize("number", [3, 4])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("profile", ["plain", "imagej", "ome"])
def test_three_or_four_images_are_no_colour(tmp_path, profile, compression, number):
    """S14: each is a grey page, also of bytes."""
    images = np.arange(number * 54, dtype="u1").reshape(1, number, 6, 9)
    options = {"stack": "event", "profile": profile, "compression": compression}
    tiffin.export(run_of({"img": images}), "a.tif", directory=tmp_path, **options)

    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        shapes = [(page.photometric.name, page.shape) for page in tiff.pages]
        assert shapes == [("MINISBLACK", (6, 9))] * number
        np.testing.assert_array_equal(tiff.asarray(), images[0])


@pytest.mark.parametrize("stack", STACKS)
def test_live_and_replay_give_the_same_bytes(run, tmp_path, stack):
    """Whichever worker is first, the file is the same."""
    wanted = None
    for n in range(6):
        export(run, tmp_path / str(n), live=n % 2 == 1, stack=stack, workers=4)
        content = {p.name: p.read_bytes() for p in (tmp_path / str(n)).glob("*.tif")}
        wanted = wanted or content
        assert content == wanted


@pytest.mark.parametrize("stack", STACKS)
def test_the_manifest_has_a_line_a_page(run, tmp_path, stack):
    """Which frame is on which page, in a file of one size and checksum."""
    export(run, tmp_path, live=False, stack=stack)

    (manifest,) = (tmp_path / ".tiffin").iterdir()
    head, *lines = map(json.loads, manifest.read_text().splitlines())
    assert head["settings"]["stack"] == stack
    assert len(lines) == EVENTS * EACH
    files = pages_in(tmp_path)
    for number, line in enumerate(lines):
        ((seq_num, i, page),) = line["frames"]
        assert (seq_num, i) == (number // EACH + 1, number % EACH)
        assert files[line["path"]][page] == number
        assert line["bytes"] == (tmp_path / line["path"]).stat().st_size


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("what", ["nothing", "missing", "damaged", "shorter"])
def test_a_resume_writes_stacks_that_are_not_complete(run, tmp_path, stack, live, what):
    """What is there and intact stays; anything else is written again."""
    export(run, tmp_path, live=live, stack=stack)
    wanted = {p.name: p.read_bytes() for p in tmp_path.glob("*.tif")}
    path = tmp_path / min(wanted)
    if what == "missing":
        path.unlink()
    elif what == "damaged":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    elif what == "shorter":
        path.write_bytes(b"")

    report = export(run, tmp_path, live=False, stack=stack, existing="resume")

    again = sum(1 for r in report.written)
    assert not report.failed
    assert (again > 0) == (what != "nothing")
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*.tif")} == wanted
    assert tiffin.verify(tmp_path).ok
    assert compare(tmp_path, run).ok


def test_a_live_resume_writes_the_stack_anew(run, tmp_path):
    """How many pages there will be is not known, so the whole file is written."""
    export(run[:6], tmp_path, live=True, stack="run")
    report = export(run, tmp_path, live=True, stack="run", existing="resume")

    assert not report.failed
    assert pages_in(tmp_path) == {"7.tif": list(range(EVENTS * EACH))}
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize(
    "settings",
    [
        {"bigtiff": True},
        {"metadata": {"sample": None, "T": "event.time"}},
        {"metadata": None},
        {"streams": None, "first": 1, "repeats": "first"},
        {"stretch": "linear", "format": "png", "stack": None},
        {"compression": "zlib", "level": 9},
        {"format": "png", "stack": None, "level": 9},
    ],
)
def test_compare_takes_the_settings_from_the_manifest(run, tmp_path, settings):
    """`verify --against` makes the same files again, whatever they were made with."""
    stack = settings.get("stack", "event")
    suffix = "png" if "format" in settings else "tif"
    name = "{start.scan_id}_{event.seq_num}_{i}" if stack is None else "{event.uid}"
    tiffin.export(
        run, f"{name}.{suffix}", directory=tmp_path, **{"stack": stack, **settings}
    )

    assert compare(tmp_path, run).ok


def test_compare_finds_another_stack(run, tmp_path):
    """`verify --against` compares stacks byte for byte, and writes nothing."""
    export(run, tmp_path, live=False, stack="run")
    path = tmp_path / "7.tif"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = sorted(p.name for p in tmp_path.iterdir())

    report = compare(tmp_path, run)

    assert len(report.failed) == EVENTS * EACH
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("live", [False, True])
def test_a_frame_that_fails_leaves_its_page_out(tmp_path, live):
    """Written + skipped + failed = seen; the others are exported."""
    images = list(IMAGES)
    images[2] = images[2].astype("c8")
    run = run_of({"img": images}, scan_id=7)

    report = export(run, tmp_path, live=live, stack="run")

    counts = report.counts()
    assert sum(counts.values()) >= (EVENTS - 1) * EACH
    assert counts["written"] == (EVENTS - 1) * EACH
    assert counts["failed"]
    (pages,) = pages_in(tmp_path).values()
    assert pages == [n for n in range(EVENTS * EACH) if n // EACH != 2]
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize("live", [False, True])
def test_a_stack_that_cannot_be_written_leaves_nothing(
    run, tmp_path, monkeypatch, live
):
    """A full disk fails all frames of the stack, and there is no file of that name."""
    monkeypatch.setattr(stack_worker, "ENOUGH", 1)
    write, done = os.writev, []

    def full(descriptor, buffers):
        done.append(descriptor)
        if len(done) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, buffers)

    monkeypatch.setattr(os, "writev", full)
    report = export(run, tmp_path, live=live, stack="run")
    monkeypatch.undo()

    assert len(report.failed) == EVENTS * EACH
    assert "disk is full" in str(report.failed[0].error) or "space" in str(
        report.failed[0].error
    )
    assert pages_in(tmp_path) == {}
    report = export(run, tmp_path, live=False, stack="run", existing="resume")
    assert report.ok
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize("live", [False, True])
def test_a_retake_takes_the_page_of_the_earlier_take(tmp_path, live):
    """The later image is on the page of the point, and the earlier one nowhere."""
    run = run_of({"img": IMAGES}, scan_id=7)
    events = [n for n, (name, _) in enumerate(run) if name == "event"]
    name, again = run[events[1]]
    later = {**again, "uid": "later", "data": {"img": IMAGES[1] + 100}}
    run.insert(events[3], (name, later))

    report = export(run, tmp_path, live=live, stack="run")

    wanted = [n + (100 if n // EACH == 1 else 0) for n in range(EVENTS * EACH)]
    assert pages_in(tmp_path) == {"7.tif": wanted}
    assert len(report.written) == EVENTS * EACH
    assert len(report.skipped) == EACH
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize("live", [False, True])
def test_images_of_another_shape_begin_a_new_file(tmp_path, live):
    """The name has a number then, and so it has in a dry run."""
    run = run_of({"img": IMAGES}, scan_id=7)
    other = run_of({"img": IMAGES[:, :, :3]}, scan_id=7)
    uid = run[0][1]["uid"]
    stream = [(name, dict(doc)) for name, doc in other[1:-1]]
    stream[0][1]["run_start"] = uid
    for n, (_, doc) in enumerate(stream[1:], 1):
        doc["seq_num"] = EVENTS + n
    both = [*run[:-1], *stream, run[-1]]

    dry = export(both, tmp_path, live=live, stack="run", dry_run=True)
    report = export(both, tmp_path, live=live, stack="run")

    assert {p: len(v) for p, v in pages_in(tmp_path).items()} == {
        "7.tif": EVENTS * EACH,
        "7_001.tif": EVENTS * EACH,
    }
    assert [r.path for r in dry.records] == [r.path for r in report.records]


@pytest.mark.parametrize("live", [False, True])
def test_a_stack_goes_on_in_a_new_file_before_4_GiB(run, tmp_path, monkeypatch, live):
    """Planned, so that a dry run shows it."""
    monkeypatch.setattr(stacks, "LARGEST_CLASSIC", 6 * (70 + 5000))
    dry = export(run, tmp_path, live=live, stack="run", dry_run=True)
    report = export(run, tmp_path, live=live, stack="run")

    files = pages_in(tmp_path)
    assert len(files) > 2
    assert "7_001.tif" in files
    assert [*chain(*files.values())] == list(range(EVENTS * EACH))
    assert [r.path for r in dry.records] == [r.path for r in report.records]
    big = tmp_path / "big"
    export(run, big, live=live, stack="run", bigtiff=True)
    assert list(pages_in(big)) == ["7.tif"]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("stack", "added"),
    [("event", "{event.seq_num}"), ("run", "{field}"), (4, "{frame}")],
)
def test_two_stacks_of_one_name_collide(tmp_path, stack, added, live):
    """The message says what tells stacks apart."""
    run = run_of({"a": IMAGES, "b": IMAGES}, scan_id=7)
    export = export_live if live else tiffin.export
    report = export(
        run, "{start.scan_id}.tif", directory=tmp_path, stack=stack, on_error="report"
    )

    assert report.failed
    for record in report.failed:
        message = str(record.error)
        assert any(f" {field}" in message for field in (added, "{field}")), message
    assert live or not pages_in(tmp_path)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_that_is_there_is_not_overwritten(run, tmp_path, stack):
    """``existing=`` counts for stacks as it does for other files."""
    export(run, tmp_path, live=False, stack=stack)
    name = STACKS[stack][0]
    settings = {"directory": tmp_path, "stack": stack}
    with pytest.raises(ExistsError):
        tiffin.export(run, name, **settings)
    skipped = tiffin.export(run, name, existing="skip", **settings)
    replaced = tiffin.export(run, name, existing="replace", **settings)
    unique = tiffin.export(run, name, existing="unique", **settings)

    assert len(skipped.skipped) == len(replaced.written) == EVENTS * EACH
    assert len(unique.written) == EVENTS * EACH
    assert len(pages_in(tmp_path)) == 2 * STACKS[stack][1]
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize("live", [False, True])
def test_corrected_and_combined_frames_go_into_stacks(run, tmp_path, live):
    """Corrections come before the stack."""
    steps = [Scale(2), Average(EACH)]
    report = export(run, tmp_path, live=live, stack="run", corrections=steps)

    assert report.ok
    (pages,) = pages_in(tmp_path).values()
    assert pages == [2 * (n * EACH + 1) for n in range(EVENTS)]


def test_pages_do_not_wait_in_memory_for_ever(run, tmp_path, monkeypatch):
    """Where one page is late, those behind it go ahead, and the order stays right."""
    monkeypatch.setattr(stack_worker, "MOST_WAITING", 100)
    gate, first = threading.Event(), threading.Lock()

    def slow(image, frame):
        if frame.seq_num == 1 and frame.i == 0:
            gate.wait(60)
        elif frame.seq_num == EVENTS:
            gate.set()
        return image

    with first:
        report = export(
            run, tmp_path, live=True, stack="run", corrections=[slow], workers=3
        )
    assert report.ok
    assert pages_in(tmp_path) == {"7.tif": list(range(EVENTS * EACH))}
    assert tiffin.verify(tmp_path).ok


def test_others_go_on_while_one_worker_writes(run, tmp_path, monkeypatch):
    """It writes their pages afterwards, and they need not wait for the disk."""
    monkeypatch.setattr(stack_worker, "ENOUGH", 1)
    monkeypatch.setattr(job_queue, "MOST_GROUPS", 1)
    write, corrected, others_done = os.writev, [], threading.Event()

    def slow(descriptor, buffers):
        assert others_done.wait(60)
        return write(descriptor, buffers)

    def correct(image, frame):
        corrected.append(frame)
        if len(corrected) > (EVENTS - 1) * EACH:  # and one of the event that waits
            others_done.set()
        return image

    monkeypatch.setattr(os, "writev", slow)
    report = export(
        run, tmp_path, live=False, stack="run", workers=2, corrections=correct
    )

    assert report.ok
    assert pages_in(tmp_path) == {"7.tif": list(range(EVENTS * EACH))}
    assert tiffin.verify(tmp_path).ok


def test_no_file_has_the_name_before_the_run_has_ended(run, tmp_path):
    """A stack is there whole or not at all."""
    with ImageExporter("{start.scan_id}.tif", directory=tmp_path, stack="run") as save:
        for name, doc in run[:-1]:
            save(name, doc)
        save.wait(60)
        before = pages_in(tmp_path)
        save(*run[-1])
    assert before == {}
    assert list(pages_in(tmp_path)) == ["7.tif"]


def test_a_stack_of_a_number_is_there_when_its_last_frame_is(run, tmp_path):
    """Live, it does not wait for the next one to begin."""
    name = "{frame:03d}.tif"
    with ImageExporter(name, directory=tmp_path, stack=EACH * 2) as save:
        events = 0
        for doc_name, doc in run[:-1]:
            save(doc_name, doc)
            save.wait(60)
            events += doc_name == "event"
            assert len(pages_in(tmp_path)) == events // 2
        assert events == EVENTS


def test_a_run_that_never_stops_has_its_stack_when_the_exporter_is_closed(
    run, tmp_path
):
    """Nothing that was taken is lost."""
    with ImageExporter("{start.scan_id}.tif", directory=tmp_path, stack="run") as save:
        for name, doc in run[:-1]:
            save(name, doc)
    (report,) = save.reports.values()
    assert report.ok
    assert pages_in(tmp_path) == {"7.tif": list(range(EVENTS * EACH))}


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "runs", True, [], "event,run"], ids=str)
def test_a_wrong_stack_is_refused(tmp_path, wrong):
    """In the constructor, with what is allowed."""
    with pytest.raises(SettingsError, match="stack must be 'event', 'run' or a number"):
        ImageExporter("{event.seq_num}.tif", directory=tmp_path, stack=wrong)


def test_the_shell_and_the_file_of_settings_make_stacks(run, tmp_path):
    """``--stack``, and ``stack`` in TOML."""
    source = tmp_path / "run.jsonl"
    write_jsonl(run, source)
    for n, value in enumerate(("run", "4")):
        out = tmp_path / str(n)
        ran = shell(
            "export", source, "-t", "{frame:03d}.tif", "-d", out, "--stack", value
        )
        assert ran.returncode == 0, ran.stderr
        assert [*chain(*pages_in(out).values())] == list(range(EVENTS * EACH))
        table, other = tmp_path / "tiffin.toml", tmp_path / f"toml {n}"
        table.write_text(f"stack = {value if value.isdigit() else repr(value)}\n")
        ran = shell(
            *("export", source, "-t", "{frame:03d}.tif", "-d", other),
            *("--config", table),
        )
        assert ran.returncode == 0, ran.stderr
        assert pages_in(other) == pages_in(out)

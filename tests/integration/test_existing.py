"""What becomes of a file that is there already."""

import numpy as np
import pytest

import tiffin
from tiffin.errors import CollisionError, ExistsError
from tiffin.testing import run_of

IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
NAME = "{start.scan_id}_{event.seq_num}.tif"


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7)


def test_an_existing_file_stops_a_replay_before_the_first_write(
    run, tmp_path, names_in
):
    """S31, error: nothing is written, and the file is unchanged."""
    (tmp_path / "7_2.tif").write_bytes(b"precious")

    with pytest.raises(ExistsError, match=r"7_2\.tif") as caught:
        tiffin.export(run, NAME, directory=tmp_path)

    assert isinstance(caught.value, FileExistsError)
    assert names_in(tmp_path) == ["7_2.tif"]
    assert (tmp_path / "7_2.tif").read_bytes() == b"precious"


def test_an_existing_file_fails_alone_when_reporting(run, tmp_path):
    """S31, error: with on_error='report' the other frames are written."""
    (tmp_path / "7_2.tif").write_bytes(b"precious")

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert [record.status for record in report.records] == [
        "written",
        "failed",
        "written",
    ]
    assert (tmp_path / "7_2.tif").read_bytes() == b"precious"


def test_an_existing_file_is_skipped_or_replaced_when_asked(run, tmp_path, read):
    """S31, skip and replace."""
    (tmp_path / "7_2.tif").write_bytes(b"old")

    skipped = tiffin.export(run, NAME, directory=tmp_path, existing="skip")
    left = (tmp_path / "7_2.tif").read_bytes()
    replaced = tiffin.export(run, NAME, directory=tmp_path, existing="replace")

    assert [record.status for record in skipped.records] == [
        "written",
        "skipped",
        "written",
    ]
    assert skipped.ok
    assert left == b"old"
    assert len(replaced.written) == 3
    np.testing.assert_array_equal(read(tmp_path / "7_2.tif"), IMAGES[1])


def test_a_new_file_beside_an_existing_one_gets_a_number(run, tmp_path, read):
    """S31, unique: the old file stays, and a dry run shows the number."""
    (tmp_path / "7_2.tif").write_bytes(b"precious")
    (tmp_path / "7_2-2.tif").mkdir()
    unique = {"directory": tmp_path, "existing": "unique"}

    planned = tiffin.export(run, NAME, dry_run=True, **unique)
    report = tiffin.export(run, NAME, **unique)
    again = tiffin.export(run, NAME, **unique)

    assert [r.path.name for r in report.written] == ["7_1.tif", "7_2-3.tif", "7_3.tif"]
    assert [r.path for r in planned.planned] == [r.path for r in report.written]
    assert [r.path.name for r in again.written] == [
        "7_1-2.tif",
        "7_2-4.tif",
        "7_3-2.tif",
    ]
    assert (tmp_path / "7_2.tif").read_bytes() == b"precious"
    np.testing.assert_array_equal(read(tmp_path / "7_2-3.tif"), IMAGES[1])
    found = tiffin.verify(tmp_path)
    assert len(found.of("intact")) == 6


def test_a_number_tells_no_two_frames_of_an_export_apart(run, tmp_path):
    """S31, unique: two frames with one name collide, whether a file exists or not."""
    (tmp_path / "7.tif").write_bytes(b"precious")

    report = tiffin.export(
        run, "7.tif", directory=tmp_path, existing="unique", on_error="report"
    )

    assert len(report.failed) == 3
    assert all(isinstance(r.error, CollisionError) for r in report.failed)


def test_a_number_is_no_name_that_another_frame_has(tmp_path, read):
    """S31, unique: a number never gives a name that the template gives another
    frame.
    """
    run = run_of({"img": IMAGES[:2], "at": ["a", "a-2"]})
    (tmp_path / "a.tif").write_bytes(b"precious")
    settings = {"directory": tmp_path, "existing": "unique", "on_error": "report"}

    report = tiffin.export(run, "{event.data.at}.tif", **settings)

    assert [record.status for record in report.records] == ["written", "failed"]
    np.testing.assert_array_equal(read(tmp_path / "a-2.tif"), IMAGES[0])
    assert (tmp_path / "a.tif").read_bytes() == b"precious"


def test_a_file_that_comes_between_gets_no_other_on_top(tmp_path):
    """S31, unique: a file that appears meanwhile stays, and the frame is renamed."""

    def another_writes(image, frame):
        name = f"7_{frame.seq_num}.tif"
        (tmp_path / name).write_bytes(b"precious")
        return image

    run = run_of({"img": IMAGES}, scan_id=7)
    report = tiffin.export(
        run, NAME, directory=tmp_path, existing="unique", corrections=[another_writes]
    )

    assert [r.path.name for r in report.written] == [f"7_{n}-2.tif" for n in (1, 2, 3)]
    assert {(tmp_path / f"7_{n}.tif").read_bytes() for n in (1, 2, 3)} == {b"precious"}

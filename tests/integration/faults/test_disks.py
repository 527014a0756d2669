"""Real file systems: too small, without hard links, read-only; folders that go away."""

import errno
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

import tiffin
from tests.helpers import feed
from tests.integration.faults.harness import (
    FRAMES,
    NAME,
    hidden,
    images,
    tiffs,
    write_documents,
)
from tests.integration.faults.mounts import (
    in_memory,
    mounted,
    on_a_disk,
    remount,
    run,
    without_links,
)
from tiffin.testing import run_of

ZLIB = {"compression": "zlib"}
"""Noise, compressed: how much it takes is known to nobody before it is written."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    return write_documents(path, images(shape=(64, 64)))


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """Return what the files of an undisturbed export hold."""
    folder = tmp_path_factory.mktemp("whole")
    tiffin.export(source, NAME, directory=folder, **ZLIB)
    return tiffs(folder)


def check_stopped(report, folder, whole):
    """What was written is whole, what was not says why; then nothing more is tried."""
    of_frames = [record for record in report.records if record.path is not None]
    assert len(of_frames) == FRAMES
    assert {record.status for record in of_frames} == {"written", "failed"}
    assert report.written
    found = tiffs(folder)
    assert found == {name: whole[name] for name in found}
    assert len(found) == len(report.written)
    assert hidden(folder) == []
    errors = [record.error for record in report.failed]  # perhaps the manifest's too
    assert {error.errno for error in errors} == {errno.ENOSPC}
    assert all("No space left" in str(error) for error in errors)
    assert any(str(error).startswith("stopped, because") for error in errors)


def check_gone_on_with(folder, source, whole, **settings):
    report = tiffin.export(
        source, NAME, directory=folder, existing="resume", **settings
    )

    assert report.ok
    assert tiffs(folder) == whole
    assert hidden(folder) == []
    assert len(tiffin.verify(folder).of("intact")) == FRAMES


@pytest.mark.parametrize("limit", ["size=128k", "nr_inodes=20"])
def test_a_full_disk_stops_the_export_until_there_is_room(
    limit, source, whole, tmp_path
):
    """Bytes or inodes run out: the rest fails, and is written once there is room."""
    with in_memory(tmp_path / "disk", limit) as disk:
        report = tiffin.export(
            source, NAME, directory=disk, on_error="report", workers=2, **ZLIB
        )

        check_stopped(report, disk, whole)
        remount(disk, "size=8m,nr_inodes=0")
        check_gone_on_with(disk, source, whole, **ZLIB)


def test_a_full_ext4_stops_the_export_until_there_is_room(source, whole, tmp_path):
    """The same on a disk of blocks."""
    with on_a_disk(tmp_path / "disk", ["mkfs.ext4", "-q", "-m", "0"], 1) as disk:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        with (disk / "other").open("wb") as file:
            file.write(bytes(free - 150_000))
            file.flush()
            os.fsync(file.fileno())
        report = tiffin.export(
            source, NAME, directory=disk / "out", on_error="report", workers=2, **ZLIB
        )

        check_stopped(report, disk / "out", whole)
        (disk / "other").unlink()
        check_gone_on_with(disk / "out", source, whole, **ZLIB)


def test_a_full_disk_is_waited_for(source, whole, tmp_path):
    """`on_full="wait"`: somebody makes room after a second, and nothing is lost."""
    with in_memory(tmp_path / "disk", "size=128k") as disk:
        roomier = threading.Timer(1, remount, [disk, "size=8m"])
        roomier.start()
        report = tiffin.export(
            source, NAME, directory=disk, on_full="wait", workers=2, **ZLIB
        )
        roomier.join()

        assert len(report.written) == FRAMES
        assert tiffs(disk) == whole
        assert hidden(disk) == []
        assert len(tiffin.verify(disk).of("intact")) == FRAMES


def test_a_full_disk_is_waited_for_live(source, whole, tmp_path):
    """Live, the caller is not stopped by a full disk; `wait` returns False."""
    lines = map(json.loads, source.read_text().splitlines())
    documents = [(line["name"], line["doc"]) for line in lines]
    with in_memory(tmp_path / "disk", "size=128k") as disk:
        exporter = tiffin.ImageExporter(NAME, directory=disk, on_full="wait", **ZLIB)
        feed(exporter, documents[:-1])
        waiting = exporter.wait(0.5)
        remount(disk, "size=8m")
        exporter(*documents[-1])
        exporter.close()
        (report,) = exporter.reports.values()

        assert not waiting
        assert len(report.written) == FRAMES
        assert tiffs(disk) == whole
        assert len(tiffin.verify(disk).of("intact")) == FRAMES


def test_a_manifest_that_can_not_be_made(source, whole, tmp_path):
    """Files are written whole, a warning says that they are not listed, and the
    next export adopts them.
    """
    (tmp_path / ".tiffin").write_bytes(b"in the way")
    report = tiffin.export(source, NAME, directory=tmp_path, on_error="report", **ZLIB)

    assert len(report.written) == FRAMES
    assert not report.ok
    assert [record.error.errno for record in report.failed] == [errno.ENOTDIR]
    assert "manifest" in str(report.failed[0].error)
    (tmp_path / ".tiffin").unlink()
    check_gone_on_with(tmp_path, source, whole, **ZLIB)


@pytest.mark.parametrize("existing", ["error", "replace"])
def test_a_disk_without_hard_links(source, whole, existing, tmp_path):
    """FAT: files are written whole, and none is overwritten by mistake."""
    with without_links(tmp_path / "disk") as disk:
        if existing == "replace":
            tiffin.export(source, NAME, directory=disk, dtype="uint32")
            settings = {"existing": existing, **ZLIB}
        else:
            settings = ZLIB
        report = tiffin.export(source, NAME, directory=disk, workers=2, **settings)
        again = tiffin.export(
            source, NAME, directory=disk, on_error="report", workers=2, **ZLIB
        )

        assert report.ok
        assert {type(record.error).__name__ for record in again.failed} == {
            "ExistsError"
        }
        assert tiffs(disk) == whole
        assert hidden(disk) == []
        check_gone_on_with(disk, source, whole, **ZLIB)


def test_a_name_in_other_letters_is_there_already(tmp_path):
    """FAT: `a.tif` and `A.tif` are one file, which is not overwritten (S10, S31)."""
    documents = run_of({"img": images(1)}, scan_id=7)
    with without_links(tmp_path / "disk") as disk:
        tiffin.export(documents, "a.tif", directory=disk)
        before = tiffs(disk)
        report = tiffin.export(documents, "A.tif", directory=disk, on_error="report")

        assert [type(record.error).__name__ for record in report.failed] == [
            "CollisionError"
        ]
        assert tiffs(disk) == before


def check_refused(report, code, folder):
    """Every frame failed, with the system's words and number; nothing is there."""
    of_frames = [record for record in report.records if record.path is not None]
    assert len(of_frames) == FRAMES
    assert {record.status for record in report.records} == {"failed"}
    assert {record.error.errno for record in report.records} == {code}
    assert all(os.strerror(code) in str(record.error) for record in of_frames)
    assert list(folder.iterdir()) == []


def test_a_read_only_folder(source, tmp_path):
    """EROFS: every frame says so."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "--bind", tmp_path / "disk") as disk:
        remount(disk, "ro,bind")
        report = tiffin.export(source, NAME, directory=disk, on_error="report")

        check_refused(report, errno.EROFS, disk)


def test_a_folder_that_may_not_change(source, tmp_path):
    """EPERM: likewise, and it is not mistaken for a disk without hard links."""
    folder = tmp_path / "fixed"
    folder.mkdir()
    complaint = run("chattr", "+i", folder)
    if complaint:
        pytest.skip(f"chattr +i does not work here: {complaint}")
    try:
        report = tiffin.export(source, NAME, directory=folder, on_error="report")

        check_refused(report, errno.EPERM, folder)
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)


def test_a_folder_of_others(source, tmp_path):
    """EACCES: the same, tried as a user without rights."""
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o555)
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere: see test_publish and test_faults")
    report = tiffin.export(source, NAME, directory=folder, on_error="report")

    check_refused(report, errno.EACCES, folder)


def test_a_path_too_long_for_the_system(tmp_path):
    """One frame of three has too long a path: the others are written."""
    folder = Path(f"{tmp_path}/{'long' * 60}" + f"/{'long' * 60}" * 15)
    folder = Path(str(folder)[:4000].rstrip("/"))
    documents = run_of({"img": images(3), "name": ["a", "b" * 240, "c"]}, scan_id=7)
    report = tiffin.export(
        documents,
        "{event.data.name}.tif",
        directory=folder,
        fields="img",
        on_error="report",
    )

    assert [record.status for record in report.records] == [
        "written", "failed", "written"
    ]  # fmt: skip
    assert report.failed[0].error.errno == errno.ENAMETOOLONG
    assert sorted(tiffs(folder)) == ["a.tif", "c.tif"]


class Vandal:
    """A correction that changes nothing, and removes a folder at the tenth image."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = 0

    def __call__(self, image, frame):
        self.calls += 1
        if self.calls == 10:
            shutil.rmtree(self.folder)
        return image


@pytest.mark.parametrize("gone", ["out/Ni", "out"])
def test_a_folder_that_vanishes_in_the_midst(source, whole, gone, tmp_path):
    """The folder is made again for later frames; a resume writes what was lost with
    it.
    """
    folder, vandal = tmp_path / "out", Vandal(tmp_path / gone)
    report = tiffin.export(
        source,
        NAME,
        directory=folder,
        corrections=[vandal],
        workers=1,
        on_error="report",
        **ZLIB,
    )
    found = tiffs(folder)

    assert len(report.records) == len(report.written) == FRAMES
    assert found == {name: whole[name] for name in list(whole)[-len(found) :]}
    assert len(found) == FRAMES - 9
    vandal.calls = 100
    check_gone_on_with(folder, source, whole, corrections=[vandal], **ZLIB)


def test_the_folder_above_turns_into_a_file(tmp_path):
    """ENOTDIR: frames fail with the reason, and the file is left alone."""
    (tmp_path / "Ni").write_bytes(b"precious")
    documents = run_of({"img": np.ones((3, 6, 9), "u2")}, scan_id=7, sample="Ni")
    report = tiffin.export(documents, NAME, directory=tmp_path, on_error="report")

    assert [record.error.errno for record in report.failed] == [errno.ENOTDIR] * 3
    assert (tmp_path / "Ni").read_bytes() == b"precious"

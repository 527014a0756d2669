"""What was written is listed, can be gone on with, and can be checked."""

import hashlib
import json
import multiprocessing
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest

import tiffin
from tests.documents import write_jsonl
from tests.helpers import feed
from tests.shell import tiffin as shell
from tiffin import ImageExporter
from tiffin.errors import ExistsError, NoRoomError, ResumeError, SourceError
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num:03d}.tif"
IMAGES = np.arange(6 * 16 * 16, dtype="u2").reshape(6, 16, 16)


@pytest.fixture
def run():
    """Return a run of six images."""
    return run_of({"img": IMAGES, "x": [*range(6)]}, scan_id=7)


def lines(folder):
    (path,) = (folder / ".tiffin").iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(folder):
    """Return every file of a folder, the manifests too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_each_file_has_its_line(run, tmp_path):
    """S37: path, frames, time, shape, dtype, size and checksum, in frame order."""
    report = tiffin.export(run, NAME, directory=tmp_path, workers=4)

    settings, *frames = lines(tmp_path)
    assert settings["kind"] == "settings"
    assert settings["schema"] == 2
    assert settings["run"] == run[0][1]["uid"]
    assert settings["settings"]["template"] == NAME
    assert [tmp_path / f["path"] for f in frames] == [r.path for r in report.written]
    assert [frame["frames"] for frame in frames] == [[[n, 0, 0]] for n in range(1, 7)]
    times = [doc["time"] for name, doc in run if name == "event"]
    assert [frame["time"] for frame in frames] == times
    for frame, record in zip(frames, report.written, strict=True):
        assert frame["kind"] == "file"
        content = record.path.read_bytes()
        assert frame["status"] == "written"
        assert frame["bytes"] == len(content)
        assert frame["checksum"] == f"crc32:{zlib.crc32(content):08x}"
        assert frame["shape"] == [16, 16]
        assert frame["dtype"] == "uint16"
        assert frame["event"] == record.event
        assert frame["settings"] == settings["id"]


def as_version_1(line):
    """Return a line as version 1 had it: a line a frame."""
    if line["kind"] == "settings":
        return {**line, "schema": 1}
    ((seq_num, i, _),) = line.pop("frames")
    del line["time"]
    return {**line, "kind": "frame", "seq_num": seq_num, "i": i}


def test_a_manifest_of_version_1_is_still_read(run, tmp_path):
    """Folders that an earlier tiffin exported are verified and resumed."""
    tiffin.export(run, NAME, directory=tmp_path)
    (path,) = (tmp_path / ".tiffin").iterdir()
    old = [json.dumps(as_version_1(line)) + "\n" for line in lines(tmp_path)]
    path.write_text("".join(old))
    next(tmp_path.glob("*_003.tif")).unlink()

    before = tiffin.verify(tmp_path)
    report = tiffin.export(run, NAME, directory=tmp_path, existing="resume")

    assert str(before) == "5 intact, 1 missing"
    assert (len(report.skipped), len(report.written)) == (5, 1)
    assert tiffin.verify(tmp_path).ok


def test_what_failed_has_its_line_too(run, tmp_path):
    """Written + skipped + failed = seen, in the manifest as well."""
    run[3][1]["data"]["img"] = IMAGES[1].astype("c8")

    tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    frames = lines(tmp_path)[1:]
    assert [frame["status"] for frame in frames] == ["written", "failed"] + [
        "written"
    ] * 4
    assert "complex64" in frames[1]["error"]


def test_live_and_replayed_manifests_are_the_same(run, tmp_path):
    """Bytes are reproducible: they depend on no clock and no order of threads."""
    tiffin.export(run, NAME, directory=tmp_path / "a", workers=4)
    tiffin.export(iter(run), NAME, directory=tmp_path / "b", workers=1)
    with ImageExporter(NAME, directory=tmp_path / "c") as exporter:
        feed(exporter, run)

    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "c")


def test_sha256_on_request(run, tmp_path):
    """The checksum may be SHA-256, or none."""
    tiffin.export(run, NAME, directory=tmp_path / "a", checksum="sha256")
    tiffin.export(run, NAME, directory=tmp_path / "b", checksum="none")

    for frame in lines(tmp_path / "a")[1:]:
        digest = hashlib.sha256((tmp_path / "a" / frame["path"]).read_bytes())
        assert frame["checksum"] == f"sha256:{digest.hexdigest()}"
    assert {frame["checksum"] for frame in lines(tmp_path / "b")[1:]} == {""}


def test_a_dry_run_and_a_refused_export_leave_no_folder(run, tmp_path):
    """S36: no folder is made where nothing is written."""
    tiffin.export(run, NAME, directory=tmp_path / "a", dry_run=True)
    with pytest.raises(tiffin.TiffinError):
        tiffin.export(run, "{start.no}_{i}.tif", directory=tmp_path / "b")
    tiffin.export(
        run, "{start.no}_{i}.tif", directory=tmp_path / "c", on_error="report"
    )

    assert list(tmp_path.iterdir()) == []


# ---- going on


def test_only_what_is_missing_or_damaged_is_written_again(run, tmp_path):
    """Resume: the folder becomes byte for byte that of an undisturbed export."""
    tiffin.export(run, NAME, directory=tmp_path)
    whole = contents(tmp_path)
    kept = (tmp_path / "7_001.tif").stat().st_mtime_ns
    (tmp_path / "7_002.tif").unlink()
    damaged = bytearray((tmp_path / "7_003.tif").read_bytes())
    damaged[20] ^= 1
    (tmp_path / "7_003.tif").write_bytes(damaged)
    (tmp_path / "7_004.tif").write_bytes(b"")

    report = tiffin.export(run, NAME, directory=tmp_path, existing="resume")

    assert [record.seq_num for record in report.written] == [2, 3, 4]
    assert [record.seq_num for record in report.skipped] == [1, 5, 6]
    assert report.ok
    files = {k: v for k, v in contents(tmp_path).items() if k.endswith(".tif")}
    assert files == {k: v for k, v in whole.items() if k.endswith(".tif")}
    assert (tmp_path / "7_001.tif").stat().st_mtime_ns == kept


@pytest.mark.parametrize("kept", [0, 1, 3, 6])
@pytest.mark.parametrize("torn", ["", '{"kind":"frame","settings":"ab'])
def test_a_manifest_that_broke_off_is_gone_on_with(run, tmp_path, kept, torn):
    """A file that is not listed is adopted if it is byte for byte what would be
    written.
    """
    tiffin.export(run, NAME, directory=tmp_path)
    whole = contents(tmp_path)
    (path,) = (tmp_path / ".tiffin").iterdir()
    first = path.read_text().splitlines(keepends=True)[: 1 + kept]
    path.write_text("".join(first) + torn)
    (tmp_path / "7_006.tif").unlink()

    report = tiffin.export(run, NAME, directory=tmp_path, existing="resume")

    assert report.ok
    assert [record.seq_num for record in report.written] == [6]
    expected = dict(whole)
    if kept == 6:  # the line of the file that was gone stands twice
        (manifest,) = (name for name in whole if name.startswith(".tiffin"))
        expected[manifest] += expected[manifest].splitlines(keepends=True)[-1]
    assert contents(tmp_path) == expected


def test_a_foreign_file_is_not_adopted(run, tmp_path):
    """Resume: an unlisted file with other content stays, and its frame fails."""
    (tmp_path / "7_002.tif").write_bytes(b"precious")

    report = tiffin.export(
        run, NAME, directory=tmp_path, existing="resume", on_error="report"
    )

    assert [record.seq_num for record in report.failed] == [2]
    assert isinstance(report.failed[0].error, ExistsError)
    assert (tmp_path / "7_002.tif").read_bytes() == b"precious"
    assert len(report.written) == 5


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("dtype", "uint32"),
        ("compression", "zlib"),
        ("fields", ["img"]),
        ("streams", None),
        ("timezone", "Europe/Zurich"),
        ("name_policy", "strict"),
        ("replacements", {"a": "b"}),
        ("corrections", [np.flipud]),
    ],
)
def test_other_settings_are_refused_with_the_difference(run, tmp_path, setting, value):
    """Resume compares the settings with the manifest's, and shows what differs."""
    tiffin.export(run, NAME, directory=tmp_path)
    (tmp_path / "7_002.tif").unlink()

    with pytest.raises(ResumeError, match=f"{setting} was .* is "):
        tiffin.export(
            run, NAME, directory=tmp_path, existing="resume", **{setting: value}
        )

    assert not (tmp_path / "7_002.tif").exists()


def test_a_live_export_is_gone_on_with(run, tmp_path):
    """A live export is resumed when the same run's documents come again."""
    with ImageExporter(NAME, directory=tmp_path) as exporter:
        feed(exporter, run[:5])
    with ImageExporter(NAME, directory=tmp_path, existing="resume") as exporter:
        feed(exporter, run)
        (report,) = exporter.reports.values()

    assert [record.seq_num for record in report.skipped] == [1, 2, 3]
    assert [record.seq_num for record in report.written] == [4, 5, 6]


def _export(name, documents, folder, barrier):
    barrier.wait(100)
    tiffin.export(documents, name, directory=folder)


def test_two_exporters_into_one_folder_do_not_mix_their_lines(run, tmp_path):
    """Two processes, one run: every line is whole, and every file is listed."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    names = ("a_{event.seq_num}.tif", "b_{event.seq_num}.tif")
    children = [
        spawn.Process(target=_export, args=(name, run, tmp_path, barrier))
        for name in names
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(100)

    found = lines(tmp_path)
    assert [child.exitcode for child in children] == [0, 0]
    assert sorted(line["path"] for line in found if line["kind"] == "file") == sorted(
        f"{kind}_{n}.tif" for kind in "ab" for n in range(1, 7)
    )
    assert len([line for line in found if line["kind"] == "settings"]) == 2
    assert tiffin.verify(tmp_path).ok


# ---- checking


def test_verify_tells_what_each_file_is(run, tmp_path):
    """Missing, damaged, foreign and leftover files are told apart."""
    tiffin.export(run, NAME, directory=tmp_path)
    assert tiffin.verify(tmp_path).ok
    (tmp_path / "7_001.tif").unlink()
    content = bytearray((tmp_path / "7_002.tif").read_bytes())
    content[50] ^= 255
    (tmp_path / "7_002.tif").write_bytes(content)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".tiffin-host-1-0.part").write_bytes(b"begun")

    found = tiffin.verify(tmp_path)

    assert not found.ok
    assert [f.path.name for f in found.of("missing")] == ["7_001.tif"]
    assert [f.path.name for f in found.of("damaged")] == ["7_002.tif"]
    assert [f.path.name for f in found.of("foreign")] == ["notes.txt"]
    assert [f.path.name for f in found.of("leftover")] == [".tiffin-host-1-0.part"]
    assert len(found.of("intact")) == 4
    with pytest.raises(SourceError, match="no folder"):
        tiffin.verify(tmp_path / "nowhere")


def test_the_shell_verifies_against_the_run(run, tmp_path):
    """`tiffin verify --against` compares files with what the run gives, byte for
    byte.
    """
    source, out = tmp_path / "run.jsonl", tmp_path / "out"
    write_jsonl(run, source)
    tiffin.export(source, NAME, directory=out, dtype="uint32", compression="zlib")

    good = shell("verify", out, "--against", source)
    other = tiffin.export(
        run_of({"img": IMAGES + 1}, scan_id=7), NAME, directory=tmp_path / "other"
    )
    other.written[0].path.replace(out / "7_001.tif")
    bad = shell("verify", out, "--against", source)

    assert good.returncode == 0, good.stderr
    assert "6 the same, 0 not" in good.stderr
    assert bad.returncode == 1
    assert "7_001.tif differs from what the run gives" in bad.stdout


def test_the_shell_prints_what_sha256sum_checks(run, tmp_path):
    """The output of `tiffin checksums` can be fed to `sha256sum -c`."""
    tiffin.export(run, NAME, directory=tmp_path)

    told = shell("checksums", tmp_path)
    checked = subprocess.run(
        ["sha256sum", "-c"],
        input=told.stdout,
        text=True,
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    (tmp_path / "7_001.tif").write_bytes(b"damage")

    assert checked.returncode == 0
    assert checked.stdout.count(": OK") == 6
    assert shell("checksums", tmp_path).returncode == 1


# ---- safe


def test_the_user_is_told_before_the_disk_is_full(run, tmp_path, monkeypatch):
    """Free space is compared with the size of all files before the first is written."""
    from tiffin.export import disk_space

    monkeypatch.setattr(disk_space, "_free", lambda folder: 1000)

    with pytest.raises(NoRoomError, match=r"room for 1 kB"):
        tiffin.export(run, NAME, directory=tmp_path / "out")
    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert len(report.failed) == 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fsync", ["none", "file", "run"])
def test_files_are_the_same_whatever_is_forced_to_the_disk(run, tmp_path, fsync):
    """fsync= changes neither bytes nor permissions."""
    report = tiffin.export(run, NAME, directory=tmp_path, fsync=fsync, mode="640")

    assert {record.path.stat().st_mode & 0o777 for record in report.written} == {0o640}
    assert tiffin.verify(tmp_path).ok


IN_A_CHILD = """
import multiprocessing, sys
import numpy as np
from tiffin import ImageExporter
from tiffin.testing import run_of

def export(exporter, run, queue):
    for pair in run:
        exporter(*pair)
    exporter.close()
    queue.put([str(report) for report in exporter.reports.values()])

if __name__ == "__main__":
    folder, method = sys.argv[1:]
    context = multiprocessing.get_context(method)
    runs = [run_of({"img": np.ones((6, 16, 16), "u2")}, scan_id=n) for n in (7, 8)]
    exporter = ImageExporter("{start.scan_id}_{event.seq_num}.tif", directory=folder)
    for pair in runs[0]:
        exporter(*pair)
    queue = context.Queue()
    child = context.Process(target=export, args=(exporter, runs[1], queue))
    child.start()
    print(queue.get(timeout=60)[-1])
    child.join(60)
    sys.exit(child.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_has_a_living_exporter(tmp_path, method):
    """A forked or spawned process does not inherit a dead pool."""
    script = tmp_path / "script.py"
    script.write_text(IN_A_CHILD)

    told = subprocess.run(
        [sys.executable, "-W", "ignore", script, tmp_path / "out", method],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert told.stdout == "6 written, 0 skipped, 0 failed\n"


def test_an_exporter_can_be_pickled(tmp_path):
    """Its settings are pickled, its runs are not."""
    exporter = ImageExporter(NAME, directory=tmp_path, compression="zlib")

    again = pickle.loads(pickle.dumps(exporter))

    assert again.settings == exporter.settings
    assert again.reports == {}


def test_what_is_passed_through_is_gone_on_with_so(tmp_path):
    """A resume of HDF5 chunks that are copied gives the bytes of an undisturbed
    export.
    """
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=IMAGES, chunks=(1, 16, 16), compression="gzip")
    data_key = {
        "source": "S",
        "dtype": "array",
        "shape": [1, 16, 16],
        "dtype_numpy": "<u2",
        "external": "STREAM:",
    }
    run = run_of({"img": IMAGES}, scan_id=7)[:2]
    run[1][1]["data_keys"]["img"] = data_key
    resource = {
        "uid": "r",
        "data_key": "img",
        "mimetype": "application/x-hdf5",
        "uri": f"file://localhost{tmp_path / 'a.h5'}",
        "parameters": {"dataset": "d"},
    }
    datum = {
        "uid": "r/0",
        "stream_resource": "r",
        "descriptor": run[1][1]["uid"],
        "indices": {"start": 0, "stop": 6},
        "seq_nums": {"start": 1, "stop": 7},
    }
    run += [("stream_resource", resource), ("stream_datum", datum)]
    out = tmp_path / "out"
    tiffin.export(run, NAME, directory=out, compression="zlib")
    whole = contents(out)
    (out / "7_002.tif").unlink()
    (path,) = (out / ".tiffin").iterdir()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))

    report = tiffin.export(
        run, NAME, directory=out, compression="zlib", existing="resume"
    )

    assert report.ok
    assert [record.seq_num for record in report.written] == [2]
    assert contents(out) == whole

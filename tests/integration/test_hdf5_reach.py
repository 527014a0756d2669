"""HDF5 files that reach outside, that are bombs, or that are not there yet."""

import errno
import gc
import json
import os
import subprocess
import sys
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from typer.testing import CliRunner

import tiffin
from tests.documents import FRAMES, HDF5, datum_run, stream_run
from tests.helpers import NAME, check, feed
from tests.integration.test_hdf5_raw import image
from tiffin.cli import app
from tiffin.errors import NotYetError, ReadError
from tiffin.readers import Assets, read_images

WHERE = {"dataset": "d"}
SECRET = np.full(FRAMES.shape, 77, "<u2")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


@pytest.fixture
def secret(tmp_path):
    """A file that no document names."""
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "raw.bin").write_bytes(SECRET.tobytes())
    return folder / "raw.bin"


def run_of(path, events=12):
    return stream_run(f"file://localhost{path}", HDF5, WHERE, events=events)


def export(path, tmp_path, events=12, **options):
    options = {"on_error": "report"} | options
    return tiffin.export(
        run_of(path, events), NAME, directory=tmp_path / "out", **options
    )


def reasons(report):
    assert not report.written
    return {str(record.error) for record in report.failed}


def raw(file, name, secret):
    file.create_dataset(name, FRAMES.shape, "u2", external=[(str(secret), 0, 2**40)])


def virtual(file, name, source, dataset="d", frames=FRAMES):
    layout = h5py.VirtualLayout(frames.shape, frames.dtype)
    layout[...] = h5py.VirtualSource(str(source), dataset, frames.shape)
    file.create_virtual_dataset(name, layout)


# ---- raw files


def directly(path, secret):
    with h5py.File(path, "w") as file:
        raw(file, "d", secret)


def by_soft_link(path, secret):
    with h5py.File(path, "w") as file:
        raw(file, "deep/hidden", secret)
        file["s"] = h5py.SoftLink("/deep")
        file["d"] = h5py.SoftLink("s/hidden")


def by_external_link(path, secret):
    directly(path.with_name("other.h5"), secret)
    with h5py.File(path, "w") as file:
        file["d"] = h5py.ExternalLink("other.h5", "/d")


def by_virtual_source(path, secret):
    directly(path.with_name("other.h5"), secret)
    with h5py.File(path, "w") as file:
        virtual(file, "d", "other.h5")


def by_virtual_source_itself(path, secret):
    with h5py.File(path, "w") as file:
        raw(file, "hidden", secret)
        virtual(file, "d", ".", "hidden")


def by_all_of_them(path, secret):
    by_virtual_source(path.with_name("inner.h5"), secret)
    with h5py.File(path.with_name("link.h5"), "w") as file:
        file["d"] = h5py.ExternalLink("inner.h5", "/d")
    with h5py.File(path, "w") as file:
        virtual(file, "d", "link.h5")


def without_end(path, secret):
    """As areaDetector makes them: a virtual dataset that grows with its source."""
    by_virtual_source(path, secret)
    with h5py.File(path.with_name("other.h5"), "r+") as file:
        file.move("d", "e")
        file["d"] = h5py.SoftLink("e")
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(FRAMES.shape, "u2", maxshape=(None, 6, 9))
        source = h5py.VirtualSource(
            "other.h5", "d", FRAMES.shape, maxshape=(None, 6, 9)
        )
        layout[0 : h5py.h5s.UNLIMITED] = source[0 : h5py.h5s.UNLIMITED]
        file.create_virtual_dataset("d", layout)


WAYS = [
    directly, by_soft_link, by_external_link, by_virtual_source,
    by_virtual_source_itself, by_all_of_them, without_end,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_raw_files_are_read_only_where_that_is_allowed(
    tmp_path, path, secret, read, way
):
    """The error names the file and the setting, however the file is reached."""
    way(path, secret)

    refused = export(path, tmp_path)
    elsewhere = export(path, tmp_path, allow_external=[tmp_path / "out"])
    allowed = export(path, tmp_path, allow_external=[secret.parent])

    for report in (refused, elsewhere):
        (reason,) = reasons(report)
        assert str(secret) in reason
        assert "allow_external=" in reason
    check(allowed, SECRET, read)


def test_a_link_out_of_a_folder_that_is_allowed_is_no_way(tmp_path, path, secret):
    """The real location of a file counts."""
    inside = tmp_path / "allowed"
    inside.mkdir()
    (inside / "raw.bin").symlink_to(secret)
    directly(path, inside / "raw.bin")

    report = export(path, tmp_path, allow_external=str(inside))

    assert str(secret) in reasons(report).pop()


def test_a_raw_file_is_looked_for_where_hdf5_looks(tmp_path, path, secret, monkeypatch):
    """Relative names start at the working directory, not at the file."""
    directly(path, "raw.bin")
    (tmp_path / "raw.bin").write_bytes(SECRET.tobytes())
    monkeypatch.chdir(secret.parent)

    report = export(path, tmp_path, allow_external=[tmp_path / "out"])

    assert str(secret) in reasons(report).pop()


def test_a_raw_file_that_is_missing_or_short_is_not_there_yet(tmp_path, path, secret):
    """HDF5 would return zeros for what the raw file lacks."""
    directly(path, secret)
    secret.write_bytes(b"12")

    short = export(path, tmp_path, allow_external=[secret.parent])
    secret.unlink()
    missing = export(path, tmp_path, allow_external=[secret.parent])

    assert "incomplete" in reasons(short).pop()
    assert f"{secret} is not there (yet)" in reasons(missing).pop()


@pytest.mark.parametrize("door", ["images", "live", "dark", "shell", "toml"])
def test_every_door_takes_the_setting(tmp_path, path, secret, read, door):
    """Without it, no way of exporting reads a raw file."""
    directly(path, secret)
    run, folders = run_of(path), [secret.parent]

    if door == "images":
        with pytest.raises(ReadError, match="allow_external"):
            tiffin.get_images(run, "img")[0]
        images = tiffin.get_images(run, "img", allow_external=folders)
        np.testing.assert_array_equal(np.squeeze(images[0]), SECRET[0])
    if door == "live":
        with tiffin.ImageExporter(
            NAME, directory=tmp_path, allow_external=folders, asset_timeout=0
        ) as exporter:
            feed(exporter, run)
        check(next(iter(exporter.reports.values())), SECRET, read)
    if door == "dark":
        with pytest.raises(ReadError, match="raw storage"):
            read_images(f"{path}:d")
    if door in ("shell", "toml"):
        documents = tmp_path / "run.jsonl"
        documents.write_text("".join(_line(name, doc) for name, doc in run))
        config = tmp_path / "tiffin.toml"
        config.write_text('allow-external = ["secret"]\n')
        given = {"shell": ["--allow-external", str(secret.parent)]}.get(
            door, ["--config", str(config)]
        )
        command = ["export", str(documents), "-t", NAME, "-d", str(tmp_path / "out")]
        runner = CliRunner()
        assert runner.invoke(app, command).exit_code == 1
        assert runner.invoke(app, command + given).exit_code == 0


def _line(name, doc):
    return json.dumps([name, doc]) + "\n"


@pytest.mark.parametrize("said", [3, [3], None, ["\0"]])
def test_what_is_no_list_of_folders_is_refused(tmp_path, said):
    """Settings are checked before there is a run."""
    with pytest.raises(tiffin.errors.SettingsError, match="allow_external"):
        tiffin.ImageExporter(NAME, directory=tmp_path, allow_external=said)


# ---- links and virtual datasets


def fifo(path):
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "way", ["itself", "link", "virtual", "virtual without end", "linked virtual"]
)
def test_only_regular_files_are_opened(tmp_path, path, way):
    """Opening a pipe would hang for ever."""
    pipe = fifo(tmp_path / "pipe.h5")
    if way == "itself":
        path = pipe
    elif way == "virtual without end":
        without_end(path, tmp_path / "none.bin")
        (tmp_path / "other.h5").unlink()
        pipe.rename(tmp_path / "other.h5")
    else:
        with h5py.File(path, "w") as file:
            if way == "link":
                file["d"] = h5py.ExternalLink("pipe.h5", "/d")
            else:
                virtual(file, "d", "pipe.h5")
    if way == "linked virtual":
        path.rename(tmp_path / "b.h5")
        with h5py.File(path, "w") as file:
            file["d"] = h5py.ExternalLink("b.h5", "/d")

    report = export(path, tmp_path)

    assert "a named pipe" in reasons(report).pop()


def test_links_are_followed_to_regular_hdf5_files(tmp_path, path, read):
    """Soft and external links, relative and absolute, over several files."""
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x/y"] = FRAMES
        file["z"] = h5py.SoftLink("/x/./y")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["all"] = h5py.ExternalLink(str(tmp_path / "c.h5"), "/")
    with h5py.File(path, "w") as file:
        file["d"] = h5py.ExternalLink("b.h5", "all/z")

    check(export(path, tmp_path), FRAMES, read)


def circle(path):
    with h5py.File(path, "w") as file:
        file["d"] = h5py.SoftLink("/e")
        file["e"] = h5py.SoftLink("/d")


def circle_of_files(path):
    with h5py.File(path, "w") as file:
        file["d"] = h5py.ExternalLink(path.name, "/d")


def virtual_circle(path):
    with h5py.File(path, "w") as file:
        virtual(file, "d", ".")


@pytest.mark.parametrize("way", [circle, circle_of_files, virtual_circle])
def test_what_leads_in_a_circle_is_told(tmp_path, path, way):
    """A circle of links is an error that says so, and no RecursionError."""
    way(path)

    assert "in a circle" in reasons(export(path, tmp_path)).pop()


@pytest.mark.parametrize("virtually", [False, True])
def test_a_link_to_a_file_that_is_missing_names_it(tmp_path, path, read, virtually):
    """Its images are late, and are read once the file exists."""
    with h5py.File(path, "w") as file:
        if virtually:
            file["e"] = h5py.ExternalLink("data.h5", "/d")
            virtual(file, "d", ".", "e")
        else:
            file["d"] = h5py.ExternalLink("data.h5", "/d")
    exporter = tiffin.ImageExporter(NAME, directory=tmp_path / "live", asset_timeout=60)

    missing = reasons(export(path, tmp_path)).pop()
    feed(exporter, run_of(path))
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["d"] = FRAMES
    exporter.close()

    assert "data.h5, which is not there (yet)" in missing
    check(next(iter(exporter.reports.values())), FRAMES, read)


def test_a_virtual_source_whose_dataset_is_not_there_yet_is_late(tmp_path, path, read):
    """The source file exists and is still empty."""
    with h5py.File(path, "w") as file:
        virtual(file, "d", "data.h5")
    with h5py.File(tmp_path / "data.h5", "w"):
        pass
    exporter = tiffin.ImageExporter(NAME, directory=tmp_path / "live", asset_timeout=60)

    missing = reasons(export(path, tmp_path)).pop()
    feed(exporter, run_of(path))
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["d"] = FRAMES
    exporter.close()

    assert "data.h5 has no dataset 'd' (yet)" in missing
    check(next(iter(exporter.reports.values())), FRAMES, read)


# ---- files that can't be opened


def not_hdf5(path):
    path.write_bytes(b"%PDF-1.4 and so on")


def cut(path):
    with h5py.File(path, "w") as file:
        file["d"] = FRAMES
    os.truncate(path, path.stat().st_size - 100)


def half_a_head(path):
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (not_hdf5, "is not HDF5"),
        (cut, "truncated"),
        (half_a_head, "can't be opened (yet)"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, path, make, said):
    """In a sentence, followed by HDF5's own message."""
    make(path)

    assert said in reasons(export(path, tmp_path)).pop()


HOLDER = """
import h5py, sys
with h5py.File(sys.argv[1], "w", locking=True) as file:
    file["d"] = range(9)
    file.flush()
    print(flush=True)
    sys.stdin.read()
"""


def test_a_file_that_is_being_written_names_the_variable_that_opens_it(tmp_path, path):
    """Errno 11: another process has it open, without SWMR."""
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:
        holder.stdout.readline()
        report = export(path, tmp_path)
        holder.stdin.close()

    reason = reasons(report).pop()
    assert "HDF5_USE_FILE_LOCKING" in reason
    assert "errno 11" in reason


def test_a_file_system_without_locks_names_the_variable_that_opens_it(
    tmp_path, path, monkeypatch
):
    """Errno 37 of some network file systems, simulated here."""
    with h5py.File(path, "w") as file:
        file["d"] = FRAMES

    def refuse(*_, **__):
        text = "unable to lock file, errno = 37, error message = 'No locks available'"
        raise OSError(errno.ENOLCK, text)

    monkeypatch.setattr(h5py, "File", refuse)

    assert "HDF5_USE_FILE_LOCKING" in reasons(export(path, tmp_path)).pop()


@pytest.mark.parametrize("value", [3, h5py.Empty("u2")])
def test_a_dataset_without_axes_holds_no_image(tmp_path, path, value):
    """A scalar or empty dataset is an error."""
    with h5py.File(path, "w") as file:
        file["d"] = value

    assert "holds no image" in reasons(export(path, tmp_path)).pop()


def test_a_chunk_that_is_compressed_twice_over_is_refused(tmp_path, path):
    """The size of the inner stream can't be known before the outer one is decoded."""
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 6, 9))
        properties.set_deflate(4)
        properties.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (4,))
        space = h5py.h5s.create_simple(FRAMES.shape)
        kind = h5py.h5t.NATIVE_UINT16
        h5py.Dataset(h5py.h5d.create(file.id, b"d", kind, space, properties))[...] = (
            FRAMES
        )

    assert "more than once" in reasons(export(path, tmp_path)).pop()


def test_a_filter_that_is_missing_is_named(tmp_path, path, monkeypatch):
    """By its number, if its name is not known."""
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "d", data=FRAMES, chunks=(1, 6, 9), **hdf5plugin.Bitshuffle()
        )
    available = h5py.h5z.filter_avail
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda n: n != 32008 and available(n))

    reason = reasons(export(path, tmp_path)).pop()

    assert "32008 (bitshuffle)" in reason
    assert "pip install hdf5plugin" in reason


# ---- bombs, and streams that give too little


COMPRESSIONS = {
    "gzip": {"compression": "gzip"},
    "shuffle, gzip": {"compression": "gzip", "shuffle": True},
    "gzip, fletcher32": {"compression": "gzip", "fletcher32": True},
    "lz4": hdf5plugin.LZ4(),
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "bitshuffle, zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "blosc": hdf5plugin.Blosc(),
    "blosc2": hdf5plugin.Blosc2(),
    "zstd": hdf5plugin.Zstd(),
    "bzip2": hdf5plugin.BZip2(),
    "plain": {},
}


def stream_of(options, frames):
    """One chunk's stream, as HDF5 makes it of other frames."""
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("d", data=frames, chunks=frames.shape, **options)
        return data.id.read_direct_chunk((0,) * frames.ndim)[1]


@pytest.mark.parametrize(
    ("size", "tiles", "output"),
    [
        (30, (1, 6, 9), None),
        (2**20, (1, 6, 9), "zlib"),
        (2**20, (2, 6, 9), None),
        pytest.param(2**24, (1, 3, 9), None, marks=pytest.mark.slow),
        pytest.param(30, (1, 3, 9), "zlib", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_stream_that_gives_more_or_less_is_a_failed_frame(
    tmp_path, path, read, name, size, output, tiles
):
    """It is neither decoded nor copied, whatever its filter; other frames are exact."""
    options = COMPRESSIONS[name]
    wrong = stream_of(options, np.zeros((size,), "u2"))
    with h5py.File(path, "w") as file:
        data = file.create_dataset("d", data=FRAMES[:4], chunks=tiles, **options)
        if len(wrong) > 2**22:  # plain: HDF5 takes no more than a chunk's bytes
            wrong = wrong[:30]
        data.id.write_direct_chunk((2, 0, 0), wrong)

    report = export(path, tmp_path, events=4, compression=output)

    bad = [3, 4] if tiles[0] == 2 else [3]
    assert [record.seq_num for record in report.failed] == bad
    assert len(report.written) == 4 - len(bad)
    for record in report.written:
        np.testing.assert_array_equal(read(record.path), FRAMES[record.seq_num - 1])


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize(
    "chunks",
    [
        (1, 6, 9),
        (5, 4, 9),
        pytest.param((1, 4, 5), marks=pytest.mark.slow),
        pytest.param((3, 6, 9), marks=pytest.mark.slow),
    ],
)
def test_every_filter_is_read(tmp_path, path, read, name, chunks):
    """Checking streams first rejects no valid one."""
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=FRAMES, chunks=chunks, **COMPRESSIONS[name])

    check(export(path, tmp_path), FRAMES, read)


MEMORY = """
import resource, sys, tiffin
from tests.integration.test_hdf5_reach import export
from pathlib import Path
import h5py, hdf5plugin
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = export(*map(Path, sys.argv[1:3]), events=1, compression=sys.argv[3] or None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(report.failed))
"""


def bomb(file, **options):
    options = {"chunks": (1, 512, 512), "compression": "gzip"} | options
    data = file.create_dataset("d", (1, 512, 512), "u2", **options)
    data.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(2**28)))


def bomb_in_tiles(file):
    data = file.create_dataset(
        "d", data=np.ones((1, 512, 512), "u2"), chunks=(1, 512, 256), fletcher32=True,
        compression="gzip",
    )  # fmt: skip
    data.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(2**28)) + b"1234")


def bomb_of_zstd(file):
    data = file.create_dataset(
        "d", (1, 512, 512), "u2", chunks=(1, 512, 512), **hdf5plugin.Zstd()
    )
    data.id.write_direct_chunk(
        (0, 0, 0), stream_of(hdf5plugin.Zstd(), np.zeros((2**28,), "u1"))
    )


def wide_chunk(file):
    data = file.create_dataset(
        "d", (1, 64, 64), "u1", chunks=(1, 2**14, 2**14), maxshape=(1, None, None),
        **hdf5plugin.Bitshuffle(cname="zstd"),
    )  # fmt: skip
    data[0] = 1


def claim(file):
    file.create_dataset("d", (1, 10**7, 10**8), "u1", chunks=(1, 1000, 1000))


def claim_contiguous(file):
    file.create_dataset("d", (1, 10**7, 10**8), "u1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "output"),
    [
        (bomb, "zlib"),
        pytest.param(bomb, "", marks=pytest.mark.slow),
        pytest.param(bomb_in_tiles, "", marks=pytest.mark.slow),
        pytest.param(bomb_of_zstd, "", marks=pytest.mark.slow),
        pytest.param(wide_chunk, "", marks=pytest.mark.slow),
        pytest.param(claim, "", marks=pytest.mark.slow),
        pytest.param(claim_contiguous, "", marks=pytest.mark.slow),
    ],
)
def test_no_more_is_allocated_than_a_frame_may_have(tmp_path, path, make, output):
    """Bombs, chunks far larger than images, and huge datasets fail in little memory."""
    with h5py.File(path, "w") as file:
        make(file)

    command = [sys.executable, "-c", MEMORY, path, tmp_path, output]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    more, failed = map(int, done.stdout.split())

    assert failed == 1
    assert more < 60_000  # [kB]


# ---- nothing stays open


@contextmanager
def no_garbage_collection():
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def open_files(folder):
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was this look's own
            targets.append(link.readlink())
    return [target.name for target in targets if target.is_relative_to(folder)]


def linked_virtual(path):
    """A virtual dataset over linked files: several are open at once."""
    for n in range(3):
        with h5py.File(path.with_name(f"part{n}.h5"), "w") as file:
            file["d"] = FRAMES[4 * n : 4 * n + 4]
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(FRAMES.shape, "u2")
        for n in range(3):
            source = h5py.VirtualSource(f"part{n}.h5", "d", (4, 6, 9))
            layout[4 * n : 4 * n + 4] = source
        file.create_virtual_dataset("v", layout)
        file["d"] = h5py.SoftLink("v")


def in_chunks(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=FRAMES, chunks=(3, 6, 9), compression="gzip")


@pytest.mark.parametrize("make", [linked_virtual, in_chunks, cut, not_hdf5, circle])
@pytest.mark.parametrize("door", ["export", "live", "late", "images"])
def test_no_file_stays_open(tmp_path, path, make, door):
    """All are closed once a run's frames are done, failed or not, without garbage
    collection.
    """
    make(path)
    hidden = tmp_path / "hidden.h5"

    with no_garbage_collection():
        if door == "export":
            export(path, tmp_path)
        elif door == "images":
            with tiffin.get_images(run_of(path), "img") as images:
                for k in range(len(images)):
                    with suppress(ReadError):
                        images[k]
        else:
            exporter = tiffin.ImageExporter(
                NAME, directory=tmp_path / "live", asset_timeout=0.5
            )
            if door == "late":
                path.rename(hidden)
            feed(exporter, run_of(path))
            if door == "late":
                hidden.rename(path)
            assert exporter.wait(60)
        left = open_files(tmp_path)

    assert [name for name in left if name.endswith(".h5")] == []


def test_retries_do_not_pile_up_open_files(tmp_path, path):
    """Each retry closes what the last one opened."""
    in_chunks(path)
    assets = Assets()

    errors = []
    with no_garbage_collection():
        for _ in range(50):
            with pytest.raises(NotYetError) as caught:
                image(assets, path, 99, dataset="d")[0]
            errors.append(caught)
        left = open_files(tmp_path)

    assert len(left) <= 1


# ---- one image in a file


def test_a_dataset_of_one_image_is_one_event_s(tmp_path, path, read):
    """(rows, columns) is one image, never rows as images."""
    with h5py.File(path, "w") as file:
        file["d"] = FRAMES[0]

    report = export(path, tmp_path, events=6)

    assert [record.seq_num for record in report.failed] == [2, 3, 4, 5, 6]
    (record,) = report.written
    np.testing.assert_array_equal(read(record.path), FRAMES[0])


# ---- files that handlers open


def handled(path, tmp_path, **options):
    """Export what the AD_HDF5 handler reads: an image an event."""
    documents = datum_run(
        path, shape=(1, 6, 9), events=4, options={"frame_per_point": 1}
    )
    out = tmp_path / "handled"
    return tiffin.export(documents, NAME, directory=out, on_error="report", **options)


@pytest.fixture
def detector(path):
    """Make the dataset that the handler reads."""

    def make(fill):
        with h5py.File(path, "w") as file:
            fill(file.create_group("entry/data"))
        return path

    return make


def test_a_handler_opens_no_file_that_reaches_outside(tmp_path, detector, secret, read):
    """The file is refused before the handler's own code opens it."""
    path = detector(lambda group: raw(group, "data", secret))

    refused = handled(path, tmp_path)
    allowed = handled(path, tmp_path, allow_external=[secret.parent])

    assert "allow_external=" in reasons(refused).pop()
    check(allowed, SECRET[:4], read)


@pytest.mark.parametrize("deep", ["file", "link", "virtual"])
def test_a_handler_opens_no_pipe(tmp_path, path, deep):
    """Nor a link to one."""
    pipe = fifo(tmp_path / "pipe.h5")
    if deep == "file":
        path = pipe
    else:
        with h5py.File(path, "w") as file:
            if deep == "link":
                file["entry/data/data"] = h5py.ExternalLink("pipe.h5", "/d")
            else:
                virtual(file, "entry/data/data", "pipe.h5")

    assert "a named pipe" in reasons(handled(path, tmp_path)).pop()


@pytest.mark.parametrize("name", ["gzip", "bitshuffle", "lz4"])
def test_a_handler_gets_no_stream_that_gives_more_or_less(
    tmp_path, detector, read, name
):
    """The chunk is checked before the handler reads it."""
    options = COMPRESSIONS[name]

    def fill(group):
        data = group.create_dataset(
            "data", data=FRAMES[:4], chunks=(1, 6, 9), **options
        )
        wrong = stream_of(options, np.zeros((2**20,), "u2"))
        data.id.write_direct_chunk((2, 0, 0), wrong)

    report = handled(detector(fill), tmp_path)

    assert [record.seq_num for record in report.failed] == [3]
    for record in report.written:
        np.testing.assert_array_equal(read(record.path), FRAMES[record.seq_num - 1])


def test_a_handler_that_lacks_a_filter_names_it(tmp_path, detector, monkeypatch):
    """As our own reader does."""
    path = detector(
        lambda group: group.create_dataset(
            "data", data=FRAMES, chunks=(1, 6, 9), **hdf5plugin.LZ4()
        )
    )
    available = h5py.h5z.filter_avail
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda n: n != 32004 and available(n))

    assert "32004 (LZ4)" in reasons(handled(path, tmp_path)).pop()


@pytest.mark.parametrize("door", ["export", "live", "LiveTiffExporter"])
def test_no_handlers_file_stays_open(tmp_path, detector, door):
    """They are closed when the run's frames are done."""
    path = detector(lambda group: group.create_dataset("data", data=FRAMES))
    run = list(
        datum_run(path, shape=(1, 6, 9), events=4, options={"frame_per_point": 1})
    )
    exporters = {
        "live": lambda: tiffin.ImageExporter(NAME, directory=tmp_path),
        "LiveTiffExporter": lambda: tiffin.LiveTiffExporter(
            "img", f"{tmp_path}/{NAME}"
        ),
    }

    with no_garbage_collection():
        if door == "export":
            assert len(handled(path, tmp_path).written) == 4
        else:
            exporter = exporters[door]()
            feed(exporter, run)
            assert len(exporter.reports["run-1"].written) == 4
        left = open_files(tmp_path)

    assert left == []


@pytest.mark.parametrize("door", ["export", "live", "LiveTiffExporter"])
def test_no_darks_file_stays_open(tmp_path, path, door):
    """Files of the dark's run are closed together with the lights'."""
    with h5py.File(path, "w") as file:
        file["d"] = FRAMES
    documents = list(run_of(path))
    dark = json.loads(json.dumps(documents).replace("run-1", "dark-1"))
    documents[0] = ("start", documents[0][1] | {"dark_frame": "dark-1"})
    other = {"dark-1": dark}
    steps = [tiffin.corrections.DarkSubtract()]
    options = {"directory": tmp_path, "corrections": steps, "catalog": other}

    with no_garbage_collection():
        if door == "export":
            report = tiffin.export(documents, NAME, **options)
        elif door == "live":
            exporter = tiffin.ImageExporter(NAME, **options)
            feed(exporter, documents)
            (report,) = exporter.reports.values()
        else:

            class Subtracted(tiffin.LiveTiffExporter):
                corrections = steps

            exporter = Subtracted("img", f"{tmp_path}/{NAME}", db=other)
            feed(exporter, documents)
            (report,) = exporter.reports.values()
        left = open_files(tmp_path)

    assert len(report.written) == 12
    assert left == []


def test_of_a_virtual_image_s_source_only_the_rows_it_takes_are_looked_at(
    tmp_path, path, read
):
    """A damaged image beside it in the source does not matter."""
    with h5py.File(tmp_path / "source.h5", "w") as file:
        options = {"chunks": (1, 6, 9), "compression": "gzip"}
        data = file.create_dataset("d", data=FRAMES, **options)
        data.id.write_direct_chunk((3, 0, 0), zlib.compress(b"no"))
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((6, 9), "u2")
        layout[...] = h5py.VirtualSource("source.h5", "d", FRAMES.shape)[7]
        file.create_virtual_dataset("d", layout)

    check(export(path, tmp_path, events=1), FRAMES[7:8], read)

"""Resources that are not whole, and such as have moved: never frames made up."""

import os
import shutil
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import tiffin
from tests.documents import DATASET, FRAMES, HDF5, datum_run, hdf5, stream_run
from tests.helpers import NAME, check, check_whole, feed
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.errors import SettingsError
from tiffin.readers import RootMap


def export(run, folder, **options):
    return tiffin.export(
        list(run), NAME, directory=folder, on_error="report", **options
    )


# ---- Resource and Datum


def test_datums_of_hdf5(tmp_path, read):
    """AD_HDF5, three frames a point."""
    hdf5(tmp_path / "a.h5")

    report = export(datum_run(tmp_path / "a.h5"), tmp_path / "out")

    check(report, FRAMES, read)


@pytest.mark.parametrize("rows", [9, 10, 11])
@pytest.mark.parametrize("chunks", [None, (1, 6, 9), (4, 6, 9)])
def test_a_short_file_of_a_handler_is_no_short_event(tmp_path, read, rows, chunks):
    """Images that exist are written; each missing one has its reason."""
    path = tmp_path / "a.h5"
    hdf5(path, FRAMES[:rows], chunks=chunks)

    report = export(datum_run(path), tmp_path / "out")

    check_whole(report, FRAMES, read, 3, range(rows, 12))
    assert str(path)[1:] in str(report.failed[0].error)


@pytest.mark.parametrize("unwritten", [[10, 11], [9, 10, 11], [4]])
def test_chunks_that_nobody_wrote_are_no_images_of_a_handler(tmp_path, read, unwritten):
    """HDF5 makes up zeros for them, and a handler returns those."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(DATASET, (12, 6, 9), "u2", chunks=(1, 6, 9))
        for k in set(range(12)) - set(unwritten):
            data[k] = FRAMES[k]

    report = export(datum_run(path), tmp_path / "out")

    check_whole(report, FRAMES, read, 3, unwritten)
    assert "never written" in str(report.failed[0].error)


def test_zeros_that_a_handler_reads_are_exported(tmp_path, read):
    """Zeros that were written are an image."""
    hdf5(tmp_path / "a.h5", np.zeros_like(FRAMES), chunks=(1, 6, 9))

    report = export(datum_run(tmp_path / "a.h5"), tmp_path / "out")

    check(report, np.zeros_like(FRAMES), read)


def test_a_handlers_file_that_grows_is_waited_for(tmp_path, read):
    """S40: ten of twelve rows at first, the rest a second later."""
    path = tmp_path / "a.h5"
    hdf5(path, FRAMES[:10])
    hdf5(tmp_path / "whole.h5")
    timer = threading.Timer(1, lambda: (tmp_path / "whole.h5").replace(path))
    timer.start()

    with ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=60) as exporter:
        feed(exporter, datum_run(path))
        assert exporter.wait(60)

    timer.join()
    (report,) = exporter.reports.values()
    check(report, FRAMES, read)


class Growing:
    """An HDF5 file in SWMR mode that gets an event's rows before each event."""

    def __init__(self, path, each=3):
        self._file = h5py.File(path, "w", libver="latest")
        self._data = self._file.create_dataset(
            DATASET, (0, 6, 9), "u2", maxshape=(None, 6, 9), chunks=(1, 6, 9)
        )
        self._file.swmr_mode = True
        self._each = each

    def feed(self, run, *exporters):
        """Hand documents over, and write what each event tells of before it."""
        for name, doc in run:
            if name == "datum":
                have = self._data.shape[0]
                self._data.resize(have + self._each, axis=0)
                self._data[have:] = FRAMES[have : have + self._each]
                self._data.flush()
            for exporter in exporters:
                exporter(name, doc)
                if isinstance(exporter, ImageExporter) and name == "event":
                    assert exporter.wait(60)

    def close(self):
        self._file.close()


@pytest.mark.parametrize("spec", ["AD_HDF5", "AD_HDF5_SWMR"])
def test_a_handler_that_saw_a_shorter_file_is_made_anew_at_once(tmp_path, read, spec):
    """S40: what is readable at its event is read then, not at a later retry."""
    path = tmp_path / "a.h5"
    growing = Growing(path)
    save = ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=0)
    old = LiveTiffExporter("img", f"{tmp_path}/old/{NAME}")

    growing.feed(datum_run(path, spec=spec), save, old)
    save.close()
    growing.close()

    for exporter in (save, old):
        (report,) = exporter.reports.values()
        check_whole(report, FRAMES, read, 3)


@pytest.mark.parametrize("shape", [(1, 0, 0), (0, 0, 0), (3, None, None), (6, 9, 3)])
def test_a_handlers_array_is_the_truth_about_its_layout(tmp_path, read, shape):
    """All images that the handler returns are written, whatever is declared."""
    hdf5(tmp_path / "a.h5")

    report = export(datum_run(tmp_path / "a.h5", shape=shape), tmp_path / "out")

    check_whole(report, FRAMES, read, 3)


@pytest.mark.parametrize(
    ("root", "path", "roots"),
    [
        ("C:\\data", "sub\\a.h5", {"c:/Data": "{here}"}),
        ("C:\\data", "C:\\data\\sub\\a.h5", {"c:/Data": "{here}"}),
        ("D:\\", "\\\\srv\\share\\sub\\a.h5", {"\\\\SRV\\share": "{here}"}),
        ("\\\\srv\\share", "sub\\a.h5", {"\\\\SRV\\share": "{here}"}),
        ("Z:\\", "sub\\a.h5", {"Z:\\": "{here}"}),
        ("/", "old/sub/a.h5", {"/old/": "{here}"}),
        ("/old", "sub/a.h5", {"file:///old": "{here}"}),
    ],
)
def test_root_map_is_for_handlers_too(tmp_path, read, root, path, roots):
    """S43: for files recorded on Windows, on a share, or on another mount."""
    (tmp_path / "sub").mkdir()
    hdf5(tmp_path / "sub/a.h5")
    roots = {old: new.format(here=tmp_path) for old, new in roots.items()}
    semantics = "windows" if "\\" in root else "posix"
    run = datum_run(path, root=root, semantics=semantics)

    report = export(run, tmp_path / "out", root_map=roots)

    check(report, FRAMES, read)


# ---- where files are


@pytest.mark.parametrize(
    ("uri", "old"),
    [
        ("file://srv/share/sub/a.h5", "\\\\srv\\share"),
        ("file:////srv/share/sub/a.h5", "//srv/share"),
        ("file://srv/share/sub/a.h5", "file://srv/share"),
        ("file://C:/data/sub/a.h5", "C:\\data"),
        ("file:///C:/data/sub/a.h5", "c:/DATA"),
        ("file://localhost/c%3A/data/sub/a.h5", "C:\\data"),
        ("file://localhost/C:\\data\\sub\\a.h5", "file:///C:/data"),
        ("file:///old%20x/sub/a.h5", "/old x"),
        ("file:///old%20x/sub/a.h5", "file:///old%20x"),
        ("file://localhost//old/sub/a.h5", "/old"),
        ("file://beamline/old/sub/a.h5", "/old"),
        ("file://localhost/old/sub/a.h5", "/"),
    ],
)
def test_every_form_of_a_file_uri_can_be_mapped(tmp_path, uri, old):
    """S43: shares and drives, slashes too many or too few, keys that are URIs."""
    new = tmp_path / "old" if old == "/" else tmp_path
    (tmp_path / "old/old/sub").mkdir(parents=True)

    found = RootMap({old: str(new)}).locate(uri)

    assert found == (new / "old/sub/a.h5" if old == "/" else new / "sub/a.h5")


def test_a_new_beginning_may_be_a_uri():
    """As in recorded documents."""
    roots = RootMap({"/old": "file://localhost/new%20place"})

    assert str(roots.path("/old/a.h5")) == "/new place/a.h5"


def test_a_host_is_nothing_to_a_path_that_is_not_mapped():
    """A detector's machine writes its own name into the URI."""
    assert str(RootMap().locate("file://beamline/data/a.h5")) == "/data/a.h5"


@pytest.mark.parametrize("roots", [5, "ab", ["a"], {"a": None}, {1: "b"}, {"": "b"}])
def test_a_root_map_that_maps_nothing_is_refused(roots):
    """Before the beam, with a sentence."""
    with pytest.raises(SettingsError, match="root_map"):
        RootMap(roots)


# ---- stream resources that are not whole


def partly(path, present, chunks=(1, 6, 9), **options):
    with h5py.File(path, "w") as file:
        data = file.create_dataset(DATASET, (12, 6, 9), "u2", chunks=chunks, **options)
        for key in present:
            data[key] = FRAMES[key]
    return f"file://localhost{path}"


@pytest.mark.parametrize(
    ("present", "options"),
    [
        ([np.s_[:10]], {"fillvalue": 65535}),
        ([np.s_[:10], np.s_[10:, :3]], {"chunks": (1, 3, 9)}),
        ([np.s_[:10], np.s_[10:, :, 3:]], {"chunks": (1, 1, 3), "fillvalue": 1}),
        ([np.s_[:9]], {"chunks": (5, 6, 9)}),
    ],
    ids=["fill value", "half the tiles", "many tiles", "rows in one chunk"],
)
def test_chunks_never_written_are_not_there(tmp_path, read, present, options):
    """Whatever HDF5 fills them with, also if only one of a frame's is missing."""
    uri = partly(tmp_path / "a.h5", present, **options)
    run = stream_run(uri, HDF5, {"dataset": DATASET}, events=12)

    report = export(run, tmp_path / "out")

    absent = range(10, 12)
    if options.get("chunks") == (5, 6, 9):  # what lies in a chunk was written with it
        frames = np.concatenate([FRAMES[:9], np.zeros((3, 6, 9), "u2")])
        check_whole(report, frames, read, 1, absent)
    else:
        check_whole(report, FRAMES, read, 1, absent)


def test_a_contiguous_dataset_that_nobody_wrote_is_not_there(tmp_path):
    """Without storage there is no image."""
    uri = partly(tmp_path / "a.h5", [], chunks=None)
    run = stream_run(uri, HDF5, {"dataset": DATASET}, events=12)

    assert len(export(run, tmp_path / "out").failed) == 12


def test_raw_numbers_in_a_file_that_is_too_short_are_not_there(tmp_path):
    """HDF5 returns zeros after its end."""
    options = {"external": [(str(tmp_path / "raw.bin"), 0, FRAMES.nbytes)]}
    uri = hdf5(tmp_path / "a.h5", **options)
    os.truncate(tmp_path / "raw.bin", FRAMES.nbytes // 2)
    run = stream_run(uri, HDF5, {"dataset": DATASET}, events=12)

    assert len(export(run, tmp_path / "out").failed) == 12


def test_a_file_broken_off_while_it_was_written_has_no_frames_of_zeros(tmp_path, read):
    """SWMR: the index lists frames that a truncated copy lacks."""
    code = (
        "import sys, h5py, numpy as np\n"
        "with h5py.File(sys.argv[1], 'w', libver='latest') as file:\n"
        "    data = file.create_dataset('d', (0, 64, 64), 'u2',"
        " maxshape=(None, 64, 64), chunks=(1, 64, 64))\n"
        "    file.swmr_mode = True\n"
        "    for n in range(6):\n"
        "        data.resize(n + 1, 0)\n"
        "        data[n] = np.full((64, 64), n + 1, 'u2')\n"
        "        data.flush()\n"
        "    print(data.id.get_chunk_info(4).byte_offset, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "whole.h5")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        offset = int(writer.stdout.readline())
        shutil.copy(tmp_path / "whole.h5", tmp_path / "a.h5")
        writer.stdin.close()
    os.truncate(tmp_path / "a.h5", offset + 5000)
    run = stream_run(
        f"file://localhost{tmp_path}/a.h5", HDF5, {"dataset": "d"}, events=6,
        shape=(1, 64, 64),
    )  # fmt: skip

    report = export(run, tmp_path / "out")

    frames = [np.full((64, 64), n + 1, "u2") for n in range(6)]
    check_whole(report, frames, read, 1, [4, 5])


SOURCES = {
    "whole": lambda: [(np.s_[:], "a.h5", np.s_[:])],
    "two files": lambda: [(np.s_[:6], "b.h5", np.s_[:]), (np.s_[6:], "c.h5", np.s_[:])],
    "interleaved": lambda: [
        (np.s_[0::2], "d.h5", np.s_[:]),
        (np.s_[1::2], "e.h5", np.s_[:]),
    ],
    "modules": lambda: [
        (np.s_[:, :3], "f.h5", np.s_[:]),
        (np.s_[:, 3:], "g.h5", np.s_[:]),
    ],
    "an image a file": lambda: [(np.s_[k], f"i{k}.h5", np.s_[:]) for k in range(12)],
}


def virtual(folder, layout, frames, fill=7):
    """Put a dataset together from files, which are written too."""
    whole = h5py.VirtualLayout((12, 6, 9), "u2")
    for here, name, there in SOURCES[layout]():
        part = frames[here]
        hdf5(folder / name, part, "d", chunks=(1, *part.shape[1:]))
        source = h5py.VirtualSource(name, "d", part.shape)
        whole[here] = source[there]
    with h5py.File(folder / "virtual.h5", "w", libver="latest") as file:
        file.create_virtual_dataset(DATASET, whole, fillvalue=fill)
    return stream_run(
        f"file://localhost{folder}/virtual.h5", HDF5, {"dataset": DATASET}, events=12
    )


@pytest.mark.parametrize("layout", SOURCES)
@pytest.mark.parametrize("frames", [FRAMES, np.zeros_like(FRAMES)], ids=["", "zeros"])
def test_virtual_datasets(tmp_path, read, layout, frames):
    """Rows in other files are read; zeros that were written are exported."""
    run = virtual(tmp_path, layout, frames)

    check(export(run, tmp_path / "out"), frames, read)


@pytest.mark.parametrize(
    ("layout", "missing", "absent"),
    [
        ("whole", "a.h5", range(12)),
        ("two files", "c.h5", range(6, 12)),
        ("interleaved", "e.h5", range(1, 12, 2)),
        ("modules", "g.h5", range(12)),
        ("an image a file", "i5.h5", [5]),
    ],
)
def test_a_missing_source_of_a_virtual_dataset_is_no_image(
    tmp_path, read, layout, missing, absent
):
    """HDF5 silently fills rows of a missing file."""
    run = virtual(tmp_path, layout, FRAMES)
    (tmp_path / missing).unlink()

    report = export(run, tmp_path / "out")

    check_whole(report, FRAMES, read, 1, absent)
    assert missing in str(report.failed[0].error)


@pytest.mark.parametrize("lack", ["short", "unwritten", "dataset"])
def test_a_source_that_is_not_whole_is_looked_into(tmp_path, read, lack):
    """Each row of a source is checked: written or not."""
    run = virtual(tmp_path, "two files", FRAMES)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        if lack == "short":
            file["d"] = FRAMES[6:10]
        elif lack == "unwritten":
            data = file.create_dataset("d", (6, 6, 9), "u2", chunks=(1, 6, 9))
            data[:4] = FRAMES[6:10]

    report = export(run, tmp_path / "out")

    absent = range(6, 12) if lack == "dataset" else range(10, 12)
    check_whole(report, FRAMES, read, 1, absent)


def test_rows_of_a_virtual_dataset_that_lie_nowhere_are_not_there(tmp_path, read):
    """No source is mapped to them."""
    layout = h5py.VirtualLayout((12, 6, 9), "u2")
    hdf5(tmp_path / "a.h5", dataset="d")
    layout[:5] = h5py.VirtualSource("a.h5", "d", (12, 6, 9))[:5]
    with h5py.File(tmp_path / "virtual.h5", "w", libver="latest") as file:
        file.create_virtual_dataset(DATASET, layout)
    uri = f"file://localhost{tmp_path}/virtual.h5"
    run = stream_run(uri, HDF5, {"dataset": DATASET}, events=12)

    report = export(run, tmp_path / "out")

    check_whole(report, FRAMES, read, 1, range(5, 12))


@pytest.mark.parametrize("frames", [FRAMES, np.zeros_like(FRAMES)], ids=["", "zeros"])
@pytest.mark.parametrize("chunks", [None, (1, 6, 9)])
def test_external_links(tmp_path, read, frames, chunks):
    """The size of the file that holds the dataset counts."""
    hdf5(tmp_path / "data.h5", frames, "d", chunks=chunks)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[DATASET] = h5py.ExternalLink("data.h5", "d")
    uri = f"file://localhost{tmp_path}/a.h5"
    run = stream_run(uri, HDF5, {"dataset": DATASET}, events=12)

    check(export(run, tmp_path / "out"), frames, read)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("chunks", [(1, 6, 9), (1, 3, 9)])
def test_zarr_chunks_that_are_not_stored_are_not_there(tmp_path, read, version, chunks):
    """One missing chunk of a frame is enough."""
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=FRAMES.shape, chunks=chunks, dtype="u2",
        zarr_format=version,
    )  # fmt: skip
    array[:10] = FRAMES[:10]
    array[10, 3:] = FRAMES[10, 3:]
    uri = f"file://localhost{tmp_path}/a.zarr"
    run = stream_run(uri, "application/x-zarr", {}, events=12)

    report = export(run, tmp_path / "out")

    if chunks == (1, 6, 9):  # written in part is written
        frames = FRAMES.copy()
        frames[10, :3] = 0
        check_whole(report, frames, read, 1, [11])
    else:
        check_whole(report, FRAMES, read, 1, [10, 11])
    assert "write_empty_chunks" in str(report.failed[-1].error)


@pytest.mark.parametrize("shards", [None, (4, 6, 9)])
def test_zarr_zeros_that_are_stored_are_exported(tmp_path, read, shards):
    """Zarr omits empty chunks unless it is told to write them."""
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=FRAMES.shape, chunks=(1, 6, 9), shards=shards,
        dtype="u2", config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = 0
    uri = f"file://localhost{tmp_path}/a.zarr"
    run = stream_run(uri, "application/x-zarr", {}, events=12)

    check(export(run, tmp_path / "out"), np.zeros_like(FRAMES), read)


def test_a_handlers_truncated_tiff_is_no_frame(tmp_path):
    """AD_TIFF: no zeros, and no half image."""
    for n in range(2):
        tifffile.imwrite(tmp_path / f"x_{n:06d}.tiff", np.full((64, 64), 7, "u2"))
    os.truncate(tmp_path / "x_000001.tiff", 5000)
    options = {"template": "%s%s_%6.6d.tiff", "filename": "x", "frame_per_point": 1}
    run = datum_run(
        f"{tmp_path}/", spec="AD_TIFF", shape=(1, 64, 64), events=2, options=options
    )

    report = export(run, tmp_path / "out")

    assert [record.seq_num for record in report.failed] == [2]


def test_frame_does_not_depend_on_the_order_of_datums(tmp_path, read):
    """Datums after their events, or backwards: images have their events' numbers."""
    hdf5(tmp_path / "a.h5")
    run = list(datum_run(tmp_path / "a.h5"))
    datums = [pair for pair in run if pair[0] == "datum"]
    rest = [pair for pair in run if pair[0] != "datum"]

    report = tiffin.export(
        [*rest[:-1], *datums[::-1], rest[-1]],
        "{frame:02d}_{event.seq_num}_{i}.tif",
        directory=tmp_path / "out",
    )

    expected = [f"{n:02d}_{n // 3 + 1}_{n % 3}.tif" for n in range(12)]
    assert [record.path.name for record in report.records] == expected
    for record, image in zip(report.records, FRAMES, strict=True):
        np.testing.assert_array_equal(read(record.path), image)

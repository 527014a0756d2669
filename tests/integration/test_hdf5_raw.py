"""HDF5 read beside HDF5: passed on undecoded, decoded in threads, never wrongly."""

import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import FRAMES, HDF5, hdf5, stream_run
from tests.helpers import NAME, check
from tiffin.array_images import images_in
from tiffin.axes import ArrayHints
from tiffin.errors import NotYetError
from tiffin.readers import Asset, Assets, RootMap, find_reader
from tiffin.readers.hdf5_chunks import Chunk
from tiffin.readers.stream_sizes import inflate, plain_zlib

WHERE = {"dataset": "entry/data/data"}
ONE, FOUR = (1, 6, 9), (4, 6, 9)


def resource(path, **parameters):
    """A stream resource as `Assets` takes it."""
    return {
        "uid": "r-1", "mimetype": HDF5, "uri": f"file://localhost{path}",
        "parameters": WHERE | parameters,
    }  # fmt: skip


def image(assets, path, index, declared=(6, 9), **parameters):
    """The images of one event."""
    hints = ArrayHints(sizes=declared)
    return images_in(assets.event(resource(path, **parameters), index, hints))


def only(*codecs):
    return lambda codec: codec in codecs


EITHER = only("zlib", None)


def plain(images, i=0, takes=EITHER):
    """What is passed on, decoded; None if nothing is."""
    encoded = images.encoded(i, takes)
    if encoded is None:
        return None
    data = zlib.decompress(encoded.data) if encoded.codec else encoded.data
    return np.frombuffer(data, encoded.dtype).reshape(encoded.shape)


def passed(path, index, declared=(6, 9), takes=EITHER, i=0):
    return plain(image(Assets(), path, index, declared), i, takes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


LAYOUTS = {
    "contiguous": {},
    "a frame a chunk": {"chunks": ONE},
    "frames a chunk": {"chunks": FOUR},
    "edge chunk": {"chunks": (5, 6, 9)},
    "deflate": {"chunks": ONE, "compression": "gzip"},
    "deflate 9": {"chunks": ONE, "compression": "gzip", "compression_opts": 9},
    "deflate, frames a chunk": {"chunks": FOUR, "compression": "gzip"},
    "deflate, edge chunk": {"chunks": (5, 6, 9), "compression": "gzip"},
    "deflate, a chunk for all": {"chunks": (12, 6, 9), "compression": "gzip"},
    "shuffle": {"chunks": ONE, "compression": "gzip", "shuffle": True},
    "shuffle alone": {"chunks": ONE, "shuffle": True},
    "fletcher32": {"chunks": ONE, "compression": "gzip", "fletcher32": True},
    "fletcher32 alone": {"chunks": ONE, "fletcher32": True},
    "lzf": {"chunks": ONE, "compression": "lzf"},
    "scale-offset": {"chunks": ONE, "scaleoffset": 0},
    "szip": {"chunks": ONE, "compression": "szip"},
    "tiles": {"chunks": (1, 3, 9)},
    "tiles, deflate": {"chunks": (1, 3, 9), "compression": "gzip"},
    "edge tiles, deflate": {"chunks": (2, 4, 5), "compression": "gzip"},
}

PASSED = {"a frame a chunk": None, "deflate": "zlib", "deflate 9": "zlib"}


def made(path, layout, frames=FRAMES):
    options = LAYOUTS[layout]
    if options.get("compression") == "szip" and not h5py.h5z.filter_avail(
        h5py.h5z.FILTER_SZIP
    ):
        pytest.skip("HDF5 without szip")
    return hdf5(path, frames, **options)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_are_exact_passed_on_or_not(tmp_path, path, read, layout, compression):
    """For every layout and both outputs; with a correction nothing is copied
    undecoded.
    """
    run = stream_run(made(path, layout), HDF5, WHERE, events=12)
    options = {"compression": compression, "workers": 2}

    on = tiffin.export(run, NAME, directory=tmp_path / "on", **options)
    off = tiffin.export(
        run, NAME, directory=tmp_path / "off", corrections=[lambda a, _: a], **options
    )

    check(on, FRAMES, read)
    check(off, FRAMES, read)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_what_stands_in_a_file_as_it_is_is_passed_on(path, layout):
    """A chunk that is one image: deflated to zlib, plain to plain."""
    made(path, layout)

    for codec in (None, "zlib"):
        found = passed(path, 3, takes=only(codec))
        if layout in PASSED and PASSED[layout] == codec:
            np.testing.assert_array_equal(found, FRAMES[3])
        else:
            assert found is None


@pytest.mark.parametrize(
    ("dtype", "passes"),
    [("<u1", 1), ("<i2", 1), ("<u4", 1), ("<f4", 1), ("<f8", 1),
     (">u2", 0), (">f4", 0), ("<u8", 0), ("<f2", 0), ("?", 0)],
)  # fmt: skip
def test_a_dtype_that_a_tiff_does_not_hold_is_not_passed_on(path, dtype, passes):
    """Only little-endian integers up to 32 bit and floats of 32 or 64 are; all are
    exact.
    """
    frames = (FRAMES % 251).astype(dtype)
    hdf5(path, frames, chunks=ONE, compression="gzip")

    found = passed(path, 5)

    assert (found is not None) == passes
    if passes:
        assert found.dtype == frames.dtype
        np.testing.assert_array_equal(found, frames[5])
    np.testing.assert_array_equal(image(Assets(), path, 5)[0], frames[5])


def test_numbers_of_fewer_bits_than_they_take_are_not_passed_on(path):
    """HDF5 masks the padding bits of a 12-bit number."""
    with h5py.File(path, "w") as file:
        kind = h5py.h5t.NATIVE_UINT16.copy()
        kind.set_precision(12)
        space = h5py.h5s.create_simple(FRAMES.shape)
        group = file.create_group("entry/data")
        data = h5py.Dataset(h5py.h5d.create(group.id, b"data", kind, space))
        data[...] = FRAMES

    assert passed(path, 5) is None
    np.testing.assert_array_equal(image(Assets(), path, 5)[0], FRAMES[5])


def test_a_chunk_that_was_stored_without_the_filter_is_not_passed_on(path):
    """A filter mask may leave a chunk of a deflated dataset uncompressed."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "entry/data/data", FRAMES.shape, "u2", chunks=ONE, compression="gzip"
        )
        data[...] = FRAMES
        data.id.write_direct_chunk((3, 0, 0), FRAMES[7].tobytes(), filter_mask=1)

    assert passed(path, 3) is None
    np.testing.assert_array_equal(image(Assets(), path, 3)[0], FRAMES[7])
    np.testing.assert_array_equal(passed(path, 4), FRAMES[4])


def test_a_user_block_changes_nothing(path, tmp_path, read):
    """In some versions of HDF5 addresses count from the end of the user block."""
    options = LAYOUTS["deflate"]
    with h5py.File(path, "w", userblock_size=1024) as file:
        file.create_dataset("entry/data/data", data=FRAMES, **options)
    run = stream_run(f"file://localhost{path}", HDF5, WHERE, events=12)

    report = tiffin.export(run, NAME, directory=tmp_path / "out", compression="zlib")

    check(report, FRAMES, read)
    np.testing.assert_array_equal(passed(path, 3), FRAMES[3])


@pytest.mark.parametrize(
    ("stored", "chunks", "declared"),
    [
        ((4, 3, 6, 9), (1, 1, 6, 9), (3, 6, 9)),
        ((4, 3, 6, 9), (1, 1, 6, 9), (6, 9)),
        ((12, 1, 6, 9), (1, 1, 6, 9), (1, 6, 9)),
        ((12, 6, 9), (1, 6, 9), (3, 6, 9)),
        ((2, 2, 3, 6, 9), (1, 1, 1, 6, 9), (2, 3, 6, 9)),
        ((2, 2, 3, 6, 9), (1, 1, 1, 6, 9), (6, 9)),
    ],
)
def test_leading_axes_do_not_keep_a_chunk_from_being_passed_on(
    path, stored, chunks, declared
):
    """Rows of several images, grids, several rows an event, with one image a chunk."""
    hdf5(path, FRAMES.reshape(stored), chunks=chunks, compression="gzip")
    images = int(np.prod(declared[:-2]))

    for n in range(12):
        event, i = divmod(n, images)
        found = passed(path, event, declared, i=i)
        np.testing.assert_array_equal(found, FRAMES[n])


@pytest.mark.parametrize("chunks", [(1, 3, 6, 9), (1, 2, 6, 9), (3, 1, 6, 9)])
@pytest.mark.parametrize("declared", [(3, 6, 9), (6, 9)])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_images_within_a_chunk_are_told_apart(path, chunks, declared, compression):
    """A chunk of several images is decoded and split."""
    hdf5(path, FRAMES.reshape(4, 3, 6, 9), chunks=chunks, compression=compression)
    images = int(np.prod(declared[:-2]))
    assets = Assets()

    for n in range(12):
        event = image(assets, path, n // images, declared)
        assert plain(event, n % images) is None
        np.testing.assert_array_equal(event[n % images], FRAMES[n])


def test_colour_is_passed_on_with_its_samples(tmp_path, path, read):
    """(rows, columns, samples), if the descriptor says so."""
    colours = np.arange(4 * 6 * 9 * 3, dtype="u1").reshape(4, 6, 9, 3)
    uri = hdf5(path, colours, chunks=(1, 6, 9, 3), compression="gzip")
    run = stream_run(
        uri, HDF5, WHERE, shape=(6, 9, 3), dims=["y", "x", "c"], dtype="|u1"
    )

    report = tiffin.export(
        run, NAME, directory=tmp_path / "out", colour="img", compression="zlib"
    )

    check(report, colours, read)


@pytest.mark.parametrize("frames", [FRAMES[0], FRAMES[:1], FRAMES[:3]])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_dataset_in_numbered_files_is_passed_on(tmp_path, frames, compression):
    """One file an event, with one image or more."""
    for n in range(2):
        chunks = (1, 6, 9)[-frames.ndim :] if compression else None
        hdf5(tmp_path / f"a_{n}.h5", frames + n, chunks=chunks, compression=compression)
    declared = frames.shape if frames.ndim == 3 else (1, 6, 9)

    for i in range(declared[0]):
        event = image(Assets(), tmp_path, 1, declared, template="/a_{:d}.h5")
        wanted = frames.reshape(declared)[i] + 1
        if compression:
            np.testing.assert_array_equal(plain(event, i), wanted)
        np.testing.assert_array_equal(event[i], wanted)


def test_a_part_of_a_dataset_is_found(path):
    """``slice``: rows count from its start; HDF5 slices the other axes."""
    hdf5(path, chunks=ONE, compression="gzip")

    rows = image(Assets(), path, 2, slice="3:")
    columns = image(Assets(), path, 2, (6, 4), slice=":, :, 2:6")

    np.testing.assert_array_equal(plain(rows), FRAMES[5])
    assert plain(columns) is None
    np.testing.assert_array_equal(columns[0], FRAMES[2][:, 2:6])


def test_a_dataset_behind_a_link_is_read_from_its_own_file(path, tmp_path):
    """An external link leads to another file than the one that was opened."""
    hdf5(tmp_path / "data.h5", chunks=ONE, compression="gzip", dataset="d")
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("data.h5", "/d")

    np.testing.assert_array_equal(passed(path, 4), FRAMES[4])


def test_virtual_and_external_datasets_are_left_to_hdf5(path, tmp_path):
    """Their bytes are elsewhere; those of small datasets are in the metadata."""
    hdf5(tmp_path / "data.h5", chunks=ONE)
    layout = h5py.VirtualLayout(FRAMES.shape, "u2")
    layout[...] = h5py.VirtualSource("data.h5", WHERE["dataset"], FRAMES.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
        raw = [(str(tmp_path / "raw.bin"), 0, FRAMES.nbytes)]
        file.create_dataset("external", data=FRAMES, external=raw)
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(FRAMES.shape)
        kind = h5py.h5t.NATIVE_UINT16
        compact = h5py.h5d.create(file.id, b"compact", kind, space, properties)
        h5py.Dataset(compact)[...] = FRAMES

    for dataset in ("entry/data/data", "external", "compact"):
        assets = Assets(RootMap(allow_external=[tmp_path]))
        event = image(assets, path, 4, dataset=dataset)
        assert plain(event) is None
        np.testing.assert_array_equal(event[0], FRAMES[4])


def test_a_virtual_dataset_needs_only_the_rows_that_it_groups(path, tmp_path):
    """Its rows are several rows of the source, of which the last are not written."""
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_dataset("d", (12, 6, 9), "u2", chunks=ONE)[:7] = FRAMES[:7]
    source = h5py.VirtualSource("data.h5", "d", (12, 6, 9))
    layout = h5py.VirtualLayout((4, 3, 6, 9), "u2")
    for k in range(4):
        layout[k] = source[3 * k : 3 * k + 3]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)

    for n in range(6):
        event = image(Assets(), path, n // 3, (3, 6, 9))
        np.testing.assert_array_equal(event[n % 3], FRAMES[n])
    with pytest.raises(NotYetError, match="never written"):
        image(Assets(), path, 2, (3, 6, 9))[0]


# ---- what is not there, or not whole


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
def test_a_chunk_that_was_never_written_is_not_passed_on(path, options):
    """It fails with the same error as when it is read."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "entry/data/data", FRAMES.shape, "u2", chunks=ONE, **options
        )
        data[:3] = FRAMES[:3]
    event = image(Assets(), path, 5)

    assert plain(event) is None
    with pytest.raises(NotYetError, match="never written"):
        event[0]
    np.testing.assert_array_equal(image(Assets(), path, 2)[0], FRAMES[2])


@pytest.mark.parametrize("layout", ["contiguous", "a frame a chunk", "deflate"])
def test_a_truncated_file_is_never_passed_on(path, layout):
    """Whether it is truncated before it is opened or while it is open."""
    made(path, layout)
    assets = Assets()
    event = image(assets, path, 11)

    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(NotYetError):
        event[0]
    with pytest.raises(NotYetError, match="truncated"):
        image(Assets(), path, 11)


@pytest.mark.parametrize("layout", ["deflate", "deflate, frames a chunk"])
def test_a_damaged_stream_gives_no_pixels(tmp_path, path, layout, read):
    """Our decoder finds what HDF5 finds; other frames are written."""
    made(path, layout)
    with h5py.File(path) as file:
        info = file["entry/data/data"].id.get_chunk_info(0)
    with path.open("r+b") as file:
        file.seek(info.byte_offset + info.size - 6)
        file.write(b"\xff\xff\xff")
    run = stream_run(f"file://localhost{path}", HDF5, WHERE, events=12)

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    broken = 1 if layout == "deflate" else 4
    assert [record.seq_num for record in report.failed] == [*range(1, broken + 1)]
    for record, frame in zip(report.written, FRAMES[broken:], strict=True):
        np.testing.assert_array_equal(read(record.path), frame)


WRITER = """
import sys, h5py, numpy as np
path, chunk, compression = sys.argv[1], int(sys.argv[2]), sys.argv[3] or None
with h5py.File(path, "w", libver="latest") as file:
    data = file.create_dataset(
        "entry/data/data", (0, 6, 9), "u2", maxshape=(None, 6, 9),
        chunks=(chunk, 6, 9), compression=compression)
    file.swmr_mode = True
    for line in sys.stdin:
        row, first, last, value = map(int, line.split())
        if row >= len(data):
            data.resize(row + 1, 0)
        data[row, first:last] = value * np.arange(last - first)[:, None] + 7
        data.flush()
        print(flush=True)
"""


class Growing:
    """A file that another process is writing to."""

    def __init__(self, path, chunk, compression):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(chunk), compression],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.frames = {}

    def write(self, row, first, last, value):
        print(row, first, last, value, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline()
        frame = self.frames.setdefault(row, np.zeros((6, 9), "u2"))
        frame[first:last] = value * np.arange(last - first)[:, None] + 7

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


@pytest.mark.parametrize("compression", ["", "gzip"])
@pytest.mark.parametrize("chunk", [1, 2])
def test_a_growing_file_is_read_as_it_is_now(path, chunk, compression):
    """SWMR: a chunk is read as it is now, not as it was when first seen."""
    with Growing(path, chunk, compression) as growing:
        growing.write(0, 0, 3, 1)
        assets = Assets()
        early = image(assets, path, 0)
        early = plain(early), early[0]
        for row, first, last in [(0, 3, 6), (1, 0, 6), (2, 0, 6), (3, 0, 2), (3, 2, 6)]:
            growing.write(row, first, last, 1000 + row)
        with pytest.raises(NotYetError):
            image(assets, path, 4)[0]
        late = [image(assets, path, row) for row in range(4)]
        late = [(plain(event), event[0]) for event in late]
        growing.write(4, 0, 6, 5)
        latest = image(assets, path, 4)
        latest = plain(latest), latest[0]

    if chunk == 1:
        np.testing.assert_array_equal(early[0], early[1])
    for row, (undecoded, decoded) in enumerate([*late, latest]):
        if undecoded is not None:
            np.testing.assert_array_equal(undecoded, growing.frames[row])
        if chunk == 1 or row > 1:
            np.testing.assert_array_equal(decoded, growing.frames[row])
    assert (late[0][0] is not None) == (chunk == 1)


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, False),
        ({"chunks": ONE}, True),
        ({"chunks": ONE, "compression": "gzip"}, True),
        ({"chunks": FOUR, "compression": "gzip"}, False),
    ],
)
def test_a_file_that_this_process_writes_is_read_as_it_is_now(path, options, passes):
    """Its newest bytes may be in memory only: HDF5 returns them, the file does not."""
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset("entry/data/data", FRAMES.shape, "u2", **options)
        data[...] = FRAMES
        assets = Assets()
        early = [plain(image(assets, path, n)) for n in range(12)]
        data[3] = FRAMES[8]
        event = image(assets, path, 3)
        undecoded, decoded = plain(event), event[0]

    np.testing.assert_array_equal(decoded, FRAMES[8])
    assert (undecoded is not None) == passes
    if passes:
        np.testing.assert_array_equal(early, FRAMES)
        np.testing.assert_array_equal(undecoded, FRAMES[8])


def test_live_and_later_give_the_same_bytes(tmp_path, path):
    """A chunk is copied from a file that is still being written as from a closed
    one.
    """
    run = stream_run(f"file://localhost{path}", HDF5, WHERE, events=12)
    options = {"compression": "gzip", "compression_opts": 9, "chunks": ONE}
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("entry/data/data", data=FRAMES, **options)
        file.flush()
        live = tiffin.export(run, NAME, directory=tmp_path / "1", compression="zlib")
    later = tiffin.export(run, NAME, directory=tmp_path / "2", compression="zlib")

    assert [record.path.read_bytes() for record in live.written] == [
        record.path.read_bytes() for record in later.written
    ]
    assert len(later.written) == 12


def test_an_image_that_was_found_can_be_read_after_its_file_was_closed(path):
    """Another thread may close the file after a failure."""
    hdf5(path, chunks=ONE, compression="gzip")
    asset = Asset(mimetype=HDF5, uri=str(path), path=path, parameters=WHERE)
    rows = find_reader(HDF5)(asset)
    found = rows.stored((3,), only("zlib"))
    rows.close()
    path.unlink()

    np.testing.assert_array_equal(found.read(), FRAMES[3])
    assert zlib.decompress(found.encoded().data) == FRAMES[3].tobytes()


# ---- threads


@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_read_at_once(path, layout):
    """Each gets its own image, whichever chunks they share."""
    frames = np.random.default_rng(3).integers(0, 9999, (48, 6, 9), "u2")
    made(path, layout, frames)
    assets = Assets()

    def one(n):
        event = image(assets, path, n)
        return plain(event), np.asarray(event[0])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, [*range(48), *reversed(range(48))]))

    order = [*range(48), *reversed(range(48))]
    for n, (undecoded, decoded) in zip(order, found, strict=True):
        np.testing.assert_array_equal(decoded, frames[n])
        if undecoded is not None:
            np.testing.assert_array_equal(undecoded, frames[n])


def test_a_chunk_that_many_threads_want_is_decoded_once():
    """One decodes it, the others wait for it and get the same bytes."""
    pixels = bytes(2**20)
    chunk = Chunk(zlib.compress(pixels), 2**20, np.dtype("u1"), "", shuffled=False)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: chunk.decoded(), range(8)))

    assert found[0] == pixels
    assert all(data is found[0] for data in found)


@pytest.mark.parametrize("inflate", [inflate, plain_zlib])
def test_decoders_agree_on_what_is_no_stream_of_so_many_bytes(inflate):
    """Any installed decoder rejects streams that are damaged, too short or too long."""
    pixels = FRAMES.tobytes()
    stream = zlib.compress(pixels)
    damaged = stream[:-1] + bytes([stream[-1] ^ 1])

    assert inflate(stream, len(pixels)) == pixels
    for bad in (damaged, stream[:-9], b"", bytes(99), zlib.compress(b"")):
        assert inflate(bad, len(pixels)) is None
    assert inflate(stream, len(pixels) - 1) is None
    assert inflate(stream, len(pixels) + 1) is None


# ---- an export


def strip_of(path):
    with tifffile.TiffFile(path) as tiff:
        (page,) = tiff.pages
        ((offset,), (size,)) = page.dataoffsets, page.databytecounts
        return path.read_bytes()[offset : offset + size]


def test_an_export_writes_chunks_as_strips(tmp_path, path, read):
    """The TIFF holds the very bytes of the HDF5 file, and its pixels are the
    dataset's.
    """
    uri = hdf5(path, chunks=ONE, compression="gzip", compression_opts=9)
    run = stream_run(uri, HDF5, WHERE, events=12)

    report = tiffin.export(run, NAME, directory=tmp_path / "out", compression="zlib")

    check(report, FRAMES, read)
    with h5py.File(path) as file:
        data = file["entry/data/data"].id
        chunks = [data.read_direct_chunk((n, 0, 0))[1] for n in range(12)]
    assert [strip_of(record.path) for record in report.written] == chunks

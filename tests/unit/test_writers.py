"""Files: exact pixels, the layout that readers need, whole or not at all."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tiffin.dtypes import TIFF_DTYPES
from tiffin.errors import DtypeError, ExistsError, WriteError
from tiffin.folders import Folders
from tiffin.writers import (
    TiffWriter,
    clear_leftovers,
    publish,
    write_buffers,
)
from tiffin.writers.checksums import write_all


def write(path, image):
    with path.open("wb") as file:
        return write_buffers(file.fileno(), TiffWriter().buffers(image))


@given(data=st.data(), dtype=st.sampled_from(TIFF_DTYPES), order=st.sampled_from("<>"))
def test_every_pixel_comes_back(tmp_path_factory, data, dtype, order):
    """Every dtype, byte order and extreme value is read back as it was."""
    kind = np.dtype(dtype).newbyteorder(order)
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 7)))
    image = data.draw(hnp.arrays(kind, shape))
    path = tmp_path_factory.mktemp("w") / "x.tif"

    written = write(path, image)

    assert path.stat().st_size == written.nbytes
    read_back = tifffile.imread(path)
    assert read_back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read_back, image)


@pytest.mark.parametrize("dtype", TIFF_DTYPES)
def test_the_layout_is_the_one_that_every_reader_reads(tmp_path, dtype):
    """Classic, little-endian, one strip at byte 8, directory last, no Orientation."""
    image = np.arange(54).reshape(6, 9).astype(dtype)
    write(tmp_path / "x.tif", image)

    with tifffile.TiffFile(tmp_path / "x.tif") as tiff:
        (page,) = tiff.pages
        tags = {tag.code: tag.value for tag in page.tags}
        assert tiff.byteorder == "<"
        assert not tiff.is_bigtiff
        assert page.dataoffsets == (8,)
        assert page.databytecounts == (image.nbytes,)
        assert page.offset >= 8 + image.nbytes
        assert list(tags) == sorted(tags)
    assert tags[262] == 1  # MinIsBlack
    assert tags[259] == 1  # uncompressed
    assert 274 not in tags  # Orientation: readers disagree
    assert 270 not in tags  # ImageDescription: GSAS-II would multiply by 1000
    assert (272 in tags) == (dtype in ("uint16", "uint32", "int32"))
    assert (tmp_path / "x.tif").read_bytes()[8 : 8 + image.nbytes] == image.tobytes()


def test_any_memory_layout_is_written_as_it_looks(tmp_path):
    """Slices, transposes and read-only arrays are written as indexed."""
    image = np.arange(60, dtype="i4").reshape(6, 10).T[::2, ::-1]
    image.flags.writeable = False

    write(tmp_path / "x.tif", image)

    np.testing.assert_array_equal(tifffile.imread(tmp_path / "x.tif"), image)


def test_a_writer_that_has_written_gives_the_bytes_of_a_new_one():
    """What a writer prepares for one image is not used for another kind of image."""
    many, metadata = TiffWriter(), {"time": "2026-11-29T03:04:05Z", "frame": 10}
    for shape in ((6, 9), (9, 6), (3, 5), (4, 6, 3)):
        for dtype in ("u1", "<u2", ">u2", "f4"):
            for note in ({}, metadata, {"frame": 11}, {**metadata, "time": ""}):
                image = np.ones(shape, dtype)
                again, new = (
                    b"".join(map(bytes, writer.buffers(image, note)))
                    for writer in (many, TiffWriter())
                )
                assert again == new


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        ("i8", "int32"),
        ("u8", "uint32"),
        ("?", "uint8"),
        ("f2", "float32"),
        ("g", "float64"),
    ],
)
def test_a_dtype_that_readers_disagree_on_is_refused(tmp_path, dtype, advice):
    """A clear error that says what to ask for."""
    with pytest.raises(DtypeError, match=f"dtype='{advice}'"):
        write(tmp_path / "x.tif", np.zeros((2, 2), dtype))


@pytest.mark.parametrize("dtype", ["M8[s]", "U3", "O", "i4,f4"])
def test_what_is_no_number_is_refused(tmp_path, dtype):
    """Without advice, as there is none."""
    with pytest.raises(DtypeError, match=r"can't hold pixels of dtype \S.*$"):
        write(tmp_path / "x.tif", np.zeros((2, 2), dtype))


def test_short_writes_are_continued():
    """However little the system accepts at a time (here a pipe), everything is
    written.
    """
    reading, writing = os.pipe()
    data = [os.urandom(300_000), b"", os.urandom(7)]
    code = "import sys; d = sys.stdin.buffer.read(); print(len(d), d[-7:].hex())"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE) as child:
        os.close(reading)
        total = write_all(writing, data)
        os.close(writing)
        told, _ = child.communicate(timeout=30)

    assert total == 300_007
    assert told.decode().split() == ["300007", data[-1].hex()]


def test_an_existing_file_is_left_as_it_is(tmp_path, names_in):
    """S31: its content stays, and nothing is left beside it."""
    target = tmp_path / "x.tif"
    target.write_bytes(b"precious")

    with pytest.raises(ExistsError, match="existing='skip'"):
        publish(target, lambda fd: os.write(fd, b"new"), replace=False)

    assert target.read_bytes() == b"precious"
    assert names_in(tmp_path) == ["x.tif"]


def test_an_existing_file_is_replaced_when_asked(tmp_path, names_in):
    """S31: atomically."""
    target = tmp_path / "x.tif"
    target.write_bytes(b"old and longer")

    publish(target, lambda fd: os.write(fd, b"new"), replace=True)

    assert target.read_bytes() == b"new"
    assert names_in(tmp_path) == ["x.tif"]


def test_folders_are_made(tmp_path):
    """S08: all of them."""
    publish(tmp_path / "a/b/c/x.tif", lambda fd: os.write(fd, b"new"), replace=False)

    assert (tmp_path / "a/b/c/x.tif").read_bytes() == b"new"


def test_a_write_that_fails_leaves_nothing(tmp_path, names_in):
    """S32: no partial file, and no temporary one."""

    def fail(descriptor):
        os.write(descriptor, b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match="No space left"):
        publish(tmp_path / "x.tif", fail, replace=False)

    assert names_in(tmp_path) == []


def test_a_file_where_a_folder_must_be_is_named(tmp_path):
    """The error is a sentence that names it."""
    (tmp_path / "a").write_text("a file")

    with pytest.raises(WriteError, match="can't be written"):
        publish(tmp_path / "a/x.tif", lambda fd: None, replace=False)


def killed_write(target, *, replace):
    """Run a process that dies by SIGKILL in the middle of a file."""
    code = (
        "import os, pathlib, signal, sys\n"
        "from tiffin.writers import publish\n"
        "def die(fd):\n"
        "    os.write(fd, b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"publish(pathlib.Path(sys.argv[1]), die, replace={replace})\n"
    )
    subprocess.run([sys.executable, "-c", code, target], check=False, timeout=60)


def test_a_killed_write_leaves_nothing(tmp_path, names_in):
    """S32: with unnamed files (O_TMPFILE) there is no trace."""
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without names")

    killed_write(tmp_path / "x.tif", replace=False)

    assert names_in(tmp_path) == []


def test_a_killed_replacement_leaves_the_old_file(tmp_path, names_in):
    """S32: its hidden file is no .tif, and is removed by the next export."""
    (tmp_path / "x.tif").write_bytes(b"old")

    killed_write(tmp_path / "x.tif", replace=True)

    left, kept = names_in(tmp_path)
    assert (tmp_path / kept).read_bytes() == b"old"
    assert left.startswith(".")
    assert not left.endswith((".tif", ".tiff"))
    assert clear_leftovers(Folders(str(tmp_path))) == 1
    assert names_in(tmp_path) == ["x.tif"]


def test_what_living_processes_write_is_not_cleared(tmp_path, names_in):
    """Two exporters into one folder leave each other's files alone."""

    def look(descriptor):
        assert clear_leftovers(Folders(str(tmp_path))) == 0
        os.write(descriptor, b"mine")

    publish(tmp_path / "x.tif", look, replace=False)

    assert names_in(tmp_path) == ["x.tif"]

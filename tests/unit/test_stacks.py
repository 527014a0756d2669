"""Several pages in one TIFF: in order, out of order, and in place of others."""

import os
import zlib

import numpy as np
import pytest
import tifffile

from tiffin.errors import DtypeError, ExistsError
from tiffin.folders import Folders
from tiffin.writers import checksums, new_file, publishing, tiff_stack
from tiffin.writers.tiff_series import TiffWriter


def image_of(key, n):
    return np.full((5, 7), 10 * key + n, "u1" if key % 2 else "u2")


def metadata_of(key):
    return {} if key == 2 else {"i": key, "time": "2026-11-29T01:02:03.5+00:00"}


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "order", [[0], [0, 1, 2, 3], [2, 0, 1, 3], [0, 1, 2, 3, 1], [3, 2, 1, 0, 3]]
)
@pytest.mark.parametrize("checksum", ["crc32", "sha256"])
def test_pages_are_in_the_order_of_their_keys(
    tmp_path, compression, big, order, checksum
):
    """However pages come, each is read back, and the checksum is that of the file."""
    path = tmp_path / "x.tif"
    last = {key: n for n, key in enumerate(order)}
    with path.open("w+b", buffering=0) as file:
        writer = TiffWriter(compression=compression)
        stack = writer.stack(file.fileno(), big=big, checksum=checksum)
        for n, key in enumerate(order):
            image = image_of(key, n)
            stack.add(key, stack.encode(image, metadata_of(key)))
            if n % 2:
                stack.flush()
        written, keys = stack.finish()

    content = path.read_bytes()
    assert keys == sorted(last)
    assert written.nbytes == len(content)
    if checksum == "crc32":
        assert written.checksum == f"crc32:{zlib.crc32(content):08x}"
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff == big
        pages = [page.asarray() for page in tiff.pages]
        noted = [65123 in page.tags for page in tiff.pages]
    assert noted == [key != 2 for key in sorted(last)]
    for key, page in zip(sorted(last), pages, strict=True):
        np.testing.assert_array_equal(page, image_of(key, last[key]))


def test_a_classic_tiff_does_not_grow_beyond_its_offsets(tmp_path, monkeypatch):
    """Refused before the page is written, and the file stays readable."""
    monkeypatch.setattr(tiff_stack, "LARGEST", 2**17)
    path, image = tmp_path / "x.tif", np.ones((128, 128), "u2")
    with path.open("w+b", buffering=0) as file:
        stack = TiffWriter().stack(file.fileno())
        stack.add(0, stack.encode(image, {}))
        with pytest.raises(DtypeError, match="bigtiff=True"):
            stack.add(1, stack.encode(image, {}))
        stack.finish()

    np.testing.assert_array_equal(tifffile.imread(path), image)


def test_a_page_that_cannot_be_written_leaves_the_others(tmp_path, monkeypatch):
    """The file is as it was before, and the page may be tried again."""
    path, image = tmp_path / "x.tif", np.ones((4, 4), "u2")
    with path.open("w+b", buffering=0) as file:
        stack = TiffWriter().stack(file.fileno())
        stack.add(0, stack.encode(image, {}))
        write = os.writev

        def full(descriptor, buffers):
            write(descriptor, buffers[:1])
            raise OSError(28, "No space left on device")

        stack.flush()
        stack.add(1, stack.encode(image * 2, {}))
        with monkeypatch.context() as context:
            context.setattr(os, "writev", full)
            with pytest.raises(OSError, match="No space"):
                stack.flush()
        stack.flush()
        written, _ = stack.finish()

    content = path.read_bytes()
    assert written == (len(content), f"crc32:{zlib.crc32(content):08x}")
    assert tifffile.imread(path)[:, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("lacks", ["nothing", "links", "names"])
def test_a_new_file_has_its_name_when_it_is_complete(
    tmp_path, names_in, monkeypatch, replace, lacks
):
    """Nothing stands in the folder before, whatever the file system lacks."""
    if lacks == "links":
        monkeypatch.setattr(new_file, "link_descriptor", lambda *_, **__: False)
    elif lacks == "names":
        monkeypatch.setattr(publishing, "_NAMELESS", 0)
    folders = Folders(str(tmp_path))
    if replace:
        (tmp_path / "x.tif").write_bytes(b"old")
    file = new_file.NewFile(f"{tmp_path}/x.tif", folders=folders, mode=0o640)
    os.write(file.descriptor, b"new")
    before = [name for name in names_in(tmp_path) if not name.startswith(".")]
    file.publish(replace=replace)

    assert before == (["x.tif"] if replace else [])
    assert names_in(tmp_path) == ["x.tif"]
    assert (tmp_path / "x.tif").read_bytes() == b"new"
    assert (tmp_path / "x.tif").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("lacks", ["nothing", "names"])
def test_a_new_file_never_replaces_another(tmp_path, names_in, monkeypatch, lacks):
    """The one that is there stays, and nothing is left of the new one."""
    if lacks == "names":
        monkeypatch.setattr(publishing, "_NAMELESS", 0)
    (tmp_path / "x.tif").write_bytes(b"old")
    file = new_file.NewFile(f"{tmp_path}/x.tif", folders=Folders(str(tmp_path)))
    os.write(file.descriptor, b"new")

    with pytest.raises(ExistsError):
        file.publish(replace=False)

    assert names_in(tmp_path) == ["x.tif"]
    assert (tmp_path / "x.tif").read_bytes() == b"old"


@pytest.mark.parametrize("first", [b"", b"a", b"header" * 9])
@pytest.mark.parametrize("size", [0, 1, 131_072, 131_073, 2**20 + 7])
def test_the_checksum_of_parts_is_that_of_the_whole(first, size):
    """With the library that is fast, and without it."""
    second = os.urandom(size)
    parts = zlib.crc32(first), zlib.crc32(second), size

    assert checksums.combine(*parts) == zlib.crc32(first + second)
    assert checksums.crc32_combine(*parts) == zlib.crc32(first + second)


@pytest.mark.parametrize("behind", [0, 1, 70_001])
def test_a_checksum_after_bytes_were_replaced(behind):
    """Without reading the others again."""
    parts = [os.urandom(n) for n in (100, 8, behind)]
    running = checksums.RunningChecksum("crc32")
    running.update(parts)
    running.replace(parts[1], b"\0new\xff...", behind)
    parts[1] = b"\0new\xff..."

    assert str(running) == f"crc32:{zlib.crc32(b''.join(parts)):08x}"

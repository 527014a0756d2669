"""``tiffin.read_metadata`` and ``tiffin show`` read files that may be anybody's."""

import json
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import tiffin
from tests.shell import tiffin as shell
from tiffin.errors import ReadError, SettingsError
from tiffin.testing import run_of
from tiffin.writers.png_notes import SIGNATURE, chunk
from tiffin.writers.tiff_layout import NOTE_TAG

NOTE = {"run": "r", "motors": {"x": {"value": 1.5, "unit": "µm"}}, "sample": "Å K 😀"}


def tiff_with(path, notes, **options):
    """Write a page for each note with tifffile, which is another's writer."""
    with tifffile.TiffWriter(path, **options) as file:
        for note in notes:
            tags = [(NOTE_TAG, 2, 0, json.dumps(note), True)] if note else []
            file.write(np.ones((6, 9), "u2"), extratags=tags, metadata=None)
    return path


def entry(number, kind, count, value):
    return struct.pack("<HHI", number, kind, count) + value.ljust(4, b"\0")


def directory(*entries, following=0):
    return struct.pack("<H", len(entries)) + b"".join(entries) + pack(following)


def pack(number):
    return struct.pack("<I", number)


@pytest.mark.parametrize(
    "options",
    [{}, {"bigtiff": True}, {"byteorder": ">"}, {"bigtiff": True, "byteorder": ">"}],
    ids=str,
)
def test_every_form_of_tiff_is_read(tmp_path, options):
    """Classic and BigTIFF, in both byte orders, with one page or several."""
    one = tiff_with(tmp_path / "1.tif", [NOTE], **options)
    three = tiff_with(tmp_path / "3.tif", [NOTE, {}, {"i": 2}], **options)

    assert tiffin.read_metadata(one) == tiffin.read_metadata(one, page=0) == NOTE
    assert tiffin.read_metadata(three) == [NOTE, {}, {"i": 2}]
    assert tiffin.read_metadata(str(three), page=np.int64(2)) == {"i": 2}


@pytest.mark.parametrize("page", [3, -1, True, 1.0, "0"])
def test_a_page_that_is_not_there_is_refused(tmp_path, page):
    """The message has the pages that there are."""
    three = tiff_with(tmp_path / "3.tif", [NOTE, {}, {}])

    with pytest.raises(
        SettingsError, match=r"^page must be .*(0 to 2.*3 pages|from 0)"
    ):
        tiffin.read_metadata(three, page=page)


def test_a_file_without_metadata_has_none(tmp_path):
    """A TIFF or an npy file of another program."""
    np.save(tmp_path / "a.npy", np.ones(3))

    assert tiffin.read_metadata(tiff_with(tmp_path / "a.tif", [{}])) == {}
    assert tiffin.read_metadata(tmp_path / "a.npy") == {}


def test_a_file_that_has_lost_its_folder_has_all_of_it(tmp_path):
    """No manifest is needed."""
    run = run_of({"img": np.ones((1, 6, 9), "u2")}, scan_id=7, sample="Å µ 😀")
    report = tiffin.export(run, "{i}.tif", directory=tmp_path / "a")
    moved = report.written[0].path.rename(tmp_path / "b")

    found = tiffin.read_metadata(moved)
    assert (found["run"], found["sample"]) == (run[0][1]["uid"], "Å µ 😀")


def test_a_truncated_tiff_gives_a_clear_error(tmp_path):
    """Wherever it is cut: what cannot be read is said, and where."""
    data = tiff_with(tmp_path / "a.tif", [NOTE, NOTE]).read_bytes()
    cut = tmp_path / "cut.tif"
    refused = 0
    for length in range(len(data)):
        cut.write_bytes(data[:length])
        try:
            found = tiffin.read_metadata(cut)
        except ReadError:
            refused += 1
        else:  # only pixels are missing, which nobody asked for
            assert found == [NOTE, NOTE]
    assert refused > 500


def tiff_of(*directories):
    return b"II*\0" + pack(8) + b"".join(directories)


def note_of(length, value=b"\x08"):
    return tiff_of(directory(entry(NOTE_TAG, 2, length, value)))


def png_of(*chunks):
    return SIGNATURE + b"".join(chunks)


END = chunk(b"IEND", b"")
BOMB = b"tiffin\0\1\0\0\0" + zlib.compress(bytes(2**27))

HOSTILE = {
    "empty": b"",
    "text": b"Hello, world",
    "header only": b"II*\0",
    "no page": b"II*\0" + pack(0),
    "behind the end": b"II*\0" + pack(2**32 - 1),
    "a loop": tiff_of(directory(following=8)),
    "a long loop": tiff_of(directory(following=14), directory(following=8)),
    "a huge note": note_of(2**32 - 1),
    "a note behind the end": note_of(99),
    "no JSON": note_of(4, b"{no}"),
    "no object": note_of(3, b"[]\0"),
    "no UTF-8": note_of(4, b"\xff\xfe{}"),
    "a BigTIFF of many tags": b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**60),
    "a BigTIFF far away": b"II+\0" + struct.pack("<HHQ", 8, 0, 2**64 - 1),
    "a PNG that breaks off": png_of(chunk(b"IHDR", bytes(13))),
    "a damaged PNG": png_of(chunk(b"iTXt", b"tiffin\0\0\0\0\0{}")[:-1] + b"?", END),
    "a PNG with a bomb": png_of(chunk(b"iTXt", BOMB), END),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_gives_a_clear_error(tmp_path, kind):
    """It never ends in another exception, in a loop, or with the memory used up."""
    path = tmp_path / "a.tif"
    path.write_bytes(HOSTILE[kind])

    with pytest.raises(ReadError, match=rf"^the metadata of {path} can't be read: \w"):
        tiffin.read_metadata(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return whole files of each kind, as bytes."""
    folder = tmp_path_factory.mktemp("whole")
    run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=7, sample="µ")
    for form, bigtiff in (("tiff", False), ("tiff", True), ("png", False)):
        name, stack = ("a.tif", "run") if form == "tiff" else ("{event.seq_num}", None)
        tiffin.export(
            run, name, directory=folder / f"{form}{bigtiff}", format=form, stack=stack,
            bigtiff=bigtiff,
        )  # fmt: skip
    files = [f for f in sorted(folder.rglob("*")) if f.is_file()]
    return [f.read_bytes() for f in files if ".tiffin" not in f.parts]


@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(whole, tmp_path_factory, data):
    """Whatever bytes are changed or missing: no other exception, and no loop."""
    content = bytearray(data.draw(st.sampled_from(whole)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = tiffin.read_metadata(path)
    except ReadError:
        return
    json.dumps(found, allow_nan=False)


def test_deeply_nested_json_is_refused(tmp_path):
    """It would end in a RecursionError."""
    text = b"[" * 200_000
    path = tmp_path / "a.tif"
    note = entry(NOTE_TAG, 2, len(text), pack(26))
    path.write_bytes(b"II*\0" + pack(8) + directory(note) + text)

    with pytest.raises(ReadError, match="not JSON"):
        tiffin.read_metadata(path)


def test_pages_that_share_their_metadata_do_not_use_up_the_memory(tmp_path):
    """A small file can't give gigabytes: its parts may not overlap."""
    note = b'{"a": "' + b"x" * 2**20 + b'"}'
    pages = 2000
    at = 8 + pages * 18
    data = b"II*\0" + pack(8)
    for n in range(pages):
        following = 8 + (n + 1) * 18 if n + 1 < pages else 0
        tag = entry(NOTE_TAG, 2, len(note), pack(at))
        data += directory(tag, following=following)
    path = tmp_path / "a.tif"
    path.write_bytes(data + note)

    tracemalloc.start()
    with pytest.raises(ReadError, match="overlap"):
        tiffin.read_metadata(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * 2**20


def test_only_regular_files_are_read(tmp_path):
    """A pipe would wait for ever; a link to a file is the user's choice."""
    os.mkfifo(tmp_path / "pipe")
    link = tmp_path / "link"
    link.symlink_to(tiff_with(tmp_path / "a.tif", [NOTE]))

    assert tiffin.read_metadata(link) == NOTE
    for name in ("pipe", "missing", ".", "a.tif/b", "nul\0"):
        with pytest.raises(ReadError, match="can't be read"):
            tiffin.read_metadata(tmp_path / name)
    with pytest.raises(ReadError, match="can't be read"):
        tiffin.read_metadata("/dev/zero")


def test_a_compressed_note_of_a_png_is_read(tmp_path):
    """Another program may have packed it, or put it behind the pixels."""
    text = json.dumps(NOTE, ensure_ascii=False).encode()
    path = tmp_path / "a.png"
    note = chunk(b"iTXt", b"tiffin\0\1\0en\0tiffin\0" + zlib.compress(text))
    path.write_bytes(SIGNATURE + chunk(b"IDAT", b"") + note + chunk(b"IEND", b""))

    assert tiffin.read_metadata(path) == NOTE


def test_nan_of_another_program_is_null(tmp_path):
    """What is read can be written as JSON again."""
    path = tiff_with(tmp_path / "a.tif", [{"a": float("nan"), "b": float("inf")}])

    assert tiffin.read_metadata(path) == {"a": None, "b": None}
    large = tmp_path / "large.png"
    note = chunk(b"iTXt", b"tiffin\0\0\0\0\0" + b'{"a": -1e999, "b": 1e3}')
    large.write_bytes(png_of(note, END))
    assert tiffin.read_metadata(large) == {"a": None, "b": 1000.0}


def test_show_prints_what_is_in_files(tmp_path):
    """A heading for each file or page, and a line for each entry."""
    one = tiff_with(tmp_path / "1.tif", [NOTE])
    two = tiff_with(tmp_path / "2.tif", [{}, {"i": 1}])

    told = shell("show", one, two)
    assert told.returncode == 0, told.stderr
    assert told.stdout == (
        f"{one}\n  run     r\n  motors  x = 1.5 µm\n  sample  Å K 😀\n"
        f"{two}, page 0\n  no metadata\n{two}, page 1\n  i  1\n"
    )
    assert shell("show", two, "--page", 1).stdout == f"{two}, page 1\n  i  1\n"


def test_show_of_what_is_no_image(tmp_path):
    """An empty file, a folder, and a page that a single image does not have."""
    (tmp_path / "empty.tif").touch()
    one = tiff_with(tmp_path / "1.tif", [NOTE])

    told = shell("show", tmp_path / "empty.tif", tmp_path)
    assert told.returncode == 1
    assert "empty.tif can't be read: it is empty" in told.stderr
    assert f"it is a folder: give its files, such as {tmp_path}/*.tif" in told.stderr
    assert "page must be 0, not 1\n" in shell("show", one, "--page", 1).stderr


def test_show_prints_json(tmp_path):
    """A line for each file, null for one that can't be read; the status tells."""
    one = tiff_with(tmp_path / "1.tif", [NOTE])
    two = tiff_with(tmp_path / "2.tif", [{}, {"i": 1}])
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0")

    told = shell("show", one, bad, two, "--json")
    assert told.returncode == 1
    assert list(map(json.loads, told.stdout.splitlines())) == [
        NOTE,
        None,
        [{}, {"i": 1}],
    ]
    assert str(bad) in told.stderr
    assert shell("show", one, "--page", 5).returncode == 2


def test_show_sends_nothing_to_a_terminal_that_it_would_obey(tmp_path):
    """Not even as JSON, which stays the same JSON."""
    nasty = {"a\x9b2J": "\x1b[2J\x9b\u202e\ud800"}
    path = tiff_with(tmp_path / "a.tif", [nasty])

    plain, as_json = shell("show", path), shell("show", path, "--json")
    assert plain.returncode == as_json.returncode == 0, plain.stderr
    assert not {*"\x1b\x9b\u202e\ud800"} & {*plain.stdout, *as_json.stdout}
    assert json.loads(as_json.stdout) == nasty

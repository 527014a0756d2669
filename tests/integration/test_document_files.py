"""Files of documents as people write them, and files that hold something else."""

import gzip
import io
import json
import pickle
import re
import sqlite3
import sys
import tarfile
import tracemalloc
import zipfile
from contextlib import closing
from importlib.metadata import EntryPoint

import h5py
import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import as_json, datum_run, write_msgpack
from tests.helpers import check
from tiffin.errors import SourceError
from tiffin.readers import handlers
from tiffin.sources import document_file, open_source
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num}.tif"
IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9)


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7)


def objects(run):
    return [{"name": name, "doc": doc} for name, doc in run]


FORMS = {
    "an array of pairs on one line": lambda run: json.dumps(run),
    "an indented array of pairs": lambda run: json.dumps(run, indent=2),
    "an array of objects on one line": lambda run: json.dumps(objects(run)),
    "an indented array of objects": lambda run: json.dumps(objects(run), indent=4),
    "tabs": lambda run: json.dumps(objects(run), indent="\t"),
    "one a line": lambda run: "\n".join(map(json.dumps, run)),
    "one a line, with empty ones": lambda run: "\n\n".join(map(json.dumps, run)) + "\n",
    "one a line, of Windows": lambda run: "\r\n".join(map(json.dumps, run)) + "\r\n",
    "one after the other": lambda run: "".join(map(json.dumps, objects(run))),
    "one after the other, indented": lambda run: "\n".join(
        json.dumps(each, indent=2) for each in objects(run)
    ),
    "a sequence (RFC 7464)": lambda run: "".join(
        f"\x1e{json.dumps(each)}\n" for each in run
    ),
    "two arrays": lambda run: json.dumps(run[:2]) + "\n" + json.dumps(run[2:]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".json", ".jsonl.gz"])
def test_json_as_people_write_it(run, tmp_path, read, form, suffix):
    """Whatever stands between documents, a valid file is read, gzipped or not."""
    text = FORMS[form](as_json(run)).encode()
    path = tmp_path / f"run{suffix}"
    path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)

    check(tiffin.export(path, NAME, directory=tmp_path / "out"), IMAGES, read)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_of_text(run, tmp_path, read, encoding):
    """PowerShell writes UTF-16; a byte-order mark is none of the document's."""
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(map(json.dumps, as_json(run))), encoding=encoding)

    check(tiffin.export(path, NAME, directory=tmp_path / "out"), IMAGES, read)


@pytest.mark.parametrize("name", ["run.msgpack.gz", "run.json", "RUN.MSGPACK"])
def test_msgpack_is_told_by_what_it_holds(run, tmp_path, read, name):
    """Gzipped or not, whatever its name is."""
    write_msgpack(run, tmp_path / name)
    if name.endswith(".gz"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(whole))

    check(
        tiffin.export(tmp_path / name, NAME, directory=tmp_path / "out"), IMAGES, read
    )


def test_an_array_is_read_a_document_at_a_time(tmp_path):
    """On one line, too: memory does not grow with the file."""
    event = ["event", {"uid": "e", "data": {"x": "y" * 100_000}}]
    path = tmp_path / "run.json"
    path.write_text(json.dumps([["start", {"uid": "a"}], *[event] * 200]))

    tracemalloc.start()
    count = sum(1 for _ in open_source(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 201
    assert peak < 1e7 < path.stat().st_size


def test_large_documents_are_not_read_over_and_over(tmp_path, monkeypatch):
    """What is read so often grows with the logarithm of a document's size, at most."""
    tried = []
    scan = json.JSONDecoder.raw_decode

    def counting(self, text, at=0):
        tried.append(len(text) - at)
        return scan(self, text, at)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", counting)
    doc = {"name": "start", "doc": {"uid": "a", "x": ["y" * 1000] * 12_000}}
    (tmp_path / "one.json").write_text(json.dumps([doc, doc], indent=1))

    assert len(list(open_source(tmp_path / "one.json"))) == 2
    assert len(tried) < 12


def test_a_folder_of_files_is_a_source_of_several_runs(tmp_path, read):
    """Each file is a part of it; one that is broken leaves the others."""
    for n in (1, 2):
        each = as_json(run_of({"img": IMAGES}, scan_id=n))
        (tmp_path / f"{n}.json").write_text(json.dumps(each, indent=1))
    packed = gzip.compress(json.dumps(as_json(run_of({"img": IMAGES}))).encode())
    (tmp_path / "0.json.gz").write_bytes(packed)
    (tmp_path / "3.jsonl").write_text("what?\n")
    (tmp_path / "notes.txt").write_text("no documents here")
    (tmp_path / ".hidden.json").write_text("[")

    report = tiffin.export(
        tmp_path, "{start.uid}_{frame}.tif", directory=tmp_path / "out",
        on_error="report",
    )  # fmt: skip

    assert len(report.written) == 9
    (failed,) = report.failed
    assert "3.jsonl, line 1: not JSON" in str(failed.error)


def test_a_folder_without_documents_says_what_is_accepted(tmp_path):
    """It names the forms of files that would be read."""
    (tmp_path / "a.tif").write_bytes(b"II*\0")

    with pytest.raises(SourceError, match=r"folder without catalog.yml.*\.jsonl"):
        tiffin.export(tmp_path, NAME, directory=tmp_path / "out")


def made(kind):
    """Make a file of another kind."""
    file = io.BytesIO()
    if kind == "HDF5":
        with h5py.File(file, "w") as hdf5:
            hdf5["data"] = [1]
    elif kind == "TIFF":
        tifffile.imwrite(file, np.ones((2, 2)))
    elif kind == "numpy":
        np.save(file, [1])
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("run.jsonl", "[]")
    elif kind == "tar":
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("run.jsonl"))
    elif kind == "SQLite":
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("create table t (x)")
            file.write(database.serialize())
    else:
        file.write(b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html>")
    return file.getvalue()


@pytest.mark.parametrize(
    "kind", ["HDF5", "TIFF", "numpy", "zip", "tar", "SQLite", "HTML"]
)
@pytest.mark.parametrize("name", ["run.nxs", "run.jsonl", "run.msgpack", "run.json.gz"])
def test_a_file_of_another_kind_is_named(tmp_path, kind, name):
    """With what is accepted, whatever its name says it is."""
    content = made(kind)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    with pytest.raises(SourceError, match=rf"is .*{kind}.*.*documents: JSON \(\.jsonl"):
        tiffin.export(path, NAME, directory=tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no run"),
        (b"[]", "holds no run"),
        (gzip.compress(b"", mtime=0), "holds no run"),
        (b"\xff\xfe\xfa\x81binary", "not JSON"),
        (b"\x80\x04\x95", "not text"),
        (b'["start", {"uid": "\xff"}]', "line 1: not text in utf-8"),
        (b"PK or so", "line 1: not JSON"),
        (b"42", "not a document"),
        (b'{"start": {"uid": "a"}}', "not a document"),
        (b'["start", {"uid": "a"}, "stop", {}]', "not a document"),
        (b'["start", {"uid": ' + b"1" * 5000 + b"}]", "line 1: Exceeds the limit"),
    ],
)
def test_a_file_without_documents_says_so(tmp_path, content, says):
    """An empty one, one in no encoding, and JSON that is valid and no document."""
    (tmp_path / "run.jsonl").write_bytes(content)

    with pytest.raises(SourceError, match=says):
        tiffin.export(tmp_path / "run.jsonl", NAME, directory=tmp_path / "out")


@pytest.mark.parametrize("path", ["a\0b.jsonl", "x" * 5000, "[]" * 100_000])
def test_what_can_be_no_path_is_refused(path):
    """The message is short."""
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert len(str(caught.value)) < 800


def test_text_that_ends_gives_what_stands_before(run, tmp_path):
    """Documents before a byte that is not text are exported."""
    text = b"".join(json.dumps(p).encode() + b"\n" for p in as_json(run)[:4])
    (tmp_path / "run.jsonl").write_bytes(text + b"\xff\xff\n" + text)

    report = tiffin.export(
        tmp_path / "run.jsonl", NAME, directory=tmp_path / "out", on_error="report"
    )

    assert len(report.written) == 2
    assert "line 5: not text in utf-8" in str(report.failed[0].error)


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_gzip_that_breaks_off(run, tmp_path, form):
    """Cut anywhere, it is an error after the complete documents."""
    path = tmp_path / f"run.{form}"
    if form == "json":
        path.write_text(json.dumps(as_json(run)))
    else:
        write_msgpack(run, path)
    packed = gzip.compress(path.read_bytes())
    torn = tmp_path / f"{form}.gz"

    counts = []
    for cut in range(3, len(packed) - 40, 7):
        torn.write_bytes(packed[:cut])
        found = []
        with pytest.raises(SourceError, match="breaks off"):
            found.extend(open_source(torn))
        counts.append(len(found))
    assert counts == sorted(counts)
    assert counts[-1] > 2


def test_gzip_that_is_damaged(run, tmp_path):
    """A wrong checksum is an error, as any of the content may be wrong."""
    packed = bytearray(gzip.compress(json.dumps(as_json(run)).encode()))
    packed[-8] ^= 1
    (tmp_path / "run.json.gz").write_bytes(packed)

    with pytest.raises(SourceError, match="can't be read: CRC"):
        list(open_source(tmp_path / "run.json.gz"))


@pytest.mark.parametrize(
    "content",
    [
        b'["start", {"uid": "' + b"a" * 2**24,
        b'["start", {"uid": ' + b"[" * 10 + b"1," * 2**21,
        b" " * 2**24,
        b"\x92\xa5start\x81\xa3uid\xc6\x7f\xff\xff\xff" + bytes(2**24),
        b"\x92\xa5start\x81\xa3uid\xdd\xff\xff\xff\xff" + bytes(2**24),
    ],
    ids=["text", "list", "nothing", "bytes", "items"],
)
def test_a_small_gzip_does_not_fill_the_memory(tmp_path, monkeypatch, content):
    """A document is read up to a limit; the message says what to do."""
    monkeypatch.setattr(document_file, "MAX_DOCUMENT", 2**20)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(content))

    tracemalloc.start()
    with pytest.raises(SourceError):
        list(open_source(tmp_path / "bomb.json.gz"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 20 * 2**20


class Evil:
    """What a pickle makes run."""

    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


ARRAY = {b"nd": True, b"kind": b"", b"type": "<u2", b"shape": [6, 9]}
DATA = bytes(108)
RECORDS = [["a", "<u2"], ["b", "|O"]]


@pytest.mark.parametrize(
    ("array", "says"),
    [
        ({**ARRAY, b"kind": b"O", b"type": "|O", b"data": pickle.dumps(Evil())}, "any"),
        ({**ARRAY, b"kind": b"O", b"data": pickle.dumps(Evil())}, "any program"),
        ({**ARRAY, b"type": "|O", b"data": DATA}, "any program"),
        ({**ARRAY, b"type": "O8", b"data": DATA}, "dtype 'O8'"),
        ({**ARRAY, b"kind": b"V", b"type": RECORDS, b"data": DATA}, "dtype .*'b'"),
        ({**ARRAY, b"type": "<u2,<u2", b"data": DATA}, "dtype '<u2,<u2'"),
        ({**ARRAY, b"type": "V0", b"data": DATA}, "dtype 'V0'"),
        ({**ARRAY, b"type": "<u3", b"data": DATA}, "data type '<u3'"),
        ({**ARRAY, b"type": None, b"data": DATA}, "dtype None"),
        ({**ARRAY, b"type": {"names": ["x"]}, b"data": DATA}, "dtype .*names"),
        ({**ARRAY}, "without its data"),
        ({**ARRAY, b"data": None}, "without its data"),
        ({**ARRAY, b"data": "0" * 108}, "without its data"),
        ({**ARRAY, b"data": DATA[:-1]}, "takes 108 bytes, and 107 are there"),
        ({**ARRAY, b"data": DATA + b"x"}, "takes 108 bytes, and 109 are there"),
        ({**ARRAY, b"data": b""}, "takes 108 bytes, and 0 are there"),
        ({**ARRAY, b"shape": [-6, -9], b"data": DATA}, r"shape \[-6, -9\]"),
        ({**ARRAY, b"shape": [6.0, 9], b"data": DATA}, r"shape \[6.0, 9\]"),
        ({**ARRAY, b"shape": [True, 54], b"data": DATA}, r"shape \[True, 54\]"),
        ({**ARRAY, b"shape": None, b"data": DATA}, "shape None"),
        ({**ARRAY, b"shape": [2**62, 2**62], b"data": DATA}, "108 are there"),
        ({**ARRAY, b"shape": [1] * 100 + [6, 9], b"data": DATA}, "dim"),
        ({b"nd": True}, "dtype None"),
        ({b"nd": 1, **{k: v for k, v in ARRAY.items() if k != b"nd"}}, "not an image"),
        ({b"complex": True, b"data": "nonsense"}, "not an image"),
        ({b"complex": True}, "not an image"),
    ],
)
def test_an_array_that_is_none_fails_with_its_frame_only(tmp_path, array, says):
    """No code is run, no uninitialised memory is read, and the other frames are
    exported.
    """
    run = run_of({"img": IMAGES}, scan_id=7)
    run[0][1]["note"] = array
    run[3][1]["data"]["img"] = array
    write_msgpack(run, tmp_path / "run.msgpack")

    report = tiffin.export(
        tmp_path / "run.msgpack", NAME, directory=tmp_path / "out", on_error="report"
    )

    assert len(report.written) == 2
    (failed,) = report.failed
    assert re.search(says, str(failed.error)), failed.error


def test_extensions_of_msgpack_are_not_read(tmp_path):
    """A value of an extension type is no image; the run's other frames are exported."""
    msgpack = pytest.importorskip("msgpack")
    run = run_of({"img": IMAGES}, scan_id=7)
    run[3][1]["data"]["img"] = msgpack.ExtType(5, DATA)
    write_msgpack(run, tmp_path / "run.msgpack")

    report = tiffin.export(
        tmp_path / "run.msgpack", NAME, directory=tmp_path / "out", on_error="report"
    )

    assert len(report.written) == 2
    assert "not an image" in str(report.failed[0].error)


@pytest.mark.parametrize(
    "content",
    [
        b"\x92\xa5start" + b"\x91" * 100_000 + b"\x01",
        b"\x92\xa5start\xdd\xff\xff\xff\xff" + bytes(100),
        b"\x92\xa5start\xc6\xff\xff\xff\xff" + bytes(100),
        b"\x92\xa5start\x81\x91\x01\x02",
        b"\x92\xa5start\xc1",
        b"\x92\xa5\xff\xff\xff\xff\xff\x80",
    ],
    ids=["nested", "items", "bytes", "key", "unused", "text"],
)
def test_hostile_msgpack_is_a_source_error(tmp_path, content):
    """No memory is allocated for lengths that a file merely claims."""
    (tmp_path / "run.msgpack").write_bytes(content)

    tracemalloc.start()
    with pytest.raises(SourceError, match=r"document 1"):
        list(open_source(tmp_path / "run.msgpack"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2**24


@pytest.mark.parametrize("where", ["uid", "stream", "field", "event"])
def test_a_lone_surrogate_is_no_reason_to_fail(tmp_path, where):
    """JSON can hold one, UTF-8 can't: the manifest escapes it, and resume reads it."""
    odd, documents = "a\ud800", as_json(run_of({"img": IMAGES}, scan_id=7))
    text = json.dumps(documents)
    uids = [documents[0][1]["uid"], "primary", "img", documents[2][1]["uid"]]
    old = dict(zip(["uid", "stream", "field", "event"], uids, strict=True))[where]
    (tmp_path / "a.json").write_text(text.replace(f'"{old}"', json.dumps(odd)))
    into = {"directory": tmp_path / "out", "streams": None, "on_error": "report"}

    report = tiffin.export(tmp_path / "a.json", NAME, **into)

    assert report.ok, report.failed
    (manifest,) = (tmp_path / "out/.tiffin").glob("*.jsonl")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert odd in json.dumps(lines, ensure_ascii=False)
    again = tiffin.export(tmp_path / "a.json", NAME, existing="resume", **into)
    assert (len(again.skipped), len(again.failed)) == (3, 0)


def test_a_store_that_exits_is_an_error():
    """The documents end there, and the process goes on."""

    def documents():
        yield from run_of({"img": IMAGES})[:3]
        sys.exit("no licence")

    with pytest.raises(SourceError, match="SystemExit: no licence"):
        list(open_source(documents()))


@pytest.mark.parametrize("at", ["import", "use"])
def test_a_plug_in_that_exits_fails_its_frames(tmp_path, monkeypatch, at):
    """Also if a handler calls exit while it is imported or opens a file."""
    body = "import sys\n"
    body += "sys.exit(3)\n" if at == "import" else "def Handler(*a, **k): sys.exit(3)\n"
    (tmp_path / "leaving_handler.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("LEAVES", "leaving_handler:Handler", "databroker.handlers")
    monkeypatch.setattr(handlers, "_entry_points", lambda: {"LEAVES": entry})
    run = list(datum_run(tmp_path / "a.h5"))
    (tmp_path / "a.h5").write_bytes(b"")
    run = [(n, {**d, "spec": "LEAVES"} if n == "resource" else d) for n, d in run]

    report = tiffin.export(
        run, "{event.seq_num}_{i}.tif", directory=tmp_path / "out", on_error="report"
    )

    assert report.failed
    assert not report.written
    assert "LEAVES" in str(report.failed[0].error)

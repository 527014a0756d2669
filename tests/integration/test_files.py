"""Files of documents: what suitcase, bluesky's writers and databroker-pack leave."""

import json

import numpy as np
import pytest
import yaml

import tiffin
from tiffin.errors import SourceError
from tiffin.sources import Documents, Selection, only
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num}.tif"
IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9)


def as_json(run):
    return json.loads(json.dumps(run, default=np.ndarray.tolist))


def write_msgpack(run, path):
    msgpack = pytest.importorskip("msgpack")
    import msgpack_numpy

    with path.open("wb") as file:
        for pair in run:
            file.write(msgpack.packb(list(pair), default=msgpack_numpy.encode))


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7)


def check(report, read):
    assert report.ok, report.failed
    for record, image in zip(report.written, IMAGES, strict=True):
        np.testing.assert_array_equal(read(record.path), image)
        assert record.dtype == np.uint16


def test_bluesky_json_and_jsonl_writers(run, tmp_path, read):
    """An array of documents with one a line, and JSON lines."""
    from bluesky.callbacks.json_writer import JSONLinesWriter, JSONWriter

    for writer in (
        JSONWriter(str(tmp_path), "a.json"),
        JSONLinesWriter(str(tmp_path), "a.jsonl"),
    ):
        for name, doc in as_json(run):
            writer(name, doc)

    check(tiffin.export(tmp_path / "a.json", NAME, directory=tmp_path / "1"), read)
    check(tiffin.export(tmp_path / "a.jsonl", NAME, directory=tmp_path / "2"), read)


def test_a_json_array_that_breaks_off(run, tmp_path):
    """The recorder died: what is there is exported."""
    text = "[\n" + ",\n".join(
        json.dumps({"name": n, "doc": d}) for n, d in as_json(run)[:4]
    )
    (tmp_path / "a.json").write_text(text + ",\n")

    report = tiffin.export(tmp_path / "a.json", NAME, directory=tmp_path / "out")

    assert len(report.written) == 2


def test_msgpack_keeps_dtypes(run, tmp_path, read):
    """As suitcase-msgpack writes it, arrays by msgpack-numpy."""
    for _, doc in run:
        doc.get("data_keys", {}).get("img", {}).pop("dtype_numpy", None)
    write_msgpack(run, tmp_path / "a.msgpack")

    check(tiffin.export(tmp_path / "a.msgpack", NAME, directory=tmp_path / "out"), read)


def test_a_msgpack_that_breaks_off(run, tmp_path, caplog):
    """Its last document is left out, and that is said."""
    write_msgpack(run, tmp_path / "a.msgpack")
    whole = (tmp_path / "a.msgpack").read_bytes()
    (tmp_path / "a.msgpack").write_bytes(whole[: len(whole) - 200])

    report = tiffin.export(
        tmp_path / "a.msgpack", NAME, directory=tmp_path / "out", on_error="report"
    )

    assert len(report.written) >= 2
    assert "breaks off" in caplog.text


@pytest.mark.parametrize("form", ["jsonl", "msgpack"])
def test_a_folder_of_databroker_pack(sample, tmp_path, read, form):
    """Documents, external files and their root, wherever the folder has been moved."""
    recording = sample("10_resource_datum_npy_seq")
    pack = tmp_path / "pack"
    (pack / "documents").mkdir(parents=True)
    external = pack / "external_files" / "5f2a"
    external.mkdir(parents=True)
    for path in (recording.folder / "data").iterdir():
        (external / path.name).write_bytes(path.read_bytes())
    documents = recording.documents()
    for name, doc in documents:
        if name == "resource":
            doc["root"] = "5f2a"
    if form == "jsonl":
        lines = [json.dumps(pair, default=np.ndarray.tolist) for pair in documents]
        (pack / "documents/a.jsonl").write_text("\n".join(lines) + "\n")
    else:
        write_msgpack(documents, pack / "documents/a.msgpack")
    source = {
        "driver": f"bluesky-{form}-catalog",
        "args": {
            "paths": [f"/gone/documents/a.{form}"],
            "root_map": {"5f2a": "external_files/5f2a"},
        },
        "metadata": {"relative_paths": [f"documents/a.{form}"]},
    }
    catalogue = {"sources": {"packed_catalog": source}}
    (pack / "catalog.yml").write_text(yaml.dump(catalogue))

    report = tiffin.export(pack, NAME, directory=tmp_path / "out")

    truth = [image for _, image in sorted(recording.truth().items())]
    assert report.ok
    for record, image in zip(report.written, truth, strict=True):
        np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize("content", ["", "sources: 3", "{"])
def test_a_catalogue_that_is_none_is_an_error(tmp_path, content):
    """Saying which file."""
    (tmp_path / "catalog.yml").write_text(content)

    with pytest.raises(SourceError, match=r"catalog\.yml is no catalogue"):
        tiffin.export(tmp_path, NAME, directory=tmp_path / "out")


def test_runs_of_a_file_are_chosen(tmp_path):
    """--run, --query and --limit work on files as on servers; interleaved runs too."""
    one, two, three = (
        run_of({"img": IMAGES}, scan_id=n, even=n % 2 == 0) for n in (1, 2, 3)
    )
    for n, run in enumerate((one, two, three)):
        run[0][1]["time"] = 100.0 + n
    mixed = [one[0], two[0], *one[1:], *two[1:], *three]
    starts = [doc for name, doc in mixed if name == "start"]

    def scans(**selection):
        uids = Selection(**selection).choose(starts)
        documents = Documents(lambda: only(mixed, uids))
        report = tiffin.export(documents, NAME, directory=tmp_path, dry_run=True)
        return sorted({int(r.path.name.split("_")[0]) for r in report.planned})

    assert scans(runs=("-1",)) == [3]
    assert scans(runs=("1", two[0][1]["uid"])) == [1, 2]
    assert scans(query={"even": True}) == [2]
    assert scans(limit=2) == [2, 3]
    assert scans(since=101, until=102) == [2]
    with pytest.raises(SourceError, match="0 runs match 'nosuch'"):
        scans(runs=("nosuch",))

"""Files of documents: what suitcase, bluesky's writers and databroker-pack leave."""

import copy
import itertools
import json
import os
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

import tiffin
from tests.documents import as_json, datum_run, hdf5, stream_run, write_msgpack
from tests.helpers import check
from tiffin.corrections import DarkSubtract, Nearest
from tiffin.errors import SettingsError, SourceError
from tiffin.sources import Documents, Selection, open_source
from tiffin.sources.selection import documents_of_runs
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num}.tif"
IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9)


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7)


def test_bluesky_json_and_jsonl_writers(run, tmp_path, read):
    """An array of documents with one a line, and JSON lines."""
    from bluesky.callbacks.json_writer import JSONLinesWriter, JSONWriter

    for writer in (
        JSONWriter(str(tmp_path), "a.json"),
        JSONLinesWriter(str(tmp_path), "a.jsonl"),
    ):
        for name, doc in as_json(run):
            writer(name, doc)

    check(
        tiffin.export(tmp_path / "a.json", NAME, directory=tmp_path / "1"), IMAGES, read
    )
    check(
        tiffin.export(tmp_path / "a.jsonl", NAME, directory=tmp_path / "2"),
        IMAGES,
        read,
    )


@pytest.mark.parametrize("torn", [False, True])
def test_a_json_array_that_breaks_off(run, tmp_path, torn):
    """Complete documents are exported; an incomplete one is a failure."""
    lines = [json.dumps({"name": n, "doc": d}) + ",\n" for n, d in as_json(run)]
    begun = lines[4][:30] if torn else ""
    (tmp_path / "a.json").write_text("".join(["[\n", *lines[:4], begun]))

    report = tiffin.export(
        tmp_path / "a.json", NAME, directory=tmp_path / "out", on_error="report"
    )

    assert len(report.written) == 2
    assert len(report.failed) == torn
    for record in report.failed:
        assert f"{tmp_path}/a.json breaks off in line 6: what" in str(record.error)


def test_msgpack_keeps_dtypes(run, tmp_path, read):
    """As suitcase-msgpack writes it, arrays by msgpack-numpy."""
    for _, doc in run:
        doc.get("data_keys", {}).get("img", {}).pop("dtype_numpy", None)
    write_msgpack(run, tmp_path / "a.msgpack")

    check(
        tiffin.export(tmp_path / "a.msgpack", NAME, directory=tmp_path / "out"),
        IMAGES,
        read,
    )


@pytest.mark.parametrize("form", ["object", "pair", "array", "msgpack"])
def test_half_a_document_is_seen_wherever_it_ends(run, tmp_path, form):
    """Cut at any byte, the file is an error after its complete documents."""
    pairs = as_json(run_of({"img": np.ones((2, 2, 3), "u2")}))[:4]
    path = tmp_path / ("a.msgpack" if form == "msgpack" else "a.jsonl")
    if form == "msgpack":
        write_msgpack(pairs[:3], path)
        begun = path.stat().st_size
        write_msgpack(pairs, path)
    else:
        as_pairs = form == "pair"
        lines = [
            json.dumps(p if as_pairs else {"name": p[0], "doc": p[1]}) for p in pairs
        ]
        before, between = ("[\n", ",\n") if form == "array" else ("", "\n")
        begun = len(before + between.join([*lines[:3], ""]))
        path.write_text(before + between.join(lines))
    whole = path.read_bytes()

    for cut in range(begun + 1, len(whole)):
        path.write_bytes(whole[:cut])
        documents = iter(open_source(path))
        assert [name for name, _ in itertools.islice(documents, 3)] == [
            "start",
            "descriptor",
            "event",
        ]
        with pytest.raises(SourceError, match="breaks off"):
            next(documents)


def test_a_msgpack_that_breaks_off(run, tmp_path):
    """Half a document may have been a frame: it is a failure."""
    write_msgpack(run[:4], tmp_path / "begun.msgpack")
    write_msgpack(run, tmp_path / "a.msgpack")
    whole = (tmp_path / "a.msgpack").read_bytes()
    begun = (tmp_path / "begun.msgpack").stat().st_size
    (tmp_path / "a.msgpack").write_bytes(whole[: begun + 30])

    report = tiffin.export(
        tmp_path / "a.msgpack", NAME, directory=tmp_path / "out", on_error="report"
    )

    assert len(report.written) == 2
    (failed,) = report.failed
    assert "a.msgpack breaks off in document 5" in str(failed.error)


def test_a_msgpack_that_breaks_off_behind_its_run(run, tmp_path, caplog):
    """Nothing of the run is missing: a warning."""
    write_msgpack([*run, run[0]], tmp_path / "a.msgpack")
    whole = (tmp_path / "a.msgpack").read_bytes()
    (tmp_path / "a.msgpack").write_bytes(whole[:-9])

    report = tiffin.export(tmp_path / "a.msgpack", NAME, directory=tmp_path / "out")

    assert len(report.written) == 3
    assert caplog.text.count("breaks off in document 7") == 1


def test_a_file_of_a_pack_that_breaks_off_does_not_end_the_others(tmp_path):
    """One failure; the runs in the other files are exported."""
    source = {"metadata": {"relative_paths": ["documents/*.jsonl"]}}
    one, two = (run_of({"img": IMAGES}, scan_id=n) for n in (1, 2))
    folder = pack(tmp_path / "pack", one, source)
    torn = (folder / "documents/a.jsonl").read_text()[:-400]
    (folder / "documents/a.jsonl").write_text(torn)
    lines = [json.dumps(pair, default=np.ndarray.tolist) for pair in two]
    (folder / "documents/b.jsonl").write_text("\n".join(lines) + "\n")

    report = tiffin.export(folder, NAME, directory=tmp_path / "out", on_error="report")

    assert [r.path.name for r in report.written][-3:] == [
        "2_1.tif",
        "2_2.tif",
        "2_3.tif",
    ]
    (failed,) = report.failed
    assert "a.jsonl breaks off" in str(failed.error)


def test_a_run_chosen_from_a_file_that_breaks_off(tmp_path):
    """The report says that something is missing, unless the run itself was complete."""
    one, two = (run_of({"img": IMAGES}, scan_id=n) for n in (1, 2))
    lines = [json.dumps(pair, default=np.ndarray.tolist) for pair in [*one, *two]]
    (tmp_path / "a.jsonl").write_text("\n".join(lines[:-2]) + "\n" + lines[-2][:50])
    opened = open_source(tmp_path / "a.jsonl")

    def exported(run):
        chosen = Documents(lambda: documents_of_runs(opened, [run[0][1]["uid"]]))
        into = {"directory": tmp_path / "out", "on_error": "report"}
        return tiffin.export(chosen, NAME, **into)

    assert exported(one).ok
    broken = exported(two)
    assert len(broken.written) == 2
    assert "breaks off in line 11" in str(broken.failed[0].error)


@pytest.mark.parametrize("asked", [{"key": "dark"}, {"run": Nearest({"is_dark": 1})}])
def test_a_dark_of_a_file_that_breaks_off_is_found(tmp_path, read, asked):
    """An incomplete line after its stop document does not matter."""
    dark = run_of({"img": np.full((1, 6, 9), 3, "u2")}, scan_id=1, is_dark=1)
    light = run_of({"img": IMAGES}, scan_id=2, dark=dark[0][1]["uid"])
    pairs = [*dark, *run_of({"img": IMAGES}, scan_id=3)[:2]]
    lines = [json.dumps(pair, default=np.ndarray.tolist) for pair in pairs]
    (tmp_path / "darks.jsonl").write_text("\n".join(lines)[:-50])

    report = tiffin.export(
        light, NAME, directory=tmp_path / "out", catalog=tmp_path / "darks.jsonl",
        corrections=[DarkSubtract(**asked)],
    )  # fmt: skip

    np.testing.assert_array_equal(read(report.written[2].path), IMAGES[2] - 3.0)


def pack(folder, documents, source, form="jsonl"):
    """Write what databroker-pack writes."""
    (folder / "documents").mkdir(parents=True)
    if form == "jsonl":
        lines = [json.dumps(pair, default=np.ndarray.tolist) for pair in documents]
        (folder / "documents/a.jsonl").write_text("\n".join(lines) + "\n")
    else:
        write_msgpack(documents, folder / "documents/a.msgpack")
    catalogue = {"sources": {"packed_catalog": source}}
    (folder / "catalog.yml").write_text(yaml.dump(catalogue))
    return folder


@pytest.mark.parametrize("form", ["jsonl", "msgpack"])
def test_a_folder_of_databroker_pack(sample, tmp_path, read, form):
    """Documents and external files are found, wherever the folder was moved."""
    recording = sample("10_resource_datum_npy_seq")
    external = tmp_path / "pack/external_files/5f2a"
    external.mkdir(parents=True)
    for path in (recording.folder / "data").iterdir():
        (external / path.name).write_bytes(path.read_bytes())
    documents = recording.documents()
    for name, doc in documents:
        if name == "resource":
            doc["root"] = "5f2a"
    source = {
        "driver": f"bluesky-{form}-catalog",
        "args": {
            "paths": [f"/gone/documents/a.{form}"],
            "root_map": {"5f2a": "external_files/5f2a"},
        },
        "metadata": {"relative_paths": [f"documents/a.{form}"]},
    }

    folder = pack(tmp_path / "pack", documents, source, form)
    report = tiffin.export(folder, NAME, directory=tmp_path / "out")

    truth = [image for _, image in sorted(recording.truth().items())]
    assert report.ok
    for record, image in zip(report.written, truth, strict=True):
        np.testing.assert_array_equal(read(record.path), image)


@pytest.mark.parametrize(
    "source",
    [
        {"args": {"paths": ["{pack}/documents/a.jsonl"], "root_map": {}}},
        {"args": {"paths": ["{pack}/documents/*.jsonl"], "root_map": None}},
        {"args": {"paths": ["./documents/*.jsonl"]}, "metadata": None},
        {"args": None, "metadata": {"relative_paths": ["documents/a.jsonl"]}},
    ],
)
def test_what_a_pack_may_leave_out(run, tmp_path, read, source):
    """Relative paths may be missing; roots and metadata may be null."""
    filled = json.loads(json.dumps(source).replace("{pack}", str(tmp_path / "pack")))

    folder = pack(tmp_path / "pack", as_json(run), filled)

    check(tiffin.export(folder, NAME, directory=tmp_path / "out"), IMAGES, read)


@pytest.mark.parametrize(
    "uri", ["file://localhost/gone/a%20b.h5", "file:///gone/a b.h5"]
)
def test_stream_resources_of_a_pack_are_found(tmp_path, read, monkeypatch, uri):
    """Their URIs are moved with the folder, as roots of resources are."""
    run = stream_run(uri, "application/x-hdf5", {"dataset": "d"}, events=3)
    source = {
        "args": {"root_map": {"/gone": "external_files/77"}},
        "metadata": {"relative_paths": ["documents/a.jsonl"]},
    }
    pack(tmp_path / "pack", run, source)
    (tmp_path / "pack/external_files/77").mkdir(parents=True)
    with h5py.File(tmp_path / "pack/external_files/77/a b.h5", "w") as file:
        file.create_dataset("d", data=IMAGES)
    monkeypatch.chdir(tmp_path)

    report = tiffin.export(
        Path("pack"), "7_{event.seq_num}.tif", directory=tmp_path / "out"
    )

    check(report, IMAGES, read)


def test_a_missing_file_of_a_pack_is_an_error(run, tmp_path):
    """The error names the file."""
    folder = pack(
        tmp_path / "pack", as_json(run), {"args": {"paths": ["/gone/a.jsonl"]}}
    )

    with pytest.raises(SourceError, match=r"/gone/a\.jsonl can't be read"):
        tiffin.export(folder, NAME, directory=tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    ["", "sources: 3", "{", "sources: {a: 3}", "sources: {a: {args: {}}}", "[" * 5000],
    ids=range(6),
)
def test_a_catalogue_that_is_none_is_an_error(tmp_path, content):
    """The error names the file."""
    (tmp_path / "catalog.yml").write_text(content)

    with pytest.raises(SourceError, match=r"catalog\.yml is not a catalogue"):
        tiffin.export(tmp_path, NAME, directory=tmp_path / "out")


def test_a_pack_that_names_a_pipe_is_not_waited_for(tmp_path):
    """A catalogue is untrusted: only regular files that it names are opened."""
    os.mkfifo(tmp_path / "a.jsonl")
    catalogue = {"sources": {"a": {"args": {"paths": ["a.jsonl"]}}}}
    (tmp_path / "catalog.yml").write_text(yaml.dump(catalogue))

    report = tiffin.export(tmp_path, NAME, directory=tmp_path, on_error="report")

    assert "not a regular file" in str(report.failed[0].error)


def test_paths_of_a_pack_that_grow_as_they_are_printed_are_refused(tmp_path):
    """YAML aliases can make a short text a list of billions."""
    lists = "".join(f"a{k + 1}: &a{k + 1} [{f'*a{k}, ' * 9}]\n" for k in range(30))
    text = f"a0: &a0 [x]\n{lists}sources: {{a: {{args: {{paths: *a30}}}}}}\n"
    (tmp_path / "catalog.yml").write_text(text)

    report = tiffin.export(tmp_path, NAME, directory=tmp_path, on_error="report")

    assert "must be a list of text" in str(report.failed[0].error)


def test_runs_of_a_file_are_chosen(tmp_path):
    """--run, --query and --limit work on files as on servers, also for interleaved
    runs.
    """
    one, two, three = (
        run_of({"img": IMAGES}, scan_id=n, even=n % 2 == 0) for n in (1, 2, 3)
    )
    for n, run in enumerate((one, two, three)):
        run[0][1]["time"] = 100.0 + n
    mixed = [one[0], two[0], *one[1:], *two[1:], *three]
    starts = [doc for name, doc in mixed if name == "start"]

    def scans(**selection):
        uids = Selection(**selection).choose(starts)
        documents = Documents(lambda: documents_of_runs(mixed, uids))
        report = tiffin.export(documents, NAME, directory=tmp_path, dry_run=True)
        return sorted({int(r.path.name.split("_")[0]) for r in report.planned})

    assert scans(runs=("-1",)) == [3]
    assert scans(runs=("1", two[0][1]["uid"])) == [1, 2]
    assert scans(query={"even": True}) == [2]
    assert scans(limit=2) == [2, 3]
    assert scans(runs=("1", "2", "3"), limit=2) == [2, 3]
    assert scans(since=101, until=102) == [2]
    with pytest.raises(SourceError, match="no run matches 'nosuch'"):
        scans(runs=("nosuch",))
    with pytest.raises(SourceError, match="no run fits --query even=5 --since 19"):
        scans(query={"even": 5}, since=101)


def test_a_key_asked_for_twice_is_refused():
    """No run can match two values; the last must not win silently."""
    assert Selection.of(query=["tag=x", "tag=x"]).query == {"tag": "x"}
    with pytest.raises(SettingsError, match="--query tag=x and --query tag=y"):
        Selection.of(query=["tag=x", "n=1", "tag=y"])


def test_resources_are_not_left_out_with_their_run(tmp_path, read):
    """A detector staged once for two runs declares its file in the first."""
    hdf5(tmp_path / "a.h5")
    documents = list(datum_run(tmp_path / "a.h5"))
    first, second = copy.deepcopy(documents), copy.deepcopy(documents)
    for _, doc in second:
        for key in ("uid", "descriptor", "run_start"):
            if key in doc:
                doc[key] = f"{doc[key]}-second"
    told = first + [item for item in second if item[0] not in ("resource", "datum")]
    uids = [second[0][1]["uid"]]

    report = tiffin.export(
        Documents(lambda: documents_of_runs(told, uids)),
        "{event.seq_num}_{i}.tif",
        directory=tmp_path / "out",
    )

    assert len(report.written) == 12
    assert {record.run for record in report.written} == set(uids)


def test_a_run_chosen_twice_is_exported_once(tmp_path):
    """By whatever names it was chosen."""
    starts = [run_of({"img": IMAGES}, scan_id=n)[0][1] for n in (1, 2)]
    starts[1]["time"] += 10

    chosen = Selection.of(runs=["-1", "2", starts[1]["uid"], "1"]).choose(starts)

    assert chosen == [starts[1]["uid"], starts[0]["uid"]]


def named(name, starts):
    return Selection.of(runs=[name]).choose(starts)


def test_a_mistyped_scan_id_is_no_uid():
    """A partial uid needs four characters, or six if all are digits."""
    uids = ["0123456e-1", "beef00e5-2", "ab"]
    starts = [{"uid": uid, "scan_id": n, "time": n} for n, uid in enumerate(uids, 7)]

    assert named("7", starts) == named("007", starts) == uids[:1]
    assert named("012345", starts) == uids[:1]
    assert named("beef", starts) == uids[1:2]
    assert named("ab", starts) == uids[2:]  # a whole one is no beginning
    for name in ("0", "01234", "b", "bee", "10"):
        with pytest.raises(
            SourceError, match=r"no run matches .* 4 characters .*6 where"
        ):
            named(name, starts)


@pytest.mark.parametrize("name", ["-0", "", "-x", "²", "9" * 5000])
def test_what_names_no_run_of_a_file_is_refused(name):
    """As on a server."""
    starts = [run_of({"img": IMAGES}, scan_id=1)[0][1]]

    with pytest.raises(SourceError, match="no run matches"):
        Selection.of(runs=[name]).choose(starts)


def test_a_query_finds_numbers_text_and_lists():
    """123 on a command line matches the number and the text."""
    held = [123, "123", [1, 2], "[1,2]", None, 5]
    starts = [{"uid": str(n), "s": value} for n, value in enumerate(held)]

    def found(query):
        return Selection.of(query=[query]).choose(starts)

    assert found("s=123") == ["0", "1"]
    assert found("s=[1,2]") == ["2", "3"]
    with pytest.raises(SourceError, match=r"no run fits --query s=\[\[") as caught:
        found("s=" + "[" * 200_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("start", "says"), [({"scan_id": 1}, "no uid"), ({"uid": "a", "time": "x"}, "time")]
)
def test_a_start_document_that_can_not_be_chosen(start, says):
    """The error says what is wrong with it."""
    with pytest.raises(SourceError, match=says):
        Selection.of(runs=["-1"]).choose([start])


def test_bulk_events_of_other_runs_are_left_out(tmp_path, read):
    """Choosing a run leaves no events of another run behind."""
    runs = [run_of({"img": IMAGES}, scan_id=n) for n in (7, 8)]
    told = []
    for run in runs:
        events = [doc for name, doc in run if name == "event"]
        bulk = ("bulk_events", {run[1][1]["uid"]: events})
        told += [*run[:2], bulk, run[-1]]
    wanted = Documents(lambda: documents_of_runs(told, [runs[0][0][1]["uid"]]))

    check(tiffin.export(wanted, NAME, directory=tmp_path / "out"), IMAGES, read)


def test_nested_brackets_without_end_are_an_error(tmp_path):
    """Whatever a file holds, the error is a SourceError with the line number."""
    (tmp_path / "a.jsonl").write_text("[" * 200_000 + "\n")

    with pytest.raises(SourceError, match="line 1: nested too deeply"):
        tiffin.export(tmp_path / "a.jsonl", NAME, directory=tmp_path / "out")


def test_documents_may_come_through_a_pipe(run, tmp_path, read):
    """As in `cat run.jsonl | tiffin export /dev/stdin`, where documents come once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write():
        with pipe.open("w") as file:
            file.writelines(json.dumps(pair) + "\n" for pair in as_json(run))

    thread = threading.Thread(target=write)
    thread.start()
    report = tiffin.export(pipe, NAME, directory=tmp_path / "out")
    thread.join()

    check(report, IMAGES, read)


def test_nothing_is_an_empty_source(tmp_path):
    """/dev/null holds no run."""
    with pytest.raises(SourceError, match="holds no run"):
        tiffin.export("/dev/null", NAME, directory=tmp_path)

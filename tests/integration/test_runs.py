"""`tiffin runs`: which runs there are, what images they have, what names may use."""

import json
import re

import numpy as np
import pytest

from tests.documents import hdf5, stream_run, write_jsonl
from tests.shell import on_a_terminal, tiffin
from tests.stores import LIBRARIES_WARN
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

IMAGES = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9)


def scan(scan_id, time, **metadata):
    data = {"img": IMAGES, "temperature": [300.5, 301.0, 301.5]}
    about = {"scan_id": scan_id, "plan_name": "count", "sample": "Ni foil"}
    return began_at(time, run_of(data, **about, **metadata))


def began_at(time, documents):
    (_, start), *others = documents
    return [("start", start | {"time": time}), *others]


@pytest.fixture
def source(tmp_path):
    """Eleven runs with images, and one without."""
    documents = [doc for n in range(11) for doc in scan(n, 1e9 + n)]
    documents += began_at(1.1e9, run_of({"x": [1, 2]}, scan_id=99))
    return write_jsonl(documents, tmp_path / "run.jsonl")


def test_runs_are_listed_newest_first(source):
    """A line for each run: number, uid, time, plan, sample, and its images."""
    told = tiffin("runs", source)

    heads, newest, second, *_ = told.stdout.splitlines()
    assert told.returncode == 0, told.stderr
    assert heads.split() == [
        *("scan_id", "uid", "time", "plan", "sample"),
        *("stream", "field", "shape", "dtype", "frames"),
    ]
    assert newest.split()[0] == "99"
    assert "no image (primary: x)" in newest
    assert second.split()[0] == "10"
    assert second.split("count")[1].split() == [
        *("Ni", "foil", "primary", "img", "(6,", "9)", "uint16", "3"),
    ]


def test_the_list_fits_a_narrow_terminal(tmp_path):
    """What names need least is left out, and named; a pipe gets everything."""
    fields = {f"a_long_name_of_a_detector_{n}": [1, 2] for n in range(5)}
    documents = [*scan(7, 1e9), *began_at(1.1e9, run_of(fields, scan_id=8))]
    source = write_jsonl(documents, tmp_path / "run.jsonl")
    shown = on_a_terminal("runs", source, columns="80")

    text = re.sub("\x1b\\[[0-9;]*m", "", shown)
    heads, without_image, run, last = text.splitlines()
    assert "  ".join(heads.split()[:4]) == "scan_id  time  plan  sample"
    assert "  ".join(heads.split()[4:]) == "stream  field  shape  frames"
    assert all(name in without_image for name in fields)
    assert run.endswith("img    (6, 9)  3")
    assert last == "a wider terminal, or --json, also shows: dtype, uid"
    assert len(heads) <= 80
    assert len(run) <= 80

    piped = tiffin("runs", source, env={"COLUMNS": "80"})
    assert "dtype" in piped.stdout
    assert piped.stderr == ""


def test_the_list_is_bounded_and_says_so(source):
    """Ten runs unless asked for more."""
    ten = tiffin("runs", source)
    all_of_them = tiffin("runs", source, "--limit", 50)

    assert len(ten.stdout.splitlines()) == 1 + 10
    assert "--limit 100 shows more" in ten.stderr
    assert len(all_of_them.stdout.splitlines()) == 1 + 12
    assert all_of_them.stderr == ""


def test_one_run_shows_what_names_may_use(source, tmp_path):
    """Each field can be pasted into a template, and gives the text that is shown."""
    told = tiffin("runs", source, "--run", 7)

    table = told.stdout.split("gives\n")[1].splitlines()
    shown = dict(line.split("  ", 1) for line in table)
    assert shown["{start.scan_id}"].strip() == "7"
    assert shown["{event.data.temperature}"].strip() == "300.5"
    for field, text in shown.items():
        made = tiffin("template", field + ".tif", "--example", source, "--run", 7)
        assert f"example   {text.strip()}.tif" in made.stdout


def test_json_is_for_machines(source):
    """A line for each run, with everything that the table has."""
    told = tiffin("runs", source, "--json", "--run", 7)

    (run,) = map(json.loads, told.stdout.splitlines())
    assert (run["scan_id"], run["plan"], run["sample"]) == (7, "count", "Ni foil")
    assert run["images"] == [
        {
            "stream": "primary",
            "field": "img",
            "shape": [6, 9],
            "dtype": "uint16",
            "frames": 3,
        }
    ]
    assert run["names"]["{start.scan_id}"] == "7"


def test_runs_of_a_server(store, tiled_server):
    """Without reading an image; the key table has readings beside the images."""
    uid = store(scan(4242, 1e9)).metadata["start"]["uid"]

    listed = tiffin("runs", tiled_server.uri, "--query", "scan_id=4242")
    keys = tiffin("runs", tiled_server.uri, "--run", uid[:8])

    assert listed.returncode == keys.returncode == 0, listed.stderr + keys.stderr
    assert "(6, 9)  uint16  3" in listed.stdout
    assert "{event.data.temperature}   300.5" in keys.stdout


@pytest.mark.slow
def test_a_folder_is_compared_with_its_runs_on_a_server(store, tiled_server, tmp_path):
    """`verify --against` takes the runs that the folder lists, not the last one."""
    uids = [store(scan(n, 1e9 + n)).metadata["start"]["uid"] for n in (51, 52, 53)]
    runs = [word for uid in uids[:2] for word in ("--run", uid)]
    name = "{start.scan_id}_{event.seq_num}.tif"
    out = tmp_path / "out"
    done = tiffin("export", tiled_server.uri, *runs, "-t", name, "-d", out)
    assert done.returncode == 0, done.stderr
    told = tiffin("verify", out, "--against", tiled_server.uri)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "against the source: 6 the same, 0 not" in told.stderr


def test_a_limit_of_no_runs(tmp_path):
    """It is refused, as by all commands."""
    write_jsonl(scan(7, 1e9), tmp_path / "run.jsonl")
    told = tiffin("runs", tmp_path / "run.jsonl", "--limit", 0)
    assert told.returncode == 2
    assert "--limit must be a number of runs from 1" in told.stderr


def test_images_in_files_are_listed(tmp_path):
    """Frames of stream datums are counted; the readings of their events are there."""
    uri = hdf5(tmp_path / "data.h5")
    documents = stream_run(
        uri, "application/x-hdf5", {"dataset": "/entry/data/data"}, data=[1, 2, 3, 4]
    )
    source = write_jsonl(documents, tmp_path / "run.jsonl")

    told = tiffin("runs", source, "--run", -1)

    assert "(6, 9)  uint16  4" in told.stdout
    assert "{event.data.x}" in told.stdout


def test_a_source_that_breaks_off_is_listed(tmp_path):
    """What can be read of a file is shown."""
    whole = write_jsonl(scan(5, 1e9), tmp_path / "run.jsonl")
    text = whole.read_text()
    broken = tmp_path / "broken.jsonl"
    broken.write_text(text[: len(text) - 40])

    told = tiffin("runs", broken)

    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[1].split()[0] == "5"

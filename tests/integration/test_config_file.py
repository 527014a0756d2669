"""A configuration file with exports by name, for the shell and for the callback."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import tifffile

from tests.documents import write_jsonl
from tests.shell import tiffin
from tiffin import ImageExporter
from tiffin.errors import SettingsError
from tiffin.options import read_config
from tiffin.testing import run_of

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "_static" / "tiffin.schema.json").read_text("utf-8"))

TWO = """
source = "run.jsonl"
template = "{field}_{event.seq_num}.tif"
dtype = "float32"

[[corrections]]
kind = "dark"
constant = 1

[exports.saxs]
field = "saxs"
directory = "small"

[exports.waxs]
field = "waxs"
directory = "wide"
corrections = []
"""


@pytest.fixture
def run():
    data = {name: np.full((2, 6, 8), 5, "u2") for name in ("saxs", "waxs")}
    return run_of(data, scan_id=7)


@pytest.fixture
def folder(tmp_path, monkeypatch, run):
    """A folder with a run, and a file that has two exports of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIFFIN_CONFIG", raising=False)
    write_jsonl(run, tmp_path / "run.jsonl")
    (tmp_path / "tiffin.toml").write_text(TWO)
    return tmp_path


def images_in(folder):
    return {p.name: tifffile.imread(p)[0, 0] for p in sorted(folder.glob("*.tif"))}


def test_an_export_is_chosen_by_its_name(folder):
    """``--as NAME``; what stands at the top is common to all."""
    saxs, waxs = tiffin("export", "--as", "saxs"), tiffin("export", "--as", "waxs")

    assert (saxs.returncode, waxs.returncode) == (0, 0), saxs.stderr + waxs.stderr
    assert images_in(folder / "small") == {"saxs_1.tif": 4, "saxs_2.tif": 4}
    assert images_in(folder / "wide") == {"waxs_1.tif": 5, "waxs_2.tif": 5}


def test_the_command_line_overrides_source_and_options(folder, run):
    """A source that is typed is the one that is exported."""
    write_jsonl(run[:-2], folder / "other.jsonl")
    (folder / "other.jsonl").rename(folder / "typed.jsonl")

    told = tiffin("export", "typed.jsonl", "--as", "saxs", "-d", "elsewhere")

    assert told.returncode == 0, told.stderr
    assert [*images_in(folder / "elsewhere")] == ["saxs_1.tif"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_config_and_as_does_not_matter(folder, order):
    """Both are read before all other options."""
    named = [["--config", "tiffin.toml"], ["--as", "waxs"]][::order]

    told = tiffin("export", *named[0], *named[1])

    assert told.returncode == 0, told.stderr
    assert [*images_in(folder / "wide")] == ["waxs_1.tif", "waxs_2.tif"]


def test_an_export_must_be_chosen_among_several(folder):
    """The error names them, as the shell and as Python write them."""
    told = tiffin("export")
    wrong = tiffin("export", "--as", "sacs")
    with pytest.raises(SettingsError) as python:
        ImageExporter.from_config("tiffin.toml")

    assert told.returncode == wrong.returncode == 2
    assert "tiffin.toml: there are several exports: choose --as saxs or --as waxs" in (
        told.stderr
    )
    assert "no export 'sacs': did you mean 'saxs'?" in wrong.stderr
    assert "choose export='saxs' or export='waxs'" in str(python.value)


def test_one_export_needs_no_name(folder):
    """It is used, named or not."""
    text = TWO.partition("[exports.waxs]")[0]
    (folder / "tiffin.toml").write_text(text)

    assert tiffin("export").returncode == 0
    assert ImageExporter.from_config(export="saxs").settings.fields == ("saxs",)


def test_the_file_that_is_used_is_said(folder):
    """The one in this folder, the one of the environment, or the one that is named."""
    (folder / "there").mkdir()
    other = folder / "there" / "mine.toml"
    other.write_text(TWO.replace("run.jsonl", "../run.jsonl"))

    here = tiffin("export", "--as", "saxs", "-n")
    there = tiffin("export", "--as", "saxs", "-n", env={"TIFFIN_CONFIG": str(other)})
    named = ("--config", "tiffin.toml")
    both = tiffin(
        "export", "--as", "saxs", *named, "-n", env={"TIFFIN_CONFIG": str(other)}
    )

    assert "options of tiffin.toml, export 'saxs'\n" in here.stderr
    assert f"options of {other}, export 'saxs'\n" in there.stderr
    assert "options of tiffin.toml, export 'saxs'\n" in both.stderr
    assert here.stdout == there.stdout == both.stdout
    assert here.stdout.count("saxs_") == 2


def test_an_export_without_a_file_is_refused(folder):
    """``--as`` alone has no meaning."""
    (folder / "tiffin.toml").unlink()

    told = tiffin("export", "run.jsonl", "--as", "saxs")
    with pytest.raises(SettingsError, match=r"there is no tiffin.toml in .*name a"):
        ImageExporter.from_config()

    assert told.returncode == 2
    assert "there is none: give --config FILE" in told.stderr


def test_the_callback_does_what_the_shell_does(folder, run):
    """The same file gives the same bytes live; keywords override it."""
    told = tiffin("export", "--as", "saxs")
    with ImageExporter.from_config(
        "tiffin.toml", export="saxs", directory="live", stop_timeout=9
    ) as exporter:
        for name, doc in run:
            exporter(name, doc)

    assert told.returncode == 0, told.stderr
    assert exporter.settings.stop_timeout == 9
    assert [p.read_bytes() for p in sorted((folder / "live").glob("*.tif"))] == [
        p.read_bytes() for p in sorted((folder / "small").glob("*.tif"))
    ]


def test_the_callback_takes_the_options_of_the_shell(folder):
    """Megabytes are bytes, pairs are mappings, and options of corrections are these."""
    (folder / "tiffin.toml").write_text(
        'template = "{kind}{frame}.tif"\nmemory = 100\nmask = "mask.tif"\n'
        'root-map = "/a=/b"\nall-streams = true\nmetadata = false\n'
        'dtype = "uint8"\noverflow = "clip"\nrun = -1\nlimit = 3\n'
    )
    tifffile.imwrite(folder / "mask.tif", np.zeros((6, 8), "u1"))

    settings = ImageExporter.from_config().settings

    assert settings.memory == 100_000_000
    assert dict(settings.root_map) == {"/a": "/b"}
    assert (settings.streams, settings.metadata) == (None, None)
    assert [type(step).__name__ for step in settings.steps] == ["Mask", "Cast"]


def test_a_dark_is_looked_up_in_the_source_of_the_file(folder, run):
    """Live too, where no source is given otherwise."""
    dark = run_of({"saxs": np.full((2, 6, 8), 3, "u2")}, scan_id=6)
    write_jsonl(dark, folder / "run.jsonl")
    (folder / "tiffin.toml").write_text(
        'template = "{event.seq_num}.tif"\ndirectory = "out"\nfield = "saxs"\n'
        'source = "run.jsonl"\ndark = "start.dark_frame"\n'
    )
    start = run[0][1] | {"dark_frame": dark[0][1]["uid"]}

    with ImageExporter.from_config() as exporter:
        for name, doc in [("start", start), *run[1:]]:
            exporter(name, doc)

    assert images_in(folder / "out") == {"1.tif": 2, "2.tif": 2}


def test_a_stream_of_an_export_is_not_hidden_by_all_streams_at_the_top(folder):
    """What an export says itself counts."""
    text = (
        'all-streams = true\ntemplate = "{frame}.tif"\n[exports.a]\nstream = "dark"\n'
    )
    (folder / "tiffin.toml").write_text(text)

    assert ImageExporter.from_config().settings.streams == ("dark",)


KEY = "a file is no place for a key"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('api-key = "x"', KEY),
        ('[exports.a]\nAPI_KEY = "x"', KEY),
        ('source = "http://127.0.0.1:8000?api_key=x"', KEY),
        ('catalog = "https://me:x@127.0.0.1:8000"', KEY),
        ('[[corrections]]\nkind="dark"\ncatalog="http://a/?b=1&api_key=x"', KEY),
        ("exports = 1", "under a line [exports.NAME]"),
        ("[[exports]]\na = 1", "under a line [exports.NAME]"),
        (
            '[exports.a]\nexistng = "skip"',
            "tiffin.toml: exports.a: there is no option 'existng': did you mean",
        ),
        ('[exports.a]\n[exports.b]\nlevel = "x"', "exports.b: level must be a whole"),
        (
            '[[corrections]]\nkind = "bin"\nn = 2\n[exports.a]\ndark = "stream:dark"',
            "exports.a: corrections are tables here, and 'dark' is given too",
        ),
        ("[exports.a.exports.b]", "there is no option 'exports'"),
        ("[export.a]\nlevel = 1", "no table 'export': did you mean 'exports'?"),
        ('[[correction]]\nkind = "bin"', "did you mean 'corrections'?"),
        ("source = [1]", "source must be text"),
        ("[servicee]\ninterval = 1", "did you mean 'service'?"),
        ("template = {uid}.tif", 'is text in quotes, as in directory = "out"?'),
    ],
)
def test_a_file_that_can_not_work_is_refused(folder, text, says):
    """Wherever the mistake is, in an export that is not wanted too."""
    (folder / "tiffin.toml").write_text(text)

    told = tiffin("export", "run.jsonl", "-t", "{frame}.tif", "-d", "out")
    with pytest.raises(SettingsError, match=re.escape(says)):
        ImageExporter.from_config()

    assert told.returncode == 2
    assert says in told.stderr
    assert not (folder / "out").exists()


def test_a_template_is_needed_live_too(folder):
    """The error names the file, and shows what to write."""
    (folder / "tiffin.toml").write_text('directory = "out"')

    with pytest.raises(SettingsError, match=r"tiffin.toml: there is no template: wr"):
        ImageExporter.from_config()


def test_what_is_wrong_of_a_correction_names_the_file(folder):
    """As in the shell."""
    (folder / "tiffin.toml").write_text('template = "a.tif"\ndark-missing = "raw"')

    with pytest.raises(SettingsError, match=r"tiffin.toml: dark_missing goes with"):
        ImageExporter.from_config()


def test_the_example_of_the_manual_has_two_exports(folder):
    """As printed."""
    page = (DOCS / "howto" / "configure.md").read_text("utf-8")
    _, text = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    jsonschema.validate(tomllib.loads(text), SCHEMA)
    (folder / "tiffin.toml").write_text(text)

    saxs, waxs = (read_config(Path("tiffin.toml"), name) for name in ("saxs", "waxs"))

    assert saxs.values["directory"] == "saxs"
    assert [table.kind for table in saxs.tables] == ["dark"]
    assert (waxs.values["profile"], waxs.tables) == ("gsas2", ())
    assert saxs.values["existing"] == waxs.values["existing"] == "resume"


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        'field = "img"\nrun = -1\nmetadata = false\nmask-fill = 1.5\nbin = 2',
        '[service]\nsource = "d"\n[[service.listen]]\ntype = "zmq"\nprefix = "b"',
        'field = ["a", "b"]\nmemory = 100\nmetadata = ["a=start.b"]',
    ],
)
def test_the_schema_allows_what_the_reader_does(text):
    """An editor that checks the file marks nothing in it."""
    jsonschema.validate(tomllib.loads(text), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        'api-key = "x"',
        "[exports.a]\nexistng = 1",
        "[exports.a.exports.b]",
        "[service]\na = 1",
    ],
)
def test_the_schema_refuses_what_the_reader_does(text):
    """Keys of no option, also inside of an export."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), SCHEMA)


def test_names_says_that_it_reads_no_file(tmp_path):
    """Its names are not those of an export with the file."""
    source = write_jsonl(
        run_of({"img": np.ones((1, 6, 9), "u2")}), tmp_path / "a.jsonl"
    )
    (tmp_path / "tiffin.toml").write_text('template = "{start.scan_id}.tif"\n')

    named = tiffin("names", source, "-t", "a.tif", cwd=tmp_path)
    assert "tiffin.toml is not used here: 'tiffin export --dry-run'" in named.stderr
    refused = tiffin("names", source, "--config", "tiffin.toml", cwd=tmp_path)
    assert "'tiffin export' takes a configuration file" in refused.stderr

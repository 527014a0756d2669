"""Corrections from the shell, and the same from a configuration file."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bluesky.plans import count
from typer.testing import CliRunner

import tiffin
from tests.documents import darks_in_a_stream, uid_of, write_jsonl
from tests.shell import tiffin as shell
from tests.stores import LIBRARIES_WARN, tiled_writer
from tiffin import corrections
from tiffin.cli import app
from tiffin.errors import SettingsError
from tiffin.options import KINDS
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

MANUAL = Path(__file__).parents[2] / "docs/howto"
NAME = "{start.scan_id}_{kind}_{event.seq_num}.tif"
SHAPE = (6, 8)


def constant_run(value, **metadata):
    return run_of({"img": np.full((2, *SHAPE), value, "u2")}, **metadata)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in: a run of 100 everywhere, and images to correct it with."""
    monkeypatch.chdir(tmp_path)
    dark = constant_run(110, scan_id=1, dark_frame=True)
    write_jsonl(constant_run(100, scan_id=3), tmp_path / "raw.jsonl")
    write_jsonl(dark, tmp_path / "dark.jsonl")
    light = constant_run(100, scan_id=2, dark_frame=uid_of(dark))
    write_jsonl(light, tmp_path / "light.jsonl")
    write_jsonl(dark + light, tmp_path / "both.jsonl")
    flat = np.full(SHAPE, 2, "f4")
    flat[:, 4:] = 1
    mask = np.zeros(SHAPE, "u1")
    mask[0, 0] = 1
    images = {"dark": np.full(SHAPE, 10, "u2"), "flat": flat, "mask": mask}
    for name, image in images.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    return tmp_path


def export(source, *arguments):
    """Run the command in this process, as far as its own errors."""
    command = ["export", source, "-t", NAME, "-d", "out", *map(str, arguments)]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, command)


def first_of(pixels):
    return float(pixels[0, 0])


def settings_in(out):
    (path,) = (out / ".tiffin").iterdir()
    return json.loads(path.read_text().splitlines()[0])["settings"]


def frames_in(out):
    return {p.name: tifffile.imread(p) for p in sorted(out.glob("*.tif"))}


@pytest.mark.parametrize(
    ("dark", "value"),
    [
        ("file:dark.tif", 90),
        ("constant:110", -10),
        ("constant:0.5", 99.5),
        ("constant:-1e0", 101),
    ],
)
def test_a_dark_of_a_file_or_a_number(folder, dark, value):
    """--dark file:PATH, constant:NUMBER."""
    told = export("raw.jsonl", "--dark", dark)

    assert told.exit_code == 0, told.output
    assert {n: first_of(i) for n, i in frames_in(folder / "out").items()} == {
        "3_sub_1.tif": value,
        "3_sub_2.tif": value,
    }


def test_a_dark_that_the_start_document_names(folder):
    """--dark start.KEY: looked up in the file itself, chosen for export or not."""
    told = export("both.jsonl", "--run", "2", "--dark", "start.dark_frame")

    frames = frames_in(folder / "out")
    assert told.exit_code == 0, told.output
    assert list(frames) == ["2_sub_1.tif", "2_sub_2.tif"]
    assert first_of(frames["2_sub_1.tif"]) == -10


def test_a_dark_that_comes_through_a_pipe(folder):
    """A pipe can be read once only: documents of the dark are kept, though not
    exported.
    """
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    documents = (folder / "both.jsonl").read_bytes()
    feeding = threading.Thread(target=pipe.write_bytes, args=(documents,))
    feeding.start()

    told = shell(
        "export", pipe, "-r", "2", "-t", NAME, "-d", "out", "--dark", "start.dark_frame"
    )
    feeding.join(10)

    assert told.returncode == 0, told.stderr
    assert first_of(frames_in(folder / "out")["2_sub_1.tif"]) == -10


def test_a_dark_of_another_catalogue(folder):
    """--catalog: another file holds the dark's run; without the option its frames
    fail.
    """
    without = export("light.jsonl", "--dark", "start.dark_frame")
    told = export(
        "light.jsonl", "--dark", "start.dark_frame", "--catalog", "dark.jsonl"
    )

    assert without.exit_code == 1
    assert "2 failed" in without.output
    assert told.exit_code == 0, told.output


def test_a_dark_of_a_run(folder):
    """--dark run:UID."""
    uid = json.loads((folder / "dark.jsonl").read_text().splitlines()[0])["doc"]["uid"]

    told = export("raw.jsonl", "--dark", f"run:{uid}", "--catalog", "dark.jsonl")

    assert told.exit_code == 0, told.output
    assert first_of(frames_in(folder / "out")["3_sub_1.tif"]) == -10


def test_a_dark_of_a_stream(folder):
    """--dark stream:NAME: each light takes the latest dark before it."""
    write_jsonl(darks_in_a_stream("dlldl"), folder / "streams.jsonl")

    told = export("streams.jsonl", "--dark", "stream:dark")

    values = [first_of(i) for i in frames_in(folder / "out").values()]
    assert told.exit_code == 0, told.output
    assert values == [101 - 0, 102 - 0, 104 - 30]


def test_a_dark_of_a_server(RE, img, images, tiled, tiled_server, folder):
    """For a run on a server, the dark is looked up on that server."""
    RE.subscribe(tiled_writer(tiled))
    (dark,) = RE(count([img]))
    (light,) = RE(count([img]), dark_frame=dark)
    lit, given = images.taken(1)[0], {i[0, 0]: i for i in images.given}
    before = given[lit[0, 0] - 1]

    told = export(tiled_server.uri, "--run", light, "--dark", "start.dark_frame")

    (frame,) = frames_in(folder / "out").values()
    assert told.exit_code == 0, told.output
    np.testing.assert_array_equal(frame, lit.astype("f4") - before)


@pytest.mark.parametrize(
    ("missing", "status", "names"),
    [
        ("error", 1, []),
        ("raw", 0, ["3_light_1.tif", "3_light_2.tif"]),
        ("skip", 0, []),
    ],
)
def test_a_light_without_a_dark(folder, missing, status, names):
    """--dark-missing: the light fails, is exported uncorrected, or is skipped."""
    told = export("raw.jsonl", "--dark", "start.dark_frame", "--dark-missing", missing)

    assert told.exit_code == status
    assert list(frames_in(folder / "out")) == names


def test_what_may_differ(folder):
    """--allow may be repeated, or hold several names with commas."""
    told = export(
        "raw.jsonl", "--dark", "constant:1", "--allow", "exposure,gain",
        "--allow", "images",
    )  # fmt: skip

    (step,) = settings_in(folder / "out")["corrections"]
    assert told.exit_code == 0, told.output
    assert "allow=('exposure', 'gain', 'images')" in step


def test_all_three_kinds_are_saved(folder):
    """--save sub,light,dark: each under its own name."""
    told = export(
        "both.jsonl", "-r", "2", "--dark", "start.dark_frame", "--save",
        "sub,light", "--save", "dark",
    )  # fmt: skip

    assert told.exit_code == 0, told.output
    assert {name.split("_")[1] for name in frames_in(folder / "out")} == {
        "sub", "light", "dark",
    }  # fmt: skip


CORRECTED = np.array([[np.nan, 67.5, 135, 135], [67.5, 67.5, 135, 135]])
"""(100 - 10) over 4/3 and 2/3, one pixel masked, four rows, 2 by 2 averaged."""

SHUFFLED = [
    *("--bin", "2:mean", "--crop", "0:4,:", "--mask", "mask.tif", "--mask-fill", "nan"),
    *("--flat", "file:flat.tif", "--dark", "file:dark.tif"),
]


def test_there_is_one_order(folder):
    """Dark, flat, mask, crop, bin, cast: whatever the order of the options."""
    told = export("raw.jsonl", *SHUFFLED, "--dtype", "float32", "--rounding", "none")

    assert told.exit_code == 0, told.output
    np.testing.assert_allclose(frames_in(folder / "out")["3_sub_1.tif"], CORRECTED)
    kinds = [s.split("(")[0] for s in settings_in(folder / "out")["corrections"]]
    assert kinds == ["DarkSubtract", "FlatField", "Mask", "Crop", "Bin", "Cast"]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (["--crop", "1:3,-2:"], (2, 2)),
        (["--crop", ":,:4"], (6, 4)),
        (["--bin", "2"], (3, 4)),
        (["--bin", "3,2"], (2, 4)),
    ],
)
def test_shapes(folder, options, value):
    """--crop ROWS,COLUMNS as Python slices; --bin N, or ROWS,COLUMNS."""
    told = export("raw.jsonl", *options)

    assert told.exit_code == 0, told.output
    assert frames_in(folder / "out")["3_light_1.tif"].shape == value


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ([], None),
        (["--overflow", "error"], None),
        (["--overflow", "clip"], 0),
    ],
)
def test_what_a_dtype_can_not_hold(folder, options, value):
    """--overflow: 100 - 110 as uint16 fails, or becomes 0; it never wraps."""
    told = export("raw.jsonl", "--dark", "constant:110", "--dtype", "uint16", *options)

    frames = frames_in(folder / "out")
    assert told.exit_code == (1 if value is None else 0), told.output
    assert [first_of(i) for i in frames.values()] == ([] if value is None else [0, 0])


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ([], None),
        (["--rounding", "none"], None),
        (["--overflow", "clip", "--rounding", "none"], None),
        (["--overflow", "clip"], 98),
        (["--rounding", "up"], 99),
        (["--rounding", "half-up"], 99),
    ],
)
def test_fractions(folder, options, value):
    """98.5 as uint16 is refused by --dtype alone, and rounded with --overflow or
    --rounding.
    """
    told = export("raw.jsonl", "--dark", "constant:1.5", "--dtype", "uint16", *options)

    frames = frames_in(folder / "out")
    assert told.exit_code == (1 if value is None else 0), told.output
    assert all(first_of(image) == value for image in frames.values())


def test_the_range_is_scaled(folder):
    """--overflow scale maps uint16 onto uint8."""
    told = export("raw.jsonl", "--dtype", "uint8", "--overflow", "scale")

    frame = frames_in(folder / "out")["3_light_1.tif"]
    assert told.exit_code == 0, told.output
    assert (frame.dtype, first_of(frame)) == (np.uint8, round(100 / 257))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--dark", "dark.tif"], "did you mean 'file:dark.tif'"),
        (["--dark", "steam:dark"], "did you mean 'stream'"),
        (["--dark", ""], "must be one of start.KEY, stream:NAME, file:PATH, run:UID"),
        (["--dark", "start."], "must be one of start.KEY"),
        (["--dark", "constant:"], "must be one of start.KEY"),
        (["--dark", "constant:x"], "must be a number"),
        (["--dark", "constant:nan"], "finite"),
        (["--dark", "constant:inf"], "finite"),
        (["--dark-missing", "raw"], "--dark-missing goes with --dark"),
        (["--allow", "gain"], "--allow goes with --dark"),
        (["--flat", "constant:1"], "must be one of start.KEY, stream:NAME, file:PATH"),
        (["--mask-fill", "0"], "--mask-fill goes with --mask"),
        (["--mask", ""], "file is empty"),
        (["--mask", "mask.tif", "--mask-fill", "x"], "must be a number"),
        (["--crop", "1:2"], "must be ROWS,COLUMNS"),
        (["--crop", "a:b,:"], "rows must be FIRST:LAST"),
        (["--crop", ":,1"], "columns must be FIRST:LAST"),
        (["--bin", "two"], "must be N, ROWS,COLUMNS or N:mean"),
        (["--bin", "0"], "from 1"),
        (["--bin", "2:maen"], "did you mean 'mean'"),
        (["--overflow", "clip"], "--overflow goes with --dtype"),
        (["--rounding", "up"], "--rounding goes with --dtype"),
        (["--dtype", "uint7", "--overflow", "clip"], "did you mean 'uint8'"),
        (["--save", "subb"], "did you mean 'sub'"),
        (["--dark", "run:a", "--catalog", "no.jsonl"], "neither a file nor an address"),
    ],
)
def test_options_that_can_not_work_are_refused(folder, options, says):
    """Wrong options are refused before anything is opened: what was got, what is
    allowed.
    """
    told = export("raw.jsonl", *options)

    assert isinstance(told.exception, SettingsError)
    assert told.exception.exit_status == 2
    assert says in str(told.exception)
    assert not (folder / "out").exists()


def test_the_order_is_in_the_help():
    """--help says in which order corrections are applied."""
    told = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", "--help"])

    assert "order: dark, flat, mask, crop, bin, dtype" in told.output


# --- the configuration file ---


def configured(folder, text, *arguments, source="raw.jsonl"):
    (folder / "tiffin.toml").write_text(text)
    return CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["export", source, "--config", "tiffin.toml", *arguments]
    )


OPTIONS = f"""
template = "{NAME}"
directory = "out"
field = "img"
limit = 1
dry-run = false
dtype = "float32"
rounding = "none"
"""

CHAIN = """
[[corrections]]
kind = "dark"
file = "dark.tif"
missing = "raw"

[[corrections]]
kind = "flat"
file = "flat.tif"

[[corrections]]
kind = "mask"
file = "mask.tif"
fill = nan

[[corrections]]
kind = "crop"
rows = [0, 4]

[[corrections]]
kind = "bin"
n = 2
how = "mean"
"""

AS_OPTIONS = """
dark = "file:dark.tif"
dark-missing = "raw"
flat = "file:flat.tif"
mask = "mask.tif"
mask-fill = nan
crop = "0:4,:"
bin = "2:mean"
"""


def test_tables_options_and_the_command_line_do_the_same(folder):
    """The same settings give the same files and manifests, byte for byte."""
    written = []
    for text, arguments in (
        (OPTIONS + CHAIN, []),
        (OPTIONS + AS_OPTIONS, []),
        (OPTIONS, [*SHUFFLED, "--dark-missing", "raw"]),
    ):
        told = configured(folder, text, "-d", f"out{len(written)}", *arguments)
        assert told.exit_code == 0, told.exception or told.output
        out = folder / f"out{len(written)}"
        written.append(
            {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        )

    assert written[0] == written[1] == written[2]
    assert len(written[0]) == 3
    np.testing.assert_allclose(frames_in(folder / "out0")["3_sub_1.tif"], CORRECTED)


def test_the_command_line_overrides_the_file(folder):
    """Each option overrides its own key; correction options replace the file's
    corrections.
    """
    told = configured(
        folder, OPTIONS + CHAIN, "-d", "other", "-t", "{event.seq_num}.tif",
        "--dark", "constant:110",
    )  # fmt: skip

    assert told.exit_code == 0, told.output
    assert list(frames_in(folder / "other")) == ["1.tif", "2.tif"]
    assert (tifffile.imread(folder / "other/1.tif") == np.full(SHAPE, -10)).all()
    assert not (folder / "out").exists()


def test_options_of_a_file_are_overridden_one_by_one(folder):
    """A dark on the command line is used with the crop of the file."""
    text = OPTIONS + 'dark = "constant:5"\ncrop = "0:2,:"\n'

    told = configured(folder, text, "--dark", "constant:1", "--dtype", "float64")

    frame = frames_in(folder / "out")["3_sub_1.tif"]
    assert told.exit_code == 0, told.output
    assert (frame.dtype, frame.shape, first_of(frame)) == (np.float64, (2, 8), 99)


def test_switches_are_overridden_too(folder):
    """dry-run and all-streams can be switched off; a stream on the command line
    counts.
    """
    text = OPTIONS.replace("dry-run = false", "dry-run = true\nall-streams = true")
    text = text.replace("{kind}", "{stream}")
    write_jsonl(darks_in_a_stream("dl"), folder / "streams.jsonl")

    planned = configured(folder, text, source="streams.jsonl")
    told = configured(
        folder, text, "--no-dry-run", "--stream", "dark", source="streams.jsonl"
    )

    assert planned.exit_code == 0, planned.output
    assert len(planned.stdout.splitlines()) == 2
    assert told.exit_code == 0, told.output
    assert list(frames_in(folder / "out")) == ["3_dark_1.tif"]


def test_numbers_and_times_as_toml_has_them(folder):
    """A scan_id, a bin and a time need no quotes."""
    told = configured(
        folder, OPTIONS + "run = [3]\nbin = 2\nsince = 2001-02-03\nuntil = 2999-01-01"
    )

    assert told.exit_code == 0, told.exception or told.output
    assert frames_in(folder / "out")["3_light_1.tif"].shape == (3, 4)


def test_files_lie_beside_the_configuration(folder, monkeypatch):
    """Reference images are found beside the configuration file; output goes to the
    working directory.
    """
    (folder / "tiffin.toml").write_text(OPTIONS + CHAIN)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    told = CliRunner().invoke(
        app, ["export", "../raw.jsonl", "--config", "../tiffin.toml"]
    )

    assert told.exit_code == 0, told.output
    np.testing.assert_allclose(frames_in(elsewhere / "out")["3_sub_1.tif"], CORRECTED)


def test_every_correction_can_be_asked_for():
    """A class added to tiffin.corrections needs its line in KINDS, and no more."""
    steps = {
        step
        for name in corrections.__all__
        if dataclasses.is_dataclass(step := getattr(corrections, name))
        and hasattr(step, "bind")
    }

    assert steps == set(KINDS.values())


@pytest.mark.parametrize(
    ("table", "step"),
    [
        ({"kind": "threshold", "low": 1}, "Threshold(low=1, high=None)"),
        ({"kind": "average", "n": 2}, "Average(n=2)"),
        ({"kind": "sum"}, "Sum(n=None)"),
        ({"kind": "rotate", "quarter_turns": 1}, "Rotate(quarter_turns=1)"),
        ({"kind": "flip", "axis": "rows"}, "Flip(axis=0)"),
        ({"kind": "scale", "factor": 0.5}, "Scale(factor=0.5, offset=0)"),
        ({"kind": "bin", "n": [2, 4]}, "Bin(n=(2, 4), how='sum')"),
        ({"kind": "crop", "rows": "1:"}, "Crop(rows=(1, None), columns=None)"),
        (
            {"kind": "cast", "dtype": "int32", "overflow": "clip"},
            "Cast(dtype='int32', overflow='clip', rounding='half-even')",
        ),
        (
            {"kind": "dark", "constant": 1, "pedestal": 2, "allow": ["gain"]},
            "DarkSubtract(constant=1, pedestal=2, allow=('gain',))",
        ),
        ({"kind": "flat", "file": "flat.tif", "dark": 0.5},
         "FlatField(file='flat.tif', dark=0.5)"),
    ],
)  # fmt: skip
def test_settings_are_those_of_python(folder, table, step):
    """A table's keys are the arguments of the class."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]

    told = configured(folder, "\n".join([OPTIONS, "[[corrections]]", *lines]))

    assert told.exit_code == 0, told.exception or told.output
    assert settings_in(folder / "out")["corrections"][0] == step


def test_corrections_act_in_the_order_of_the_file(folder):
    """Binned first, then a dark subtracted: not the shell's order."""
    text = (
        OPTIONS.replace('dtype = "float32"\nrounding = "none"\n', "")
        + '[[corrections]]\nkind="bin"\nn=2\n[[corrections]]\nkind="dark"\nconstant=1\n'
    )

    told = configured(folder, text)

    assert told.exit_code == 0, told.output
    assert first_of(frames_in(folder / "out")["3_sub_1.tif"]) == 4 * 100 - 1


def test_frames_are_averaged(folder):
    """Two frames become one, with kind = "average" and n = 2."""
    told = configured(folder, OPTIONS + '[[corrections]]\nkind = "average"\nn = 2\n')

    (image,) = frames_in(folder / "out").values()
    assert told.exit_code == 0, told.exception or told.output
    assert (image == np.full(SHAPE, 100)).all()


DARK = '[[corrections]]\nkind = "dark"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('compresion = "zlib"', "'compresion': did you mean 'compression'"),
        ("dry_run = true", "did you mean 'dry-run'"),
        ('config = "x"', "there is no option 'config'"),
        ("[export]\nlimit = 1", "there is no table 'export': did you mean 'exports'?"),
        ('limit = "5"', "limit must be a whole number, not '5'"),
        ("limit = true", "limit must be a whole number, not True"),
        ("limit = 5.5", "limit must be a whole number, not 5.5"),
        ("run = 1.5", "run must be a list of text"),
        ("field = [1]", "field must be a list of text"),
        ("mode = 0o640", "mode must be text in quotes, not 416"),
        ("dry-run = 1", "dry-run must be true or false, not 1"),
        ('existing = "skp"', "did you mean 'skip'"),
        ("dark = 5", "dark must be text in quotes, not 5"),
        ('directory = ["a"]', "directory must be a path in quotes"),
        ('dark = "dark.tif"', "did you mean 'file:dark.tif'"),
        ('allow = "gain"', "allow goes with --dark"),
        ('[corrections]\nkind = "dark"', "under a line [[corrections]]"),
        ("corrections = 1", "under a line [[corrections]]"),
        ("corrections = [1]", "under a line [[corrections]]"),
        ("[[corrections]]", "correction 1 (kind = None): kind is missing; there are:"),
        (
            '[[corrections]]\nkind = "drak"',
            "no correction 'drak': did you mean 'dark'",
        ),
        ('[[corrections]]\nkind = ["dark"]', "there is no correction"),
        (DARK + 'mising = "raw"', "no setting 'mising': did you mean 'missing'"),
        (
            DARK + 'missing = "rw"',
            "missing must be one of 'error', 'raw' or 'skip', not 'rw'",
        ),
        (
            DARK + "missing = 1",
            "missing must be one of 'error', 'raw' or 'skip', not 1",
        ),
        (DARK + "allow = [1]", "allow must be a list of text"),
        (DARK + 'key = ""', "key is empty"),
        (DARK + "key = true", "key must be text in quotes, not True"),
        (DARK + 'key = "a"\nstream = "b"', "not from key and stream"),
        (DARK + "constant = nan", "constant must be a finite number"),
        (DARK + 'constant = "5"', "constant must be a number, not '5'"),
        (DARK + 'dtype = "bogus"', "dtype must be one of"),
        (DARK + "catalog = 5", "catalog must be text"),
        (DARK + 'catalog = "no.jsonl"', "neither a file nor an address"),
        (DARK + 'template = "x"', "write it above the first [[corrections]]"),
        ('[[corrections]]\nkind = "cast"', "dtype is missing"),
        ('[[corrections]]\nkind = "mask"\nfile = "mask.tif"', "fill is missing"),
        ('[[corrections]]\nkind = "mask"\narray = [[1], [1, 2]]\nfill = 0', "array"),
        ('[[corrections]]\nkind = "crop"\nrows = "x"', "rows must be FIRST:LAST"),
        (DARK + '[[corrections]]\nkind = "bin"\nn = 0', "correction 2 (kind = 'bin')"),
        (DARK + DARK, "a dark is subtracted once"),
        ('crop = "1:,:"\n' + DARK, "'crop' is given too: write it as a table"),
    ],
)
def test_a_file_that_can_not_work_is_refused(folder, text, says):
    """The error says what was got, what is allowed and where; nothing is written."""
    told = configured(folder, text, "-t", NAME, "-d", "out")

    assert isinstance(told.exception, SettingsError), told.output
    assert told.exception.exit_status == 2
    assert says in str(told.exception)
    assert not (folder / "out").exists()


def test_a_wrong_setting_is_named_as_it_was_written(folder):
    """A keyword in Python, an option in the shell, a key in a file."""
    wrong = "must be a name such as 'Europe/Zurich', not 'Mars/Base'"

    with pytest.raises(SettingsError) as python:
        tiffin.export("raw.jsonl", NAME, timezone="Mars/Base")
    shell = export("raw.jsonl", "--timezone", "Mars/Base").exception
    other = export("raw.jsonl", "--field", "").exception
    file = configured(folder, OPTIONS + 'timezone = "Mars/Base"').exception

    assert str(python.value) == f"timezone {wrong}"
    assert str(shell) == f"--timezone {wrong}"
    assert str(file) == f"tiffin.toml: timezone {wrong}"
    assert str(other).startswith("--field must be a name")


@pytest.mark.parametrize(
    "content", [b"a ==", b"\xff\xfe", b"a = " + b"[" * 100_000, b"a = 1\na = 2", None]
)
def test_a_file_that_is_no_toml_is_refused(folder, content):
    """Malformed, binary, nested without end, or missing."""
    if content is not None:
        (folder / "bad.toml").write_bytes(content)

    told = export("raw.jsonl", "--config", "bad.toml")

    assert isinstance(told.exception, SettingsError)
    problem = "there is no file" if content is None else "can't be read as TOML"
    assert problem in str(told.exception)
    assert "bad.toml" in str(told.exception)


TABLES = """
[replace]
"_" = ""
"=" = "-"
[root-map]
"/a=b" = "/c"
[axes]
img = "yx"
"""


def test_pairs_are_a_list_or_a_table(folder):
    """``replace``, ``root-map`` and ``axes``; in a table, a key may hold "="."""
    write_jsonl(constant_run(1, sample="a_=1"), folder / "a.jsonl")
    top = 'template = "{start.sample}.tif"\nstack = "run"\n'
    pairs = 'replace = ["_=", "==-"]\n'

    for text in (top + TABLES, top + pairs):
        told = configured(folder, text, "-d", "out", source="a.jsonl")
        assert told.exit_code == 0, told.exception or told.output
        assert list(frames_in(folder / "out")) == ["a-1.tif"]
        shutil.rmtree(folder / "out")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[metadata]\nT = 5", "metadata.T must be text in quotes or false, not 5"),
        ("[replace]\na = false", "replace.a must be text in quotes, not False"),
        ("[root-map]\na = [1]", "root-map.a must be text in quotes, not [1]"),
        ('[metadata]\nT = "evnt.T"', "metadata 'T' must be a reference"),
        ('metadata = ["T"]', "metadata must be NAME=REFERENCE"),
        ('replace = ["T"]', "replace must be OLD=NEW, not 'T'"),
        ('[field]\na = "b"', "field must be a list of text"),
    ],
)
def test_a_wrong_pair_is_named_by_its_key(folder, text, says):
    """With the file."""
    told = configured(folder, text, "-t", NAME, "-d", "out")

    assert isinstance(told.exception, SettingsError), told.output
    assert f"tiffin.toml: {says}" in str(told.exception)


def test_none_turns_off_what_a_file_sets(folder):
    """Each list and text, and each correction; tables of corrections too."""
    text = """
    template = "{event.seq_num}.tif"
    sidecar = ["run.json"]
    compression = "zlib"
    stack = "run"
    replace = ["a=b"]
    dtype = "float64"
    field = "other"
    directory = "out"
    bin = 2
    """
    options = ["sidecar", "compression", "stack", "replace", "dtype", "field", "bin"]
    typed = [word for name in options for word in (f"--{name}", "none")]

    told = configured(folder, text, *typed)
    other = configured(folder, OPTIONS + CHAIN, "-d", "raw", "--dark", "none")

    assert told.exit_code == 0, told.exception or told.output
    assert sorted(p.name for p in (folder / "out").glob("[!.]*")) == ["1.tif", "2.tif"]
    plain = tifffile.imread(folder / "out" / "1.tif")
    assert (plain.dtype, plain.shape) == (np.uint16, SHAPE)
    assert other.exit_code == 0, other.exception or other.output
    assert frames_in(folder / "raw")["3_light_1.tif"].shape == SHAPE


def test_an_empty_file_changes_nothing(folder):
    """Every key is optional."""
    told = configured(folder, "", "-t", NAME, "-d", "out")

    assert told.exit_code == 0, told.output
    assert len(frames_in(folder / "out")) == 2


def test_a_file_without_a_template_has_the_default_one(folder):
    """As on the command line."""
    told = configured(folder, 'directory = "out"')

    assert told.exit_code == 0, told.output
    assert len(frames_in(folder / "out")) == 2


def test_the_shell_tells_what_is_wrong(folder):
    """One line, no traceback, exit status 2."""
    (folder / "tiffin.toml").write_text('compresion = "zlib"')

    told = shell("export", "raw.jsonl", "-t", NAME, "--config", "tiffin.toml")

    assert told.returncode == 2
    assert told.stderr.strip() == (
        "error: tiffin.toml: there is no option 'compresion': did you mean "
        "'compression'?"
    )


@pytest.mark.parametrize("page", ["configure", "correct"])
def test_the_examples_of_the_manual_run(folder, page):
    """Examples of the manual run as printed, in a folder with the files they name."""
    text = (MANUAL / f"{page}.md").read_text()
    toml, *_ = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (folder / "tiffin.toml").write_text(toml)
    (folder / "both.jsonl").rename("runs.jsonl")
    shown = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    commands = re.findall(r"^\$ tiffin (.*)$", shown.replace("\\\n", " "), re.MULTILINE)
    commands = [command for command in commands if "runs.jsonl" in command]

    told = []
    for command in commands:
        told.append(CliRunner().invoke(app, shlex.split(command)))
        (folder / "out").rename(f"out{len(told)}") if page == "correct" else None

    assert len(commands) == 2
    assert [one.exit_code for one in told] == [0, 0], [one.output for one in told]
    if page == "correct":
        assert frames_in(folder / "out1")["2_sub_1.tif"].shape == (2, 3)
        for name, image in frames_in(folder / "out1").items():
            np.testing.assert_array_equal(image, frames_in(folder / "out2")[name])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('compresion = "zlib"', 0),
        ('limit = "5"', 1),
        (DARK + '[[corrections]]\nkind = "drak"', 2),
    ],
)
def test_the_manual_shows_the_errors_of_the_shell(folder, text, number):
    """Word for word."""
    page = (MANUAL / "configure.md").read_text()
    shown = re.findall(r"^error: (.*)$", page, re.MULTILINE)

    told = configured(folder, text, "-t", NAME, "-d", "out")

    assert str(told.exception) == shown[number]


def test_a_dark_is_asked_for_by_what_its_run_holds(folder):
    """A table for `run` finds the nearest run whose start document matches."""
    text = OPTIONS.replace("limit = 1", "run = 2") + "[[corrections]]\nkind = 'dark'\n"

    told = configured(
        folder, text + "run = { scan_id = 1, within = 60 }", source="both.jsonl"
    )
    wrong = [
        configured(folder, text + f"run = {run}", source="both.jsonl").exception
        for run in ("{ scan_id = 1, within = -1 }", "{ order = 'after' }", "[1]")
    ]

    assert told.exit_code == 0, told.exception or told.output
    assert first_of(frames_in(folder / "out")["2_sub_1.tif"]) == -10
    assert all(isinstance(error, SettingsError) for error in wrong), wrong


def test_python_and_the_shell_write_the_same(folder):
    """The same chain in Python and in the shell writes the same files."""
    told = export("raw.jsonl", "--dark", "file:dark.tif", "--bin", "2")
    report = tiffin.export(
        "raw.jsonl",
        NAME,
        directory="python",
        corrections=[corrections.DarkSubtract(file="dark.tif"), corrections.Bin(2)],
    )

    assert told.exit_code == 0, told.output
    assert [r.path.read_bytes() for r in report.written] == [
        path.read_bytes() for path in sorted((folder / "out").glob("*.tif"))
    ]

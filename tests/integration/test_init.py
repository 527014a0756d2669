"""`tiffin init`: a configuration file for a beamline."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.documents import write_jsonl
from tests.shell import tiffin
from tests.stores import LIBRARIES_WARN
from tiffin import ImageExporter
from tiffin.cli import app
from tiffin.cli.new_config import Answers, config_text
from tiffin.testing import heating_scan, run_of

pytestmark = LIBRARIES_WARN

SCHEMA = Path(__file__).parents[2] / "docs" / "_static" / "tiffin.schema.json"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a scan that has darks in a stream of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIFFIN_CONFIG", raising=False)
    write_jsonl(heating_scan((300, 400)), tmp_path / "scan.jsonl")
    return tmp_path


def answered(*answers, options=()):
    """Run init, and type these answers."""
    text = "".join(f"{answer}\n" for answer in answers)
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["init", *options], input=text)


def test_what_it_writes_is_what_export_reads(folder):
    """With --yes: the fields of the source, its streams, and its darks subtracted."""
    made = tiffin("init", "--source", "scan.jsonl", "--yes")
    told = tiffin("export")

    written = tomllib.loads((folder / "tiffin.toml").read_text())
    assert made.returncode == 0, made.stderr
    assert written["exports"].keys() == {"pe1"}
    assert written["corrections"] == [
        {"kind": "dark", "stream": "dark", "missing": "error"}
    ]
    assert told.returncode == 0, told.stderr
    assert sorted(path.name for path in folder.glob("images/42/*")) == [
        "42_001.tif",
        "42_002.tif",
    ]


def test_the_callback_reads_it_too(folder):
    """The line that the file shows, as printed."""
    tiffin("init", "--source", "scan.jsonl", "--yes")
    text = (folder / "tiffin.toml").read_text()
    (line,) = re.findall(r"^#   RE.subscribe\((.*)\)$", text, re.MULTILINE)

    exporter = eval(line, {"ImageExporter": ImageExporter})  # noqa: S307

    assert exporter.settings.fields == ("pe1_image",)


def test_the_answers_are_asked_for_until_they_can_be_used(folder):
    """A wrong template, dark or profile is refused when it is typed, and why."""
    told = answered(
        "scan.jsonl", "pictures", "", "{start.sampel}.tif",
        "{start.sample_name}_{event.seq_num}.tif", "", "steam:dark", "stream:dark",
        "imagj", "imagej", "skip",
    )  # fmt: skip
    exported = tiffin("export")

    written = tomllib.loads((folder / "tiffin.toml").read_text())
    assert told.exit_code == 0, told.output
    assert "run 42 has pe1_image in dark" in told.output
    assert "'{start.sampel}' is not in run" in told.output
    assert "did you mean 'stream'" in told.output
    assert "did you mean 'imagej'" in told.output
    assert (written["profile"], written["existing"]) == ("imagej", "skip")
    assert exported.returncode == 0, exported.stderr
    assert len([*folder.glob("pictures/Ni powder_*.tif")]) == 2


def test_names_that_the_run_does_not_have_are_noticed(folder):
    """They are taken all the same: another run may have them."""
    told = answered("scan.jsonl", "images", "pe2_image", "", "primry")

    assert "no 'pe2_image': did you mean 'pe1_image'?" in told.output
    assert "no 'primry': did you mean 'primary'?" in told.output


def test_the_end_of_the_input_is_no_defect(folder):
    """Nothing is written; how to do without questions is said."""
    command = [sys.executable, "-m", "tiffin", "init"]
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)

    assert told.returncode == 1
    assert b"no answer: nothing more is done (--yes asks nothing)" in told.stderr
    assert not (folder / "tiffin.toml").exists()


def test_a_person_at_a_terminal_is_asked(folder):
    """Return takes what is proposed; then the printed command can be typed."""
    shown, status = typed("init", "beam line", answers=["scan.jsonl", *[""] * 9])
    command = re.search(r"^ +(tiffin .*--dry-run)", shown, re.MULTILINE)[1]
    told = tiffin(*shlex.split(command)[1:])

    assert status == 0
    assert "beam line/tiffin.toml is written" in shown
    assert command == "tiffin export --config 'beam line/tiffin.toml' --dry-run"
    assert told.returncode == 0, told.stderr
    assert told.stdout.count(".tif\n") == 2


def typed(*words, answers):
    """Run a command on a terminal, and answer each question; return what it shows."""
    child, terminal = pty.fork()
    if not child:
        code = "import sys; sys.argv[0] = 'tiffin'; from tiffin.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, *words])
    shown, left = b"", list(answers)
    try:
        while part := os.read(terminal, 10_000):
            shown += part
            if re.search(rb": $", shown) and left:
                os.write(terminal, left.pop(0).encode() + b"\n")
    except OSError:  # the end, on Linux
        pass
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_is_proposed_can_be_declined(folder):
    """All fields in one export, and no dark, though the run has one."""
    told = answered("scan.jsonl", "", "all", "", "none", "", "")

    written = tomllib.loads((folder / "tiffin.toml").read_text())
    assert told.exit_code == 0, told.output
    assert "corrections" not in written
    assert [*written["exports"]] == ["images"]
    assert "field" not in written["exports"]["images"]


def test_each_detector_has_its_template(folder):
    """Two fields are two exports, each with a folder; --as chooses one of them."""
    data = {name: np.ones((2, 6, 8), "u2") for name in ("saxs", "waxs.image")}
    write_jsonl(run_of(data, scan_id=7), folder / "two.jsonl")

    made = tiffin("init", "--source", "two.jsonl", "--yes")
    told = [tiffin("export", "--as", name) for name in ("saxs", "waxs_image")]

    assert "export --as saxs --dry-run" in made.stdout
    assert [one.returncode for one in told] == [0, 0], told[0].stderr + told[1].stderr
    for name in ("saxs", "waxs_image"):
        images = sorted(folder.glob(f"images/{name}/7/*"))
        assert [path.name for path in images] == ["7_001.tif", "7_002.tif"]


def test_events_with_several_images_get_names_that_differ(folder):
    """The index of an image in its event is in the proposed name."""
    data = {"img": np.ones((2, 3, 6, 8), "u2")}
    write_jsonl(run_of(data, scan_id=7), folder / "series.jsonl")

    tiffin("init", "--source", "series.jsonl", "--yes")
    told = tiffin("export")

    assert told.returncode == 0, told.stderr
    assert len([*folder.glob("images/7/*")]) == 6


def test_a_key_does_not_get_into_the_file(folder):
    """An address with one is refused before the server is asked."""
    told = tiffin("init", "--source", "http://127.0.0.1:9/?api_key=secret", "--yes")

    assert told.returncode == 2
    assert "a file is no place for a key" in told.stderr
    assert not (folder / "tiffin.toml").exists()


def test_a_source_that_does_not_answer_is_said(folder):
    """The file is written all the same: the beamline may be off."""
    made = tiffin("init", "--source", "http://127.0.0.1:9", "--yes")

    assert made.returncode == 0
    assert "no Tiled server answers" in made.stderr
    assert "without the fields of the source" in made.stderr
    assert 'source = "http://127.0.0.1:9"' in (folder / "tiffin.toml").read_text()


def test_without_a_source_the_file_has_one_export(folder):
    """The source is then given to the command."""
    made = tiffin("init", "there", "--yes")
    config = ("--config", "there/tiffin.toml")
    told = tiffin("export", "scan.jsonl", *config)

    assert "export SOURCE --config there/tiffin.toml --dry-run" in made.stdout
    assert told.returncode == 0, told.stderr


def test_a_path_is_kept_relative_to_the_file(folder):
    """The file may lie elsewhere than where init is typed."""
    tiffin("init", "there", "--source", "scan.jsonl", "--yes")

    told = tiffin("export", cwd=folder / "there")

    assert told.returncode == 0, told.stderr


def test_nothing_is_overwritten_without_being_asked(folder):
    """With --yes it is an error; else a question, whose default is no."""
    (folder / "tiffin.toml").write_text("mine")

    refused = tiffin("init", "--yes")
    no = answered("")
    kept = (folder / "tiffin.toml").read_text()
    yes = answered("y", *[""] * 10)
    replaced = (folder / "tiffin.toml").read_text()
    again = tiffin("init", "--yes", "--overwrite")

    assert refused.returncode == 1
    assert "--overwrite replaces it" in refused.stderr
    assert no.exit_code == 1
    assert kept == "mine"
    assert yes.exit_code == 0, yes.output
    assert "[exports.images]" in replaced
    assert again.returncode == 0


@pytest.mark.parametrize("dark", ["stream:d", "start.key", "file:d.tif", "constant:5"])
def test_every_line_that_is_switched_off_can_be_switched_on(tmp_path, dark):
    """The reader and the schema take each of them; any place of a dark too."""
    text = config_text(Answers(dark=dark, templates={"a b": '"{frame}".tif'}))
    plain = re.sub(r"(?m)^# (?=[\w-]+ = |\[\[)", "", text)
    for key in ("source", "all-streams", "mode", "sidecar", "compression", "fill"):
        assert re.search(rf"(?m)^{key} = ", plain), key
    (tmp_path / "tiffin.toml").write_text(plain)

    told = tiffin("export", "no.jsonl", cwd=tmp_path)
    jsonschema.validate(tomllib.loads(plain), json.loads(SCHEMA.read_text()))

    assert "options of tiffin.toml, export 'a_b'" in told.stderr

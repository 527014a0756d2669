"""The help of every command: examples, groups, and its place in the manual."""

import re
import shlex
from pathlib import Path

import pytest

from tests.shell import on_a_terminal, tiffin
from tiffin.cli import COMMANDS, INTERRUPTED, load
from tiffin.cli.commands.runs import NEWEST
from tiffin.cli.wrong_options import OTHER_NAMES
from tiffin.errors import SettingsError, SourceError, TemplateError
from tiffin.options import CorrectionOptions, RunOptions
from tiffin.settings import PANELS, Settings, check_model, option_of

MANUAL = Path(__file__).parents[2] / "docs" / "reference"
BOXES = re.compile("[\u2500-\u257f\x1b]")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_an_example_that_can_be_typed(name):
    """Its options exist, and the help shows it on one line."""
    command = load(name)
    options = {text for each in command.params for text in each.opts}

    told = tiffin(name, "-h")

    assert command.examples
    for example in command.examples:
        program, typed, *words = shlex.split(example.partition(" > ")[0])
        assert (program, typed) == ("tiffin", name)
        assert {word for word in words if re.match("--?[a-z]", word)} <= options
        assert f"\n  {example}\n" in told.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_json_for_programs(name):
    """With the same option everywhere."""
    assert "--json" in {text for each in load(name).params for text in each.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_its_place_in_the_manual(name):
    """Its section includes its table, which has all of its options."""
    shell = (MANUAL / "shell.md").read_text("utf-8")
    table = (MANUAL / f"_tiffin_{name}.md").read_text("utf-8")

    assert f"## tiffin {name}\n\n```{{include}} _tiffin_{name}.md\n" in shell
    for parameter in load(name).params:
        if parameter.param_type_name != "argument":
            assert f"`{parameter.opts[0]}`" in table
            assert parameter.help in table


def test_options_of_an_export_are_in_groups():
    """Those that are used most come first; none is left over."""
    for model in (Settings, RunOptions):
        for name in model.model_fields:
            option = option_of(name, model)
            assert option is None or option.panel in PANELS, name
    told = tiffin("export", "--help")

    headings = re.findall(r"^(\S.*):$", told.stdout, re.MULTILINE)
    groups = [head for head in headings if head in PANELS]
    assert groups == list(PANELS)
    assert CorrectionOptions.panel in headings
    assert headings[-2:] == ["Options", "Examples"]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["export", "-h"], ["exprot"]])
def test_no_boxes_and_colours_but_on_a_terminal(arguments):
    """In a pipe and in a log all is plain text."""
    told = tiffin(*arguments, env={"NO_COLOR": ""})

    assert not BOXES.search(told.stdout + told.stderr)


@pytest.mark.parametrize(("columns", "boxes"), [("100", True), ("60", False)])
def test_boxes_are_on_a_wide_terminal(columns, boxes):
    """A narrow one gets plain text, too."""
    shown = on_a_terminal("verify", "--help", columns=columns)

    assert bool(BOXES.search(shown)) is boxes


def test_a_wrong_command_or_option_names_the_right_one():
    """And a usage error shows an example."""
    command, option = tiffin("exprot"), tiffin("verify", "x", "--agianst", "y")
    missing = tiffin("export")

    assert "did you mean 'export'?" in command.stderr
    assert "--against" in option.stderr
    assert "example: tiffin verify out" in option.stderr
    assert "example: tiffin export http://" in missing.stderr
    assert {told.returncode for told in (command, option, missing)} == {2}


def test_completion_knows_commands_options_and_choices(tmp_path, monkeypatch):
    """What bash asks when a user presses Tab."""

    def completed(line):
        words = line.split(" ")
        asked = {
            "_TIFFIN_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        told = tiffin(env=asked)
        assert told.stderr == ""  # it would stand in the line that is typed
        return told.stdout.split()

    assert "verify" in completed("tiffin ver")
    assert "--existing" in completed("tiffin export --exi")
    assert "resume" in completed("tiffin export --existing re")
    assert "npy" in completed("tiffin export --format ")
    assert "imagej" in completed("tiffin export --profile im")
    assert "--version" in completed("tiffin nosuch --")
    (tmp_path / "tiffin.toml").write_text('[exports.saxs]\ntemplate = "{i}.tif"')
    monkeypatch.chdir(tmp_path)
    assert completed("tiffin export --as ") == ["saxs"]


def test_a_defect_shows_no_traceback_without_debug(monkeypatch, tmp_path):
    """But it says what to do: --debug shows where it is."""
    monkeypatch.setattr(
        "tiffin.cli.commands.verify.verify_folder", lambda *_, **__: 1 / 0
    )

    told = tiffin("verify", tmp_path)
    with pytest.raises(ZeroDivisionError):
        tiffin("verify", tmp_path, "--debug")

    assert told.returncode == 1
    assert (
        "tiffin has a defect here (ZeroDivisionError: division by zero)" in told.stderr
    )
    assert "--debug" in told.stderr
    assert "Traceback" not in told.stderr


def test_what_is_meant_by_other_options_exists():
    """Every suggestion is an option of some command."""
    options = {
        text for name in COMMANDS for each in load(name).params for text in each.opts
    }

    assert {option.split()[0] for option in OTHER_NAMES} <= options | {
        "--debug",
        "--help",
    }


def sections():
    """Yield the sections of the manual's page about commands, with their text."""
    page = (MANUAL / "shell.md").read_text("utf-8")
    for section in page.split("\n## tiffin ")[1:]:
        name, _, text = section.partition("\n")
        yield name, text.partition("\n## ")[0]


@pytest.mark.parametrize(("name", "text"), [*sections()])
def test_the_manual_names_options_that_a_command_has(name, text):
    """Or those of a command that the same sentence names."""
    for sentence in re.split(r"(?<=[.:;])\s", text):
        named = {name, *re.findall(r"tiffin (\w+)", sentence)} & {*COMMANDS}
        options = {text for each in named for p in load(each).params for text in p.opts}

        assert set(re.findall(r"--[a-z][\w-]*", sentence)) <= options, sentence


def test_the_manual_has_the_numbers_and_the_order_of_the_code():
    """Ten runs are listed; corrections act in the order of the chain; exit statuses."""
    text = " ".join((MANUAL / "shell.md").read_text("utf-8").split())

    assert NEWEST == 10
    assert "lists the ten newest runs" in text
    given = {"bin": "2,2", "crop": "0:4,0:4", "mask": "m.tif", "flat": "file:f.tif"}
    options = check_model(CorrectionOptions, given | {"dark": "stream:dark"})
    order = ", ".join(table.kind for table in options.tables())
    assert f"however you type them: {order}, dtype." in text
    assert SourceError.exit_status == 1
    assert SettingsError.exit_status == TemplateError.exit_status == 2
    assert f"| {INTERRUPTED} | interrupted by Ctrl-C" in text

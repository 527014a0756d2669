"""One schema of settings: what is made of it agrees with it."""

import importlib.util
import inspect
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import tiffin
from tiffin.cli import COMMANDS, load
from tiffin.errors import SettingsError
from tiffin.export.manifests import settings_of
from tiffin.settings import (
    Keywords,
    LiveKeywords,
    Settings,
    option_of,
    resume_settings,
    setting_names,
)

DOCS = Path(__file__).parents[2] / "docs"


def generated():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FILES


@pytest.mark.parametrize(
    ("live", "keywords"), [(False, Keywords), (True, LiveKeywords)]
)
def test_type_checkers_see_the_settings_of_the_schema(live, keywords):
    """`Keywords` names the settings of the schema, no more and no fewer."""
    named = keywords.__required_keys__ | keywords.__optional_keys__

    assert set(setting_names(live=live)) == named | {"directory"}


@pytest.mark.parametrize(
    ("function", "live"), [(tiffin.export, False), (tiffin.ImageExporter, True)]
)
def test_signature_and_docstring_show_every_setting(function, live):
    """`help(tiffin.export)` tells what can be given, with its default."""
    parameters = inspect.signature(function).parameters

    for name in setting_names(live=live):
        kind = parameters[name].kind
        assert (kind is inspect.Parameter.KEYWORD_ONLY) == (name != "directory")
        assert f"\n{name} : " in function.__doc__


@pytest.mark.parametrize("function", [tiffin.export, tiffin.ImageExporter, tiffin.bulk])
def test_the_signature_can_be_read(function):
    """`tiffin.export?` shows names and defaults; the types are in the docstring."""
    shown = str(inspect.signature(function))

    existing = "resume" if function is tiffin.bulk else "error"
    assert f"existing={existing!r}, " in shown
    assert "ForwardRef" not in shown
    assert ": " not in shown


def test_every_setting_is_described():
    """A description is the source of docstring, help text and manual."""
    for name, field in Settings.model_fields.items():
        assert field.description.endswith((".", "`.")), name


def test_every_setting_has_an_option():
    """But for what it has another way for, settles itself, or is code."""
    without = {name for name in setting_names(live=False) if option_of(name) is None}

    assert without == {"on_error", "corrections", "handlers"}


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_generated_pages_are_current(path):
    """`make generated` was run after the last change of the schema."""
    assert generated()[path]() == path.read_text(encoding="utf-8")


def test_the_json_schema_names_the_options_of_the_shell():
    """An editor completes the keys of a configuration file."""
    schema = json.loads((DOCS / "_static" / "tiffin.schema.json").read_text("utf-8"))

    assert {"template", "field", "existing", "corrections"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"existng": "skip"}, "no setting 'existng': did you mean 'existing'"),
        (
            {"existing": "skp"},
            "existing must be one of .*'skip'.*not 'skp': did you mean",
        ),
        ({"dry_run": 1}, "dry_run must be True or False, not 1"),
        ({"level": "high"}, "level must be a whole number, not 'high'"),
        ({"compression": "zip"}, "compression must be one of 'zlib', 'zstd' or 'lzw'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(wrong, message):
    """What was got, what is allowed, and the nearest name; the error knows which."""
    with pytest.raises(SettingsError, match=message):
        Settings.of("{i}.tif", **wrong)


@pytest.mark.parametrize(
    "name", ["stack", "workers", "memory", "mode", "first", "level", "keep_reports"]
)
def test_any_integer_is_a_whole_number(name):
    """Such as those that numpy returns; True and False are none."""
    more = {"compression": "zlib"} if name == "level" else {}
    settings = Settings.of("{frame}.tif", **{name: np.int64(3)}, **more)

    assert getattr(settings, name) == 3
    assert type(getattr(settings, name)) is int
    for wrong in (True, np.True_, 3.0):
        with pytest.raises(SettingsError, match=f"{name} must be"):
            Settings.of("{frame}.tif", **{name: wrong}, **more)


def test_settings_go_to_another_process():
    """They pickle, with the template settled and the folder absolute."""
    settings = Settings.of("{i}.tif", directory="out", root_map={"/a": "/b"})

    assert pickle.loads(pickle.dumps(settings)) == settings
    assert settings.directory.is_absolute()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_says_of_a_command_what_it_says_itself(name):
    """``tiffin --help`` imports no command; its lines are those of the commands."""
    assert COMMANDS[name] == load(name).help.splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_described(name):
    """Its help is the text under its field."""
    for parameter in load(name).params:
        assert parameter.help, parameter.name


def test_a_manifest_has_the_settings_that_a_resume_needs():
    """Those that it compares, and what else says which files there are; no others."""
    needed = {"template", "frames", "sidecars", "report", *resume_settings()}

    assert settings_of(Settings.of("{i}.tif")).keys() == needed


def test_an_unknown_setting_suggests_no_internal_one():
    """Users can't set these."""
    with pytest.raises(SettingsError) as refused:
        Settings.of("{i}.tif", compresssio="zlib")

    assert "'compression'" in str(refused.value)
    assert "'compare'" not in str(refused.value)


def test_a_wrong_level_knows_its_setting():
    """So the shell and the configuration file write it in their way."""
    with pytest.raises(SettingsError, match="level can't be 99") as refused:
        Settings.of("{i}.tif", level=99)

    assert refused.value.setting == "level"


def test_a_misspelt_dtype_has_a_nearest_name():
    """One that exists has none: it would not hold the same values."""
    with pytest.raises(SettingsError, match=r"must be one of .*did you mean 'uint16'"):
        Settings.of("{i}.tif", dtype="uint6")
    with pytest.raises(SettingsError, match=r"not 'int64'$"):
        Settings.of("{i}.tif", dtype="int64")

"""A new user's first hour: the commands of the tutorial, as printed there."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.stores import LIBRARIES_WARN, store_in_tiled
from tests.tutorial import (
    ADDRESS,
    Walk,
    in_a_process,
    in_this_process,
    normalised,
    steps,
    write,
)
from tiffin.sources import open_source

pytestmark = LIBRARIES_WARN

PROJECT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
RENEW = "WRITE_TUTORIAL"
"""With this in the environment, the quick test writes the page."""


def walked(home, run, new_server):
    """Type the commands of the page; return what is printed and what is shown."""
    home.mkdir()
    address, key, client = new_server[:3]
    walk = Walk(home, run, address)
    walk.environment |= {"TILED_API_KEY": key, "TIFFIN_CONFIG": ""}
    printed, is_served = [], False
    for step in steps():
        if ADDRESS in step.command and not is_served:
            documents = open_source(home / "tiffin-demo" / "documents.jsonl")
            store_in_tiled(client, list(documents))
            is_served = True
        status, text = walk.type(step.command)
        assert status == (1 if "{start.sampel_name}" in step.command else 0), text
        printed.append(text)
    written = (walk.folder / "beamline" / "tiffin.toml").read_text()
    assert key not in written
    assert address in written
    return printed, [step.shown for step in steps()]


def check(printed, shown):
    """Compare but for times, uids and sizes."""
    for step, text in zip(steps(), printed, strict=True):
        hint = f"{step.command}: {RENEW}=1 pytest {__file__} renews the page"
        assert normalised(text) == normalised(step.shown), hint
    assert len(shown) > 15


@pytest.mark.slow
def test_the_tutorial_shows_what_its_commands_print(tmp_path, new_server):
    """Command by command, all in this process."""
    printed, shown = walked(tmp_path / "home", in_this_process, new_server)

    if os.environ.get(RENEW):
        write(printed)
        return
    check(printed, shown)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_first_hour_of_a_new_user(tmp_path, new_server):
    """From the wheel without extras, in a new environment; then with one extra."""
    build = [UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, PROJECT]
    status, told = in_a_process(build, tmp_path, {})
    assert status == 0, told
    (wheel,) = tmp_path.glob("*.whl")

    run = partial(in_a_new_environment, tmp_path / "home", wheel)
    printed, shown = walked(tmp_path / "home", run, new_server)

    check(printed, shown)


def in_a_new_environment(home, wheel, words, folder, environment):
    """Run a command of the page: tiffin comes from the wheel, without PYTHONPATH."""
    there = home / "tiffin-env"
    clean = {"PYTHONPATH": "", "VIRTUAL_ENV": str(there)}
    path = f"{there / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = environment | clean | {"PATH": path}
    if words[0] == "python3":
        words = [UV, "venv", "--quiet", "--python", sys.executable, words[-1]]
    elif words[0] == "pip":
        extra = words[-1].removeprefix("tiffin")
        constraints = ["--constraints", PROJECT / "constraints.txt"]
        words = [UV, "pip", "install", "--quiet", *constraints, f"{wheel}{extra}"]
    elif words[0] == ".":
        return 0, ""
    elif words[0] == "tiffin":
        words = [there / "bin" / "tiffin", *words[1:]]
    return in_a_process(words, folder, environment)

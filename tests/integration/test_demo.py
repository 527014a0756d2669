"""`tiffin demo`: an experiment to try things on."""

import json
import re
import shlex
import sys
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
import tifffile

from tests.shell import tiffin
from tiffin import cli, read_metadata
from tiffin.cli.program import program
from tiffin.testing import heating_scan


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A demo in a new folder, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    began = time.process_time()  # whatever else the machine does
    told = tiffin("demo", "d", cwd=folder)
    assert told.returncode == 0, told.stderr
    assert time.process_time() - began < 10
    return folder / "d", told.stdout


def test_it_makes_documents_options_and_images(made):
    """All in one folder; the images have no dark current and no hot pixels."""
    folder, said = made

    images = sorted((folder / "images").rglob("*.tif"))
    first = tifffile.imread(images[0])
    darks = [
        doc["data"]["pe1_image"]
        for name, doc in heating_scan()
        if name == "event" and "temperature" not in doc["data"]
    ]
    assert [path.name for path in images] == [
        f"0042_{n:03d}_{kelvin}K.tif"
        for n, kelvin in enumerate((300, 450, 600, 750, 900, 1050), 1)
    ] + ["0042_dark_001.tif", "0042_dark_002.tif"]
    assert darks[0].max() > 20_000
    assert first.max() < 5_000
    assert "6 written, 0 skipped, 0 failed" in said
    assert read_metadata(images[2])["motors"]["temperature"]["value"] == 600


def test_its_page_has_the_dark_of_each_image(made):
    """The viewer shows it beside the image."""
    page = (made[0] / "images" / "report.html").read_text("utf-8")
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)
    images = json.loads(data[1])["images"]

    subtracted = [image for image in images if image.get("kind") == "sub"]
    names = [images[image["dark"]]["name"] for image in subtracted]
    assert names == [f"Ni powder/0042_dark_{n:03d}.tif" for n in (1, 1, 1, 2, 2, 2)]


def test_what_it_says_to_type_next_works(made):
    """Each line as printed, with the program that ran, in the folder that it names."""
    folder, said = made
    lines = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    start = next(n for n, line in enumerate(lines) if line.startswith("cd "))
    cd, *commands = (shlex.split(line) for line in lines[start:])

    assert cd == ["cd", "d"]
    for command in commands:
        words = shlex.split(program_of(said))
        assert command[: len(words)] == words
        rest = command[len(words) :]
        rest += ["--yes", "--overwrite"] if rest == ["init"] else []
        told = tiffin(*rest, cwd=folder)
        assert told.returncode == 0, (command, told.stderr)
    assert len(list((folder / "again").rglob("*.tif"))) == 6


def program_of(said):
    """The program is the first word of the command that shows runs."""
    (line,) = (line for line in said.splitlines() if " runs documents" in line)
    return line.strip().partition(" runs ")[0]


def test_its_page_opens_in_a_browser(made):
    """Its address is printed, and is that of a file that is there."""
    folder, said = made

    (address,) = (line.strip() for line in said.splitlines() if "file://" in line)

    page = Path(url2pathname(urlsplit(address).path))
    assert page == folder / "images" / "report.html"
    assert page.stat().st_size < 5_000_000


def test_a_folder_with_files_is_left_alone(tmp_path):
    """Nothing is overwritten; the error says what to type."""
    (tmp_path / "mine").write_text("x")

    told = tiffin("demo", tmp_path)

    assert told.returncode == 1
    assert "is not empty: name a new folder, as in tiffin demo" in told.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_machines_are_told_in_json(tmp_path):
    """One line, with absolute paths."""
    told = tiffin("demo", "d", "--json", cwd=tmp_path)

    made = json.loads(told.stdout)
    assert made["ok"]
    assert made["documents"] == str(tmp_path / "d" / "documents.jsonl")
    assert made["page"] == str(tmp_path / "d" / "images" / "report.html")
    assert all(Path(file).exists() for file in made["files"])
    assert len(made["files"]) == 8


def test_the_rings_shrink_as_the_lattice_expands():
    """The pictures show what a heated powder does."""
    lights = [
        doc["data"]["pe1_image"].astype(float)
        for name, doc in heating_scan((300, 600, 900), time=1e9)
        if name == "event" and "temperature" in doc["data"]
    ]
    row = 120  # through the centre
    outer = [
        int(np.argmax(np.median(image[row - 2 : row + 3, 175:195], 0)))
        for image in lights
    ]

    assert all(hot < cold for cold, hot in pairwise(outer))


def test_the_same_pixels_every_time():
    """The noise is the same; only times and uids differ."""
    first, second = heating_scan(), heating_scan()

    for (_, one), (_, other) in zip(first, second, strict=True):
        assert np.array_equal(
            one.get("data", {}).get("pe1_image", 0),
            other.get("data", {}).get("pe1_image", 0),
        )


@pytest.mark.parametrize("how", ["path", "link", "module", "elsewhere"])
def test_the_program_is_named_as_the_shell_finds_it(tmp_path, monkeypatch, how):
    """By its name if it is on the PATH; else by the path that was typed."""
    folder = tmp_path / "my bin"
    folder.mkdir()
    installed = folder / "tiffin"
    installed.write_text("")
    installed.chmod(0o755)
    started = {"module": Path(cli.__file__).parents[1] / "__main__.py"}.get(
        how, installed
    )
    monkeypatch.setenv("PATH", "/nowhere" if how == "elsewhere" else str(folder))
    if how == "link":
        started = tmp_path / "link"
        started.symlink_to(installed)
    monkeypatch.setattr(sys, "argv", [str(started)])

    assert shlex.split(program()) == {
        "module": [sys.executable, "-m", "tiffin"],
        "elsewhere": [str(installed)],
    }.get(how, ["tiffin"])

"""The shell's commands on the pages about outputs run as they are printed."""

import re
import shlex
from pathlib import Path

import fabio
import numpy as np
import pytest
from PIL import Image

import tiffin
from tests.documents import write_jsonl
from tests.shell import tiffin as shell
from tiffin.testing import run_of

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PAGES = [
    *("formats", "gsas2", "imagej", "metadata"),
    *("pyfai", "sidecars", "stacks", "tomography"),
]
IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
BLOCK = re.compile(r"```(?:sh|console)\n(.*?)```", re.DOTALL)
LINE = re.compile(r"^(?:\$ )?tiffin (.*)$", re.MULTILINE)
INLINE = re.compile(r"`tiffin ((?:export|show) [^`]+)`")


def commands_on(page):
    """Return the arguments of each command, in order."""
    text = (HOWTO / f"{page}.md").read_text("utf-8")
    blocks = "\n".join(BLOCK.findall(text)).replace("\\\n", " ")
    return [shlex.split(found) for found in LINE.findall(blocks) + INLINE.findall(text)]


def blocks_of(page):
    """Return the commands in each block of a page, without what they print."""
    text = (HOWTO / f"{page}.md").read_text("utf-8")
    blocks = [block.replace("\\\n", " ") for block in BLOCK.findall(text)]
    return [re.findall(r"^\$ (.*)$", block, re.MULTILINE) for block in blocks]


def expanded(argument, folder):
    """Return what a shell makes of an argument."""
    found = sorted(folder.glob(argument)) if "*" in argument else []
    return [str(path.relative_to(folder)) for path in found] or [argument]


@pytest.fixture
def folder(tmp_path):
    """A folder with a run of three images, and two of its files."""
    data = {"img": IMAGES, "T": [4.0, 4.5, 5.0]}
    known = {"wavelength": 0.1839, "distance": 251.3, "pixel_um": 172}
    run = run_of(data, scan_id=7, sample_name="Ni", **known)
    for name in ("run.jsonl", "runs.jsonl"):
        write_jsonl(run, tmp_path / name)
    tiffin.export(
        run, "{start.scan_id}_{event.seq_num}.tif", directory=tmp_path / "out",
        frames=":2",
    )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(folder, page):
    """Each exports all images, or shows what is in a file."""
    commands = commands_on(page)
    for command in commands:
        arguments = [word for part in command for word in expanded(part, folder)]
        told = shell(*arguments, cwd=folder)
        assert told.returncode == 0, told.stderr
        assert re.search("[35] written", told.stderr) or told.stdout

    assert commands


def test_fabio_reads_what_the_page_of_pyfai_writes(folder):
    """As pyFAI, Dioptas and silx do, which are not installed for the tests."""
    for command in commands_on("pyfai"):
        shell(*command, cwd=folder)

    for out, kind in (("out", "TifImage"), ("pilatus", "PilatusImage")):
        for n, image in enumerate(IMAGES, 1):
            read = fabio.open(folder / out / f"7_{n:03d}.tif")
            assert type(read).__name__ == kind
            np.testing.assert_array_equal(read.data, image)
    assert read.header["Wavelength"] == "0.1839 A"


def test_a_picture_of_the_page_of_formats_can_be_looked_at(folder):
    """By Pillow, in 8 bits."""
    (command,) = commands_on("formats")
    shell(*command, cwd=folder)

    with Image.open(folder / "7_003.png") as picture:
        assert (picture.mode, picture.size) == ("L", (9, 6))
